"""One replica: a backend, its part of the corpus, and the rounds in which it meets the others."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from w2v.backends import make_backend
from w2v.backends.base import EpochReport, Pauses
from w2v.config import TrainConfig
from w2v.corpus.part import CorpusPart
from w2v.distributed.averaging import RowAverager
from w2v.distributed.communicators import Communicator, GroupBroken
from w2v.distributed.coordinator import Meeting
from w2v.distributed.rounds import rows_of_round
from w2v.objectives import RowWiseObjective, make_objective

# Replicas draw other numbers: each one's epochs are numbered apart from the others'.
EPOCHS_APART = 1 << 32
TOLD_SECONDS = 0.2
AGAIN_SECONDS = 0.1


class MeetingPoint(Protocol):
    """The ``Coordinator`` as a member calls it: every call waits for its answer."""

    def arrive(self, rank: int, number: int, report: EpochReport, last: bool) -> Meeting:
        """See ``Coordinator.arrive``."""

    def pause(self, rank: int) -> None:
        """See ``Coordinator.pause``."""

    def tell(self, rank: int, report: EpochReport) -> None:
        """See ``Coordinator.tell``; does not wait."""


@dataclass(frozen=True)
class EpochPlan:
    """An epoch as a replica gets it.

    number: of the run; rounds: how many; first_round: the one that comes first; start: where this replica begins;
    paused: whether the others are waiting to be let go.
    """

    number: int
    rounds: int
    first_round: int
    schedule: Callable[[float], float]
    start: EpochReport
    paused: bool = False


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
        self._round = 0
        self._told_at = 0.0

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
            self._averager = RowAverager(self._backend.shared(), frozenset(hot_last))

    def upload(self, part: CorpusPart, sync_ids: int) -> None:
        """Open the part, and bring it to the device. sync_ids: ids between two rounds."""
        self._ids = part.open()
        self._backend.pause_after(sync_ids)
        self._backend.upload(self._ids)

    def _hot_rows_come_last(self) -> bool:
        return isinstance(self._objective, RowWiseObjective) and self._objective.first_hot_row(1) > 0

    def load_parameters(self, parameters: dict[str, np.ndarray], number: int = 0) -> None:
        """Start from given parameters, those after round ``number``."""
        self._backend.load_parameters(parameters)
        with self._backend.sharing():
            self._averager.restart()
        self._round = number

    def parameters(self) -> dict[str, np.ndarray]:
        """The backend's parameters, on the host."""
        return {name: np.ascontiguousarray(array) for name, array in self._backend.parameters().items()}

    def unsound_parameters(self) -> list[str]:
        """See ``Backend``."""
        return self._backend.unsound_parameters()

    def heldout_nll(self, ids: np.ndarray) -> float | None:
        """See ``Backend``."""
        return self._backend.heldout_nll(ids)

    def last_round(self) -> tuple[int, dict[str, np.ndarray]]:
        """The number of the last round that is done here, and the parameters after it; while training goes on.

        Where the next round has begun, some rows are those after it: whoever takes part in it gets the same.
        """
        with self._averager.lock:
            return self._round, self._backend.as_parameters(self._averager.reference)

    def abort(self) -> None:
        """A member is gone: let a sum that waits end."""
        self._communicator.abort()

    def train_epoch(self, plan: EpochPlan) -> EpochReport:
        """Train an epoch of the part, meeting the others after every round; returns the sums of this part."""
        size = max(1, self._ids.size)
        self._round = plan.first_round - 1
        if plan.paused:
            self._meeting_point.pause(self.rank)

        def is_due(share: float) -> bool:
            return self._round + 1 < plan.rounds and share * plan.rounds >= self._round + 1

        def meet(report: EpochReport) -> None:
            # Where a backend pauses rarely, several rounds are due at once; all members hold all of them.
            while is_due(report.position / size):
                self._hold_round(self._round + 1, plan, report)

        # A member that was replaced at the end of its part has nothing left to train.
        start = plan.start
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
            self._hold_round(self._round + 1, plan, report)
        return report

    def _hold_round(self, number: int, plan: EpochPlan, report: EpochReport) -> None:
        last = number == plan.rounds
        while True:
            meeting = self._meeting_point.arrive(self.rank, number, report, last)
            try:
                self._average(number, plan.rounds, meeting)
                break
            except GroupBroken:
                time.sleep(AGAIN_SECONDS)  # until the driver has replaced the member
        if meeting.pause:
            self._meeting_point.pause(self.rank)

    def _average(self, number: int, rounds: int, meeting: Meeting) -> None:
        self._communicator.begin_round(number, meeting.group)
        with self._backend.sharing():
            rows = {
                name: len(array) if meeting.whole else rows_of_round(number, rounds, len(array))
                for name, array in self._averager.reference.items()
            }
            self._averager.average(rows, self._communicator)
        self._round = number

    def _tell(self, report: EpochReport) -> None:
        now = time.monotonic()
        if now - self._told_at >= TOLD_SECONDS:
            self._told_at = now
            self._meeting_point.tell(self.rank, report)
