"""What the NVIDIA driver says of itself and of its GPUs, asked through ctypes: no CUDA package takes part."""

import ctypes
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

from w2v.errors import DeviceError

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"

# Of the enumerations CUresult and CUdevice_attribute in cuda.h.
_NO_DEVICE = 100
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_PROBLEMS = {
    34: f"{LIBRARY} is the CUDA toolkit's stub: take its folder out of LD_LIBRARY_PATH",
    802: "the NVIDIA driver is not ready: start nvidia-fabricmanager",
    803: "the NVIDIA driver's library and its kernel module are of different versions: reboot",
    804: "the CUDA compatibility library does not suit this GPU: take its folder out of LD_LIBRARY_PATH",
    999: "the NVIDIA driver fails to start: load its kernel module nvidia-uvm or reboot",
}


@dataclass(frozen=True)
class Gpu:
    """A GPU as the driver counts them (CUDA_VISIBLE_DEVICES applied): memory in bytes, capability (major, minor)."""

    index: int
    name: str
    memory: int
    capability: tuple[int, int]

    @property
    def vector_reductions(self) -> bool:
        """Whether a thread can add 16 bytes to global memory at once (``atomicAdd`` on float4: from sm_90 on)."""
        return self.capability >= (9, 0)


@dataclass(frozen=True)
class Driver:
    """The newest CUDA version that the driver runs, (0, 0) where it does not say; its GPUs; why it does not work.

    Where ``problem`` is None and there are no GPUs, the driver works and sees none.
    """

    version: tuple[int, int]
    gpus: tuple[Gpu, ...] = ()
    problem: str | None = None


@cache
def look_at_driver() -> Driver | None:
    """The driver of this machine, or None where there is none. Asked once per process; makes no CUDA context."""
    library = _load()
    if library is None:
        return None
    version = (0, 0)
    try:
        number = ctypes.c_int()
        _call(library, "cuDriverGetVersion", ctypes.byref(number))
        version = (number.value // 1000, number.value % 1000 // 10)
        if _call(library, "cuInit", 0, accept=_NO_DEVICE) == _NO_DEVICE:
            return Driver(version)
        count = ctypes.c_int()
        _call(library, "cuDeviceGetCount", ctypes.byref(count))
        return Driver(version, tuple(_gpu(library, index) for index in range(count.value)))
    except DeviceError as error:
        return Driver(version, problem=str(error))


def _load() -> Any:
    """The driver's library, or None where it is not there."""
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError:
        return None


def _gpu(library: Any, index: int) -> Gpu:
    device, memory, major, minor = ctypes.c_int(), ctypes.c_size_t(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    _call(library, "cuDeviceGet", ctypes.byref(device), index)
    _call(library, "cuDeviceGetName", name, len(name), device)
    _call(library, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    for value, attribute in ((major, _CAPABILITY_MAJOR), (minor, _CAPABILITY_MINOR)):
        _call(library, "cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
    return Gpu(index, name.value.decode("utf-8", "replace"), memory.value, (major.value, minor.value))


def _call(library: Any, function: str, *arguments: object, accept: int = 0) -> int:
    """Call a function of the driver for its code, 0 or ``accept``; another one is a DeviceError that explains it."""
    code = getattr(library, function)(*arguments)
    if code in (0, accept):
        return code
    if code in _PROBLEMS:
        raise DeviceError(_PROBLEMS[code])
    text = ctypes.c_char_p()
    library.cuGetErrorString(code, ctypes.byref(text))
    meaning = (text.value or b"unknown").decode("utf-8", "replace")
    raise DeviceError(f"the NVIDIA driver fails in {function} (error {code}, {meaning}): update it or reboot")
