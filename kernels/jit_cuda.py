"""How numba-CUDA kernels are compiled and launched.

Like those for the CPU (``jit.py``) they are cached on disk under a key that covers every kernel's source.
"""

import warnings
from collections.abc import Callable
from contextlib import suppress

from numba import config, cuda

from .jit import SOURCES


class kernel:  # noqa: N801 - a decorator
    """A numba-CUDA kernel: ``kernel[blocks, threads, stream](...)``. py_func: the function as it is written."""

    def __init__(self, function: Callable) -> None:
        """Compile nothing yet: numba does on the first launch for the types it meets; its simulator interprets."""
        self.py_func = function
        self._dispatcher = cuda.jit(function)
        if not config.ENABLE_CUDASIM:
            # Where no folder can be written (a read-only installation without a home), every run compiles anew.
            with suppress(RuntimeError):
                self._dispatcher._cache = _cache_of(function)

    def __getitem__(self, configuration: tuple) -> Callable:
        """What launches it with so many blocks of so many threads."""
        with warnings.catch_warnings():
            # numba warns of grids of few blocks: some work is for a single one.
            warnings.filterwarnings("ignore", "Grid size")
            return self._dispatcher[configuration]


def _cache_of(function: Callable) -> object:
    from numba.cuda.dispatcher import CUDACache

    class SourceCache(CUDACache):
        """numba-cuda's function cache, with the digest of the kernels' sources in its index."""

        def _index_key(self, sig: object, codegen: object) -> tuple:
            return (*super()._index_key(sig, codegen), SOURCES)

        def save_overload(self, sig: object, data: object) -> None:
            # A full disk is no reason to end a run: the next one compiles anew.
            with suppress(OSError):
                super().save_overload(sig, data)

    return SourceCache(function)
