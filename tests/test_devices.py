"""Which device a run gets, and what is said where CUDA does not work: with a fake driver and fake packages."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from w2v.backends import auto_hint, choose_device, cuda_driver, cuda_probe, describe_devices
from w2v.backends.cuda_driver import Gpu, look_at_driver
from w2v.backends.cuda_memory import out_of_memory_reported, require_memory
from w2v.backends.cuda_probe import why_unusable
from w2v.cli import cli, main
from w2v.errors import DeviceError

H200 = ("NVIDIA H200", 150_000_000_000, (9, 0))
T4 = ("Tesla T4", 15_800_000_000, (7, 5))
P100 = ("Tesla P100", 17_000_000_000, (6, 0))
FAST = ["--vector-size", "16", "--epochs", "1", "--threads", "1", "--min-count", "1"]


class FakeDriver:
    """The functions of the driver's library; ``codes`` has the error codes of those that fail."""

    def __init__(self, *gpus, version=13000, **codes):
        self.gpus, self.version, self.codes = gpus, version, codes

    def _answer(self, function, pointer=None, value=None):
        code = self.codes.get(function, 0)
        if code == 0 and pointer is not None:
            pointer._obj.value = value
        return code

    def cuDriverGetVersion(self, version):
        return self._answer("cuDriverGetVersion", version, self.version)

    def cuInit(self, flags):
        assert flags == 0
        return self._answer("cuInit")

    def cuDeviceGetCount(self, count):
        return self._answer("cuDeviceGetCount", count, len(self.gpus))

    def cuDeviceGet(self, device, index):
        return self._answer("cuDeviceGet", device, 100 + index)  # a handle is no index

    def cuDeviceGetName(self, name, size, device):
        name.value = self._gpu(device)[0].encode()[: size - 1]
        return self._answer("cuDeviceGetName")

    def cuDeviceTotalMem_v2(self, memory, device):
        return self._answer("cuDeviceTotalMem_v2", memory, self._gpu(device)[1])

    def cuDeviceGetAttribute(self, value, attribute, device):
        return self._answer("cuDeviceGetAttribute", value, self._gpu(device)[2][{75: 0, 76: 1}[attribute]])

    def cuGetErrorString(self, code, text):
        return self._answer("cuGetErrorString", text, {3: b"initialization error"}.get(code))

    def _gpu(self, device):
        return self.gpus[device.value - 100]


@pytest.fixture
def machine(monkeypatch):
    """A function that gives this process another driver (None: none) and other wheels of CuPy."""

    def change(driver, wheels=()):
        look_at_driver.cache_clear()
        why_unusable.cache_clear()
        monkeypatch.setattr(cuda_driver, "_load", lambda: driver)
        monkeypatch.setattr(cuda_probe, "_installed_wheels", lambda: list(wheels))

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield change
    look_at_driver.cache_clear()
    why_unusable.cache_clear()


@pytest.fixture
def packages(monkeypatch):
    """A CuPy and a numba-cuda that run kernels on the CPU; a test can break them by their attributes."""

    class RawKernel:
        def __init__(self, source, name):
            assert f"void {name}(" in source

        def __call__(self, grid, block, arguments):
            found.launch(*arguments)

    class Kernel:
        def __getitem__(self, launch):
            return lambda values: found.triple(values)

    def launch(values):
        values *= 2

    def triple(values):
        values *= 3

    found = SimpleNamespace(launch=launch, triple=triple)
    found.cupy, found.numba_cuda = ModuleType("cupy"), ModuleType("numba_cuda")
    found.cupy.__version__, found.numba_cuda.__version__ = "14.2.0", "0.30.4"
    found.cupy.asarray, found.cupy.asnumpy, found.cupy.RawKernel = np.array, np.array, RawKernel
    kernels = ModuleType("probe_cuda")
    kernels.COUNT, kernels.RAW_NAME, kernels.RAW_SOURCE, kernels.triple = 32, "probe", "void probe(int*)", Kernel()
    numba = ModuleType("numba.cuda")
    numba.synchronize = lambda: None
    monkeypatch.setitem(sys.modules, "cupy", found.cupy)
    monkeypatch.setitem(sys.modules, "numba_cuda", found.numba_cuda)
    monkeypatch.setitem(sys.modules, "numba.cuda", numba)
    monkeypatch.setitem(sys.modules, "w2v.kernels.probe_cuda", kernels)
    return found


def refused():
    """What --device cuda says: one line, with what else one could do."""
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(DeviceError) as error:
        choose_device("cuda")
    message = str(error.value)
    assert message.startswith("--device cuda: ")
    assert message.endswith(", or use --device cpu")
    assert "\n" not in message
    return message


def test_what_the_driver_says(machine):
    machine(FakeDriver(H200, T4, version=12080))
    driver = look_at_driver()
    assert driver.version == (12, 8)
    assert driver.gpus == (Gpu(0, *H200), Gpu(1, *T4))
    assert [gpu.vector_reductions for gpu in driver.gpus] == [True, False]
    assert driver.problem is None


def test_the_driver_library_is_loaded_by_name(monkeypatch):
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libabsent-of-any-machine.so.1")
    look_at_driver.cache_clear()
    assert look_at_driver() is None
    look_at_driver.cache_clear()


def test_a_gpu_that_ran_both_kernels_is_usable(machine, packages):
    machine(FakeDriver(H200))
    assert why_unusable() is None
    assert choose_device("cuda") == choose_device("auto") == "cuda"
    assert choose_device("cpu") == "cpu"
    assert auto_hint() is None


def test_no_driver(machine):
    machine(None)
    assert "no NVIDIA driver was found" in refused()
    assert auto_hint() is None
    assert describe_devices()[1:] == [{"name": "cuda", "usable": False, "note": why_unusable()}]


def test_no_gpu(machine, monkeypatch):
    machine(FakeDriver(cuInit=100))
    assert "sees no GPU" in refused()
    assert auto_hint() is None
    machine(FakeDriver())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES='' leaves no GPU: unset it" in refused()
    assert auto_hint() is None


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({"cuInit": 803}, "of different versions: reboot"),
        ({"cuInit": 802}, "start nvidia-fabricmanager"),
        ({"cuInit": 804}, "LD_LIBRARY_PATH"),
        ({"cuDriverGetVersion": 34}, "the CUDA toolkit's stub"),
        ({"cuInit": 999}, "nvidia-uvm"),
        ({"cuInit": 3}, "fails in cuInit (error 3, initialization error)"),
        ({"cuInit": 54321}, "fails in cuInit (error 54321, unknown)"),
        ({"cuDeviceGetCount": 3}, "fails in cuDeviceGetCount"),
        ({"cuDeviceTotalMem_v2": 3}, "fails in cuDeviceTotalMem_v2"),
    ],
)
def test_a_driver_that_fails(machine, codes, expected):
    machine(FakeDriver(H200, **codes))
    assert expected in refused()
    assert auto_hint().startswith("training on the CPU: an NVIDIA driver is here, but ")
    assert describe_devices()[1:] == [{"name": "cuda", "usable": False, "note": why_unusable()}]


@pytest.mark.parametrize(
    ("version", "wheels", "expected"),
    [
        (11040, [], "too old, for CUDA 11.4: update it"),
        (11040, ["cupy-cuda12x"], "too old, for CUDA 11.4: update it"),
        (12040, ["cupy-cuda13x"], "pip uninstall -y cupy-cuda13x && pip install 'w2v[cuda12]'"),
        (12040, [], "CuPy is not installed: pip install 'w2v[cuda12]'"),
        (13000, [], "CuPy is not installed: pip install 'w2v[cuda13]'"),
        (14010, [], "CuPy is not installed: pip install 'w2v[cuda13]'"),
    ],
)
def test_the_extra_suits_the_driver(machine, monkeypatch, version, wheels, expected):
    monkeypatch.setitem(sys.modules, "cupy", None)
    machine(FakeDriver(H200, version=version), wheels)
    assert expected in refused()


@pytest.mark.parametrize("wheels", [["cupy-cuda12x"], ["cupy-cuda13x"], ["cupy-cuda12x", "cupy-cuda13x"]])
def test_a_newer_driver_runs_older_cupy(machine, packages, wheels):
    machine(FakeDriver(H200), wheels)
    assert why_unusable() is None


def test_only_extras_of_setup_py_are_named():
    setup = (Path(__file__).parent.parent / "setup.py").read_text(encoding="utf-8")
    extras = dict(re.findall(r'"cuda(\d+)": \["(cupy-cuda\d+x)\[', setup))
    assert {wheel: int(version) for version, wheel in extras.items()} == cuda_probe._WHEELS


def test_an_old_gpu(machine, packages):
    machine(FakeDriver(P100, version=12040))
    assert "Tesla P100 is too old, of compute capability 6.0: use a GPU of 7.5 or newer" in refused()
    machine(FakeDriver(T4))
    assert why_unusable() is None


def test_no_numba_cuda(machine, packages, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba_cuda", None)
    machine(FakeDriver(H200))
    assert "numba-cuda is not installed: pip install 'w2v[cuda13]'" in refused()


@pytest.mark.parametrize(
    ("wheels", "advice"),
    [
        (["cupy-cuda13x"], "pip uninstall -y cupy-cuda13x && pip install 'w2v[cuda13]'"),
        (
            ["cupy-cuda12x", "cupy-cuda13x"],
            "pip uninstall -y cupy-cuda12x cupy-cuda13x && pip install 'w2v[cuda13]'",
        ),
    ],
)
def test_broken_cupy(machine, monkeypatch, tmp_path, wheels, advice):
    (tmp_path / "cupy.py").write_text(
        "try:\n    raise ImportError('libcudart.so.13: no such file\\nsecond line')\n"
        "except ImportError as error:\n    raise ImportError('\\n=====\\nFailed to import CuPy.\\n') from error\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    machine(FakeDriver(H200), wheels)
    message = refused()
    assert "CuPy cannot be imported (ImportError: libcudart.so.13: no such file): " in message
    assert advice in message


def failing(message):
    def fail(values):
        raise RuntimeError(message)

    return fail


def test_a_kernel_that_fails(machine, packages):
    machine(FakeDriver(H200))
    packages.launch = failing("\n====\nno kernel image\nis available")
    assert "a test kernel of CuPy fails (RuntimeError: no kernel image): check the GPU with nvidia-smi" in refused()
    machine(FakeDriver(H200), ["cupy-cuda12x", "cupy-cuda13x"])
    assert "no kernel image): pip uninstall -y cupy-cuda12x cupy-cuda13x && " in refused()
    why_unusable.cache_clear()
    packages.launch, packages.triple = packages.cupy.asarray, failing("Error at driver init:\n\nno symbol\n")
    assert "a test kernel of CuPy computes nonsense" in refused()


def test_a_kernel_of_numba_that_fails(machine, packages):
    machine(FakeDriver(H200))
    packages.triple = failing("Error at driver init: \n\nno symbol cuInit\nhere")
    assert "a test kernel of numba-cuda fails (RuntimeError: Error at driver init: no symbol cuInit): " in refused()
    why_unusable.cache_clear()
    packages.triple = packages.cupy.asarray
    assert "a test kernel of numba-cuda computes nonsense" in refused()


def test_each_reason_is_found_once(machine, packages):
    machine(FakeDriver(H200))
    assert why_unusable() is None
    packages.launch = failing("later")
    assert why_unusable() is None


def python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_auto_imports_nothing_heavy_where_there_is_no_driver():
    code = """
import sys
from w2v.backends import auto_hint, choose_device, cuda_driver
cuda_driver._load = lambda: None
assert choose_device("auto") == "cpu" and auto_hint() is None
print(sorted({"cupy", "numba.cuda", "numba_cuda", "cuda"} & set(sys.modules)))
"""
    assert python(code) == "[]"


def test_the_simulator_is_no_gpu():
    pytest.importorskip("numba_cuda")
    code = """
import sys
from types import ModuleType
from w2v.backends import cuda_driver, cuda_probe
cuda_probe.look_at_driver = lambda: cuda_driver.Driver((13, 0), (cuda_driver.Gpu(0, "GPU", 2**30, (9, 0)),))
sys.modules["cupy"] = ModuleType("cupy")
print(cuda_probe.why_unusable())
"""
    assert python(code, NUMBA_ENABLE_CUDASIM="1") == (
        "numba only simulates CUDA while NUMBA_ENABLE_CUDASIM is set: unset it"
    )


def test_the_numba_kernel_in_the_simulator():
    pytest.importorskip("numba_cuda")
    code = """
import numpy as np
from w2v.kernels import probe_cuda
values = np.arange(probe_cuda.COUNT, dtype=np.int32)
probe_cuda.triple[1, probe_cuda.COUNT](values)
print((values == 3 * np.arange(probe_cuda.COUNT)).all())
"""
    assert python(code, NUMBA_ENABLE_CUDASIM="1") == "True"


def test_the_numba_kernel_compiles():
    pytest.importorskip("numba_cuda")
    code = """
from numba import cuda, int32
from w2v.kernels import probe_cuda
for capability in ((7, 5), (9, 0)):
    print(cuda.compile_ptx(probe_cuda.triple.py_func, (int32[::1],), cc=capability)[0].count(".visible .entry"))
"""
    assert python(code, NUMBA_ENABLE_CUDASIM="0").split() == ["1", "1"]


def test_the_raw_kernel_compiles():
    pytest.importorskip("cuda.bindings.nvrtc")
    code = """
from cuda.bindings import nvrtc
from w2v.kernels import probe_cuda
for architecture in (75, 90):
    error, program = nvrtc.nvrtcCreateProgram(probe_cuda.RAW_SOURCE.encode(), b"probe.cu", 0, [], [])
    print(int(error), int(nvrtc.nvrtcCompileProgram(program, 1, [b"--gpu-architecture=sm_%d" % architecture])[0]))
"""
    assert python(code, NUMBA_ENABLE_CUDASIM="0").split() == ["0"] * 4


def test_devices_are_described(machine, packages):
    machine(FakeDriver(H200, T4, version=13000))
    cpu, first, second = describe_devices()
    assert (cpu["name"], cpu["usable"]) == ("cpu", True)
    assert first == {
        "name": "cuda",
        "usable": True,
        "note": "NVIDIA H200, 139.7 GiB, compute capability 9.0 (16-byte reductions), driver for CUDA 13.0; "
        "CuPy 14.2.0, numba-cuda 0.30.4",
    }
    assert (second["name"], second["usable"]) == ("cuda", False)
    assert second["note"].startswith("Tesla T4, 14.7 GiB, compute capability 7.5 (scalar atomics), ")
    assert second["note"].endswith("only the first GPU is used: CUDA_VISIBLE_DEVICES chooses it")


def run(*arguments):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def test_info_shows_what_was_found(machine, packages, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba_cuda", None)
    machine(FakeDriver(H200))
    cpu, cuda = json.loads(run("info", "--device", "--json").stdout)
    assert cpu["device"] == "cpu"
    assert (cuda["device"], cuda["usable"]) == ("cuda", False)
    assert cuda["note"].startswith("NVIDIA H200, 139.7 GiB, ")
    assert cuda["note"].endswith("; numba-cuda is not installed: pip install 'w2v[cuda13]'")


def test_train_refuses_in_one_line(machine, text, tmp_path, capsys):
    machine(None)
    with pytest.raises(SystemExit) as code:
        main(["train", str(text), "-o", str(tmp_path / "model"), "--device", "cuda"])
    captured = capsys.readouterr()
    assert (code.value.code, captured.out) == (1, "")
    assert captured.err == f"w2v: --device cuda: {why_unusable()}, or use --device cpu\n"
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("arguments", "printed"), [([], True), (["--quiet"], False), (["--device", "cpu"], False)], ids=str
)
def test_train_says_that_a_gpu_lies_idle(machine, monkeypatch, text, tmp_path, arguments, printed):
    monkeypatch.setitem(sys.modules, "cupy", None)
    machine(FakeDriver(H200))
    result = run("train", text, "-o", tmp_path / "model", *FAST, "--sample", "0", *arguments)
    hint = (
        "training on the CPU: NVIDIA H200 is here, but CuPy is not installed: pip install 'w2v[cuda13]', "
        "or silence this with --device cpu"
    )
    assert (hint in result.stderr.splitlines()) == printed


def test_memory_is_required():
    require_memory(2**30, 2**30, "--vector-size")
    with pytest.raises(DeviceError) as error:
        require_memory(3 * 2**30, 2**30, "--vector-size")
    assert str(error.value) == (
        "training needs 3.0 GiB of GPU memory, and 1.0 GiB are free: lower --vector-size, or use --device cpu"
    )


@pytest.mark.parametrize(
    "message",
    [
        "cudaErrorMemoryAllocation: out of memory",
        "CUDA_ERROR_OUT_OF_MEMORY: out of memory",
        "[CUresult.CUDA_ERROR_OUT_OF_MEMORY] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY",
    ],
)
def test_failed_allocations_are_reported(message):
    expected = "about 5.0 GiB of it: lower --vector-size, or use --device cpu"
    with pytest.raises(DeviceError, match=expected), out_of_memory_reported(5 * 2**30, "--vector-size"):
        raise RuntimeError(message)


def test_cupy_out_of_memory_is_reported(monkeypatch):
    class OutOfMemoryError(MemoryError):
        pass

    cupy = SimpleNamespace(cuda=SimpleNamespace(memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError)))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with pytest.raises(DeviceError, match="the GPU is out of memory"), out_of_memory_reported(1, "--window"):
        raise OutOfMemoryError("Out of memory allocating 1,024 bytes")


def test_other_errors_pass(monkeypatch):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    with pytest.raises(MemoryError), out_of_memory_reported(1, "--window"):
        raise MemoryError
    assert "cupy" not in sys.modules


@pytest.mark.gpu
def test_the_probe_trusts_a_real_gpu(gpu):
    assert why_unusable() is None
    assert choose_device("auto") == "cuda"
    assert auto_hint() is None


@pytest.mark.gpu
def test_a_real_gpu_is_described(gpu):
    driver = look_at_driver()
    assert driver.version >= (12, 0)
    assert driver.gpus[0].memory > 2**30
    records = [record for record in describe_devices() if record["name"] == "cuda"]
    assert records[0]["usable"] is True
    assert driver.gpus[0].name in records[0]["note"]
    assert len(records) == len(driver.gpus)


@pytest.mark.gpu
def test_a_real_allocation_that_fails_is_reported(gpu):
    cupy = pytest.importorskip("cupy")
    with pytest.raises(DeviceError, match="lower --vector-size"), out_of_memory_reported(2**50, "--vector-size"):
        cupy.empty(2**50, cupy.uint8)
