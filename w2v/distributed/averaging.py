"""Averaging of rows over the replicas that changed them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from w2v.distributed.communicators import Communicator

Array = Any
# Rows that are packed at once, so that no copy of a whole matrix is made.
BLOCK_BYTES = 1 << 26


class RowAverager:
    """Brings the parameters of replicas together, row by row.

    A row becomes the mean of the values that it has with those replicas that changed it since its last round; the
    others have the value of that round still, and adopt the mean. Sums would apply every replica's step at once, and
    diverge on the rows that all of them use.

    ``reference`` has the values of every row's last round: the same in all replicas, but for rows that a round which
    is going on has reached in some of them; the ``lock`` keeps it still.
    """

    def __init__(self, parameters: Mapping[str, Array], hot_last: frozenset[str] = frozenset()) -> None:
        """parameters: (n, d) or (n,) float32 by name, on the device, written in place by ``average``; hot_last: names
        of those whose most used rows come last, not first."""  # fmt: skip
        # Nobody reads the reference while it changes.
        self.lock = threading.Lock()
        self._parameters = dict(parameters)
        self._hot_last = hot_last
        self.reference = {name: array.copy() for name, array in self._parameters.items()}

    def restart(self) -> None:
        """The parameters were set from outside, equal in all replicas: they are the reference."""
        with self.lock:
            for name, array in self._parameters.items():
                self.reference[name][:] = array

    def average(self, rows: Mapping[str, int], communicator: Communicator) -> None:
        """Average the ``rows[name]`` most used rows of each array."""
        for name, array in self._parameters.items():
            count = rows[name]
            first = len(array) - count if name in self._hot_last else 0
            step = max(1, BLOCK_BYTES // max(1, array[:1].nbytes))
            for begin in range(first, first + count, step):
                part = slice(begin, min(begin + step, first + count))
                self._average(array[part], self.reference[name][part], communicator)

    def _average(self, values: Array, reference: Array, communicator: Communicator) -> None:
        """values, reference: views, both set to the mean."""
        xp = communicator.xp
        wide = values.reshape(len(values), -1)
        known = reference.reshape(wide.shape)
        packed = xp.empty((len(wide), wide.shape[1] + 1), np.float32)
        packed[:, -1] = (wide != known).any(axis=1)
        xp.multiply(wide, packed[:, -1:], out=packed[:, :-1])
        packed = communicator.sum(packed)
        members = packed[:, -1:]
        mean = xp.where(members > 0, packed[:, :-1] / xp.maximum(members, 1), known)
        with self.lock:
            reference[:] = values[:] = mean.reshape(reference.shape)
