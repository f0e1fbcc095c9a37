"""The current device and its streams, as numba-cuda and CuPy share them."""

from contextlib import AbstractContextManager

from numba import config as numba_config
from numba import cuda


def current_device() -> tuple[str, tuple[int, int]]:
    """A name for people, and the compute capability; (0, 0) in the simulator."""
    if numba_config.ENABLE_CUDASIM:
        return "cuda (simulated)", (0, 0)
    device = cuda.get_current_device()
    name = device.name.decode() if isinstance(device.name, bytes) else device.name
    return f"cuda ({name})", tuple(device.compute_capability)


def free_memory() -> int:
    """Bytes that are free on the device."""
    context = cuda.current_context()
    if numba_config.ENABLE_CUDASIM:
        return 1 << 62
    context.memory_manager.deallocations.clear()  # numba keeps what is freed for a while
    return int(context.get_memory_info()[0])


def used_memory() -> int:
    """Bytes that are in use on the device; 0 in the simulator."""
    if numba_config.ENABLE_CUDASIM:
        return 0
    free = free_memory()
    return int(cuda.current_context().get_memory_info()[1]) - free


def cupy_stream(stream: object) -> AbstractContextManager:
    """A stream of numba's as CuPy knows it: a context in which CuPy works on it."""
    import cupy

    if hasattr(cupy.cuda.Stream, "from_external") and hasattr(stream, "__cuda_stream__"):
        # In place of what CuPy 14 deprecates.
        return cupy.cuda.Stream.from_external(stream)
    return cupy.cuda.ExternalStream(int(stream))
