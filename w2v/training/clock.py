"""Seconds by phase, and peak memory."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

PHASES = ("read", "encode", "upload", "compile", "train", "evaluate", "save")


class PhaseClock:
    """Adds up wall-clock seconds per phase; ``total`` runs from construction.

    A phase inside another one stops it meanwhile: every moment counts for one phase.
    """

    def __init__(self) -> None:
        """Start the total."""
        self._seconds = dict.fromkeys(PHASES, 0.0)
        self._open: list[str] = []
        self._begin = self._since = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the enclosed time as this phase."""
        self._settle()
        self._open.append(name)
        try:
            yield
        finally:
            self._settle()
            self._open.pop()

    def add(self, name: str, seconds: float) -> None:
        """Add time that was measured elsewhere."""
        self._seconds[name] += seconds

    def go_on_from(self, seconds: Mapping[str, float]) -> None:
        """Add what an earlier part of the same run took: seconds by phase, and their ``total``."""
        for name in PHASES:
            self.add(name, seconds[name])
        self._begin -= seconds["total"]

    def seconds(self) -> dict[str, float]:
        """All phases so far, the one that is running included, and the total."""
        self._settle()
        return {**self._seconds, "total": self._since - self._begin}

    def _settle(self) -> None:
        """Give the phase that is running what has passed since the last change."""
        now = time.perf_counter()
        if self._open:
            self._seconds[self._open[-1]] += now - self._since
        self._since = now


def peak_memory_bytes() -> int | None:
    """The process's largest resident size so far, mapped file pages included; None where the system keeps none."""
    try:
        import resource
    except ImportError:  # Windows has no such record in the standard library
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
