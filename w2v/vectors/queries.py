"""Similarity queries over a store of vectors, with gensim 4's names, defaults and results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral, Real

import numpy as np

from w2v.vectors.device_rows import DeviceRows
from w2v.vectors.host_rows import HostRows
from w2v.vectors.search import normalise_rows, unit
from w2v.vectors.searching import SearchedVectors
from w2v.vectors.store import Key, KeyOrVector

Neighbours = list[tuple[str, float]]
# Levy & Goldberg 2014 (equation 4) add this to the denominator of 3CosMul.
COSMUL_EPSILON = 1e-6


class SimilarityQueries(SearchedVectors):
    """Questions about words that are answered with cosine similarities.

    Unknown words raise KeyError. Neighbours come by falling similarity, equal ones by row; a vector of zeros
    has similarity 0 to everything.
    """

    def most_similar(
        self,
        positive: KeyOrVector | Sequence | None = None,
        negative: KeyOrVector | Sequence | None = None,
        topn: int | None = 10,
        clip_start: int = 0,
        clip_end: int | None = None,
        restrict_vocab: int | None = None,
        indexer: object | None = None,
    ) -> Neighbours | np.ndarray:
        """The ``topn`` words nearest to the mean of ``positive`` minus ``negative`` unit vectors (3CosAdd).

        Each of them is a key, a vector, or a sequence of keys, vectors and (key or vector, weight) pairs; a
        weight is used as given, on the negative side too. The asked words themselves are left out. Only rows
        ``clip_start`` to ``clip_end`` are searched, or the first ``restrict_vocab``. ``topn=None`` returns
        the similarities of all searched rows instead. An ``indexer`` (``most_similar(vector, topn)``) answers
        in place of the exact search.
        """
        if isinstance(topn, Integral) and topn < 1:
            return []
        keys, weights = _weighted(positive, negative)
        if restrict_vocab:
            clip_start, clip_end = 0, restrict_vocab
        clip_end = clip_end or len(self.vectors)
        mean = self.get_mean_vector(keys, weights, pre_normalize=True, post_normalize=True, ignore_missing=False)
        asked = {self.get_index(key) for key in keys if not isinstance(key, np.ndarray)}
        if indexer is not None and isinstance(topn, Integral):
            return indexer.most_similar(mean, topn)
        if isinstance(topn, Integral) and (index := self.index_over(clip_start, clip_end)) is not None:
            (best,) = index.best(mean[None], topn + len(asked))
            return self._named(best, topn, asked, 0)
        with self.rows_to_search() as rows:
            similarities = rows.cosines(mean, clip_start, clip_end)
            return self._answer(rows, similarities, topn, asked, clip_start)

    def most_similar_cosmul(
        self,
        positive: KeyOrVector | Sequence | None = None,
        negative: KeyOrVector | Sequence | None = None,
        topn: int | None = 10,
        restrict_vocab: int | None = None,
    ) -> Neighbours | np.ndarray:
        """The ``topn`` words that maximise 3CosMul (Levy & Goldberg 2014, equation 4).

        The score is the product of (1 + cos) / 2 over ``positive``, divided by that over ``negative``.
        Arguments as in ``most_similar``, without weights. ``topn=None`` returns the scores of all searched
        rows. Unlike gensim, ``restrict_vocab`` restricts the answers too, and a raw vector counts by its
        direction only.
        """
        if isinstance(topn, Integral) and topn < 1:
            return []
        positive, negative = _as_list(positive), _as_list(negative)
        if not positive:
            raise ValueError("cannot compute similarity with no input")
        end = restrict_vocab or len(self.vectors)
        asked = {self.get_index(key) for key in positive + negative if not isinstance(key, np.ndarray)}
        over, under = 1.0, 1.0
        with self.rows_to_search() as rows:
            for key in positive:
                over = over * (1 + rows.cosines(self._unit(key), 0, end)) / 2
            for key in negative:
                under = under * (1 + rows.cosines(self._unit(key), 0, end)) / 2
            return self._answer(rows, over / (under + COSMUL_EPSILON), topn, asked, 0)

    def similar_by_key(self, key: Key, topn: int | None = 10, restrict_vocab: int | None = None) -> Neighbours:
        """The ``topn`` words nearest to ``key``."""
        return self.most_similar(positive=[key], topn=topn, restrict_vocab=restrict_vocab)

    def similar_by_word(self, word: Key, topn: int | None = 10, restrict_vocab: int | None = None) -> Neighbours:
        """The ``topn`` words nearest to ``word``."""
        return self.similar_by_key(word, topn, restrict_vocab)

    def similar_by_vector(
        self, vector: np.ndarray, topn: int | None = 10, restrict_vocab: int | None = None
    ) -> Neighbours:
        """The ``topn`` words nearest to ``vector`` (D,)."""
        if not isinstance(vector, (str, Integral)):
            vector = np.asarray(vector)
        return self.most_similar(positive=[vector], topn=topn, restrict_vocab=restrict_vocab)

    def similarity(self, w1: Key, w2: Key) -> np.floating:
        """Cosine similarity of two words, -1 to 1."""
        return np.dot(unit(self[w1]), unit(self[w2]))

    def n_similarity(self, ws1: Sequence[Key], ws2: Sequence[Key]) -> np.floating:
        """Cosine similarity of the means of two sets of words; words without a vector are left out.

        Raises ZeroDivisionError where a set is empty.
        """
        if not (len(ws1) and len(ws2)):
            raise ZeroDivisionError("At least one of the passed list is empty.")
        means = [self.get_mean_vector(words, pre_normalize=False) for words in (ws1, ws2)]
        return np.dot(unit(means[0]), unit(means[1]))

    def distance(self, w1: Key, w2: Key) -> np.floating:
        """1 - cosine similarity of two words, 0 to 2."""
        return 1 - self.similarity(w1, w2)

    def distances(self, word_or_vector: KeyOrVector, other_words: Iterable[Key] = ()) -> np.ndarray:
        """1 - cosine similarity of a word or vector to each of ``other_words``, by default to all words."""
        others = list(other_words)
        point = self._unit(word_or_vector)
        if not others:
            with self.rows_to_search() as rows:
                return 1 - rows.to_host(rows.cosines(point, 0, len(self.vectors)))
        return 1 - normalise_rows(self[others]) @ point

    def doesnt_match(self, words: Iterable[Key]) -> Key:
        """The word farthest from the mean of all known ones; ValueError where none is known."""
        known = [word for word in words if word in self]
        if not known:
            raise ValueError("cannot select a word from an empty list")
        return min(zip(self._centrality(known).tolist(), known, strict=True))[1]

    def rank_by_centrality(self, words: Iterable[Key], use_norm: bool = True) -> list[tuple[float, Key]]:
        """(similarity, word) to the mean of all ``words``, most similar first; unknown words are left out."""
        known = [word for word in words if word in self]
        if not known:
            raise ValueError("cannot select a word from an empty list")
        return sorted(zip(self._centrality(known, use_norm), known, strict=True), reverse=True)

    def closer_than(self, key1: Key, key2: Key) -> list[str]:
        """All words strictly nearer to ``key1`` than ``key2`` is, in order of their rows."""
        distances = self.distances(key1)
        row1, row2 = self.get_index(key1), self.get_index(key2)
        nearer = np.flatnonzero(distances < distances[row2])
        return [self.index_to_key[row] for row in nearer.tolist() if row != row1]

    words_closer_than = closer_than

    def rank(self, key1: Key, key2: Key) -> int:
        """1 + the number of words nearer to ``key1`` than ``key2`` is."""
        return len(self.closer_than(key1, key2)) + 1

    def most_similar_to_given(self, key1: Key, keys_list: Sequence[Key]) -> Key:
        """The one of ``keys_list`` that is most similar to ``key1``."""
        return keys_list[int(np.argmax([self.similarity(key1, key) for key in keys_list]))]

    def relative_cosine_similarity(self, wa: Key, wb: Key, topn: int = 10) -> float:
        """Similarity of two words over the sum of those of ``wa`` and its ``topn`` neighbours.

        Leeuwenberg et al. 2016, equation 1.
        """
        return float(self.similarity(wa, wb) / sum(value for _, value in self.similar_by_key(wa, topn)))

    @staticmethod
    def cosine_similarities(vector_1: np.ndarray, vectors_all: np.ndarray) -> np.ndarray:
        """Cosine similarities (n,) of one vector (D,) and several (n, D)."""
        return normalise_rows(vectors_all) @ unit(vector_1)

    def _unit(self, key: KeyOrVector) -> np.ndarray:
        if isinstance(key, np.ndarray):
            return unit(key).astype(np.promote_types(self.vectors.dtype, np.float32), copy=False)
        return self.get_vector(key, norm=True)

    def _answer(
        self, rows: HostRows | DeviceRows, scores: np.ndarray, topn: int | None, asked: set[int], start: int
    ) -> Neighbours | np.ndarray:
        """The ``scores`` (n,) of the rows from ``start`` on where ``topn`` is None, else the best of them."""
        if topn is None:
            return rows.to_host(scores)
        (best,) = rows.best(scores[None], topn + len(asked))
        return self._named(best, topn, asked, start)

    def _named(self, best: tuple[list[int], list[float]], topn: int, asked: set[int], start: int) -> Neighbours:
        """The ``best`` (positions from ``start`` on, scores) ``topn`` rows not asked about, as (word, score)."""
        pairs = ((start + position, score) for position, score in zip(*best, strict=True))
        return [(self.index_to_key[row], score) for row, score in pairs if row not in asked][:topn]

    def _centrality(self, words: list[Key], use_norm: bool = True) -> np.ndarray:
        """Similarity (n,) of each word to the mean of the words."""
        rows = normalise_rows(self[words]) if use_norm else self[words]
        return np.dot(rows, unit(rows.mean(axis=0)))


def _as_list(keys: KeyOrVector | Sequence | None) -> list:
    """One key or vector as a list of one; a sequence, or the rows of an array (n, D), as a list."""
    if keys is None:
        return []
    if isinstance(keys, (str, Integral)) or (isinstance(keys, np.ndarray) and keys.ndim == 1):
        return [keys]
    return list(keys)


def _weighted(positive: object, negative: object) -> tuple[list[KeyOrVector], list[float]]:
    """Keys with their weights: 1 and -1 unless given as (key, weight)."""
    keys, weights = [], []
    for side, default in ((_as_list(positive), 1.0), (_as_list(negative), -1.0)):
        for item in side:
            pair = isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], Real)
            keys.append(item[0] if pair else item)
            weights.append(float(item[1]) if pair else default)
    return keys, weights
