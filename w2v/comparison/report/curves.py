"""Charts of curves: a score, or nats per pair, against seconds or epochs, one panel per evaluation set and model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from w2v.comparison.report.axes import Axis, asks_for_log, linear_axis, log_axis, tick_text
from w2v.comparison.report.drawing import FONT, Drawing, Line, Mark, Shape, Text, fitted, text_width
from w2v.comparison.report.labels import Frame, place_labels, place_on_line, sampled
from w2v.comparison.report.palette import Style

WIDTH, HEIGHT = 360, 290
_LEFT, _TOP, _BOTTOM = 44, 44, 44
_LABEL_GAP = 9


@dataclass(frozen=True)
class CurvePoint:
    """A measured point; ``sd`` is of y, None with one seed; ``note`` says it in words."""

    x: float
    y: float
    sd: float | None
    note: str


@dataclass(frozen=True)
class Curve:
    """What one system and objective reached, in the order of training."""

    label: str
    style: Style
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True)
class Panel:
    """One picture of a chart. Panels with the same ``y_label`` and ``measure`` share their vertical axis.

    level: a height to compare with, and its name.
    """

    title: str
    measure: str
    y_label: str
    curves: tuple[Curve, ...]
    level: tuple[float, str] | None = None


def draw_panels(panels: Sequence[Panel], x_label: str, *, log_allowed: bool) -> list[Drawing]:
    """One drawing per panel, all over the same horizontal axis, logarithmic where the spread asks for it."""
    points = [point for panel in panels for curve in panel.curves for point in curve.points]
    across = [point.x for point in points]
    log = log_allowed and asks_for_log(across)
    right = _right_end(panels, log_allowed)
    x_axis = log_axis(across, _LEFT, right) if log else linear_axis(across, _LEFT, right, zero=True, count=4)
    return [_draw(panel, x_axis, _y_axis(panel, panels), x_label + (", log" if log else "")) for panel in panels]


def _right_end(panels: Sequence[Panel], staggered: bool) -> float:
    """Where the plot ends. Labels stand to the right of ends that are all there, and above ``staggered`` ones."""
    widest = max(text_width(curve.label) for panel in panels for curve in panel.curves)
    return WIDTH - (widest / 2 if staggered else widest + _LABEL_GAP)


def _y_axis(panel: Panel, panels: Sequence[Panel]) -> Axis:
    """Over everything that the panels of the same measure show."""
    same = [other for other in panels if other.measure == panel.measure]
    values = [other.level[0] for other in same if other.level]
    for point in (point for other in same for curve in other.curves for point in curve.points):
        values += [point.y - (point.sd or 0), point.y + (point.sd or 0)]
    return linear_axis(values, HEIGHT - _BOTTOM, _TOP)


def _draw(panel: Panel, x_axis: Axis, y_axis: Axis, x_label: str) -> Drawing:
    drawing = Drawing(WIDTH, HEIGHT, _description(panel, x_label))
    drawing.shapes += _frame(panel, x_axis, y_axis, x_label)
    for curve in panel.curves:
        drawing.shapes += _curve(curve, x_axis, y_axis)
    # Labels last: they and their rims lie over every curve.
    drawing.shapes += _labels(panel, x_axis, y_axis)
    return drawing


def _frame(panel: Panel, x_axis: Axis, y_axis: Axis, x_label: str) -> list[Shape]:
    bottom, right = y_axis.start, x_axis.end
    shapes: list[Shape] = [Text(0, 14, fitted(panel.title, WIDTH, FONT + 1), bold=True, size=FONT + 1)]
    shapes.append(Text(0, 31, panel.y_label, "muted", FONT - 1))
    for tick in y_axis.ticks:
        height = y_axis(tick)
        shapes.append(Line(((_LEFT, height), (right, height)), "grid"))
        shapes.append(Text(_LEFT - 6, height + 4, tick_text(tick), "muted", FONT - 1, "end"))
    for tick in x_axis.ticks:
        at = x_axis(tick)
        shapes.append(Line(((at, bottom), (at, bottom + 4)), "axis"))
        shapes.append(Text(at, bottom + 17, tick_text(tick), "muted", FONT - 1, "middle"))
    shapes.append(Line(((_LEFT, bottom), (right, bottom)), "axis"))
    shapes.append(Text((_LEFT + right) / 2, HEIGHT - 8, x_label, "muted", FONT - 1, "middle"))
    if panel.level is not None:
        height = y_axis(panel.level[0])
        shapes.append(Line(((_LEFT, height), (right, height)), "muted", 1.2, (3, 3)))
    return shapes


def _curve(curve: Curve, x_axis: Axis, y_axis: Axis) -> list[Shape]:
    style = curve.style
    shapes: list[Shape] = [Line(_pixels(curve, x_axis, y_axis), style.colour, 1.8, style.dash)]
    shapes += [Line(bar, style.colour) for bar in _bars_of(curve, x_axis, y_axis)]
    for point in curve.points:
        x, y = x_axis(point.x), y_axis(point.y)
        shapes.append(Mark(x, y, style.mark, style.colour, style.hollow, f"{curve.label}, {point.note}"))
    return shapes


def _labels(panel: Panel, x_axis: Axis, y_axis: Axis) -> list[Shape]:
    """The names of the curves at their ends, with a line to those that had to go far, and of the level."""
    curves = [_pixels(curve, x_axis, y_axis) for curve in panel.curves]
    bars = [bar for curve in panel.curves for bar in _bars_of(curve, x_axis, y_axis)]
    samples = [sample for line in [*curves, *bars] for sample in sampled(line)]
    frame = Frame(_LEFT, WIDTH, _TOP - FONT, y_axis.start)
    ends = [curve[-1] for curve in curves]
    boxes = place_labels(ends, [curve.label for curve in panel.curves], samples, frame)
    shapes: list[Shape] = []
    for curve, end, box in zip(panel.curves, ends, boxes, strict=True):
        if box.distance(end) > FONT:
            shapes.append(Line((end, box.nearest(end)), curve.style.colour, 0.8))
        shapes.append(Text(box.left, box.y + 4, curve.label, curve.style.colour, bold=True, halo=True))
    if panel.level is not None:
        plot = Frame(_LEFT, x_axis.end, _TOP, y_axis.start)
        box = place_on_line(panel.level[1], FONT - 1, y_axis(panel.level[0]), boxes, samples, plot)
        shapes.insert(0, Text(box.left, box.y + 4, panel.level[1], "muted", FONT - 1, halo=True))
    return shapes


def _pixels(curve: Curve, x_axis: Axis, y_axis: Axis) -> tuple[tuple[float, float], ...]:
    return tuple((x_axis(point.x), y_axis(point.y)) for point in curve.points)


def _bars_of(curve: Curve, x_axis: Axis, y_axis: Axis) -> list[tuple[tuple[float, float], ...]]:
    """Upright lines of a standard deviation on either side of each point."""
    return [
        tuple((x_axis(point.x), y_axis(point.y + sign * point.sd)) for sign in (-1, 1))
        for point in curve.points
        if point.sd
    ]


def _description(panel: Panel, x_label: str) -> str:
    curves = "; ".join(f"{curve.label}: {curve.points[-1].note}" for curve in panel.curves)
    level = f" A line marks {panel.level[1]}." if panel.level else ""
    return f"{panel.title}, {panel.y_label} against {x_label}. Last points: {curves}.{level}"
