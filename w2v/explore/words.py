"""Which words a page shows: the most frequent ones, and of two models those that both know."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from w2v.errors import FormatError, VocabularyError
from w2v.vectors import KeyedVectors
from w2v.vectors.search import normalise_rows

# Fewer points span no plane.
FEWEST = 3


class ShownWords(NamedTuple):
    """The V words of a page as one model has them, most frequent first in the page's first model.

    ``name`` says which model; ``total`` is the size of its vocabulary. ``ranks`` (V,) count from 1, for the most
    frequent; ``counts`` (V,) are None where they are not known. ``unit_rows`` (V, D) float32 have length 1, or are
    zero.
    """

    name: str
    words: list[str]
    total: int
    ranks: np.ndarray
    counts: np.ndarray | None
    unit_rows: np.ndarray


def choose_words(models: dict[str, KeyedVectors], count: int) -> list[ShownWords]:
    """The ``count`` most frequent words of the first of ``models`` (one or two, by name) that all of them know.

    Words without counts are taken to be in order of frequency, as the vector formats have them. Raises
    VocabularyError where there are fewer than three, and FormatError where a vector of theirs is not finite.
    """
    orders = {name: _by_frequency(vectors) for name, vectors in models.items()}
    main, *others = models
    keys = models[main].index_to_key
    words = [keys[row] for row in orders[main].tolist() if all(keys[row] in models[name] for name in others)][:count]
    if len(words) < FEWEST:
        have = f"{main} has {len(words)}" if not others else f"{main} and {others[0]} share {len(words)}"
        raise VocabularyError(f"a map needs at least {FEWEST} words, and {have}: {_advice(others)}")
    return [_shown(name, vectors, words, orders[name]) for name, vectors in models.items()]


def _by_frequency(vectors: KeyedVectors) -> np.ndarray:
    """The rows, most frequent first; equal counts and unknown ones by row."""
    if vectors.counts is None:
        return np.arange(len(vectors))
    return np.argsort(-np.asarray(vectors.counts, np.float64), kind="stable")


def _shown(name: str, vectors: KeyedVectors, words: list[str], order: np.ndarray) -> ShownWords:
    rows = np.array([vectors.key_to_index[word] for word in words])
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(1, len(order) + 1)
    chosen = np.asarray(vectors.vectors[rows], np.float32)
    broken = np.flatnonzero(~np.isfinite(chosen).all(axis=1))
    if len(broken):
        raise FormatError(
            f"{name}: {len(broken)} of the vectors (such as that of {words[broken[0]]!r}) are not finite numbers: "
            "train again with a smaller --alpha"
        )
    counts = None if vectors.counts is None else np.asarray(vectors.counts)[rows]
    return ShownWords(name, words, len(vectors), ranks[rows], counts, normalise_rows(chosen))


def _advice(others: list[str]) -> str:
    return "compare models of the same language" if others else "train on more text, or with a lower --min-count"
