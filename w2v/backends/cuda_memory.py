"""GPU memory that does not suffice, said in one line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from w2v.errors import DeviceError

# Left to the driver, to compiled code and to whoever else uses the device, in bytes.
RESERVE = 256 << 20
# What the CUDA runtime and the driver call it, in the messages of CuPy and of numba-cuda.
_SIGNS = ("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY")


def require_memory(needed: int, free: int, what_to_lower: str) -> None:
    """Raise DeviceError where ``needed`` bytes of GPU memory are more than are ``free``."""
    if needed > free:
        raise DeviceError(
            f"training needs {_gib(needed)} of GPU memory, and {_gib(free)} are free: "
            f"lower {what_to_lower}, or use --device cpu"
        )


@contextmanager
def out_of_memory_reported(needed: int, what_to_lower: str) -> Iterator[None]:
    """Turn an allocation on the GPU that fails inside into DeviceError. ``needed``: bytes in all, an estimate."""
    try:
        yield
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        raise DeviceError(
            f"the GPU is out of memory, and training needs about {_gib(needed)} of it: "
            f"lower {what_to_lower}, or use --device cpu"
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(error, cupy.cuda.memory.OutOfMemoryError):
        return True
    return any(sign in str(error) for sign in _SIGNS)


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
