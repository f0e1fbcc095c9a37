"""Which devices this machine has, and which one a run gets."""

import platform

from w2v.backends.cuda_driver import Driver, Gpu, look_at_driver
from w2v.backends.cuda_probe import package_versions, why_unusable
from w2v.cores import available_cores
from w2v.errors import DeviceError


def choose_device(asked: str) -> str:
    """``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``; raises DeviceError where it is not usable.

    ``auto`` trusts a GPU only after kernels ran on it.
    """
    if asked == "cpu":
        return "cpu"
    reason = why_unusable()
    if reason is None:
        return "cuda"
    if asked == "cuda":
        raise DeviceError(f"--device cuda: {reason}, or use --device cpu")
    return "cpu"


def auto_hint() -> str | None:
    """One line for who left the choice to ``auto``, where there is a GPU or its driver and neither can be used."""
    driver = look_at_driver()
    if driver is None or not (driver.gpus or driver.problem):
        return None
    reason = why_unusable()
    if reason is None:
        return None
    here = f"{driver.gpus[0].name} is here" if driver.gpus else "an NVIDIA driver is here"
    return f"training on the CPU: {here}, but {reason}, or silence this with --device cpu"


def describe_devices() -> list[dict[str, object]]:
    """One record per device: ``name`` (cpu or cuda), ``usable`` and a ``note`` for people."""
    from w2v.kernels.simd import LANES

    note = f"{processor_name()}, {available_cores()} cores, {32 * LANES}-bit vectors"
    return [{"name": "cpu", "usable": True, "note": note}, *_describe_gpus()]


def _describe_gpus() -> list[dict[str, object]]:
    driver, reason = look_at_driver(), why_unusable()
    if driver is None or not driver.gpus:
        return [{"name": "cuda", "usable": False, "note": reason}]
    state = package_versions() if reason is None else reason
    records: list[dict[str, object]] = [
        {"name": "cuda", "usable": reason is None, "note": f"{_describe_gpu(driver.gpus[0], driver)}; {state}"}
    ]
    for gpu in driver.gpus[1:]:
        note = f"{_describe_gpu(gpu, driver)}; only the first GPU is used: CUDA_VISIBLE_DEVICES chooses it"
        records.append({"name": "cuda", "usable": False, "note": note})
    return records


def _describe_gpu(gpu: Gpu, driver: Driver) -> str:
    major, minor = gpu.capability
    return (
        f"{gpu.name}, {gpu.memory / 2**30:.1f} GiB, compute capability {major}.{minor} "
        f"({'16-byte reductions' if gpu.vector_reductions else 'scalar atomics'}), "
        f"driver for CUDA {driver.version[0]}.{driver.version[1]}"
    )


def device_memory_in_use(device: str) -> int | None:
    """Bytes of the GPU's memory that are in use, by whomever; None for ``cpu``.

    Pools keep what they have had, so that the growth over a run is about its peak where nobody else uses the GPU.
    """
    if device == "cpu":
        return None
    from w2v.backends.cuda_current import used_memory

    return used_memory()


def processor_name() -> str:
    """The CPU's name, as far as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else (platform.processor() or platform.machine())
