"""What is predicted of held-out sentences: the same pairs whatever the objective.

All pairs of the full window, not shrunk, and of all words, none sub-sampled. For skip-gram a word around a centre is
the input and the centre the target, and a pair counts as often as it occurs; for CBOW a window with a context is one
bag of inputs and one target. The iterators go chunk by chunk, so that memory does not grow with the corpus.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from w2v.config import TrainConfig
from w2v.errors import TrainingError
from w2v.kernels.heldout_cpu import count_targets, window_bags, window_pairs
from w2v.objectives.block_batch import distinct_pairs

# Pairs (context words for CBOW) of a chunk: about 200 MB with what it takes to collapse them.
CHUNK = 1 << 22


class PairCounts(NamedTuple):
    """Distinct (input, target) pairs of a chunk, rising by input and then by target.

    inputs, targets: (B,) int32 words; counts: (B,) float64, how often each pair occurs in the chunk.
    """

    inputs: np.ndarray
    targets: np.ndarray
    counts: np.ndarray


class Bags(NamedTuple):
    """Windows of a chunk: window i predicts targets[i] from bag_words[bag_begins[i]:bag_begins[i + 1]].

    bag_begins: (B + 1,) int64; bag_words: int32, none of the B bags is empty; targets: (B,) int32.
    """

    bag_begins: np.ndarray
    bag_words: np.ndarray
    targets: np.ndarray


def skipgram_pairs(ids: np.ndarray, window: int, words: int, chunk: int = CHUNK) -> Iterator[PairCounts]:
    """The pairs of held-out ids, (N,) int32 with −1 after each sentence; words: size of the vocabulary, V."""
    centres = _centres(ids, window, chunk)
    keys = np.empty(centres * 2 * window, np.int64)
    for begin in range(0, ids.size, centres):
        count = window_pairs(ids, begin, min(begin + centres, ids.size), window, words, keys)
        if count:
            yield _collapse(keys[:count], words)


def cbow_windows(ids: np.ndarray, window: int, chunk: int = CHUNK) -> Iterator[Bags]:
    """The windows of held-out ids, (N,) int32 with −1 after each sentence."""
    centres = _centres(ids, window, chunk)
    for begin in range(0, ids.size, centres):
        begins, targets = np.empty(centres + 1, np.int64), np.empty(centres, np.int32)
        bag_words = np.empty(centres * 2 * window, np.int32)
        end = min(begin + centres, ids.size)
        count = window_bags(ids, begin, end, window, begins, bag_words, targets)
        if count:
            yield Bags(begins[: count + 1], bag_words[: begins[count]], targets[:count])


def target_counts(ids: np.ndarray, config: TrainConfig, words: int) -> np.ndarray:
    """How often each word is a target of held-out ids, (V,) int64: per pair, or per window for CBOW.

    Raises TrainingError where there is no pair.
    """
    counts = np.zeros(words, np.int64)
    count_targets(ids, config.window, config.model == "cbow", counts)
    if not counts.any():
        raise TrainingError("the held-out sentences hold no pair of words: raise --heldout")
    return counts


def unigram_nll(targets: np.ndarray, counts: np.ndarray) -> float:
    """Mean −log p(target), nats, where p is the share of a word in the text: what a model without inputs can reach.

    targets: (V,) from ``target_counts``; counts: (V,) of the whole vocabulary, before sub-sampling. A word with a
    count of 0 (a vocabulary may come from elsewhere) is taken to occur once, as in the Huffman tree.
    """
    known = np.maximum(counts, 1).astype(np.float64)
    return float(targets @ (np.log(known.sum()) - np.log(known)) / targets.sum())


def _centres(ids: np.ndarray, window: int, chunk: int) -> int:
    """Places of a chunk whose windows cannot hold more than ``chunk`` pairs; at least one."""
    return min(max(1, chunk // (2 * window)), ids.size + 1)


def _collapse(keys: np.ndarray, words: int) -> PairCounts:
    """Sort keys and count equal ones."""
    distinct, begins = distinct_pairs(np, keys)
    inputs, targets = np.divmod(distinct, words)
    return PairCounts(inputs.astype(np.int32), targets.astype(np.int32), np.diff(begins).astype(np.float64))
