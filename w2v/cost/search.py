"""The cheapest cut-offs by dynamic programming over the vocabulary sorted by falling frequency.

The cost of a layout is the head's, which depends on where the short-list ends, plus each tail's, which depends on
where that tail begins and ends and on its number; so the cheapest layout of J tails is a shortest path through J
layers of positions (Grave et al. 2017, section 4). Small vocabularies have a node at every position. Large ones
begin with a geometric grid, and then every cut-off moves among finer and finer positions around it, all of them at
once, until they are single words apart and nothing gets cheaper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

# With at most this many positions, all of them are nodes.
EXACT_POSITIONS = 1024
# Otherwise this many, each a few per cent after the one before.
GRID_POSITIONS = 320
# A finer round looks at this many positions on either side of a cut-off, ``_FINER`` times closer than before.
_REACH, _FINER = 16, 8
_MOST_ROUNDS = 64

#: Costs between two layers of positions: (number of the tail, begins, ends) -> (ends, begins) seconds.
Between = Callable[[int, np.ndarray, np.ndarray], np.ndarray]


class LayoutCosts(Protocol):
    """What the search needs to know about a step."""

    words: int
    shortlist: bool

    def head(self, shortlist_words: np.ndarray, tails: int) -> np.ndarray:
        """Seconds of the head, by how many words it holds."""

    def tail(self, number: int, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Seconds of tail ``number`` (1 …) over the words begin … end − 1; the arguments broadcast."""

    def tail_kind(self, number: int) -> int:
        """The same for tails whose costs are the same."""


def cheapest(
    costs: LayoutCosts, first: int, groups: Sequence[int], exact_positions: int = EXACT_POSITIONS
) -> dict[int, tuple[float, tuple[int, ...]]]:
    """The least seconds and the cut-offs, for each number of groups that the words are to be cut into.

    first: the least first cut-off; groups: each at least 2, at most V − first + 1. Up to ``exact_positions``
    positions the answer is the optimum; above, the best of a grid, brought to the nearest optimum word by word.
    """
    positions = np.arange(first, costs.words)
    exact = len(positions) <= exact_positions
    if not exact:
        positions = np.unique(np.geomspace(first, costs.words - 1, GRID_POSITIONS).round().astype(np.int64))
    between = _remembered(costs)
    found = {}
    for count in groups:
        seconds, cutoffs = _shortest(costs, [positions] * (count - 1), between)
        if not exact:
            seconds, cutoffs = _refine(costs, positions, cutoffs)
        found[count] = seconds, tuple(map(int, cutoffs))
    return found


def _shortest(costs: LayoutCosts, layers: Sequence[np.ndarray], between: Between) -> tuple[float, np.ndarray]:
    """The cheapest rising choice of one cut-off from each layer of positions: (seconds, cut-offs)."""
    origin = [] if costs.shortlist else [np.zeros(1, np.int64)]
    layers = [*origin, *layers, np.array([costs.words])]
    value = costs.head(layers[0], len(layers) - 1)
    steps = []
    for number, (begin, end) in enumerate(zip(layers, layers[1:], strict=False), 1):
        total = value + between(number, begin, end)
        steps.append(total.argmin(1))
        value = total.min(1)
    at = 0
    cutoffs = []
    for layer, step in zip(layers[-2::-1], steps[::-1], strict=True):
        at = step[at]
        cutoffs.append(layer[at])
    return float(value[0]), np.array(cutoffs[::-1][len(origin) :])


def _tail_seconds(costs: LayoutCosts) -> Between:
    """Seconds of a tail from each position of ``begin`` to each of ``end``: (ends, begins), infinite if empty."""

    def between(number: int, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        low, high = begin[None, :], end[:, None]
        return np.where(low < high, costs.tail(number, np.minimum(low, high - 1), high), np.inf)

    return between


def _remembered(costs: LayoutCosts) -> Between:
    """``_tail_seconds`` with one array of positions for all cut-offs: computed once for each kind of tail."""
    between, known = _tail_seconds(costs), {}

    def remembered(number: int, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        # The layers are [0], the positions and [V]: the first of each and their number tell which.
        key = costs.tail_kind(number), begin[0], len(begin), end[0], len(end)
        if key not in known:
            known[key] = between(number, begin, end)
        return known[key]

    return remembered


def _refine(costs: LayoutCosts, grid: np.ndarray, cutoffs: np.ndarray) -> tuple[float, np.ndarray]:
    """Move cut-offs from a grid to the nearest optimum at the resolution of single words."""
    place = np.searchsorted(grid, cutoffs)
    gaps = grid[np.minimum(place + 1, len(grid) - 1)] - grid[np.maximum(place - 1, 0)]
    steps = np.maximum(gaps // _FINER, 1)
    window, between, seconds = np.arange(-_REACH, _REACH + 1), _tail_seconds(costs), np.inf
    for _ in range(_MOST_ROUNDS):
        layers = [
            np.unique(np.clip(cutoff + step * window, grid[0], grid[-1]))
            for cutoff, step in zip(cutoffs, steps, strict=True)
        ]
        before, (seconds, cutoffs) = seconds, _shortest(costs, layers, between)
        if (steps == 1).all() and seconds >= before:
            break
        steps = np.maximum(steps // _FINER, 1)
    return seconds, cutoffs
