"""How block softmax cuts a vocabulary: a head, and clusters of words behind it."""

from dataclasses import dataclass

import numpy as np

# A cluster's inputs are never projected to fewer dimensions than this, if the vectors have as many: a handful of
# dimensions cannot tell thousands of words apart.
SMALLEST_PROJECTION = 16


@dataclass(frozen=True)
class Tail:
    """Neighbouring clusters whose words share a matrix.

    name: stem of its parameters' names; edges: (C + 1,) ranks, where its clusters begin and the last one ends;
    size: dimensions of its word vectors; projected: whether inputs go through a (D, size) projection first.
    """

    name: str
    edges: tuple[int, ...]
    size: int
    projected: bool

    @property
    def words(self) -> int:
        """Number of words."""
        return self.edges[-1] - self.edges[0]

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return len(self.edges) - 1


@dataclass(frozen=True)
class BlockLayout:
    """Blocks over a vocabulary by rank of frequency: 0 is the most frequent word.

    words: V; size: D; head: stem of the head's parameters' names; shortlist: words that the head holds itself, the
    first ones; tails: the rest, in order. The head's columns are the short-list and then one per cluster.
    """

    words: int
    size: int
    head: str
    shortlist: int
    tails: tuple[Tail, ...] = ()

    @property
    def edges(self) -> np.ndarray:
        """Where the clusters begin, and V: (clusters + 1,) int64 ranks."""
        inner = [edge for tail in self.tails for edge in tail.edges[:-1]]
        return np.array([*inner, self.words], np.int64)

    @property
    def clusters(self) -> int:
        """Number of clusters, over all tails."""
        return sum(tail.clusters for tail in self.tails)

    @property
    def columns(self) -> int:
        """Columns of the head."""
        return self.shortlist + self.clusters


def projected_size(size: int, div_value: float, tail: int) -> int:
    """Dimensions of tail 1, 2, … of adaptive softmax: D / div_value^tail, and no fewer than SMALLEST_PROJECTION."""
    return min(size, max(SMALLEST_PROJECTION, int(size / div_value**tail)))


def full_layout(words: int, size: int) -> BlockLayout:
    """Every word in the head."""
    return BlockLayout(words, size, "output", words)


def adaptive_layout(
    words: int, size: int, cutoffs: tuple[int, ...], div_value: float, shortlist: bool
) -> BlockLayout:
    """A short-list and projected tails; or, without the short-list, tails alone.

    cutoffs: rising ranks below V: the end of the short-list and of every tail but the last.
    """
    edges = [*([] if shortlist else [0]), *cutoffs, words]
    tails = []
    for number, (begin, end) in enumerate(zip(edges, edges[1:], strict=False), 1):
        inner = projected_size(size, div_value, number if shortlist else number - 1)
        tails.append(Tail(f"tail_{number}", (begin, end), inner, inner < size))
    return BlockLayout(words, size, "head", edges[0], tuple(tails))


def class_layout(words: int, size: int, edges: np.ndarray) -> BlockLayout:
    """Classes alone, unprojected; edges: (C + 1,) rising ranks from 0 to V."""
    return BlockLayout(words, size, "class", 0, (Tail("output", tuple(edges.tolist()), size, False),))


def class_edges(counts: np.ndarray, classes: int) -> np.ndarray:
    """Edges of classes that hold about the same sum of √count each, (classes + 1,) int64; none is empty.

    counts: (V,) falling; classes: 1 … V. Mikolov et al. 2011 (Extensions of recurrent neural network language model)
    bin by frequency; their toolkit takes square roots, so that frequent words do not sit alone while rare ones crowd.
    """
    mass = np.cumsum(np.sqrt(np.maximum(counts, 1)))
    edges = np.searchsorted(mass, mass[-1] * np.arange(1, classes) / classes, side="left") + 1
    # Each class gets a word at least, from the front and from the back.
    edges = np.maximum.accumulate(edges - np.arange(classes - 1)) + np.arange(classes - 1)
    edges = np.minimum(edges, counts.size - np.arange(classes - 1, 0, -1))
    return np.concatenate([[0], edges, [counts.size]]).astype(np.int64)
