"""Training on the CPU: numba kernels on chunks of the corpus, one Python thread per core, without the GIL."""

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

from w2v.backends.base import NO_PAUSES, EpochReport, Pauses
from w2v.backends.heldout import compile_heldout, rowwise_heldout_nll
from w2v.backends.sound import is_sound
from w2v.config import TrainConfig
from w2v.cores import available_cores
from w2v.kernels import rowwise_cpu
from w2v.kernels.hot_rows_cpu import HotRows, give_back, private_rows
from w2v.kernels.jit import read_only
from w2v.kernels.random import STREAM_INITIAL, STREAM_SUBSAMPLE, STREAM_WINDOW, epoch_key
from w2v.kernels.simd import aligned_zeros, padded
from w2v.kernels.stream_cpu import keep_thresholds
from w2v.kernels.tables_cpu import fill_uniform
from w2v.kernels.targets_cpu import target_capacity
from w2v.objectives.base import RowWiseObjective

# Tokens per call into a kernel: what word2vec.c trains between two looks at the learning rate. A short corpus is
# cut finer, so that its learning rate falls in steps too and every thread has work.
CHUNK = 10_000
SMALLEST_CHUNK = 256
CHUNKS_PER_EPOCH = 64
PROGRESS_SECONDS = 0.1
# Rows of each matrix, and floats at most, that a thread holds for itself where several train.
PRIVATE_ROWS, PRIVATE_FLOATS = 256, 2**20
# It touches a row at least this often between two exchanges, however many threads there are: else the cores would
# fight over the row's cache lines again.
FEWEST_INPUT_TOUCHES, FEWEST_OUTPUT_TOUCHES = 8, 4


class CpuBackend:
    """The row-wise family on the CPU. Rows are padded to whole vectors; ``parameters`` hides the padding."""

    device = "cpu"

    def __init__(self, config: TrainConfig, objective: RowWiseObjective) -> None:
        """Allocate zeroed parameters for the objective's shapes."""
        self.config = config
        self.objective = objective
        self.notes: list[str] = []
        self.threads = config.threads or available_cores()
        self._longest_chunk = CHUNK
        width = padded(config.vector_size)
        self._input = aligned_zeros(objective.counts.size, width)
        self._output = aligned_zeros(objective.output_rows, width)
        self._keep = keep_thresholds(objective.counts, config.sample)
        self._capacity = target_capacity(objective.tables)

    def initialise(self) -> None:
        """Inputs uniform in ±0.5/D by counter, outputs zero."""
        size = self.config.vector_size
        fill_uniform(
            self._input, size, 0.5 / size, np.uint64(epoch_key(np.uint64(self.config.seed), 0, STREAM_INITIAL))
        )
        self._output[:] = 0.0

    def compile(self) -> None:
        """Run the kernels over nothing."""
        room = self._room()
        self._chunk(read_only(np.empty(0, np.int32)), 0, 0, 0, 0.0, np.zeros(4), room)
        give_back(self._input, room[0])
        give_back(self._output, room[1])
        if self.config.heldout:
            compile_heldout(self.config, self.objective)

    def upload(self, ids: np.ndarray) -> None:
        """Nothing to do: the kernels read the ids where they are."""

    def unsound_parameters(self) -> list[str]:
        """Names of the matrices that hold something not finite, or so large that its square is not."""
        return [name for name, array in self.parameters().items() if not is_sound(array)]

    def parameters(self) -> dict[str, np.ndarray]:
        """Views of ``input_vectors`` (V, D) and ``output_vectors`` (rows, D), float32."""
        size = self.config.vector_size
        return {"input_vectors": self._input[:, :size], "output_vectors": self._output[:, :size]}

    def heldout_nll(self, ids: np.ndarray) -> float | None:
        """Mean −log p of held-out ids, nats per pair; None where the objective is not normalised."""
        return rowwise_heldout_nll(self.config, self.objective, self.parameters, ids)

    def shared(self) -> dict[str, np.ndarray]:
        """The views that ``parameters`` gives."""
        return self.parameters()

    def sharing(self) -> AbstractContextManager:
        """Nothing surrounds it."""
        return nullcontext()

    def as_parameters(self, shared: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Copies."""
        return {name: array.copy() for name, array in shared.items()}

    def pause_after(self, ids: int) -> None:
        """Chunks are no larger."""
        self._longest_chunk = min(CHUNK, max(SMALLEST_CHUNK, ids))

    def load_parameters(self, parameters: dict[str, np.ndarray]) -> None:
        """Copy parameters in."""
        for name, array in self.parameters().items():
            array[:] = parameters[name]

    def train_epoch(
        self,
        ids: np.ndarray,
        epoch: int,
        schedule: Callable[[float], float],
        progress: Callable[[EpochReport], None],
        pauses: Pauses = NO_PAUSES,
        start: EpochReport | None = None,
    ) -> EpochReport:
        """Train one pass: the threads take chunks in the order of the text, and race on the rows (Hogwild)."""
        ids = read_only(ids)
        start = start or EpochReport()
        chunk = min(self._longest_chunk, max(SMALLEST_CHUNK, ids.size // CHUNKS_PER_EPOCH))
        sums = np.zeros((self.threads, 8))
        sums[0, :4] = start.loss, start.pairs, start.kept_words, start.words
        state = _Epoch(ids, epoch, schedule, _Chunks(start.position, ids.size, chunk), sums)
        while not state.chunks.exhausted:
            self._train_until_due(state, progress, pauses)
            if not state.chunks.exhausted:
                pauses.hook(state.report())
        done = state.report()
        progress(done)
        return done

    def _train_until_due(self, state: "_Epoch", progress: Callable[[EpochReport], None], pauses: Pauses) -> None:
        """Let the threads run until the corpus is through, or a pause is due and each has finished its chunk."""
        failures: list[BaseException] = []
        stop = threading.Event()
        size = state.ids.size

        def work(sums: np.ndarray) -> None:
            room = self._room()
            try:
                while not stop.is_set() and (chunk := state.chunks.take()) is not None:
                    state.rate = rate = state.schedule(chunk.start / size)
                    self._chunk(state.ids, chunk.start, chunk.stop, state.number, rate, sums, room)
                    if pauses.due(chunk.stop / size):
                        stop.set()
            except BaseException as failure:  # a thread's failure is raised again in the caller's thread
                failures.append(failure)
                stop.set()
            finally:
                give_back(self._input, room[0])
                give_back(self._output, room[1])

        threads = [threading.Thread(target=work, args=(sums,), daemon=True) for sums in state.sums]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(PROGRESS_SECONDS)
                    progress(state.report())
        finally:
            stop.set()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
        if failures:
            raise failures[0]

    def _room(self) -> tuple[HotRows, HotRows, rowwise_cpu.Scratch]:
        """What a thread holds: its own most used input and output rows (none where it trains alone), scratch."""
        width = self._input.shape[1]
        held = min(PRIVATE_ROWS, PRIVATE_FLOATS // width) if self.threads > 1 else 0
        inputs, outputs = (min(held, len(matrix)) for matrix in (self._input, self._output))
        unseen_inputs, unseen_outputs = self.objective.unseen_touches
        input_limit = max(FEWEST_INPUT_TOUCHES, unseen_inputs // self.threads)
        output_limit = max(FEWEST_OUTPUT_TOUCHES, unseen_outputs // self.threads)
        return (
            private_rows(0, inputs, input_limit, width),
            private_rows(self.objective.first_hot_row(outputs), outputs, output_limit, width),
            rowwise_cpu.scratch_for(self.config.window, self._capacity, width),
        )

    def _chunk(
        self,
        ids: np.ndarray,
        begin: int,
        end: int,
        epoch: int,
        learning_rate: float,
        report: np.ndarray,
        room: tuple[HotRows, HotRows, rowwise_cpu.Scratch],
    ) -> None:
        config = self.config
        if config.model == "cbow":
            kernel, variant = rowwise_cpu.cbow_chunk, (config.cbow_sum,)
        elif config.negatives_per_pair:
            kernel, variant = rowwise_cpu.skipgram_pairs_chunk, ()
        else:
            kernel, variant = rowwise_cpu.skipgram_chunk, (self.objective.in_turn,)
        subsample_key = np.uint64(epoch_key(np.uint64(config.seed), epoch, STREAM_SUBSAMPLE))
        draw_key = np.uint64(epoch_key(np.uint64(config.seed), epoch, STREAM_WINDOW))
        kernel(
            ids, begin, end, config.window, config.shrink_windows, self._keep, subsample_key, draw_key,
            self._input, self._output, *room, self.objective.tables, self._capacity, learning_rate, report, *variant,
        )  # fmt: skip


class _Chunks:
    """The chunks of a corpus of ``size`` ids from ``begin`` on, given out one by one to several threads."""

    def __init__(self, begin: int, size: int, step: int) -> None:
        self._next, self._size, self._step = begin, size, step
        self._lock = threading.Lock()

    @property
    def given_out(self) -> int:
        """Number of ids before those that are still to be taken."""
        return min(self._next, self._size)

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to take."""
        return self._next >= self._size

    def take(self) -> range | None:
        """The next one; None at the end."""
        with self._lock:
            begin, self._next = self._next, self._next + self._step
        return range(begin, min(begin + self._step, self._size)) if begin < self._size else None


@dataclass
class _Epoch:
    """An epoch under way. sums: a row for each thread, a cache line long; rate: the latest learning rate."""

    ids: np.ndarray
    number: int
    schedule: Callable[[float], float]
    chunks: _Chunks
    sums: np.ndarray
    rate: float = 0.0

    def __post_init__(self) -> None:
        self.rate = self.schedule(self.chunks.given_out / max(1, self.ids.size))

    def report(self) -> EpochReport:
        """What is done of it."""
        loss, pairs, kept_words, words = self.sums.sum(axis=0)[:4].tolist()
        return EpochReport(loss, int(pairs), int(kept_words), int(words), self.rate, self.chunks.given_out)
