"""The Ray actors: replicas, and the hub that knows where they pause and adds up their arrays."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from w2v.backends.base import EpochReport
from w2v.config import TrainConfig
from w2v.distributed.cluster import first_line
from w2v.distributed.communicators import Communicator, NcclCommunicator, ObjectStoreCommunicator
from w2v.distributed.coordinator import Hub
from w2v.distributed.replica import Replica, Standing
from w2v.distributed.rounds import sums_overlap
from w2v.errors import DeviceError

Actor = Any
# The driver asks a replica while it trains: to pause, where it stands, or to let go of a broken group.
_CALLS_AT_ONCE = 4
# A cluster that grows by itself takes minutes to have room for another replica.
_ROOM_SECONDS = 300.0
# So long a replica may take to start before a line says that others wait for it.
_PATIENCE_SECONDS = 20.0
_ROOM_LOOK_SECONDS = 1.0
# Of a replica that trains: it may be busy with a chunk, or copy its parameters.
_ANSWER_SECONDS = 120.0
_NOT_REPLACED = (
    "what the replicas have in common ended, and is not replaced: go on from the last checkpoint with --resume"
)


class _RemoteMeetingPoint:
    """A ``Coordinator`` elsewhere."""

    def __init__(self, ray: ModuleType, hub: Actor) -> None:
        self._ray, self._hub = ray, hub

    def tell(self, rank: int, report: EpochReport) -> None:
        self._hub.tell.remote(rank, report)

    def pause(self, rank: int, number: int, report: EpochReport) -> None:
        self._ray.get(self._hub.pause.remote(rank, number, report))


class ReplicaActor:
    """A ``Replica`` in a process of its own."""

    def __init__(self, rank: int, config: TrainConfig, counts: np.ndarray, hub: Actor, cuda: bool) -> None:
        """See ``Replica``; hub: adds up arrays, but on GPUs, where NCCL does."""
        self._given = rank, config, counts, hub, cuda
        self._replica: Replica | None = None

    def call(self, name: str, *arguments: object) -> object:
        """A method of the replica's, which the first call makes: an error of that is the call's."""
        if self._replica is None:
            self._replica = _made(*self._given)
        return getattr(self._replica, name)(*arguments)

    def new_group(self) -> object:
        """What the members of a new NCCL group have in common."""
        return nccl().get_unique_id()


def _made(rank: int, config: TrainConfig, counts: np.ndarray, hub: Actor, cuda: bool) -> Replica:
    import ray

    def communicator(members: int) -> Communicator:
        if cuda:
            return nccl_communicator(rank, members)
        return ObjectStoreCommunicator(ray, rank, hub, sums_overlap(members))

    return Replica(rank, config, counts, _RemoteMeetingPoint(ray, hub), communicator)


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
    """The actors of a run, and how the driver calls them.

    Methods of replicas: ``start`` and ``result`` one by one, ``ask`` all of them, ``ask_living`` those that live. A
    replica that is no more raises ``dead``; without the others there is no going on.
    """

    def __init__(
        self,
        ray: ModuleType,
        config: TrainConfig,
        counts: np.ndarray,
        replicas: int,
        cuda: bool,
        say: Callable[[str], None],
    ) -> None:
        """Start them; config: of one replica; say: gets a line where there is no room for one."""
        self._ray, self._config, self._cuda, self._say = ray, config, cuda, say
        # A replica that is awaited: a call of it would wait with it.
        self._absent: int | None = None
        self._counts = ray.put(counts)
        # All replicas may wait in it at once. It lives where the driver does, and ends where that ends.
        strategies = ray.util.scheduling_strategies
        here = strategies.NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        small = {"num_cpus": 0, "max_concurrency": replicas + 32, "scheduling_strategy": here}
        self._hub = ray.remote(**small)(Hub).remote(replicas, ray.put)
        self.replicas = [self._start(rank) for rank in range(replicas)]

    def _start(self, rank: int) -> Actor:
        needs = {"num_cpus": 1, "num_gpus": 1} if self._cuda else {"num_cpus": self._config.threads}
        made = self._ray.remote(max_concurrency=_CALLS_AT_ONCE, **needs)(ReplicaActor)
        return made.remote(rank, self._config, self._counts, self._hub, self._cuda)

    def restart(self, rank: int, meanwhile: Callable[[], None]) -> None:
        """Put a new replica in the place of a dead one; see ``await_room``."""
        self._ray.kill(self.replicas[rank])  # which may live where the network does not reach
        self.replicas[rank] = self._start(rank)
        advice = "go on from the last checkpoint with --resume where there is room for it"
        self._absent = rank
        self.await_room([rank], advice, meanwhile)
        self._absent = None

    def await_room(self, ranks: Sequence[int], advice: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until replicas have begun to run; raises DeviceError where they do not within minutes.

        meanwhile: called now and then.
        """
        waiting = [self.start(rank, "describe") for rank in ranks]
        begun, told = time.monotonic(), False
        while waiting := self._ray.wait(waiting, num_returns=len(waiting), timeout=_ROOM_LOOK_SECONDS)[1]:
            seconds = time.monotonic() - begun
            if seconds > _ROOM_SECONDS:
                missing = f"{self._missing(len(waiting))} did not start in {_ROOM_SECONDS:.0f} s"
                raise DeviceError(f"{missing}, for want of room perhaps: {advice}")
            if seconds > _PATIENCE_SECONDS and not told:
                missing, told = self._missing(len(waiting)), True
                self._say(
                    f"{missing} have not started, perhaps because the Ray cluster has no room: waiting for "
                    f"{_ROOM_SECONDS:.0f} s"
                )
            meanwhile()

    def _missing(self, count: int) -> str:
        threads = self._config.threads
        needs = "a GPU and a CPU" if self._cuda else f"{threads} CPU{'s' if threads > 1 else ''}"
        return f"{count} of {len(self.replicas)} replicas ({needs} each)"

    def begin_epoch(self, reports: Sequence[EpochReport]) -> None:
        """See ``Hub``."""
        self.meet("begin_epoch", reports)

    def meet(self, name: str, *arguments: object) -> Any:
        """A method of the hub's."""
        try:
            return self._ray.get(getattr(self._hub, name).remote(*arguments))
        except self.dead as error:
            raise DeviceError(f"{_NOT_REPLACED}: {first_line(error)}") from error

    def form_group(self, maker: int, ahead: Standing) -> None:
        """Let the replicas that live join a new group, whose id one of them makes; ahead: see ``Replica.join``."""
        if self._cuda:
            group = self.result(self.replicas[maker].new_group.remote())
            self.ask_living(range(len(self.replicas)), "join", group, self.share(ahead))

    def share(self, value: object) -> object:
        """An argument for several calls, which travels once to each computer."""
        return self._ray.put(value)

    def start(self, rank: int, name: str, *arguments: object) -> object:
        """Begin a call of a replica's method; its reference."""
        return self.replicas[rank].call.remote(name, *arguments)

    def result(self, reference: object) -> Any:
        """What a call gave; raises what it raised, and ``dead`` where its replica is no more."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            cause = getattr(error, "cause", error)
            if isinstance(cause, self.dead):  # of the actors that the replica called
                raise DeviceError(f"{_NOT_REPLACED}: {first_line(cause)}") from error
            raise cause from error
        except self.dead:
            raise
        except self._ray.exceptions.RayError as error:
            raise DeviceError(
                f"Ray failed ({first_line(error)}): go on from the last checkpoint with --resume"
            ) from error

    @property
    def dead(self) -> tuple[type[Exception], ...]:
        """What a call of a dead replica raises: also one that Ray ended for want of memory, or whose node is lost."""
        errors = self._ray.exceptions
        return errors.RayActorError, errors.OutOfMemoryError, errors.ActorUnschedulableError, errors.ObjectLostError

    def ask(self, name: str, *arguments: object) -> list[Any]:
        """What a method of every replica gives; raises DeviceError as soon as one is dead."""
        return self.ask_each(name, [arguments for _ in self.replicas])

    def ask_each(self, name: str, arguments: Sequence[tuple]) -> list[Any]:
        """As ``ask``, with arguments for each."""
        references = [self.start(rank, name, *own) for rank, own in enumerate(arguments)]
        waiting = list(references)
        try:
            while waiting:  # the others may wait for the dead one
                done, waiting = self._ray.wait(waiting, num_returns=1)
                self.result(done[0])
            return [self.result(reference) for reference in references]
        except self.dead as error:
            raise DeviceError(
                f"a replica died ({first_line(error)}): run again, or go on from the last checkpoint with --resume"
            ) from error

    def ask_living(self, ranks: Sequence[int], name: str, *arguments: object) -> dict[int, Any]:
        """What a method gives of those replicas that live, by rank; one that does not answer is ended."""
        references = {self.start(rank, name, *arguments): rank for rank in ranks}
        _, silent = self._ray.wait(list(references), num_returns=len(references), timeout=_ANSWER_SECONDS)
        for reference in silent:
            self._ray.kill(self.replicas[references[reference]])
        found = {}
        for reference, rank in references.items():
            try:
                found[rank] = self.result(reference)
            except self.dead:
                continue  # it has its own turn
        return found

    def ask_one(self, name: str, *arguments: object) -> Any:
        """What a method of a replica gives, the first one that lives."""
        failure: Exception = DeviceError("it has not started")
        for rank in range(len(self.replicas)):
            if rank == self._absent:
                continue
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
        for actor in (*self.replicas, self._hub):
            self._ray.kill(actor)
