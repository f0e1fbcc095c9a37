"""The operations of block softmax over an array module as it is: NumPy in any precision, or CuPy."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import ModuleType

import numpy as np

from w2v.backends.block_step import Array, Rows
from w2v.backends.sound import LARGEST
from w2v.kernels.softmax_cpu import EPSILON
from w2v.objectives.block_batch import Batch, Targets, host_copy

# Logits that are held at once.
TILE = 1 << 26


class ArrayOperations:
    """Plain array code, rows of the batch in tiles: the readable twin of the fast operations."""

    def __init__(
        self,
        xp: ModuleType = np,
        dtype: type = np.float32,
        tile: int = TILE,
        context: AbstractContextManager | None = None,
    ) -> None:
        """xp: the array module; dtype: of parameters and sums; tile: logits that are held at once; context: what has
        to surround the work, such as a stream."""  # fmt: skip
        self._context = context or nullcontext()
        self.xp, self.dtype, self.tile = xp, dtype, tile
        self._loss = xp.zeros((), np.float64)

    def new_rows(self, count: int, size: int) -> Rows:
        """Zeros."""
        return Rows(self.xp.zeros((count, size), self.dtype), self.xp.zeros(count, self.dtype), size)

    def load_rows(self, rows: Rows, matrix: np.ndarray, accumulators: np.ndarray) -> None:
        """Copy in."""
        with self._context:
            rows.matrix[:] = self.xp.asarray(matrix)
            rows.accumulators[:] = self.xp.asarray(accumulators)

    def read_rows(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Copies."""
        with self._context:
            return host_copy(rows.matrix), host_copy(rows.accumulators)

    def is_sound(self, rows: Rows) -> bool:
        """Whether every value is finite, and its square too."""
        with self._context:
            sound = rows.matrix.max() < LARGEST and rows.matrix.min() > -LARGEST
            return bool(sound and rows.accumulators.max() < float("inf"))

    def rows_changed(self, rows: Rows) -> None:
        """There is no shadow."""

    def running(self) -> AbstractContextManager:
        """The context that was given."""
        return self._context

    def array(self, values: np.ndarray) -> Array:
        """On the device."""
        return self.xp.asarray(values)

    def new_bias(self, bias: np.ndarray) -> Array:
        """A copy."""
        return self.xp.asarray(bias.astype(self.dtype))

    def bias_slice(self, bias: Array, begin: int, end: int) -> Array:
        """A view."""
        return bias[begin:end]

    def hidden(self, inputs: Rows, batch: Batch, mean: bool) -> Array:
        """Rows of the inputs, or means or sums of bags."""
        rows = inputs.matrix[batch.inputs]
        if batch.bags is None:
            return rows
        return self._sums(rows, batch.bags.begins, batch.bags.members, mean)

    def _sums(self, matrix: Array, begins: Array, index: Array, mean: bool = False) -> Array:
        """Row r: the sum of matrix[index[begins[r] : begins[r + 1]]]."""
        xp = self.xp
        lengths = xp.diff(begins)
        owner = xp.searchsorted(begins[1:], xp.arange(index.size), side="right")
        sums = xp.zeros((lengths.size, matrix.shape[1]), self.dtype)
        xp.add.at(sums, owner, matrix[index])
        return sums / xp.maximum(lengths, 1).astype(self.dtype)[:, None] if mean else sums

    def take(self, matrix: Array, rows: Array) -> Array:
        """A copy."""
        return matrix[rows]

    def project(self, hidden: Array, projection: Rows) -> Array:
        """A plain product."""
        return hidden @ projection.matrix

    def block(
        self, hidden: Array, rows: Rows, bias: Array, weights: Array, targets: Targets, rate: float | None
    ) -> Array | None:
        """Logits, softmax and the two products of the gradient, tile by tile."""
        xp, matrix = self.xp, rows.matrix
        begins = targets.begins.astype(np.int64)
        d_hidden, d_matrix = xp.zeros_like(hidden), xp.zeros_like(matrix)
        step = max(1, self.tile // max(1, len(matrix)))
        for begin in range(0, len(hidden), step):
            end = min(begin + step, len(hidden))
            logits = hidden[begin:end] @ matrix.T + bias
            first, last = int(begins[begin]), int(begins[end])
            places = xp.arange(first, last)
            row = xp.searchsorted(begins[begin + 1 : end + 1], places, side="right")
            column, count = targets.columns[first:last], targets.weights[first:last].astype(self.dtype)
            peak = logits.max(axis=1, keepdims=True)
            share = xp.exp(logits - peak)
            mass = share.sum(axis=1, keepdims=True)
            n = weights[begin:end].astype(self.dtype)[:, None]
            self._loss += (n * (peak + xp.log(mass))).sum() - (count * logits[row, column]).sum()
            if rate is None:
                continue
            d_logits = share * (n / mass)
            xp.subtract.at(d_logits, (row, column), count)
            d_hidden[begin:end] = d_logits @ matrix
            d_matrix += d_logits.T @ hidden[begin:end]
        if rate is None:
            return None
        self._adagrad(rows, xp.arange(len(matrix)), d_matrix, rate)
        return d_hidden

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
        """One block after the other."""
        for cluster, (begin, end) in enumerate(
            zip(cluster_begins[:-1].tolist(), cluster_begins[1:].tolist(), strict=True)
        ):
            if begin == end:
                continue
            words = slice(int(edges[cluster]), int(edges[cluster + 1]))
            targets = batch.job_targets
            d_hidden = self.block(
                hidden[batch.job_rows[begin:end]],
                Rows(rows.matrix[words], rows.accumulators[words], rows.size),
                bias[words],
                batch.job_weights[begin:end],
                Targets(targets.begins[begin : end + 1], targets.columns, targets.weights),
                rate,
            )
            if rate is not None:
                d_jobs[begin - jobs.start : end - jobs.start] = d_hidden

    def project_back(self, d_reduced: Array, hidden: Array, projection: Rows, rate: float, d_hidden: Array) -> None:
        """Two products."""
        d_hidden[:] = d_reduced @ projection.matrix.T
        self._adagrad(projection, self.xp.arange(len(projection.matrix)), hidden.T @ d_reduced, rate)

    def new_gradients(self, rows: int, size: int) -> Array:
        """Zeros."""
        return self.xp.zeros((rows, size), self.dtype)

    def add_jobs(self, d_hidden: Array, batch: Batch, d_jobs: Array) -> None:
        """By row."""
        d_hidden += self._sums(d_jobs, batch.row_begins, batch.row_jobs)

    def train_inputs(self, inputs: Rows, batch: Batch, d_hidden: Array, rate: float) -> None:
        """Every context of a bag gets the whole gradient of the bag, as in word2vec.c."""
        if batch.bags is not None:
            d_hidden = self._sums(d_hidden, batch.bags.word_begins, batch.bags.windows)
        self._adagrad(inputs, batch.inputs, d_hidden, rate)

    def _adagrad(self, rows: Rows, chosen: Array, gradient: Array, rate: float) -> None:
        accumulators = rows.accumulators[chosen] + (gradient * gradient).mean(axis=1)
        rows.accumulators[chosen] = accumulators
        step = rate / self.xp.sqrt(accumulators + EPSILON)
        rows.matrix[chosen] -= step[:, None].astype(self.dtype) * gradient

    def take_loss(self) -> float:
        """The sum since the last call."""
        loss, self._loss = float(self._loss), self.xp.zeros((), np.float64)
        return loss
