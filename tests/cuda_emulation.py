"""Kernels in CUDA C++, executed on the CPU: compiled by g++ against cuda_on_cpu.h and called with numpy arrays.

    run = build(Path("kernels/window.cu").read_text(), "skipgram", {"D": 128})
    run(grid, block, shared_bytes, ids, np.int64(len(ids)), rows, np.float32(0.025), seed=3, interleave=True)

Kernels' parameters are scalars and pointers to them, float2, float4 or uint2. What they need of an argument is read
from their declaration, so that a launch with another type than the kernel's is an error, as it would not be on a
device. ``None`` is a null pointer, of any type.
"""

import ctypes
import functools
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
COMPILE = [
    "g++", "-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing",
    "-fsanitize=alignment,bounds,shift-exponent", "-fno-sanitize-recover=all", f"-I{HERE}",
]  # fmt: skip
DYNAMIC_SHARED = re.compile(
    r"extern\s+__shared__\s+(?:(?:__align__|alignas)\s*\(\s*\d+\s*\)\s*)?([\w\s:]+?)\s*\b(\w+)\s*\[\s*\]\s*;"
)

SCALAR, CONST_ARRAY, ARRAY = range(3)  # cuda_on_cpu::Argument::Kind


class KernelError(Exception):
    """A kernel did what no kernel may do; the message says which thread, what, and where."""


class _Argument(ctypes.Structure):
    """``cuda_on_cpu::Argument``."""

    _fields_ = (("data", ctypes.c_void_p), ("bytes", ctypes.c_size_t), ("kind", ctypes.c_int))


def unavailable(what: str) -> None:
    """Skip the test that needs something this machine lacks; fail it in continuous integration (``CI`` is set)."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing: continuous integration must have it")
    pytest.skip(f"{what} is missing")


def build(source: str, kernel: str, defines: Mapping[str, object] | None = None) -> "Kernel":
    """Compile CUDA C++ and return one of its kernels; compiled once per process for the same arguments.

    kernel: its name in the source; defines: macros and their values. Raises ``KernelError`` with g++'s messages.
    """
    return build_all(source, (kernel,), defines)[kernel]


def build_all(
    source: str, kernels: tuple[str, ...], defines: Mapping[str, object] | None = None
) -> dict[str, "Kernel"]:
    """As ``build``, for several kernels of a source at the price of one; returns them by name."""
    if sys.platform != "linux" or not shutil.which("g++"):
        unavailable("g++ on Linux")
    return _build(source, kernels, tuple(sorted((name, str(value)) for name, value in (defines or {}).items())))


@functools.cache
def _build(source: str, kernels: tuple[str, ...], defines: tuple[tuple[str, str], ...]) -> dict[str, "Kernel"]:
    replacement = r"\1 *const \2 = static_cast<\1 *>(cuda_on_cpu::dynamic_shared());"
    unit = "\n".join([
        '#include "cuda_on_cpu.h"', '#line 1 "kernel.cu"', DYNAMIC_SHARED.sub(replacement, source),
        *(f"CUDA_ON_CPU_KERNEL({number}, {kernel})" for number, kernel in enumerate(kernels)), "",
    ])  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        compiled, library = Path(folder, "kernel.o"), Path(folder, "kernel.so")
        macros = [f"-D{name}={value}" for name, value in defines]
        _call_compiler([*COMPILE, *macros, "-x", "c++", "-", "-c", "-o", str(compiled)], unit)
        # Linked without -fsanitize, which would bring g++'s own reports instead of the header's.
        _call_compiler(["g++", "-shared", str(compiled), "-o", str(library)], "")
        loaded = ctypes.PyDLL(str(library))
    return {kernel: Kernel(kernel, loaded, number) for number, kernel in enumerate(kernels)}


def _call_compiler(command: list[str], text: str) -> None:
    done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise KernelError(done.stderr)


class Kernel:
    """A compiled kernel: call it to launch it.

    ``parameters`` names the numpy type of each of its parameters, such as ``int64``, ``float32*``, ``const int32*``.
    """

    def __init__(self, name: str, library: ctypes.PyDLL, number: int):
        self.name = name
        signature = library[f"cuda_on_cpu_signature_{number}"]
        signature.restype = ctypes.c_char_p
        self.parameters = [name for name in signature().decode().split(", ") if name]
        # PyDLL keeps the interpreter's lock during a call: the machine exists once per library.
        self._launch = library[f"cuda_on_cpu_launch_{number}"]
        self._launch.restype = ctypes.c_char_p
        self._launch.argtypes = [
            ctypes.c_uint, ctypes.c_uint, ctypes.c_size_t, ctypes.c_uint64, ctypes.c_bool, ctypes.c_double,
            ctypes.POINTER(_Argument), ctypes.c_size_t,
        ]  # fmt: skip

    def __call__(
        self,
        grid: int,
        block: int,
        shared_bytes: int,
        *args: np.ndarray | np.generic | None,
        seed: int = 0,
        interleave: bool = False,
        limit_s: float = 60,
    ) -> None:
        """Run the kernel on ``grid`` blocks of ``block`` threads; arrays are changed in place.

        args: C-contiguous arrays and numpy scalars of the declared types, ``None`` for a null pointer; the arrays are
        copied next to forbidden memory, and back. seed: decides the order of threads. interleave: blocks run at the
        same time instead of one after the other. limit_s: processor time, in seconds, after which a kernel counts as
        endless.
        Raises ``KernelError`` for the kernel's faults, and ``TypeError`` or ``ValueError`` for unfit arguments.
        """
        if len(args) != len(self.parameters):
            raise TypeError(f"{self.name} takes {len(self.parameters)} arguments, not {len(args)}")
        values = [_argument(i, *pair) for i, pair in enumerate(zip(args, self.parameters, strict=True))]
        structures = (_Argument * len(args))(*(structure for structure, _ in values))
        _refuse_overlap(args, structures)
        message = self._launch(grid, block, shared_bytes, seed, interleave, limit_s, structures, len(args))
        if message:
            raise KernelError(f"{self.name}: {message.decode()}")


def _refuse_overlap(args: tuple[np.ndarray | np.generic | None, ...], structures: Sequence[_Argument]) -> None:
    """Refuse an array that the kernel may write to and that shares memory with another."""
    arrays = [i for i, structure in enumerate(structures) if structure.kind != SCALAR]
    for i, j in itertools.combinations(arrays, 2):
        if ARRAY in (structures[i].kind, structures[j].kind) and np.may_share_memory(args[i], args[j]):
            raise ValueError(f"arguments {i} and {j} share memory: each would be a copy of its own")


def _argument(i: int, value: np.ndarray | np.generic | None, parameter: str) -> tuple[_Argument, np.ndarray | None]:
    """The structure for an argument, and the array that owns the memory which the structure points to."""
    is_array, is_const = parameter.endswith("*"), parameter.startswith("const ")
    if value is None and is_array:
        return _Argument(None, 0, SCALAR), None
    dtype = parameter.removeprefix("const ").removesuffix("*")
    if not isinstance(value, np.ndarray if is_array else np.generic) or value.dtype != dtype:
        given = f"{type(value).__name__} of {getattr(value, 'dtype', 'no numpy type')}"
        raise TypeError(f"argument {i} is a {given}, but the kernel declares {parameter}")
    if is_array and not (value.flags.c_contiguous and (is_const or value.flags.writeable)):
        raise ValueError(f"argument {i} must be C-contiguous and, unless the kernel declares it const, writeable")
    owner = np.asarray(value)
    kind = SCALAR if not is_array else CONST_ARRAY if is_const else ARRAY
    return _Argument(owner.ctypes.data, owner.nbytes, kind), owner
