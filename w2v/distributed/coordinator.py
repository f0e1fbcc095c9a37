"""Where replicas meet between rounds, and where their sums are made: the state of Ray actors, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from w2v.backends.base import EpochReport


@dataclass(frozen=True)
class Meeting:
    """What the members of a round are told when all have arrived.

    group: what they have in common (see ``Communicator``); whole: whether the round covers every row; pause: whether
    they wait afterwards until they are let go.
    """

    group: object
    whole: bool
    pause: bool


@dataclass
class _Round:
    arrived: set[int] = field(default_factory=set)
    complete: asyncio.Event = field(default_factory=asyncio.Event)
    meeting: Meeting | None = None


class Coordinator:
    """An asynchronous actor: members arrive, and go on together.

    Whoever takes a dead member's place arrives again where that one had got to, and is told the same.
    """

    def __init__(self, members: int) -> None:
        """Nobody has arrived."""
        self._members = members
        self._group: object = None
        self._paused_after = 0
        self._rounds: dict[int, _Round] = {}
        self._reports = [EpochReport() for _ in range(members)]
        self._at_round: list[dict[int, EpochReport]] = [{} for _ in range(members)]
        self._pause_asked = False
        self._paused: set[int] = set()
        self._let_go = asyncio.Event()

    async def begin_epoch(self, reports: list[EpochReport], first_round: int) -> None:
        """Forget the epoch before. reports: where every member begins; first_round: that it arrives at first."""
        self._rounds = {}
        self._reports = list(reports)
        self._at_round = [{first_round - 1: report} for report in reports]
        self._pause_asked = False
        self._paused, self._paused_after = set(), 0
        self._let_go = asyncio.Event()

    async def arrive(self, rank: int, number: int, report: EpochReport, last: bool) -> Meeting:
        """Wait for all members of round ``number``. report: what a successor begins with, its position included."""
        self._reports[rank] = report
        # The round before may still be needed: a member can die before it has its sums.
        kept = {at: known for at, known in self._at_round[rank].items() if at >= number - 1}
        self._at_round[rank] = {**kept, number: report}
        entry = self._rounds.setdefault(number, _Round())
        entry.arrived.add(rank)
        if len(entry.arrived) == self._members and entry.meeting is None:
            entry.meeting = Meeting(self._group, last or self._pause_asked, self._pause_asked and not last)
            if entry.meeting.pause:
                self._paused_after = number
            self._pause_asked = False
            self._rounds = {at: known for at, known in self._rounds.items() if at >= number - 1}
            entry.complete.set()
        await entry.complete.wait()
        return entry.meeting

    async def pause(self, rank: int) -> None:
        """Wait, after a round that told to, until the members are let go."""
        self._paused.add(rank)
        await self._let_go.wait()

    async def ask_pause(self) -> None:
        """Let the next round that can be one cover every row, and the members wait after it."""
        if not self._paused_after:
            self._let_go = asyncio.Event()
            self._pause_asked = True

    async def go_on(self) -> None:
        """Let them go."""
        self._paused, self._paused_after = set(), 0
        self._let_go.set()

    async def tell(self, rank: int, report: EpochReport) -> None:
        """How far a member is, now and then."""
        self._reports[rank] = report

    async def status(self) -> tuple[list[EpochReport], int]:
        """The members' latest reports, and where all of them pause, the round after which they do; else 0."""
        return list(self._reports), self._paused_after if len(self._paused) == self._members else 0

    async def is_pausing_after(self, number: int) -> bool:
        """Whether members wait, or are about to, after round ``number``, until they are let go."""
        return self._paused_after == number > 0

    async def report_at(self, rank: int, number: int) -> EpochReport:
        """A member's report as it arrived at a round."""
        return self._at_round[rank][number]

    async def renew_group(self, group: object) -> None:
        """A member is new: those of the rounds to come are another group."""
        self._group = group
        for entry in self._rounds.values():
            if entry.meeting is not None:
                entry.meeting = Meeting(self._group, entry.meeting.whole, entry.meeting.pause)


class Adder:
    """An asynchronous actor that adds up what the members contribute, once for all of them."""

    def __init__(self, members: int, put: Callable[[np.ndarray], object]) -> None:
        """put: makes a reference of an array."""
        self._members, self._put = members, put
        self._sums: dict[tuple[int, int], _Sum] = {}

    async def begin_epoch(self) -> None:
        """Forget the epoch before."""
        self._sums = {}

    async def add(self, key: tuple[int, int], rank: int, values: np.ndarray) -> list[object]:
        """Wait for all members' float32 arrays of a key (round, number), and return a reference to their sum."""
        entry = self._sums.setdefault(key, _Sum())
        entry.parts.setdefault(rank, values)
        if len(entry.parts) == self._members and entry.reference is None:
            parts = [entry.parts[member] for member in range(self._members)]
            total = parts[0].copy()
            for part in parts[1:]:  # in the order of the ranks: the same bits, whoever came first
                total += part
            entry.reference = self._put(total)
            entry.parts = dict.fromkeys(entry.parts)
            self._sums = {at: known for at, known in self._sums.items() if at[0] >= key[0] - 1}
            entry.complete.set()
        await entry.complete.wait()
        return [entry.reference]


@dataclass
class _Sum:
    parts: dict[int, np.ndarray | None] = field(default_factory=dict)
    complete: asyncio.Event = field(default_factory=asyncio.Event)
    reference: object = None
