"""The row-wise step on the GPU: ``window.cu`` through CuPy, or its numba twin."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numba import config as numba_config
from numba import cuda

from w2v.backends.cuda_current import cupy_stream
from w2v.backends.cuda_stream import GRID, THREADS, Segment
from w2v.backends.in_flight import (
    Contributions,
    exchange_scale,
    exchange_weights,
    most_workers,
    scale,
    scales,
)
from w2v.config import TrainConfig
from w2v.kernels import rowwise_cuda
from w2v.kernels import window as window_kernel
from w2v.kernels.targets_cpu import target_capacity
from w2v.objectives.base import RowWiseObjective

# Windows that a worker trains in one go, at most and at least; it reads 2 · window rows more for each.
CHUNK, SMALLEST_CHUNK = 256, 32
CHUNKS_PER_WORKER = 8
# Contributions in flight that a row takes without harm which a block holds a copy of, from its own warps.
OWN_TAU = 32.0
# The twin: blocks per multiprocessor, and what its scratch may take.
TWIN_BLOCKS, TWIN_SCRATCH = 8, 1 << 28
TWIN_THREADS = 4 if numba_config.ENABLE_CUDASIM else rowwise_cuda.MOST_THREADS


@dataclass
class Rows:
    """The parameters on the device, (V, pitch) and (rows, pitch) float32."""

    inputs: object
    outputs: object


class Steps(Protocol):
    """Trains segments."""

    workers: int

    def train(self, segment: Segment, rows: Rows, rates: tuple[float, float], chunk: int, losses: object) -> None:
        """Launch the training of a segment; rates: at its beginning and end; losses: (chunks,) float32."""


def chunk_size(windows: int, workers: int) -> int:
    """Windows per chunk, so that every worker gets several of a segment's chunks where there are enough windows."""
    return int(min(CHUNK, max(SMALLEST_CHUNK, windows // (CHUNKS_PER_WORKER * workers))))


class _GrowingScales:
    """Scales of rows on the device, which grow as the learning rate falls.

    What contributions in flight do to a row is proportional to the learning rate: at a tenth of it ten times as many
    do no harm.
    """

    def __init__(self, arrays: tuple[np.ndarray, ...], config: TrainConfig, stream: object) -> None:
        """arrays: float32 each, as they are at the learning rate that training begins with."""
        self._full_rate = config.resolved().alpha
        self._stream = stream
        self._given = [cuda.to_device(array, stream) for array in arrays]
        self._now = [cuda.to_device(array, stream) for array in arrays]

    def at(self, rate: float) -> list[object]:
        """The device arrays, as they are for a learning rate and until the next call."""
        factor = np.float32(max(1.0, self._full_rate / max(rate, 1e-6 * self._full_rate, 1e-30)))
        for given, now in zip(self._given, self._now, strict=True):
            rowwise_cuda.grow_scales[GRID, THREADS, self._stream](given, factor, now)
        return self._now


class _Shape:
    """What both kinds of kernels need to know of a configuration."""

    def __init__(self, config: TrainConfig, objective: RowWiseObjective) -> None:
        self.cbow = config.model == "cbow"
        self.noise = objective.name == "ns"
        self.in_turn = objective.in_turn and not self.cbow
        self.negative = config.negative if self.noise else 0
        self.group = window_kernel.group_size(
            config.vector_size, target_capacity(objective.tables), cbow=self.cbow, in_turn=self.in_turn
        )


class RawSteps:
    """``window.cu``, on as many warps as fit and may be in flight."""

    def __init__(
        self,
        config: TrainConfig,
        objective: RowWiseObjective,
        device: window_kernel.Multiprocessor,
        contributed: Contributions,
        windows: float,
        stream: object,
    ) -> None:
        """Choose the instance; ``instance`` is None where none fits. windows: expected in an epoch."""
        shape = _Shape(config, objective)
        self.stream = stream
        arguments = {
            "size": config.vector_size,
            "window": config.window,
            "negative": shape.negative,
            "group": shape.group,
            "rows": objective.output_rows,
            "cbow": shape.cbow,
            "cbow_sum": config.cbow_sum,
            "per_pair": config.negatives_per_pair,
            "in_turn": shape.in_turn,
        }
        self.instance = window_kernel.plan(device, workers=1024, **arguments)
        if self.instance is None:
            return
        fitting = device.count * self.instance.workers_per_unit
        workers = most_workers(contributed, windows, fitting)
        if workers < fitting:
            self.instance = window_kernel.plan(device, workers=workers // device.count, **arguments)
        self.grid = min(device.count * self.instance.blocks, max(1, workers // self.instance.warps))
        self.workers = self.grid * self.instance.warps
        scales_of_rows, turns = self._find_scales(objective, contributed)
        self._scales = _GrowingScales(scales_of_rows, config, stream)
        self._turns = cuda.to_device(turns, stream)

    def _find_scales(
        self, objective: RowWiseObjective, contributed: Contributions
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Scales of inputs, of outputs and of what is exchanged of the hot rows; and whose turn that is."""
        found, hot = scales(contributed, self.workers), self.instance.hot
        self._first_hot = objective.first_hot_row(hot)
        exchanged, turns = np.ones(1, np.float32), np.zeros(window_kernel.TURNS, np.int32)
        if hot:
            rows = slice(self._first_hot, self._first_hot + hot)
            # A block works on its own copy of these: only its own warps are in flight there.
            found.outputs[rows] = scale(contributed.outputs[rows], self.instance.warps - 1, OWN_TAU)
            moved = contributed.outputs[rows] * found.outputs[rows]
            weights = exchange_weights(contributed.outputs[rows])
            turns = window_kernel.exchange_turns(weights)
            between = window_kernel.TURNS / (window_kernel.EXCHANGES * np.bincount(turns, minlength=hot))
            exchanged = exchange_scale(moved, self.grid, between, contributed.output_tau)
        return (found.inputs, found.outputs, exchanged), turns

    @cached_property
    def _kernel(self) -> object:
        """The kernel, compiled by NVRTC or from what CuPy has kept."""
        return self.instance.load()

    @cached_property
    def _launches_on(self) -> object:
        """The CUDA stream as CuPy knows it."""
        return cupy_stream(self.stream)

    def train(self, segment: Segment, rows: Rows, rates: tuple[float, float], chunk: int, losses: object) -> None:
        """Launch the training of a segment."""
        input_scales, output_scales, exchanged = self._scales.at(rates[0])
        arguments = (
            segment.words, segment.spans, segment.places, np.int32(chunk), rows.inputs, rows.outputs,
            input_scales, output_scales, segment.targets, segment.target_begins,
            np.int32(self._first_hot), exchanged, self._turns, np.float32(rates[0]), np.float32(rates[1]), losses,
        )  # fmt: skip
        with self._launches_on:
            self._kernel(
                (self.grid,),
                (self.instance.warps * window_kernel.LANES,),
                tuple(map(_as_argument, arguments)),
                shared_mem=self.instance.shared_bytes,
            )


def _as_argument(value: object) -> np.generic:
    """A scalar as it is; of a device array its address: CuPy hands both to a kernel."""
    return value if isinstance(value, np.generic) else np.uint64(value.__cuda_array_interface__["data"][0])


class TwinSteps:
    """``rowwise_cuda.train_windows``: any shape, one block per worker."""

    def __init__(
        self,
        config: TrainConfig,
        objective: RowWiseObjective,
        device: window_kernel.Multiprocessor,
        contributed: Contributions,
        windows: float,
        stream: object,
    ) -> None:
        """Allocate the blocks' rings and groups."""
        self.config = config
        self.shape = _Shape(config, objective)
        self.stream = stream
        self.threads = min(TWIN_THREADS, -(-config.vector_size // 32) * 32)
        pitch = window_kernel.padded(config.vector_size)
        slots = 2 * config.window + 2
        one = 2 * 4 * pitch * (slots + self.shape.group + 1)
        most = max(1, min(device.count * TWIN_BLOCKS, TWIN_SCRATCH // one))
        self.workers = most_workers(contributed, windows, most)
        found = scales(contributed, self.workers)
        self._scales = _GrowingScales((found.inputs, found.outputs), config, stream)
        self._ring = cuda.device_array((self.workers, 2, slots, pitch), np.float32)
        self._groups = cuda.device_array((self.workers, 2, self.shape.group + 1, pitch), np.float32)

    def train(self, segment: Segment, rows: Rows, rates: tuple[float, float], chunk: int, losses: object) -> None:
        """Launch the training of a segment."""
        config, shape, scales = self.config, self.shape, self._scales.at(rates[0])
        rowwise_cuda.train_windows[self.workers, self.threads, self.stream](
            segment.words, segment.spans, segment.places, chunk, rows.inputs, rows.outputs, *scales,
            segment.targets, segment.target_begins, config.window, shape.negative, shape.group, shape.cbow,
            config.cbow_sum, config.negatives_per_pair, shape.in_turn, np.float32(rates[0]), np.float32(rates[1]),
            self._ring, self._groups, losses,
        )  # fmt: skip
