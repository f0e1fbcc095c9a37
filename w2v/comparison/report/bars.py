"""Charts of bars: words per second, and how each run's time is split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from w2v.comparison.report.axes import Axis, asks_for_log, linear_axis, log_axis
from w2v.comparison.report.drawing import FONT, Drawing, Line, Rect, Shape, Text, text_width
from w2v.comparison.report.palette import Style
from w2v.comparison.report.wording import round_rate

WIDTH = 360
_ROW, _BAR = 24, 15
_TOP, _BOTTOM = 4, 40
_GAP = 6


@dataclass(frozen=True)
class BarRow:
    """One bar: ``sd`` is None with one seed; ``text`` stands behind the bar."""

    label: str
    style: Style
    value: float
    sd: float | None
    text: str


@dataclass(frozen=True)
class SplitRow:
    """One bar of parts that make up its whole: seconds by phase; ``text`` stands behind it."""

    label: str
    parts: dict[str, float]
    text: str


def draw_bars(title: str, unit: str, rows: Sequence[BarRow]) -> Drawing:
    """Horizontal bars of rates from 0, or along a logarithmic axis where the spread asks for it."""
    values = [row.value + (row.sd or 0) for row in rows]
    log = asks_for_log([row.value for row in rows])
    left = _GAP + max(text_width(row.label) for row in rows)
    right = WIDTH - _GAP - max(text_width(row.text, FONT - 1) for row in rows)
    # A logarithmic axis begins below the smallest bar, which has a length as well.
    axis = log_axis([min(values) / 2, *values], left, right) if log else linear_axis(
        values, left, right, zero=True, count=3
    )  # fmt: skip
    drawing = Drawing(WIDTH, _TOP + _ROW * len(rows) + _BOTTOM, _bars_description(title, unit, rows))
    drawing.shapes += _ticks(axis, len(rows), unit, log)
    for index, row in enumerate(rows):
        drawing.shapes += _bar(row, axis, _TOP + _ROW * index)
    return drawing


def draw_splits(title: str, phases: Sequence[str], rows: Sequence[SplitRow]) -> Drawing:
    """Horizontal bars of the same length, cut into the shares of ``phases``, with a key above them."""
    left = _GAP + max(text_width(row.label) for row in rows)
    right = WIDTH - _GAP - max(text_width(row.text, FONT - 1) for row in rows)
    key, top = _key(phases, 12)
    axis = linear_axis([100.0], left, right, zero=True, count=4)
    drawing = Drawing(WIDTH, top + _ROW * len(rows) + _BOTTOM, _splits_description(title, rows))
    drawing.shapes += key
    drawing.shapes += _ticks(axis, len(rows), "% of the run's seconds", False, top)
    for index, row in enumerate(rows):
        drawing.shapes += _split(row, phases, axis, top + _ROW * index)
    return drawing


def _ticks(axis: Axis, rows: int, unit: str, log: bool, top: float = _TOP) -> list[Shape]:
    bottom = top + _ROW * rows
    shapes: list[Shape] = []
    free = -1e9
    for tick in axis.ticks:
        at, text = axis(tick), round_rate(tick)
        shapes.append(Line(((at, top), (at, bottom)), "grid"))
        half = text_width(text, FONT - 1) / 2
        if at - half > free and at + half < WIDTH:
            shapes.append(Text(at, bottom + 14, text, "muted", FONT - 1, "middle"))
            free = at + half + 4
    label = unit + (", log" if log else "")
    middle = (axis.start + axis.end) / 2
    shapes.append(Text(middle, bottom + 32, label, "muted", FONT - 1, "middle"))
    return shapes


def _bar(row: BarRow, axis: Axis, top: float) -> list[Shape]:
    end, middle = axis(row.value), top + _ROW / 2
    width = max(1.0, end - axis.start)
    shapes: list[Shape] = [
        Text(axis.start - _GAP, middle + 4, row.label, anchor="end"),
        Rect(axis.start, middle - _BAR / 2, width, _BAR, row.style.colour, f"{row.label}: {row.text}"),
    ]
    if row.style.hollow:
        shapes.append(Rect(axis.start + 2, middle - _BAR / 2 + 2, max(0.0, width - 4), _BAR - 4, "paper"))
    reach = end
    if row.sd:
        low = axis(max(row.value - row.sd, axis.low))
        reach = axis(row.value + row.sd)
        # Ink on the bar and beyond it; the rim of paper keeps it visible on a dark bar.
        shapes += [
            Line(((low, middle), (reach, middle)), "paper", 3.5),
            Line(((low, middle), (reach, middle)), "ink"),
        ]
    return [*shapes, Text(reach + 5, middle + 4, row.text, size=FONT - 1, halo=True)]


def _split(row: SplitRow, phases: Sequence[str], axis: Axis, top: float) -> list[Shape]:
    whole, middle, at = sum(row.parts.values()), top + _ROW / 2, axis.start
    shapes: list[Shape] = [Text(axis.start - _GAP, middle + 4, row.label, anchor="end")]
    for phase in phases:
        width = (axis.end - axis.start) * row.parts.get(phase, 0.0) / whole
        note = f"{row.label}: {phase} {100 * row.parts.get(phase, 0.0) / whole:.1f} %"
        # A part thinner than a hair is left out; its neighbours keep a hair of paper between them.
        if width >= 0.3:
            shapes.append(Rect(at, middle - _BAR / 2, max(width - 0.7, 0.3), _BAR, phase, note))
        at += width
    return [*shapes, Text(axis.end + 5, middle + 4, row.text, size=FONT - 1)]


def _key(phases: Sequence[str], baseline: float) -> tuple[list[Shape], float]:
    """Coloured squares with their names, in as many lines as they take, and where the bars may begin."""
    shapes: list[Shape] = []
    x = 0.0
    for phase in phases:
        width = 15 + text_width(phase, FONT - 1) + 10
        if x and x + width > WIDTH:
            x, baseline = 0.0, baseline + 17
        shapes += [Rect(x, baseline - 9, 10, 10, phase), Text(x + 15, baseline, phase, "muted", FONT - 1)]
        x += width
    return shapes, baseline + 12


def _bars_description(title: str, unit: str, rows: Sequence[BarRow]) -> str:
    return f"{title}, {unit}. " + "; ".join(f"{row.label}: {row.text}" for row in rows) + "."


def _splits_description(title: str, rows: Sequence[SplitRow]) -> str:
    said = []
    for row in rows:
        whole = sum(row.parts.values())
        shares = ", ".join(
            f"{name} {100 * part / whole:.0f} %" for name, part in row.parts.items() if part / whole > 0.005
        )
        said.append(f"{row.label}: {shares} of {row.text}")
    return f"{title}. " + "; ".join(said) + "."
