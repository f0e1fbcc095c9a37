"""Ranking by similarity: the best few of one row of scores, and of many queries as matrix products."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

# Scores held at once while answering many queries: 16 million float32 are 64 MB. Fewer make the product
# slower.
SCORES_AT_ONCE = 1 << 24


def row_norms(vectors: np.ndarray) -> np.ndarray:
    """Euclidean length of each row of ``vectors`` (V, D); shape (V,), float32 or wider."""
    vectors = _at_least_float32(vectors)
    return np.sqrt(np.einsum("ij,ij->i", vectors, vectors))


def normalise_rows(vectors: np.ndarray, norms: np.ndarray | None = None) -> np.ndarray:
    """A copy of ``vectors`` (V, D) with rows of length 1; a row of zeros stays zero."""
    norms = row_norms(vectors) if norms is None else norms
    return _at_least_float32(vectors) / nonzero(norms)[:, None]


def nonzero(norms: np.ndarray) -> np.ndarray:
    """``norms`` with 1 in place of 0, so that a vector of zeros is similar to nothing instead of NaN."""
    return np.where(norms == 0, norms.dtype.type(1), norms)


def unit(vector: np.ndarray) -> np.ndarray:
    """``vector`` (D,) scaled to length 1; zeros stay zero. At least float32."""
    vector = _at_least_float32(np.asarray(vector))
    length = np.sqrt(np.dot(vector, vector))
    return vector / length if length > 0 else vector


def top(scores: np.ndarray, count: int) -> np.ndarray:
    """Positions of the ``count`` largest ``scores`` (1-D), largest first; equal ones by position."""
    count = min(count, len(scores))
    if count <= 0:
        return np.empty(0, np.intp)
    candidates = _contenders(scores, count)
    falling = -scores[candidates]
    if count < len(candidates):
        limit = np.partition(falling, count - 1)[count - 1]
        kept = falling <= limit
        candidates, falling = candidates[kept], falling[kept]
    return candidates[np.argsort(falling, kind="stable")][:count]


def _contenders(scores: np.ndarray, count: int) -> np.ndarray:
    """Rising positions of the ``count`` largest ``scores`` (n,) and some others, found without ranking all of them.

    Each of the ``count`` largest of the maxima of stretches is a score itself, so that no smaller one is among the
    ``count`` largest. About sqrt(n count) are left of n.
    """
    width = math.isqrt(len(scores) // count)
    stretches = len(scores) // width
    maxima = scores[: stretches * width].reshape(stretches, width).max(axis=1)
    limit = np.partition(maxima, stretches - count)[stretches - count]
    # NaN is the largest to a partition and the smallest to the ranking: with one among the maxima, all contend.
    return np.arange(len(scores)) if np.isnan(maxima).any() else np.flatnonzero(scores >= limit)


def queries_at_once(rows: int) -> int:
    """How many queries to answer together against ``rows`` rows, so that SCORES_AT_ONCE bounds their scores."""
    return max(1, SCORES_AT_ONCE // max(1, rows))


def score_blocks(queries: np.ndarray, unit_rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Scores of many queries against all rows, a block of queries at a time.

    ``queries`` (Q, D) and ``unit_rows`` (V, D); yields (first query, scores (q, V)). The block of scores is
    overwritten by the next one, so that memory stays bounded whatever Q is.
    """
    step = queries_at_once(len(unit_rows))
    scores = np.empty((min(step, len(queries)), len(unit_rows)), np.result_type(queries, unit_rows))
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        yield start, np.matmul(block, unit_rows.T, out=scores[: len(block)])


def _at_least_float32(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, np.promote_types(array.dtype, np.float32))
