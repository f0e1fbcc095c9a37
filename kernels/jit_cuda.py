"""How numba-CUDA kernels are compiled: cached under a key that covers every kernel's source, like ``jit.py``."""

from collections.abc import Callable
from contextlib import suppress

from numba import config, cuda

from .jit import SOURCES


def kernel(function: Callable) -> Callable:
    """Compile a kernel on first launch for the types it meets and cache the result; the simulator interprets it."""
    dispatcher = cuda.jit(function)
    if not config.ENABLE_CUDASIM:
        # Where no folder can be written (a read-only installation without a home), every run compiles anew.
        with suppress(RuntimeError):
            dispatcher._cache = _cache_of(function)
    return dispatcher


def _cache_of(function: Callable) -> object:
    from numba.cuda.dispatcher import CUDACache

    class SourceCache(CUDACache):
        """numba-cuda's function cache, with the digest of the kernels' sources in its index."""

        def _index_key(self, sig: object, codegen: object) -> tuple:
            return (*super()._index_key(sig, codegen), SOURCES)

    return SourceCache(function)
