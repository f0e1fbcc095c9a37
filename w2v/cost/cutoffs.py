"""``--cutoffs auto``: the layout of an adaptive softmax that a step computes fastest, under a measured cost model.

Source: Grave, Joulin, Cisse, Grangier, Jegou 2017, "Efficient softmax approximation for GPUs", section 4,
with the expected number of distinct inputs that reach a cluster (``w2v.cost.inputs``) in the place of p·B.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from w2v.cost.inputs import ReachedInputs
from w2v.cost.model import CostModel
from w2v.cost.search import cheapest
from w2v.errors import ConfigError
from w2v.objectives.block_layout import projected_size

MOST_CLUSTERS = 15
# See ``head_floor``.
HEAD_COVERAGE = 0.86
HEAD_MOST_OF_VOCABULARY = 0.10


class Block(NamedTuple):
    """One block of a layout: "head" or "tail 1" …, over the words begin … end − 1 by rank.

    columns: of its softmax; share: of the targets that it decides on; inputs: expected distinct inputs of a batch
    that reach it; size: inner dims; seconds: predicted, its projection included.
    """

    name: str
    begin: int
    end: int
    columns: int
    share: float
    inputs: float
    size: int
    seconds: float


@dataclass(frozen=True)
class Choice:
    """A layout and what it costs.

    cutoffs: rising, without V; seconds: predicted for the softmax of one step; full_seconds: for the exact softmax
    over the whole vocabulary; blocks: the head, then the tails; seconds_by_clusters: the least seconds for each
    number of clusters that was looked at.
    """

    cutoffs: tuple[int, ...]
    seconds: float
    full_seconds: float
    blocks: tuple[Block, ...]
    seconds_by_clusters: dict[int, float]

    @property
    def clusters(self) -> int:
        """Groups that the words are in: the short-list, if there is one, and the tails."""
        return len(self.cutoffs) + 1

    def summary(self) -> str:
        """One line for people."""
        return (
            f"--cutoffs {','.join(map(str, self.cutoffs))}: {self.clusters} clusters; a step of the full softmax is "
            f"predicted to take {self.full_seconds / self.seconds:.2f} times as long"
        )


class StepCosts:
    """Predicted seconds of the blocks of one step, for any layout of one vocabulary.

    shares: (V,) float64, each word's share of the sub-sampled stream, by falling frequency; pairs: N of a batch
    (windows for CBOW); pairs_per_token: m, mean pairs of a kept token; size: D. Raises ConfigError on a vocabulary of
    one word, TrainingError where there are no pairs.
    """

    def __init__(
        self,
        shares: np.ndarray,
        pairs: float,
        pairs_per_token: float,
        size: int,
        div_value: float,
        model: CostModel,
        shortlist: bool = True,
        cbow: bool = False,
    ) -> None:
        """Tabulate what the blocks share."""
        shares = np.asarray(shares, np.float64)
        if shares.size < 2:
            raise ConfigError("an adaptive softmax needs two words at least: give more text")
        self.words, self.size, self.div_value = shares.size, size, div_value
        self.model, self.shortlist = model, shortlist
        self.floor = head_floor(shares)
        self._before = np.concatenate([[0.0], np.cumsum(shares)])
        self._before /= self._before[-1]
        self._reached = ReachedInputs(shares, pairs, pairs_per_token, cbow)

    def share(self, begin: np.ndarray | int, end: np.ndarray | int) -> np.ndarray:
        """Share of the targets in the words begin … end − 1."""
        return self._before[end] - self._before[begin]

    def inputs(self, begin: np.ndarray | int, end: np.ndarray | int) -> np.ndarray:
        """Expected distinct inputs of a batch with a target in the words begin … end − 1."""
        return self._reached(self.share(begin, end))

    def head(self, shortlist_words: np.ndarray | int, tails: int) -> np.ndarray:
        """Seconds of a head that holds this many words, and a column per tail."""
        return self.model.block_seconds(shortlist_words + tails, self._reached.all, self.size)

    def tail(self, number: int, begin: np.ndarray | int, end: np.ndarray | int) -> np.ndarray:
        """Seconds of tail ``number`` (1 …) over the words begin … end − 1, its projection included."""
        size, inputs = self.tail_kind(number), self.inputs(begin, end)
        seconds = self.model.block_seconds(end - begin, inputs, size)
        return seconds + (self.model.projection_seconds(inputs, size, self.size) if size < self.size else 0.0)

    def tail_kind(self, number: int) -> int:
        """Inner dims of tail ``number``. Without a short-list the first tail has the frequent words, and all D."""
        return projected_size(self.size, self.div_value, number if self.shortlist else number - 1)

    def full_seconds(self) -> float:
        """Seconds of the exact softmax."""
        return float(self.model.block_seconds(self.words, self._reached.all, self.size))

    def blocks(self, cutoffs: tuple[int, ...]) -> tuple[Block, ...]:
        """The head and the tails of a layout."""
        edges = [*([] if self.shortlist else [0]), *cutoffs, self.words]
        tails, words = len(edges) - 1, edges[0]
        found = [
            Block("head", 0, words, words + tails, 1.0, self._reached.all, self.size, float(self.head(words, tails)))
        ]
        for number, (begin, end) in enumerate(zip(edges, edges[1:], strict=False), 1):
            share, inputs = float(self.share(begin, end)), float(self.inputs(begin, end))
            seconds = float(self.tail(number, begin, end))
            found.append(
                Block(f"tail {number}", begin, end, end - begin, share, inputs, self.tail_kind(number), seconds)
            )
        return tuple(found)

    def choose(self, clusters: int | None = None) -> Choice:
        """The cheapest layout of a given number of clusters, or of the best number of 2 … 15.

        The clusters are the groups that the words are in: with a short-list it and the tails, without one the tails.
        The first of them, whose words keep all D dims, holds ``head_floor`` words at least. Raises ConfigError where
        the vocabulary has room for fewer clusters than were asked for.
        """
        most = min(MOST_CLUSTERS, self.words - self.floor + 1)
        if clusters is not None and clusters > most:
            raise ConfigError(f"--clusters {clusters} is too many for {self.words} words: use at most {most}")
        found = cheapest(self, self.floor, range(2, most + 1) if clusters is None else [clusters])
        _, cutoffs = min(found.values())
        return self.price(cutoffs, {count: seconds for count, (seconds, _) in found.items()})

    def price(self, cutoffs: tuple[int, ...], seconds_by_clusters: dict[int, float] | None = None) -> Choice:
        """What given cut-offs cost; raises ConfigError where there are none, or one is beyond the vocabulary."""
        if not cutoffs:
            raise ConfigError("an adaptive softmax needs one cut-off at least: give --cutoffs N,N,.. or auto")
        if cutoffs[-1] >= self.words:
            shown = ",".join(map(str, cutoffs))
            raise ConfigError(f"--cutoffs {shown} must stay below the {self.words} words of the vocabulary")
        blocks = self.blocks(tuple(cutoffs))
        seconds = sum(block.seconds for block in blocks)
        return Choice(
            tuple(cutoffs), seconds, self.full_seconds(), blocks, seconds_by_clusters or {len(cutoffs) + 1: seconds}
        )


def head_floor(shares: np.ndarray) -> int:
    """The fewest words that ``--cutoffs auto`` leaves all D dims: a rule for quality, which no cost model knows of.

    Words of the head, or of the first tail where there is no short-list, keep all D dims, and are told apart by one
    softmax; words of a later tail are seen through a projection. A cost model alone would shrink that group as far as
    it saves time. The rule: it holds the words that make up ``HEAD_COVERAGE`` of the sub-sampled stream, but need not
    hold more than ``HEAD_MOST_OF_VOCABULARY`` of the vocabulary, as a flat distribution would ask for nearly all.

    The bounds come from a prototype, not from this program: PyTorch, learning rate 0.1, 17 M words of English,
    V = 79,666, skip-gram, D = 128, 5 epochs. There cut-offs 8000,30000 learned what the full softmax learned (7.940
    held-out nats per pair against 7.938; WordSim-353 57.5 against 56.6), and 2000,10000,30000 did not (7.952; 52.8).
    8,000 words are 86.0 % of that stream and 10.0 % of the vocabulary; 4,000 are 77.9 %, 2,000 are 68.6 %. Both
    bounds are those of the layout that lost nothing.

    This program on 17 M words, D = 128, alpha 0.2, after one epoch: cut-offs 8000,30000 reach 7.289 held-out nats per
    pair, and 15 clusters behind a head of 4,737 words 7.292. After five epochs of the latter: WordSim-353 57.9,
    SimLex-999 29.2, analogies 35.5.

    shares: (V,) of the sub-sampled stream by falling frequency. At least 1, at most V − 1.
    """
    covered = np.cumsum(shares, dtype=np.float64)
    enough = int(np.searchsorted(covered, HEAD_COVERAGE * covered[-1] * (1 - 1e-12))) + 1
    return max(1, min(enough, math.ceil(HEAD_MOST_OF_VOCABULARY * len(shares)), len(shares) - 1))


def choose_cutoffs(
    shares: np.ndarray,
    *,
    pairs: float,
    pairs_per_token: float,
    size: int,
    div_value: float,
    model: CostModel,
    clusters: int | None = None,
    shortlist: bool = True,
    cbow: bool = False,
) -> Choice:
    """The cut-offs whose step costs least, for a given number of clusters or the best one of 2 … 15.

    Arguments as for ``StepCosts``, ``clusters`` and what is raised as for its ``choose``.
    """
    return StepCosts(shares, pairs, pairs_per_token, size, div_value, model, shortlist, cbow).choose(clusters)
