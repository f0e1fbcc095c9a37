"""Many questions at once, answered as matrix products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from w2v.errors import ConfigError
from w2v.vectors.device_rows import DeviceRows
from w2v.vectors.host_rows import HostRows
from w2v.vectors.queries import COSMUL_EPSILON, Neighbours, SimilarityQueries
from w2v.vectors.search import normalise_rows
from w2v.vectors.store import Key

Ranked = Iterator[tuple[list[int], list[float]]]


class BatchQueries(SimilarityQueries):
    """Lists of questions, each answered as if it were asked alone, many times faster.

    Scores are held for a block of questions at a time, so that memory stays bounded whatever their number. Costs one
    scaled copy of the searched vectors on the CPU.
    """

    def most_similar_batch(
        self,
        queries: Sequence[Key] | np.ndarray,
        topn: int = 10,
        restrict_vocab: int | None = None,
    ) -> list[Neighbours]:
        """``most_similar`` of many single words, or of the rows of an array (Q, D), as matrix products."""
        if isinstance(queries, np.ndarray) and queries.ndim == 2:
            rows, points = None, normalise_rows(queries)
        else:
            rows = [self.get_index(key) for key in queries]
            points = self._unit_rows(rows)
        asked = [set()] * len(points) if rows is None else [{row} for row in rows]
        found = self._nearest(points, topn + (rows is not None), restrict_vocab)
        return [self._named(best, topn, left_out, 0) for best, left_out in zip(found, asked, strict=True)]

    def analogies_batch(
        self,
        questions: Sequence[tuple[Key, Key, Key]],
        topn: int = 10,
        restrict_vocab: int | None = None,
        method: str = "3CosAdd",
    ) -> list[Neighbours]:
        """The ``topn`` answers of each question (a, b, c): a is to b as c is to what?

        3CosAdd answers as ``most_similar([b, c], [a])`` does, ``method="3CosMul"`` as ``most_similar_cosmul``: the
        words of a question are left out of its answers. Unknown words raise KeyError, another method ConfigError.
        """
        if method not in ("3CosAdd", "3CosMul"):
            raise ConfigError(f"the method {method!r} is unknown: use 3CosAdd or 3CosMul")
        asked = np.array([[self.get_index(key) for key in question] for question in questions], np.intp)
        a, b, c = (self._unit_rows(column) for column in asked.reshape(-1, 3).T)
        if method == "3CosAdd":
            found = self._nearest(normalise_rows(b - a + c), topn + 3, restrict_vocab)
        else:
            found = self._nearest_by_product(a, b, c, topn + 3, restrict_vocab)
        return [self._named(best, topn, set(rows), 0) for best, rows in zip(found, asked.tolist(), strict=True)]

    def _unit_rows(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """The vectors (n, D) of ``rows`` (n,), scaled to length 1."""
        self.fill_norms()
        rows = np.asarray(rows, np.intp)
        return normalise_rows(self.vectors[rows], self.norms[rows])

    def _nearest(self, points: np.ndarray, count: int, restrict: int | None) -> Ranked:
        """The ``count`` rows nearest to each of the unit vectors ``points`` (Q, D), with their cosines."""
        end = min(restrict or len(self.vectors), len(self.vectors))
        if (index := self.index_over(0, end)) is not None:
            yield from index.best(points, count)
            return
        with self.rows_to_search() as searched:
            for _, scores in searched.blocks(points, end):
                yield from searched.best(scores, count)

    def _nearest_by_product(
        self, a: np.ndarray, b: np.ndarray, c: np.ndarray, count: int, restrict: int | None
    ) -> Ranked:
        """The ``count`` rows of the highest 3CosMul for each b - a + c, unit vectors (Q, D) all of them."""
        end = min(restrict or len(self.vectors), len(self.vectors))
        with self.rows_to_search() as searched:
            for scores in product_scores(searched, a, b, c, end):
                yield from searched.best(scores, count)


def product_scores(
    rows: HostRows | DeviceRows, a: np.ndarray, b: np.ndarray, c: np.ndarray, end: int
) -> Iterator[np.ndarray]:
    """3CosMul (q, end) of the first ``end`` rows for blocks of questions ``a``, ``b``, ``c`` (Q, D; unit).

    Levy & Goldberg 2014, equation 4, with (1 + cos) / 2 for the cosines.
    """
    blocks = (rows.blocks(points, end) for points in (a, b, c))
    for (_, of_a), (_, of_b), (_, of_c) in zip(*blocks, strict=True):
        # (1 + b) / 2 * (1 + c) / 2 / ((1 + a) / 2 + epsilon), in place: blocks are large, and are not used again.
        of_b += 1
        of_c += 1
        of_b *= of_c
        of_a += 1 + 2 * COSMUL_EPSILON
        of_a *= 2
        of_b /= of_a
        yield of_b
