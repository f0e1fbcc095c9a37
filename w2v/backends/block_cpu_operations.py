"""The operations of block softmax on the CPU: BLAS on tiles of rows, numba between the products, a task per core."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import numpy as np
from threadpoolctl import threadpool_limits

from w2v.backends.block_step import Rows
from w2v.backends.sound import is_sound
from w2v.kernels.simd import ROW_MULTIPLE, aligned_zeros, padded
from w2v.kernels.softmax_cpu import BIAS_SLACK, adagrad_rows, add_rows, softmax_rows, sum_rows
from w2v.objectives.block_batch import Batch, Targets

# Bytes of logits that a thread holds, and how many rows that may be: enough for BLAS to be efficient, and never a
# matrix of the whole vocabulary times the batch. Of a very long row a thread holds at least LEAST_BYTES, or one.
TILE_BYTES, LEAST_BYTES = 32 << 20, 128 << 20
FEWEST_ROWS, MOST_ROWS = 64, 1024
# Rows of a small piece of work (gathering, summing, updating).
PIECE = 2048


class CpuOperations:
    """Rows of the batch in tiles, one thread each; the gradient of the block's rows is cut by columns.

    BLAS itself has to run on one thread (threadpoolctl) while these do.
    """

    def __init__(self, threads: int) -> None:
        """threads: tasks at once."""
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads)
        self._logits = np.empty(0, np.float32)
        self._loss = 0.0

    def _each(self, task: Callable[..., object], items: Iterable) -> list:
        """The task's results; in this thread where there is but one item."""
        items = list(items)
        if self.threads == 1 or len(items) < 2:
            return [task(item) for item in items]
        return list(self._pool.map(task, items))

    def _pieces(self, count: int, least: int = PIECE) -> list[slice]:
        """Slices of 0 … count: one per thread, or fewer so that each is worth while."""
        parts = max(1, min(self.threads, count // least))
        limits = [count * part // parts for part in range(parts + 1)]
        return [slice(begin, end) for begin, end in zip(limits, limits[1:], strict=False)]

    def new_rows(self, count: int, size: int) -> Rows:
        """Zeros."""
        return Rows(aligned_zeros(count, size), np.zeros(count, np.float32), size)

    def load_rows(self, rows: Rows, matrix: np.ndarray, accumulators: np.ndarray) -> None:
        """Copy in."""
        rows.matrix[:] = matrix
        rows.accumulators[:] = accumulators

    def read_rows(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Views."""
        return rows.matrix, rows.accumulators

    def is_sound(self, rows: Rows) -> bool:
        """Whether every value is finite, and its square too."""
        return is_sound(rows.matrix) and bool(np.isfinite(rows.accumulators).all())

    def rows_changed(self, rows: Rows) -> None:
        """There is no shadow."""

    def running(self) -> AbstractContextManager:
        """One thread of BLAS for each of ours."""
        return threadpool_limits(1, "blas")

    def array(self, values: np.ndarray) -> np.ndarray:
        """On the device."""
        return values

    def new_bias(self, bias: np.ndarray) -> np.ndarray:
        """With the slack that the kernel may read."""
        return np.concatenate([bias, np.zeros(BIAS_SLACK, np.float32)])

    def bias_slice(self, bias: np.ndarray, begin: int, end: int) -> np.ndarray:
        """A view, with the slack."""
        return bias[begin : end + BIAS_SLACK]

    def hidden(self, inputs: Rows, batch: Batch, mean: bool) -> np.ndarray:
        """Gathered rows, or sums over bags."""
        rows = self.take(inputs.matrix, batch.inputs)
        if batch.bags is None:
            return rows
        return self._sums(rows, batch.bags.begins, batch.bags.members, mean)

    def _sums(self, matrix: np.ndarray, begins: np.ndarray, index: np.ndarray, mean: bool = False) -> np.ndarray:
        out = np.empty((begins.size - 1, matrix.shape[1]), np.float32)
        self._each(
            lambda rows: sum_rows(matrix, begins[rows.start : rows.stop + 1], index, mean, out[rows]),
            self._pieces(len(out)),
        )
        return out

    def take(self, matrix: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """A copy."""
        return matrix[rows]

    def project(self, hidden: np.ndarray, projection: Rows) -> np.ndarray:
        """A plain product."""
        out = np.empty((len(hidden), projection.matrix.shape[1]), np.float32)
        self._each(
            lambda rows: np.matmul(hidden[rows], projection.matrix, out=out[rows]), self._pieces(len(hidden), 256)
        )
        return out

    def block(
        self,
        hidden: np.ndarray,
        rows: Rows,
        bias: np.ndarray,
        weights: np.ndarray,
        targets: Targets,
        rate: float | None,
    ) -> np.ndarray | None:
        """A tile of rows per thread, then a share of the columns per thread, until all rows are done."""
        columns = len(rows.matrix)
        pitch = padded(columns)
        tile = min(tile_rows(pitch), -(-len(hidden) // self.threads))
        if self._logits.size < self.threads * tile * pitch:
            self._logits = np.zeros(self.threads * tile * pitch + ROW_MULTIPLE, np.float32)
        logits = self._logits[: self.threads * tile * pitch].reshape(-1, pitch)
        d_hidden = None if rate is None else np.empty_like(hidden)
        d_matrix = None if rate is None else np.empty_like(rows.matrix)
        at_once = self.threads * tile
        for first in range(0, len(hidden), at_once):
            last = min(first + at_once, len(hidden))

            def row_task(begin: int, first: int = first, last: int = last) -> float:
                part = slice(begin, min(begin + tile, last))
                own = logits[part.start - first : part.stop - first]
                return _tile(hidden, rows.matrix, bias, weights, targets, part, own, d_hidden)

            self._loss += sum(self._each(row_task, range(first, last, tile)))
            if rate is None:
                continue
            done = logits[: last - first]

            def column_task(part: slice, first: int = first, last: int = last, done: np.ndarray = done) -> None:
                gradient = done[:, part].T
                if first == 0:
                    np.matmul(gradient, hidden[first:last], out=d_matrix[part])
                else:
                    d_matrix[part] += gradient @ hidden[first:last]
                if last == len(hidden):
                    _adagrad(rows, part, d_matrix, rate)

            self._each(column_task, self._pieces(columns, 64))
        return d_hidden

    def clusters(
        self,
        hidden: np.ndarray,
        batch: Batch,
        jobs: slice,
        cluster_begins: np.ndarray,
        rows: Rows,
        edges: np.ndarray,
        bias: np.ndarray,
        rate: float | None,
        d_jobs: np.ndarray | None,
    ) -> None:
        """A cluster is a task, the largest ones first; a large one is cut into tiles of rows."""
        sizes = np.diff(cluster_begins) * np.diff(edges)
        order = [cluster for cluster in np.argsort(-sizes, kind="stable").tolist() if sizes[cluster]]
        targets = batch.job_targets

        def task(cluster: int) -> float:
            begin, end = int(cluster_begins[cluster]), int(cluster_begins[cluster + 1])
            words = slice(int(edges[cluster]), int(edges[cluster + 1]))
            matrix, own_bias = rows.matrix[words], bias[words.start : words.stop + BIAS_SLACK]
            d_matrix = np.zeros_like(matrix)
            pitch = padded(len(matrix))
            tile = min(end - begin, tile_rows(pitch))
            logits = np.zeros((tile, pitch), np.float32)
            loss = 0.0
            for first in range(begin, end, tile):
                part = slice(first, min(first + tile, end))
                inputs = hidden[batch.job_rows[part]]
                every = slice(0, len(inputs))
                own = logits[every]
                local = Targets(targets.begins[part.start : part.stop + 1], targets.columns, targets.weights)
                room = None if d_jobs is None else d_jobs[part.start - jobs.start : part.stop - jobs.start]
                loss += _tile(inputs, matrix, own_bias, batch.job_weights[part], local, every, own, room)
                if rate is not None:
                    d_matrix += own[:, : len(matrix)].T @ inputs
            if rate is not None:
                adagrad_rows(matrix, rows.accumulators[words], np.arange(len(matrix), dtype=np.int32), d_matrix, rate)
            return loss

        self._loss += sum(self._each(task, order))

    def project_back(
        self, d_reduced: np.ndarray, hidden: np.ndarray, projection: Rows, rate: float, d_hidden: np.ndarray
    ) -> None:
        """Two products: the one by rows, the other by columns of hidden."""
        matrix = projection.matrix
        self._each(
            lambda rows: np.matmul(d_reduced[rows], matrix.T, out=d_hidden[rows]), self._pieces(len(hidden), 256)
        )
        d_matrix = np.empty_like(matrix)

        def task(part: slice) -> None:
            np.matmul(hidden[:, part].T, d_reduced, out=d_matrix[part])
            _adagrad(projection, part, d_matrix, rate)

        self._each(task, self._pieces(len(matrix), 16))

    def new_gradients(self, rows: int, size: int) -> np.ndarray:
        """Room; every row is written before it is read."""
        return np.empty((rows, size), np.float32)

    def add_jobs(self, d_hidden: np.ndarray, batch: Batch, d_jobs: np.ndarray) -> None:
        """By row."""
        begins = batch.row_begins
        self._each(
            lambda rows: add_rows(d_jobs, begins[rows.start : rows.stop + 1], batch.row_jobs, d_hidden[rows]),
            self._pieces(len(d_hidden)),
        )

    def train_inputs(self, inputs: Rows, batch: Batch, d_hidden: np.ndarray, rate: float) -> None:
        """Every context of a bag gets the whole gradient of the bag, as in word2vec.c."""
        if batch.bags is not None:
            d_hidden = self._sums(d_hidden, batch.bags.word_begins, batch.bags.windows)
        self._each(
            lambda part: adagrad_rows(inputs.matrix, inputs.accumulators, batch.inputs[part], d_hidden[part], rate),
            self._pieces(batch.inputs.size),
        )

    def take_loss(self) -> float:
        """The sum since the last call."""
        loss, self._loss = self._loss, 0.0
        return loss


def tile_rows(pitch: int) -> int:
    """Rows of logits of this length that a thread holds."""
    rows = max(TILE_BYTES // (4 * pitch), min(FEWEST_ROWS, LEAST_BYTES // (4 * pitch)))
    return max(1, min(MOST_ROWS, rows))


def _tile(
    hidden: np.ndarray,
    matrix: np.ndarray,
    bias: np.ndarray,
    weights: np.ndarray,
    targets: Targets,
    part: slice,
    logits: np.ndarray,
    d_hidden: np.ndarray | None,
) -> float:
    """The rows ``part``: logits become gradients, d_hidden[part] is written, the loss returned."""
    columns = len(matrix)
    np.matmul(hidden[part], matrix.T, out=logits[:, :columns])
    begins = targets.begins[part.start : part.stop + 1]
    loss = softmax_rows(
        logits, columns, bias, weights[part], begins, targets.columns, targets.weights, d_hidden is not None
    )
    if d_hidden is not None:
        np.matmul(logits[:, :columns], matrix, out=d_hidden[part])
    return loss


def _adagrad(rows: Rows, part: slice, gradient: np.ndarray, rate: float) -> None:
    """A stretch of rows."""
    chosen = np.arange(part.stop - part.start, dtype=np.int32)
    adagrad_rows(rows.matrix[part], rows.accumulators[part], chosen, gradient[part], rate)
