"""How many windows may be in flight on a GPU, and by what the movement of each row is scaled for it.

A worker (a warp, or a block of the numba kernels) reads rows, computes, and adds what it found to what the row has
become meanwhile. Where hundreds of workers do so to the same row at once, their steps add up to one that is hundreds
of times too long, and training diverges. So the movement of a row is scaled by

    min(1, τ / n),   n = expected contributions to the row by the other workers between its reading and its writing,

which leaves all but the most frequent rows alone. It is for the learning rate that training begins with, and grows as
that falls (``cuda_steps``). An output row is held for one window, an input row for the 2·window + 1 windows that it
stands in a worker's ring. n comes from the counts, before training. Where a corpus is so small that this would damp
nearly everything, fewer workers are kept in flight.
"""

from dataclasses import dataclass

import numpy as np

from w2v.config import TrainConfig
from w2v.kernels.stream_cpu import keep_thresholds
from w2v.objectives.base import RowWiseObjective

#: Contributions in flight that an input row takes without harm; an output row's are up to the objective.
TAU = 32.0
# More workers are worth it while the scales leave this share of what is learnt, or while every row is still left this
# many contributions an epoch; and while every worker has this many windows.
SMALLEST_MEAN_SCALE = 0.5
ENOUGH_CONTRIBUTIONS = 8_000
FEWEST_WINDOWS = 1000


@dataclass(frozen=True)
class Contributions:
    """Expected contributions of a worker to each row in the time that another one holds it.

    inputs (V,), outputs (rows,): float64; windows: how long an input row is held; output_tau: contributions in flight
    that an output row takes without harm.
    """

    inputs: np.ndarray
    outputs: np.ndarray
    windows: int
    output_tau: float = TAU


@dataclass(frozen=True)
class Scales:
    """By what the movement of each row is multiplied: inputs (V,), outputs (rows,), float32."""

    inputs: np.ndarray
    outputs: np.ndarray


def contributions(config: TrainConfig, objective: RowWiseObjective) -> Contributions:
    """What a worker contributes to each row in the mean, as if every window had all its contexts."""
    kept = kept_share(config, objective.counts)
    contexts = config.window + 1.0 if config.shrink_windows else 2.0 * config.window
    inputs_at_once = 1.0 if config.model == "cbow" else contexts
    held = 2 * config.window + 1
    outputs = inputs_at_once * objective.expected_touches(kept)
    return Contributions(held * contexts * kept, outputs, held, objective.unseen_contributions)


def kept_share(config: TrainConfig, counts: np.ndarray) -> np.ndarray:
    """Share of each word in the kept stream, (V,) float64."""
    kept = counts * (keep_thresholds(counts, config.sample) / 0xFFFF_FFFF)
    return kept / max(kept.sum(), 1.0)


def kept_words(config: TrainConfig, counts: np.ndarray) -> float:
    """Expected number of windows of an epoch over the corpus that the counts are of."""
    return float((counts * (keep_thresholds(counts, config.sample) / 0xFFFF_FFFF)).sum())


def scale(contributed: np.ndarray, others: int, tau: float = TAU) -> np.ndarray:
    """min(1, τ / n) for each row, float32, with ``others`` workers in flight. contributed: by each, float64."""
    in_flight = others * contributed
    return np.divide(tau, in_flight, out=np.ones_like(in_flight), where=in_flight > tau).astype(np.float32)


def scales(contributed: Contributions, workers: int) -> Scales:
    """The scales of all rows with ``workers`` workers in flight; 1 everywhere where there is one alone."""
    return Scales(
        scale(contributed.inputs, workers - 1, TAU), scale(contributed.outputs, workers - 1, contributed.output_tau)
    )


def exchange_weights(contributed: np.ndarray) -> np.ndarray:
    """How often blocks exchange each of the rows that they have copies of, relative to one another, float64.

    Contributions that are not exchanged in time count less, and the rows that get most of them lose most: but were
    they exchanged in proportion, the others would hardly ever be. The square root is between the two.
    """
    return np.sqrt(contributed)


def exchange_scale(contributed: np.ndarray, blocks: int, windows: np.ndarray, tau: float = TAU) -> np.ndarray:
    """Scale of what a block's own copy of each row has moved in ``windows`` (rows,) of its windows, float32.

    Blocks that have each learnt the same may be averaged at worst: never less than 1 / blocks.
    """
    return np.maximum(scale(contributed * windows, blocks - 1, tau), np.float32(1.0 / blocks))


def most_workers(contributed: Contributions, windows: float, most: int) -> int:
    """How many workers to keep in flight, of at most ``most``, over an epoch of ``windows`` windows.

    Halved until every worker has some windows of an epoch, and the scales leave enough of what is learnt: a row that
    is scaled down at all is left with τ · windows / workers contributions, whichever row it is (and an input row with
    a share of that, since it is held for several windows).
    """
    workers = max(1, most)
    while workers > 1 and (windows < FEWEST_WINDOWS * workers or not _learns(contributed, windows, workers)):
        workers //= 2
    return workers


def _learns(contributed: Contributions, windows: float, workers: int) -> bool:
    left = TAU * windows / (workers * contributed.windows)
    return left >= ENOUGH_CONTRIBUTIONS or mean_scale(contributed, workers) >= SMALLEST_MEAN_SCALE


def mean_scale(contributed: Contributions, workers: int) -> float:
    """The smaller of the two matrices' mean scales over their contributions, with ``workers`` in flight."""
    found = scales(contributed, workers)
    means = [
        (scaled * rows).sum() / max(rows.sum(), np.finfo(float).tiny)
        for scaled, rows in ((found.inputs, contributed.inputs), (found.outputs, contributed.outputs))
        if rows.size
    ]
    return float(min(means, default=1.0))
