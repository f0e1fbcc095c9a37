"""Drawings as SVG inside a page: colours are classes, so that they follow the page from light to dark."""

from __future__ import annotations

import html

from w2v.comparison.report.drawing import Drawing, Line, Mark, Rect, Shape, Text

MARK_RADIUS = 3.3
# Corners of a mark around its point, in radii; a circle has none.
MARK_CORNERS: dict[str, tuple[tuple[float, float], ...]] = {
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "triangle": ((0, -1.2), (1.1, 0.8), (-1.1, 0.8)),
    "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
    "cross": ((-1.2, -0.4), (-0.4, -0.4), (-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4),
              (1.2, 0.4), (0.4, 0.4), (0.4, 1.2), (-0.4, 1.2), (-0.4, 0.4), (-1.2, 0.4)),
}  # fmt: skip


def svg_of(drawing: Drawing) -> str:
    """One ``<svg>`` element that scales with its place, with the description as its text alternative."""
    shapes = "".join(map(_element, drawing.shapes))
    return (
        f'<svg class="chart" viewBox="0 0 {_px(drawing.width)} {_px(drawing.height)}" role="img" '
        f'aria-label="{html.escape(drawing.description)}">{shapes}</svg>'
    )


def mark_svg(mark: Mark) -> str:
    """The mark as an element: filled, or a rim of its colour around paper."""
    colours = f"hollow f-paper s-{mark.colour}" if mark.hollow else f"f-{mark.colour} s-paper"
    corners = MARK_CORNERS.get(mark.shape)
    if corners is None:
        shape = f'<circle class="{colours}" cx="{_px(mark.x)}" cy="{_px(mark.y)}" r="{MARK_RADIUS}"'
    else:
        points = ((mark.x + MARK_RADIUS * dx, mark.y + MARK_RADIUS * dy) for dx, dy in corners)
        shape = f'<polygon class="{colours}" points="{_points(points)}"'
    return shape + _close(mark.note, "circle" if corners is None else "polygon")


def _element(shape: Shape) -> str:
    if isinstance(shape, Line):
        return _line(shape)
    if isinstance(shape, Rect):
        place = f'x="{_px(shape.x)}" y="{_px(shape.y)}" width="{_px(shape.width)}" height="{_px(shape.height)}"'
        return f'<rect class="f-{shape.colour}" {place}{_close(shape.note, "rect")}'
    return mark_svg(shape) if isinstance(shape, Mark) else _text(shape)


def _line(line: Line) -> str:
    dash = f' stroke-dasharray="{" ".join(map(_px, line.dash))}"' if line.dash else ""
    return (
        f'<polyline class="s-{line.colour}" stroke-width="{_px(line.width)}"{dash} points="{_points(line.points)}"/>'
    )


def _text(text: Text) -> str:
    classes = f"f-{text.colour}" + (" bold" if text.bold else "") + (" halo" if text.halo else "")
    anchor = "" if text.anchor == "start" else f' text-anchor="{text.anchor}"'
    place = f'x="{_px(text.x)}" y="{_px(text.y)}" font-size="{_px(text.size)}"{anchor}'
    return f'<text class="{classes}" {place}>{html.escape(text.text)}</text>'


def _close(note: str, tag: str) -> str:
    return f"><title>{html.escape(note)}</title></{tag}>" if note else "/>"


def _points(points: object) -> str:
    return " ".join(f"{_px(x)},{_px(y)}" for x, y in points)


def _px(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
