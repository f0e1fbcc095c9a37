"""The row-wise step in numba-CUDA: the same rule as ``window.cu``, in float64 and on the same arrays."""

import numpy as np
import pytest
from corpora import fibonacci_counts, zipf_counts
from device_cases import RATES, Fenced, Places, Problem, Result, launch
from w2v.kernels import rowwise_cuda
from w2v.kernels.window import padded

from w2v.config import TrainConfig

ZIPF = zipf_counts(9)


def config(objective="ns", model="skipgram", size=5, window=2, negative=3, **others) -> TrainConfig:
    return TrainConfig(
        objective=objective, model=model, vector_size=size, window=window, negative=negative,
        **{"sample": 0.3, "seed": 3, **others},
    )  # fmt: skip


def train(problem: Problem, *, chunk: int, grid=1, threads=4, places: Places | None = None) -> Result:
    """Train with the twin in the simulator, which runs one block after the other."""
    places = places or problem.everything
    settings, shape = problem.config, problem.shape()
    words, spans, bounds, targets, begins = problem.stream(places)
    inputs, outputs = problem.matrices(padded(settings.vector_size))
    ring = np.full((grid, 2, 2 * shape.window + 2, shape.pitch), np.nan, np.float32)
    groups = np.full((grid, 2, shape.group + 1, shape.pitch), np.nan, np.float32)
    losses = np.full(-(-(places.last - places.first) // chunk), np.nan, np.float32)
    rowwise_cuda.train_windows[grid, threads](
        words, spans, bounds, chunk, inputs, outputs, problem.input_scales, problem.output_scales, targets, begins,
        shape.window, shape.negative, shape.group, shape.cbow, shape.cbow_sum, shape.per_pair, shape.in_turn,
        *map(np.float32, RATES), ring, groups, losses,
    )  # fmt: skip
    return Result(inputs, outputs, losses)


CASES = [
    (config(), ZIPF, 4),
    (config(size=1, window=1, negative=1), ZIPF, 1),
    (config(size=9, negative=8, window=4, shrink_windows=False, sample=0), zipf_counts(2), 16),  # two groups
    (config(negatives_per_pair=True), ZIPF, 4),
    (config(model="cbow"), ZIPF, 4),
    (config(model="cbow", negative=9, cbow_sum=True), ZIPF, 16),
    (config("hs"), ZIPF, 4),
    (config("hs", sample=0), fibonacci_counts(10), 16),  # paths of two groups
    (config("hs", "cbow"), ZIPF, 4),
]


def name_of(case) -> str:
    settings, _, chunk = case
    return "-".join(map(str, (settings.objective, settings.model, settings.vector_size, settings.window, chunk)))


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_one_block_follows_the_reference(case):
    settings, counts, chunk = case
    problem = Problem.drawn(settings, counts, sentences=4, longest=7)
    assert len(problem.windows) > 8
    problem.assert_close(train(problem, chunk=chunk), *problem.train_reference(chunk))


@pytest.mark.parametrize("settings", [config(), config(negatives_per_pair=True), config("hs"), config("hs", "cbow")])
def test_the_twins_agree(settings):
    """On the same arrays, in float32 both: closer to each other than the reference asks."""
    problem = Problem.drawn(settings, ZIPF, sentences=4, longest=7)
    found, other = train(problem, chunk=4), launch(problem, problem.shape(), chunk=4)
    np.testing.assert_allclose(found.inputs, other.inputs, atol=5e-7)
    np.testing.assert_allclose(found.outputs, other.outputs, atol=5e-7)
    np.testing.assert_allclose(found.losses, other.losses, rtol=2e-6)
    assert np.abs(found.inputs[:, : settings.vector_size] - problem.input_vectors).max() > 1e-3


@pytest.mark.parametrize("settings", [config(window=3), config("hs", "cbow")], ids=str)
def test_segments_with_a_halo_on_either_side(settings):
    problem = Problem.drawn(settings, ZIPF, sentences=6)
    places = Places(4, 9, 9 + settings.window)
    assert places.limit < len(problem.windows)
    found = train(problem, chunk=3, places=places)
    problem.assert_close(found, *problem.train_reference(3, places))


def test_blocks_share_the_chunks():
    settings = config("hs", sample=0)
    words, chunk, chunks = 4, 3, 5
    ids = np.concatenate([[*range(n * words, n * words + chunk), -1] for n in range(chunks)]).astype(np.int32)
    problem = Problem.of_ids(settings, Fenced(settings, zipf_counts(words), chunks), ids)
    found = train(problem, chunk=chunk, grid=2, threads=2)
    problem.assert_close(found, *problem.train_reference(chunk))


def test_scales_grow_up_to_one():
    given = np.array([0.001, 0.3, 0.5, 0.9, 1.0], np.float32)
    scales = np.full(5, np.nan, np.float32)
    rowwise_cuda.grow_scales[2, 2](given, np.float32(2.0), scales)
    np.testing.assert_allclose(scales, [0.002, 0.6, 1.0, 1.0, 1.0], rtol=1e-6)
    rowwise_cuda.grow_scales[1, 8](given, np.float32(1.0), scales)
    np.testing.assert_array_equal(scales, given)


@pytest.mark.parametrize(("rate", "factor"), [(0.5, 1.0), (0.05, 1.0), (0.025, 2.0), (0.005, 10.0), (0.0, 1e6)])
def test_scales_grow_as_the_learning_rate_falls(rate, factor):
    from numba import cuda

    from w2v.backends.cuda_steps import _GrowingScales

    given = np.array([1e-7, 0.04, 0.5, 1.0], np.float32)
    found = _GrowingScales((given, given[::-1].copy()), TrainConfig(alpha=0.05), cuda.stream()).at(rate)
    np.testing.assert_allclose(found[0].copy_to_host(), np.minimum(1, factor * given), rtol=1e-5)
    np.testing.assert_allclose(found[1].copy_to_host(), np.minimum(1, factor * given)[::-1], rtol=1e-5)
