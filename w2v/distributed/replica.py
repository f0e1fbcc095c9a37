"""One replica: a backend, its part of the corpus, and the rounds in which it meets the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from w2v.backends import make_backend
from w2v.backends.base import EpochReport, Pauses
from w2v.backends.cuda_memory import out_of_memory_reported
from w2v.config import TrainConfig
from w2v.corpus.part import CorpusPart
from w2v.distributed.averaging import RowAverager
from w2v.distributed.communicators import Communicator, GroupBroken
from w2v.distributed.notes import pause_is_asked, read_reports, write_note, write_notes
from w2v.distributed.rounds import LATE, rows_of_round
from w2v.errors import DeviceError
from w2v.objectives import RowWiseObjective, make_objective

# Replicas draw other numbers: each one's epochs are numbered apart from the others'.
EPOCHS_APART = 1 << 32
# Every call takes milliseconds of processor time from the replicas.
TOLD_SECONDS = 1.0
# Of members that are gone; a cluster that grows by itself takes minutes, for each of them.
REPLACED_SECONDS = 1800.0


class MeetingPoint(Protocol):
    """The ``Coordinator`` as a member calls it."""

    def tell(self, rank: int, report: EpochReport) -> None:
        """See ``Coordinator.tell``; does not wait."""

    def pause(self, rank: int, number: int, report: EpochReport) -> None:
        """See ``Coordinator.pause``; waits."""


@dataclass(frozen=True)
class Standing:
    """Where the members are between two rounds, as one of them knows it.

    number: of the last round that it has held; blocks: of the next one, whose rows it has; parameters: the values
    that rows got in the last round that covered them, on the host, where they are asked for; reports: of all members
    at the last round; pause_after: the round that is held, or will be, with a pause after it, or 0.
    """

    number: int = 0
    blocks: int = 0
    parameters: dict[str, np.ndarray] | None = None
    reports: tuple[EpochReport, ...] = ()
    pause_after: int = 0

    @property
    def place(self) -> tuple[int, int]:
        """What is compared."""
        return self.number, self.blocks


@dataclass(frozen=True)
class EpochPlan:
    """An epoch as a replica gets it.

    number: of the run; rounds: how many; first_round: the one that comes first; starts: where the replicas begin;
    pause_after: see ``Standing``.
    """

    number: int
    rounds: int
    first_round: int
    schedule: Callable[[float], float]
    starts: tuple[EpochReport, ...]
    pause_after: int = 0


class Replica:
    """A member of the group. Its methods are called by the driver, some of them while ``train_epoch`` runs."""

    def __init__(
        self,
        rank: int,
        config: TrainConfig,
        counts: np.ndarray,
        meeting_point: MeetingPoint,
        communicator: Callable[[int], Communicator],
    ) -> None:
        """Build the backend; counts: (V,) int64. communicator: made for a number of members."""
        self.rank = rank
        self._objective = make_objective(config, counts)
        self._backend = make_backend(config, self._objective)
        self._ids = np.empty(0, np.int32)
        self._meeting_point = meeting_point
        self._make_communicator = communicator
        self._communicator: Communicator | None = None
        self._averager: RowAverager | None = None
        self._round = self._pause_after = 0
        self._notes = write_notes(())
        self._pause_asked = False
        self._told_at = 0.0
        # What the driver says while this replica trains: the group, and where it begins.
        self._group: object = None
        self._ahead = Standing()
        self._group_changed = threading.Condition()
        # Held while a round's sums are made, and until it counts as held.
        self._in_round = threading.Lock()
        # The rest of a round that goes on while this replica trains.
        self._finish: Callable[[], None] | None = None

    def describe(self) -> tuple[str, list[str]]:
        """The device's name, and the backend's notes for people."""
        return self._backend.device, self._backend.notes

    def compile(self, members: int) -> None:
        """The backend's kernels, and the communicator of so many members."""
        self._communicator = self._make_communicator(members)
        self._backend.compile()

    def initialise(self) -> None:
        """Draw the initial parameters."""
        self._backend.initialise()
        hot_last = {"output_vectors"} if self._hot_rows_come_last() else set()
        with self._backend.sharing():
            shared = self._backend.shared()
            needed = 2 * sum(array.nbytes for array in shared.values())
            with out_of_memory_reported(needed, "--vector-size or --max-final-vocab"):
                self._averager = RowAverager(shared, frozenset(hot_last))
                self._averager.compile(self._communicator.xp)

    def upload(self, part: CorpusPart, sync_ids: int) -> None:
        """Open the part, and bring it to the device. sync_ids: ids between two rounds."""
        self._ids = part.open()
        # Rounds that overlap with training end between two pauses for beginning them.
        self._backend.pause_after(max(1, round(LATE * sync_ids) if self._communicator.overlaps else sync_ids))
        self._backend.upload(self._ids)

    def _hot_rows_come_last(self) -> bool:
        return isinstance(self._objective, RowWiseObjective) and self._objective.first_hot_row(1) > 0

    def load_parameters(self, parameters: dict[str, np.ndarray]) -> None:
        """Start from given parameters, equal in all replicas."""
        self._backend.load_parameters(parameters)
        with self._backend.sharing():
            self._averager.restart()

    def parameters(self) -> dict[str, np.ndarray]:
        """The backend's parameters, on the host."""
        return {name: np.ascontiguousarray(array) for name, array in self._backend.parameters().items()}

    def unsound_parameters(self) -> list[str]:
        """See ``Backend``."""
        return self._backend.unsound_parameters()

    def heldout_nll(self, ids: np.ndarray) -> float | None:
        """See ``Backend``."""
        return self._backend.heldout_nll(ids)

    def standing(self, with_parameters: bool) -> Standing:
        """While training goes on."""
        with self._averager.lock:
            parameters = self._backend.as_parameters(self._averager.reference) if with_parameters else None
            reports = read_reports(self._notes)
            return Standing(self._round, self._averager.blocks_done, parameters, reports, self._pause_after)

    def ask_pause(self) -> None:
        """Hold a round as soon as possible, and another one that covers every row, and pause; while training goes on.

        All members are asked, perhaps more than once, and not while they pause.
        """
        self._pause_asked = not self._pause_after

    def abort(self) -> None:
        """A member is gone: where sums cannot wait for its successor, end the one that does, and its round."""
        if self._communicator.abort():
            with self._in_round:
                pass

    def join(self, group: object, ahead: Standing) -> None:
        """The group of the rounds to come, and the standing of the member of it that is ahead, or as far as any."""
        with self._group_changed:
            self._group, self._ahead = group, ahead
            self._group_changed.notify_all()

    def enter(self) -> None:
        """Enter the group, all members at once, with equal parameters: who dies later is known to be missing."""
        try:
            self._communicator.begin_round(0, self._group)
            with self._backend.sharing():
                self._averager.rehearse(self._communicator)
        except GroupBroken as error:
            raise DeviceError(f"the replicas' GPUs do not find each other: {error}: see NCCL_DEBUG=INFO") from error

    def train_epoch(self, plan: EpochPlan) -> EpochReport:
        """Train an epoch of the part, meeting the others after every round; returns the sums of this part."""
        size = max(1, self._ids.size)
        self._round, self._pause_after, self._pause_asked = plan.first_round - 1, plan.pause_after, False
        self._notes, self._finish = write_notes(plan.starts), None
        self._pause_where_due()

        def is_due(share: float) -> bool:
            # To a pause nobody trains his whole way.
            hurry = self._pause_asked or self._round < self._pause_after
            begun, done = self._round + (self._finish is not None), share * plan.rounds
            if self._finish is not None:
                return hurry or done >= begun + LATE
            return begun + 1 < plan.rounds and (hurry or done >= begun + 1)

        def meet(report: EpochReport) -> None:
            # Where a backend pauses rarely, several rounds are due at once; all members hold all of them.
            while is_due(report.position / size):
                self._go_on(plan, report)

        # A member that was replaced at the end of its part has nothing left to train.
        start = plan.starts[self.rank]
        if start.position >= self._ids.size:
            report = start
        else:
            report = self._backend.train_epoch(
                self._ids,
                plan.number + self.rank * EPOCHS_APART,
                plan.schedule,
                self._tell,
                Pauses(is_due, meet),
                **({"start": start} if start.position else {}),
            )
        report = replace(report, position=self._ids.size)
        while self._round < plan.rounds:
            self._go_on(plan, report)
        return report

    def _go_on(self, plan: EpochPlan, report: EpochReport) -> None:
        """Finish the round that has begun, or begin the next one, or hold all of it."""
        if self._finish is not None:
            finish, self._finish = self._finish, None
            with self._backend.sharing():
                finish()
        else:
            self._hold_round(self._round + 1, plan, report)

    def _hold_round(self, number: int, plan: EpochPlan, report: EpochReport) -> None:
        while self._round < number and self._finish is None:
            group = self._group
            try:
                with self._in_round:
                    self._average(number, plan, report, group)
            except GroupBroken:
                self._await_group_after(group)
        self._pause_where_due()

    def _pause_where_due(self) -> None:
        if 0 < self._pause_after == self._round:
            self._meeting_point.pause(self.rank, self._round, read_reports(self._notes)[self.rank])
            self._pause_after = 0

    def _average(self, number: int, plan: EpochPlan, report: EpochReport, group: object) -> None:
        self._communicator.begin_round(number, group)
        whole = number in (plan.rounds, self._pause_after)
        note = write_note(len(plan.starts), self.rank, report, self._pause_asked)
        with self._backend.sharing():
            rows = {
                name: len(array) if whole else rows_of_round(number, plan.rounds, len(array))
                for name, array in self._averager.reference.items()
            }
            if whole or not self._communicator.overlaps:
                self._held(number, plan, self._averager.average(rows, self._communicator, note))
                return
            finish = self._averager.begin(rows, self._communicator, note)
        self._finish = lambda: self._held(number, plan, finish())

    def _held(self, number: int, plan: EpochPlan, notes: np.ndarray) -> None:
        with self._averager.lock:
            self._round, self._averager.blocks_done, self._notes = number, 0, notes
            # After the last round all rows are known without a pause.
            if pause_is_asked(notes) and number + 1 < plan.rounds:
                self._pause_after, self._pause_asked = number + 1, False

    def _await_group_after(self, broken: object) -> None:
        """Wait for the driver to have replaced the member that is gone.

        Of the others, some may have got further in the round in which it died, and some not: what the round made of
        its rows these adopt. Other rows are as they were, and what was trained of them since stays.
        """
        with self._group_changed:
            if not self._group_changed.wait_for(lambda: self._group != broken, REPLACED_SECONDS):
                raise DeviceError("the replicas' GPUs lost each other: go on from the last checkpoint with --resume")
            ahead = self._ahead
        if ahead.place > (self._round, self._averager.blocks_done):
            self._adopt(ahead.parameters)
            self._averager.blocks_done = 0
        if ahead.number > self._round:
            self._round, self._notes, self._pause_after = ahead.number, write_notes(ahead.reports), ahead.pause_after

    def _adopt(self, ahead: dict[str, np.ndarray]) -> None:
        """Take the rows that were averaged last from another member: those in which its reference differs."""
        mine = {name: np.array(array) for name, array in self._backend.parameters().items()}
        known = self._backend.as_parameters(self._averager.reference)
        for name, array in mine.items():
            others = (known[name] != ahead[name]).reshape(len(array), -1).any(axis=1)
            array[others] = ahead[name][others]
        self.load_parameters(ahead)
        self._backend.load_parameters(mine)

    def _tell(self, report: EpochReport) -> None:
        now = time.monotonic()
        if now - self._told_at >= TOLD_SECONDS:
            self._told_at = now
            self._meeting_point.tell(self.rank, report)
