"""The table of words and pairs of a text. Importing this imports numba."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from w2v.corpus.sources import Source
from w2v.kernels import phrases_cpu as kernel

# At most this share of the slots is in use.
_FULL = (5, 8)
_FIRST_SLOTS = 1 << 12
# Text brings an entry for 15 to 25 bytes at first, and fewer as it gets longer.
_BYTES_PER_SLOT = 16
_MOST_FIRST_SLOTS = 1 << 23


class CountTable:
    """Counts of words and of pairs, by fingerprint: see ``kernels.phrases_cpu``.

    Never more than ``limit`` entries: rare ones are pruned before one too many would enter, all those whose count is
    ``min_reduce`` or less, and that bound rises by one at least each time (as in gensim and word2phrase.c).
    """

    def __init__(self, limit: int, slots: int = _FIRST_SLOTS) -> None:
        """An empty table; ``slots``: a power of two, room to begin with."""
        self.limit = limit
        self.min_reduce = 1
        self.prunings = 0
        most = 1 << (limit * _FULL[1] // _FULL[0]).bit_length()
        self.entries = np.zeros((min(slots, most), 2), np.uint64)
        self._sizes = np.zeros(2, np.int64)

    def __len__(self) -> int:
        """Number of entries, words and pairs; a pair that is written like a word is one with it."""
        return int(self._sizes[0])

    @property
    def words(self) -> int:
        """How many of the entries are words."""
        return int(self._sizes[1])

    def add_words(self, words: np.ndarray) -> None:
        """Add the counts of a block's words, uint64 (n, 4)."""
        self._add(kernel.add_words, words)

    def add_pairs(self, keys: np.ndarray) -> None:
        """Add one to the count of each pair of ``keys`` (uint64; 0 is no pair)."""
        self._add(kernel.add_pairs, keys)

    def frequent(self, least: int, tokens: int) -> np.ndarray:
        """The words, and the pairs that occur ``least`` times or more in ``tokens``, in a table of their own."""
        rows = np.empty((min(len(self), self.words + tokens // least), 2), np.uint64)
        count, _ = kernel.select_entries(self.entries, least - 1, True, rows)
        entries = np.zeros((_slots_for(count), 2), np.uint64)
        kernel.move_entries(rows[:count], entries)
        return entries

    def _add(self, add, items: np.ndarray) -> None:  # noqa: ANN001 (a kernel)
        done = 0
        while True:
            room = len(self.entries) * _FULL[0] // _FULL[1]
            done = add(items, done, self.entries, self._sizes, min(room, self.limit))
            if done == len(items):
                return
            if len(self) >= self.limit:
                self._prune()
            else:
                self._grow()

    def _grow(self) -> None:
        larger = np.zeros((2 * len(self.entries), 2), np.uint64)
        kernel.move_entries(self.entries, larger)
        self.entries = larger

    def _prune(self) -> None:
        """Forget the entries of the lowest counts, one of them at least."""
        self.min_reduce = max(self.min_reduce, kernel.lowest_count(self.entries))
        rows = np.empty((len(self), 2), np.uint64)
        self._sizes[:] = kernel.select_entries(self.entries, self.min_reduce, False, rows)
        self.entries.fill(0)
        kernel.move_entries(rows[: len(self)], self.entries)
        self.min_reduce += 1
        self.prunings += 1


def slots_for_text(sources: Sequence[Source]) -> int:
    """Slots to begin with for the entries of a text of known size: growing moves all of them."""
    size = sum(source.size for source in sources)
    return min(max(_FIRST_SLOTS, 1 << (size // _BYTES_PER_SLOT).bit_length()), _MOST_FIRST_SLOTS)


def _slots_for(entries: int) -> int:
    """Slots of a table that is half full at most."""
    return 1 << max(4, int(2 * entries).bit_length())


def fingerprint_set(fingerprints: np.ndarray) -> np.ndarray:
    """A set (uint64 slots) of fingerprints."""
    members = np.zeros(_slots_for(len(fingerprints)), np.uint64)
    kernel.grow_set(fingerprints, members)
    return members


def room_in_set(members: np.ndarray, count: int) -> np.ndarray:
    """``members``, or a larger copy where ``count`` members would fill more than half of it."""
    if 2 * count <= len(members):
        return members
    larger = np.zeros(_slots_for(count), np.uint64)
    kernel.grow_set(members, larger)
    return larger
