"""The Ray actors: replicas, the place where they meet, and those who add up their arrays."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from w2v.backends.base import EpochReport
from w2v.config import TrainConfig
from w2v.distributed.cluster import first_line
from w2v.distributed.communicators import Communicator, NcclCommunicator, ObjectStoreCommunicator
from w2v.distributed.coordinator import Adder, Coordinator
from w2v.distributed.replica import Replica, Standing
from w2v.errors import DeviceError

Actor = Any
# The driver asks a replica while it trains: to pause, where it stands, or to let go of a broken group.
_CALLS_AT_ONCE = 4
# A cluster that grows by itself takes minutes to have room for another replica.
_ROOM_SECONDS = 300.0


class _RemoteMeetingPoint:
    """A ``Coordinator`` elsewhere."""

    def __init__(self, ray: ModuleType, coordinator: Actor) -> None:
        self._ray, self._coordinator = ray, coordinator

    def tell(self, rank: int, report: EpochReport) -> None:
        self._coordinator.tell.remote(rank, report)

    def pause(self, rank: int, number: int, report: EpochReport) -> None:
        self._ray.get(self._coordinator.pause.remote(rank, number, report))


class ReplicaActor:
    """A ``Replica`` in a process of its own."""

    def __init__(self, rank: int, config: TrainConfig, counts: np.ndarray, coordinator: Actor, adders: list) -> None:
        """See ``Replica``; adders: those of the object store, none where NCCL adds."""
        import ray

        def communicator(members: int) -> Communicator:
            if adders:
                return ObjectStoreCommunicator(ray, rank, adders)
            return nccl_communicator(rank, members)

        self._replica = Replica(rank, config, counts, _RemoteMeetingPoint(ray, coordinator), communicator)

    def call(self, name: str, *arguments: object) -> object:
        """A method of the replica's."""
        return getattr(self._replica, name)(*arguments)

    def new_group(self) -> object:
        """What the members of a new NCCL group have in common."""
        return nccl().get_unique_id()


def nccl() -> ModuleType:
    """CuPy's bindings of NCCL; raises DeviceError where they cannot be loaded."""
    try:
        from cupy.cuda import nccl as found
    except ImportError as error:
        raise DeviceError(
            f"NCCL cannot be loaded ({error}): pip install nvidia-nccl-cu13, or nvidia-nccl-cu12 with CUDA 12"
        ) from error
    return found


def nccl_communicator(rank: int, members: int) -> NcclCommunicator:
    """On the stream that is CuPy's current one."""
    import cupy

    return NcclCommunicator(cupy, nccl(), rank, members, lambda: cupy.cuda.get_current_stream().ptr)


class Actors:
    """The actors of a run. ``ask`` calls a method of replicas and waits."""

    def __init__(self, ray: ModuleType, config: TrainConfig, counts: np.ndarray, replicas: int, cuda: bool) -> None:
        """Start them; config: of one replica."""
        self._ray, self._config, self._cuda = ray, config, cuda
        self._counts = ray.put(counts)
        small = {"num_cpus": 0, "max_concurrency": 1000}
        self.coordinator = ray.remote(**small)(Coordinator).remote(replicas)
        count = 0 if cuda else max(1, replicas // 2)
        self._adders = [ray.remote(**small)(Adder).remote(replicas, ray.put) for _ in range(count)]
        self.replicas = [self._start(rank) for rank in range(replicas)]

    def _start(self, rank: int) -> Actor:
        needs = {"num_cpus": 1, "num_gpus": 1} if self._cuda else {"num_cpus": self._config.threads}
        made = self._ray.remote(max_concurrency=_CALLS_AT_ONCE, **needs)(ReplicaActor)
        return made.remote(rank, self._config, self._counts, self.coordinator, self._adders)

    def restart(self, rank: int) -> None:
        """Put a new replica in the place of a dead one; raises DeviceError where there is no room for it."""
        self.replicas[rank] = self._start(rank)
        self.await_room(rank)

    def await_room(self, *ranks: int) -> None:
        """Wait until replicas have begun to run; raises DeviceError where they do not within minutes."""
        begun = [self.start(rank, "describe") for rank in ranks]
        _, waiting = self._ray.wait(begun, num_returns=len(begun), timeout=_ROOM_SECONDS)
        if waiting:
            needs = "a GPU and a CPU" if self._cuda else f"{self._config.threads} CPUs"
            raise DeviceError(
                f"the Ray cluster had no room for {len(waiting)} of {len(self.replicas)} replicas ({needs} each) "
                f"in {_ROOM_SECONDS:.0f} s: lower --replicas or --threads, or add computers, and go on with --resume"
            )

    def begin_epoch(self, reports: Sequence[EpochReport]) -> None:
        """See ``Coordinator`` and ``Adder``."""
        self._ray.get([adder.begin_epoch.remote() for adder in self._adders])
        self._ray.get(self.coordinator.begin_epoch.remote(reports))

    def meet(self, name: str, *arguments: object) -> Any:
        """A method of the coordinator's."""
        return self._ray.get(getattr(self.coordinator, name).remote(*arguments))

    def form_group(self, maker: int, ahead: Standing) -> None:
        """Let the replicas that live join a new group, whose id one of them makes; ahead: see ``Replica.join``."""
        if not self._cuda:
            return
        group = self.result(self.replicas[maker].new_group.remote())
        begins = self._ray.put(ahead)
        for rank in range(len(self.replicas)):
            try:
                self.result(self.start(rank, "join", group, begins))
            except self.dead:
                continue  # it has its own turn

    def start(self, rank: int, name: str, *arguments: object) -> object:
        """Begin a call of a replica's method; its reference."""
        return self.replicas[rank].call.remote(name, *arguments)

    def result(self, reference: object) -> Any:
        """What a call gave; raises what it raised, and ``dead`` where its replica is no more."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise getattr(error, "cause", error) from error

    @property
    def dead(self) -> type[Exception]:
        """What a call of a dead replica raises."""
        return self._ray.exceptions.RayActorError

    def ask(self, name: str, *arguments: object) -> list[Any]:
        """What a method of every replica gives; raises DeviceError where one is dead."""
        references = [self.start(rank, name, *arguments) for rank in range(len(self.replicas))]
        try:
            return [self.result(reference) for reference in references]
        except self.dead as error:
            raise DeviceError(f"a replica died: {first_line(error)}") from error

    def ask_one(self, name: str, *arguments: object) -> Any:
        """What a method of a replica gives, the first one that lives."""
        for rank in range(len(self.replicas)):
            try:
                return self.result(self.start(rank, name, *arguments))
            except self.dead as error:
                failure = error
        raise DeviceError(f"no replica is left: {first_line(failure)}") from failure

    def wait(self, references: list[object], seconds: float) -> list[object]:
        """Those that are done, as soon as one is."""
        return self._ray.wait(references, num_returns=1, timeout=seconds)[0]

    def close(self) -> None:
        """End them all."""
        for actor in (*self.replicas, *self._adders, self.coordinator):
            self._ray.kill(actor)
