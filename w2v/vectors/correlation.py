"""Pearson's and Spearman's correlation with their two-sided p-values, in plain NumPy."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class Correlation(NamedTuple):
    """A correlation coefficient in -1 to 1 and the two-sided p-value of no correlation."""

    statistic: float
    pvalue: float


def pearson(x: np.ndarray, y: np.ndarray) -> Correlation:
    """Pearson's r of two samples (n,), n at least 2; NaN where one of them is constant."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(x) != len(y) or len(x) < 2:
        raise ValueError(f"two samples of one length of at least 2 are needed, not {len(x)} and {len(y)} values")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(math.nan, math.nan)
    x, y = x - x.mean(), y - y.mean()
    r = float(np.dot(x, y) / np.sqrt(np.dot(x, x) * np.dot(y, y)))
    r = max(-1.0, min(1.0, r))
    return Correlation(r, _p_value(r, len(x)))


def spearman(x: np.ndarray, y: np.ndarray) -> Correlation:
    """Spearman's rank correlation of two samples (n,): Pearson's r of their ranks, ties sharing the mean rank."""
    return pearson(ranks(x), ranks(y))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks (n,) from 1, equal values sharing the mean of theirs."""
    _, group, sizes = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return (last - (sizes - 1) / 2)[group.ravel()]


def _p_value(r: float, count: int) -> float:
    """Two-sided p-value of ``r`` from ``count`` values by Student's t distribution with count - 2 degrees.

    With t^2 = r^2 df / (1 - r^2) it is I_x(df/2, 1/2) at x = df / (df + t^2) = 1 - r^2.
    """
    return 1.0 if count == 2 else incomplete_beta((count - 2) / 2, 0.5, 1 - r * r)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b) for a, b > 0 and x in 0 to 1.

    By the continued fraction of DLMF 8.17.22, which converges fast below x = (a + 1) / (a + b + 2); above it
    by I_x(a, b) = 1 - I_{1-x}(b, a).
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    front = math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta) / a
    return front / _continued_fraction(a, b, x)


def _continued_fraction(a: float, b: float, x: float) -> float:
    """1 + d1/(1 + d2/(1 + ...)) with the coefficients of DLMF 8.17.23, by Lentz's method."""
    tiny, value, c, d = 1e-300, 1.0, 1.0, 0.0
    for step in range(1, 1000):
        m = step // 2
        if step % 2:
            coefficient = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            coefficient = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / ((1 + coefficient * d) or tiny)
        c = (1 + coefficient / c) or tiny
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value
