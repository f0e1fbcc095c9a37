"""The machine that figures belong to."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from w2v import __version__
from w2v.backends.cuda_driver import look_at_driver
from w2v.backends.devices import processor_name
from w2v.cores import available_cores
from w2v.training.clock import peak_memory_bytes

#: Share of the cores that other programs may take. The load is that of the last minute: a command on one core that
#: ended just now, such as an earlier comparison, is no other program.
BUSY = 0.75
_ALWAYS = ("numpy", "numba")
_ON_A_GPU = ("cupy-cuda12x", "cupy-cuda13x", "numba-cuda")


def describe_machine(device: str, packages: Sequence[str] = ()) -> dict[str, object]:
    """The part "machine" of compare.json. device: ``cpu`` or ``cuda``; packages: others that take part."""
    driver = look_at_driver() if device == "cuda" else None
    return {
        "processor": processor_name(),
        "cores": available_cores(),
        "memory_bytes": _memory_bytes(),
        "system": platform.platform(),
        "device": device if driver is None or not driver.gpus else f"{device} ({driver.gpus[0].name})",
        "driver": _driver_version(),
        "versions": {
            "w2v": __version__,
            "python": platform.python_version(),
            **_versions((*_ALWAYS, *(_ON_A_GPU if device == "cuda" else ()), *packages)),
        },
    }


def peak_host_bytes() -> int | None:
    """The largest resident size of this process; None where the system keeps none.

    Linux hands ``ru_maxrss`` on from the process that started this one, however large that was.
    """
    try:
        for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    except OSError:  # not Linux
        return peak_memory_bytes()
    return peak_memory_bytes()


def busy_line() -> str | None:
    """A line where other programs take more than ``BUSY`` of the cores, before anything was begun here."""
    if not hasattr(os, "getloadavg"):  # Windows
        return None
    load, cores = os.getloadavg()[0], available_cores()
    if load <= BUSY * cores:
        return None
    return f"the machine is busy (load {load:.1f} on {cores} cores): times will be longer than they need be"


def _driver_version() -> str | None:
    """The NVIDIA driver's own number where the kernel module tells it, and the CUDA version that it runs."""
    driver = look_at_driver()
    if driver is None:
        return None
    cuda = "CUDA {}.{}".format(*driver.version)
    try:
        number = Path("/sys/module/nvidia/version").read_text("ascii").strip()
    except OSError:
        return cuda
    return f"{number} ({cuda})"


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # of CuPy only one is installed, under one of its names
            continue
    return found


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
