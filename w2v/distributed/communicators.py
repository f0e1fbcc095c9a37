"""How replicas add up arrays: alone, through Ray's object store, or with NCCL between GPUs."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from w2v.distributed.coordinator import added

Array = Any


class Communicator(Protocol):
    """The members of a group add up arrays; all call ``begin_round`` and ``sum`` in the same order."""

    #: The module of the arrays: numpy or cupy.
    xp: ModuleType
    #: Whether a member can train while its sum is made: there is ``begin_sum``.
    overlaps: bool

    def begin_round(self, number: int, group: object) -> None:
        """The sums to come are those of a round. group: what the members have in common, new when one is replaced."""

    def sum(self, values: Array) -> Array:
        """Element-wise sum of the members' float32 arrays, (n,); the same bits in all of them.

        ``values`` may be written to. Raises GroupBroken where a member is gone.
        """

    def begin_sum(self, values: Array) -> Callable[[], Array]:
        """Where sums overlap: what is returned waits for the sum; ``values`` stay as they are."""

    def abort(self) -> bool:
        """A member is gone: let a ``sum`` that waits, in another thread, raise GroupBroken.

        False where there is no need: a sum that waits gets what the member's successor contributes.
        """


class GroupBroken(Exception):  # noqa: N818 (a state, not a fault)
    """A member of the group is gone: the round has to be begun again with its successor."""


class SingleCommunicator:
    """A group of one."""

    xp, overlaps = np, False

    def begin_round(self, number: int, group: object) -> None:
        """Nothing to prepare."""

    def sum(self, values: np.ndarray) -> np.ndarray:
        """The array itself."""
        return values

    def abort(self) -> bool:
        """Nothing ever waits."""
        return False


class ObjectStoreCommunicator:
    """NumPy arrays, added up by way of a Ray actor (``Hub``): shared memory on a computer, the network between them.

    What a member has contributed to a round stays there: a successor that contributes again gets the result as it
    was. So it is one actor, not one for each part of an array: a member may die between two parts.
    """

    xp = np

    def __init__(self, ray: ModuleType, rank: int, hub: object, overlaps: bool) -> None:
        """ray: the package; rank: this member's number; hub: the actor's handle."""
        self.overlaps = overlaps
        self._ray, self._rank, self._hub = ray, rank, hub
        self._round, self._number = 0, 0
        self._total = np.empty(0, np.float32)

    def begin_round(self, number: int, group: object) -> None:
        """The hub tells the sums of a round apart by their order."""
        self._round, self._number = number, 0

    def sum(self, values: np.ndarray) -> np.ndarray:
        """In place."""
        return self._finish(*self._begin(values), values)

    def begin_sum(self, values: np.ndarray) -> Callable[[], np.ndarray]:
        """The sum is in an array of this communicator's, until the next one is made."""
        begun = self._begin(values)
        if self._total.size < values.size:
            self._total = np.empty(values.size, np.float32)
        return lambda: self._finish(*begun, self._total[: values.size])

    def _begin(self, values: np.ndarray) -> tuple[tuple[int, int], object]:
        key = (self._round, self._number)
        self._number += 1
        reference = self._ray.put(values)
        return key, self._hub.add.remote(key, self._rank, reference, [reference])

    def _finish(self, key: tuple[int, int], call: object, out: np.ndarray) -> np.ndarray:
        # What comes is in memory that all members of a computer share.
        found = self._ray.get(call)
        try:
            parts = self._ray.get(found)
        except self._ray.exceptions.ObjectLostError:
            parts = self._ray.get(self._ray.get(self._hub.total.remote(key)))
        return added(parts, out=out)

    def abort(self) -> bool:
        """A sum waits for the successor."""
        return False


class NcclCommunicator:
    """CuPy arrays on GPUs, added up by NCCL.

    The group is NCCL's unique id: with a new one the communicator is made anew, among members that all live.
    """

    overlaps = False

    def __init__(
        self, cupy: ModuleType, nccl: ModuleType, rank: int, members: int, stream: Callable[[], int]
    ) -> None:
        """nccl: ``cupy.cuda.nccl``; stream: gives the address of the CUDA stream to work on."""
        self.xp = cupy
        self._nccl, self._rank, self._members, self._stream = nccl, rank, members, stream
        self._group: object = None
        self._communicator: Any = None

    def begin_round(self, number: int, group: object) -> None:
        """Join the group, where it is a new one; waits until all members have. Raises GroupBroken."""
        if group is None:
            raise GroupBroken("there is none yet")
        if group == self._group:
            return
        if self._communicator is not None:
            self._communicator.abort()
        try:
            self._communicator = self._nccl.NcclCommunicator(self._members, group, self._rank)
        except self._nccl.NcclError as error:
            raise GroupBroken(str(error)) from error
        self._group = group

    def sum(self, values: Array) -> Array:
        """In place."""
        nccl = self._nccl
        try:
            self._communicator.allReduce(
                values.data.ptr, values.data.ptr, values.size, nccl.NCCL_FLOAT32, nccl.NCCL_SUM, self._stream()
            )
            self.xp.cuda.get_current_stream().synchronize()
            self._communicator.check_async_error()
        except nccl.NcclError as error:
            raise GroupBroken(str(error)) from error
        return values

    def abort(self) -> bool:
        """Every collective that waits returns with an error."""
        if self._communicator is not None:
            self._communicator.abort()
        return True
