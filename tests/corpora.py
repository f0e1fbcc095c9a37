"""Counts of vocabularies and random corpora that several files of tests train on."""

import numpy as np


def zipf_counts(words: int) -> np.ndarray:
    return np.maximum(1, 2000 // np.arange(1, words + 1)).astype(np.int64)


def fibonacci_counts(words: int) -> np.ndarray:
    """Counts whose Huffman tree is a chain: the rarest word's path has words − 1 nodes."""
    counts = [1, 1]
    while len(counts) < words:
        counts.append(counts[-1] + counts[-2])
    return np.array(counts[::-1], np.int64)


def random_ids(rng: np.random.Generator, words: int, sentences: int, longest: int) -> np.ndarray:
    """Sentences of 1 … longest tokens, −1 after each; frequent words stand twice in many windows."""
    weights = 1.0 / np.arange(1, words + 1)
    parts = []
    for length in rng.integers(1, longest + 1, sentences):
        parts += [rng.choice(words, length, p=weights / weights.sum()), [-1]]
    return np.concatenate(parts).astype(np.int32)
