"""How far two models agree on the neighbours of a word."""

from __future__ import annotations

import numpy as np

from w2v.vectors.search import score_blocks, top


def shared_neighbours(first: np.ndarray, second: np.ndarray, words: int, count: int) -> np.ndarray:
    """How many of the ``count`` nearest of each of the first ``words`` rows are the same in both models; (n,) int64.

    ``first`` (V, D) and ``second`` (V, E): unit rows of the same V words. All V words are searched, each without
    itself; ``count`` is V - 1 at most.
    """
    one, other = nearest(first, words, count), nearest(second, words, count)
    return np.array([len(np.intersect1d(a, b)) for a, b in zip(one, other, strict=True)])


def nearest(unit_rows: np.ndarray, words: int, count: int) -> list[np.ndarray]:
    """Of each of the first ``words`` of ``unit_rows`` (V, D) the ``count`` nearest rows, nearest first."""
    found = []
    for start, scores in score_blocks(unit_rows[:words], unit_rows):
        for offset, row in enumerate(scores):
            row[start + offset] = -np.inf
            found.append(top(row, min(count, len(unit_rows) - 1)))
    return found
