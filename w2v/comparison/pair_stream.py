"""This project's stream of pairs and windows as plain arrays, for systems that take them one by one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np

from w2v.config import TrainConfig
from w2v.kernels.jit import read_only
from w2v.kernels.pairs_cpu import cbow_bags, skipgram_keys
from w2v.kernels.random import STREAM_SUBSAMPLE, STREAM_WINDOW, epoch_key
from w2v.kernels.stream_cpu import keep_thresholds
from w2v.objectives.batching import CorpusShape, tokens_per_batch
from w2v.objectives.block_softmax import BlockObjective
from w2v.objectives.heldout_pairs import cbow_windows

Item = TypeVar("Item")

# Context words of held-out windows that are handed out together.
_HELDOUT_CHUNK = 1 << 18


class Pairs(NamedTuple):
    """Pairs, or windows of CBOW, in the order of the text.

    inputs: int64 words; ranks: (pairs,) int64 of the targets; bag_begins: None for skip-gram, where pair i has the
    input inputs[i]; for CBOW (pairs + 1,) int64, and its context is inputs[bag_begins[i]:bag_begins[i + 1]].
    """

    inputs: np.ndarray
    ranks: np.ndarray
    bag_begins: np.ndarray | None = None


class PairBatch(NamedTuple):
    """What of the corpus is in a batch of pairs.

    kept_words, words: after and before sub-sampling; begin: number of ids of the corpus before the batch.
    """

    pairs: Pairs
    kept_words: int
    words: int
    begin: int


def pair_batches(
    config: TrainConfig, objective: BlockObjective, ids: np.ndarray, epoch: int = 0
) -> Iterator[PairBatch]:
    """The batches of an epoch that block softmax trains on, as they are before they are collapsed.

    config: resolved for the corpus (``batch_pairs``); ids: (N,) int32 with −1 after each sentence.
    """
    ids = read_only(ids)
    sentences = int(np.count_nonzero(ids < 0))
    shape = CorpusShape(objective.counts, ids.size - sentences, sentences)
    step = round(tokens_per_batch(config, shape) * ids.size / max(1, shape.tokens))
    keys = [
        np.uint64(epoch_key(np.uint64(config.seed), epoch, purpose)) for purpose in (STREAM_SUBSAMPLE, STREAM_WINDOW)
    ]
    keep = keep_thresholds(objective.counts, config.sample)
    for begin in range(0, ids.size, step):
        cut = (ids, begin, min(begin + step, ids.size), config.window, config.shrink_windows, keep, *keys)
        if config.model == "cbow":
            begins, words, ranks, kept, read = cbow_bags(*cut, objective.ranks)
            pairs = Pairs(words.astype(np.int64), ranks.astype(np.int64), begins)
        else:
            found, kept, read = skipgram_keys(*cut, objective.ranks)
            pairs = Pairs(*np.divmod(found, objective.counts.size))
        yield PairBatch(pairs, kept, read, begin)


def heldout_windows(config: TrainConfig, objective: BlockObjective, ids: np.ndarray) -> Iterator[Pairs]:
    """The windows of CBOW in held-out ids, whole and without sub-sampling."""
    for bags in cbow_windows(ids, config.window, _HELDOUT_CHUNK):
        ranks = objective.ranks[bags.targets].astype(np.int64)
        yield Pairs(bags.bag_words.astype(np.int64), ranks, bags.bag_begins)


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items; each is made by a thread of its own while the one before is used."""
    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = pool.submit(next, items, None)
            yield item
