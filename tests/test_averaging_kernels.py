"""Packing of changed rows and unpacking of their means: numba's loops and ``averaging.cu`` against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_compile import compile_for
from cuda_emulation import build_all
from w2v.kernels import averaging as device_averaging
from w2v.kernels.averaging_cpu import pack_changed_rows, unpack_late_means, unpack_means

from w2v.distributed import averaging
from w2v.distributed.averaging import RowAverager
from w2v.distributed.communicators import SingleCommunicator

SHAPES = [(1, 1), (7, 3), (40, 16), (33, 31), (64, 32), (50, 33), (9, 100), (12, 304)]


def packed_by_numpy(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    changed = (values != reference).any(axis=1)
    return np.column_stack([np.where(changed[:, None], values, 0), changed]).astype(np.float32)


def unpacked_by_numpy(packed: np.ndarray, values: np.ndarray) -> np.ndarray:
    members = packed[:, -1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(members > 0, packed[:, :-1] / members, values)


def emulated() -> dict[str, object]:
    """The kernels as CuPy would launch them, in the emulator."""
    kernels = build_all(device_averaging.source(), device_averaging.NAMES)

    def launched(kernel: object) -> object:
        return lambda grid, block, arguments: kernel(grid[0], block[0], 0, *arguments)

    return {name: launched(kernel) for name, kernel in kernels.items()}


class Cpu:
    """Rows whose ends are padded, as the CPU has them."""

    def arrays(self, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((rows, columns + 5), np.float32)[:, :columns], np.empty((rows, columns), np.float32)

    pack = staticmethod(pack_changed_rows)

    @staticmethod
    def unpack(packed: np.ndarray, values: np.ndarray, reference: np.ndarray) -> None:
        unpack_means(packed, values, reference)


class Gpu:
    """Whole rows, by the emulated kernels."""

    def arrays(self, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((rows, columns), np.float32), np.empty((rows, columns), np.float32)

    def pack(self, values: np.ndarray, reference: np.ndarray, packed: np.ndarray) -> None:
        rows, columns = values.shape
        pitch, extent = np.int64(columns), (np.int64(rows), np.int32(columns))
        kernel = emulated()["pack_changed_rows"]
        kernel(*device_averaging.launch(rows), (values, pitch, reference, pitch, *extent, packed))

    def unpack(self, packed: np.ndarray, values: np.ndarray, reference: np.ndarray) -> None:
        rows, columns = values.shape
        pitch, extent = np.int64(columns), (np.int64(rows), np.int32(columns))
        kernel = emulated()["unpack_means"]
        kernel(*device_averaging.launch(rows), (packed, *extent, values, pitch, reference, pitch))


@pytest.mark.parametrize("kernels", [Cpu(), Gpu()], ids=["numba", "cuda"])
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_rows_are_packed_and_unpacked(kernels, rows, columns):
    rng = np.random.default_rng(rows * columns)
    values, reference = kernels.arrays(rows, columns)
    reference[:] = rng.normal(size=reference.shape)
    values[:] = reference
    # In one place alone, which may be any; a zero that changes its sign has not changed.
    for row in range(0, rows, 3):
        values[row, rng.integers(columns)] += 1
    values[rows // 2, 0], values[rows - 1, -1], reference[rows // 3, 0] = np.nan, np.inf, 0.0
    values[rows // 3, 0] = -0.0
    packed = np.full((rows, columns + 1), 9, np.float32)
    kernels.pack(values, reference, packed)
    np.testing.assert_array_equal(packed, packed_by_numpy(values, reference))
    # As if up to three others had changed them too, by the same.
    members = rng.integers(1, 5, rows).astype(np.float32)
    packed *= members[:, None]
    packed[:, :-1] += rng.normal(size=(rows, columns)).astype(np.float32) * (packed[:, -1:] > 0)
    expected, untouched = unpacked_by_numpy(packed, values), packed[:, -1] == 0
    known = reference.copy()
    kernels.unpack(packed, values, reference)
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(reference[~untouched], expected[~untouched])
    np.testing.assert_array_equal(reference[untouched], known[untouched])


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_what_changed_since_packing_stays_on_top(rows, columns):
    rng = np.random.default_rng(rows + columns)
    reference = rng.normal(size=(rows, columns)).astype(np.float32)
    values = reference.copy()
    values[::2] += 1
    mine = packed_by_numpy(values, reference)
    sums = mine * 3
    sums[1::4] += 7  # changed by others alone
    before = values.copy()
    values[::3, -1] += 5
    changed, members, known = values != before, sums[:, -1:] > 0, reference.copy()
    unpack_late_means(sums, mine, values, reference)
    mean = unpacked_by_numpy(sums, before)
    np.testing.assert_array_equal(values[~changed], mean[~changed])
    np.testing.assert_array_equal(reference, np.where(members, mean, known))
    later = np.where(members & changed, mean + 5, values)
    np.testing.assert_allclose(values, later, rtol=1e-5)


def test_the_averager_launches_the_kernels_of_the_gpu(monkeypatch):
    """With NumPy in CuPy's place: the same bits as on the CPU, blocks and rows of one float among them."""

    class Likeness:
        asarray, empty = staticmethod(np.asarray), staticmethod(np.empty)

    class Tripling(SingleCommunicator):
        """Two others have changed the same rows by the same."""

        def __init__(self, xp: object) -> None:
            self.xp = xp

        def sum(self, values: np.ndarray) -> np.ndarray:
            values *= 3
            return values

    for name in ("BLOCK_BYTES", "CPU_BLOCK_BYTES"):
        monkeypatch.setattr(averaging, name, 700)
    monkeypatch.setattr(device_averaging, "load", emulated)
    monkeypatch.setattr(averaging, "_on_host", np.copy)
    rng = np.random.default_rng(8)
    start = {"matrix": rng.normal(size=(30, 11)), "sums": rng.random(17), "none": np.empty((0, 4))}
    start = {name: array.astype(np.float32) for name, array in start.items()}
    change = {name: rng.normal(size=array.shape).astype(np.float32) for name, array in start.items()}
    found = []
    for xp in (np, Likeness):
        parameters = {name: array.copy() for name, array in start.items()}
        averager = RowAverager(parameters, frozenset({"sums"}))
        for name, array in parameters.items():
            array[::2] += change[name][::2]
        note = averager.average({"matrix": 20, "sums": 9, "none": 0}, Tripling(xp), np.array([1, 2], np.float32))
        assert note.tolist() == [3, 6]
        found.append({**parameters, **{f"known {name}": array for name, array in averager.reference.items()}})
    assert (found[0]["matrix"] != start["matrix"]).any()
    for name, array in found[0].items():
        np.testing.assert_array_equal(array, found[1][name], err_msg=name)


@pytest.mark.parametrize("arch", ["sm_75", "sm_80", "sm_90"])
def test_nvrtc_compiles_the_kernels(arch):
    found = compile_for(device_averaging.source(), arch, options=(*device_averaging.OPTIONS, "-ftz=true"))
    assert set(found) == set(device_averaging.NAMES)
    for kernel in found.values():
        assert kernel.stack_bytes == kernel.spill_bytes == 0, kernel.log
        assert kernel.registers <= 64, kernel.log


def test_launches_cover_all_rows():
    for rows in (1, 7, 8, 9, 1 << 33):
        (grid,), (block,) = device_averaging.launch(rows)
        assert grid * block // device_averaging.LANES >= rows > (grid - 1) * block // device_averaging.LANES
