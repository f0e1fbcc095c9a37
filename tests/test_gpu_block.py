"""Block softmax on a real GPU: its operations, batches and training against float64 and against the CPU.

``tests/test_block_cuda.py`` shows the same without a GPU, with stand-ins for CuPy and cuBLAS: here are the real ones,
at sizes that fill a device.
"""

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from batch_cases import assert_batches_equal, pairs_of
from block_cases import CASES, WORDS, make_case, random_pairs, random_parameters, random_windows
from block_device_cases import KINDS, PLENTY, assert_step, step
from test_gpu_training import corpus, schedule, silent

from w2v.backends.base import EpochReport, Pauses
from w2v.backends.block import BlockBackend, Piece, make_block_backend
from w2v.backends.block_cpu_batches import CpuBatches
from w2v.config import TrainConfig
from w2v.errors import DeviceError
from w2v.objectives import BlockObjective, make_objective
from w2v.objectives.block_batch import collapse_pairs, collapse_windows, distinct_pairs
from w2v.objectives.heldout_pairs import target_counts, unigram_nll

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("gpu"), pytest.mark.filterwarnings("ignore:Grid size")]

# Float32 on a GPU, with its fast exponentials, against float64; of the largest movement of each array.
TOLERANCE = 2e-4
# Words of a vocabulary, words of a corpus.
LARGE, LONG, EPOCH = 3000, 60_000, 1


@pytest.fixture
def cupy():
    """CuPy."""
    return pytest.importorskip("cupy")


@pytest.fixture
def stream(cupy):
    """A stream that is not current."""
    return cupy.cuda.Stream()


@pytest.fixture
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Float32 operands, whatever the device."""
    from w2v.backends import block_cuda

    monkeypatch.setattr(block_cuda, "BFLOAT16_SINCE", (99, 0))


@pytest.fixture
def segments(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that limits the ids of a segment."""
    from w2v.backends import block_cuda_batches

    return lambda ids: monkeypatch.setattr(block_cuda_batches, "SEGMENT", ids)


# ---- Steps. ----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", ["skipgram", "cbow"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [1, 17, 40, 100])
def test_small_steps_are_those_of_the_reference(cupy, stream, size, case, model, kind):
    if size == 1 and kind == "bfloat16":
        pytest.skip("one dimension alone in bfloat16 errs by as much as it moves")
    config, objective = make_case(case, model=model, vector_size=size)
    draw = random_windows if model == "cbow" else random_pairs
    examples = draw(np.random.default_rng(0), WORDS, 120)
    found = step(cupy, stream, objective, examples, kind)
    assert_step(found, objective, examples, kind, tolerance=TOLERANCE)


LARGE_CASES = {
    "full": {},
    "class": {"classes": 55},
    "adaptive": {"cutoffs": (200, 1000)},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("free", [PLENTY, 8 << 20], ids=["a tile", "tiles"])
@pytest.mark.parametrize(("model", "size"), [("skipgram", 100), ("skipgram", 300), ("cbow", 128)])
@pytest.mark.parametrize("case", LARGE_CASES)
def test_large_steps_are_those_in_float64(cupy, stream, case, model, size, free, kind):
    config, objective = make_case(case, LARGE, model=model, vector_size=size, **LARGE_CASES[case])
    draw = random_windows if model == "cbow" else random_pairs
    examples = draw(np.random.default_rng(1), LARGE, 20_000 if model == "skipgram" else 4000)
    found = step(cupy, stream, objective, examples, kind, free)
    assert_step(found, objective, examples, kind, tolerance=TOLERANCE, by_pairs=False)


# ---- Batches. ----


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("pairs", [0, 1, 1000, 300_000])
def test_pairs_collapse_as_on_the_host(cupy, stream, case, pairs):
    _, objective = make_case(case)
    rng = np.random.default_rng(pairs)
    keys = rng.integers(0, 5 * WORDS**2, pairs)
    keys = keys[keys // WORDS**2 != 2]  # a batch without pairs
    known = collapse_pairs(np, objective.layout, *distinct_pairs(np, keys), 5)
    with stream:
        found = collapse_pairs(cupy, objective.layout, *distinct_pairs(cupy, cupy.asarray(keys)), 5)
        for one, other in zip(found, known, strict=True):
            assert_batches_equal(one, other)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("windows", [0, 1, 50_000])
def test_windows_collapse_as_on_the_host(cupy, stream, case, windows):
    _, objective = make_case(case)
    rng = np.random.default_rng(windows)
    begins = np.concatenate([[0], np.cumsum(rng.integers(1, 10, windows))]).astype(np.int64)
    words, ranks = (rng.integers(0, WORDS, size).astype(np.int32) for size in (begins[-1], windows))
    known = collapse_windows(np, objective.layout, begins, words, ranks)
    with stream:
        found = collapse_windows(cupy, objective.layout, *map(cupy.asarray, (begins, words, ranks)))
        assert_batches_equal(found, known)


@functools.cache
def long_corpus() -> tuple[np.ndarray, np.ndarray]:
    """ids and counts."""
    return corpus(LONG, LARGE)


def resolved(options: dict[str, object], counts: np.ndarray) -> tuple[TrainConfig, BlockObjective]:
    """A configuration and its objective. Adaptive softmax has cut-offs at a tenth and a third of the words."""
    if options["objective"] == "adaptive":
        options = {"cutoffs": (max(1, counts.size // 10), max(2, counts.size // 3)), **options}
    defaults = {"vector_size": 64, "sample": 1e-2, "device": "cuda", "batch_pairs": 4096}
    config = TrainConfig(**{**defaults, **options}).resolved()
    return config, make_objective(config, counts)


def device_pieces(config: TrainConfig, objective: BlockObjective, ids: np.ndarray, tokens: int, free: int):
    """The pieces of an epoch, each while it holds, and the corpus as it lies on the device."""
    import cupy
    from numba import cuda

    from w2v.backends.block_cuda_batches import CudaBatches
    from w2v.backends.cuda_current import cupy_stream

    stream = cuda.stream()
    with cupy_stream(stream):
        source = CudaBatches(config, objective, stream, cupy, lambda: free)
        source.upload(ids, tokens)
        for piece in source.pieces(ids, EPOCH, tokens):
            yield piece, source._source._corpus


def counted(pieces: list[Piece]) -> list[int]:
    """Pairs, kept words and words of an epoch."""
    return [sum(getattr(piece, name) for piece in pieces) for name in ("pairs", "kept_words", "words")]


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
@pytest.mark.parametrize("objective", ["full", "class", "adaptive"])
def test_batches_are_those_of_the_cpu(model, objective):
    ids, counts = long_corpus()
    config, objective = resolved({"objective": objective, "model": model}, counts)
    known = list(CpuBatches(config, objective).pieces(ids, EPOCH, 1500))
    found = []
    for number, (piece, _) in enumerate(device_pieces(config, objective, ids, 1500, 1 << 30)):
        assert_batches_equal(piece.batch, known[number].batch)
        found.append(piece)
    assert len(found) == len(known) > 20
    assert [piece.pairs for piece in found] == [piece.pairs for piece in known]
    assert [piece.kept_words for piece in found] == [piece.kept_words for piece in known]
    assert counted(found) == counted(known)


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
@pytest.mark.parametrize("free", [1 << 30, 500_000], ids=["resident", "staged"])
def test_segments_have_all_pairs(segments, model, free):
    """In batches of several segments, on the device or passing through it, are the pairs of the CPU."""
    segments(6000)
    ids, counts = long_corpus()
    config, objective = resolved({"objective": "adaptive", "model": model}, counts)
    known = list(CpuBatches(config, objective).pieces(ids, EPOCH, 1500))
    found, predicted = [], []
    for piece, place in device_pieces(config, objective, ids, 1500, free):
        assert type(place).__name__ == ("_Resident" if free == 1 << 30 else "_Staged")
        found.append(piece)
        predicted.append(pairs_of(objective, piece.batch))
    assert [len(pairs) for pairs in predicted] == [piece.pairs for piece in found]
    assert sum(piece.waits for piece in found) > 5
    assert counted(found) == counted(known)
    every = [pairs_of(objective, piece.batch) for piece in known]
    assert sorted(sum(predicted, [])) == sorted(sum(every, []))


# ---- Training. ----


OBJECTIVES = [(objective, model) for objective in ("full", "class", "adaptive") for model in ("skipgram", "cbow")]


def trained(config: TrainConfig, objective: BlockObjective, ids: np.ndarray, device: str, epochs: int = 1):
    """A backend after some epochs from ``random_parameters``, and its last report."""
    backend = make_block_backend(replace(config, device=device), objective, device)
    backend.compile()
    backend.load_parameters(random_parameters(objective))
    report = EpochReport()
    for epoch in range(epochs):
        report = backend.train_epoch(ids, epoch, schedule, silent)
    return backend, report


def assert_trained_alike(
    found: tuple[BlockBackend, EpochReport], known: tuple[BlockBackend, EpochReport], tolerance: float
) -> None:
    """Counts, loss and parameters; Adagrad makes much of what is small, so that errors grow from step to step."""
    one, other = found[1], known[1]
    assert (one.pairs, one.kept_words, one.words) == (other.pairs, other.kept_words, other.words)
    assert one.loss == pytest.approx(other.loss, rel=tolerance)
    start, parameters = random_parameters(known[0].objective), known[0].parameters()
    for name, values in found[0].parameters().items():
        moved = np.abs(parameters[name] - start[name])
        assert moved.max() > 1e-3
        assert np.abs(values - parameters[name]).mean() <= 10 * tolerance * moved.mean(), name


@pytest.mark.parametrize("kernels", ["raw", "numba"])
@pytest.mark.parametrize(("objective", "model"), OBJECTIVES)
def test_training_is_that_of_the_cpu(full_precision, objective, model, kernels):
    ids, counts = long_corpus()
    config, objective = resolved({"objective": objective, "model": model, "kernels": kernels}, counts)
    known = trained(config, objective, ids, "cpu")
    found = trained(config, objective, ids, "cuda")
    assert_trained_alike(found, known, 1e-3)
    held_out = ids[:5000][: np.flatnonzero(ids[:5000] < 0)[-1] + 1]
    assert found[0].heldout_nll(held_out) == pytest.approx(known[0].heldout_nll(held_out), rel=1e-3)


@pytest.mark.parametrize(("objective", "model"), OBJECTIVES)
def test_raw_kernels_and_arrays_agree(full_precision, objective, model):
    ids, counts = long_corpus()
    config, objective = resolved({"objective": objective, "model": model}, counts)
    raw = trained(config, objective, ids, "cuda", epochs=2)
    arrays = trained(replace(config, kernels="numba"), objective, ids, "cuda", epochs=2)
    assert_trained_alike(raw, arrays, 1e-3)


@pytest.mark.parametrize(("objective", "model"), OBJECTIVES)
def test_operands_of_the_device_lose_little(objective, model):
    ids, counts = long_corpus()
    config, objective = resolved({"objective": objective, "model": model}, counts)
    _, report = trained(config, objective, ids, "cuda", epochs=2)
    _, known = trained(config, objective, ids, "cpu", epochs=2)
    assert report.loss == pytest.approx(known.loss, rel=0.01)


@pytest.mark.parametrize("output_bias", ["unigram", "none"])
@pytest.mark.parametrize(("objective", "model"), OBJECTIVES)
def test_training_learns_more_than_the_shares_of_the_words(objective, model, output_bias):
    """Held-out sentences, from fresh parameters. On the CPU: 0.7 nats below the unigram, with cbow 1.4."""
    ids, counts = corpus(LONG, 300)
    options = {
        "objective": objective, "model": model, "output_bias": output_bias, "sample": 0.0, "batch_pairs": 1024,
        "window": 1,
    }  # fmt: skip
    config, objective = resolved(options, counts)
    cut = np.flatnonzero(ids < 0)[-LONG // 300] + 1
    text, held_out = ids[:cut].copy(), ids[cut:].copy()
    backend = make_block_backend(config, objective, "cuda")
    backend.compile()
    backend.initialise()
    before = backend.heldout_nll(held_out)
    reports = [backend.train_epoch(text, epoch, lambda done: 0.1, silent) for epoch in range(4)]
    losses = [report.loss / report.pairs for report in reports]
    assert losses == sorted(losses, reverse=True)
    after = backend.heldout_nll(held_out)
    unigram = unigram_nll(target_counts(held_out, config, counts.size), counts)
    assert after < min(before, unigram) - 0.5
    assert backend.unsound_parameters() == []


@pytest.mark.parametrize("kernels", ["raw", "numba"])
@pytest.mark.parametrize("objective", ["full", "class", "adaptive"])
def test_fresh_parameters_are_those_of_the_cpu_and_come_back(objective, kernels):
    _, counts = long_corpus()
    config, objective = resolved({"objective": objective, "kernels": kernels, "vector_size": 17}, counts)
    backends = [make_block_backend(config, objective, device) for device in ("cuda", "cpu")]
    for backend in backends:
        backend.initialise()
    found, known = (backend.parameters() for backend in backends)
    assert found.keys() == known.keys()
    for name, values in known.items():
        np.testing.assert_array_equal(found[name], values)
    given = random_parameters(objective)
    backends[0].load_parameters(given)
    for name, values in backends[0].parameters().items():
        np.testing.assert_array_equal(values, given[name])
    for value in (np.nan, np.inf, -1e16):
        given["input_vectors"][-1, -1] = value
        backends[0].load_parameters(given)
        assert backends[0].unsound_parameters() == ["input_vectors"]


def test_an_interrupted_epoch_leaves_usable_parameters(segments):
    segments(6000)
    ids, counts = long_corpus()
    config, objective = resolved({"objective": "adaptive"}, counts)
    backend = make_block_backend(config, objective, "cuda")
    backend.initialise()
    seen: list[EpochReport] = []

    def interrupt(report: EpochReport) -> None:
        seen.append(report)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backend.train_epoch(ids, 0, schedule, interrupt)
    assert 0 < seen[0].words < LONG
    assert np.isfinite(seen[0].loss)
    assert backend.unsound_parameters() == []
    report = backend.train_epoch(ids, 1, schedule, silent)
    assert report.words == (ids >= 0).sum()
    assert backend.unsound_parameters() == []


def test_parameters_that_cannot_fit_are_refused_with_their_size():
    config = TrainConfig(objective="full", vector_size=65536, device="cuda")
    with pytest.raises(DeviceError, match=r"training needs \d+\.\d GiB of GPU memory, and \d+\.\d GiB are free"):
        make_block_backend(config, make_objective(config, np.ones(1_000_000, np.int64)), "cuda")


def test_looking_at_the_parameters_changes_no_count(segments):
    segments(6000)
    ids, counts = long_corpus()
    config, objective = resolved({"objective": "adaptive"}, counts)
    backend = make_block_backend(config, objective, "cuda")
    backend.initialise()
    losses: list[float] = []

    def look(report: EpochReport) -> None:
        first, second = (backend.parameters()["input_vectors"] for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert np.isfinite(backend.heldout_nll(ids[:500]))
        losses.append(report.loss)

    done = backend.train_epoch(ids, 0, schedule, silent, Pauses(lambda share: True, look))
    assert done.words == (ids >= 0).sum()
    assert len(losses) > 2
    assert losses == sorted(set(losses))
    assert losses[-1] < done.loss


def test_an_epoch_that_is_taken_up_again_counts_all_of_it(segments):
    segments(6000)
    ids, counts = long_corpus()
    config, objective = resolved({"objective": "adaptive"}, counts)

    def fresh() -> BlockBackend:
        made = make_block_backend(config, objective, "cuda")
        made.initialise()
        return made

    backend = fresh()
    moments: list[tuple[EpochReport, dict[str, np.ndarray]]] = []

    def look(report: EpochReport) -> None:
        moments.append((report, backend.parameters()))

    done = backend.train_epoch(ids, 0, schedule, silent, Pauses(lambda share: True, look))
    for report, parameters in moments[:: max(1, len(moments) // 3)]:
        again = fresh()
        again.load_parameters(parameters)
        found = again.train_epoch(ids, 0, schedule, silent, start=report)
        assert (found.pairs, found.kept_words, found.words) == (done.pairs, done.kept_words, done.words)
        assert found.loss == pytest.approx(done.loss, rel=1e-3)
