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
MEMBERS = (1, 4, 16)  # that meet
REPEATS = 12


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
    of these seconds, of processor time and of pairs; bytes/s that averaging moves through memory.
    """  # fmt: skip

    count: int
    seconds: float
    jitter: float
    jitter_of_processor: float
    jitter_of_pairs: float
    memory_bandwidth: float


@dataclass(frozen=True)
class Store:
    """Sums through Ray's object store by ``members``: seconds = latency + bytes / bandwidth; meetings of n members:
    meeting + n · meeting_each.
    """  # fmt: skip

    members: int
    latency: float
    bandwidth: float
    meeting: float
    meeting_each: float


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
    """A meeting point without others, which keeps the times."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float, int]] = []

    def mark(self, pairs: int) -> None:
        self.marks.append((time.perf_counter(), time.process_time(), pairs))

    def arrive(self, rank: int, number: int, report: object, last: bool) -> object:
        from w2v.distributed.coordinator import Meeting

        self.mark(report.pairs)
        return Meeting(None, last, False)

    def pause(self, rank: int) -> None:
        raise RuntimeError("nobody asked for a pause")

    def tell(self, rank: int, report: object) -> None:
        """Nobody listens."""


def measure_rounds(text: Path, sync_words: int, size: int) -> Rounds:
    """Train one epoch by a ``Replica`` in this process, with rounds, alone; raises W2VError as training does."""
    from w2v.backends.base import EpochReport
    from w2v.config import TrainConfig
    from w2v.corpus import encode_corpus
    from w2v.corpus.part import split_corpus
    from w2v.distributed.communicators import SingleCommunicator
    from w2v.distributed.replica import EpochPlan, Replica
    from w2v.distributed.rounds import rounds_per_epoch

    corpus = encode_corpus([text])
    config = TrainConfig(vector_size=size, device="cpu", threads=1).resolved()
    point = _Alone()
    replica = Replica(0, config, corpus.vocabulary.counts, point, lambda members: _Counting(SingleCommunicator()))
    replica.compile(1)
    replica.initialise()
    ids = corpus.ids
    rounds = rounds_per_epoch(int((ids >= 0).sum()), 1, sync_words)
    replica.upload(split_corpus(ids, 1)[0], -(-ids.size // rounds))
    point.mark(0)
    replica.train_epoch(EpochPlan(0, rounds, 1, lambda share: config.alpha, EpochReport()))
    return _summary(replica, point, rounds)


class _Counting:
    """A communicator that notes the bytes of every round."""

    def __init__(self, inner: object) -> None:
        self.xp, self._inner = inner.xp, inner
        self.bytes: list[int] = []

    def begin_round(self, number: int, group: object) -> None:
        self.bytes.append(0)

    def sum(self, values: np.ndarray) -> np.ndarray:
        self.bytes[-1] += values.nbytes
        return self._inner.sum(values)

    def abort(self) -> None:
        """Nothing ever waits."""


def _summary(replica: object, point: _Alone, rounds: int) -> Rounds:
    """Of the times of arrival: training is what lies between two of them, but for the averaging.

    The averaging of a round is timed again on its own, over all rows, where nothing else runs between.
    """
    from scaling_model import PASSES

    communicator, averager = replica._communicator, replica._averager
    rows = {name: len(array) for name, array in averager.reference.items()}
    best = float("inf")
    for _ in range(3):
        communicator.begin_round(0, None)
        begun = time.perf_counter()
        averager.average(rows, communicator)
        best = min(best, time.perf_counter() - begun)
    bandwidth = PASSES * communicator.bytes[-1] / best
    # The last round is at the end of the epoch: its time is none of a whole interval.
    marks = np.array(point.marks[:rounds])
    averaging = np.array([0.0, *(PASSES * size / bandwidth for size in communicator.bytes[: len(marks) - 2])])
    wall, processor, pairs = np.diff(marks, axis=0).T
    wall, processor = wall - averaging, processor - averaging
    share = [float(part.std() / part.mean()) for part in (wall, processor, pairs)]
    return Rounds(rounds, float(wall.mean()), *share, bandwidth)


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
        meetings = {count: _meeting_seconds(cluster.ray, count) for count in MEMBERS}
    each, first = np.polyfit(list(meetings), list(meetings.values()), 1)
    sizes, seconds = 4.0 * np.array(list(sums)), np.array(list(sums.values()))
    # The smallest array tells the latency: a fitted line would let the largest one, and noise, decide.
    latency = float(seconds[0])
    bandwidth = float(((sizes[1:] - sizes[0]) / np.maximum(seconds[1:] - latency, 1e-9)).mean())
    return Store(members, latency, bandwidth, max(float(first), 0.0), max(float(each), 0.0))


class _Member:
    """Adds up arrays through the object store, as a replica does."""

    def __init__(self, rank: int, adders: list) -> None:
        import ray

        from w2v.distributed.communicators import ObjectStoreCommunicator

        self._communicator = ObjectStoreCommunicator(ray, rank, adders)

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
    adders = [ray.remote(**small)(Adder).remote(members, ray.put) for _ in range(max(1, members // 2))]
    actors = [ray.remote(num_cpus=1)(_Member).remote(rank, adders) for rank in range(members)]
    found, number = {}, 1
    for floats in (SIZES[0], *SIZES):  # the first is not counted
        answers = ray.get([actor.seconds.remote(number, floats, REPEATS) for actor in actors])
        found[floats] = max(statistics.median(times) for times in answers)
        number += REPEATS
    for actor in (*actors, *adders):
        ray.kill(actor)
    return found


def _meeting_seconds(ray: object, members: int) -> float:
    """Median seconds from the first arrival to the last answer."""
    from w2v.backends.base import EpochReport
    from w2v.distributed.coordinator import Coordinator

    coordinator = ray.remote(num_cpus=0, max_concurrency=1000)(Coordinator).remote(members)
    ray.get(coordinator.begin_epoch.remote([EpochReport()] * members, 1))
    found = []
    for number in range(1, 2 * REPEATS):
        begun = time.perf_counter()
        ray.get([coordinator.arrive.remote(rank, number, EpochReport(), False) for rank in range(members)])
        found.append(time.perf_counter() - begun)
    ray.kill(coordinator)
    return statistics.median(found)


def measured_runs(text: Path, options: tuple[str, ...], repeats: int, replicas: tuple[int, ...]) -> list[Run]:
    """Runs in turn, the first of each kind not counted: it encodes and compiles."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train(text, folder, replicas[0], *options)
        for _ in range(repeats):
            found += [train(text, folder, count, *options) for count in replicas]
    return found
