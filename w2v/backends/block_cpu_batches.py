"""Batches of block softmax, cut and collapsed on the CPU."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from w2v.backends.block import Piece
from w2v.config import TrainConfig
from w2v.kernels.jit import read_only
from w2v.kernels.pairs_cpu import cbow_bags, skipgram_keys
from w2v.kernels.random import STREAM_SUBSAMPLE, STREAM_WINDOW, epoch_key
from w2v.kernels.stream_cpu import keep_thresholds
from w2v.objectives.block_batch import Batch, collapse_pairs, collapse_windows, distinct_pairs
from w2v.objectives.block_softmax import BlockObjective
from w2v.objectives.heldout_pairs import cbow_windows, skipgram_pairs

# Pairs of held-out text that are collapsed at once.
HELDOUT_CHUNK = 1 << 20


class CpuBatches:
    """Windows cut by ``kernels/pairs_cpu.py``, collapsed by NumPy."""

    def __init__(self, config: TrainConfig, objective: BlockObjective) -> None:
        """Build the thresholds of sub-sampling."""
        self.config, self.objective = config, objective
        self._keep = keep_thresholds(objective.counts, config.sample)

    def upload(self, ids: np.ndarray, tokens: int) -> None:
        """Nothing to do: the kernels read the ids where they are."""

    def pieces(self, ids: np.ndarray, epoch: int, tokens: int, begin: int = 0) -> Iterator[Piece]:
        """An epoch from the batch at ``begin`` on, in batches of ``tokens`` ids each, but for the last one."""
        config, objective = self.config, self.objective
        ids = read_only(ids)
        keys = [
            np.uint64(epoch_key(np.uint64(config.seed), epoch, purpose))
            for purpose in (STREAM_SUBSAMPLE, STREAM_WINDOW)
        ]
        cut = (config.window, config.shrink_windows, self._keep, *keys, objective.ranks)
        for place in range(begin, ids.size, tokens):
            end = min(place + tokens, ids.size)
            if config.model == "cbow":
                begins, words, ranks, kept, read = cbow_bags(ids, place, end, *cut)
                yield Piece(
                    collapse_windows(np, objective.layout, begins, words, ranks), ranks.size, kept, read, place
                )
            else:
                pairs, kept, read = skipgram_keys(ids, place, end, *cut)
                batch = next(collapse_pairs(np, objective.layout, *distinct_pairs(np, pairs)))
                yield Piece(batch, pairs.size, kept, read, place)

    def heldout(self, ids: np.ndarray) -> Iterator[tuple[Batch, int]]:
        """All the pairs of whole windows without sub-sampling, in batches, with the pairs of each."""
        return heldout_batches(self.config, self.objective, ids)


def heldout_batches(config: TrainConfig, objective: BlockObjective, ids: np.ndarray) -> Iterator[tuple[Batch, int]]:
    """Batches of held-out ids, (N,) int32 with −1 after each sentence, on the host, with the pairs of each."""
    layout, words = objective.layout, objective.counts.size
    if config.model == "cbow":
        for bags in cbow_windows(ids, config.window, HELDOUT_CHUNK):
            ranks = objective.ranks[bags.targets]
            yield collapse_windows(np, layout, bags.bag_begins, bags.bag_words, ranks), ranks.size
        return
    for inputs, targets, counts in skipgram_pairs(ids, config.window, words, HELDOUT_CHUNK):
        keys = inputs.astype(np.int64) * words + objective.ranks[targets]
        order = np.argsort(keys)
        begins = np.concatenate([[0], np.cumsum(counts[order])]).astype(np.int64)
        yield next(collapse_pairs(np, layout, keys[order], begins)), int(begins[-1])
