"""Training on one NVIDIA GPU: the corpus stream in numba-CUDA, the row-wise step in CUDA C++ or its numba twin."""

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import numpy as np
from numba import config as numba_config
from numba import cuda

from w2v.backends.base import NO_PAUSES, Array, EpochReport, Pauses
from w2v.backends.cuda_current import cupy_stream, current_device, free_memory
from w2v.backends.cuda_memory import RESERVE, out_of_memory_reported, require_memory
from w2v.backends.cuda_steps import SMALLEST_CHUNK, RawSteps, Rows, Steps, TwinSteps, chunk_size
from w2v.backends.cuda_stream import GRID, THREADS, DeviceStream, Segment, require_window
from w2v.backends.heldout import compile_heldout, rowwise_heldout_nll
from w2v.backends.in_flight import contributions, kept_words
from w2v.config import TrainConfig
from w2v.kernels import stream_cuda
from w2v.kernels.random import STREAM_INITIAL, epoch_key
from w2v.kernels.window import Multiprocessor, padded
from w2v.objectives.base import RowWiseObjective

# Segments that may be launched before the host waits for the first of them.
QUEUE = 3
_LOWER = "--vector-size or --max-final-vocab"


class CudaBackend:
    """The row-wise family on a GPU. Rows are padded on the device; ``parameters`` hides the padding.

    notes: lines for people about the choice of kernels.
    """

    def __init__(self, config: TrainConfig, objective: RowWiseObjective) -> None:
        """Allocate the parameters and choose the kernels; raises DeviceError where the memory does not suffice."""
        require_window(config.window)
        self.config = config
        self.objective = objective
        self.notes: list[str] = []
        self.device, _ = current_device()
        pitch = padded(config.vector_size)
        rows = objective.counts.size + objective.output_rows
        self._needed = 4 * (pitch + 1) * rows + DeviceStream.table_bytes(objective.counts, objective.tables)
        require_memory(self._needed + RESERVE, free_memory(), _LOWER)
        with out_of_memory_reported(self._needed, _LOWER):
            self._stream = cuda.stream()
            self._rows = Rows(
                cuda.device_array((objective.counts.size, pitch), np.float32),
                cuda.device_array((objective.output_rows, pitch), np.float32),
            )
            self._source = DeviceStream(config, objective.counts, objective.tables, self._stream)
            self._steps = self._choose_steps(_multiprocessor())
            self._flags = cuda.device_array(2, np.int32)
            self._losses = cuda.device_array(1, np.float32)
        self._snapshots = [cuda.pinned_array(4, np.float64) for _ in range(QUEUE)]

    def _choose_steps(self, multiprocessor: Multiprocessor) -> Steps:
        config = self.config
        contributed = contributions(config, self.objective)
        windows = kept_words(config, self.objective.counts)
        arguments = config, self.objective, multiprocessor, contributed, windows, self._stream
        if config.kernels == "raw":
            raw = RawSteps(*arguments)
            if raw.instance is not None:
                return raw
            self.notes.append(
                f"--vector-size {config.vector_size} with --window {config.window} does not fit the fast kernels: "
                "training with the general ones, which are slower"
            )
        return TwinSteps(*arguments)

    def initialise(self) -> None:
        """Inputs uniform in ±0.5/D by counter, outputs zero."""
        size = self.config.vector_size
        key = np.uint64(epoch_key(np.uint64(self.config.seed), 0, STREAM_INITIAL))
        stream_cuda.fill_uniform[GRID, THREADS, self._stream](self._rows.inputs, size, 0.5 / size, key)
        stream_cuda.fill_uniform[GRID, THREADS, self._stream](self._rows.outputs, 0, 0.0, key)

    def compile(self) -> None:
        """Run every kernel over nothing; leaves the parameters undefined."""
        self.initialise()
        self.train_epoch(np.array([-1], np.int32), 0, lambda fraction: 0.0, lambda report: None)
        self.unsound_parameters()
        if self.config.heldout:
            compile_heldout(self.config, self.objective)

    def upload(self, ids: np.ndarray) -> None:
        """Bring the corpus to the device, whole where it fits."""
        if self._source.holds(ids):
            return
        self._stream.synchronize()
        self._source.release()
        with out_of_memory_reported(self._needed, "--negative, --window or --vector-size"):
            self._source.upload(ids, max(0, free_memory() - RESERVE))
        self._stream.synchronize()

    def parameters(self) -> dict[str, np.ndarray]:
        """Copies of ``input_vectors`` (V, D) and ``output_vectors`` (rows, D), float32."""
        size = self.config.vector_size
        self._stream.synchronize()
        return {
            "input_vectors": self._rows.inputs.copy_to_host()[:, :size],
            "output_vectors": self._rows.outputs.copy_to_host()[:, :size],
        }

    def heldout_nll(self, ids: np.ndarray) -> float | None:
        """Mean −log p of held-out ids, nats per pair, from a copy on the host; None where nothing is normalised."""
        return rowwise_heldout_nll(self.config, self.objective, self.parameters, ids)

    def shared(self) -> dict[str, Array]:
        """The matrices as CuPy's arrays, with the padding."""
        import cupy

        return {"input_vectors": cupy.asarray(self._rows.inputs), "output_vectors": cupy.asarray(self._rows.outputs)}

    def sharing(self) -> AbstractContextManager:
        """The stream that trains is CuPy's current one."""
        return cupy_stream(self._stream)

    def as_parameters(self, shared: Mapping[str, Array]) -> dict[str, np.ndarray]:
        """Copies on the host, without the padding."""
        with self.sharing():
            return {name: array.get()[:, : self.config.vector_size].copy() for name, array in shared.items()}

    def pause_after(self, ids: int) -> None:
        """Segments are no longer."""
        self._source.limit_segments(ids)

    def load_parameters(self, parameters: dict[str, np.ndarray]) -> None:
        """Copy parameters in."""
        for name, array in (("input_vectors", self._rows.inputs), ("output_vectors", self._rows.outputs)):
            rows = np.zeros(array.shape, np.float32)
            rows[:, : self.config.vector_size] = parameters[name]
            array.copy_to_device(rows, stream=self._stream)
            self._stream.synchronize()

    def unsound_parameters(self) -> list[str]:
        """Names of the matrices that hold something not finite, or so large that its square is not."""
        self._flags.copy_to_device(np.zeros(2, np.int32), stream=self._stream)
        stream_cuda.find_unsound[GRID, THREADS, self._stream](self._rows.inputs, self._flags, 0)
        stream_cuda.find_unsound[GRID, THREADS, self._stream](self._rows.outputs, self._flags, 1)
        flags = self._flags.copy_to_host(stream=self._stream)
        self._stream.synchronize()
        return [name for name, flag in zip(("input_vectors", "output_vectors"), flags, strict=True) if flag]

    def train_epoch(
        self,
        ids: np.ndarray,
        epoch: int,
        schedule: Callable[[float], float],
        progress: Callable[[EpochReport], None],
        pauses: Pauses = NO_PAUSES,
        start: EpochReport | None = None,
    ) -> EpochReport:
        """Train one pass; the host only launches, and looks at what was done a few segments ago."""
        self.upload(ids)
        with out_of_memory_reported(self._needed, "--negative, --window or --vector-size"):
            share = max(1, ids.size)
            return self._train_epoch(
                epoch, lambda place: schedule(place / share), progress, pauses, start or EpochReport(), share
            )

    def _train_epoch(
        self,
        epoch: int,
        schedule: Callable[[int], float],
        progress: Callable[[EpochReport], None],
        pauses: Pauses,
        report: EpochReport,
        size: int,
    ) -> EpochReport:
        """schedule: the rate at a place of the corpus; report: where to begin; size: of the corpus, in ids."""
        self._source.begin_epoch(epoch, report.position)
        self._source.count_from(report)
        waiting: deque[_Snapshot] = deque()
        try:
            for number, segment in enumerate(self._source.segments()):
                if number and pauses.due(segment.begin / size):
                    while waiting:
                        report = waiting.popleft().report()
                    self._stream.synchronize()
                    pauses.hook(report)
                if len(waiting) == QUEUE:
                    report = waiting.popleft().report()
                    progress(report)
                rates = schedule(segment.begin), schedule(segment.end)
                self._train(segment, rates)
                waiting.append(self._snapshot(self._snapshots[number % QUEUE], rates[1], segment.end))
            for snapshot in waiting:
                report = snapshot.report()
                progress(report)
        finally:
            # Also after Ctrl-C: what is launched is finished, and the parameters can be read.
            self._stream.synchronize()
        return report

    def _train(self, segment: Segment, rates: tuple[float, float]) -> None:
        chunk = chunk_size(segment.windows, self._steps.workers)
        if self._losses.size < segment.windows // SMALLEST_CHUNK + 1:
            self._losses = cuda.device_array(segment.windows // SMALLEST_CHUNK + 1, np.float32)
        self._steps.train(segment, self._rows, rates, chunk, self._losses)
        stream_cuda.add_losses[32, THREADS, self._stream](self._losses, segment.places, chunk, self._source.sums)

    def _snapshot(self, host: np.ndarray, rate: float, position: int) -> "_Snapshot":
        self._source.sums.copy_to_host(host, stream=self._stream)
        done = cuda.event()
        done.record(self._stream)
        return _Snapshot(host, done, rate, position)


class _Snapshot:
    """The sums of an epoch as they will be once the GPU comes to it."""

    def __init__(self, host: np.ndarray, done: object, rate: float, position: int) -> None:
        self._host, self._done, self._rate, self._position = host, done, rate, position

    def report(self) -> EpochReport:
        """Wait for it."""
        self._done.synchronize()
        loss, pairs, kept, words = self._host.tolist()
        return EpochReport(loss, int(pairs), int(kept), int(words), self._rate, self._position)


def _multiprocessor() -> Multiprocessor:
    """What limits a launch. The simulator is one small multiprocessor."""
    if numba_config.ENABLE_CUDASIM:
        return Multiprocessor(1, 1 << 16, 1 << 16)
    device = cuda.get_current_device()
    return Multiprocessor(
        device.MULTIPROCESSOR_COUNT,
        device.MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
        device.MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
    )
