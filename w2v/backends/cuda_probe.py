"""Whether CUDA works here: what is installed is looked at, and then believed only once two tiny kernels ran.

A reason is one line, what is wrong and then what to do, that can be continued with ", or …".
"""

import os
import warnings
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from w2v.backends.cuda_driver import LIBRARY, Driver, look_at_driver

OLDEST_CAPABILITY = (7, 5)
# The wheels of CuPy that the extras of setup.py install, and the version of CUDA that each wants of the driver.
_WHEELS = {"cupy-cuda12x": 12, "cupy-cuda13x": 13}
_KERNELS = "w2v.kernels.probe_cuda"
_LONGEST = 200


@cache
def why_unusable() -> str | None:
    """Why the first GPU cannot be used, or None where it can. Asked once per process.

    CuPy and numba-cuda are imported only where the driver has a GPU that could do.
    """
    driver = look_at_driver()
    if driver is None:
        return f"no NVIDIA driver was found ({LIBRARY}): install one"
    return _why_not_gpu(driver) or _why_not_packages(driver) or _why_not_kernels(driver)


def package_versions() -> str:
    """``CuPy 14.2.0, numba-cuda 0.30.4``, where both are installed."""
    return f"CuPy {import_module('cupy').__version__}, numba-cuda {import_module('numba_cuda').__version__}"


def _why_not_gpu(driver: Driver) -> str | None:
    if driver.problem:
        return driver.problem
    if not driver.gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if visible is not None:
            return f"CUDA_VISIBLE_DEVICES={visible!r} leaves no GPU: unset it"
        return "the NVIDIA driver sees no GPU: give this machine or container one"
    gpu, driver_version = driver.gpus[0], _dotted(driver.version)
    if driver.version[0] < min(_WHEELS.values()):
        return f"the NVIDIA driver is too old, for CUDA {driver_version}: update it to one for CUDA 12 or newer"
    if gpu.capability < OLDEST_CAPABILITY:
        return (
            f"{gpu.name} is too old, of compute capability {_dotted(gpu.capability)}: "
            f"use a GPU of {_dotted(OLDEST_CAPABILITY)} or newer"
        )
    wheels = _installed_wheels()
    if wheels and driver.version[0] < min(_WHEELS[wheel] for wheel in wheels):
        return f"{wheels[0]} is too new for the NVIDIA driver, for CUDA {driver_version}: {_replace(driver)}"
    return None


def _why_not_packages(driver: Driver) -> str | None:
    for module, name in (("cupy", "CuPy"), ("numba_cuda", "numba-cuda"), (_KERNELS, "numba-cuda")):
        try:
            import_module(module)
        except Exception as error:  # a broken installation raises anything
            if isinstance(error, ModuleNotFoundError) and error.name == module:
                return f"{name} is not installed: {_install(driver)}"
            return f"{name} cannot be imported ({_first_line(error.__cause__ or error)}): {_replace(driver)}"
    # The simulator runs on arrays of CuPy as well, and gets the numbers right.
    if "simulator" in type(import_module(_KERNELS).triple).__module__:
        return "numba only simulates CUDA while NUMBA_ENABLE_CUDASIM is set: unset it"
    return None


def _why_not_kernels(driver: Driver) -> str | None:
    """Double an array by a kernel of CuPy, triple it by one of numba, and look at the numbers."""
    cupy, kernels = import_module("cupy"), import_module(_KERNELS)
    expected = np.arange(kernels.COUNT, dtype=np.int32)

    def by_cupy() -> None:
        cupy.RawKernel(kernels.RAW_SOURCE, kernels.RAW_NAME)((1,), (kernels.COUNT,), (values,))

    def by_numba() -> None:
        kernels.triple[1, kernels.COUNT](values)
        import_module("numba.cuda").synchronize()

    package = "CuPy"
    try:
        values = cupy.asarray(expected)
        for package, launch, factor in (("CuPy", by_cupy, 2), ("numba-cuda", by_numba, 3)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numba warns of so small a grid
                launch()
            expected = expected * factor
            if not np.array_equal(cupy.asnumpy(values), expected):
                return f"a test kernel of {package} computes nonsense: update the NVIDIA driver"
    except Exception as error:
        advice = f"check the GPU with nvidia-smi, update its driver, {_install(driver)}"
        if len(_installed_wheels()) > 1:
            advice = _replace(driver)
        return f"a test kernel of {package} fails ({_first_line(error)}): {advice}"
    return None


def _installed_wheels() -> list[str]:
    found = []
    for wheel in _WHEELS:
        try:
            version(wheel)
        except PackageNotFoundError:
            continue
        found.append(wheel)
    return found


def _install(driver: Driver) -> str:
    """The command that installs the newest extra that the driver can run."""
    return f"pip install 'w2v[cuda{min(driver.version[0], max(_WHEELS.values()))}]'"


def _replace(driver: Driver) -> str:
    """The commands that put it in the place of what there is: two wheels of CuPy break each other."""
    wheels = _installed_wheels()
    return f"pip uninstall -y {' '.join(wheels)} && {_install(driver)}" if wheels else _install(driver)


def _first_line(error: BaseException) -> str:
    """An error's name and the first line of its message, of those that say something."""
    lines = [line.strip() for line in str(error).splitlines() if any(map(str.isalnum, line))]
    # numba's begin with a line that ends in a colon.
    text = " ".join(lines[:2] if lines and lines[0].endswith(":") else lines[:1])
    return f"{type(error).__name__}: {text}"[:_LONGEST].rstrip(": ")


def _dotted(numbers: tuple[int, int]) -> str:
    return ".".join(map(str, numbers))
