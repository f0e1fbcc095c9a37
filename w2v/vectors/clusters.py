"""Word classes: k-means on the directions of vectors, in mini-batches, as matrix products.

The centre of a class is the direction of the sum of its unit vectors, and a word belongs to the centre with the
largest cosine (spherical k-means: Dhillon & Modha 2001, "Concept decompositions for large sparse text data using
clustering", section 3). Centres move after every batch, each by a rate of one over the words it has met (Sculley
2010, "Web-scale k-means clustering", algorithm 1), and start at words drawn far from one another (Arthur &
Vassilvitskii 2007, "k-means++: the advantages of careful seeding", section 2.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from w2v.errors import ConfigError, FormatError
from w2v.vectors.search import SCORES_AT_ONCE

PASSES = 15
# After how many passes centres may be moved elsewhere, and how much more than is lost that must gain: both are
# estimates from a sample.
_SWAPS, _SWAP_GAIN = 5, 2.0
# Rows of a batch and of a block: enough for a fast product, few enough for the centres to move often.
_BATCH = 4096
# Rows that a pass visits at most: this many for each class, but never fewer than the second number.
_ROWS_PER_CLASS, _ROWS_PER_PASS = 128, 1 << 18
# Rows among which the first centres are drawn, and by which centres are judged, for each class.
_SAMPLE_PER_CLASS = 8
# How often at most those rows are compared with centres that were drawn.
_LOOKS = 2048
# What the words of earlier passes still weigh. Sculley's 1 lets words that met unfinished centres weigh for good:
# on 80,000 words and 500 classes, 1 - mean cosine ended 2 % above Lloyd's algorithm; with 0.1 it is within 0.5 %.
_KEPT = 0.1


@dataclass(frozen=True)
class WordClasses:
    """N classes of V words.

    ``labels`` int32 (V,): the class of each word, -1 for vectors of zeros, which have no direction; class 0 holds the
    first word, class 1 the first word that is not in class 0, and so on. ``centres`` float32 (N, D), of length 1.
    ``similarities`` float32 (V,): cosine of each word and its own centre, 0 for vectors of zeros.
    """

    labels: np.ndarray
    centres: np.ndarray
    similarities: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Words of each class, int64 (N,), at least 1."""
        return np.bincount(self.labels[self.labels >= 0], minlength=len(self.centres))

    @property
    def mean_similarity(self) -> float:
        """What k-means raises: the mean cosine of the words that have a class and their centres."""
        return float(self.similarities[self.labels >= 0].mean(dtype=np.float64))

    def by_class(self) -> np.ndarray:
        """Rows (V,) class by class, nearest to the centre first; those without a class at the end."""
        labels = np.where(self.labels < 0, len(self.centres), self.labels)
        return np.lexsort((-self.similarities, labels))


def cluster_words(vectors: np.ndarray, classes: int, seed: int = 1, passes: int = PASSES) -> WordClasses:
    """Divide the rows of ``vectors`` (V, D) into ``classes`` classes by direction; none of them is empty.

    The same seed gives the same classes. Needs memory for a few blocks of rows, not for a copy of ``vectors``.
    Raises ConfigError where there are more classes than rows that are not zero, and FormatError for a row that holds
    a value that is no finite number.
    """
    rows = _UnitRows(vectors)
    if not 1 <= classes <= len(rows):
        raise ConfigError(_impossible(classes, len(rows), len(vectors)))
    generator = np.random.default_rng(seed)
    centres = _Centres(_first_centres(_sample(rows, classes, generator), classes, generator))
    for number in range(passes):
        if number:
            centres.forget()
        _learn(rows, centres, generator)
        if classes > 1 and number < _SWAPS:
            _swap(_sample(rows, classes, generator), centres, generator)
    labels, cosines = _assign(rows, centres.directions)
    _fill_empty(labels, cosines, classes)
    return _finished(rows, labels, centres.directions)


def _impossible(classes: int, words: int, rows: int) -> str:
    """Why ``words`` of ``rows`` vectors, those that are not zero, cannot make so many ``classes``."""
    some = f"{classes:,} class{'es' * (classes != 1)}"
    of = f"{words:,} word{'s' * (words != 1)}"
    if words < rows:
        of += " whose vector is not zero" if words == 1 else " whose vectors are not zero"
    if words == 0:
        return f"{some} cannot be made of {of}: train on more text"
    return f"{some} cannot be made of {of}: ask for {'1' if words == 1 else f'1 to {words:,}'}"


class _UnitRows:
    """The rows of ``vectors`` (V, D) that are not zero, scaled to length 1 when they are asked for."""

    def __init__(self, vectors: np.ndarray) -> None:
        self._vectors = vectors
        blocks = (vectors[start : start + _BATCH].astype(np.float64) for start in range(0, len(vectors), _BATCH))
        lengths = [np.sqrt(np.einsum("ij,ij->i", block, block)) for block in blocks]
        self._lengths = np.concatenate(lengths) if lengths else np.empty(0)
        finite = np.isfinite(self._lengths)
        if not finite.all():
            raise FormatError(f"row {int(np.argmin(finite))} holds a value that is no finite number: train again")
        self.known = np.flatnonzero(self._lengths)
        self.all = len(vectors)

    def __len__(self) -> int:
        return len(self.known)

    def take(self, positions: np.ndarray | slice) -> np.ndarray:
        """Unit vectors, float32 (n, D), at ``positions`` among the rows that are not zero."""
        rows = self.known[positions]
        return (self._vectors[rows] / self._lengths[rows, None]).astype(np.float32)

    def blocks(self, size: int) -> Iterator[tuple[slice, np.ndarray]]:
        """All rows in order: (positions, unit vectors) of ``size`` rows at a time."""
        for start in range(0, len(self), size):
            block = slice(start, min(start + size, len(self)))
            yield block, self.take(block)


class _Centres:
    """Moving centres: ``directions`` float32 (N, D) of length 1, and which of them met a word in this pass."""

    def __init__(self, seeds: np.ndarray) -> None:
        self.directions = seeds
        self._sums = seeds.copy()
        self.met = np.zeros(len(seeds), bool)

    def add(self, rows: np.ndarray, labels: np.ndarray) -> None:
        """Move the centres ``labels`` (n,) towards ``rows`` (n, D).

        The direction of a running sum is that of a mean which every word enters with the rate 1 / words so far.
        """
        found, sums = _sums_by_label(rows, labels)
        self.met[found] = True
        self._sums[found] += sums
        self.directions[found] = _directions(self._sums[found], self.directions[found])

    def forget(self) -> None:
        """Begin a pass: what was met before weighs little from now on."""
        self._sums *= _KEPT
        self.met[:] = False

    def place(self, label: int, row: np.ndarray) -> None:
        """Put the centre ``label`` onto ``row`` (D,), as if it had met nothing else."""
        self.directions[label] = self._sums[label] = row

    def move_unmet(self, rows: np.ndarray, cosines: np.ndarray, generator: np.random.Generator) -> None:
        """Put centres that met no word onto some of ``rows`` (n, D), drawn by their distance from their centres."""
        unmet = np.flatnonzero(~self.met)[: len(rows)]
        if len(unmet) == 0:
            return
        distance = np.maximum(1 - cosines.astype(np.float64), 1e-9)
        drawn = generator.choice(len(rows), len(unmet), replace=False, p=distance / distance.sum())
        self.directions[unmet] = self._sums[unmet] = rows[drawn]


def _sample(rows: _UnitRows, classes: int, generator: np.random.Generator) -> np.ndarray:
    """Some unit vectors (n, D), enough to tell the classes."""
    count = min(len(rows), max(_BATCH, _SAMPLE_PER_CLASS * classes))
    return rows.take(np.sort(generator.choice(len(rows), count, replace=False)))


def _first_centres(sample: np.ndarray, classes: int, generator: np.random.Generator) -> np.ndarray:
    """Directions (N, D) of rows of ``sample`` drawn one by one, ∝ their distance from the nearest one before.

    Many classes are drawn a few at a time, so that the number of looks at the rows stays bounded.
    """
    distance = np.ones(len(sample), np.float32)
    chosen = np.empty(0, np.intp)
    while len(chosen) < classes:
        drawn = _draw(distance, min(1 + classes // _LOOKS, classes - len(chosen)), generator)
        if len(drawn) == 0:  # fewer directions than classes: the rest is drawn among what was not chosen yet
            free = np.setdiff1d(np.arange(len(sample)), chosen)
            chosen = np.append(chosen, generator.choice(free, classes - len(chosen), replace=False))
            break
        # Half the squared distance of unit vectors; rounding leaves a little of it between equal rows.
        nearest = 1 - (sample @ sample[drawn].T).max(axis=1)
        np.minimum(distance, np.where(nearest < 1e-6, 0, nearest), out=distance)
        distance[drawn] = 0
        chosen = np.append(chosen, drawn)
    return sample[chosen]


def _draw(weights: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Up to ``count`` distinct positions, drawn ∝ ``weights``; none where all weights are 0."""
    reach = np.cumsum(weights, dtype=np.float64)
    if reach[-1] <= 0:
        return np.empty(0, np.intp)
    points = generator.random(count) * reach[-1]
    return np.unique(np.minimum(np.searchsorted(reach, points, side="right"), len(weights) - 1))


def _swap(sample: np.ndarray, centres: _Centres, generator: np.random.Generator) -> None:
    """Move centres that little is lost without to rows of ``sample`` (n, D) that gain more.

    A centre is worth what its rows would lose with their second nearest one, a row what the rows around it would
    gain. K-means alone never moves a centre from a class that has two of them to two classes that share one (Lattanzi
    & Sohler 2019, "A better k-means++ algorithm via local search").
    """
    first, cosines, second, runner_up = _two_nearest(sample, centres.directions)
    classes = len(centres.directions)
    losses = cosines - runner_up
    # One more row each: a class that the sample missed is not worth nothing.
    worth = np.bincount(first, losses, minlength=classes) + losses.mean()
    count = min(max(16, classes // 4), max(1, SCORES_AT_ONCE // len(sample)))
    drawn = _draw(np.maximum(1 - cosines, 0), count, generator)
    scores = sample[drawn] @ sample.T
    for _ in drawn:
        gains = np.maximum(scores - cosines, 0).sum(axis=1, dtype=np.float64) - (1 - cosines[drawn])
        best, least = int(np.argmax(gains)), int(np.argmin(worth))
        if gains[best] <= _SWAP_GAIN * worth[least]:
            break
        centres.place(least, sample[drawn[best]])
        worth[least] = np.inf
        worth[second[first == least]] = np.inf  # they have more to lose now
        np.maximum(cosines, scores[best], out=cosines)


def _two_nearest(rows: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The nearest and the second nearest centre of each row, (n,), each followed by its cosine, (n,)."""
    parts = []
    size = _rows_at_once(len(directions))
    for start in range(0, len(rows), size):
        scores = rows[start : start + size] @ directions.T
        each = np.arange(len(scores))
        first = np.argmax(scores, axis=1)
        cosines = scores[each, first]
        scores[each, first] = -np.inf
        second = np.argmax(scores, axis=1)
        parts.append((first, cosines, second, scores[each, second]))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _learn(rows: _UnitRows, centres: _Centres, generator: np.random.Generator) -> None:
    """One pass: all rows in a new order, or as many as a pass visits, in batches."""
    classes = len(centres.directions)
    count = min(len(rows), max(_ROWS_PER_PASS, _ROWS_PER_CLASS * classes))
    order = generator.permutation(len(rows))[:count]
    size = _rows_at_once(classes)
    for start in range(0, count, size):
        batch = rows.take(order[start : start + size])
        labels, cosines = _nearest(batch, centres.directions)
        centres.add(batch, labels)
    centres.move_unmet(batch, cosines, generator)


def _assign(rows: _UnitRows, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centre of every row, int32 (n,), and the cosine of both, float32 (n,)."""
    labels, cosines = np.empty(len(rows), np.int32), np.empty(len(rows), np.float32)
    for block, part in rows.blocks(_rows_at_once(len(directions))):
        labels[block], cosines[block] = _nearest(part, directions)
    return labels, cosines


def _nearest(rows: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores = rows @ directions.T
    labels = np.argmax(scores, axis=1)
    return labels, scores[np.arange(len(rows)), labels]


def _rows_at_once(classes: int) -> int:
    """Rows whose scores with all centres are held together."""
    return max(1, min(_BATCH, SCORES_AT_ONCE // classes))


def _fill_empty(labels: np.ndarray, cosines: np.ndarray, classes: int) -> None:
    """Give each class that has no row the row that is farthest from its centre, in place; none is left empty."""
    sizes = np.bincount(labels, minlength=classes)
    empty = np.flatnonzero(sizes == 0).tolist()
    for row in np.argsort(cosines, kind="stable").tolist() if empty else ():
        if not empty:
            break
        if sizes[labels[row]] > 1:
            sizes[labels[row]] -= 1
            labels[row] = empty.pop()


def _finished(rows: _UnitRows, labels: np.ndarray, directions: np.ndarray) -> WordClasses:
    """Centres of the classes as they are now, numbered by their first words, and the cosines of the words."""
    _, first, labels = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order))
    labels, sums = rank[labels.ravel()], np.zeros_like(directions)
    for block, part in rows.blocks(_BATCH):
        found, partial = _sums_by_label(part, labels[block])
        sums[found] += partial
    centres = _directions(sums, directions[order])
    result = WordClasses(np.full(rows.all, -1, np.int32), centres, np.zeros(rows.all, np.float32))
    result.labels[rows.known] = labels
    for block, part in rows.blocks(_BATCH):
        result.similarities[rows.known[block]] = np.einsum("ij,ij->i", part, centres[labels[block]])
    return result


def _sums_by_label(rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct ``labels`` (n,), and for each the sum of its ``rows`` (n, D)."""
    order = np.argsort(labels, kind="stable")
    found, starts = np.unique(labels[order], return_index=True)
    return found, np.add.reduceat(rows[order], starts, axis=0)


def _directions(sums: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """``sums`` (n, D) scaled to length 1; where opposite rows cancelled out, the row of ``otherwise`` (n, D)."""
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.where(lengths > 1e-12, sums / np.maximum(lengths, 1e-12), otherwise)
