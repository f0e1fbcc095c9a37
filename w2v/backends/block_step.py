"""One step of block softmax, written once for every device and for full, class-based and adaptive softmax alike.

A step works on a ``Batch`` (``w2v/objectives/block_batch.py``) through ``Operations``: NumPy and numba on the CPU
(``block_cpu_operations.py``), cuBLAS and raw kernels on a GPU (``block_cuda_operations.py``), or any array module as
it is (``block_arrays.py``), which is what the others are compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from w2v.objectives.block_batch import Batch, Targets
from w2v.objectives.block_softmax import BlockObjective

Array = Any
#: Calls some work and returns its result; timing wraps it so.
Around = Callable[[Callable[[], Any]], Any]


@dataclass
class Rows:
    """A matrix whose rows row-wise Adagrad trains: matrix (n, size or more), accumulators (n,), on a device.

    shadow: the matrix in the type of the device's products, where that is another one.
    """

    matrix: Array
    accumulators: Array
    size: int
    shadow: Array | None = None


class Operations(Protocol):
    """What a step needs of a device. Arrays are the device's; a rate of None evaluates and changes nothing.

    Losses add up on the device, in nats, until ``take_loss``.
    """

    def new_rows(self, count: int, size: int) -> Rows:
        """Zeros."""

    def load_rows(self, rows: Rows, matrix: np.ndarray, accumulators: np.ndarray) -> None:
        """Copy from the host, (n, size) and (n,) float32."""

    def read_rows(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Matrix and accumulators on the host: views where they are there already."""

    def is_sound(self, rows: Rows) -> bool:
        """Whether every value of the matrix is finite, and its square too, and the accumulators are finite."""

    def rows_changed(self, rows: Rows) -> None:
        """The matrix was written from outside: bring the shadow up to date, where there is one."""

    def running(self) -> AbstractContextManager:
        """What has to surround steps."""

    def array(self, values: np.ndarray) -> Array:
        """A copy on the device, or the array itself where it is there."""

    def new_bias(self, bias: np.ndarray) -> Array:
        """Biases, (n,) float32, on the device."""

    def bias_slice(self, bias: Array, begin: int, end: int) -> Array:
        """Those of neighbouring columns."""

    def hidden(self, inputs: Rows, batch: Batch, mean: bool) -> Array:
        """The hidden vectors of a batch, (rows, D): its input rows, or the means (or sums) of its bags."""

    def take(self, matrix: Array, rows: Array) -> Array:
        """matrix[rows]."""

    def project(self, hidden: Array, projection: Rows) -> Array:
        """hidden · projection, (n, size)."""

    def block(
        self, hidden: Array, rows: Rows, bias: Array, weights: Array, targets: Targets, rate: float | None
    ) -> Array | None:
        """One softmax block: adds to the loss, trains its rows, and returns the gradient of hidden, (n, size)."""

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
        """Many small blocks at once: cluster c is rows[edges[c] : edges[c + 1]], its jobs cluster_begins[c : c + 2].

        hidden: (rows of the batch, D); jobs: those of the tail in the batch; d_jobs: (jobs, D), gets the gradients.
        """

    def project_back(self, d_reduced: Array, hidden: Array, projection: Rows, rate: float, d_hidden: Array) -> None:
        """The gradient of ``project``: writes that of hidden, and trains the projection."""

    def new_gradients(self, rows: int, size: int) -> Array:
        """Room for gradients, (rows, size)."""

    def add_jobs(self, d_hidden: Array, batch: Batch, d_jobs: Array) -> None:
        """d_hidden[r] += d_jobs of the jobs of row r."""

    def train_inputs(self, inputs: Rows, batch: Batch, d_hidden: Array, rate: float) -> None:
        """Row-wise Adagrad on the input rows of a batch."""

    def take_loss(self) -> float:
        """The loss since the last call; waits for the device."""


class BlockModel:
    """The parameters of a block objective on a device, and the step that trains them."""

    def __init__(self, objective: BlockObjective, operations: Operations, mean: bool = True) -> None:
        """Allocate parameters of zeros; mean: whether CBOW takes the mean of a bag, not the sum."""
        self.objective = objective
        self.operations = operations
        self.mean = mean
        layout = objective.layout
        self.inputs = operations.new_rows(layout.words, layout.size)
        self.head = operations.new_rows(layout.columns, layout.size)
        self.tails = [operations.new_rows(tail.words, tail.size) for tail in layout.tails]
        self.projections = [
            operations.new_rows(layout.size, tail.size) if tail.projected else None for tail in layout.tails
        ]
        self.head_bias = operations.new_bias(objective.head_bias)
        word_bias = operations.new_bias(objective.word_bias)
        self.tail_biases = [operations.bias_slice(word_bias, tail.edges[0], tail.edges[-1]) for tail in layout.tails]

    def named_rows(self) -> dict[str, Rows]:
        """The trained matrices by the stem of their parameters' names."""
        layout = self.objective.layout
        named = {"input": self.inputs, layout.head: self.head}
        for tail, rows, projection in zip(layout.tails, self.tails, self.projections, strict=True):
            if projection is not None:
                named[f"{tail.name}_projection"] = projection
            named[tail.name] = rows
        return named

    def train(self, batch: Batch, rate: float, around: Around = lambda work: work()) -> None:
        """One step; the loss stays with the operations. around: calls the work of each block, the head's first."""
        self._step(batch, rate, around)

    def evaluate(self, batch: Batch) -> None:
        """Only the loss, which stays with the operations."""
        self._step(batch, None)

    def _step(self, batch: Batch, rate: float | None, around: Around = lambda work: work()) -> None:
        if batch.rows == 0:
            return
        operations, layout = self.operations, self.objective.layout
        hidden = operations.hidden(self.inputs, batch, self.mean)
        d_hidden = around(
            lambda: operations.block(hidden, self.head, self.head_bias, batch.weights, batch.head, rate)
        )
        d_jobs = None if rate is None else operations.new_gradients(int(batch.job_rows.size), layout.size)
        first = 0
        for number, tail in enumerate(layout.tails):
            begins = batch.cluster_begins[first : first + tail.clusters + 1]
            first += tail.clusters
            around(lambda number=number, begins=begins: self._tail(number, batch, begins, hidden, rate, d_jobs))
        if rate is not None:
            operations.add_jobs(d_hidden, batch, d_jobs)
            operations.train_inputs(self.inputs, batch, d_hidden, rate)

    def _tail(
        self, number: int, batch: Batch, begins: np.ndarray, hidden: Array, rate: float | None, d_jobs: Array | None
    ) -> None:
        if begins[0] == begins[-1]:
            return
        operations, tail, rows = self.operations, self.objective.layout.tails[number], self.tails[number]
        jobs = slice(int(begins[0]), int(begins[-1]))
        room = None if d_jobs is None else d_jobs[jobs]
        bias = self.tail_biases[number]
        if tail.clusters > 1:
            edges = np.array(tail.edges, np.int64) - tail.edges[0]
            operations.clusters(hidden, batch, jobs, begins, rows, edges, bias, rate, room)
            return
        targets = Targets(batch.job_targets.begins[jobs.start : jobs.stop + 1], *_columns(batch.job_targets))
        chosen = operations.take(hidden, batch.job_rows[jobs])
        projection = self.projections[number]
        inner = chosen if projection is None else operations.project(chosen, projection)
        d_inner = operations.block(inner, rows, bias, batch.job_weights[jobs], targets, rate)
        if rate is None:
            return
        if projection is None:
            room[:] = d_inner
        else:
            operations.project_back(d_inner, chosen, projection, rate, room)


def _columns(targets: Targets) -> tuple[Array, Array]:
    return targets.columns, targets.weights
