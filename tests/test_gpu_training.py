"""Training on a real GPU: against the float64 reference, twin against twin, with all its workers, and by the command.

``scripts/gpu_check`` runs these. What can be shown without a GPU is shown elsewhere, in numba's simulator and in the
emulator: here the same rule meets the real scheduler, memory and compiler.
"""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from w2v.kernels.random import STREAM_SUBSAMPLE, epoch_key
from w2v.kernels.stream_cpu import is_kept, keep_thresholds

from w2v import KeyedVectors
from w2v.backends import EpochReport
from w2v.backends.base import Pauses
from w2v.config import TrainConfig
from w2v.cores import available_cores
from w2v.errors import DeviceError, TrainingError
from w2v.objectives import make_objective
from w2v.objectives.device_reference import DeviceRuleTrainer
from w2v.objectives.reference import cut_windows
from w2v.training import TrainingRun

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("gpu"), pytest.mark.filterwarnings("ignore:Grid size")]

ROOT = Path(__file__).parent.parent
EPOCH = 2
# Of the largest change of a matrix. Emulated, with exact exponentials, the largest error is 5e-6; a row that is
# forgotten or met twice is off by about 1e-2.
TOLERANCE = 2e-4


def schedule(fraction: float) -> float:
    """A learning rate that falls steeply: who reads it at the wrong place is seen."""
    return 0.05 - 0.04 * fraction


def silent(report: EpochReport) -> None:
    """A progress callback that shows nothing."""


def corpus(words: int, vocabulary: int, longest: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """ids (N,) int32 with −1 after each sentence, ``words`` of them words; counts (V,) int64, at least 1.

    Zipf's law, and every second word mostly follows from the one before it: there is something to learn.
    """
    rng = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, vocabulary + 1)
    tokens = rng.choice(vocabulary, words, p=weights / weights.sum())
    follows = rng.random(words // 2) < 0.7
    tokens[1 : 2 * (words // 2) : 2][follows] = (tokens[0 : 2 * (words // 2) : 2][follows] * 7 + 1) % vocabulary
    counts = np.bincount(tokens, minlength=vocabulary)
    frequent_first = np.argsort(-counts, kind="stable")
    names = np.empty(vocabulary, np.int64)
    names[frequent_first] = np.arange(vocabulary)
    lengths = [1, longest]
    while sum(lengths) < words:
        lengths.append(int(rng.integers(1, longest + 1)))
    sentences = np.split(names[tokens], np.cumsum(lengths)[:-1])
    ids = np.concatenate([part for sentence in sentences if sentence.size for part in (sentence, [-1])])
    return ids.astype(np.int32), np.maximum(counts[frequent_first], 1).astype(np.int64)


def cuda_backend(config: TrainConfig, counts: np.ndarray):
    """A compiled CUDA backend with its first parameters."""
    from w2v.backends.cuda import CudaBackend

    backend = CudaBackend(config, make_objective(config, counts))
    backend.compile()
    backend.initialise()
    return backend


def cpu_backend(config: TrainConfig, counts: np.ndarray, threads: int = 1):
    """The same on the CPU."""
    from w2v.backends.cpu import CpuBackend

    backend = CpuBackend(replace(config, threads=threads), make_objective(config, counts))
    backend.compile()
    backend.initialise()
    return backend


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that limits the workers in flight."""
    from w2v.backends import cuda_steps

    unlimited = cuda_steps.most_workers

    def limit(count: int) -> None:
        monkeypatch.setattr(cuda_steps, "most_workers", lambda *arguments: min(count, unlimited(*arguments)))

    return limit


@pytest.fixture
def segments(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that limits the ids of a segment."""
    from w2v.backends import cuda_stream

    return lambda ids: monkeypatch.setattr(cuda_stream, "SEGMENT", ids)


# One worker in flight: nothing races, and the result is known.


@dataclass(frozen=True)
class Result:
    """What one epoch left, and by which groups of targets; ``general``: whether the fast kernels did not take it."""

    inputs: np.ndarray
    outputs: np.ndarray
    report: EpochReport
    group: int
    general: bool


@functools.cache
def small_corpus() -> tuple[np.ndarray, np.ndarray]:
    """Sentences longer than the widest window, few words: many stand twice in a ring."""
    return corpus(900, 60, longest=150)


@functools.cache
def starting_vectors(rows: int, size: int, seed: int) -> np.ndarray:
    """Rows so long that no term of a gradient is lost."""
    return np.random.default_rng(seed).normal(0, 0.3, (rows, size)).astype(np.float32)


@functools.cache
def trained(config: TrainConfig, kernels: str, segment: int) -> Result:
    """An epoch by one worker; the fixtures make it one, and a segment so long."""
    ids, counts = small_corpus()
    backend = cuda_backend(replace(config, kernels=kernels), counts)
    assert backend._steps.workers == 1
    backend.load_parameters({
        name: starting_vectors(len(rows), config.vector_size, number)
        for number, (name, rows) in enumerate(backend.parameters().items())
    })  # fmt: skip
    report = backend.train_epoch(ids, EPOCH, schedule, silent)
    instance = getattr(backend._steps, "instance", None)
    group = instance.group if instance else backend._steps.shape.group
    return Result(*backend.parameters().values(), report, group, bool(backend.notes))


@functools.cache
def expected(config: TrainConfig, group: int, segment: int) -> tuple[DeviceRuleTrainer, float, int, int, int]:
    """The reference after the same epoch, in segments of as many ids; loss, pairs, kept words and words."""
    from w2v.backends.cuda_steps import chunk_size

    ids, counts = small_corpus()
    objective = make_objective(config, counts)
    windows, words = cut_windows(config, objective, ids, EPOCH)
    thresholds = keep_thresholds(counts, config.sample)
    key = np.uint64(epoch_key(config.seed, EPOCH, STREAM_SUBSAMPLE))
    kept = [place for place, word in enumerate(ids) if word >= 0 and is_kept(word, place, thresholds, key)]
    assert len(kept) == len(windows) < words
    trainer = DeviceRuleTrainer(
        config, objective, starting_vectors(counts.size, config.vector_size, 0),
        starting_vectors(objective.output_rows, config.vector_size, 1), group=group, chunk=0,
    )  # fmt: skip
    loss, pairs, first = 0.0, 0, 0
    for begin in range(0, ids.size, segment):
        end = min(begin + segment, ids.size)
        limit = int(np.searchsorted(kept, end))
        last = limit if end == ids.size else max(first, limit - config.window)
        trainer.chunk = chunk_size(end - begin + 2 * config.window, 1)
        rates = schedule(begin / ids.size), schedule(end / ids.size)
        losses, gained = trainer.train_segment(windows[:limit], first, last, *rates)
        loss, pairs, first = loss + losses.sum(), pairs + gained, last
    return trainer, float(loss), pairs, len(windows), words


def assert_close(found: np.ndarray, exact: np.ndarray, start: np.ndarray) -> None:
    """That a matrix has moved as another has, from where both began."""
    change = np.abs(exact - start).max()
    error = np.abs(found - exact).max()
    assert change > 0.01
    assert error <= TOLERANCE * change, f"{error:.2g} off, of {change:.2g}"


def settings(**changes: object) -> TrainConfig:
    """D = 128, window 5, 5 negatives unless changed; sub-sampling drops about a third of the small corpus."""
    return TrainConfig(**{"vector_size": 128, "sample": 0.02, **changes})


def name_of(config: object) -> str:
    """What of a configuration differs between the cases."""
    if not isinstance(config, TrainConfig):
        return str(config)
    flags = [name for name in ("negatives_per_pair", "cbow_sum") if getattr(config, name)]
    flags += [] if config.shrink_windows else ["fixed"]
    numbers = f"D{config.vector_size}-w{config.window}-k{config.negative}"
    return "-".join([config.model, config.objective, numbers, *flags])


VARIANTS = [
    {},
    {"objective": "hs"},
    {"model": "cbow"},
    {"model": "cbow", "objective": "hs"},
    {"negatives_per_pair": True},
    {"shrink_windows": False},
    {"model": "cbow", "cbow_sum": True},
    {"model": "cbow", "objective": "hs", "cbow_sum": True},
]
# vector_size, window, negative; the last two are beyond what the fast kernels take, whatever the device.
SHAPES = [
    (1, 1, 1), (16, 2, 5), (17, 20, 5), (50, 32, 20), (100, 5, 5), (128, 5, 20), (200, 5, 1), (300, 20, 5),
    (768, 5, 20), (1024, 1, 1), (768, 32, 5), (1100, 5, 1),
]  # fmt: skip
CASES = [settings(**variant) for variant in VARIANTS] + [
    settings(vector_size=size, window=window, negative=negative, **variant)
    for size, window, negative in SHAPES
    for variant in VARIANTS[:4]
]
CASES += [
    settings(vector_size=50, window=20, negative=20, negatives_per_pair=True),
    settings(vector_size=300, window=5, negative=1, negatives_per_pair=True),
    settings(vector_size=100, negative=64),
    settings(vector_size=100, negative=64, model="cbow"),
]
WHOLE, CUT = 1 << 24, 170  # ids of a segment: all of the small corpus, and some of it


@pytest.mark.parametrize("kernels", ["raw", "numba"])
@pytest.mark.parametrize("config", CASES, ids=name_of)
def test_one_worker_follows_the_rule(workers, config, kernels):
    workers(1)
    assert_follows_the_rule(config, kernels, WHOLE)


@pytest.mark.parametrize("kernels", ["raw", "numba"])
@pytest.mark.parametrize("config", CASES[:4], ids=name_of)
def test_a_corpus_in_segments_follows_the_rule(workers, segments, config, kernels):
    workers(1)
    segments(CUT)
    assert_follows_the_rule(config, kernels, CUT)


@pytest.mark.parametrize("config", [CASES[1], CASES[3]], ids=name_of)
def test_hot_rows_of_one_worker_follow_the_rule(workers, monkeypatch, config):
    from w2v.kernels import window

    plan = window.plan
    monkeypatch.setattr(window, "plan", lambda *arguments, **shape: replace(plan(*arguments, **shape), hot=15))
    workers(1)
    assert_is_expected(config, trained.__wrapped__(config, "raw", WHOLE), WHOLE)


def assert_follows_the_rule(config: TrainConfig, kernels: str, segment: int) -> None:
    """That training leaves what the reference leaves."""
    assert_is_expected(config, trained(config, kernels, segment), segment)


def assert_is_expected(config: TrainConfig, found: Result, segment: int) -> None:
    """That parameters, loss and counts after an epoch are the reference's."""
    trainer, loss, *counts = expected(config, found.group, segment)
    assert [found.report.pairs, found.report.kept_words, found.report.words] == counts
    assert found.report.loss == pytest.approx(loss, rel=1e-4)
    for number, (matrix, exact) in enumerate(
        ((found.inputs, trainer.input_vectors), (found.outputs, trainer.output_vectors))
    ):
        assert_close(matrix, exact, starting_vectors(*matrix.shape, number))


@pytest.mark.parametrize("config", CASES, ids=name_of)
def test_the_kernels_agree(workers, config):
    workers(1)
    raw, twin = (trained(config, kernels, WHOLE) for kernels in ("raw", "numba"))
    if raw.group != twin.group:
        pytest.skip("their groups differ, and so do their results: each agrees with the reference")
    assert raw.report.loss == pytest.approx(twin.report.loss, rel=1e-4)
    for number, (one, other) in enumerate(((raw.inputs, twin.inputs), (raw.outputs, twin.outputs))):
        assert_close(one, other, starting_vectors(*one.shape, number))


def test_what_the_fast_kernels_do_not_take_is_trained_and_said(workers):
    workers(1)
    general = {name_of(config): trained(config, "raw", WHOLE).general for config in CASES}
    assert general["skipgram-ns-D1100-w5-k1"]
    assert general["skipgram-ns-D768-w32-k5"]
    assert not any(general[name_of(config)] for config in CASES if config.vector_size <= 128 and config.window <= 20)


# Any number of workers.


def test_parameters_begin_as_on_the_cpu_and_come_back():
    _, counts = small_corpus()
    config = settings(vector_size=17, objective="hs")
    backend = cuda_backend(config, counts)
    for name, rows in cpu_backend(config, counts).parameters().items():
        np.testing.assert_array_equal(backend.parameters()[name], rows)
    given = {name: starting_vectors(*rows.shape, 3) for name, rows in backend.parameters().items()}
    backend.load_parameters(given)
    for name, rows in backend.parameters().items():
        np.testing.assert_array_equal(rows, given[name])
    assert backend.unsound_parameters() == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e16])
def test_a_value_that_is_not_sound_is_found(value):
    _, counts = small_corpus()
    backend = cuda_backend(settings(vector_size=17), counts)
    parameters = backend.parameters()
    parameters["output_vectors"][-1, -1] = value
    backend.load_parameters(parameters)
    assert backend.unsound_parameters() == ["output_vectors"]


@functools.cache
def medium_corpus() -> tuple[np.ndarray, np.ndarray]:
    """Thirty thousand words of three hundred."""
    return corpus(30_000, 300)


@functools.cache
def cpu_report(config: TrainConfig) -> EpochReport:
    """An epoch of the medium corpus on the CPU."""
    ids, counts = medium_corpus()
    return cpu_backend(config, counts).train_epoch(ids, EPOCH, schedule, silent)


def counted(report: EpochReport) -> tuple[int, int, int]:
    """The sums that depend on the draws alone."""
    return report.pairs, report.kept_words, report.words


@pytest.mark.parametrize("kernels", ["raw", "numba"])
@pytest.mark.parametrize("count", [1, 7, 100, 1 << 20])
@pytest.mark.parametrize("config", [settings(vector_size=20, **variant) for variant in VARIANTS], ids=name_of)
def test_the_windows_are_those_of_the_cpu(workers, segments, config, count, kernels):
    workers(count)
    segments(WHOLE if count > 7 else 5_000)
    ids, counts = medium_corpus()
    backend = cuda_backend(replace(config, kernels=kernels), counts)
    assert counted(backend.train_epoch(ids, EPOCH, schedule, silent)) == counted(cpu_report(config))


# D, window, words of the corpus, words of the vocabulary: every two of their values meet (an orthogonal array).
GRID = [
    (16, 2, 100, 2), (16, 5, 5_000, 50), (16, 15, 200_000, 5_000),
    (128, 2, 5_000, 5_000), (128, 5, 200_000, 2), (128, 15, 100, 50),
    (300, 2, 200_000, 50), (300, 5, 100, 5_000), (300, 15, 5_000, 2),
]  # fmt: skip
EPOCHS = {100: 60, 5_000: 10, 200_000: 3}
# How far above the CPU's the last epoch's loss may be, as a share; and how far below, which damping may bring.
LOSS, BELOW = 0.05, 0.2
# Where the CPU's falls by more than this share, so must the GPU's.
FALLS = 0.03


def losses(config: TrainConfig, backend: object, ids: np.ndarray) -> list[float]:
    """Nats per pair, epoch by epoch; raises TrainingError where a parameter stops being finite."""
    tokens = int(np.count_nonzero(ids >= 0))
    return [report.mean_loss for report in TrainingRun(config, backend, None, tokens).train(ids)]


@pytest.mark.parametrize("alpha", [0.025, 0.1])
@pytest.mark.parametrize(("size", "window", "words", "vocabulary"), GRID)
@pytest.mark.parametrize("objective", ["ns", "hs"])
@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_all_workers_at_once_learn_what_the_cpu_learns(model, objective, size, window, words, vocabulary, alpha):
    config = TrainConfig(
        model=model, objective=objective, vector_size=size, window=window, alpha=alpha, sample=0.0,
        epochs=EPOCHS[words],
    ).resolved()  # fmt: skip
    ids, counts = corpus(words, vocabulary)
    threads = 1 if words < 100_000 else available_cores()
    try:
        known = losses(config, cpu_backend(config, counts, threads), ids)
    except TrainingError:
        pytest.skip("one window after the other diverges as well: thirty contexts move one of two words at once")
    backend = cuda_backend(config, counts)
    found = losses(config, backend, ids)
    assert all(np.isfinite(rows).all() for rows in backend.parameters().values())
    assert (1 - BELOW) * known[-1] < found[-1] < (1 + LOSS) * known[-1]
    if known[-1] < (1 - FALLS) * known[0]:
        assert found[-1] < found[0]


@pytest.mark.parametrize("alpha", [None, 0.1])
@pytest.mark.parametrize("objective", ["ns", "hs"])
@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_a_corpus_that_keeps_the_whole_device_busy_learns_what_the_cpu_learns(model, objective, alpha):
    """Several warps share hot rows, on all multiprocessors, as they do for any corpus of some size."""
    config = TrainConfig(
        model=model, objective=objective, vector_size=128, alpha=alpha, sample=0.0, epochs=2
    ).resolved()
    ids, counts = corpus(6_000_000, 20_000)
    backend = cuda_backend(config, counts)
    instance = backend._steps.instance
    assert instance.warps >= 4
    assert (instance.hot > 0) == (objective == "hs")
    assert backend._steps.workers > 2 * instance.warps
    found = losses(config, backend, ids)
    assert all(np.isfinite(rows).all() for rows in backend.parameters().values())
    known = losses(config, cpu_backend(config, counts, available_cores()), ids)
    assert (1 - BELOW) * known[-1] < found[-1] < (1 + LOSS) * known[-1]


def test_rows_past_two_to_the_31_floats():
    """Only the last words of a vocabulary of 9 GB a matrix are trained, and only they move."""
    from numba import cuda

    size, words, last = 1024, 2_200_000, 64
    if cuda.current_context().get_memory_info()[0] < 24 << 30:
        pytest.skip("needs 24 GB of GPU memory")
    config = TrainConfig(vector_size=size, negative=1, sample=0.0).resolved()
    counts = np.ones(words, np.int64)
    backend = cuda_backend(config, counts)
    before = backend._rows.inputs[words - 2 * last :].copy_to_host()
    ids = np.random.default_rng(0).integers(words - last, words, 5_000).astype(np.int32)
    ids[::25] = -1
    ids = ids[1:]
    ids[-1] = -1
    report = backend.train_epoch(ids, 0, lambda fraction: 0.05, silent)
    report = backend.train_epoch(ids, 1, lambda fraction: 0.05, silent)
    after = backend._rows.inputs[words - 2 * last :].copy_to_host()
    assert np.isfinite(report.loss)
    assert report.words == (ids >= 0).sum()
    np.testing.assert_array_equal(after[:last], before[:last])
    assert (np.abs(after[last:] - before[last:]).max(axis=1) > 0).all()


@pytest.mark.parametrize("objective", ["ns", "hs"])
@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_the_twin_with_all_its_workers_learns_the_same(model, objective):
    config = TrainConfig(
        model=model, objective=objective, vector_size=100, sample=0.0, epochs=3, kernels="numba"
    ).resolved()
    ids, counts = corpus(50_000, 500)
    found = losses(config, cuda_backend(config, counts), ids)
    known = losses(config, cpu_backend(config, counts), ids)
    assert found[-1] < found[0]
    assert found[-1] == pytest.approx(known[-1], rel=LOSS)


# A corpus that the device cannot hold.


@pytest.mark.parametrize(
    "config", [settings(vector_size=32, objective=objective) for objective in ("ns", "hs")], ids=name_of
)
def test_a_staged_corpus_trains_like_a_resident_one(config):
    ids, counts = corpus(200_000, 1000)
    resident, staged = cuda_backend(config, counts), cuda_backend(config, counts)
    staged._source.upload(ids, 600_000)
    assert type(staged._source._corpus).__name__ == "_Staged"
    seen: list[EpochReport] = []
    for epoch in range(2):  # the second begins with the buffers as the first left them
        one = resident.train_epoch(ids, epoch, schedule, silent)
        other = staged.train_epoch(ids, epoch, schedule, seen.append)
        assert type(resident._source._corpus).__name__ == "_Resident"
        assert type(staged._source._corpus).__name__ == "_Staged"
        assert counted(one) == counted(other)
        assert other.loss == pytest.approx(one.loss, rel=LOSS)
    assert len(seen) > 20
    assert counted(seen[-1]) == counted(other)


# What goes wrong.


def test_a_run_that_diverges_is_an_error(workers):
    ids, counts = corpus(20_000, 100)
    config = TrainConfig(vector_size=32, alpha=10.0, sample=0.0, epochs=5).resolved()
    with pytest.raises(TrainingError, match=r"stopped being finite in epoch \d: lower --alpha"):
        losses(config, cuda_backend(config, counts), ids)


def test_an_interrupted_epoch_leaves_usable_parameters(segments):
    segments(5_000)
    ids, counts = medium_corpus()
    config = settings(vector_size=20)
    backend = cuda_backend(config, counts)
    before = backend.parameters()
    reports: list[EpochReport] = []

    def interrupt(report: EpochReport) -> None:
        reports.append(report)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backend.train_epoch(ids, EPOCH, schedule, interrupt)
    assert 0 < reports[0].words < 30_000
    assert (backend.parameters()["output_vectors"] != before["output_vectors"]).any()
    assert backend.unsound_parameters() == []
    assert counted(backend.train_epoch(ids, EPOCH, schedule, silent)) == counted(cpu_report(config))
    assert backend.unsound_parameters() == []


def test_parameters_that_cannot_fit_are_refused_with_their_size():
    from numba import cuda

    from w2v.backends.cuda import CudaBackend

    size = 65536
    words = cuda.current_context().get_memory_info()[1] // (2 * 4 * size) + 1000
    config = TrainConfig(vector_size=size)
    with pytest.raises(DeviceError) as error:
        CudaBackend(config, make_objective(config, np.ones(words, np.int64)))
    found = re.match(r"training needs (\d+\.\d) GiB of GPU memory, and (\d+\.\d) GiB are free: ", str(error.value))
    assert float(found[1]) == pytest.approx(2 * 4 * size * words / 2**30, abs=1)
    assert float(found[2]) < float(found[1])
    assert str(error.value).endswith("lower --vector-size or --max-final-vocab, or use --device cpu")


def test_an_allocation_of_numbas_that_fails_is_reported():
    from numba import cuda

    from w2v.backends.cuda_memory import out_of_memory_reported

    with pytest.raises(DeviceError, match="lower --vector-size"), out_of_memory_reported(2**50, "--vector-size"):
        cuda.device_array(2**50, np.uint8)


# The command, as a process of its own.


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Twenty thousand words, as text."""
    ids, _ = corpus(20_000, 200)
    path = tmp_path / "text.txt"
    path.write_text("".join("\n" if number < 0 else f"word{number} " for number in ids), encoding="utf-8")
    return path


def environment() -> dict[str, str]:
    """In which the command is this checkout's."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def w2v(*arguments: object) -> subprocess.CompletedProcess:
    """Run the command from this checkout."""
    return subprocess.run(
        [sys.executable, "-m", "w2v", *map(str, arguments)],
        env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize("kernels", ["raw", "numba"])
def test_the_command_trains_and_its_folder_loads(text, tmp_path, kernels):
    out = tmp_path / "model"
    for device in ("cuda", "auto"):
        done = w2v(
            "train", text, "-o", out, "--device", device, "--kernels", kernels, "--vector-size", 50, "--min-count", 1
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        assert "Warning" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith(f"saved to {out}")
        assert '"trained_on": "cuda (' in (out / "config.json").read_text("utf-8")
    vectors = KeyedVectors.load(out)
    assert len(vectors) == 200
    assert vectors["word0"].shape == (50,)
    assert np.isfinite(vectors.vectors).all()


@pytest.mark.parametrize("objective", ["ns", "adaptive"])
def test_the_command_goes_on_where_a_signal_stopped_it(text, tmp_path, objective):
    out, metrics = tmp_path / "model", tmp_path / "metrics.jsonl"
    options = ("--device", "cuda", "--objective", objective, "--vector-size", 50, "--min-count", 1, "--epochs", 2000)
    arguments = ("train", text, "-o", out, *options, "--metrics-jsonl", metrics)
    process = subprocess.Popen(
        [sys.executable, "-m", "w2v", *map(str, arguments)],
        env=environment(),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while process.poll() is None and not (metrics.exists() and '"report"' in metrics.read_text("utf-8")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 143, said
    assert "interrupted: the checkpoint in" in said
    done = w2v(*arguments, "--resume")
    assert done.returncode == 0, done.stderr
    assert "resumed from" in done.stderr
    lines = [json.loads(line) for line in metrics.read_text("utf-8").splitlines()]
    assert lines[-1]["words"] == 2000 * sum(line["tokens"] for line in lines if line["event"] == "begin")
    assert np.isfinite(KeyedVectors.load(out).vectors).all()
    assert not (tmp_path / "model.checkpoint").exists()


def test_the_command_saves_nothing_that_diverged(text, tmp_path):
    out = tmp_path / "model"
    done = w2v("train", text, "-o", out, "--device", "cuda", "--alpha", 10, "--sample", 0, "--epochs", 5)
    assert done.returncode == 1
    assert "stopped being finite" in done.stderr.splitlines()[-1]
    assert not out.exists()


@pytest.mark.parametrize("objective", ["ns", "hs"])
def test_looking_at_the_parameters_changes_no_count(segments, objective):
    segments(5_000)
    ids, counts = medium_corpus()
    config = settings(vector_size=20, objective=objective)
    backend = cuda_backend(config, counts)
    looks: list[tuple[int, np.ndarray]] = []

    def look(report: EpochReport) -> None:
        first, second = (backend.parameters()["input_vectors"] for _ in range(2))
        np.testing.assert_array_equal(first, second)
        looks.append((report.words, first))

    done = backend.train_epoch(ids, EPOCH, schedule, silent, Pauses(lambda share: True, look))
    assert counted(done) == counted(cpu_report(config))
    words = [words for words, _ in looks]
    assert len(words) > 2
    assert words == sorted(set(words))
    assert words[-1] < done.words
    assert (looks[0][1] != looks[-1][1]).any()


@pytest.mark.parametrize("objective", ["ns", "hs"])
def test_an_epoch_that_is_taken_up_again_counts_all_of_it(segments, objective):
    segments(5_000)
    ids, counts = medium_corpus()
    config = settings(vector_size=20, objective=objective)
    backend = cuda_backend(config, counts)
    moments = []

    def look(report: EpochReport) -> None:
        moments.append((report, backend.parameters()))

    done = backend.train_epoch(ids, EPOCH, schedule, silent, Pauses(lambda share: True, look))
    for report, parameters in moments[:: max(1, len(moments) // 3)]:
        again = cuda_backend(config, counts)
        again.load_parameters(parameters)
        found = again.train_epoch(ids, EPOCH, schedule, silent, start=report)
        assert counted(found) == counted(done)
        assert found.loss == pytest.approx(done.loss, rel=LOSS)
