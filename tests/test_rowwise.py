"""The row-wise family: float64 references from the formulas, and the CPU kernels against them."""

import os
import subprocess
import sys

import numpy as np
import pytest
from corpora import random_ids, zipf_counts
from hypothesis import given, settings
from hypothesis import strategies as st
from w2v.kernels import rowwise_cpu, simd
from w2v.kernels.hot_rows_cpu import private_rows
from w2v.kernels.stream_cpu import compact_chunk, is_kept

from w2v.backends.cpu import CpuBackend
from w2v.config import TrainConfig
from w2v.objectives import make_objective
from w2v.objectives.reference import ReferenceTrainer, window_gradients, window_gradients_in_turn


def prepared_backend(config: TrainConfig, words: int, rng) -> CpuBackend:
    """A backend with parameters large enough that every term of a gradient matters."""
    backend = CpuBackend(config, make_objective(config, zipf_counts(words)))
    backend.load_parameters({name: rng.normal(0, 0.3, array.shape) for name, array in backend.parameters().items()})
    return backend


@pytest.mark.parametrize("signs", [[1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, 1.0, -1.0]])
def test_reference_gradients_are_the_finite_differences(signs):
    rng = np.random.default_rng(0)
    inputs, outputs, signs = rng.normal(size=(3, 7)), rng.normal(size=(len(signs), 7)), np.array(signs)
    _, d_inputs, d_outputs = window_gradients(inputs, outputs, signs)
    step = 1e-6
    for array, gradient in ((inputs, d_inputs), (outputs, d_outputs)):
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + step
            above = window_gradients(inputs, outputs, signs)[0]
            array[index] = kept - step
            below = window_gradients(inputs, outputs, signs)[0]
            array[index] = kept
            assert (above - below) / (2 * step) == pytest.approx(gradient[index], rel=1e-6, abs=1e-9)


def test_inputs_in_turn_are_inputs_one_pair_after_the_other():
    rng = np.random.default_rng(2)
    inputs, outputs, signs = rng.normal(size=(5, 6)), rng.normal(size=(4, 6)), np.array([1.0, -1, 1, -1])
    loss, d_inputs, d_outputs = window_gradients_in_turn(inputs, outputs, signs, 0.1)
    moved, expected = outputs.copy(), 0.0
    for begin in (0, 2, 4):
        gained, d_pair, step = window_gradients(inputs[begin : begin + 2], moved, signs)
        np.testing.assert_allclose(d_inputs[begin : begin + 2], d_pair)
        expected += gained
        moved -= 0.1 * step
    assert loss == pytest.approx(expected)
    np.testing.assert_allclose(outputs - 0.1 * d_outputs, moved)
    # A vanishing rate makes no difference.
    together = window_gradients(inputs, outputs, signs)
    for found, plain in zip(window_gradients_in_turn(inputs, outputs, signs, 1e-7), together, strict=True):
        np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-5)


def test_reference_loss_by_hand():
    loss, d_inputs, _ = window_gradients(np.array([[2.0]]), np.array([[0.5], [-1.0]]), np.array([1.0, -1.0]))
    # −log σ(1) − log σ(2); d/dx = −σ(−1)·0.5 + σ(−2)·(−1)
    assert loss == pytest.approx(np.log1p(np.exp(-1)) + np.log1p(np.exp(-2)))
    assert d_inputs[0, 0] == pytest.approx(-0.5 / (1 + np.e) - 1 / (1 + np.e**2))


CASES = [
    # objective, model, D, window, negative, per pair, sum, shrink: ragged sizes and every branch of the kernels
    ("ns", "skipgram", 128, 5, 5, False, False, True),
    ("ns", "skipgram", 100, 3, 1, False, False, True),
    ("ns", "skipgram", 17, 8, 12, False, False, False),
    ("ns", "skipgram", 33, 2, 20, True, False, True),
    ("ns", "skipgram", 1, 1, 2, False, False, True),
    ("ns", "cbow", 50, 5, 5, False, False, True),
    ("ns", "cbow", 20, 4, 7, False, True, True),
    ("hs", "skipgram", 128, 5, 5, False, False, True),
    ("hs", "skipgram", 31, 30, 5, False, False, False),
    ("hs", "cbow", 64, 5, 5, False, False, True),
    ("hs", "cbow", 9, 3, 5, False, True, False),
    ("ns", "skipgram", 20, 300, 200, False, False, True),
    ("ns", "skipgram", 20, 3, 90, True, False, True),
    ("ns", "cbow", 20, 300, 90, False, False, False),
]


@pytest.mark.parametrize(
    ("objective", "model", "size", "window", "negative", "per_pair", "cbow_sum", "shrink"), CASES
)
def test_kernel_follows_the_reference(objective, model, size, window, negative, per_pair, cbow_sum, shrink):
    rng = np.random.default_rng(1)
    config = TrainConfig(
        objective=objective,
        model=model,
        vector_size=size,
        window=window,
        negative=negative,
        negatives_per_pair=per_pair,
        cbow_sum=cbow_sum,
        shrink_windows=shrink,
        sample=0.05,
        threads=1,
        seed=3,
    )
    words = 40
    backend = prepared_backend(config, words, rng)
    ids = random_ids(rng, words, 60, 30)
    before = {name: array.copy() for name, array in backend.parameters().items()}
    reference = ReferenceTrainer(config, backend.objective, before["input_vectors"], before["output_vectors"])
    rate = 0.01
    report = backend.train_epoch(ids, 2, lambda fraction: rate, lambda report: None)
    loss, pairs, kept_words, tokens = reference.train(ids, 2, rate)
    assert (report.pairs, report.kept_words, report.words) == (pairs, kept_words, tokens)
    assert pairs > 100
    assert report.loss == pytest.approx(loss, rel=1e-5)
    for name, array in backend.parameters().items():
        exact = getattr(reference, name)
        change = np.abs(exact - before[name]).max()
        assert change > 0.01
        assert np.abs(array - exact).max() < 2e-4 * change


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    words=st.integers(2, 9),
    sentences=st.integers(1, 20),
    window=st.integers(1, 12),
    size=st.integers(1, 40),
    model=st.sampled_from(["skipgram", "cbow"]),
    objective=st.sampled_from(["ns", "hs"]),
)
def test_small_vocabularies_and_ragged_sentences(seed, words, sentences, window, size, model, objective):
    """Duplicate contexts, duplicate noise, the target as its own noise, windows wider than sentences."""
    rng = np.random.default_rng(seed)
    config = TrainConfig(
        objective=objective, model=model, vector_size=size, window=window, sample=0, threads=1, seed=seed, negative=7
    )
    backend = prepared_backend(config, words, rng)
    ids = random_ids(rng, words, sentences, 9)
    start = {name: array.copy() for name, array in backend.parameters().items()}
    reference = ReferenceTrainer(config, backend.objective, start["input_vectors"], start["output_vectors"])
    report = backend.train_epoch(ids, 0, lambda fraction: 0.02, lambda report: None)
    loss, pairs, _, _ = reference.train(ids, 0, 0.02)
    assert report.pairs == pairs
    assert report.loss == pytest.approx(loss, rel=1e-4, abs=1e-6)
    for name, array in backend.parameters().items():
        np.testing.assert_allclose(array, getattr(reference, name), atol=2e-4)


@pytest.mark.parametrize("objective", ["ns", "hs"])
@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_windows_do_not_depend_on_the_cuts(objective, model, monkeypatch):
    """Chunks of 7 tokens or of the whole text: the same windows, and bit-equal vectors on one thread."""
    results = []
    for chunk in (7, 10_000):
        monkeypatch.setattr("w2v.backends.cpu.CHUNK", chunk)
        monkeypatch.setattr("w2v.backends.cpu.SMALLEST_CHUNK", chunk)
        rng = np.random.default_rng(5)
        config = TrainConfig(objective=objective, model=model, vector_size=24, sample=0.02, threads=1)
        backend = prepared_backend(config, 30, rng)
        report = backend.train_epoch(random_ids(rng, 30, 40, 50), 0, lambda fraction: 0.02, lambda report: None)
        results.append((report.pairs, backend.parameters()))
    assert results[0][0] == results[1][0] > 0
    for name in ("input_vectors", "output_vectors"):
        np.testing.assert_array_equal(results[0][1][name], results[1][1][name])


def test_padding_stays_zero():
    rng = np.random.default_rng(6)
    config = TrainConfig(vector_size=19, threads=1, sample=0)
    backend = prepared_backend(config, 20, rng)
    backend.train_epoch(random_ids(rng, 20, 30, 20), 0, lambda fraction: 0.05, lambda report: None)
    assert not backend._input[:, 19:].any()
    assert not backend._output[:, 19:].any()


def test_threads_see_every_word_once():
    rng = np.random.default_rng(7)
    ids = random_ids(rng, 50, 2000, 20)
    counted = []
    for threads in (1, 2, 5):
        config = TrainConfig(vector_size=16, threads=threads, sample=0.01)
        backend = CpuBackend(config, make_objective(config, zipf_counts(50)))
        backend.initialise()
        report = backend.train_epoch(ids, 0, lambda fraction: 0.02, lambda report: None)
        counted.append((report.words, report.kept_words, report.pairs))
    assert counted[0] == counted[1] == counted[2]
    assert counted[0][0] == int((ids >= 0).sum())


def test_a_failure_in_a_thread_reaches_the_caller():
    config = TrainConfig(vector_size=16, threads=2)
    backend = CpuBackend(config, make_objective(config, zipf_counts(20)))
    ids = random_ids(np.random.default_rng(8), 20, 100, 20)

    def broken(fraction):
        if fraction > 0:
            raise RuntimeError("schedule broke")
        return 0.02

    with pytest.raises(RuntimeError, match="schedule broke"):
        backend.train_epoch(ids, 0, broken, lambda report: None)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 200.0])
def test_binary_logistic_over_the_range(scale):
    rng = np.random.default_rng(9)
    count = 3 * simd.ROW_MULTIPLE
    z = rng.normal(0, scale, count).astype(np.float32)
    signs = rng.choice([-1.0, 0.0, 1.0], count).astype(np.float32)
    steps = z.copy()
    loss = rowwise_cpu.binary_logistic(steps.ctypes.data, signs.ctypes.data, count, 0.5)
    y = signs.astype(np.float64) * z
    expected = 0.5 * signs * np.exp(-np.logaddexp(0, y))
    np.testing.assert_allclose(steps, expected, rtol=2e-6, atol=1e-30)
    assert loss == pytest.approx((np.abs(signs) * np.logaddexp(0, -y)).sum(), rel=2e-6)


@pytest.mark.parametrize(
    ("objective", "model"), [("ns", "skipgram"), ("hs", "skipgram"), ("ns", "cbow"), ("hs", "cbow")]
)
def test_private_rows_lose_nothing(objective, model, monkeypatch):
    """One thread that holds rows for itself ends where one that works on the shared rows ends."""
    rng = np.random.default_rng(10)
    config = TrainConfig(objective=objective, model=model, vector_size=21, sample=0, threads=1)
    ids = random_ids(rng, 40, 80, 20)
    start = {
        name: rng.normal(0, 0.3, array.shape)
        for name, array in CpuBackend(config, make_objective(config, zipf_counts(40))).parameters().items()
    }
    ends = []
    for held in (0, 12):
        backend = CpuBackend(config, make_objective(config, zipf_counts(40)))
        backend.load_parameters(start)
        first = backend.objective.first_hot_row(held)
        width = backend._input.shape[1]
        hot = (private_rows(0, held, 5, width), private_rows(first, held, 3, width))
        room = (*hot, backend._room()[2])
        monkeypatch.setattr(backend, "_room", lambda room=room: room)
        backend.train_epoch(ids, 0, lambda fraction: 0.02, lambda report: None)
        assert not any(rows.touches.any() for rows in hot)
        assert hot[0].private.any() == hot[1].private.any() == (held > 0)
        ends.append({name: array.copy() for name, array in backend.parameters().items()})
    for name, array in ends[0].items():
        assert np.abs(array - start[name]).max() > 0.01
        np.testing.assert_allclose(ends[1][name], array, atol=2e-5)


def test_threads_hold_the_most_used_rows():
    config = TrainConfig(objective="hs", vector_size=16, threads=2)
    backend = CpuBackend(config, make_objective(config, zipf_counts(1000)))
    inputs, outputs, _ = backend._room()
    assert (inputs.first, inputs.count) == (0, 256)
    assert (outputs.first, outputs.count) == (999 - 256, 256)  # the root is the last row
    assert inputs.limit > outputs.limit > 1
    alone = CpuBackend(TrainConfig(vector_size=16, threads=1), backend.objective)
    assert [hot.count for hot in alone._room()[:2]] == [0, 0]
    small = CpuBackend(config, make_objective(config, zipf_counts(5)))
    assert [hot.count for hot in small._room()[:2]] == [5, 4]


def test_positions_past_two_to_the_31(tmp_path):
    """A sparse corpus of 2^31 words: its last sentence is found, and draws do not wrap round."""
    size = 2**31 + 40
    path = tmp_path / "ids.bin"
    with open(path, "wb") as file:
        try:
            file.truncate(4 * size)
        except OSError as error:
            pytest.skip(f"no sparse files here: {error}")
        file.seek(4 * (size - 31))
        file.write(np.array([-1, *range(29), -1], np.int32).tobytes())
    ids = np.memmap(path, np.int32, "r")
    thresholds = np.full(30, 2**31, np.uint32)
    key = np.uint64(77)
    kept, positions = np.empty(64, np.int32), np.empty(64, np.int64)
    first, last, count, words = compact_chunk(ids, size - 30, size, 2, thresholds, key, kept, positions)
    assert (first, count, words) == (0, last, 29)
    expected = [size - 30 + word for word in range(29) if is_kept(word, size - 30 + word, thresholds, key)]
    assert positions[: last - 1].tolist() == expected
    assert 5 < len(expected) < 25
    wrapped = [word for word in range(29) if is_kept(word, size - 30 + word - 2**32, thresholds, key)]
    assert wrapped != kept[: last - 1].tolist()
    config = TrainConfig(vector_size=8, threads=1, sample=0)
    backend = CpuBackend(config, make_objective(config, zipf_counts(30)))
    backend.initialise()
    report = np.zeros(4)
    backend._chunk(ids, size - 30, size, 0, 0.05, report, backend._room())
    assert report[3] == report[2] == 29
    assert report[1] > 29


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings of malloc")
@pytest.mark.parametrize(
    "variant", [{}, {"objective": "hs"}, {"model": "cbow"}, {"negatives_per_pair": True}], ids=str
)
def test_scratch_outlives_its_use(variant):
    """Threads that share one arena, whose freed memory is overwritten at once: a freed address would crash or lie."""
    code = f"""
import numpy as np
from w2v.backends.cpu import CpuBackend
from w2v.config import TrainConfig
from w2v.objectives import make_objective
config = TrainConfig(vector_size=32, window=8, threads=4, sample=0, **{variant!r})
ids = np.random.default_rng(0).integers(0, 50, 60_000).astype(np.int32)
ids[::17] = -1
backend = CpuBackend(config, make_objective(config, np.full(50, 100)))
backend.initialise()
report = backend.train_epoch(ids, 0, lambda fraction: 0.02, lambda report: None)
assert np.isfinite(report.loss) and all(np.isfinite(a).all() for a in backend.parameters().values())
"""
    allocator = {"MALLOC_ARENA_MAX": "1", "MALLOC_PERTURB_": "165"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **allocator}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
