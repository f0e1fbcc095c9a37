"""Words with or without regard to case."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Spellings:
    """The rows of ``words``, with or without regard to case: the first of several spellings counts.

    ``fold`` makes spellings equal. ``representative`` int64 (V,): the row that stands for each row; ``spellings``:
    the other rows that a row stands for.
    """

    def __init__(self, words: Sequence[str], ignore_case: bool) -> None:
        """In time and memory that grow with the number of ``words``."""
        # Upper case is what gensim compares in, so that the words found are the same.
        self.fold = str.upper if ignore_case else str
        self._rows: dict[str, int] = {}
        self.representative = np.arange(len(words))
        self.spellings: dict[int, list[int]] = {}
        for row, word in enumerate(words):
            first = self._rows.setdefault(self.fold(word), row)
            if first != row:
                self.representative[row] = first
                self.spellings.setdefault(first, []).append(row)

    def row(self, word: str) -> int | None:
        """Row of ``word``, None where it is unknown."""
        return self._rows.get(self.fold(word))
