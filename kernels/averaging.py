"""``averaging.cu`` from the Python side: its source, loading it, and its launches.

    kernels = load()
    kernels["pack_changed_rows"](*launch(n), (values, pitch, reference, pitch, np.int64(n), np.int32(d), packed))

Arguments are device arrays and NumPy scalars of the declared types: int64 for pitches (floats from a row to the next)
and rows, int32 for columns. CUDA refuses empty grids.
"""

from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("averaging.cu")
OPTIONS = ("--std=c++17",)
NAMES = ("pack_changed_rows", "unpack_means")
LANES, WARPS = 32, 8


def source() -> str:
    """CUDA C++, complete."""
    return f"#define WARPS {WARPS}\n" + _FILE.read_text("utf-8")


@cache
def load() -> dict[str, object]:
    """The kernels by name, ``cupy.RawKernel`` each; compiled once per process and device, when first asked for."""
    import cupy

    module = cupy.RawModule(code=source(), options=OPTIONS)
    return {name: module.get_function(name) for name in NAMES}


def launch(rows: int) -> tuple[tuple[int], tuple[int]]:
    """Grid and block for ``rows`` rows, 1 or more."""
    return (-(-rows // WARPS),), (WARPS * LANES,)
