"""What replicas have in common: how far each is, where they pause, and their sums; the actors of Ray, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from w2v.backends.base import EpochReport


class Coordinator:
    """Knows, in an asynchronous actor, about how far the members are, and where those that pause wait.

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


# Among so few members each one gets the arrays of all and adds them up by itself, which saves copies; among more,
# what each would have to get is too much.
_FEW = 4


class Adder:
    """Where, in an asynchronous actor, members contribute arrays, and get all of them, or their sum.

    It holds what they have contributed, so that a sum is the same for all, whoever has died meanwhile.
    """

    def __init__(self, members: int, put: Callable[[np.ndarray], object]) -> None:
        """put: makes a reference of an array."""
        self._members, self._put = members, put
        self._sums: dict[tuple[int, int], _Sum] = {}

    def forget_sums(self) -> None:
        """Of the epoch before."""
        self._sums = {}

    async def add(self, key: tuple[int, int], rank: int, values: np.ndarray, reference: list[object]) -> list[object]:
        """Wait for all members' float32 arrays of a key (round, number); references to arrays whose sum is theirs.

        reference: to the values. Arrays are to be added in the order that they have here.
        """
        entry = self._sums.setdefault(key, _Sum())
        if rank not in entry.parts:
            entry.parts[rank], entry.references[rank] = values, reference[0]
        if len(entry.parts) == self._members and not entry.complete.is_set():
            # A member that contributed to this round and died has held the one before, which the others may still be
            # about to finish: its successor begins there, or here.
            self._sums = {at: known for at, known in self._sums.items() if at[0] >= key[0] - 1}
            if self._members > _FEW:
                self._add_up(entry)
            entry.complete.set()
        await entry.complete.wait()
        return [entry.references[rank] for rank in sorted(entry.references)]

    async def total(self, key: tuple[int, int]) -> list[object]:
        """The same after ``add``, where a reference leads nowhere any more: whose it was has died."""
        entry = self._sums[key]
        self._add_up(entry)
        return [entry.references[0]]

    def _add_up(self, entry: _Sum) -> None:
        if not entry.added:
            total = added([entry.parts[rank] for rank in sorted(entry.parts)])
            entry.parts, entry.references = dict.fromkeys(entry.parts), {0: self._put(total)}
            entry.added = True


def added(parts: Sequence[np.ndarray], out: np.ndarray | None = None) -> np.ndarray:
    """Sum of float32 arrays, one after the other: the same bits wherever it is made. out: where to."""
    first, *others = parts
    if not others:
        return first
    total = np.add(first, others[0], out=out)
    for part in others[1:]:
        total += part
    return total


class Hub(Coordinator, Adder):
    """Both in one process: every one takes its time from the replicas, even one that does nothing."""

    def __init__(self, members: int, put: Callable[[np.ndarray], object]) -> None:
        """See ``Coordinator`` and ``Adder``."""
        Coordinator.__init__(self, members)
        Adder.__init__(self, members, put)

    async def begin_epoch(self, reports: Sequence[EpochReport]) -> None:
        """Forget the epoch before. reports: where every member begins."""
        await Coordinator.begin_epoch(self, reports)
        self.forget_sums()


@dataclass
class _Sum:
    parts: dict[int, np.ndarray | None] = field(default_factory=dict)
    references: dict[int, object] = field(default_factory=dict)
    complete: asyncio.Event = field(default_factory=asyncio.Event)
    added: bool = False
