"""What the page knows: words, counts, points and 8-bit vectors, as one JSON object."""

from __future__ import annotations

import base64

import numpy as np

from w2v.explore.neighbourhoods import shared_neighbours
from w2v.explore.projection import METHODS, align, project
from w2v.explore.quantise import accuracy, quantise, restore
from w2v.explore.words import ShownWords

# Neighbours in a list of the page, and of those that two models are compared by.
NEIGHBOURS = 20
# Words whose neighbourhoods in two models are compared: rare words' neighbours are chance.
COMPARED = 5_000


def build_payload(shown: list[ShownWords], title: str, method: str = "pca", seed: int = 1) -> dict[str, object]:
    """The JSON object behind a page about one model or two (``shown``, see ``choose_words``).

    Arrays are base64 of little-endian bytes: ``positions`` (V, 2) float32, ``vectors`` (V, D) int8 and, with two
    models, ``shared``: (n,) uint8, how many of the ``neighbours`` nearest of the n most frequent words both have.
    """
    maps = [project(model.unit_rows, method, seed) for model in shown]
    quantised = [quantise(model.unit_rows) for model in shown]
    positions = [maps[0].positions, *(align(other.positions, maps[0].positions) for other in maps[1:])]
    count = min(NEIGHBOURS, len(shown[0].words) - 1)
    return {
        "title": _clean(title),
        "projection": METHODS[method],
        "neighbours": count,
        "words": [_clean(word) for word in shown[0].words],
        "models": [
            _model(model, place.explained, points, rows)
            for model, place, points, rows in zip(shown, maps, positions, quantised, strict=True)
        ],
        "shared": _shared(quantised, count) if len(shown) == 2 else None,
    }


def _model(shown: ShownWords, explained: float | None, positions: np.ndarray, rows: np.ndarray) -> dict[str, object]:
    measured = accuracy(shown.unit_rows, restore(rows))
    return {
        "name": _clean(shown.name),
        "total": shown.total,
        "dimensions": rows.shape[1],
        "ranks": shown.ranks.tolist(),
        "counts": None if shown.counts is None else shown.counts.tolist(),
        "explained": explained,
        "largestError": measured.largest_error,
        "agreement": measured.agreement,
        "positions": _encoded(positions, "<f4"),
        "vectors": _encoded(rows, "i1"),
    }


def _shared(quantised: list[np.ndarray], count: int) -> str:
    """Of the vectors that the page searches, so that its lists and these figures say the same."""
    first, second = map(restore, quantised)
    return _encoded(shared_neighbours(first, second, COMPARED, count), "u1")


def _encoded(array: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, kind).tobytes()).decode("ascii")


def _clean(text: str) -> str:
    """Half characters, which UTF-8 cannot hold, become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
