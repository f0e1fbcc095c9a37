"""Pictures as lists of shapes, so that the page (SVG) and the PNG files (matplotlib) show the same."""

from __future__ import annotations

from dataclasses import dataclass, field

# Sizes are CSS pixels, y grows downwards, colours are names of the palette.
FONT = 12
_NARROW, _WIDE = frozenset("iljtfrI.,:;'|!()[]- "), frozenset("mwMW%@")


@dataclass(frozen=True)
class Line:
    """A polyline."""

    points: tuple[tuple[float, float], ...]
    colour: str
    width: float = 1.0
    dash: tuple[float, ...] = ()


@dataclass(frozen=True)
class Rect:
    """A filled rectangle; ``note`` is shown where a pointer rests on it."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    note: str = ""


@dataclass(frozen=True)
class Mark:
    """A point of a curve: circle, square, triangle, diamond or cross, around (x, y)."""

    x: float
    y: float
    shape: str
    colour: str
    hollow: bool = False
    note: str = ""


@dataclass(frozen=True)
class Text:
    """One line of text whose baseline starts, has its middle, or ends at (x, y).

    halo: a rim of paper keeps it readable across lines.
    """

    x: float
    y: float
    text: str
    colour: str = "ink"
    size: float = FONT
    anchor: str = "start"
    bold: bool = False
    halo: bool = False


Shape = Line | Rect | Mark | Text


@dataclass
class Drawing:
    """Shapes in drawing order; ``description`` says in words what is seen."""

    width: float
    height: float
    description: str
    shapes: list[Shape] = field(default_factory=list)


def fitted(text: str, width: float, size: float = FONT) -> str:
    """``text``, or as much of it as takes no more than ``width``, with an ellipsis."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text + "…"


def text_width(text: str, size: float = FONT) -> float:
    """Pixels that ``text`` takes at most in an ordinary sans-serif; the reader's fonts are not known here."""
    return size * sum(0.4 if c in _NARROW else 0.95 if c in _WIDE else 0.68 if c.isupper() else 0.62 for c in text)
