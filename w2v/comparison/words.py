"""Words and columns that the terminal's tables, the report and the messages share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Cell = TypeVar("Cell")


def counted(number: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def epochs_number(value: float) -> str:
    """A number of epochs without the digits that say nothing: pauses come where they suit the backend."""
    return f"{value:.2g}" if value < 1 else f"{round(value, 2):.10g}"


def epochs_text(value: float) -> str:
    """``1 epoch``, ``0.25 epochs``."""
    number = epochs_number(value)
    return f"{number} epoch{'' if number == '1' else 's'}"


def epochs_span(values: Sequence[float]) -> str:
    """``0.5``, or ``0.5–1`` where the seeds differ; nothing without values."""
    ends = (min(values), max(values)) if values else ()
    return "–".join(dict.fromkeys(map(epochs_number, ends)))


def without_empty(
    header: Sequence[str], rows: Sequence[Sequence[Cell]], empty: object = None
) -> tuple[list[str], list[list[Cell]]]:
    """Without the columns, but the first, that have nothing other than ``empty`` under their heading."""
    kept = [at for at in range(len(header)) if at == 0 or any(row[at] != empty for row in rows)]
    return [header[at] for at in kept], [[row[at] for at in kept] for row in rows]
