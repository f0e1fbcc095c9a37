"""Seconds by phase, and peak memory."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

PHASES = ("read", "encode", "upload", "compile", "train", "save")


class PhaseClock:
    """Adds up wall-clock seconds per phase; ``total`` runs from construction."""

    def __init__(self) -> None:
        """Start the total."""
        self._seconds = dict.fromkeys(PHASES, 0.0)
        self._open: dict[str, float] = {}
        self._begin = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the enclosed time as this phase."""
        self._open[name] = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - self._open.pop(name)

    def add(self, name: str, seconds: float) -> None:
        """Add time that was measured elsewhere."""
        self._seconds[name] += seconds

    def seconds(self) -> dict[str, float]:
        """All phases so far, the one that is running included, and the total."""
        now = time.perf_counter()
        running = {name: self._seconds[name] + now - begin for name, begin in self._open.items()}
        return {**self._seconds, **running, "total": now - self._begin}


def peak_memory_bytes() -> int | None:
    """The process's largest resident size so far, mapped file pages included; None where the system keeps none."""
    try:
        import resource
    except ImportError:  # Windows has no such record in the standard library
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
