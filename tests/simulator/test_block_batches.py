"""Batches of block softmax as the GPU cuts them, and its whole training, with the stand-ins for device and CuPy."""

from collections.abc import Callable

import cupy_on_cpu
import numpy as np
import pytest
from batch_cases import assert_batches_equal, pairs_of
from block_cases import CASES, make_case, random_parameters
from corpora import random_ids
from numba import cuda
from w2v.kernels import pairs_cuda
from w2v.kernels.random import STREAM_SUBSAMPLE, epoch_key
from w2v.kernels.stream_cpu import is_kept, keep_thresholds

from w2v.backends import block_cuda, block_cuda_batches, cuda_stream
from w2v.backends.base import EpochReport, Pauses
from w2v.backends.block import BlockBackend, Piece, make_block_backend
from w2v.backends.block_cpu_batches import CpuBatches
from w2v.backends.block_cuda_batches import CudaBatches
from w2v.objectives.reference import cut_windows

EPOCH = 1


@pytest.fixture
def cupy():
    """The stand-in, whose arrays numba's kernels take."""
    kernels = pairs_cuda.count_contexts, pairs_cuda.emit_pairs, pairs_cuda.emit_bags
    with cupy_on_cpu.installed() as module, cupy_on_cpu.taken_by(*kernels):
        yield module


@pytest.fixture(autouse=True)
def few_threads(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The simulator's time is that of its threads: few of them, unless a test has a parameter ``threads``."""
    threads, grid = (
        request.node.callspec.params.get("threads", (2, 1)) if hasattr(request.node, "callspec") else (2, 1)
    )
    for module in (block_cuda_batches, cuda_stream):
        monkeypatch.setattr(module, "THREADS", threads)
        monkeypatch.setattr(module, "GRID", grid)


@pytest.fixture
def segments(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that limits the ids of a segment."""
    return lambda ids: monkeypatch.setattr(block_cuda_batches, "SEGMENT", ids)


def corpus(sentences: int, seed: int = 0) -> np.ndarray:
    return random_ids(np.random.default_rng(seed), 60, sentences, 9)


def pieces_of(cupy, config, objective, ids: np.ndarray, tokens: int) -> list[Piece]:
    """An epoch's, all at once: kept by nobody else."""
    with cupy.cuda.Stream():
        source = CudaBatches(config, objective, cuda.stream(), cupy, lambda: 1 << 30)
        source.upload(ids, tokens)
        return list(source.pieces(ids, EPOCH, tokens))


def assert_counts(found: list[Piece], known: list[Piece]) -> None:
    """That an epoch's pairs and words are the same in all."""
    for name in ("pairs", "kept_words", "words"):
        assert sum(getattr(piece, name) for piece in found) == sum(getattr(piece, name) for piece in known)
    assert found[-1].waits


# ---- Batches. ----


@pytest.mark.parametrize(
    ("case", "model", "threads"),
    [(case, model, (2, 1)) for case in CASES for model in ("skipgram", "cbow")]
    + [("adaptive", "skipgram", (8, 3)), ("adaptive", "cbow", (3, 2))],
)
def test_batches_of_one_segment_are_those_of_the_cpu(cupy, case, model, threads):
    config, objective = make_case(case, model=model, sample=0.05, seed=3)
    ids, tokens = corpus(16), 24
    found = pieces_of(cupy, config, objective, ids, tokens)
    known = list(CpuBatches(config, objective).pieces(ids, EPOCH, tokens))
    assert len(found) == len(known) > 2
    for one, other in zip(found, known, strict=True):
        with cupy.cuda.Stream():
            assert_batches_equal(one.batch, other.batch)
        assert (one.pairs, one.kept_words) == (other.pairs, other.kept_words)
    assert_counts(found, known)
    assert [piece.waits for piece in found] == [False] * (len(found) - 1) + [True]


@pytest.mark.parametrize(
    "ids",
    [
        [1, 2, -1, *[0] * 20, -1, 3, 1, -1],  # batches in the middle of which nothing is kept
        [1, 2, -1, *[0] * 20, -1],  # and at the end
        [0] * 9 + [-1],
        [1, -1, 2, -1, 3, -1],  # words are kept, but there are no pairs
        [-1],
        [1, 2, -1],
    ],
    ids=str,
)
@pytest.mark.parametrize("model", ["skipgram", "cbow"])
@pytest.mark.parametrize("segment", [6, 100])
def test_batches_of_which_nothing_is_kept(cupy, segments, monkeypatch, segment, model, ids):
    segments(segment)
    config, objective = make_case("adaptive", model=model)
    drop = np.where(np.arange(60) == 0, 0, 0xFFFFFFFF).astype(np.uint32)
    for module in ("cuda_stream", "block_cpu_batches"):
        monkeypatch.setattr(f"w2v.backends.{module}.keep_thresholds", lambda *arguments: drop)
    ids = np.array(ids, np.int32)
    found = pieces_of(cupy, config, objective, ids, 6)
    known = list(CpuBatches(config, objective).pieces(ids, EPOCH, 6))
    assert len(found) == len(known)
    assert_counts(found, known)
    with cupy.cuda.Stream():
        assert all(piece.batch.rows == 0 for piece in found if not piece.pairs)
        predicted = [pairs_of(objective, piece.batch) for piece in found]
    every = [pairs_of(objective, piece.batch) for piece in known]
    assert sorted(sum(predicted, [])) == sorted(sum(every, []))


def expected_batches(config, objective, ids: np.ndarray, tokens: int, segment: int) -> list[list]:
    """(input words, rank) batch by batch: the last windows of a segment go with the first batch of the next."""
    windows, _ = cut_windows(config, objective, ids, EPOCH)
    keep = keep_thresholds(objective.counts, config.sample)
    key = np.uint64(epoch_key(np.uint64(config.seed), EPOCH, STREAM_SUBSAMPLE))
    kept = [place for place, word in enumerate(ids.tolist()) if word >= 0 and is_kept(word, place, keep, key)]
    batches: list[list] = [[] for _ in range(-(-ids.size // tokens))]
    first = 0
    for begin in range(0, ids.size, segment):
        end = min(begin + segment, ids.size)
        limit = int(np.searchsorted(kept, end))
        last = limit if end == ids.size else max(first, limit - config.window)
        for number in range(first, last):
            window = windows[number]
            around = windows[number - window.left : number] + windows[number + 1 : number + 1 + window.right]
            bag, rank = [other.word for other in around], int(objective.ranks[window.word])
            own = batches[max(kept[number], begin) // tokens]
            own += [(tuple(bag), rank)] * bool(bag) if config.model == "cbow" else [((word,), rank) for word in bag]
        first = last
    return [sorted(batch) for batch in batches]


@pytest.mark.parametrize(("tokens", "segment"), [(8, 24), (20, 20), (20, 40), (2, 2)])
@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_batches_of_several_segments(cupy, segments, model, tokens, segment):
    segments(segment)
    config, objective = make_case("adaptive", model=model, sample=0.1, seed=5)
    ids = corpus(16 if segment > 2 else 2, seed=1)
    assert ids.size > 2 * segment
    found = pieces_of(cupy, config, objective, ids, tokens)
    expected = expected_batches(config, objective, ids, tokens, segment)
    with cupy.cuda.Stream():
        assert [pairs_of(objective, piece.batch) for piece in found] == expected
    assert [piece.pairs for piece in found] == [len(pairs) for pairs in expected]
    assert_counts(found, list(CpuBatches(config, objective).pieces(ids, EPOCH, tokens)))
    assert sum(piece.waits for piece in found) == -(-ids.size // segment)


def test_segments_are_whole_batches_and_fit_into_the_memory(cupy):
    config, objective = make_case("full")
    ids = np.zeros(100_000, np.int32)
    with cupy.cuda.Stream():
        for free, tokens, longest in (
            (1 << 40, 1000, 100_000),
            (12_000_000, 3000, 9000),
            (48_000_000, 30_000, 30_000),
        ):
            source = CudaBatches(config, objective, cuda.stream(), cupy, lambda free=free: free)
            source.upload(ids, tokens)
            assert source._source._segment == longest


# ---- Training. ----


class Simulated(cupy_on_cpu.Stream):
    """What stands for a stream of the simulator's, which has no address."""

    def __init__(self, stream: object) -> None:
        self.other = stream


def backends(monkeypatch, cupy, config, objective, capability=(7, 5)) -> tuple[BlockBackend, BlockBackend]:
    """On the stand-ins, and on the CPU; both with the same random parameters."""
    monkeypatch.setattr(block_cuda, "cupy_stream", Simulated)
    monkeypatch.setattr(block_cuda, "current_device", lambda: ("cuda (simulated)", capability))
    pair = make_block_backend(config, objective, "cuda"), make_block_backend(config, objective, "cpu")
    for backend in pair:
        backend.load_parameters(random_parameters(objective))
    return pair


def train(backend: BlockBackend, ids: np.ndarray, epochs: int = 2) -> tuple[list[EpochReport], int]:
    """Reports of the epochs, and how often progress was shown."""
    shown = []
    reports = [
        backend.train_epoch(ids, epoch, lambda done: 0.2 - 0.1 * done, shown.append) for epoch in range(epochs)
    ]
    return reports, len(shown)


FLOAT32, BFLOAT16 = (7, 5), (8, 0)


@pytest.mark.parametrize(
    ("options", "kernels", "capability"),
    [
        ({"case": "full"}, "raw", FLOAT32),
        ({"case": "class", "model": "cbow"}, "raw", FLOAT32),
        ({"case": "adaptive"}, "raw", FLOAT32),
        ({"case": "adaptive", "model": "cbow"}, "raw", BFLOAT16),
        ({"case": "tails alone"}, "raw", BFLOAT16),
        ({"case": "class"}, "numba", BFLOAT16),
        ({"case": "adaptive", "model": "cbow"}, "numba", FLOAT32),
    ],
    ids=str,
)
def test_training_is_that_of_the_cpu(cupy, monkeypatch, options, kernels, capability):
    config, objective = make_case(**options, kernels=kernels, batch_pairs=60, sample=0.05)
    ids = corpus(14, seed=7)
    found, known = backends(monkeypatch, cupy, config, objective, capability)
    reports, shown = train(found, ids)
    expected, often = train(known, ids)
    assert 2 == shown < often
    tolerance = 1e-2 if capability >= (8, 0) and kernels == "raw" else 1e-4
    for one, other in zip(reports, expected, strict=True):
        assert (one.pairs, one.kept_words, one.words) == (other.pairs, other.kept_words, other.words)
        assert one.loss == pytest.approx(other.loss, rel=tolerance)
        assert one.learning_rate == other.learning_rate
    start = random_parameters(objective)
    parameters = known.parameters()
    for name, values in found.parameters().items():
        moved = np.abs(parameters[name] - start[name]).max()
        assert values.shape == start[name].shape
        assert moved > 0
        # In bfloat16, Adagrad's first steps of a row go by the signs of tiny gradients.
        assert np.abs(values - parameters[name]).max() <= (0.2 if tolerance == 1e-2 else 1e-3) * moved, name
    held_out = corpus(5, seed=9)
    assert found.heldout_nll(held_out) == pytest.approx(known.heldout_nll(held_out), rel=tolerance)
    assert found.unsound_parameters() == []


@pytest.mark.parametrize("kernels", ["raw", "numba"])
@pytest.mark.parametrize("case", ["full", "class", "adaptive"])
def test_a_backend_compiles_and_begins_as_on_the_cpu(cupy, monkeypatch, case, kernels):
    config, objective = make_case(case, kernels=kernels, batch_pairs=80)
    found, known = backends(monkeypatch, cupy, config, objective)
    for backend in (found, known):
        backend.compile()
        backend.initialise()
    for name, values in known.parameters().items():
        np.testing.assert_array_equal(found.parameters()[name], values)
    assert found.device == "cuda (simulated)"
    ids = corpus(4)
    found.upload(ids)
    assert found._source._source.holds(ids)


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_looking_at_the_parameters_changes_nothing(cupy, monkeypatch, model):
    config, objective = make_case("adaptive", model=model, batch_pairs=20, sample=0.05)
    ids, held_out = corpus(14, seed=7), corpus(5, seed=9)
    plain, _ = backends(monkeypatch, cupy, config, objective)
    known = plain.train_epoch(ids, 0, lambda done: 0.2, lambda report: None)
    looked_at, _ = backends(monkeypatch, cupy, config, objective)
    seen = []

    def look(report: EpochReport) -> None:
        before = looked_at.parameters()["input_vectors"].copy()
        seen.append((report.loss, looked_at.heldout_nll(held_out), looked_at.unsound_parameters()))
        np.testing.assert_array_equal(looked_at.parameters()["input_vectors"], before)

    pauses = Pauses(lambda share: True, look)
    found = looked_at.train_epoch(ids, 0, lambda done: 0.2, lambda report: None, pauses)
    assert len(seen) > 2
    losses = [loss for loss, *_ in seen]
    assert losses == sorted(set(losses))
    assert losses[-1] < found.loss == pytest.approx(known.loss, rel=1e-6)
    assert seen[0][1] != seen[-1][1]
    for name, values in plain.parameters().items():
        np.testing.assert_array_equal(looked_at.parameters()[name], values)


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
@pytest.mark.parametrize("segment", [48, 1000])
def test_an_epoch_can_begin_at_any_of_its_batches(cupy, segments, segment, model):
    segments(segment)
    config, objective = make_case("adaptive", model=model, sample=0.05, seed=3)
    ids, tokens = corpus(16), 24
    with cupy.cuda.Stream():
        source = CudaBatches(config, objective, cuda.stream(), cupy, lambda: 1 << 30)
        source.upload(ids, tokens)
        whole = list(source.pieces(ids, EPOCH, tokens))
        assert len(whole) > 3
        for number in range(len(whole)):
            rest = list(source.pieces(ids, EPOCH, tokens, whole[number].begin))
            for found, known in zip(rest, whole[number:], strict=True):
                assert_batches_equal(found.batch, known.batch)
                for name in ("pairs", "kept_words", "words", "begin", "waits"):
                    assert getattr(found, name) == getattr(known, name)
