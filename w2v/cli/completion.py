"""Completion of words by their beginnings, over vocabularies of any size."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np


class PrefixIndex:
    """The vocabulary in the order of its spelling, so that a beginning is two bisections away from its words.

    It is sorted in a thread of its own, while whoever asks types; the first question waits for it.
    """

    def __init__(self, words: Sequence[str]) -> None:
        """``words``: most frequent first."""
        self._words = words
        self._rows = np.empty(0, np.int64)
        self._sorted: list[str] = []
        self._sorting = threading.Thread(target=self._sort, daemon=True)
        self._sorting.start()

    def frequent(self, prefix: str, limit: int) -> list[str]:
        """The words that begin with ``prefix``, most frequent first; ``limit`` of them at most."""
        rows = self._rows[self._range(prefix)]
        if len(rows) > limit:
            rows = np.partition(rows, limit - 1)[:limit]
        return [self._words[row] for row in np.sort(rows).tolist()]

    def count(self, prefix: str) -> int:
        """How many words begin with ``prefix``."""
        found = self._range(prefix)
        return found.stop - found.start

    def candidates(self, prefix: str, limit: int) -> list[str]:
        """``frequent``, and words enough for all of these to share no longer beginning than all there are do."""
        found = self._range(prefix)
        outer = {self._sorted[row] for row in (found.start, found.stop - 1) if found.start < found.stop}
        frequent = self.frequent(prefix, limit)
        return frequent + sorted(outer.difference(frequent))

    def _range(self, prefix: str) -> slice:
        self._sorting.join()
        start = bisect_left(self._sorted, prefix)
        return slice(start, bisect_right(self._sorted, prefix, start, key=lambda word: word[: len(prefix)]))

    def _sort(self) -> None:
        rows = sorted(range(len(self._words)), key=self._words.__getitem__)
        self._rows, self._sorted = np.array(rows, np.int64), [self._words[row] for row in rows]
