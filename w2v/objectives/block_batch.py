"""Batches of block softmax: pairs collapsed to distinct inputs with count-weighted targets.

The hidden vector of a skip-gram pair depends on its input word alone. So pairs need a softmax per *distinct* input c:

    Σ over pairs of −log p(o|c) = Σ_c [ n_c · logsumexp(z_c) − Σ_o n_co · z_co ],   n_c = Σ_o n_co

which is exact. Everything here is written over an array module, ``xp``: NumPy, or CuPy for arrays on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from w2v.errors import TrainingError
from w2v.objectives.block_layout import BlockLayout

Array = Any  # of ``xp``


@dataclass
class Targets:
    """Which columns a block's rows are to predict, and how often.

    begins: (rows + 1,) int32 places in columns and weights; columns: int32, distinct within a row and rising;
    weights: float32, number of pairs.
    """

    begins: Array
    columns: Array
    weights: Array


@dataclass
class Bags:
    """The contexts of CBOW windows.

    begins: (rows + 1,) int64 places in members; members: int32 places in the batch's ``inputs``. word_begins and
    windows: the same the other way round, for every one of ``inputs`` the windows it is in.
    """

    begins: Array
    members: Array
    word_begins: Array
    windows: Array


@dataclass
class Batch:
    """One step's worth of pairs, or of windows.

    inputs: distinct input words, int32; bags: None where every input word is a row of its own; weights: (rows,)
    float32 pairs per row; head: the head's targets. Rows that reach a cluster are *jobs*, by cluster and then by row:
    job_rows (jobs,) int32, job_weights (jobs,) float32, job_targets with columns counted from the cluster's first
    word; cluster_begins: (clusters + 1,) int64 on the host, the first job of each cluster. row_begins (rows + 1,)
    int64 and row_jobs (jobs,) int32 list the jobs of each row.
    """

    inputs: Array
    bags: Bags | None
    weights: Array
    head: Targets
    job_rows: Array
    job_weights: Array
    job_targets: Targets
    cluster_begins: np.ndarray
    row_begins: Array
    row_jobs: Array

    @property
    def rows(self) -> int:
        """Number of rows of the head's block."""
        return int(self.weights.size)


def distinct_pairs(xp: ModuleType, keys: Array) -> tuple[Array, Array]:
    """The distinct ones of int64 keys, sorted, and where each begins among all of them: (n,) and (n + 1,) int64."""
    ordered = xp.sort(keys)
    begins = xp.flatnonzero(_is_new(xp, ordered))
    return ordered[begins], _append(xp, begins, keys.size)


def collapse_pairs(
    xp: ModuleType, layout: BlockLayout, distinct: Array, begins: Array, batches: int = 1
) -> Iterator[Batch]:
    """The batches of pairs whose keys are (batch · V + input) · V + rank of the target.

    distinct, begins: as ``distinct_pairs`` returns them; differences of begins are numbers of pairs. batches: how
    many; one that has no pairs gives a batch without rows. Raises TrainingError on 2^31 distinct pairs or more.
    """
    _require_places(distinct.size)
    lines, ranks = xp.divmod(distinct, layout.words)
    is_row = _is_new(xp, lines)
    row_starts = xp.flatnonzero(is_row)
    batch_of_row, inputs = xp.divmod(lines[row_starts], layout.words)
    row_of = xp.cumsum(is_row) - 1
    limits = xp.searchsorted(batch_of_row, xp.arange(batches + 1))
    weights = xp.diff(begins[_append(xp, row_starts, distinct.size)])
    return _cut_batches(
        xp, layout, batches, limits, batch_of_row, inputs.astype(np.int32), None, weights, row_of, row_starts, ranks,
        begins,
    )  # fmt: skip


def collapse_windows(xp: ModuleType, layout: BlockLayout, bag_begins: Array, bag_words: Array, ranks: Array) -> Batch:
    """The batch of CBOW windows, one row each; nothing can be collapsed.

    bag_begins: (rows + 1,) int64 places in bag_words, int32; ranks: (rows,) of the targets.
    """
    rows = ranks.size
    _require_places(rows)
    order = xp.argsort(bag_words, kind="stable")
    by_word = bag_words[order]
    is_new = _is_new(xp, by_word)
    starts = xp.flatnonzero(is_new)
    members = xp.empty(bag_words.size, np.int32)
    members[order] = (xp.cumsum(is_new) - 1).astype(np.int32)
    windows = xp.searchsorted(bag_begins[1:], order, side="right").astype(np.int32)
    bags = Bags(bag_begins, members, _append(xp, starts, bag_words.size), windows)
    every = xp.arange(rows + 1)
    return next(
        _cut_batches(
            xp, layout, 1, xp.asarray([0, rows]), xp.zeros(rows, np.int64), by_word[starts], bags,
            xp.ones(rows, np.int64), every[:-1], every[:-1], ranks.astype(np.int64), every,
        )
    )  # fmt: skip


def _cut_batches(
    xp: ModuleType,
    layout: BlockLayout,
    batches: int,
    limits: Array,
    batch_of_row: Array,
    inputs: Array,
    bags: Bags | None,
    weights: Array,
    row_of: Array,
    row_starts: Array,
    ranks: Array,
    begins: Array,
) -> Iterator[Batch]:
    """Route targets to blocks, and cut the rows of all batches apart.

    limits: (batches + 1,) rows; row_of: the row of every distinct pair; row_starts: each row's first distinct pair.
    """
    clusters, shortlist = max(layout.clusters, 1), layout.shortlist
    edges = xp.asarray(layout.edges)
    cluster = xp.searchsorted(edges, ranks, side="right") - 1
    columns = xp.where(ranks < shortlist, ranks, shortlist + cluster)

    # The head: ranks rise within a row, so the pairs of a row and a cluster are neighbours.
    head_starts = xp.flatnonzero(_is_new(xp, row_of * (layout.columns + 1) + columns))
    head_limits = _append(xp, head_starts, ranks.size)
    head_columns = columns[head_starts]
    head = Targets(
        xp.searchsorted(head_starts, _append(xp, row_starts, ranks.size)).astype(np.int32),
        head_columns.astype(np.int32),
        xp.diff(begins[head_limits]).astype(np.float32),
    )

    # Jobs in the order of the rows, and then by batch, cluster and row.
    entries = xp.flatnonzero(head_columns >= shortlist)
    job_row = row_of[head_starts[entries]]
    place = batch_of_row[job_row] * clusters + head_columns[entries] - shortlist
    order = xp.argsort(place, kind="stable")
    job_limits = host_copy(xp.searchsorted(place[order], xp.arange(batches * clusters + 1)))
    rank_in_batch = xp.empty(order.size, np.int64)
    rank_in_batch[order] = xp.arange(order.size)
    rank_in_batch -= xp.asarray(job_limits[::clusters])[batch_of_row[job_row]]
    row_begins = xp.searchsorted(job_row, xp.arange(row_starts.size + 1))

    entries = entries[order]
    first, lengths = head_limits[entries], head_limits[entries + 1] - head_limits[entries]
    job_begins = _append_first(xp, xp.cumsum(lengths))
    total = int(job_begins[-1])
    job_of = xp.searchsorted(job_begins[1:], xp.arange(total), side="right")
    pair = first[job_of] + xp.arange(total) - job_begins[job_of]
    targets = Targets(
        job_begins.astype(np.int32),
        (ranks[pair] - edges[cluster[pair]]).astype(np.int32),
        (begins[pair + 1] - begins[pair]).astype(np.float32),
    )
    local_rows = (job_row - limits[batch_of_row[job_row]])[order].astype(np.int32)
    job_weights = (begins[head_limits[entries + 1]] - begins[first]).astype(np.float32)
    weights = weights.astype(np.float32)
    row_jobs = rank_in_batch.astype(np.int32)

    limits = host_copy(limits)
    for batch in range(batches):
        rows = slice(int(limits[batch]), int(limits[batch + 1]))
        jobs = job_limits[batch * clusters : (batch + 1) * clusters + 1]
        span = slice(int(jobs[0]), int(jobs[-1]))
        fence = slice(rows.start, rows.stop + 1)
        yield Batch(
            inputs=inputs if bags else inputs[rows],
            bags=bags,
            weights=weights[rows],
            head=Targets(head.begins[fence], head.columns, head.weights),
            job_rows=local_rows[span],
            job_weights=job_weights[span],
            job_targets=Targets(targets.begins[span.start : span.stop + 1], targets.columns, targets.weights),
            cluster_begins=jobs - jobs[0],
            row_begins=row_begins[fence] - span.start,
            row_jobs=row_jobs[span],
        )


def _require_places(count: int) -> None:
    """Raise TrainingError where places among ``count`` targets do not fit 32 bits."""
    if count >= 2**31:
        raise TrainingError(f"a batch of {count:,} distinct pairs is too large: lower --batch-pairs")


def _is_new(xp: ModuleType, values: Array) -> Array:
    """Whether each value differs from the one before, (n,) bool; the first does."""
    new = xp.ones(values.size, bool)
    new[1:] = values[1:] != values[:-1]
    return new


def _append(xp: ModuleType, values: Array, last: int) -> Array:
    return xp.concatenate([values, xp.asarray([last], values.dtype)])


def _append_first(xp: ModuleType, values: Array) -> Array:
    return xp.concatenate([xp.zeros(1, values.dtype), values])


def host_copy(values: Array) -> np.ndarray:
    """An array of any module on the host; waits for the device."""
    return values.get() if hasattr(values, "get") else np.asarray(values)
