"""Tests in numba's simulator, which is chosen before numba is imported: ``test_simulator.py`` runs them."""

import os
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

collect_ignore_glob = [] if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1" else ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def quick_switches() -> Iterator[None]:
    """The simulator asks its threads over and over whether they are done, and each time keeps them from working."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(scope="session", autouse=True)
def one_shared_array() -> Iterator[None]:
    """In the simulator two threads that ask for a shared array at the same time may get one each: here they wait."""
    from numba.cuda.simulator.kernelapi import FakeCUDAShared
    from numba.np.numpy_support import as_dtype

    lock = threading.Lock()

    def array(shared: FakeCUDAShared, shape: int, dtype: object) -> np.ndarray:
        caller = sys._getframe(1)
        place = caller.f_code, caller.f_lineno
        with lock:
            if place not in shared._allocations:
                shared._allocations[place] = np.empty(shape, as_dtype(dtype))
            return shared._allocations[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeCUDAShared, "array", array)
        yield
