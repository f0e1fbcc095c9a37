"""``softmax.cu`` from the Python side: its source, loading it, its launches, and the lists that its tiles come from.

The kernels serve the block-softmax family: full, class-based and adaptive softmax (Grave et al. 2017). Each is
described where it is written.

    kernels = load(bfloat16=True)
    kernels["gather_rows"](*gather_launch(n), (matrix, pitch, width, rows, n, out, out_pitch))

One of the ``*_launch`` functions gives grid and block; CUDA refuses empty grids. Arguments are device arrays, or
``NULL`` where a kernel takes a null pointer, and NumPy scalars of the declared types, int32 and float32, not Python
numbers. None of the kernels has dynamic shared memory.
"""

from functools import cache
from pathlib import Path

import numpy as np

_FILE = Path(__file__).with_name("softmax.cu")
OPTIONS = ("--std=c++17",)
NAMES = (
    "gather_rows", "sum_rows", "adagrad_rows", "softmax_gradient",
    "grouped_logits", "grouped_softmax", "grouped_d_inputs", "grouped_d_outputs",
)  # fmt: skip
NULL = np.uint64(0)  # CuPy has no other way to pass it

LANES = 32
# Rows of parameter matrices and operands are padded with zeros to a multiple of this many elements.
PITCH_MULTIPLE = 8
GATHER_THREADS, GATHER_ROWS = 256, 32
# Rows with more summands than SUM_TOGETHER are summed by a block, not by a warp.
SUM_WARPS, SUM_TOGETHER = 16, 256
ADAGRAD_WARPS = 8
# Threads of softmax_gradient, at most, and how many columns each then has to read before there are twice as many.
SOFTMAX_THREADS, _FEWEST_SOFTMAX_THREADS, _SOFTMAX_COLUMNS = 512, 64, 16
GROUPED_WARPS = 8
# The grouped products are computed in squares of TILE × TILE.
TILE, TILE_THREADS = 64, 64

Launch = tuple[tuple[int], tuple[int]]


def source(bfloat16: bool) -> str:
    """CUDA C++, complete. bfloat16: the type of operands, float32 otherwise; it is cuBLAS that needs sm_80 for it."""
    constants = {
        "OPERAND_BF16": bfloat16,
        "GATHER_THREADS": GATHER_THREADS,
        "GATHER_ROWS": GATHER_ROWS,
        "SUM_WARPS": SUM_WARPS,
        "SUM_TOGETHER": SUM_TOGETHER,
        "ADAGRAD_WARPS": ADAGRAD_WARPS,
        "SOFTMAX_THREADS": SOFTMAX_THREADS,
        "GROUPED_WARPS": GROUPED_WARPS,
        "TILE": TILE,
        "TILE_THREADS": TILE_THREADS,
    }
    lines = [f"#define {name} {int(value)}\n" for name, value in constants.items()]
    return "".join(lines) + _FILE.read_text("utf-8")


@cache
def load(bfloat16: bool) -> dict[str, object]:
    """The kernels by name, ``cupy.RawKernel`` each; compiled once per process and device, when first asked for."""
    import cupy

    module = cupy.RawModule(code=source(bfloat16), options=OPTIONS)
    return {name: module.get_function(name) for name in NAMES}


def padded(size: int) -> int:
    """Elements from one row to the next for ``size`` columns."""
    return -(-size // PITCH_MULTIPLE) * PITCH_MULTIPLE


def gather_launch(rows: int) -> Launch:
    """Grid and block of ``gather_rows`` for ``rows`` rows."""
    return (-(-rows // GATHER_ROWS),), (GATHER_THREADS,)


def sum_launch(rows: int) -> Launch:
    """Grid and block of ``sum_rows`` for ``rows`` sums."""
    return (-(-rows // SUM_WARPS),), (SUM_WARPS * LANES,)


def adagrad_launch(rows: int) -> Launch:
    """Grid and block of ``adagrad_rows`` for ``rows`` rows of a gradient."""
    return (-(-rows // ADAGRAD_WARPS),), (ADAGRAD_WARPS * LANES,)


def softmax_launch(rows: int, columns: int) -> Launch:
    """Grid and block of ``softmax_gradient`` for a tile of logits."""
    threads = _FEWEST_SOFTMAX_THREADS
    while threads < SOFTMAX_THREADS and threads * _SOFTMAX_COLUMNS < columns:
        threads *= 2
    return (rows,), (threads,)


def grouped_softmax_launch(jobs: int) -> Launch:
    """Grid and block of ``grouped_softmax`` for ``jobs`` rows of logits."""
    return (-(-jobs // GROUPED_WARPS),), (GROUPED_WARPS * LANES,)


def tile_launch(tiles: int) -> Launch:
    """Grid and block of a grouped product for a list of ``tiles`` tiles."""
    return (tiles,), (TILE_THREADS,)


def logit_begins(row_begins: np.ndarray, word_begins: np.ndarray) -> np.ndarray:
    """Where the blocks of logits begin, (G + 1,) int64; the last is how many floats they are.

    row_begins, word_begins: (G + 1,), jobs and words of each group.
    """
    sizes = np.diff(row_begins).astype(np.int64) * np.diff(word_begins)
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def logit_tiles(row_begins: np.ndarray, word_begins: np.ndarray) -> np.ndarray:
    """Tiles of ``grouped_logits``: (tiles, 3) int32, group, tile of its jobs, tile of its words.

    row_begins, word_begins: (G + 1,), jobs and words of each group.
    """
    return _tiles(np.diff(row_begins), np.diff(word_begins))


def d_input_tiles(row_begins: np.ndarray, word_begins: np.ndarray, pitch: int) -> np.ndarray:
    """Tiles of ``grouped_d_inputs``: (tiles, 3) int32, group, tile of its jobs, tile of columns.

    Groups of most words come first: theirs take longest. pitch: of the inputs and outputs.
    """
    return _tiles(np.diff(row_begins), pitch, np.diff(word_begins))


def d_output_tiles(row_begins: np.ndarray, word_begins: np.ndarray, pitch: int) -> np.ndarray:
    """Tiles of ``grouped_d_outputs``: (tiles, 3) int32, group, tile of its words, tile of columns.

    Groups of most jobs come first: theirs take longest. Those without jobs have none: rows of their words are left as
    they are. pitch: of the inputs and outputs.
    """
    jobs = np.diff(row_begins)
    return _tiles(np.where(jobs > 0, np.diff(word_begins), 0), pitch, jobs)


def _tiles(rows: np.ndarray, columns: np.ndarray | int, depths: np.ndarray | None = None) -> np.ndarray:
    """All tiles of every group's rows × columns, row by row; groups of the largest depth first, if given."""
    down, across = -(-rows.astype(np.int64) // TILE), np.broadcast_to(-(-columns // TILE), rows.shape)
    order = np.arange(rows.size) if depths is None else np.argsort(-depths, kind="stable")
    counts = (down * across)[order]
    groups = np.repeat(order, counts)
    number = np.arange(groups.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.stack([groups, number // across[groups], number % across[groups]], axis=1).astype(np.int32)
