"""Unit vectors in 8 bits a number, and how far the neighbours found with them are the exact ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from w2v.vectors.search import normalise_rows, top

_SAMPLE = 256
_LIST = 10


class Accuracy(NamedTuple):
    """What rounding changed, for ``_SAMPLE`` words spread over all ranks.

    ``largest_error``: of a cosine; ``agreement``: the mean share of a word's ten nearest that are the exact ones.
    """

    largest_error: float
    agreement: float


def quantise(unit_rows: np.ndarray) -> np.ndarray:
    """``unit_rows`` (V, D) as int8 (V, D): each row is divided by its own scale, its greatest magnitude / 127.

    No scale need be kept: rows had length 1, and ``restore`` gives it back. Rows of zeros stay zero.
    """
    largest = np.abs(unit_rows).max(axis=1, keepdims=True)
    return np.rint(unit_rows * (127 / np.where(largest == 0, 1, largest))).astype(np.int8)


def restore(rows: np.ndarray) -> np.ndarray:
    """The int8 ``rows`` (V, D) as float32 of length 1: the vectors that the page searches."""
    return normalise_rows(rows.astype(np.float32))


def accuracy(unit_rows: np.ndarray, restored: np.ndarray) -> Accuracy:
    """Compare ``restored`` with the exact ``unit_rows``, both (V, D)."""
    sample = np.unique(np.linspace(0, len(unit_rows) - 1, _SAMPLE).astype(np.int64))
    exact, rounded = unit_rows[sample] @ unit_rows.T, restored[sample] @ restored.T
    error = float(np.abs(exact - rounded).max())
    count, shared = min(_LIST, len(unit_rows) - 1), 0
    for row, one, other in zip(sample, exact, rounded, strict=True):
        one[row] = other[row] = -np.inf
        shared += len(np.intersect1d(top(one, count), top(other, count)))
    return Accuracy(error, shared / (len(sample) * count))
