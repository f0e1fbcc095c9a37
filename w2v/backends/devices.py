"""Which devices this machine has, and which one a run gets."""

import platform

from w2v.cores import available_cores
from w2v.errors import DeviceError


def choose_device(asked: str) -> str:
    """The device for ``auto``, ``cpu`` or ``cuda``; raises DeviceError where it is not usable."""
    if asked == "cuda":
        raise DeviceError("this version trains on the CPU only: use --device cpu, or leave --device out")
    return "cpu"


def describe_devices() -> list[dict[str, object]]:
    """One record per device: ``name``, ``usable`` and a ``note`` for people."""
    from w2v.kernels.simd import LANES

    note = f"{_processor()}, {available_cores()} cores, {32 * LANES}-bit vectors"
    return [
        {"name": "cpu", "usable": True, "note": note},
        {"name": "cuda", "usable": False, "note": "this version trains on the CPU only"},
    ]


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else (platform.processor() or platform.machine())
