"""Replicas in threads of one process, for tests: the hub in an event loop, no Ray."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from w2v.backends.base import EpochReport
from w2v.config import TrainConfig
from w2v.corpus import EncodedCorpus
from w2v.corpus.part import split_corpus
from w2v.distributed.communicators import Communicator, ObjectStoreCommunicator
from w2v.distributed.coordinator import Hub
from w2v.distributed.replica import EpochPlan, Replica


class Loop:
    """An event loop in a thread, where asynchronous actors live."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def start(self, coroutine: Any) -> Future:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def wait(self, coroutine: Any, timeout: float = 60) -> Any:
        return self.start(coroutine).result(timeout)


class Remote:
    """An actor's method, as Ray's handles have them: ``actor.method.remote(…)`` begins it, and returns a future."""

    def __init__(self, actor: object, loop: Loop) -> None:
        self._actor, self._loop = actor, loop

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._actor, name)
        return type("Method", (), {"remote": staticmethod(lambda *given: self._loop.start(method(*given)))})


class LoopRay:
    """What the object store's communicator uses of Ray; references are the arrays themselves."""

    exceptions = SimpleNamespace(ObjectLostError=LookupError)

    def put(self, array: np.ndarray) -> np.ndarray:
        return array.copy()

    def get(self, asked: Any) -> Any:
        return asked.result(60) if isinstance(asked, Future) else asked


class Group:
    """``members`` replicas of a configuration, on their parts of a corpus."""

    def __init__(
        self,
        config: TrainConfig,
        corpus: EncodedCorpus,
        members: int,
        communicator: Callable[[int], Callable[[int], Communicator]] | None = None,
        overlaps: bool = True,
    ) -> None:
        self.loop, self.members, self.config = Loop(), members, config
        self.hub = Hub(members, lambda array: array)
        self.parts = split_corpus(np.asarray(corpus.ids), members)
        self.counts = corpus.vocabulary.counts
        self._communicator, self._overlaps = communicator, overlaps
        self.replicas = [self.replica(rank) for rank in range(members)]

    def replica(self, rank: int) -> Replica:
        made = Replica(rank, self.config, self.counts, self, self._communicator_of(rank))
        made.compile(self.members)
        made.initialise()
        made.upload(self.parts[rank], 100)
        return made

    def _communicator_of(self, rank: int) -> Callable[[int], Communicator]:
        if self._communicator is not None:
            return self._communicator(rank)
        return lambda members: ObjectStoreCommunicator(LoopRay(), rank, Remote(self.hub, self.loop), self._overlaps)

    # ---- The meeting point. ----

    def pause(self, *arguments: object) -> None:
        self.loop.wait(self.hub.pause(*arguments))

    def tell(self, *arguments: object) -> None:
        self.loop.wait(self.hub.tell(*arguments))

    # ---- Training. ----

    def begin(self, rounds: int) -> EpochPlan:
        starts = (EpochReport(),) * self.members
        self.loop.wait(self.hub.begin_epoch(starts))
        with ThreadPoolExecutor(self.members) as pool:
            list(pool.map(Replica.enter, self.replicas))
        return EpochPlan(0, rounds, 1, lambda share: 0.05 * (1 - share), starts)

    def train_epoch(self, rounds: int, number: int = 0) -> list[EpochReport]:
        plan = replace(self.begin(rounds), number=number)
        with ThreadPoolExecutor(self.members) as pool:
            return list(pool.map(lambda replica: replica.train_epoch(plan), self.replicas))
