"""Sentences that training never sees."""

from __future__ import annotations

import numpy as np

from w2v.errors import TrainingError


def split_heldout(ids: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Part the sentences of an encoded corpus into (training ids, held-out ids), both int32 and in the text's order.

    ids: (N,) int32, −1 after each sentence. fraction: the probability, 0 … 0.5, that a sentence is held out; its draw
    depends on the seed and on the sentence's number alone. A fraction of 0 gives the ids themselves, not a copy.

    Raises TrainingError where either part has no sentence of two words.
    """
    if fraction <= 0:
        return ids, np.empty(0, np.int32)
    from w2v.kernels.heldout_cpu import count_heldout, has_pair, split_sentences
    from w2v.kernels.random import STREAM_HELDOUT, epoch_key

    # One type for numba, whether the ids are a memory map or an array: it compiles once.
    ids = np.asarray(ids).view()
    ids.flags.writeable = False
    threshold = np.uint64(max(1, round(fraction * 2**32)))
    key = np.uint64(epoch_key(np.uint64(seed), 0, STREAM_HELDOUT))
    held = count_heldout(ids, threshold, key)
    train, heldout = np.empty(ids.size - held, np.int32), np.empty(held, np.int32)
    split_sentences(ids, threshold, key, train, heldout)
    if not has_pair(heldout):
        raise TrainingError(
            f"--heldout {fraction:g} keeps back no sentence of two words: raise it, take another --seed or more text"
        )
    if not has_pair(train):
        raise TrainingError(
            f"--heldout {fraction:g} leaves no sentence of two words to learn from: lower it, or take more text"
        )
    return train, heldout


def compile_split() -> None:
    """Compile, or load from a cache, what ``split_heldout`` runs."""
    sentence = [0, 1, -1]
    split_heldout(np.array(100 * sentence, np.int32), 0.5, 0)
