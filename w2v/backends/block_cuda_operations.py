"""The operations of block softmax on a GPU: cuBLAS for the products, ``kernels/softmax.cu`` for what lies between.

Products take bfloat16 operands on compute capability 8.0 and later, float32 before; sums are float32. A parameter
matrix is float32, and has a shadow in the operands' type that every update writes anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from w2v.backends.block_step import Rows
from w2v.backends.cuda_memory import out_of_memory_reported
from w2v.backends.sound import LARGEST
from w2v.kernels import softmax
from w2v.objectives.block_batch import Batch, Targets

Array = Any

# What makes a run need less memory.
LOWER = "--vector-size, --max-final-vocab or --batch-pairs"
# cuBLAS's own numbers (library_types.h, cublas_api.h).
CUDA_R_32F, CUDA_R_16BF = 0, 14
COMPUTE_32F, GEMM_DEFAULT = 68, -1
OP_N, OP_T = 0, 1
# Logits and gradients that are held at once: a share of the free memory, and no more than this many bytes.
TILE_SHARE, TILE_BYTES = 1 / 8, 4 << 30
# Rows of a tile: a multiple of what cuBLAS cuts a product into.
TILE_ROWS = 256
# Uploads that may be under way before the host waits for the first of them.
UPLOADS = 8


class CudaOperations:
    """CuPy arrays, rows padded to ``softmax.PITCH_MULTIPLE``. Everything runs on CuPy's current stream."""

    def __init__(
        self, xp: ModuleType, bfloat16: bool, free: int, stream: AbstractContextManager, needed: int
    ) -> None:
        """xp: CuPy; bfloat16: the operands' type; stream: makes a stream current. free, needed: bytes, for the tiles
        that logits are computed in, and for messages."""  # fmt: skip
        self.xp, self.stream, self._needed = xp, stream, needed
        self.operand = np.dtype(np.uint16 if bfloat16 else np.float32)
        self._kernels = softmax.load(bfloat16)
        self._tile_bytes = int(min(TILE_BYTES, TILE_SHARE * free))
        self._products = _Products(bfloat16)
        self._uploads = _Uploads(xp)
        self._losses = xp.empty(1 << 20, np.float32)
        self._held = 0
        self._loss = 0.0

    def _launch(self, name: str, launch: softmax.Launch, *arguments: object) -> None:
        if launch[0][0]:
            self._kernels[name](*launch, tuple(map(_scalar, arguments)))

    def new_rows(self, count: int, size: int) -> Rows:
        """Zeros; the shadow is the matrix itself where operands are float32."""
        shape = count, softmax.padded(size)
        matrix = self.xp.zeros(shape, np.float32)
        shadow = matrix if self.operand == np.float32 else self.xp.zeros(shape, self.operand)
        return Rows(matrix, self.xp.zeros(count, np.float32), size, shadow)

    def load_rows(self, rows: Rows, matrix: np.ndarray, accumulators: np.ndarray) -> None:
        """Copy in, and write the shadow."""
        with self.stream:
            wide = np.zeros(rows.matrix.shape, np.float32)
            wide[:, : rows.size] = matrix
            rows.matrix[:] = self.xp.asarray(wide)
            rows.accumulators[:] = self.xp.asarray(np.ascontiguousarray(accumulators, np.float32))
            if rows.shadow is not rows.matrix:
                self._convert(rows.matrix, rows.shadow)

    def rows_changed(self, rows: Rows) -> None:
        """Write the shadow anew."""
        if rows.shadow is not rows.matrix:
            with self.stream:
                self._convert(rows.matrix, rows.shadow)

    def read_rows(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Copies."""
        with self.stream:
            return rows.matrix.get()[:, : rows.size], rows.accumulators.get()

    def is_sound(self, rows: Rows) -> bool:
        """Whether every value is finite, and its square too."""
        with self.stream:
            sound = rows.matrix.max() < LARGEST and rows.matrix.min() > -LARGEST  # NaN compares false
            return bool(sound and rows.accumulators.max() < float("inf"))

    @contextmanager
    def running(self) -> Iterator[None]:
        """The stream; memory that does not suffice is reported."""
        with out_of_memory_reported(self._needed, LOWER), self.stream:
            yield

    def array(self, values: np.ndarray) -> Array:
        """On the device."""
        return self.xp.asarray(values)

    def new_bias(self, bias: np.ndarray) -> Array:
        """A copy."""
        return self.xp.asarray(np.ascontiguousarray(bias, np.float32))

    def bias_slice(self, bias: Array, begin: int, end: int) -> Array:
        """A view; a copy where the view would not begin at 16 bytes, as the fast loads want it."""
        part = bias[begin:end]
        return part if begin % 4 == 0 else part.copy()

    def hidden(self, inputs: Rows, batch: Batch, mean: bool) -> Array:
        """(rows, pitch) float32."""
        rows = self.xp.take(inputs.matrix, batch.inputs, axis=0)
        if batch.bags is None:
            return rows
        return self._sums(rows, inputs.size, batch.bags.begins, batch.bags.members, mean=mean)

    def _sums(self, matrix: Array, size: int, begins: Array, index: Array, mean: bool = False) -> Array:
        out = self.xp.empty((begins.size - 1, matrix.shape[1]), np.float32)
        self._add(matrix, size, begins, index, out, mean=mean, accumulate=False)
        return out

    def _add(
        self, matrix: Array, size: int, begins: Array, index: Array, out: Array, *, mean: bool, accumulate: bool
    ) -> None:
        count = len(out)
        self._launch(
            "sum_rows", softmax.sum_launch(count), matrix, matrix.shape[1], size, begins, index, count, int(mean),
            int(accumulate), out, out.shape[1],
        )  # fmt: skip

    def take(self, matrix: Array, rows: Array) -> Array:
        """matrix[rows] as operands."""
        out = self.xp.empty((rows.size, matrix.shape[1]), self.operand)
        self._launch(
            "gather_rows", softmax.gather_launch(rows.size), matrix, matrix.shape[1], matrix.shape[1], rows,
            rows.size, out, out.shape[1],
        )  # fmt: skip
        return out

    def _convert(self, matrix: Array, out: Array) -> None:
        """float32 to operands, row by row; out may have the longer pitch, and gets zeros there."""
        self._launch(
            "gather_rows", softmax.gather_launch(len(matrix)), matrix, matrix.shape[1], matrix.shape[1], softmax.NULL,
            len(matrix), out, out.shape[1],
        )  # fmt: skip

    def _as_operands(self, matrix: Array) -> Array:
        if matrix.dtype == self.operand:
            return matrix
        out = self.xp.empty(matrix.shape, self.operand)
        self._convert(matrix, out)
        return out

    def project(self, hidden: Array, projection: Rows) -> Array:
        """(n, pitch) operands."""
        out = self.xp.empty((len(hidden), projection.matrix.shape[1]), self.operand)
        self._products.multiply(self._as_operands(hidden)[:, : len(projection.matrix)], projection.shadow, out)
        return out

    def block(
        self, hidden: Array, rows: Rows, bias: Array, weights: Array, targets: Targets, rate: float | None
    ) -> Array | None:
        """Logits tile by tile of rows; the gradient of the block's own rows adds up over the tiles."""
        xp, operands = self.xp, self._as_operands(hidden)
        count, columns = len(operands), len(rows.matrix)
        pitch = softmax.padded(columns)
        tile = self._tile_rows(count, pitch)
        logits = xp.empty((tile, pitch), np.float32)
        d_logits = softmax.NULL if rate is None else xp.empty((tile, pitch), self.operand)
        d_hidden = None if rate is None else xp.empty((count, rows.matrix.shape[1]), np.float32)
        d_matrix = None if rate is None else xp.empty(rows.matrix.shape, np.float32)
        losses = self._room_for_losses(count)
        for begin in range(0, count, tile):
            end = min(begin + tile, count)
            part, here = operands[begin:end], logits[: end - begin]
            self._products.multiply(part, rows.shadow, here[:, :columns], transpose_b=True)
            d_here = d_logits if rate is None else d_logits[: end - begin]
            self._launch(
                "softmax_gradient", softmax.softmax_launch(end - begin, columns), here, pitch, columns, bias,
                weights[begin:end], targets.begins[begin : end + 1], targets.columns, targets.weights, d_here,
                0 if rate is None else pitch, losses[begin:end],
            )  # fmt: skip
            if rate is not None:
                self._products.multiply(d_here[:, :columns], rows.shadow, d_hidden[begin:end])
                self._products.multiply(d_here[:, :columns], part, d_matrix, transpose_a=True, add=begin > 0)
        if rate is None:
            return None
        self._adagrad(rows, None, d_matrix, rate)
        return d_hidden

    def _tile_rows(self, count: int, pitch: int) -> int:
        """Rows of a tile: as many as fit, in equal parts."""
        most = max(1, self._tile_bytes // (pitch * (4 + self.operand.itemsize)))
        if most >= count:
            return count
        parts = -(-count // most)
        rows = -(-count // parts)
        return min(most, -(-rows // TILE_ROWS) * TILE_ROWS)

    def clusters(
        self,
        hidden: Array,
        batch: Batch,
        jobs: slice,
        cluster_begins: np.ndarray,
        rows: Rows,
        edges: np.ndarray,
        bias: Array,
        rate: float | None,
        d_jobs: Array | None,
    ) -> None:
        """Grouped products in float32, all clusters in one launch each."""
        xp, pitch = self.xp, rows.matrix.shape[1]
        count = jobs.stop - jobs.start
        begins = cluster_begins - cluster_begins[0]
        places = softmax.logit_begins(begins, edges)
        groups = np.repeat(np.arange(begins.size - 1), np.diff(begins))
        lists = [begins, edges, groups, softmax.logit_tiles(begins, edges)]
        if rate is not None:
            lists += [softmax.d_input_tiles(begins, edges, pitch), softmax.d_output_tiles(begins, edges, pitch)]
        row_begins, word_begins, groups, *tiles = self._uploads.send([part.astype(np.int32) for part in lists])
        (logit_begins,) = self._uploads.send([places])
        inputs, fences = batch.job_rows[jobs], (row_begins, word_begins, logit_begins)
        logits = xp.empty(int(places[-1]), np.float32)
        self._launch(
            "grouped_logits", softmax.tile_launch(len(tiles[0])), tiles[0], *fences, inputs, hidden, rows.matrix,
            pitch, logits,
        )  # fmt: skip
        targets = batch.job_targets
        self._launch(
            "grouped_softmax", softmax.grouped_softmax_launch(count), logits, *fences, groups, count, bias,
            batch.job_weights[jobs], targets.begins[jobs.start : jobs.stop + 1], targets.columns, targets.weights,
            int(rate is None), self._room_for_losses(count),
        )  # fmt: skip
        if rate is None:
            return
        self._launch(
            "grouped_d_inputs", softmax.tile_launch(len(tiles[1])), tiles[1], *fences, logits, rows.matrix, pitch,
            d_jobs,
        )  # fmt: skip
        d_matrix = xp.zeros(rows.matrix.shape, np.float32)  # of words that no job reaches
        self._launch(
            "grouped_d_outputs", softmax.tile_launch(len(tiles[2])), tiles[2], *fences, inputs, logits, hidden, pitch,
            d_matrix,
        )  # fmt: skip
        self._adagrad(rows, None, d_matrix, rate)

    def project_back(self, d_reduced: Array, hidden: Array, projection: Rows, rate: float, d_hidden: Array) -> None:
        """Two products, of which the second trains the projection."""
        reduced = self._as_operands(d_reduced)
        self._products.multiply(reduced, projection.shadow, d_hidden[:, : len(projection.matrix)], transpose_b=True)
        d_matrix = self.xp.empty(projection.matrix.shape, np.float32)
        self._products.multiply(hidden[:, : len(projection.matrix)], reduced, d_matrix, transpose_a=True)
        self._adagrad(projection, None, d_matrix, rate)

    def new_gradients(self, rows: int, size: int) -> Array:
        """Zeros: padding stays zero."""
        return self.xp.zeros((rows, softmax.padded(size)), np.float32)

    def add_jobs(self, d_hidden: Array, batch: Batch, d_jobs: Array) -> None:
        """By row."""
        if batch.job_rows.size:
            size = d_jobs.shape[1]
            self._add(d_jobs, size, batch.row_begins, batch.row_jobs, d_hidden, mean=False, accumulate=True)

    def train_inputs(self, inputs: Rows, batch: Batch, d_hidden: Array, rate: float) -> None:
        """Every context of a bag gets the whole gradient of the bag, as in word2vec.c."""
        if batch.bags is not None:
            d_hidden = self._sums(d_hidden, inputs.size, batch.bags.word_begins, batch.bags.windows)
        self._adagrad(inputs, batch.inputs, d_hidden, rate)

    def _adagrad(self, rows: Rows, chosen: Array | None, gradient: Array, rate: float) -> None:
        shadow = softmax.NULL if rows.shadow is rows.matrix else rows.shadow
        self._launch(
            "adagrad_rows", softmax.adagrad_launch(len(gradient)), gradient, gradient.shape[1],
            softmax.NULL if chosen is None else chosen, len(gradient), rows.size, float(rate), rows.matrix,
            rows.matrix.shape[1], rows.accumulators, shadow,
        )  # fmt: skip

    def _room_for_losses(self, count: int) -> Array:
        """Room for ``count`` losses, which add up until ``take_loss``."""
        if self._held + count > self._losses.size:
            self._fold()
            if count > self._losses.size:
                self._losses = self.xp.empty(count, np.float32)
        room = self._losses[self._held : self._held + count]
        self._held += count
        return room

    def _fold(self) -> None:
        if self._held:
            self._loss += float(self._losses[: self._held].sum(dtype=np.float64))
        self._held = 0

    def take_loss(self) -> float:
        """The sum since the last call; waits for the device."""
        with self.stream:
            self._fold()
        loss, self._loss = self._loss, 0.0
        return loss


class _Products:
    """Row-major products by cuBLAS, which takes matrices to be column-major: it is handed the transposes."""

    def __init__(self, bfloat16: bool) -> None:
        self._type = CUDA_R_16BF if bfloat16 else CUDA_R_32F
        self._one, self._zero = np.ones(1, np.float32), np.zeros(1, np.float32)

    def multiply(
        self,
        a: Array,
        b: Array,
        out: Array,
        *,
        transpose_a: bool = False,
        transpose_b: bool = False,
        add: bool = False,
    ) -> None:
        """out = op(a) · op(b), or out += it. Operands a and b, out float32 or operands; rows may have a pitch."""
        from cupy.cuda.device import get_cublas_handle
        from cupy_backends.cuda.libs import cublas

        rows, depth = a.shape[::-1] if transpose_a else a.shape
        columns, its_depth = b.shape if transpose_b else b.shape[::-1]
        if depth != its_depth or out.shape != (rows, columns) or min(rows, columns, depth) == 0:
            raise ValueError(f"no product of {a.shape} and {b.shape} into {out.shape}")
        cublas.gemmEx(
            get_cublas_handle(), OP_T if transpose_b else OP_N, OP_T if transpose_a else OP_N, columns, rows, depth,
            self._one.ctypes.data, b.data.ptr, self._type, _pitch(b), a.data.ptr, self._type, _pitch(a),
            (self._one if add else self._zero).ctypes.data, out.data.ptr,
            CUDA_R_32F if out.dtype == np.float32 else self._type, _pitch(out), COMPUTE_32F, GEMM_DEFAULT,
        )  # fmt: skip


def _pitch(matrix: Array) -> int:
    """Elements from one row to the next."""
    return matrix.strides[0] // matrix.itemsize


class _Uploads:
    """Small arrays to the device through pinned memory: the host need not wait for what was launched before."""

    def __init__(self, xp: ModuleType) -> None:
        self._xp = xp
        self._under_way: deque[tuple[object, object]] = deque()

    def send(self, arrays: list[np.ndarray]) -> list[Array]:
        """Copies on the device of arrays of one type, in one transfer."""
        xp = self._xp
        sizes = [array.size for array in arrays]
        total = max(1, sum(sizes))
        if len(self._under_way) == UPLOADS:
            self._under_way.popleft()[0].synchronize()
        pinned = xp.cuda.alloc_pinned_memory(total * arrays[0].itemsize)
        staged = np.frombuffer(pinned, arrays[0].dtype, total)
        staged[: sum(sizes)] = np.concatenate([array.ravel() for array in arrays])
        device = xp.empty(total, arrays[0].dtype)
        device.data.copy_from_host_async(staged.ctypes.data, staged.nbytes)
        done = xp.cuda.Event()
        done.record()
        self._under_way.append((done, pinned))
        ends = np.cumsum(sizes).tolist()
        return [
            device[end - size : end].reshape(array.shape)
            for array, size, end in zip(arrays, sizes, ends, strict=True)
        ]


def _scalar(value: object) -> object:
    """Python's numbers as the kernels declare theirs: int and float."""
    if isinstance(value, int):
        return np.int32(value)
    return np.float32(value) if isinstance(value, float) else value
