"""``window.cu`` from the Python side: which instance suits a run, its source, and loading it.

The source is spliced (constants, ``warp.cuh``, ``window.cu``) and compiled by NVRTC through CuPy when it is first
loaded; CuPy keeps the compiled code on disk, under a key that covers the source, the device and the compiler.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

_FOLDER = Path(__file__).parent
NAME = "train_windows"

LANES = 32
# A row begins at a whole sector of memory, 32 bytes.
PITCH_MULTIPLE = 8
# Widest window and longest row that an instance is made for: spans have 8 bits a side, and past 8 float4 per lane the
# registers do not hold two contexts and a target.
MOST_WINDOW, MOST_SIZE = 127, 1024

# By float4 per lane (rows up to 128, 256, … 1024 floats): how many targets a group has at most so that everything
# stays in registers, as NVRTC 13 counts them (sm_75 to sm_90; tests/test_window_cu.py keeps watch), and how many
# warps a multiprocessor's registers then hold.
_SKIPGRAM_GROUP = (6, 6, 6, 4, 3, 2, 2, 1)
_IN_TURN_GROUP = (6, 6, 3, 2, 1, 1, 1, 1)
_CBOW_GROUP = (8, 8, 8, 8, 6, 5, 4, 3)
_WARPS = (16, 8, 8, 4, 4, 4, 4, 4)
_TREE_WARPS = (12, 8, 8, 4, 4, 4, 4, 4)
# Nodes of the Huffman tree that a block may hold: whole levels from the root down, in at most this share of memory.
_HOT_CHOICES = (31, 15, 7)
_HOT_SHARE = 1 / 3
_FEWEST_SHARING = 4
# How many of them a warp exchanges with global memory after each window, and the length of the list of their turns.
EXCHANGES, TURNS = 4, 1024
_RESERVED = 1024  # bytes of shared memory that the device keeps per block


@dataclass(frozen=True)
class Multiprocessor:
    """What a device has of what limits a launch. shared_per_block, shared_per_unit: bytes of shared memory."""

    count: int
    shared_per_block: int
    shared_per_unit: int


@dataclass(frozen=True)
class Window:
    """One instance of ``window.cu``.

    size: dimensions; window: contexts on either side; negative: noise words, 0 for Huffman paths; group: targets met
    at once; hot: nodes of the tree in shared memory; warps per block; blocks per multiprocessor. The flags are the
    macros of that file.
    """

    size: int
    window: int
    negative: int
    group: int
    cbow: bool = False
    cbow_sum: bool = False
    per_pair: bool = False
    in_turn: bool = False
    hot: int = 0
    warps: int = 1
    blocks: int = 1

    @property
    def pitch(self) -> int:
        """Floats from one row to the next."""
        return padded(self.size)

    @property
    def warp_bytes(self) -> int:
        """Shared memory of a warp: two rings, and two sets of steps."""
        steps = (8 if self.group > 4 else 4) * (1 if self.cbow or self.per_pair else 2)
        return 2 * 4 * ((2 * self.window + 1) * self.pitch + steps)

    @property
    def shared_bytes(self) -> int:
        """Dynamic shared memory of a block."""
        return 2 * self.hot * self.pitch * 4 + self.warps * self.warp_bytes

    @property
    def workers_per_unit(self) -> int:
        """Warps in flight on a multiprocessor."""
        return self.warps * self.blocks

    def source(self) -> str:
        """CUDA C++, complete."""
        constants = {
            "PITCH": self.pitch,
            "WINDOW": self.window,
            "NEGATIVE": self.negative,
            "GROUP": self.group,
            "CBOW": self.cbow,
            "CBOW_SUM": self.cbow_sum,
            "PER_PAIR": self.per_pair,
            "IN_TURN": self.in_turn,
            "HOT": self.hot,
            "EXCHANGES": EXCHANGES,
            "TURNS": TURNS,
            "WARPS": self.warps,
            "BLOCKS": self.blocks,
        }
        lines = [f"#define {name} {int(value)}\n" for name, value in constants.items()]
        return "".join(lines) + (_FOLDER / "warp.cuh").read_text("utf-8") + (_FOLDER / "window.cu").read_text("utf-8")

    def load(self) -> object:
        """The compiled kernel for the current device, a ``cupy.RawKernel`` ready to launch."""
        import cupy

        kernel = cupy.RawModule(code=self.source(), options=("--std=c++17",)).get_function(NAME)
        kernel.max_dynamic_shared_size_bytes = self.shared_bytes
        # All of it, or fewer blocks might fit: rows are read past the first-level cache that shares the memory.
        kernel.preferred_shared_memory_carveout = 100
        return kernel


def padded(size: int) -> int:
    """Floats from one row to the next for ``size`` dimensions."""
    return -(-size // PITCH_MULTIPLE) * PITCH_MULTIPLE


def group_size(size: int, targets: int, *, cbow: bool, in_turn: bool) -> int:
    """Targets met at once: as few groups as the registers allow, and those of about the same size.

    targets: K + 1 for noise, the longest path for a tree (whose groups are as large as they can be: paths differ).
    """
    targets = max(1, targets)  # the path of an only word is empty
    slices = min(len(_WARPS), -(-padded(size) // (4 * LANES)))
    most = (_CBOW_GROUP if cbow else _IN_TURN_GROUP if in_turn else _SKIPGRAM_GROUP)[slices - 1]
    groups = -(-targets // most)
    return min(most, targets) if in_turn else -(-targets // groups)


def plan(
    device: Multiprocessor,
    *,
    size: int,
    window: int,
    negative: int,
    group: int,
    rows: int,
    workers: int,
    cbow: bool = False,
    cbow_sum: bool = False,
    per_pair: bool = False,
    in_turn: bool = False,
) -> Window | None:
    """The instance that keeps most warps in flight, but no more than ``workers`` per multiprocessor and block.

    rows: of the output matrix. None where not even one warp's ring fits in shared memory, or the shape is beyond
    what the kernel is written for.
    """
    if size > MOST_SIZE or window > MOST_WINDOW:
        return None
    flags = {"cbow": cbow, "cbow_sum": cbow_sum, "per_pair": per_pair, "in_turn": in_turn and not cbow}
    one = Window(size, window, negative, group, **flags)
    slices = -(-one.pitch // (4 * LANES))
    most = (_TREE_WARPS if negative == 0 else _WARPS)[slices - 1]
    # Registers are dealt out by quarters of a multiprocessor: totals that are no multiple of 4 waste some.
    totals = [count for count in (16, 12, 8, 4, 3, 2, 1) if count <= min(most, max(1, workers))]
    for total in totals:
        # Hot rows are for warps that share them, all of a multiprocessor's then; others go in blocks of four.
        hot = _hot_rows(device, one, rows) if negative == 0 and total >= _FEWEST_SHARING else 0
        warps = total if hot else min(total, 4)
        blocks = total // warps
        block_bytes = 8 * hot * one.pitch + warps * one.warp_bytes
        if block_bytes <= device.shared_per_block and blocks * (block_bytes + _RESERVED) <= device.shared_per_unit:
            return Window(size, window, negative, group, **flags, hot=hot, warps=warps, blocks=blocks)
    return None


def _hot_rows(device: Multiprocessor, one: Window, rows: int) -> int:
    limit = min(_HOT_SHARE * device.shared_per_block, device.shared_per_block - one.warp_bytes)
    return next((count for count in _HOT_CHOICES if count < rows and 8 * count * one.pitch <= limit), 0)


def exchange_turns(weights: np.ndarray) -> np.ndarray:
    """Whose turn it is: TURNS numbers 0 … n − 1, int32, each about as often as its weight says and evenly spread.

    weights: (n,) float, positive, n at most TURNS.
    """
    times = np.maximum(1, np.round(TURNS * weights / weights.sum())).astype(np.int64)
    numbers = np.repeat(np.arange(weights.size), times)
    places = np.concatenate([(np.arange(count) + 0.5) / count for count in times])
    order = np.argsort(places, kind="stable")
    # Rounding makes the list a little longer or shorter than it is to be.
    return numbers[order][np.arange(TURNS) * order.size // TURNS].astype(np.int32)
