"""Kernels compiled for real devices without one: CUDA C++ by NVRTC, numba's kernels to PTX.

    window = compile_for(source, "sm_90", {"D": 128})["skipgram"]
    assert window.spill_bytes == window.stack_bytes == 0
    assert not has_float64(window.ptx)

What a kernel needs of a multiprocessor is read from the messages of ptxas, which NVRTC contains.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from unittest.mock import patch

from cuda_emulation import unavailable

ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_\w+'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")
FLOAT64 = re.compile(r"\.f64\b")
COMMENT = re.compile(r"//[^\n]*")


class CompileError(Exception):
    """NVRTC refuses the source; the message is its log."""


@dataclass(frozen=True)
class Compiled:
    """One kernel as compiled for one architecture.

    ptx and cubin are the whole module's. registers: of one thread; stack_bytes: local memory of one thread, spills
    included; spill_bytes: stores and loads of spilled registers, as instructions; shared_bytes: static, of a block.
    stack_bytes and spill_bytes include functions that were not inlined. log: all messages of NVRTC and ptxas.
    """

    ptx: str
    cubin: bytes
    registers: int
    stack_bytes: int
    spill_bytes: int
    shared_bytes: int
    log: str


def _nvrtc():
    try:
        from cuda.bindings import nvrtc
    except ImportError:
        unavailable("cuda.bindings.nvrtc (install w2v[test])")
    return nvrtc


def _call(function: Callable, *args: object) -> object:
    """What an NVRTC function returns besides its status; raises ``CompileError`` for a status that is an error."""
    status, *values = function(*args)
    if status != type(status).NVRTC_SUCCESS:
        raise CompileError(f"{function.__name__}: {status.name}")
    return values[0] if values else None


def supported_archs() -> list[str]:
    """The architectures that the installed NVRTC compiles for, ``sm_75`` and later."""
    return [f"sm_{number}" for number in _call(_nvrtc().nvrtcGetSupportedArchs)]


def compile_for(
    source: str, arch: str, defines: Mapping[str, object] | None = None, options: Sequence[str] = ()
) -> dict[str, Compiled]:
    """Compile CUDA C++ with NVRTC; returns the module's kernels by their (mangled) names.

    arch: such as ``sm_90``; defines: macros and their values; options: further ones of NVRTC's.
    Raises ``CompileError`` with the log where the source is refused.
    """
    nvrtc = _nvrtc()
    options = [f"--gpu-architecture={arch}", "--ptxas-options=-v", *options]
    options += [f"-D{name}={value}" for name, value in (defines or {}).items()]
    program = _call(nvrtc.nvrtcCreateProgram, source.encode(), b"kernel.cu", 0, [], [])
    try:
        status = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])[0]
        log = _read_text(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog)
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise CompileError(f"{status.name} for {arch}:\n{log}")
        ptx = _read_text(program, nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)
        cubin = _read(program, nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN)
    finally:
        _call(nvrtc.nvrtcDestroyProgram, program)
    return {name: Compiled(ptx, cubin, *needs, log) for name, needs in _needs(log).items()}


def _read(program: object, size: Callable, read: Callable) -> bytes:
    buffer = b" " * _call(size, program)  # which NVRTC writes into
    _call(read, program, buffer)
    return buffer


def _read_text(program: object, size: Callable, read: Callable) -> str:
    return _read(program, size, read).rstrip(b"\0").decode()


def _needs(log: str) -> dict[str, tuple[int, int, int, int]]:
    """Registers, stack bytes, spill bytes and shared bytes of every kernel that ptxas reports on."""
    _, *parts = ENTRY.split(log)
    needs = {}
    for name, messages in zip(parts[::2], parts[1::2], strict=True):
        stacks = [tuple(map(int, found)) for found in STACK.findall(messages)]
        registers, shared = REGISTERS.search(messages), SHARED.search(messages)
        if not stacks or not registers:
            raise CompileError(f"ptxas does not say what {name} needs:\n{log}")
        stack_bytes = sum(stack for stack, _, _ in stacks)
        spill_bytes = sum(stores + loads for _, stores, loads in stacks)
        needs[name] = (int(registers[1]), stack_bytes, spill_bytes, int(shared[1]) if shared else 0)
    return needs


def has_float64(ptx: str) -> bool:
    """Whether PTX has an instruction, register or parameter of double precision."""
    return bool(FLOAT64.search(COMMENT.sub("", ptx)))


def compile_numba(kernel: Callable, signature: object, cc: tuple[int, int]) -> str:
    """The PTX of a numba kernel, a function or what ``cuda.jit`` made of it; needs no driver.

    signature: such as ``"void(float32[:, ::1], int32[::1])"``; cc: compute capability, such as (7, 5).
    Raises numba's ``TypingError`` for what the simulator would have accepted.
    """
    try:
        from numba import cuda
    except ImportError:
        unavailable("numba.cuda (install w2v[test])")
    if cuda.compile_ptx is None:
        raise RuntimeError("numba's simulator is on, which cannot compile: unset NUMBA_ENABLE_CUDASIM")
    from numba.cuda import dispatcher

    # numba compiles the device functions that a kernel calls for the current device, of which there is none.
    device = SimpleNamespace(compute_capability=cc)
    with patch.object(dispatcher, "get_current_device", lambda: device):
        ptx, _ = cuda.compile_ptx(getattr(kernel, "py_func", kernel), signature, cc=cc)
    return ptx
