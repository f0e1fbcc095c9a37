"""Similarity search in host memory: the same questions as ``device_rows`` answers, on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from w2v.vectors.search import nonzero, normalise_rows, score_blocks, top

if TYPE_CHECKING:
    from w2v.vectors.store import VectorStore


class HostRows:
    """The rows of ``store``, searched on the CPU: one query against the rows as they are, many against unit rows."""

    def __init__(self, store: VectorStore) -> None:
        """Nothing is copied or computed before the first question."""
        self._store = store
        self._unit_rows: np.ndarray | None = None

    def cosines(self, point: np.ndarray, start: int, end: int | None) -> np.ndarray:
        """Cosine similarities (n,) of the unit vector ``point`` (D,) and rows ``start`` to ``end``."""
        self._store.fill_norms()
        return np.dot(self._store.vectors[start:end], point) / nonzero(self._store.norms[start:end])

    def blocks(self, points: np.ndarray, end: int) -> Iterator[tuple[int, np.ndarray]]:
        """Products of ``points`` (Q, D) and the first ``end`` unit rows: (first query, scores (q, end)) by block.

        A block is overwritten by the next one. Costs one scaled copy of the rows.
        """
        if self._unit_rows is None or len(self._unit_rows) != end:
            self._unit_rows = normalise_rows(self._store.vectors[:end])
        return score_blocks(points.astype(self._unit_rows.dtype, copy=False), self._unit_rows)

    def best(self, scores: np.ndarray, count: int) -> Iterator[tuple[list[int], list[float]]]:
        """For each row of ``scores`` (q, n) the positions of its ``count`` largest and their values.

        Largest first, equal ones by position.
        """
        for row in scores:
            positions = top(row, count)
            yield positions.tolist(), row[positions].tolist()

    def hide(self, scores: np.ndarray, queries: np.ndarray, rows: np.ndarray) -> None:
        """Set ``scores`` (q, n) to minus infinity at ``queries`` (m,) and ``rows`` (m,), in place."""
        scores[queries, rows] = -np.inf

    def to_host(self, array: np.ndarray) -> np.ndarray:
        """``array`` itself."""
        return array
