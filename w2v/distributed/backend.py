"""Replicas on Ray behind the contract of a backend: the driver of a run does not know that there are several."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from w2v.backends.base import NO_PAUSES, EpochReport, Pauses
from w2v.config import TrainConfig
from w2v.corpus.heldout import sentence_marks
from w2v.corpus.part import CorpusPart, split_corpus
from w2v.distributed.actors import Actors
from w2v.distributed.cluster import Cluster, first_line
from w2v.distributed.replica import EpochPlan, Standing
from w2v.distributed.rounds import rounds_per_epoch
from w2v.errors import DeviceError

# Looking takes processor time from the replicas.
LOOK_SECONDS = 0.5
# Deaths that a run survives between two rounds: more are a fault that would come again.
MOST_DEATHS = 20


class ReplicatedBackend:
    """``replicas`` backends, each on its part of the corpus; at a pause all of them have the same parameters.

    Learning rates are those of the schedule times the number of replicas: a row that all of them change moves by the
    mean of their steps, and would learn so many times slower otherwise.
    """

    def __init__(
        self,
        config: TrainConfig,
        counts: np.ndarray,
        cluster: Cluster,
        say: Callable[[str], None] = lambda message: None,
    ) -> None:
        """Start the replicas. config: as the cluster resolves it, its device "cpu" or "cuda"; counts: (V,) int64.

        say: gets a line where a replica died and was replaced.
        """
        self.config = config
        self._say = say
        replicas = cluster.replicas(config.replicas, config.device)
        self._replicas, self._sync_words = replicas, config.sync_words
        threads = max(1, config.threads // replicas)
        own = replace(config, threads=threads, replicas=None)
        self._actors = Actors(cluster.ray, own, counts, replicas, config.device == "cuda", say)
        self._actors.await_room(range(replicas), "lower --replicas or --threads, or add computers")
        ((name, notes), *_) = self._actors.ask("describe")
        self.device = f"{replicas} × {name}"
        each = f"with {threads} {_threads(threads)} each" if config.device == "cpu" else "with a GPU each"
        self.notes = [f"{replicas} replicas train, {each}, and average every {self._sync_words:,} words", *notes]
        self._parts: list[CorpusPart] = []
        self._ids: np.ndarray | None = None
        self._rounds = self._sync_ids = 1
        self._deaths, self._ahead = 0, (0, 0)
        self._running: dict[object, int] = {}
        # Whose pauses are kept while a successor waits for room, the share of the epoch that is done, and what
        # parameters are then.
        self._pauses, self._share = NO_PAUSES, 0.0
        self._averaged: dict[str, np.ndarray] | None = None

    def compile(self) -> None:
        """All of them."""
        self._actors.ask("compile", self._replicas)

    def initialise(self) -> None:
        """All of them draw the same."""
        self._actors.ask("initialise")

    def load_parameters(self, parameters: dict[str, np.ndarray]) -> None:
        """Into all of them."""
        self._actors.ask("load_parameters", self._actors.share(parameters))

    def upload(self, ids: np.ndarray) -> None:
        """Give every replica its part."""
        if self._ids is ids:
            return
        tokens = ids.size - sentence_marks(ids)
        self._rounds = rounds_per_epoch(tokens, self._replicas, self._sync_words)
        self._sync_ids = math.ceil(ids.size / self._replicas / self._rounds)
        self._parts = split_corpus(ids, self._replicas)
        try:
            self._actors.form_group(0, Standing())
        except self._actors.dead as death:
            raise DeviceError(f"a replica died ({first_line(death)}): run again") from death
        self._actors.ask("enter")  # before the text takes what is left of a GPU
        self._actors.ask_each("upload", [(part, self._sync_ids) for part in self._parts])
        self._ids = ids

    def parameters(self) -> dict[str, np.ndarray]:
        """Of one of them."""
        return self._averaged or self._actors.ask_one("parameters")

    def unsound_parameters(self) -> list[str]:
        """Of one of them."""
        return self._actors.ask_one("unsound_parameters")

    def heldout_nll(self, ids: np.ndarray) -> float | None:
        """By one of them."""
        return self._actors.ask_one("heldout_nll", np.asarray(ids))

    def train_epoch(
        self,
        ids: np.ndarray,
        epoch: int,
        schedule: Callable[[float], float],
        progress: Callable[[EpochReport], None],
        pauses: Pauses = NO_PAUSES,
        start: EpochReport | None = None,
    ) -> EpochReport:
        """Train one pass: all parts at once. A pause is between two rounds, and then a round covers all rows."""
        self.upload(ids)
        first, reports = self._places(start)
        self._actors.begin_epoch(reports)
        plan = EpochPlan(epoch, self._rounds, first, _Scaled(schedule, self._replicas), tuple(reports))
        running = {self._actors.start(rank, "train_epoch", plan): rank for rank in range(self._replicas)}
        self._running, self._pauses = running, pauses
        self._deaths, self._ahead = 0, (0, 0)
        while running:
            for done in self._actors.wait(list(running), LOOK_SECONDS):
                rank = running.pop(done)
                try:
                    reports[rank] = self._actors.result(done)
                except self._actors.dead as death:
                    running[self._replace(rank, plan, death)] = rank
            told, paused = self._actors.meet("status")
            here = self._sum([told[rank] if rank in running.values() else reports[rank] for rank in range(len(told))])
            progress(here)
            self._share = here.position / max(1, ids.size)
            if paused:
                pauses.hook(replace(here, rounds=paused))
                self._actors.meet("go_on", paused)
            elif running and pauses.due(self._share):
                self._actors.ask_living(list(running.values()), "ask_pause")
        return self._sum(reports)

    def _places(self, start: EpochReport | None) -> tuple[int, list[EpochReport]]:
        """The first round to hold, and where every replica begins; the sums so far are counted as the first one's."""
        if start is None or not start.position:
            return 1, [EpochReport() for _ in self._parts]
        reports = [EpochReport(position=position) for position in start.parts]
        reports[0] = replace(start, position=start.parts[0], parts=())
        return start.rounds + 1, reports

    def _sum(self, reports: list[EpochReport]) -> EpochReport:
        return EpochReport(
            sum(report.loss for report in reports),
            sum(report.pairs for report in reports),
            sum(report.kept_words for report in reports),
            sum(report.words for report in reports),
            reports[0].learning_rate,
            sum(report.position for report in reports),
            tuple(report.position for report in reports),
        )

    def _replace(self, rank: int, plan: EpochPlan, death: Exception) -> object:
        """Start a successor after the last round that the dead replica held; the reference of its training."""
        self._deaths += 1
        if self._deaths > MOST_DEATHS:
            raise DeviceError(
                f"replicas died {self._deaths} times without a round between ({first_line(death)}): "
                "go on from the last checkpoint with --resume"
            ) from death
        others = [other for other in range(self._replicas) if other != rank]
        try:
            return self._start_successor(rank, others, plan)
        except self._actors.dead as again:
            return self._replace(rank, plan, again)

    def _ahead_of(self, ranks: list[int]) -> tuple[dict[int, Standing], Standing]:
        """Where those of them stand that live, and who is furthest, with parameters."""
        self._actors.ask_living(ranks, "abort")  # a sum that waits may not let go of its GPU
        standings = self._actors.ask_living(ranks, "standing", False)
        if not standings:
            raise DeviceError("every replica died: go on from the last checkpoint with --resume")
        first = max(standings, key=lambda rank: standings[rank].place)
        return standings, self._actors.result(self._actors.start(first, "standing", True))

    def _pause_without(self, others: list[int]) -> None:
        """Where a pause is due, and a replica is missing without which there is no round: it is at the last one."""
        if not self._pauses.due(self._share):
            return
        _, ahead = self._ahead_of(others)
        self._averaged = ahead.parameters
        try:
            self._pauses.hook(replace(self._sum(list(ahead.reports)), rounds=ahead.number))
        finally:
            self._averaged = None

    def _start_successor(self, rank: int, others: list[int], plan: EpochPlan) -> object:
        self._actors.restart(rank, lambda: self._pause_without(others))
        standings, ahead = self._ahead_of(others)
        if ahead.place > self._ahead:
            self._deaths, self._ahead = 1, ahead.place
        for name, *arguments in (
            ("compile", self._replicas),
            ("initialise",),
            ("upload", self._parts[rank], self._sync_ids),
            ("load_parameters", self._actors.share(ahead.parameters)),
        ):
            self._actors.result(self._actors.start(rank, name, *arguments))
        # One that is known to be dead has its turn, and its successor forms the group: the others wait for that.
        if not [other for other in self._running.values() if other not in (rank, *standings)]:
            self._actors.form_group(rank, ahead)
        self._say(
            f"replica {rank} died: another one goes on from round {ahead.number} of {self._rounds} of this epoch"
        )
        begins = {"first_round": ahead.number + 1, "starts": ahead.reports, "pause_after": ahead.pause_after}
        return self._actors.start(rank, "train_epoch", replace(plan, **begins))

    def close(self) -> None:
        """End the replicas."""
        self._actors.close()


class _Scaled:
    """A schedule times a factor; it travels to the replicas."""

    def __init__(self, schedule: Callable[[float], float], factor: float) -> None:
        self._schedule, self._factor = schedule, factor

    def __call__(self, fraction: float) -> float:
        return self._factor * self._schedule(fraction)


def _threads(count: int) -> str:
    return "thread" if count == 1 else "threads"
