"""Predicted words/s of n workers: what scripts/simulate_scaling computes, without files and without measuring."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace

import numpy as np
from scaling_links import Fabric, allreduce_seconds

SCHEMES = ("rows", "columns", "softmax-rows")
#: Words/s of one H200 at D = 128 and V = 79,666, by objective. ns and hs: prototypes of the row-wise step. full and
#: adaptive: 85 million words in 42 and 27 s, PyTorch, not tuned. class was not measured: adaptive's figure stands in.
H200 = {"ns": 504e6, "hs": 119e6, "full": 85e6 / 42, "adaptive": 85e6 / 27, "class": 85e6 / 27}
MEASURED_ROWS, MEASURED_SIZE = 79_666, 128
# Bytes that packing and unpacking move through memory per byte of the rows (kernels/averaging.cu): two matrices read
# and one written, one read and two written; what a kernel reads again of a row it finds in a cache.
PASSES = 6.0
#: Kernels and copies: of a piece, which is a block's rows of one matrix; of a block, with its sum and the notes.
PIECE_LAUNCHES, BLOCK_LAUNCHES = 2, 4
# Floats between two rows on a GPU (PITCH_MULTIPLE of kernels/window.py and kernels/softmax.py).
PITCH_MULTIPLE = 8
# Share of a row-wise step that fewer columns do not shorten: of the 950 instructions of a window at D = 128
# (kernels/NOTES.md) about 500 are no multiply-adds; at D = 300 they are a quarter.
UNDIVIDED = 0.25
# Seconds per batch of block softmax that every worker spends alike: pairs sorted and collapsed, inputs gathered and
# changed. An assumption.
SAME_BATCH = 1e-3


@dataclass(frozen=True)
class Worker:
    """One worker. words_per_second: alone; packing: bytes/s of rows packed before a sum and unpacked after it;
    round_seconds: what every round takes but for its rows and members: a segment of the text ends and another begins,
    and Python holds the round and writes and reads its note; jitter: standard deviation of the time of a round of
    100,000 words, as a share of it, which falls with the square root of the round's length to jitter_floor at least;
    launch: seconds of a kernel's launch.
    """  # fmt: skip

    words_per_second: float
    packing: float = 0.8 * 4.8e12 / PASSES  # NVIDIA H200 data sheet: 4.8 TB/s; 0.8 of it is an assumption
    # An assumption: of it Python's share was measured, 9 to 12 µs on a CPU's core for 2 to 512 members; a segment's
    # share was not, on a GPU.
    round_seconds: float = 3e-4
    jitter: float = 0.042  # of the pairs in rounds of 100,000 words, measured (scaling_measure.measure_rounds)
    jitter_floor: float = 0.02
    launch: float = 5e-6

    def jitter_of(self, words: float) -> float:
        """Of rounds of so many words."""
        return max(self.jitter_floor, self.jitter * math.sqrt(1e5 / words))


@dataclass(frozen=True)
class Job:
    """What is trained: an epoch of ``words`` words; sync_words: of a worker between two rounds, None for the default;
    matrices: (rows, floats of a row) of every array.
    """  # fmt: skip

    objective: str
    rows: int
    size: int
    words: float
    sync_words: float | None
    matrices: tuple[tuple[int, int], ...]
    dots: float = math.nan
    batch_words: float = 1e6
    batch_inputs: float = math.nan

    def interval(self, workers: int, fabric: Fabric) -> float:
        """Words of a worker between two rounds; by default those of CPUs where actors add, else of GPUs."""
        from w2v.distributed.rounds import default_sync_words

        return self.sync_words or default_sync_words(workers, "cpu" if fabric.adders else "cuda")

    def rounds(self, workers: int, fabric: Fabric) -> int:
        """Of an epoch."""
        from w2v.distributed.rounds import rounds_per_epoch

        return rounds_per_epoch(self.words, workers, self.interval(workers, fabric))


@dataclass(frozen=True)
class Prediction:
    """An epoch. Seconds of training, communication (all of a round but waiting) and waiting for the slowest."""

    workers: int
    fabric: str
    words_per_second: float
    efficiency: float
    training: float
    communication: float
    waiting: float
    rounds: int
    bytes_per_round: float

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def speed(objective: str, rows: int, size: int) -> float:
    """Words/s of one H200, scaled from those measured.

    ns, hs: bytes and instructions grow with D, and below D = 128 latency stays: × min(1, 128 / D); V does not enter.
    full: operations, × (79,666 / V) (128 / D). adaptive, class: cut-offs and classes follow V,
    × √(79,666 / V) (128 / D).
    """
    power = {"ns": 0.0, "hs": 0.0, "full": 1.0}.get(objective, 0.5)
    return H200[objective] * (MEASURED_ROWS / rows) ** power * min(1.0, MEASURED_SIZE / size)


def matrices(objective: str, counts: np.ndarray, size: int, pitch: int = PITCH_MULTIPLE) -> tuple:
    """(rows, floats) of every array that is averaged, padded to a multiple of ``pitch``.

    Tails of adaptive softmax are those of the cut-offs V/10 and 3V/8, as 8,000 and 30,000 are of 79,666.
    """
    from w2v.config import TrainConfig
    from w2v.objectives import make_objective

    if objective in ("ns", "hs"):  # without their tables
        shapes = [(counts.size, size), (counts.size - (objective == "hs"), size)]
    else:
        cutoffs = {"cutoffs": (counts.size // 10, 3 * counts.size // 8)} if objective == "adaptive" else {}
        config = TrainConfig(objective=objective, vector_size=size, **cutoffs)
        shapes = list(make_objective(config, counts).parameter_shapes.values())
    return tuple((shape[0], -(-shape[1] // pitch) * pitch if len(shape) > 1 else 1) for shape in shapes)


def levels(rounds: int) -> list[tuple[int, int]]:
    """(a number of a round, how many rounds but the last cover as many rows as that one), and (rounds, 1)."""
    before = rounds - 1
    found = [(1 << j, (before >> j) - (before >> j + 1)) for j in range(before.bit_length())]
    return [*found, (rounds, 1)]


def mean_of_rounds(rounds: int, cost: Callable[[int], float]) -> float:
    """Of cost(number of the round) over an epoch."""
    return sum(times * cost(number) for number, times in levels(rounds)) / rounds


def rows_in_round(job: Job, number: int, rounds: int) -> list[tuple[int, int]]:
    """(rows, floats) that a round covers of every array."""
    from w2v.distributed.rounds import rows_of_round

    return [(rows_of_round(number, rounds, rows), floats) for rows, floats in job.matrices]


def round_bytes(job: Job, number: int, rounds: int, members: int) -> int:
    """Bytes that a member contributes to a round: values, for every row whether it changed, and notes, float32."""
    from w2v.backends.base import EpochReport
    from w2v.distributed.notes import write_note

    notes = write_note(members, 0, EpochReport(), False).nbytes
    return sum(4 * rows * (floats + 1) for rows, floats in rows_in_round(job, number, rounds)) + notes


def round_blocks(job: Job, number: int, rounds: int) -> int:
    """Sums of a round: the rows of all matrices share blocks of BLOCK_BYTES."""
    from w2v.distributed.averaging import BLOCK_BYTES

    values = sum(4 * rows * floats for rows, floats in rows_in_round(job, number, rounds))
    return max(1, math.ceil(values / BLOCK_BYTES))


def averaging_seconds(
    job: Job, number: int, rounds: int, members: int, worker: Worker, reduce: Callable[[float], float]
) -> float:
    """A round's packing, sums and unpacking, block by block. reduce: seconds for the bytes of a sum."""
    size, blocks = round_bytes(job, number, rounds, members), round_blocks(job, number, rounds)
    # Where a matrix ends inside of a block, that block has one piece more.
    launches = PIECE_LAUNCHES * (blocks + len(job.matrices) - 1) + BLOCK_LAUNCHES * blocks
    return size / worker.packing + launches * worker.launch + blocks * reduce(size / blocks)


def slowest(workers: int) -> float:
    """Expected maximum of n standard normal numbers: ∫ 1 − Φⁿ − ∫ Φⁿ (n = 2: 1/√π; n = 3: 1.5/√π)."""
    if workers <= 1:
        return 0.0
    x = np.linspace(0.0, 10.0, 20_001)
    above = 0.5 * np.vectorize(math.erfc)(x / math.sqrt(2.0))  # 1 − Φ(x) = Φ(−x)
    return float(np.trapezoid(-np.expm1(workers * np.log1p(-above)) - above**workers, x))


def predict(job: Job, worker: Worker, workers: int, fabric: Fabric, scheme: str = "rows") -> Prediction:
    """An epoch of ``workers`` workers; efficiency is to that of one alone, which meets nobody."""
    return {"rows": _rows, "columns": _columns, "softmax-rows": _softmax_rows}[scheme](job, worker, workers, fabric)


def _rows(job: Job, worker: Worker, workers: int, fabric: Fabric) -> Prediction:
    """Replicas, as w2v.distributed has them: nothing is exchanged while they train."""
    rounds = job.rounds(workers, fabric)
    training = job.words / workers / worker.words_per_second
    if workers == 1:
        return _finished(job, worker, 1, fabric, (training, 0.0, 0.0), rounds, 0.0)
    averaging = mean_of_rounds(
        rounds,
        lambda number: averaging_seconds(
            job, number, rounds, workers, worker, lambda size: allreduce_seconds(workers, size, fabric)
        ),
    )
    waiting = training * worker.jitter_of(job.words / workers / rounds) * slowest(workers)
    sent = mean_of_rounds(rounds, lambda number: round_bytes(job, number, rounds, workers))
    return _finished(
        job, worker, workers, fabric, (training, rounds * (averaging + worker.round_seconds), waiting), rounds, sent
    )


def _columns(job: Job, worker: Worker, workers: int, fabric: Fabric) -> Prediction:
    """Every worker holds D / n columns of all rows and sees the whole text (Ordentlich et al. 2016): the dot products
    of a batch are summed over the workers, 4 bytes each; nothing is averaged.
    """  # fmt: skip
    undivided = UNDIVIDED * job.words / worker.words_per_second
    return _sharded(job, worker, workers, fabric, 4 * job.dots * job.batch_words, undivided)


def _softmax_rows(job: Job, worker: Worker, workers: int, fabric: Fabric) -> Prediction:
    """Every worker holds V / n output rows and all input rows, and sees the same batches: for every distinct input of
    a batch, its maximum, its sum of exponentials and its gradient (D) are combined. The result is that of one worker.
    """  # fmt: skip
    undivided = min(SAME_BATCH * job.words / job.batch_words, job.words / worker.words_per_second)
    return _sharded(job, worker, workers, fabric, 4 * job.batch_inputs * (job.size + 2), undivided)


def _sharded(job: Job, worker: Worker, workers: int, fabric: Fabric, size: float, undivided: float) -> Prediction:
    """An all-reduce of ``size`` bytes a batch; undivided: seconds of an epoch that all workers spend alike."""
    batches = max(1, math.ceil(job.words / job.batch_words))
    alone = job.words / worker.words_per_second
    if workers == 1:
        return _finished(job, worker, 1, fabric, (alone, 0.0, 0.0), batches, 0.0)
    training = undivided + (alone - undivided) / workers
    each = allreduce_seconds(workers, size, fabric) + (PIECE_LAUNCHES + BLOCK_LAUNCHES) * worker.launch
    # All do the same work on the same words: what differs is the devices alone.
    waiting = training * worker.jitter_floor * slowest(workers)
    return _finished(job, worker, workers, fabric, (training, batches * each, waiting), batches, size)


def _finished(
    job: Job,
    worker: Worker,
    workers: int,
    fabric: Fabric,
    seconds: tuple[float, float, float],
    rounds: int,
    sent: float,
) -> Prediction:
    rate = job.words / sum(seconds)
    share = rate / workers / worker.words_per_second
    return Prediction(workers, fabric.name, rate, share, *seconds, rounds, sent)


def least_sync_words(job: Job, worker: Worker, workers: int, fabric: Fabric, target: float = 0.9) -> float | None:
    """The smallest --sync-words of 1, 2, 3, 5, 10, … thousand with this efficiency; None where none has it."""
    for exponent in range(3, 12):
        for digit in (1, 2, 3, 5):
            words = digit * 10.0**exponent
            if predict(replace(job, sync_words=words), worker, workers, fabric).efficiency >= target:
                return words
            if words >= job.words / workers:
                return None
    return None


def first_below(predictions: Iterable[Prediction], share: float = 0.5) -> int | None:
    """The fewest workers with less than this efficiency."""
    return next((found.workers for found in predictions if found.efficiency < share), None)
