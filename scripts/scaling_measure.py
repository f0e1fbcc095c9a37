"""What scripts/simulate_scaling measures on this computer: runs of w2v, rounds, and Ray's object store."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmark import ROOT

SIZES = (1 << 16, 1 << 20, 1 << 22)  # floats of the arrays that are added up
REPEATS = 12
FEWEST_ROUNDS = 4


@dataclass(frozen=True)
class Run:
    """A run of ``w2v train``. rate: words/s of training; load: of this computer when it began."""

    replicas: int
    rate: float
    seconds: float
    words: int
    loss: float
    load: float


@dataclass(frozen=True)
class Rounds:
    """Rounds of one replica alone: seconds of training between them in the mean; the standard deviations, as shares,
    of these seconds, of processor time and of pairs; packing: bytes/s of rows, all changed, that are packed and
    unpacked; round_seconds: of a round without rows.
    """  # fmt: skip

    count: int
    seconds: float
    jitter: float
    jitter_of_processor: float
    jitter_of_pairs: float
    packing: float
    round_seconds: float


@dataclass(frozen=True)
class Store:
    """Sums through Ray's object store by ``members`` that do nothing else: seconds = latency + bytes / bandwidth."""

    members: int
    latency: float
    bandwidth: float


def train(text: Path, folder: Path, replicas: int | None, *options: str) -> Run:
    """Run ``w2v train`` on the CPU, one thread a replica; replicas: None for none of them, in this process's manner.

    Raises RuntimeError with its last line where it fails.
    """
    metrics = folder / f"metrics-{replicas}.jsonl"
    command = [
        sys.executable, "-m", "w2v", "train", str(text), "-o", str(folder / "vectors.bin"), "--device", "cpu",
        "--threads", str(replicas or 1), "--metrics-jsonl", str(metrics), *options,
    ]  # fmt: skip
    if replicas is not None:
        command += ["--replicas", str(replicas), "--ray-address", "local"]
    load = os.getloadavg()[0]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"w2v train failed: {(done.stderr.strip() or 'without a word').splitlines()[-1]}")
    events = [json.loads(line) for line in metrics.read_text().splitlines()]
    end = next(event for event in events if event["event"] == "end")
    loss = [event["loss"] for event in events if event["event"] == "epoch"][-1]
    return Run(replicas or 1, end["words_per_second"], end["seconds"], end["words"], loss, load)


class _Alone:
    """A meeting point without others."""

    def tell(self, rank: int, report: object) -> None:
        """Nobody listens."""

    def pause(self, rank: int, number: int, report: object) -> None:
        raise RuntimeError("nobody asked for a pause")


def measure_rounds(text: Path, sync_words: int, size: int) -> Rounds:
    """Train one epoch by a ``Replica`` in this process, with rounds, alone; raises W2VError as training does."""
    from w2v.backends.base import EpochReport
    from w2v.config import TrainConfig
    from w2v.corpus import encode_corpus
    from w2v.corpus.part import split_corpus
    from w2v.distributed.replica import EpochPlan, Replica
    from w2v.distributed.rounds import rounds_per_epoch

    corpus = encode_corpus([text])
    config = TrainConfig(vector_size=size, device="cpu", threads=1).resolved()
    communicator = _Timing()
    replica = Replica(0, config, corpus.vocabulary.counts, _Alone(), lambda members: communicator)
    replica.compile(1)
    replica.initialise()
    ids = corpus.ids
    rounds = rounds_per_epoch(int((ids >= 0).sum()), 1, sync_words)
    replica.upload(split_corpus(ids, 1)[0], -(-ids.size // rounds))
    if rounds < FEWEST_ROUNDS:
        raise RuntimeError(f"{rounds} rounds tell too little: give a longer text, or fewer --sync-words")
    begun = _now()
    replica.train_epoch(EpochPlan(0, rounds, 1, lambda share: config.alpha, (EpochReport(),)))
    return _summary(begun, communicator, *_averaging(replica.parameters()))


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


class _Timing:
    """A group of one, which keeps when every round began, its bytes and its note."""

    xp, overlaps = np, False

    def __init__(self) -> None:
        from w2v.backends.base import EpochReport
        from w2v.distributed.notes import write_note

        self._note_floats = write_note(1, 0, EpochReport(), False).size
        self.begun: list[tuple[float, float]] = []
        self.bytes: list[int] = []
        self._notes: list[np.ndarray] = []

    def begin_round(self, number: int, group: object) -> None:
        self.begun.append(_now())
        self.bytes.append(0)
        self._notes.append(np.empty(0, np.float32))

    def sum(self, values: np.ndarray) -> np.ndarray:
        self.bytes[-1] += values.nbytes
        # Of several sums of a round, the note is in the last one.
        self._notes[-1] = values[-self._note_floats :].copy()
        return values

    def abort(self) -> bool:
        return False

    def pairs(self) -> list[int]:
        """Of the epoch so far, when every round began."""
        from w2v.distributed.notes import read_reports

        return [report.pairs for note in self._notes for report in read_reports(note)]


def _averaging(parameters: dict[str, np.ndarray]) -> tuple[float, float]:
    """Bytes/s of rows that are packed and unpacked, all of them changed, and seconds of a round without rows."""
    from w2v.distributed.averaging import RowAverager

    averager = RowAverager(parameters)
    everything = {name: len(array) for name, array in parameters.items()}
    size = sum(4 * (array.size + len(array)) for array in parameters.values())
    full, empty = [], []
    for _ in range(REPEATS):
        for array in parameters.values():
            array += 1
        full.append(_round_seconds(averager, everything))
        empty.append(_round_seconds(averager, dict.fromkeys(parameters, 0)))
    return size / (min(full) - min(empty)), min(empty)


def _round_seconds(averager: object, rows: dict[str, int]) -> float:
    """Of a round in a group of one, with its note."""
    from w2v.backends.base import EpochReport
    from w2v.distributed.communicators import SingleCommunicator
    from w2v.distributed.notes import read_reports, write_note

    begun = time.perf_counter()
    read_reports(averager.average(rows, SingleCommunicator(), write_note(1, 0, EpochReport(), False)))
    return time.perf_counter() - begun


def _summary(begun: tuple[float, float], communicator: _Timing, packing: float, round_seconds: float) -> Rounds:
    """Training is what lies between the beginnings of two rounds, but for the averaging; begun: when training did."""
    # The last round is at the end of the epoch: its time is none of a whole interval.
    marks = np.array([(*times, pairs) for times, pairs in zip(communicator.begun, communicator.pairs(), strict=True)])
    wall, processor, pairs = np.diff(np.vstack([(*begun, 0), marks[:-1]]), axis=0).T
    averaging = np.array([0.0, *(round_seconds + size / packing for size in communicator.bytes[:-2])])
    wall, processor = wall - averaging, processor - averaging
    share = [float(part.std() / part.mean()) for part in (wall, processor, pairs)]
    return Rounds(len(marks), float(wall.mean()), *share, packing, round_seconds)


def measure_store(members: int = 2) -> Store:
    """Start a Ray of our own and add up arrays as replicas do; raises MissingExtraError without Ray."""
    from w2v.config import TrainConfig
    from w2v.distributed.cluster import running_cluster
    from w2v.objectives import CorpusShape

    # Actors are unpickled in processes of Ray's own.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "scripts"), os.environ.get("PYTHONPATH", "")])
    shape = CorpusShape(np.ones(SIZES[-1] // 100, np.int64), 1, 1)
    config = TrainConfig(replicas=members, threads=members, device="cpu").resolved()
    with running_cluster("local", config, shape) as cluster:
        sums = _sums(cluster.ray, members)
    sizes, seconds = 4.0 * np.array(list(sums)), np.array(list(sums.values()))
    # The smallest array tells the latency: a fitted line would let the largest one, and noise, decide.
    latency = float(seconds[0])
    bandwidth = float(((sizes[1:] - sizes[0]) / np.maximum(seconds[1:] - latency, 1e-9)).mean())
    return Store(members, latency, bandwidth)


class _Member:
    """Adds up arrays through the object store, as a replica does."""

    def __init__(self, rank: int, adder: object) -> None:
        import ray

        from w2v.distributed.communicators import ObjectStoreCommunicator

        self._communicator = ObjectStoreCommunicator(ray, rank, adder, overlaps=False)

    def seconds(self, first: int, floats: int, repeats: int) -> list[float]:
        values, found = np.ones(floats, np.float32), []
        for number in range(first, first + repeats):
            self._communicator.begin_round(number, None)
            begun = time.perf_counter()
            self._communicator.sum(values)
            found.append(time.perf_counter() - begun)
        return found


def _sums(ray: object, members: int) -> dict[int, float]:
    """Median seconds of a sum by number of floats, of the slowest member."""
    from w2v.distributed.coordinator import Adder

    small = {"num_cpus": 0, "max_concurrency": 1000}
    adder = ray.remote(**small)(Adder).remote(members, ray.put)
    actors = [ray.remote(num_cpus=1)(_Member).remote(rank, adder) for rank in range(members)]
    found, number = {}, 1
    for floats in (SIZES[0], *SIZES):  # the first is not counted
        answers = ray.get([actor.seconds.remote(number, floats, REPEATS) for actor in actors])
        found[floats] = max(statistics.median(times) for times in answers)
        number += REPEATS
    for actor in (*actors, adder):
        ray.kill(actor)
    return found


def measured_runs(text: Path, options: tuple[str, ...], repeats: int, replicas: tuple[int, ...]) -> list[Run]:
    """Runs in turn, the first of each kind not counted: it encodes and compiles."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train(text, folder, replicas[0], *options)
        for _ in range(repeats):
            found += [train(text, folder, count, *options) for count in replicas]
    return found
