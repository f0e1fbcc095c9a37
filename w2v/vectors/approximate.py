"""Approximate search: unit rows in the cells of an inverted file (faiss), of which a query looks through a few.

Cells are those of spherical k-means: every row belongs to the centroid with which it has the largest inner product,
and a query visits the cells of the centroids nearest to it. On word vectors this was faster and found more than
graphs (HNSW), which lose their way where a few rows are near to a great many others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from w2v.errors import ConfigError, FormatError, OutputError, require
from w2v.vectors.index_cache import Cells, IndexCache, fingerprint
from w2v.vectors.search import normalise_rows

if TYPE_CHECKING:
    from w2v.vectors.store import VectorStore

# Cells per square root of the rows: looking at all centroids then costs about as much as looking through a few cells.
_CELLS = 2.0
# Rows per cell that k-means learns from, and its rounds.
_LEARNED_FROM, _ROUNDS = 64, 10
# Below this many rows a cell, the centroids are more work than the rows.
_LEAST_ROWS = 32
# Queries to choose the number of cells by, and others to measure the recall with: half of each are words that people
# ask about, half any words.
_CHOOSING, _MEASURING, _FREQUENT = 200, 200, 20_000
# As many of the nearest rows of each of these queries are known exactly.
_KNOWN = 100
# Inner products of unit vectors are equal up to their rounding.
_ROUNDING = 1e-5
_ROWS_AT_ONCE = 1 << 16


class ApproximateIndex:
    """Unit rows in cells; ``best`` looks through ``probes`` of them."""

    def __init__(self, store: VectorStore, found: Cells) -> None:
        """Put the rows of ``store`` into the cells ``found``; costs a copy of them. One cell is looked through."""
        faiss = _faiss()
        self._vectors, self._norms, self._words = store.vectors, store.norms, store.index_to_key
        self._found = found
        count, size = found.centroids.shape
        self._centroids = faiss.IndexFlatIP(size)
        self._centroids.add(found.centroids)
        self._lists = faiss.IndexIVFFlat(self._centroids, size, count, faiss.METRIC_INNER_PRODUCT)
        self._lists.is_trained = True
        # Lists that grow by doubling would hold half as much again.
        for cell, rows in enumerate(np.bincount(found.cells, minlength=count).tolist()):
            self._lists.invlists.resize(cell, rows)
            self._lists.invlists.resize(cell, 0)
        for start, rows in _unit_blocks(store):
            cells = found.cells[start : start + len(rows)].astype(np.int64)
            self._lists.add_core(len(rows), faiss.swig_ptr(rows), None, faiss.swig_ptr(cells))
        self.probes = 1

    def holds(self, vectors: np.ndarray, norms: np.ndarray) -> bool:
        """Whether these are the rows of the arrays ``vectors`` and ``norms`` themselves."""
        return self._vectors is vectors and self._norms is norms

    @property
    def probes(self) -> int:
        """How many cells a query looks through; all of them make the search exact."""
        return self._lists.nprobe

    @probes.setter
    def probes(self, count: int) -> None:
        self._lists.nprobe = count

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return self._lists.nlist

    def best(self, points: np.ndarray, count: int) -> Iterator[tuple[list[int], list[float]]]:
        """For each of the unit vectors ``points`` (Q, D) about ``count`` near rows and their cosines, falling.

        There are fewer where the cells that were looked through hold fewer.
        """
        for rows, similarities in zip(*self._search(points, count), strict=True):
            kept = rows >= 0
            yield rows[kept].tolist(), similarities[kept].tolist()

    def most_similar(self, vector: np.ndarray, topn: int) -> list[tuple[str, float]]:
        """About ``topn`` words near to ``vector`` (D,): what gensim's ``indexer=`` calls."""
        ((rows, similarities),) = self.best(normalise_rows(vector[None]), topn)
        return [(self._words[row], value) for row, value in zip(rows, similarities, strict=True)]

    def recall(self, count: int) -> float:
        """The share of the ``count`` nearest rows (100 at most) that are found, on the mean of the measured queries.

        A row that is as near as the last of them counts as one of them. 1 where there is nothing to find.
        """
        return float(self._shares(count, self._part(choosing=False)).mean())

    def surely_recalls(self, share: float, count: int) -> bool:
        """Whether ``share`` of the ``count`` nearest rows are found for the queries to choose by, and a margin.

        The margin is the standard error of their mean, since other queries may do worse than these.
        """
        shares = self._shares(count, self._part(choosing=True))
        return float(shares.mean() - shares.std() / math.sqrt(len(shares))) >= share

    def measured(self, count: int) -> tuple[int, int]:
        """What ``recall(count)`` is measured on: (how many nearest rows, how many queries)."""
        return min(count, self._found.similarities.shape[1]), len(self._found.sample[self._part(choosing=False)])

    def _part(self, choosing: bool) -> slice:
        """The queries to choose by, or the others."""
        end = len(self._found.sample) * _CHOOSING // (_CHOOSING + _MEASURING)
        return slice(0, end) if choosing else slice(end, None)

    def _shares(self, count: int, part: slice) -> np.ndarray:
        """The share (q,) of its ``count`` nearest rows that is found for each query of a part of the sample."""
        asked, nearest = self._found.sample[part], self._found.similarities[part, :count]
        if not nearest.size:
            return np.ones(1)
        points = normalise_rows(self._vectors[asked], self._norms[asked])
        rows, similarities = self._search(points, nearest.shape[1] + 1)
        others = (rows >= 0) & (rows != asked[:, None])
        near = others & (similarities >= nearest[:, -1:] - _ROUNDING)
        return np.minimum(near.sum(axis=1) / nearest.shape[1], 1)

    def _search(self, points: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows (Q, count), -1 where there are no more, and cosines (Q, count); equal ones go by row."""
        count = max(1, min(count, len(self._vectors)))
        similarities, rows = self._lists.search(np.ascontiguousarray(points, np.float32), count)
        order = np.lexsort((rows, -similarities), axis=-1)
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(similarities, order, axis=1)


def open_index(store: VectorStore, recall: float, topn: int, report: Callable[[str], None]) -> ApproximateIndex:
    """The index of ``store``, from the cache folder or made now, that looks through cells enough for ``recall``.

    ``report`` is told what takes long, what could not be kept, and the recall that was measured for lists of ``topn``
    words. Raises ConfigError, MissingExtraError and FormatError as ``search_approximately`` says.
    """
    if not 0 < recall <= 1:
        raise ConfigError(f"the recall is {recall}: give a share above 0 and up to 1")
    _faiss()
    store.fill_norms()
    if not len(store) or not np.isfinite(store.norms).all():
        raise FormatError("an approximate search needs vectors, all of finite numbers: search exactly")
    index, origin = _kept_or_made(store, report)
    index.probes = _cells_enough(index, recall, topn)
    nearest, queries = index.measured(topn)
    report(
        f"approximate search: recall@{nearest} {index.recall(nearest):.3f} against exact search on "
        f"{queries:,} words, {index.probes:,} of {index.cells:,} cells a query; {origin}"
    )
    return index


def _kept_or_made(store: VectorStore, report: Callable[[str], None]) -> tuple[ApproximateIndex, str]:
    """The index of ``store``, and a few words that say where it comes from."""
    cache, key = IndexCache(), fingerprint(store.vectors)
    path, start = cache.path(key), time.perf_counter()
    if (found := cache.find(key, *store.vectors.shape)) is not None:
        index = ApproximateIndex(store, found)
        return index, f"index read in {time.perf_counter() - start:.1f} s from {path}"
    if path.exists():
        report(f"approximate search: {path} is damaged or of another version, and is made anew")
    report(f"approximate search: sorting {len(store):,} vectors into cells, once")
    found = find_cells(store)
    index = ApproximateIndex(store, found)
    made = f"index made in {time.perf_counter() - start:.1f} s"
    try:
        return index, f"{made}, kept in {cache.keep(key, found)}"
    except OutputError as error:
        return index, f"{made}, not kept: {error}"


def find_cells(store: VectorStore) -> Cells:
    """Learn the cells of the rows of ``store``, and search a sample of them exactly."""
    faiss = _faiss()
    centroids = _centroids(store)
    nearest_centroid = faiss.IndexFlatIP(store.vector_size)
    nearest_centroid.add(centroids)
    sample = _sample(len(store))
    points = normalise_rows(store.vectors[sample], store.norms[sample]).astype(np.float32, copy=False)
    known = min(_KNOWN + 1, len(store))
    similarities = np.full((len(sample), known), -np.inf, np.float32)
    cells = np.empty(len(store), np.int32)
    for start, rows in _unit_blocks(store):
        cells[start : start + len(rows)] = nearest_centroid.search(rows, 1)[1][:, 0]
        found, _ = faiss.knn(points, rows, min(known, len(rows)), metric=faiss.METRIC_INNER_PRODUCT)
        similarities = -np.sort(-np.concatenate([similarities, found], axis=1), axis=1)[:, :known]
    # The first is the row itself, or one that is as near.
    return Cells(centroids, cells, sample, np.ascontiguousarray(similarities[:, 1:]))


def _centroids(store: VectorStore) -> np.ndarray:
    """Centroids (C, D) float32 of the rows, unit vectors, learned from some of the rows."""
    count = int(_CELLS * math.sqrt(len(store)))
    count = max(1, min(count, len(store) // _LEAST_ROWS))
    random = np.random.default_rng(1)
    chosen = np.sort(random.choice(len(store), min(len(store), _LEARNED_FROM * count), replace=False))
    rows = normalise_rows(store.vectors[chosen], store.norms[chosen]).astype(np.float32, copy=False)
    means = _faiss().Kmeans(
        store.vector_size, count, niter=_ROUNDS, spherical=True, seed=1,
        min_points_per_centroid=1, max_points_per_centroid=2 * _LEARNED_FROM,
    )  # fmt: skip
    means.train(rows)
    return means.centroids.reshape(count, store.vector_size)


def _sample(rows: int) -> np.ndarray:
    """Rows to ask about, frequent ones and any ones in turn; the same ones whenever there are as many ``rows``."""
    random = np.random.default_rng(2)
    half = min((_CHOOSING + _MEASURING) // 2, rows)
    frequent = random.choice(min(rows, _FREQUENT), half, replace=False)
    return np.stack([frequent, random.choice(rows, half, replace=False)], axis=1).ravel().astype(np.int64)


def _cells_enough(index: ApproximateIndex, recall: float, topn: int) -> int:
    """The number of cells, 1, 2, 4 ... or all, at which the queries to choose by are answered with ``recall``."""
    index.probes = 1 if recall < 1 else index.cells
    while index.probes < index.cells and not index.surely_recalls(recall, topn):
        index.probes = min(2 * index.probes, index.cells)
    return index.probes


def _unit_blocks(store: VectorStore) -> Iterator[tuple[int, np.ndarray]]:
    """Unit rows (n, D) as float32, a block at a time, each with its first row."""
    for start in range(0, len(store), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        yield start, np.ascontiguousarray(normalise_rows(store.vectors[part], store.norms[part]), np.float32)


def _faiss() -> ModuleType:
    return require("faiss", "ann", "approximate search")
