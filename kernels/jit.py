"""How CPU kernels are compiled: without the GIL, and cached on disk under a key that covers every kernel's source.

numba's own cache looks at the file of the function alone: a change in ``simd.py`` would leave stale code behind in
the kernels built on it. Here the digest of all the sources is part of the key.
"""

import hashlib
from contextlib import suppress
from pathlib import Path

from numba import njit
from numba.core.caching import FunctionCache

SOURCES = hashlib.blake2b(
    b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))), digest_size=16
).hexdigest()


class _SourceCache(FunctionCache):
    """numba's function cache, with the digest of the kernels' sources in its index."""

    def _index_key(self, sig, codegen):
        return (*super()._index_key(sig, codegen), SOURCES)

    def save_overload(self, sig, data):
        # A full disk is no reason to end a run: the next one compiles anew.
        with suppress(OSError):
            super().save_overload(sig, data)


def kernel(function):
    """Compile a kernel on first call for the argument types it meets, release the GIL in it, cache the result."""
    dispatcher = njit(nogil=True)(function)
    # Where no folder can be written (a read-only installation without a home), the kernel is compiled in every run.
    with suppress(RuntimeError):
        dispatcher._cache = _SourceCache(function)
    return dispatcher
