"""Averaging of rows over the replicas that changed them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from w2v.distributed.communicators import Communicator
from w2v.kernels import averaging as device_averaging
from w2v.kernels.averaging_cpu import pack_changed_rows, unpack_late_means, unpack_means
from w2v.kernels.jit import read_only

Array = Any
# Of rows that are packed at once, so that no copy of a whole matrix is made: on a GPU, and on a CPU, whose caches
# they should not leave, nor the memory that was touched before.
BLOCK_BYTES, CPU_BLOCK_BYTES = 1 << 26, 1 << 24
_EMPTY = np.empty(0, np.float32)
_REHEARSED_BLOCKS = 4


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
        self._buffer: Array = None
        #: Blocks of the round that is going on which have their sums.
        self.blocks_done = 0
        self.reference = {name: array.copy() for name, array in self._parameters.items()}

    def compile(self, xp: Any) -> None:
        """What packs and unpacks, and the room for it. xp: the module of the arrays, numpy or cupy."""
        sizes = [array.size + len(array) for array in self._parameters.values()]
        self._room(xp, min(sum(sizes), _block_bytes(xp) // 2))
        for name, array in self._parameters.items():
            piece = _Piece(array, self.reference[name], slice(0, 1))
            room = self._room(xp, piece.size).reshape(piece.shape)
            piece.pack(xp, room)
            room[:] = 0
            piece.unpack(xp, room)
            if xp is np:
                piece.unpack_late(room, room)

    def rehearse(self, communicator: Communicator) -> None:
        """Hold rounds that change nothing, while the parameters of all replicas are equal.

        The first ones take much longer than others, for what has to be found, connected and touched.
        """
        room = _REHEARSED_BLOCKS * _block_bytes(communicator.xp) // len(self._parameters)
        rows = {name: min(len(array), room // max(1, array[:1].nbytes)) for name, array in self._parameters.items()}
        self.average(rows, communicator)
        if communicator.overlaps:
            self.begin(dict.fromkeys(rows, 1), communicator, _EMPTY)()

    def restart(self) -> None:
        """The parameters were set from outside, equal in all replicas: they are the reference."""
        with self.lock:
            for name, array in self._parameters.items():
                self.reference[name][:] = array

    def average(self, rows: Mapping[str, int], communicator: Communicator, note: np.ndarray = _EMPTY) -> np.ndarray:
        """Average the ``rows[name]`` most used rows of each array; returns the sum of the replicas' notes, float32.

        All of it is one array, the note at its end, of which there is one sum; or several, by the size of blocks.
        """
        xp = communicator.xp
        *before, last = self._blocks(rows, _block_bytes(xp))
        self.blocks_done = 0
        for block in before:
            self._average(block, communicator, xp.empty(0, np.float32))
        return _on_host(self._average(last, communicator, xp.asarray(note)))

    def begin(
        self, rows: Mapping[str, int], communicator: Communicator, note: np.ndarray
    ) -> Callable[[], np.ndarray]:
        """As ``average``, in two parts: the second one is what is returned; the rows may change before it is called.

        Where sums overlap, which they do on a CPU. Where it is more than one sum, everything is done at once.
        """
        blocks = self._blocks(rows, CPU_BLOCK_BYTES)
        if len(blocks) > 1:
            notes = self.average(rows, communicator, note)
            return lambda: notes
        self.blocks_done = 0
        pieces, packed = self._packed(np, blocks[0], note)
        finish = communicator.begin_sum(packed)

        def finished() -> np.ndarray:
            total = finish()
            with self.lock:
                for (piece, sums), (_, mine) in zip(_divided(pieces, total), _divided(pieces, packed), strict=True):
                    piece.unpack_late(sums, mine)
            return _on_host(total[packed.size - note.size :])

        return finished

    def _average(self, block: list[tuple[str, slice]], communicator: Communicator, note: Array) -> Array:
        xp = communicator.xp
        pieces, packed = self._packed(xp, block, note)
        total = communicator.sum(packed)
        with self.lock:
            for piece, sums in _divided(pieces, total):
                piece.unpack(xp, sums)
            self.blocks_done += 1
        return total[packed.size - note.size :]

    def _packed(self, xp: Any, block: list[tuple[str, slice]], note: Array) -> tuple[list[_Piece], Array]:
        pieces = [_Piece(self._parameters[name], self.reference[name], part) for name, part in block]
        size = sum(piece.size for piece in pieces)
        packed = self._room(xp, size + note.size)
        for piece, room in _divided(pieces, packed):
            piece.pack(xp, room)
        packed[size:] = note
        return pieces, packed

    def _blocks(self, rows: Mapping[str, int], limit: int) -> list[list[tuple[str, slice]]]:
        """What is summed at once: at least one block, of none where no row is asked for."""
        blocks: list[list[tuple[str, slice]]] = [[]]
        room = limit
        for name, array in self._parameters.items():
            each = max(1, array[:1].nbytes)
            begin = len(array) - rows[name] if name in self._hot_last else 0
            end = begin + rows[name]
            while begin < end:
                if room < each and blocks[-1]:
                    blocks.append([])
                    room = limit
                count = min(end - begin, max(1, room // each))
                blocks[-1].append((name, slice(begin, begin + count)))
                begin, room = begin + count, room - count * each
        return blocks

    def _room(self, xp: Any, size: int) -> Array:
        if self._buffer is None or self._buffer.size < size:
            self._buffer = xp.empty(size, np.float32)
        return self._buffer[:size]


class _Piece:
    """Rows of an array, as matrices."""

    def __init__(self, values: Array, reference: Array, part: slice) -> None:
        self._values, self._reference = _matrix(values[part]), _matrix(reference[part])
        self.shape = (len(self._values), self._values.shape[1] + 1)
        self.size = self.shape[0] * self.shape[1]

    def pack(self, xp: Any, packed: Array) -> None:
        """packed: (n, d + 1), rows that were changed and a 1 behind them; written."""
        if xp is np:
            pack_changed_rows(self._values, self._reference, packed)
        elif len(packed):
            values, reference = _with_pitch(self._values), _with_pitch(self._reference)
            self._launch("pack_changed_rows", *values, *reference, *self._extent, packed)

    def unpack(self, xp: Any, packed: Array) -> None:
        """packed: (n, d + 1), the sums."""
        if xp is np:
            unpack_means(read_only(packed), self._values, self._reference)
        elif len(packed):
            values, reference = _with_pitch(self._values), _with_pitch(self._reference)
            self._launch("unpack_means", packed, *self._extent, *values, *reference)

    def unpack_late(self, sums: np.ndarray, mine: np.ndarray) -> None:
        """sums, mine: (n, d + 1), of all and of this replica; on the CPU."""
        unpack_late_means(read_only(sums), read_only(mine), self._values, self._reference)

    @property
    def _extent(self) -> tuple[np.int64, np.int32]:
        return np.int64(self.shape[0]), np.int32(self.shape[1] - 1)

    def _launch(self, name: str, *arguments: object) -> None:
        device_averaging.load()[name](*device_averaging.launch(self.shape[0]), arguments)


def _block_bytes(xp: Any) -> int:
    return CPU_BLOCK_BYTES if xp is np else BLOCK_BYTES


def _divided(pieces: list[_Piece], packed: Array) -> Iterator[tuple[_Piece, Array]]:
    """Every piece with its part of a flat array, as a matrix."""
    begin = 0
    for piece in pieces:
        yield piece, packed[begin : begin + piece.size].reshape(piece.shape)
        begin += piece.size


def _with_pitch(matrix: Array) -> tuple[Array, np.int64]:
    """With the floats from one row to the next."""
    return matrix, np.int64(matrix.strides[0] // 4)


def _on_host(array: Array) -> np.ndarray:
    """A copy: what sums are in is used again."""
    return array.copy() if isinstance(array, np.ndarray) else array.get()


def _matrix(rows: Array) -> Array:
    return rows.reshape(len(rows), -1) if len(rows) else rows.reshape(0, int(np.prod(rows.shape[1:])))
