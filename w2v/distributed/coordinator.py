"""What replicas have in common: how far each is, where they pause, and their sums; the actors of Ray, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from w2v.backends.base import EpochReport


class Coordinator:
    """An asynchronous actor that knows about how far the members are, and where those that pause wait.

    Nobody waits for it but in a pause: rounds are held in their sums alone.
    """

    def __init__(self, members: int) -> None:
        """Nobody has begun."""
        self._reports = [EpochReport() for _ in range(members)]
        self._pausing: dict[int, int] = {}
        self._gone_on_after = 0
        self._change = asyncio.Condition()

    async def begin_epoch(self, reports: Sequence[EpochReport]) -> None:
        """Forget the epoch before. reports: where every member begins."""
        self._reports = list(reports)
        self._pausing, self._gone_on_after = {}, 0

    async def tell(self, rank: int, report: EpochReport) -> None:
        """How far a member is, now and then."""
        self._reports[rank] = report

    async def pause(self, rank: int, number: int, report: EpochReport) -> None:
        """Wait, after a round, until the members that have held it are let go. report: where this one stands."""
        self._reports[rank] = report
        if number > self._gone_on_after:
            self._pausing[rank] = number
        async with self._change:
            await self._change.wait_for(lambda: self._gone_on_after >= number)

    async def go_on(self, number: int) -> None:
        """Let go those who pause after a round, and who will."""
        self._pausing = {}
        async with self._change:
            self._gone_on_after = number
            self._change.notify_all()

    async def status(self) -> tuple[list[EpochReport], int]:
        """The members' latest reports, and where all of them pause, the round after which they do; else 0."""
        rounds = set(self._pausing.values())
        all_pause = len(self._pausing) == len(self._reports) and len(rounds) == 1
        return list(self._reports), rounds.pop() if all_pause else 0


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
            first, *others = (entry.parts[member] for member in range(self._members))
            total = first + others[0] if others else first
            for part in others[1:]:  # in the order of the ranks: the same bits, whoever came first
                total += part
            entry.reference = self._put(total)
            entry.parts = dict.fromkeys(entry.parts)
            # All have come to this round: nobody needs the sums of the one before.
            self._sums = {at: known for at, known in self._sums.items() if at[0] >= key[0]}
            entry.complete.set()
        await entry.complete.wait()
        return [entry.reference]


@dataclass
class _Sum:
    parts: dict[int, np.ndarray | None] = field(default_factory=dict)
    complete: asyncio.Event = field(default_factory=asyncio.Event)
    reference: object = None
