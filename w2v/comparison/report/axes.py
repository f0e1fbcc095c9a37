"""Axes of the charts: ranges, round ticks, and the way from values to pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

# A logarithmic axis where the largest value is more than this many times the smallest.
LOG_SPREAD = 20
# Of the range of the values, on either side of them.
_ROOM = 0.07
# On a logarithmic axis of more decades than this only the decades have ticks.
_DECADES = 2.2
_STEPS = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Axis:
    """Values from ``low`` to ``high`` along the pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of ``value``."""
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(value)
        return self.start + (self.end - self.start) * (at - low) / (high - low)


def asks_for_log(values: Iterable[float]) -> bool:
    """Whether the values are positive and spread over more than LOG_SPREAD."""
    values = list(values)
    return bool(values) and min(values) > 0 and max(values) > LOG_SPREAD * min(values)


def linear_axis(values: Iterable[float], start: float, end: float, *, zero: bool = False, count: int = 5) -> Axis:
    """An axis over ``values``, with a little room around, and about ``count`` ticks; from 0 with ``zero``."""
    values = list(values)
    low, high = (0.0 if zero else min(values)), max(values)
    # Values that are all but equal are not blown up into differences.
    room = max(_ROOM * (high - low), 0.001 * max(abs(low), abs(high))) or 1.0
    low, high = (low if zero else low - room), high + (_ROOM * room if zero else room)
    step = _round_step((high - low) / (count + 1))
    ticks = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return Axis(low, high, start, end, tuple(round(index * step, 12) for index in ticks))


def log_axis(values: Iterable[float], start: float, end: float) -> Axis:
    """A logarithmic axis over positive ``values``, with ticks at 1, 2, 5 of a decade, or at decades alone."""
    values = list(values)
    room = (max(values) / min(values)) ** _ROOM
    low, high = min(values) / room, max(values) * room
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1.0, 2.0, 5.0) if math.log10(high / low) < _DECADES else (1.0,)
    ticks = (factor * 10.0**decade for decade in decades for factor in steps)
    return Axis(low, high, start, end, tuple(tick for tick in ticks if low <= tick <= high), log=True)


def tick_text(value: float) -> str:
    """A tick's number: thousands marked, no digits that say nothing."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}".replace("-", "\N{MINUS SIGN}")


def _round_step(step: float) -> float:
    """Of 1, 2, 5 × 10^n the first that is not clearly below ``step``."""
    power = 10.0 ** math.floor(math.log10(step))
    return power * next(factor for factor in _STEPS if factor >= 0.9 * step / power)
