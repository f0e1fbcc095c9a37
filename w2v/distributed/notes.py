"""What replicas tell each other in the sum of a round, behind the rows: how far each one is, and who asks to pause.

A sum of float32 carries 64-bit numbers exactly in pieces of 16 bits, since all others contribute zeros to a member's
row. So whoever has held a round knows where a successor of any other member has to begin, with no word between them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from w2v.backends.base import EpochReport

_REALS = ("loss", "learning_rate")
_COUNTS = ("pairs", "kept_words", "words", "position")
_PIECES = 4
_WIDTH = _PIECES * (len(_REALS) + len(_COUNTS)) + 1


def write_note(members: int, rank: int, report: EpochReport, asks_pause: bool) -> np.ndarray:
    """Of one of ``members``: float32, to be added to theirs."""
    reals = np.array([getattr(report, name) for name in _REALS], np.float64)
    counts = np.array([getattr(report, name) for name in _COUNTS], np.int64)
    note = np.zeros((members, _WIDTH), np.float32)
    note[rank, :-1] = np.concatenate([reals.view(np.uint16), counts.view(np.uint16)])
    note[rank, -1] = asks_pause
    return note.reshape(-1)


def write_notes(reports: Sequence[EpochReport]) -> np.ndarray:
    """What the sum of all members' notes is, where nobody asks to pause."""
    notes = [write_note(len(reports), rank, report, False) for rank, report in enumerate(reports)]
    return np.sum(notes, axis=0, dtype=np.float32) if notes else np.empty(0, np.float32)


def pause_is_asked(total: np.ndarray) -> bool:
    """Whether a member asks to, by the sum of all members' notes."""
    return bool(total[_WIDTH - 1 :: _WIDTH].any())


def read_reports(total: np.ndarray) -> tuple[EpochReport, ...]:
    """The members' reports, from the sum of their notes."""
    pieces = total.reshape(-1, _WIDTH)[:, :-1].astype(np.uint16)
    split = _PIECES * len(_REALS)
    reals = np.ascontiguousarray(pieces[:, :split]).view(np.float64)
    counts = np.ascontiguousarray(pieces[:, split:]).view(np.int64)
    return tuple(
        EpochReport(**dict(zip(_REALS, real, strict=True)), **dict(zip(_COUNTS, count, strict=True)))
        for real, count in zip(reals.tolist(), counts.tolist(), strict=True)
    )
