"""Batches of block softmax, cut and collapsed on a GPU: windows by numba-CUDA, sorting and segments by CuPy.

A segment of the corpus is collapsed at once, all its batches together: the host waits for the GPU a few times per
segment, and knows the shapes of everything that the steps of its batches will launch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
from numba import cuda

from w2v.backends.block import Piece
from w2v.backends.block_cpu_batches import heldout_batches
from w2v.backends.cuda_stream import GRID, SEGMENT, THREADS, DeviceStream, Segment
from w2v.config import TrainConfig
from w2v.kernels import pairs_cuda
from w2v.kernels.stream_cuda import WORDS
from w2v.objectives.block_batch import (
    Bags,
    Batch,
    Targets,
    collapse_pairs,
    collapse_windows,
    distinct_pairs,
    host_copy,
)
from w2v.objectives.block_softmax import BlockObjective

# Pairs of a segment, at most: what takes part in collapsing them is some 100 bytes a pair.
SEGMENT_PAIRS = 1 << 24
BYTES_PER_PAIR = 100
SEGMENT_BATCHES = 4096


class CudaBatches:
    """``DeviceStream`` cuts the windows; ``kernels/pairs_cuda.py`` emits what CuPy sorts."""

    def __init__(
        self,
        config: TrainConfig,
        objective: BlockObjective,
        stream: object,
        xp: ModuleType,
        free_memory: Callable[[], int],
    ) -> None:
        """stream: numba's; xp: CuPy, whose current stream has to be the same one whenever batches are asked for.

        free_memory: bytes that may be used on the device.
        """
        self.config, self.objective, self.stream, self.xp = config, objective, stream, xp
        self._free_memory = free_memory
        self._ranks = cuda.to_device(objective.ranks, stream)
        self._source: DeviceStream | None = None

    def upload(self, ids: np.ndarray, tokens: int) -> None:
        """Bring a corpus to the device, whole where it fits; segments are whole batches of ``tokens`` ids."""
        if self._source is not None and self._source.holds(ids):
            return
        self._source = None
        free = self._free_memory()
        # Every place may have as many pairs as its window has room for.
        contexts = 1 if self.config.model == "cbow" else 2 * self.config.window
        most = max(1, min(SEGMENT_PAIRS, free // (2 * BYTES_PER_PAIR)) // contexts)
        # A key is below batches · V²: 63 bits hold it.
        batches = max(1, min(SEGMENT_BATCHES, 2**62 // self.objective.counts.size**2))
        longest = max(tokens, min(SEGMENT, most, batches * tokens) // tokens * tokens)
        self._source = DeviceStream(self.config, self.objective.counts, None, self.stream, longest)
        self._source.upload(ids, free // 2)

    def pieces(self, ids: np.ndarray, epoch: int, tokens: int, begin: int = 0) -> Iterator[Piece]:
        """An epoch from the batch at ``begin`` on, in batches of ``tokens`` ids each.

        The last windows of a segment go with the first of the next. A segment is cut whole, also where its first
        batches are passed over.
        """
        source = self._source
        first, words = begin, source.begin_epoch(epoch, begin // source.segment * source.segment)
        for segment in source.segments():
            places, sums = (array.copy_to_host(stream=self.stream) for array in (segment.places, source.sums))
            self.stream.synchronize()  # before the host looks at either
            read = int(sums[WORDS])
            batches = range(segment.begin // tokens, -(-segment.end // tokens))
            centres = range(*places[:2].tolist())
            pieces = self._segment(segment, centres, batches, segment.begin, tokens, read - words)
            yield from (piece for piece in pieces if piece.begin >= first)
            words = read

    def _segment(
        self, segment: Segment, centres: range, batches: range, begin: int, tokens: int, words: int
    ) -> Iterator[Piece]:
        """centres: places of the segment; batches: numbers of those that its ids are in; begin: where these begin in
        the corpus; words: how many of them are words."""  # fmt: skip
        if centres:
            limits, found = self._batches(segment, centres, batches, tokens)
        else:
            limits, found = [0] * (len(batches) + 1), [(self._nothing(), 0)] * len(batches)
        shares = _shares(words, limits)
        for number, (batch, pairs) in enumerate(found):
            kept = limits[number + 1] - limits[number]
            place = max(begin, batches[number] * tokens)
            yield Piece(batch, pairs, kept, shares[number], place, waits=number + 1 == len(batches))

    def _nothing(self) -> Batch:
        no_keys = self.xp.empty(0, np.int64)
        return next(collapse_pairs(self.xp, self.objective.layout, *distinct_pairs(self.xp, no_keys)))

    def _batches(
        self, segment: Segment, centres: range, batches: range, tokens: int
    ) -> tuple[list[int], Iterator[tuple[Batch, int]]]:
        """Where the batches begin among the centres, and the batches with their pairs."""
        xp, first = self.xp, centres.start
        counts = xp.empty(len(centres), np.int64)
        pairs_cuda.count_contexts[GRID, THREADS, self.stream](segment.spans, first, counts)
        positions = xp.asarray(segment.positions)[first : centres.stop]
        batch_of = xp.maximum(positions // tokens - batches.start, 0)
        limits = xp.searchsorted(batch_of, xp.arange(len(batches) + 1)).tolist()
        if self.config.model == "cbow":
            return limits, self._windows(segment, first, counts, limits)
        return limits, self._pairs(segment, first, counts, batch_of, limits)

    def _pairs(
        self, segment: Segment, first: int, counts: object, batch_of: object, limits: list[int]
    ) -> Iterator[tuple[Batch, int]]:
        xp, objective = self.xp, self.objective
        begins = xp.concatenate([xp.zeros(1, np.int64), xp.cumsum(counts)])
        pairs = np.diff(host_copy(begins[xp.asarray(limits)])).tolist()
        keys = xp.empty(sum(pairs), np.int64)
        if keys.size:
            pairs_cuda.emit_pairs[GRID, THREADS, self.stream](
                segment.words, segment.spans, first, begins[:-1], batch_of, self._ranks, keys
            )
        batches = collapse_pairs(xp, objective.layout, *distinct_pairs(xp, keys), len(pairs))
        return zip(batches, pairs, strict=True)

    def _windows(
        self, segment: Segment, first: int, counts: object, limits: list[int]
    ) -> Iterator[tuple[Batch, int]]:
        xp, objective = self.xp, self.objective
        words, ranks = xp.asarray(segment.words), xp.asarray(self._ranks)
        for begin, end in zip(limits, limits[1:], strict=False):
            rows = xp.flatnonzero(counts[begin:end]) + begin
            ends = xp.cumsum(counts[rows])
            begins = xp.concatenate([xp.zeros(1, np.int64), ends])
            members = xp.empty(int(begins[-1]), np.int32)
            places = rows + first
            if members.size:
                pairs_cuda.emit_bags[GRID, THREADS, self.stream](
                    segment.words, segment.spans, places, begins[:-1], members
                )
            yield collapse_windows(xp, objective.layout, begins, members, ranks[words[places]]), int(rows.size)

    def heldout(self, ids: np.ndarray) -> Iterator[tuple[Batch, int]]:
        """Collapsed on the host: once per run."""
        for batch, pairs in heldout_batches(self.config, self.objective, ids):
            yield _on_device(self.xp, batch), pairs


def _shares(words: int, limits: list[int]) -> list[int]:
    """Words before sub-sampling of each batch, about in proportion to the kept ones; together all of them."""
    ends = [words * limit // max(1, limits[-1]) for limit in limits[:-1]] + [words]
    return np.diff(ends).tolist()


def _on_device(xp: ModuleType, batch: Batch) -> Batch:
    """A copy of a batch that was made on the host."""

    def targets(of: Targets) -> Targets:
        return Targets(xp.asarray(of.begins), xp.asarray(of.columns), xp.asarray(of.weights))

    bags = batch.bags
    if bags is not None:
        bags = Bags(*(xp.asarray(part) for part in (bags.begins, bags.members, bags.word_begins, bags.windows)))
    return Batch(
        xp.asarray(batch.inputs),
        bags,
        xp.asarray(batch.weights),
        targets(batch.head),
        xp.asarray(batch.job_rows),
        xp.asarray(batch.job_weights),
        targets(batch.job_targets),
        batch.cluster_begins,
        xp.asarray(batch.row_begins),
        xp.asarray(batch.row_jobs),
    )
