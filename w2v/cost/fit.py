"""The coefficients of the cost model from timings: relative least squares, non-negative and robust."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from itertools import combinations

import numpy as np

from w2v.cost.model import CostModel, Measurement
from w2v.errors import ConfigError

# Coefficients: c, α, β, γ, δ.
_TERMS = 5
# Tukey's biweight: residuals beyond this many standard deviations have no say; 4.685 keeps 95 % of the efficiency.
_CUT = 4.685
_ROUNDS = 8
# Below this a residual is never an outlier: the model itself is not exact to better than that.
_LEAST_SCALE = 0.02


def fit(
    measurements: Sequence[Measurement], *, device: str, versions: Mapping[str, str], reference_size: int
) -> CostModel:
    """Fit c, α, β, γ, δ ≥ 0 and k0·B0 to timings of blocks.

    Minimised are the squares of predicted / measured − 1, so that short blocks count as much as long ones; a few wild
    timings lose their weight (Tukey's biweight). k0·B0 is searched along the measured products, the rest is linear
    given it. The errors reported are over all timings, the wild ones included. reference_size: the D at which λ is
    reported. Raises ConfigError where the timings are not positive numbers, or cannot tell the coefficients apart.
    """
    measurements = tuple(measurements)
    k, b, d, seconds = _columns(measurements)
    weights = np.ones(len(seconds))
    for _ in range(_ROUNDS):
        threshold, coefficients = _best_threshold(k, b, d, seconds, weights)
        residuals = _features(k, b, d, threshold) @ coefficients / seconds - 1
        weights = _biweight(residuals)
    error = np.abs(residuals)
    c, alpha, beta, gamma, delta = map(float, coefficients)
    return CostModel(
        device=device,
        c=c, alpha=alpha, beta=beta, gamma=gamma, delta=delta,
        threshold=float(threshold),
        reference_inputs=_reference_inputs(measurements, reference_size),
        reference_size=reference_size,
        error_median=float(np.median(error)),
        error_p90=float(np.quantile(error, 0.9)),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        versions=dict(versions),
        source=f"measured, {len(measurements)} blocks",
        measurements=measurements,
    )  # fmt: skip


def _columns(measurements: tuple[Measurement, ...]) -> tuple[np.ndarray, ...]:
    """k, B, d and seconds, float64 (n,) each; raises ConfigError where they cannot be fitted."""
    values = np.array([(m.columns, m.inputs, m.size, m.seconds) for m in measurements], np.float64).reshape(-1, 4)
    k, b, d, seconds = values.T
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise ConfigError("a timing of a block is not a positive number: calibrate again on an idle machine")
    if len(seconds) < 2 * _TERMS or min(len(np.unique(axis)) for axis in (k, b, d)) < 2:
        raise ConfigError(
            f"{len(seconds)} timings are too few to fit a cost model: measure at least {2 * _TERMS} blocks "
            "of two numbers of columns, of inputs and of dims"
        )
    return k, b, d, seconds


def _features(k: np.ndarray, b: np.ndarray, d: np.ndarray, threshold: float) -> np.ndarray:
    """What each coefficient multiplies, (n, 5)."""
    products = np.maximum(k * b, threshold)
    return np.stack([np.ones_like(k), products, d * products, k * d, b * d], 1)


def _best_threshold(
    k: np.ndarray, b: np.ndarray, d: np.ndarray, seconds: np.ndarray, weights: np.ndarray
) -> tuple[float, np.ndarray]:
    """k0·B0 and the five coefficients of the least weighted sum of squares; 0 where no floor helps."""
    low, high = (k * b).min(), (k * b).max()

    def at(threshold: float) -> tuple[float, float, np.ndarray]:
        loss, coefficients = _non_negative(_features(k, b, d, threshold) / seconds[:, None], weights)
        return loss, threshold, coefficients

    grid = [0.0, *np.geomspace(low, high, 40)[1:-1]]
    best = min(map(at, grid), key=lambda found: found[0])
    # Nearer and nearer around the best, by factors of 7, down to about a thousandth of it.
    for power in (1, 1 / 7, 1 / 49) if best[1] else ():
        ratio = (high / low) ** (power / 39)
        finer = best[1] * np.geomspace(1 / ratio, ratio, 15)
        best = min([best, *map(at, finer)], key=lambda found: found[0])
    return best[1], best[2]


def _non_negative(features: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Weighted least squares of features (n, 5) against ones, under coefficients ≥ 0: (loss, coefficients).

    The optimum is the plain solution on some subset of the columns: on all, where that is feasible, and else the
    best feasible one of the others.
    """
    scale = np.linalg.norm(features, axis=0)
    scaled = features / scale
    root = np.sqrt(weights)
    gram, right = (scaled * weights[:, None]).T @ scaled, scaled.T @ weights
    best = (np.inf, np.zeros(_TERMS))
    for count in range(_TERMS, 0, -1):
        for subset in combinations(range(_TERMS), count):
            chosen = list(subset)
            solution = np.linalg.lstsq(gram[np.ix_(chosen, chosen)], right[chosen], rcond=1e-12)[0]
            if (solution < 0).any():
                continue
            loss = float(np.square(root * (scaled[:, chosen] @ solution - 1)).sum())
            if loss < best[0]:
                coefficients = np.zeros(_TERMS)
                coefficients[chosen] = solution
                best = (loss, coefficients / scale)
            if count == _TERMS:
                return best
    return best


def _biweight(residuals: np.ndarray) -> np.ndarray:
    """Weights 0 … 1 by how far a residual lies out, in standard deviations taken from the median absolute one."""
    scale = max(1.4826 * float(np.median(np.abs(residuals))), _LEAST_SCALE)
    return np.square(np.maximum(0.0, 1 - np.square(residuals / (_CUT * scale))))


def _reference_inputs(measurements: tuple[Measurement, ...], size: int) -> int:
    """B0: the batch in the middle of those measured at ``size`` (of all, where none was)."""
    batches = sorted({m.inputs for m in measurements if m.size == size} or {m.inputs for m in measurements})
    return batches[len(batches) // 2]
