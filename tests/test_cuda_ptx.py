"""Every numba-CUDA kernel compiled to PTX, with the types that the backend launches it with."""

import importlib
from pathlib import Path

import pytest
from cuda_compile import compile_numba, has_float64
from w2v.kernels import jit_cuda

FOLDER = Path(jit_cuda.__file__).parent
CAPABILITIES = [(7, 5), (8, 0), (9, 0)]

INTS, LONGS, KEYS = "int32[::1]", "int64[::1]", "uint64[::1]"
BYTES, WORDS, SUMS = "uint8[::1]", "uint32[::1]", "float64[::1]"
FLOATS, MATRIX, SCRATCH = "float32[::1]", "float32[:, ::1]", "float32[:, :, :, ::1]"
INT, KEY, FLAG = "int64", "uint64", "boolean"  # a Python int is 64 bits wide
SIDE = (INTS, LONGS, BYTES, INTS)  # kept, positions, starts, places

# The types of a kernel's arguments; whether it may compute in double precision.
SIGNATURES = {
    "pairs_cuda.count_contexts": ((WORDS, INT, LONGS), False),
    "pairs_cuda.emit_pairs": ((INTS, WORDS, INT, LONGS, LONGS, INTS, LONGS), False),
    "pairs_cuda.emit_bags": ((INTS, WORDS, LONGS, LONGS, INTS), False),
    "probe_cuda.triple": ((INTS,), False),
    "stream_cuda.begin_corpus": ((*SIDE, SUMS), True),
    "stream_cuda.clear_starts": ((BYTES,), False),
    "stream_cuda.count_kept": ((INTS, INT, WORDS, KEY, INTS, SUMS), True),
    "stream_cuda.start_segment": ((*SIDE, INT, *SIDE), False),
    "stream_cuda.place_tiles": ((INTS, INT, INT, FLAG, INTS), False),
    "stream_cuda.write_kept": ((INTS, INT, WORDS, KEY, INTS, INTS, LONGS, BYTES), False),
    "stream_cuda.cut_windows": ((*SIDE, INT, FLAG, FLAG, KEY, LONGS, WORDS, LONGS, SUMS), True),
    "stream_cuda.draw_noise": ((INTS, LONGS, INTS, KEYS, INT, INT, KEY, INTS), False),
    "stream_cuda.add_losses": ((FLOATS, INTS, INT, SUMS), True),
    "stream_cuda.fill_uniform": ((MATRIX, INT, "float64", KEY), True),
    "stream_cuda.find_unsound": ((MATRIX, INTS, INT), True),
    "rowwise_cuda.grow_scales": ((FLOATS, "float32", FLOATS), False),
    "rowwise_cuda.train_windows": (
        (INTS, WORDS, INTS, INT, MATRIX, MATRIX, FLOATS, FLOATS, INTS, LONGS, INT, INT, INT, FLAG, FLAG, FLAG, FLAG)
        + ("float32", "float32", SCRATCH, SCRATCH, FLOATS),
        False,
    ),
}


def kernels() -> dict[str, object]:
    """The kernels of every module of numba-CUDA kernels by module.name, device functions left out."""
    found = {}
    for path in sorted(FOLDER.glob("*_cuda.py")):
        for name, value in vars(importlib.import_module(f"w2v.kernels.{path.stem}")).items():
            is_own = getattr(getattr(value, "py_func", None), "__module__", "").endswith(f".{path.stem}")
            if is_own and not getattr(value, "targetoptions", {}).get("device"):
                found[f"{path.stem}.{name}"] = value
    return found


def ptx_of(name: str, cc: tuple[int, int]) -> str:
    return compile_numba(kernels()[name], f"void({', '.join(SIGNATURES[name][0])})", cc)


def test_every_kernel_is_compiled_here():
    assert kernels().keys() == SIGNATURES.keys()


@pytest.mark.parametrize("cc", CAPABILITIES, ids="{0[0]}.{0[1]}".format)
@pytest.mark.parametrize("name", SIGNATURES)
def test_kernels_compile_for_every_capability(name, cc):
    ptx = ptx_of(name, cc)
    assert f".target sm_{cc[0]}{cc[1]}" in ptx
    entry = ptx.split(".entry", 1)[1].split("(", 1)[0]
    assert name.split(".")[1] in entry
    # Sums over an epoch, and the widths of the initial vectors as the CPU computes them.
    assert has_float64(ptx) <= SIGNATURES[name][1]
