"""The part of CuPy that the block softmax uses, on NumPy arrays: its code runs, kernels included, without a GPU.

    with installed():                      # ``import cupy`` and cuBLAS are now these
        import cupy
        stream = cupy.cuda.Stream()
        with stream:
            cupy.asarray(values)

Stricter than CuPy where that shows mistakes: what the project does not use is not there; host arrays do not mix with
device arrays anywhere; indices have to be within bounds; memory that nobody has written holds rubbish; everything has
to happen on a stream. Raw kernels run in the emulator (``cuda_emulation.py``), which takes no argument of any other
type than the kernel declares.
"""

import ctypes
import operator
import re
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np
from cuda_emulation import build_all
from w2v.kernels import softmax

PAGE = 512  # bytes, of which pinned memory is a multiple
HANDLE = 0xB1A5
R_32F, R_16BF = 0, 14
TYPES = {R_32F: np.dtype(np.float32), R_16BF: np.dtype(np.uint16)}
COMPUTE_32F, GEMM_DEFAULT = 68, -1
NAMES = re.compile(r"__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(")
# What CuPy can add to atomically.
ATOMIC = ("int32", "uint32", "uint64", "float16", "float32", "float64")


class OutOfMemoryError(MemoryError):
    """As CuPy's."""


class CUBLASError(RuntimeError):
    """As CuPy's; the message says what cuBLAS does not."""


class _Machine:
    """The device. streams: the current one last; capacity: bytes that an allocation may have."""

    def __init__(self) -> None:
        self.streams: list[object] = []
        self.capacity: int | None = None
        self.memory: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()

    def work(self) -> None:
        """Called by everything that the device does."""
        if not self.streams:
            raise RuntimeError("work outside of any stream: it would not wait for what the stream does")

    def find(self, address: int) -> tuple[int, int]:
        """Begin and end of the allocation that an address is in."""
        for begin, owner in list(self.memory.items()):
            if begin <= address < begin + owner.nbytes:
                return begin, begin + owner.nbytes
        raise CUBLASError(f"{address:#x} is no device memory")


machine = _Machine()


# ---- Arrays. ----


def _wrap(values: np.ndarray | np.generic) -> "ndarray":
    """A device array over NumPy's memory."""
    machine.work()
    array = np.asarray(values)
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    if owner.nbytes:
        machine.memory[owner.ctypes.data] = owner
    made = object.__new__(ndarray)
    made._array = array
    return made


def _plain(value: object) -> object:
    """What NumPy computes with: of a device array its memory, of scalars themselves; nothing else."""
    if isinstance(value, ndarray):
        return value._array
    if isinstance(value, bool | int | float | np.generic):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def _device(value: object) -> np.ndarray:
    if not isinstance(value, ndarray):
        raise TypeError(f"only device arrays are supported, not {type(value)}")
    return value._array


def _index(key: object) -> object:
    """An index as NumPy takes it."""
    if isinstance(key, tuple):
        return tuple(map(_index, key))
    if key is None or isinstance(key, slice):
        return key
    if isinstance(key, ndarray):
        return key._array
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        return int(key)
    raise IndexError(f"the device is not indexed with {type(key)} here")


def _binary(function: Callable) -> tuple[Callable, Callable, Callable]:
    def forward(self: "ndarray", other: object) -> "ndarray":
        return _wrap(function(self._array, _plain(other)))

    def backward(self: "ndarray", other: object) -> "ndarray":
        return _wrap(function(_plain(other), self._array))

    def in_place(self: "ndarray", other: object) -> "ndarray":
        machine.work()
        function(self._array, _plain(other), out=self._array, casting="same_kind")
        return self

    return forward, backward, in_place


class ndarray:  # noqa: N801 - CuPy's name
    """A device array."""

    __slots__ = ("__weakref__", "_array")
    __array_ufunc__ = None  # NumPy's scalars leave operations to this class
    __hash__ = None
    __iter__ = None

    def __init__(self) -> None:
        raise TypeError("use empty")

    def __array__(self, *arguments: object, **options: object) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    shape = property(lambda self: self._array.shape)
    strides = property(lambda self: self._array.strides)
    dtype = property(lambda self: self._array.dtype)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    itemsize = property(lambda self: self._array.itemsize)
    nbytes = property(lambda self: self._array.nbytes)
    T = property(lambda self: _wrap(self._array.T))
    data = property(lambda self: MemoryPointer(self._array))

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, key: object) -> "ndarray":
        key = _index(key)
        return _wrap(self._array[(*(key if isinstance(key, tuple) else (key,)), ...)])

    def __setitem__(self, key: object, value: object) -> None:
        machine.work()
        self._array[_index(key)] = _plain(value)

    __add__, __radd__, __iadd__ = _binary(np.add)
    __sub__, __rsub__, __isub__ = _binary(np.subtract)
    __mul__, __rmul__, __imul__ = _binary(np.multiply)
    __truediv__, __rtruediv__, _ = _binary(np.true_divide)
    __floordiv__, _, _ = _binary(np.floor_divide)
    __matmul__, _, _ = _binary(np.matmul)
    __lt__, _, _ = _binary(np.less)
    __le__, _, _ = _binary(np.less_equal)
    __gt__, _, _ = _binary(np.greater)
    __ge__, _, _ = _binary(np.greater_equal)
    __eq__, _, _ = _binary(np.equal)
    __ne__, _, _ = _binary(np.not_equal)

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def get(self) -> np.ndarray:
        machine.work()
        return self._array.copy()

    def tolist(self) -> list:
        return self.get().tolist()

    def copy(self) -> "ndarray":
        return _wrap(self._array.copy())

    def astype(self, dtype: object) -> "ndarray":
        return _wrap(self._array.astype(dtype))

    def reshape(self, *shape: object) -> "ndarray":
        return _wrap(self._array.reshape(*shape))

    def sum(self, axis: int | None = None, dtype: object = None, *, keepdims: bool = False) -> "ndarray":
        return _wrap(self._array.sum(axis=axis, dtype=dtype, keepdims=keepdims))

    def mean(self, axis: int | None = None) -> "ndarray":
        return _wrap(self._array.mean(axis=axis))

    def max(self, axis: int | None = None, *, keepdims: bool = False) -> "ndarray":
        return _wrap(self._array.max(axis=axis, keepdims=keepdims))

    def min(self, axis: int | None = None, *, keepdims: bool = False) -> "ndarray":
        return _wrap(self._array.min(axis=axis, keepdims=keepdims))


class MemoryPointer:
    """Where an array begins."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    @property
    def ptr(self) -> int:
        return self._array.ctypes.data if self._array.nbytes else 0

    def copy_from_host_async(self, mem: int, size: int, stream: object = None) -> None:
        machine.work()
        if not (isinstance(mem, int) and isinstance(size, int)):
            raise TypeError(f"an address and a number of bytes, not {type(mem)} and {type(size)}")
        if not any(begin <= mem and mem + size <= end for begin, end in _pinned()):
            raise RuntimeError("a copy that does not wait needs pinned memory")
        if size > self._array.nbytes or not self._array.flags.c_contiguous:
            raise RuntimeError("the copy does not fit")
        ctypes.memmove(self.ptr, mem, size)


# ---- Functions. ----


class _Ufunc:
    """An element-wise function, which counts in its arguments; ``at`` where CuPy has it."""

    def __init__(self, function: np.ufunc) -> None:
        self._function = function

    def __call__(self, *values: object) -> object:
        if len(values) != self._function.nin:
            raise TypeError(f"{self._function.__name__} takes {self._function.nin} arguments here")
        found = self._function(*map(_plain, values))
        return tuple(map(_wrap, found)) if isinstance(found, tuple) else _wrap(found)

    def at(self, a: ndarray, indices: object, b: object) -> None:
        machine.work()
        if self._function not in (np.add, np.subtract) or a.dtype.name not in ATOMIC:
            raise TypeError(f"{self._function.__name__}.at of {a.dtype} is not supported")
        self._function.at(_device(a), _index(indices), np.asarray(_plain(b)).astype(a.dtype))


def empty(shape: object, dtype: object = float) -> ndarray:
    array = np.empty(shape, dtype)
    if machine.capacity is not None and array.nbytes > machine.capacity:
        raise OutOfMemoryError(f"Out of memory allocating {array.nbytes} bytes")
    array.fill(np.nan if array.dtype.kind == "f" else 0x7F)
    if array.dtype == np.uint16:
        array.fill(0x7FFF)  # NaN, as bfloat16
    return _wrap(array)


def zeros(shape: object, dtype: object = float) -> ndarray:
    made = empty(shape, dtype)
    made._array.fill(0)
    return made


def ones(shape: object, dtype: object = float) -> ndarray:
    made = empty(shape, dtype)
    made._array.fill(1)
    return made


def zeros_like(a: ndarray) -> ndarray:
    return zeros(_device(a).shape, a.dtype)


def arange(start: int, stop: int | None = None) -> ndarray:
    if not all(isinstance(value, int | np.integer | None) for value in (start, stop)):
        raise TypeError("arange takes numbers")
    return _wrap(np.arange(start, stop, dtype=np.int64) if stop is not None else np.arange(start, dtype=np.int64))


def asarray(a: object, dtype: object = None) -> ndarray:
    """A copy of what is on the host; of an array of numba's a view."""
    if isinstance(a, ndarray):
        return a if dtype is None or a.dtype == dtype else a.astype(dtype)
    if hasattr(type(a), "__cuda_ndarray__"):
        return _wrap(a._ary)
    if isinstance(a, list) and any(isinstance(value, ndarray | np.ndarray) for value in a):
        raise TypeError("a list of arrays")
    return _wrap(np.array(a, dtype))


def concatenate(tup: list[ndarray] | tuple[ndarray, ...]) -> ndarray:
    return _wrap(np.concatenate([_device(part) for part in tup]))


def sort(a: ndarray) -> ndarray:
    return _wrap(np.sort(_device(a), kind="stable"))


def argsort(a: ndarray, *, kind: str | None = None) -> ndarray:
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or stable")
    return _wrap(np.argsort(_device(a), kind="stable"))


def searchsorted(a: ndarray, v: ndarray, side: str = "left") -> ndarray:
    ordered = _device(a)
    if (ordered[1:] < ordered[:-1]).any():
        raise ValueError("not in order")
    return _wrap(np.searchsorted(ordered, _device(v), side))


def flatnonzero(a: ndarray) -> ndarray:
    return _wrap(np.flatnonzero(_device(a)))


def cumsum(a: ndarray) -> ndarray:
    return _wrap(np.cumsum(_device(a)))


def diff(a: ndarray) -> ndarray:
    return _wrap(np.diff(_device(a)))


def where(condition: ndarray, x: object, y: object) -> ndarray:
    return _wrap(np.where(_device(condition), _plain(x), _plain(y)))


def take(a: ndarray, indices: ndarray, axis: int | None = None) -> ndarray:
    return _wrap(np.take(_device(a), _device(indices), axis))


FUNCTIONS = (
    empty, zeros, ones, zeros_like, arange, asarray, concatenate, sort, argsort, searchsorted, flatnonzero, cumsum,
    diff, where, take,
)  # fmt: skip
UFUNCS = {
    name: _Ufunc(function)
    for name, function in {
        "add": np.add, "subtract": np.subtract, "maximum": np.maximum, "divmod": np.divmod, "sqrt": np.sqrt,
        "exp": np.exp, "log": np.log,
    }.items()
}  # fmt: skip


# ---- Kernels, streams and memory. ----


class RawModule:
    """CUDA C++, whose kernels the emulator compiles when the first is asked for."""

    def __init__(self, code: str, *, options: tuple[str, ...] = ()) -> None:
        if not isinstance(options, tuple):
            raise TypeError("options are a tuple")
        self._code = code

    def get_function(self, name: str) -> "RawKernel":
        return RawKernel(build_all(self._code, tuple(NAMES.findall(self._code)))[name])


class RawKernel:
    """A kernel: grid and block of one dimension; arguments are device arrays and NumPy's scalars."""

    def __init__(self, kernel: object) -> None:
        self._kernel = kernel

    def __call__(self, grid: tuple[int], block: tuple[int], args: tuple) -> None:
        machine.work()
        if not all(isinstance(part, tuple) and len(part) == 1 and type(part[0]) is int for part in (grid, block)):
            raise TypeError(f"grid {grid} and block {block}")
        if not (0 < grid[0] < 2**31 and 0 < block[0] <= 1024):
            raise RuntimeError(f"CUDA_ERROR_INVALID_VALUE: grid {grid}, block {block}")
        if len(args) != len(self._kernel.parameters):
            raise TypeError(f"{len(args)} arguments for {self._kernel.parameters}")
        pairs = zip(args, self._kernel.parameters, strict=True)
        self._kernel(grid[0], block[0], 0, *(_argument(value, kind) for value, kind in pairs))


def _argument(value: object, kind: str) -> object:
    """A null pointer comes as a number of its size; an empty array is one, too, for CuPy."""
    if isinstance(value, ndarray):
        return value._array
    if not isinstance(value, np.generic):
        raise TypeError(f"{type(value)} for {kind}: CuPy would make 64 bits of it")
    if not kind.endswith("*"):
        return value
    if value.dtype != np.uint64 or value != 0:
        raise TypeError(f"{value!r} is no null pointer")
    return None


class Stream:
    """A stream: what it is given is done at once."""

    def __enter__(self) -> "Stream":
        machine.streams.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        machine.streams.pop()

    @classmethod
    def from_external(cls, obj: object) -> "Stream":
        version, address = obj.__cuda_stream__()
        if version != 0 or not isinstance(address, int):
            raise TypeError("no stream")
        return cls()


class Event:
    """An event."""

    def __init__(self) -> None:
        self._is_recorded = False

    def record(self) -> None:
        machine.work()
        self._is_recorded = True

    def synchronize(self) -> None:
        if not self._is_recorded:
            raise RuntimeError("the event was never recorded: there is nothing to wait for")


class PinnedMemory(bytearray):
    """Memory of the host, as a buffer that is larger than was asked for."""


_pins: "weakref.WeakSet[_Pin]" = weakref.WeakSet()


class _Pin:
    """Where a piece of pinned memory lies."""

    def __init__(self, memory: PinnedMemory) -> None:
        begin = np.frombuffer(memory, np.uint8).ctypes.data
        self.span = begin, begin + len(memory)


def alloc_pinned_memory(size: int) -> PinnedMemory:
    memory = PinnedMemory(-(-size // PAGE) * PAGE)
    memory.pin = _Pin(memory)
    _pins.add(memory.pin)
    return memory


def _pinned() -> list[tuple[int, int]]:
    return [pin.span for pin in _pins]


class MemoryPool:
    """The pool."""

    def free_all_blocks(self) -> None:
        """Nothing is held."""


# ---- cuBLAS. ----


def gemmEx(  # noqa: N802 - cuBLAS's name
    handle: int, transa: int, transb: int, m: int, n: int, k: int,
    alpha: int, A: int, Atype: int, lda: int, B: int, Btype: int, ldb: int,  # noqa: N803
    beta: int, C: int, Ctype: int, ldc: int, computeType: int, algo: int,  # noqa: N803
) -> None:  # fmt: skip
    """C = alpha op(A) op(B) + beta C, column-major; sums in float32. alpha, beta: addresses on the host."""
    machine.work()
    numbers = (handle, transa, transb, m, n, k, alpha, A, Atype, lda, B, Btype, ldb, beta, C, Ctype, ldc, computeType)
    if not all(type(number) is int for number in (*numbers, algo)):
        raise TypeError("gemmEx takes Python's whole numbers here")
    if handle != HANDLE or computeType != COMPUTE_32F or algo != GEMM_DEFAULT or not {transa, transb} <= {0, 1}:
        raise CUBLASError("CUBLAS_STATUS_INVALID_VALUE")
    if Atype != Btype or (Ctype != Atype and Ctype != R_32F):
        raise CUBLASError("CUBLAS_STATUS_NOT_SUPPORTED")
    if min(m, n, k) < 1:
        raise CUBLASError("an empty product")
    a = _matrix(A, Atype, *((k, m) if transa else (m, k)), lda)
    b = _matrix(B, Btype, *((n, k) if transb else (k, n)), ldb)
    c = _matrix(C, Ctype, m, n, ldc)
    scale, keep = (ctypes.c_float.from_address(address).value for address in (alpha, beta))
    product = np.float32(scale) * (_widened(a.T if transa else a) @ _widened(b.T if transb else b))
    if keep:
        product += np.float32(keep) * _widened(c)
    c[:] = product if c.dtype == np.float32 else to_bfloat16(product)


def _matrix(address: int, kind: int, rows: int, columns: int, leading: int) -> np.ndarray:
    """A column-major matrix in device memory, (rows, columns)."""
    dtype = TYPES[kind]
    if leading < max(1, rows):
        raise CUBLASError(f"CUBLAS_STATUS_INVALID_VALUE: {leading} elements between columns of {rows}")
    count = (columns - 1) * leading + rows
    _, end = machine.find(address)
    if address % dtype.itemsize or address + count * dtype.itemsize > end:
        raise CUBLASError(f"{rows} × {columns} elements, {leading} apart, go past the end of their memory")
    memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
    flat = np.frombuffer(memory, dtype, count)
    strides = dtype.itemsize, leading * dtype.itemsize
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), strides, writeable=True)


def _widened(values: np.ndarray) -> np.ndarray:
    return values if values.dtype == np.float32 else from_bfloat16(values)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """The upper halves of float32, uint16, as float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """The nearest bfloat16, the even one of two, as uint16; NaN stays NaN."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), (bits >> 16) | 0x40, rounded).astype(np.uint16)


# ---- Modules. ----


def _module(name: str, **contents: object) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(contents)
    return module


def _modules() -> dict[str, ModuleType]:
    memory = _module("cupy.cuda.memory", OutOfMemoryError=OutOfMemoryError)
    device = _module("cupy.cuda.device", get_cublas_handle=lambda: HANDLE)
    pool = MemoryPool()
    cuda = _module(
        "cupy.cuda", Stream=Stream, Event=Event, alloc_pinned_memory=alloc_pinned_memory, memory=memory, device=device
    )
    cublas = _module("cupy_backends.cuda.libs.cublas", gemmEx=gemmEx)
    libs = _module("cupy_backends.cuda.libs", cublas=cublas)
    functions = {function.__name__: function for function in FUNCTIONS}
    cupy = _module(
        "cupy", **functions, **UFUNCS, ndarray=ndarray, RawModule=RawModule, cuda=cuda,
        get_default_memory_pool=lambda: pool,
    )  # fmt: skip
    backends = _module("cupy_backends", cuda=_module("cupy_backends.cuda", libs=libs))
    every = (cupy, cuda, memory, device, backends, backends.cuda, libs, cublas)
    return {module.__name__: module for module in every}


@contextmanager
def installed() -> Iterator[ModuleType]:
    """What ``import cupy`` finds inside is this. Kernels are loaded anew, inside and afterwards."""
    modules = _modules()
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    softmax.load.cache_clear()
    try:
        yield modules["cupy"]
    finally:
        softmax.load.cache_clear()
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class _Simulated:
    """Tells numba's simulator what a device array is."""

    @staticmethod
    def prepare_args(kind: object, value: object, **options: object) -> tuple[object, object]:
        from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

        return kind, FakeCUDAArray(value._array) if isinstance(value, ndarray) else value


@contextmanager
def taken_by(*kernels: object) -> Iterator[None]:
    """Inside, these numba kernels of ``kernels/`` take device arrays in numba's simulator."""
    lists = [operator.attrgetter("_dispatcher.extensions")(kernel) for kernel in kernels]
    for extensions in lists:
        extensions.append(_Simulated)
    try:
        yield
    finally:
        for extensions in lists:
            extensions.remove(_Simulated)
