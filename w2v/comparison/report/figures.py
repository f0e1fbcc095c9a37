"""The report's charts as PNG files, drawn by matplotlib."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from w2v.atomic import atomic_file
from w2v.comparison.report.charts import NAMES, Chart
from w2v.comparison.report.drawing import Drawing, Line, Mark, Rect, Shape, Text, text_width
from w2v.comparison.report.palette import COLOURS
from w2v.comparison.report.svg import MARK_CORNERS, MARK_RADIUS
from w2v.errors import require

# Pixels of the file for one of a drawing, and what lies around and between drawings.
_SCALE = 1.6
_MARGIN, _GAP, _FOOTER = 18, 26, 18
_CAPTION_LINE = 16
# matplotlib counts in points, 72 of an inch of 100 pixels.
_POINT = 0.72


def write_figures(charts: Sequence[Chart], footer: str, folder: str | os.PathLike) -> list[str]:
    """Write NAME.png of every chart; returns the files' names.

    footer: a small line beneath each. Figures of an earlier comparison in ``folder`` that this one has none of are
    removed. Raises MissingExtraError, OutputError.
    """
    require("matplotlib", "plot", "drawing figures")
    names = [f"{chart.name}.png" for chart in charts]
    for chart, name in zip(charts, names, strict=True):
        _write_figure(chart, footer, Path(folder) / name)
    remove_figures(folder, keep=names)
    return names


def remove_figures(folder: str | os.PathLike, keep: Sequence[str] = ()) -> None:
    """Remove the figures of an earlier comparison, which would contradict the present report."""
    for name in NAMES:
        if f"{name}.png" not in keep:
            (Path(folder) / f"{name}.png").unlink(missing_ok=True)


def _write_figure(chart: Chart, footer: str, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(chart.columns, len(chart.drawings))
    lines = [chart.drawings[first : first + columns] for first in range(0, len(chart.drawings), columns)]
    width = 2 * _MARGIN + columns * chart.drawings[0].width + (columns - 1) * _GAP
    caption = _wrapped(chart.caption, width - 2 * _MARGIN)
    heading = 34 + _CAPTION_LINE * len(caption)
    height = 2 * _MARGIN + heading + _FOOTER + sum(max(d.height for d in line) + _GAP for line in lines) - _GAP
    # No pyplot: nothing of the caller's figures or of a display is touched.
    figure = Figure(figsize=(width / 100, height / 100), facecolor=_light("paper"))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    _text(axes, Text(0, 13, chart.title, size=15, bold=True), _MARGIN, _MARGIN)
    for number, line in enumerate(caption):
        _text(axes, Text(0, 33 + _CAPTION_LINE * number, line, "muted"), _MARGIN, _MARGIN)
    _drawings(axes, lines, _MARGIN + heading)
    _text(axes, Text(0, 0, footer, "muted", 10), _MARGIN, height - _MARGIN + 4)
    with atomic_file(path, make_parents=True) as temporary:
        _save(figure, temporary)


def _save(figure: Any, path: Path) -> None:  # noqa: ANN401
    """As a PNG of 256 colours, which is a third of the size and looks the same."""
    from PIL import Image  # matplotlib needs it to write a PNG

    buffer = BytesIO()
    with warnings.catch_warnings():
        # Characters that matplotlib's font lacks are drawn as boxes; the page shows them.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(buffer, format="png", dpi=100 * _SCALE)
    Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, "png", optimize=True)


def _wrapped(text: str, width: float) -> list[str]:
    """Lines of words that are no longer than ``width``."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _drawings(axes: Any, lines: Sequence[Sequence[Drawing]], top: float) -> None:  # noqa: ANN401
    for line in lines:
        left = float(_MARGIN)
        for drawing in line:
            for order, shape in enumerate(drawing.shapes):
                _shape(axes, shape, left, top, order)
            left += drawing.width + _GAP
        top += max(drawing.height for drawing in line) + _GAP


def _shape(axes: Any, shape: Shape, left: float, top: float, order: int) -> None:  # noqa: ANN401
    """Draw one shape; ``order`` keeps what comes later above what came before."""
    if isinstance(shape, Line):
        x, y = zip(*shape.points, strict=True)
        style = {"linewidth": shape.width * _POINT, "zorder": order, "solid_capstyle": "butt"}
        dash = {"dashes": [length / shape.width for length in shape.dash]} if shape.dash else {}
        axes.plot([left + at for at in x], [top + at for at in y], color=_light(shape.colour), **style, **dash)
    elif isinstance(shape, Rect):
        from matplotlib.patches import Rectangle

        corner = (left + shape.x, top + shape.y)
        axes.add_patch(
            Rectangle(corner, shape.width, shape.height, color=_light(shape.colour), linewidth=0, zorder=order)
        )
    elif isinstance(shape, Mark):
        _mark(axes, shape, left, top, order)
    else:
        _text(axes, shape, left, top, order)


def _mark(axes: Any, mark: Mark, left: float, top: float, order: int) -> None:  # noqa: ANN401
    from matplotlib.patches import Circle, Polygon

    x, y = left + mark.x, top + mark.y
    corners = MARK_CORNERS.get(mark.shape)
    colours = (mark.colour, "paper") if not mark.hollow else ("paper", mark.colour)
    style = {
        "facecolor": _light(colours[0]),
        "edgecolor": _light(colours[1]),
        "linewidth": 1.2 if mark.hollow else 0.6,
        "zorder": order,
    }
    if corners is None:
        axes.add_patch(Circle((x, y), MARK_RADIUS, **style))
    else:
        axes.add_patch(Polygon([(x + MARK_RADIUS * dx, y + MARK_RADIUS * dy) for dx, dy in corners], **style))


def _text(axes: Any, text: Text, left: float, top: float, order: int = 0) -> None:  # noqa: ANN401
    from matplotlib.patheffects import withStroke

    drawn = axes.text(
        left + text.x,
        top + text.y,
        text.text.encode("utf-8", "replace").decode(),  # names of files may hold what is no text
        color=_light(text.colour),
        fontsize=text.size * _POINT,
        ha={"start": "left", "middle": "center", "end": "right"}[text.anchor],
        va="baseline",
        fontweight="bold" if text.bold else "normal",
        zorder=order,
        parse_math=False,  # a dollar sign in a file's name is one
    )
    if text.halo:
        drawn.set_path_effects([withStroke(linewidth=2.2, foreground=_light("paper"))])


def _light(name: str) -> str:
    return COLOURS[name][0]
