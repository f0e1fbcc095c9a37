"""How CPU kernels are compiled: without the GIL, and cached on disk under a key that covers every kernel's source.

numba's own cache looks at the file of the function alone: a change in ``simd.py`` would leave stale code behind in
the kernels built on it. Here the digest of all the sources is part of the key.
"""

import hashlib
import signal
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
from numba import njit
from numba.core import event
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


class _SignalsHeld(event.Listener):
    """While a kernel is compiled or loaded, what would interrupt waits.

    LLVM calls back into Python there, where an exception is printed and lost, and the kernel with it.
    """

    def __init__(self):
        self._depth = 0
        self._noted = []
        self._handlers = {}

    def on_start(self, event):
        if threading.current_thread() is not threading.main_thread():
            return
        self._depth += 1
        if self._depth == 1:
            self._noted = []
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if callable(handler):  # Python's own
                    self._handlers[number] = handler
                    signal.signal(number, self._note)

    def on_end(self, event):
        if threading.current_thread() is not threading.main_thread() or self._depth == 0:
            return
        self._depth -= 1
        if self._depth == 0:
            while self._handlers:
                signal.signal(*self._handlers.popitem())
            for number in self._noted:
                signal.raise_signal(number)

    def _note(self, number, frame):
        self._noted.append(number)


# The lock is held from the look into the cache to the last callback.
event.register("numba:compiler_lock", _SignalsHeld())


def kernel(function):
    """Compile a kernel on first call for the argument types it meets, release the GIL in it, cache the result."""
    dispatcher = njit(nogil=True)(function)
    # Where no folder can be written (a read-only installation without a home), the kernel is compiled in every run.
    with suppress(RuntimeError):
        dispatcher._cache = _SourceCache(function)
    return dispatcher


def read_only(array):
    """A view of a NumPy array: one type for numba, whether it is an array, a memory map or in shared memory."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view
