"""Labels at the ends of curves: where there is room beside, above or below the end, and few curves lie beneath."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from w2v.comparison.report.drawing import FONT, text_width

_HEIGHT = FONT + 2
_GAP = 8
_REACH, _PACE, _ROUNDS = 72, 3, 4
# What a label pays, in pixels of distance: for lying on another label, and for every sample of a curve beneath it.
_CLASH, _COVER = 1000.0, 4.0
Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """Where a text of one line lies: from ``left``, around the middle ``y``."""

    left: float
    y: float
    width: float

    def clashes(self, other: Box) -> bool:
        """Whether two texts overlap."""
        beside = self.left < other.left + other.width and other.left < self.left + self.width
        return beside and abs(self.y - other.y) < _HEIGHT - 0.01

    def covers(self, samples: Sequence[Point]) -> int:
        """How many of the points lie beneath the text."""
        half = _HEIGHT / 2
        return sum(
            self.left - 2 <= x <= self.left + self.width + 2 and abs(self.y - y) < half for x, y in samples
        )  # fmt: skip

    def nearest(self, point: Point) -> Point:
        """The place of the text's rim that is nearest to ``point``."""
        x = min(max(point[0], self.left), self.left + self.width)
        return x, min(max(point[1], self.y - _HEIGHT / 2), self.y + _HEIGHT / 2)

    def distance(self, point: Point) -> float:
        """Pixels from ``point`` to the text."""
        x, y = self.nearest(point)
        return ((x - point[0]) ** 2 + (y - point[1]) ** 2) ** 0.5


@dataclass(frozen=True)
class Frame:
    """What labels stay within."""

    left: float
    right: float
    top: float
    bottom: float

    def holds(self, box: Box) -> bool:
        """Whether the text lies inside."""
        inside = self.left <= box.left and box.left + box.width <= self.right
        return inside and self.top <= box.y - _HEIGHT / 2 and box.y + _HEIGHT / 2 <= self.bottom


def place_labels(ends: Sequence[Point], texts: Sequence[str], samples: Sequence[Point], frame: Frame) -> list[Box]:
    """A box for the text of each end: no two overlap where that can be, and few lie on ``samples`` of curves."""
    widths = [text_width(text) for text in texts]
    heights = _apart([y for _, y in ends], frame)
    boxes = [Box(x + _GAP, y, width) for (x, _), y, width in zip(ends, heights, widths, strict=True)]
    if len({round(x) for x, _ in ends}) == 1:
        return boxes  # a column to the right of all curves, with nothing in its way
    # Where a text is comes first, so that it stays there unless another place is better.
    choices = [
        [(box, _price(box, end, samples)) for box in (first, *_places(end, first.width)) if frame.holds(box)]
        for first, end in zip(boxes, ends, strict=True)
    ]
    for _ in range(_ROUNDS):
        for index, choice in enumerate(choices):
            others = boxes[:index] + boxes[index + 1 :]
            priced = [(price + _CLASH * sum(map(box.clashes, others)), box) for box, price in choice]
            boxes[index] = min(priced, key=lambda pair: pair[0])[1] if priced else boxes[index]
    return boxes


def place_on_line(text: str, size: float, height: float, taken: Sequence[Box], samples: Sequence[Point],
                  frame: Frame) -> Box:  # fmt: skip
    """A box for a text just above or below a horizontal line at ``height``, where least is in its way."""
    width = text_width(text, size)
    steps = 12
    lefts = [frame.left + 4 + (frame.right - frame.left - width - 4) * step / steps for step in range(steps + 1)]
    tries = [Box(left, height + shift, width) for shift in (-size * 0.7, size * 0.8) for left in lefts]
    return min(tries, key=lambda box: sum(map(box.clashes, taken)) * 20 + box.covers(samples))


def sampled(curve: Sequence[Point], pace: float = 4.0) -> list[Point]:
    """Points along a polyline, ``pace`` pixels apart; its corners, where marks are, count three times."""
    samples = list(curve) * 3
    for (x0, y0), (x1, y1) in zip(curve, curve[1:], strict=False):
        pieces = int(max(abs(x1 - x0), abs(y1 - y0)) // pace) + 1
        samples += [(x0 + (x1 - x0) * i / pieces, y0 + (y1 - y0) * i / pieces) for i in range(1, pieces)]
    return samples


def _apart(heights: Sequence[float], frame: Frame) -> list[float]:
    """The heights, moved no more than it takes for a text at each; in the same order, within the frame."""
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    # Groups of texts that touch, each around the mean of what its members want.
    groups: list[list[int]] = []
    for index in order:
        groups.append([index])
        while len(groups) > 1 and _top(groups[-1], heights) < _top(groups[-2], heights) + _HEIGHT * len(groups[-2]):
            last = groups.pop()
            groups[-1] += last
    apart = list(heights)
    for group in groups:
        for place, index in enumerate(group):
            apart[index] = _top(group, heights) + _HEIGHT * place
    # Back into the frame, the ones before them moving on where they are met.
    least, most = frame.top + _HEIGHT / 2, frame.bottom - _HEIGHT / 2
    for place, index in enumerate(order):
        apart[index] = max(apart[index], least if place == 0 else apart[order[place - 1]] + _HEIGHT)
    for place, index in enumerate(reversed(order)):
        apart[index] = min(apart[index], most if place == 0 else apart[order[-place]] - _HEIGHT)
    return apart


def _top(group: Sequence[int], heights: Sequence[float]) -> float:
    return sum(heights[index] - _HEIGHT * place for place, index in enumerate(group)) / len(group)


def _places(end: Point, width: float) -> Iterator[Box]:
    """Right of the end; and above or below it, to either side."""
    x, y = end
    for shift in range(-_REACH, _REACH + 1, _PACE):
        yield Box(x + _GAP, y + shift, width)
        if abs(shift) >= _HEIGHT:
            yield from (Box(left, y + shift, width) for left in (x - width / 2, x - width - _GAP / 2))


def _price(box: Box, end: Point, samples: Sequence[Point]) -> float:
    return box.distance(end) + _COVER * box.covers(samples)
