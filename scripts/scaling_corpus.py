"""How often the words of a corpus touch the rows of the parameters, between two rounds and behind one's back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

#: Rank bands that staleness is told by.
BANDS = (0, 1_000, 10_000, 100_000)
# Zipf–Mandelbrot over 17 million words of English (V = 79,666, counts of 5 and more; least squares of log counts over
# ranks at even steps of their logarithm): count ∝ (rank + q)^−s. Its end is flatter than that text's (slope −1.6
# beyond rank 10,000): rare rows come out too busy rather than too quiet.
FITTED = (1.146, 4.6)
# Contributions in flight × alpha that did no harm to a row of one GPU: 64 at 0.025; at 256 quality began to fall.
HARMLESS = 64 * 0.025


class Mandelbrot(NamedTuple):
    """count ∝ (rank + offset)^−exponent, rank from 1."""

    exponent: float
    offset: float


def read_counts(path: Path) -> np.ndarray:
    """Falling counts (V,) int64 of a model folder, a file of ``word<TAB>count`` or a text; W2VError as they raise."""
    from w2v.corpus import Vocabulary, count_words

    if (path / "vocabulary.tsv").is_file():
        path = path / "vocabulary.tsv"
    counts = Vocabulary.load(path).counts if path.suffix == ".tsv" else count_words([path])[0].counts
    return -np.sort(-counts)


def fit(counts: np.ndarray) -> Mandelbrot:
    """The curve of the least squared error of log counts at up to 400 ranks, evenly spaced in logarithms."""
    ranks = np.unique(np.geomspace(1, counts.size, 400).astype(np.int64))
    target = np.log(np.maximum(counts[ranks - 1], 1))
    found = []
    for offset in np.linspace(0, 20, 201):
        slope, start = np.polyfit(np.log(ranks + offset), target, 1)
        error = ((slope * np.log(ranks + offset) + start - target) ** 2).mean()
        found.append((error, Mandelbrot(-slope, offset)))
    return min(found)[1]


def extrapolated(rows: int, tokens: float, curve: Mandelbrot) -> np.ndarray:
    """Counts (rows,) int64, at least 1, of a text of about ``tokens`` words."""
    weights = (np.arange(1, rows + 1) + curve.offset) ** -curve.exponent
    return np.maximum(np.round(weights * (tokens / weights.sum())), 1).astype(np.int64)


@dataclass(frozen=True)
class RowUse:
    """Of a matrix, most used row first. Both are per word of the text, before sub-sampling.

    log_untouched (rows,): log of the probability that a word leaves the row alone; updates (rows,): contributions to
    the row, one per context of a window.
    """

    log_untouched: np.ndarray
    updates: np.ndarray

    def touched(self, words: float) -> np.ndarray:
        """Probability that ``words`` words touch each row: 1 − (1 − p)^n."""
        return -np.expm1(words * self.log_untouched)


@dataclass(frozen=True)
class Stream:
    """What the kept words of a corpus do.

    kept: share of the words that sub-sampling keeps; contexts: of a window in the mean; shares (V,): of the kept
    words; inputs, outputs: use of the rows; dots: dot products per word of the text.
    """

    kept: float
    contexts: float
    shares: np.ndarray
    inputs: RowUse
    outputs: RowUse
    dots: float


def stream(objective: str, counts: np.ndarray, size: int, batch_words: float) -> Stream:
    """Row use of skip-gram with the options' defaults; counts: (V,) falling; size: D.

    Block softmaxes touch every output row once per batch of ``batch_words`` words; an upper bound for tails.
    """
    from w2v.backends.in_flight import kept_share, kept_words
    from w2v.config import TrainConfig

    config = TrainConfig(objective=objective, vector_size=size)
    kept = kept_words(config, counts) / counts.sum(dtype=np.float64)
    shares, contexts = kept_share(config, counts), config.window + 1.0
    inputs = RowUse(kept * np.log1p(-np.minimum(shares, 1 - 1e-12)), kept * contexts * shares)
    if objective not in ("ns", "hs"):
        tokens = kept * batch_words
        once = -np.expm1(tokens * np.log1p(-np.minimum(shares, 1 - 1e-12))) / batch_words
        all_rows = RowUse(np.full(counts.size, -np.inf), np.full(counts.size, 1 / batch_words))
        return Stream(kept, contexts, shares, RowUse(inputs.log_untouched, once), all_rows, math.nan)
    outputs, listed = _row_wise(objective, counts, config, shares)
    return Stream(
        kept, contexts, shares, inputs,
        RowUse(kept * outputs.log_untouched, kept * contexts * outputs.updates), kept * contexts * listed,
    )  # fmt: skip


def _row_wise(objective: str, counts: np.ndarray, config: object, shares: np.ndarray) -> tuple[RowUse, float]:
    """Use of the output rows per window, and rows that a window lists in the mean."""
    from w2v.objectives import make_objective
    from w2v.objectives.negative_sampling import noise_distribution

    if objective == "ns":
        noise = noise_distribution(counts, config.noise_power)
        log_untouched = np.log1p(-np.minimum(shares, 1 - 1e-12)) + config.negative * np.log1p(-noise)
        return RowUse(log_untouched, shares + config.negative * noise), 1.0 + config.negative
    visits = -np.sort(-make_objective(config, counts).expected_touches(shares))
    return RowUse(np.log1p(-np.minimum(visits, 1 - 1e-12)), visits), float(visits.sum())


def intervals(rows: int, rounds: int) -> np.ndarray:
    """Rounds from one that covers a row to the next, (rows,) int64: 2^j for the first 2^j · 1024 rows."""
    from w2v.distributed.rounds import FEWEST_ROWS

    level = np.ceil(np.log2(np.maximum(np.arange(1, rows + 1) / FEWEST_ROWS, 1.0))).astype(np.int64)
    return np.minimum(2**level, rounds)


def staleness(use: RowUse, replicas: int, sync_words: float, rounds: int, alpha: float) -> list[dict]:
    """By rank band, means over its rows: what a replica has not seen, halfway between two rounds.

    interval_words: words of a replica between rounds that cover the row; unseen: contributions of the other replicas
    since the last such round; unseen_alpha: those times the schedule's learning rate; beyond_harmless: whether
    that is more than what was harmless on one GPU; touched: share of the rows that a replica touches in an interval;
    rate_factor: by how much the learning rate of such a row is multiplied: replicas, over those that change it.
    """
    size = use.updates.size
    words = intervals(size, rounds) * float(sync_words)
    unseen = (replicas - 1) * use.updates * words / 2
    touched = use.touched(words)
    # Of n replicas n q change a row, of those rows that any changes n q / (1 − (1 − q)^n).
    anyone = -np.expm1(replicas * words * use.log_untouched)
    factor = np.divide(anyone, touched, out=np.full(size, float(replicas)), where=touched > 0)
    found = []
    for begin, end in zip(BANDS, (*BANDS[1:], size), strict=True):
        band = slice(begin, min(end, size))
        if begin >= size:
            break
        mean = float(unseen[band].mean())
        found.append({
            "rows": f"{begin:,}–{band.stop:,}", "interval_words": float(words[band].mean()), "unseen": mean,
            "unseen_alpha": mean * alpha, "beyond_harmless": mean * alpha > HARMLESS,
            "touched": float(touched[band].mean()), "rate_factor": float(factor[band].mean()),
        })  # fmt: skip
    return found
