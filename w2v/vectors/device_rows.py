"""Similarity search on a GPU: the same questions as ``host_rows`` answers, with CuPy.

Written over CuPy's array interface alone (matrix products, sorts, reductions, indexing), so that anything with
that interface can stand in for it. Only queries go to the GPU and only the best few of their scores come back.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from w2v.errors import DeviceError
from w2v.vectors import search

if TYPE_CHECKING:
    import cupy

# What ranking a block holds per score: the score and its order (4 each), its key (8), and room for temporaries.
_BYTES_PER_SCORE = 24
_LAST = np.iinfo(np.int64).max
_LOW = (1 << 32) - 1


class DeviceRows:
    """The first rows of ``vectors`` (V, D), scaled to length 1, as float32 on the GPU.

    They are copied when they are first asked about, and again where a later question reaches further. Products are
    float32 throughout: cuBLAS rounds float32 to TF32 only where it is told to, and CuPy tells it so only under
    CUPY_TF32=1, which is refused here.
    """

    def __init__(self, vectors: np.ndarray, norms: np.ndarray) -> None:
        """``norms`` (V,) are the lengths of the rows. Raises DeviceError where CuPy would multiply in TF32."""
        if os.environ.get("CUPY_TF32", "0") not in ("", "0"):
            raise DeviceError(
                "CUPY_TF32 is set, and CuPy rounds what it multiplies to 11 bits: unset it, or search on the CPU"
            )
        self._vectors, self._norms = vectors, norms
        self._unit_rows: cupy.ndarray | None = None
        self._reach = 0

    def hold(self, vectors: np.ndarray, norms: np.ndarray) -> bool:
        """Whether these are the rows of the arrays ``vectors`` and ``norms`` themselves."""
        return self._vectors is vectors and self._norms is norms

    @contextmanager
    def memory_errors(self) -> Iterator[None]:
        """Turn CuPy's running out of GPU memory into a DeviceError that says how much is needed."""
        try:
            yield
        except array_module().cuda.memory.OutOfMemoryError as error:
            size = self._vectors.shape[1]
            needed = 4 * self._reach * size + _BYTES_PER_SCORE * max(self._reach, search.SCORES_AT_ONCE)
            raise DeviceError(
                f"searching {self._reach} vectors of {size} dimensions on the GPU needs about {needed / 1e9:.1f} GB "
                "of its memory, more than is free: load fewer vectors (--limit), or search on the CPU (--device cpu)"
            ) from error

    def cosines(self, point: np.ndarray, start: int, end: int | None) -> cupy.ndarray:
        """Cosine similarities (n,) of the unit vector ``point`` (D,) and rows ``start`` to ``end``."""
        start, end, _ = slice(start, end).indices(len(self._vectors))
        return self._rows(end)[start:] @ _sent(point)

    def blocks(self, points: np.ndarray, end: int) -> Iterator[tuple[int, cupy.ndarray]]:
        """Products of ``points`` (Q, D) and the first ``end`` unit rows: (first query, scores (q, end)) by block."""
        rows, step = self._rows(end), search.queries_at_once(end)
        for start in range(0, len(points), step):
            yield start, _sent(points[start : start + step]) @ rows.T

    def best(self, scores: cupy.ndarray, count: int) -> list[tuple[list[int], list[float]]]:
        """For each row of ``scores`` (q, n) the positions of its ``count`` largest and their values.

        Largest first, equal ones by position.
        """
        count = min(count, scores.shape[1])
        if count <= 0:
            return [([], [])] * len(scores)
        rows = _top_columns(scores, count)
        values = array_module().take_along_axis(scores, rows, axis=1)
        return list(zip(rows.get().tolist(), values.get().tolist(), strict=True))

    def hide(self, scores: cupy.ndarray, queries: np.ndarray, rows: np.ndarray) -> None:
        """Set ``scores`` (q, n) to minus infinity at ``queries`` (m,) and ``rows`` (m,), in place."""
        xp = array_module()
        scores[xp.asarray(queries), xp.asarray(rows)] = -np.inf

    def to_host(self, array: cupy.ndarray) -> np.ndarray:
        """A copy of ``array`` in host memory."""
        return array.get()

    def _rows(self, end: int) -> cupy.ndarray:
        """The first ``end`` unit rows; scaled on the host, part by part, and so the CPU's to the last bit."""
        if self._unit_rows is None or len(self._unit_rows) < end:
            self._unit_rows, self._reach = None, end  # the old rows make room for the new ones
            size = self._vectors.shape[1]
            rows = array_module().empty((end, size), np.float32)
            step = search.queries_at_once(size)
            for start in range(0, end, step):
                part = slice(start, min(start + step, end))
                rows[part] = _sent(search.normalise_rows(self._vectors[part], self._norms[part]))
            self._unit_rows = rows
        return self._unit_rows[:end]


def array_module() -> ModuleType:
    """CuPy, imported when it is needed."""
    import cupy

    return cupy


def _sent(array: np.ndarray) -> cupy.ndarray:
    """``array`` on the GPU, as float32."""
    return array_module().asarray(np.ascontiguousarray(array, np.float32))


def _top_columns(scores: cupy.ndarray, count: int) -> cupy.ndarray:
    """Columns (q, count) of the largest of each row of ``scores`` (q, n), 1 <= count <= n, by falling score.

    Every score gets a key that is its own: keys rise as scores fall, then by column. The row of keys is cut into
    chunks, and the ``count`` smallest keys all lie in the ``count`` chunks of the smallest minima: each of these
    holds a key below those of any other chunk. So only about 2 sqrt(n count) keys are sorted in place of n.
    """
    xp = array_module()
    rows, columns = scores.shape
    width = math.isqrt(columns // count)
    chunks = -(-columns // width)
    keys = xp.full((rows, chunks * width), _LAST, np.int64)
    found = keys[:, :columns]
    found[...] = _falling(scores)
    found <<= 32
    found |= xp.arange(columns)
    chunked = keys.reshape(rows, chunks, width)
    smallest = xp.sort(chunked.min(axis=2), axis=1)[:, :count]
    chosen = (smallest & _LOW) // width
    candidates = xp.take_along_axis(chunked, chosen[:, :, None], axis=1).reshape(rows, count * width)
    return xp.sort(candidates, axis=1)[:, :count] & _LOW


def _falling(scores: cupy.ndarray) -> cupy.ndarray:
    """int32 numbers that rise as the float32 ``scores`` fall, equal where these are equal; NaN comes last.

    The bits of floats of one sign, read as a whole number, rise with their magnitude.
    """
    order = (scores + 0).view(np.int32)  # + 0 turns -0 into 0
    order ^= ~((order >> 31) & 0x7FFFFFFF)
    order[scores != scores] = np.iinfo(np.int32).max
    return order
