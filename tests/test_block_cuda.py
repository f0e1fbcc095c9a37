"""The block-softmax operations of a GPU on a machine without one: kernels emulated, CuPy and cuBLAS stood in for."""

import inspect

import block_device_cases
import cupy_on_cpu
import numpy as np
import pytest
from batch_cases import assert_batches_equal
from block_cases import (
    CASES,
    RATE,
    assert_moved_alike,
    make_batch,
    make_case,
    random_pairs,
    random_parameters,
    random_windows,
)
from block_device_cases import KINDS, PLENTY, assert_step, rounded
from cupy_on_cpu import from_bfloat16, machine, to_bfloat16

from w2v.backends.block_cuda_batches import _on_device
from w2v.backends.block_cuda_operations import UPLOADS, CudaOperations, _Products, _Uploads
from w2v.errors import DeviceError
from w2v.objectives.block_batch import collapse_pairs, collapse_windows, distinct_pairs
from w2v.objectives.block_reference import BlockReference

# Of the largest movement of each array, float32 against float64.
TOLERANCE = 2e-5
# Bytes that are free: for tiles of 11 rows of 64 logits and their gradients in float32.
SCARCE = 8 * 11 * 64 * 8


@pytest.fixture
def cupy():
    """The stand-in, as ``import cupy`` finds it."""
    with cupy_on_cpu.installed() as module:
        yield module


@pytest.fixture
def stream(cupy):
    """A current stream."""
    with cupy.cuda.Stream() as stream:
        yield stream


def backend_of(cupy, *arguments):
    """With a stream of its own; none is current, and the stand-in refuses to work outside of it."""
    return block_device_cases.backend_of(cupy, cupy.cuda.Stream(), *arguments)


def step(cupy, *arguments):
    """With a stream of its own."""
    return block_device_cases.step(cupy, cupy.cuda.Stream(), *arguments)


def assert_like_reference(objective, examples, kind, found):
    """That a step is the reference's."""
    assert_step(found, objective, examples, kind, tolerance=TOLERANCE)


def examples_of(config, count: int, seed: int = 0) -> list:
    """Random pairs, or windows."""
    rng = np.random.default_rng(seed)
    return (random_windows if config.model == "cbow" else random_pairs)(rng, 60, count)


# ---- Steps. ----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", ["skipgram", "cbow"])
@pytest.mark.parametrize("case", CASES)
def test_a_step_is_that_of_the_reference(cupy, case, model, kind):
    config, objective = make_case(case, model=model)
    examples = examples_of(config, 120)
    assert_like_reference(objective, examples, kind, step(cupy, objective, examples, kind))


# One dimension alone in bfloat16 errs by as much as it moves.
@pytest.mark.parametrize(("size", "kind"), [(size, kind) for size in (17, 100) for kind in KINDS] + [(1, "float32")])
@pytest.mark.parametrize("case", ["full", "class", "adaptive"])
def test_any_size(cupy, case, size, kind):
    config, objective = make_case(case, vector_size=size)
    examples = examples_of(config, 60)
    assert_like_reference(objective, examples, kind, step(cupy, objective, examples, kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{"output_bias": "none"}, {"model": "cbow", "cbow_sum": True}], ids=str)
def test_options(cupy, options, kind):
    for case in ("adaptive", "class"):
        config, objective = make_case(case, **options)
        examples = examples_of(config, 60, seed=2)
        assert_like_reference(objective, examples, kind, step(cupy, objective, examples, kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 10, 11, 12, 22, 23, 59])
def test_tiles_of_rows(cupy, rows, kind):
    """Tiles of 11 rows, or 16 with bfloat16; and those of the arrays."""
    _, objective = make_case("adaptive")
    examples = [([word], rank) for word in range(rows) for rank in (word % 60, (7 * word + 1) % 60)]
    found = step(cupy, objective, examples, kind, SCARCE)
    assert_like_reference(objective, examples, kind, found)
    whole = step(cupy, objective, examples, kind)
    assert found[0] == pytest.approx(whole[0], rel=1e-6)
    start = random_parameters(objective)
    assert_moved_alike(found[1], whole[1], start, 1e-5)


def test_tiles_are_as_many_as_the_memory_asks_for(cupy, stream):
    operations = CudaOperations(cupy, False, SCARCE, stream, 0)
    assert [operations._tile_rows(count, 64) for count in (1, 11, 12, 100)] == [1, 11, 11, 11]
    assert CudaOperations(cupy, True, SCARCE, stream, 0)._tile_rows(100, 64) == 14
    wide = CudaOperations(cupy, False, 8 * 1000 * 64 * 8, stream, 0)
    assert [wide._tile_rows(count, 64) for count in (1000, 1001, 2001, 2304)] == [1000, 512, 768, 768]
    assert CudaOperations(cupy, False, -1, stream, 0)._tile_rows(100, 64) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "examples",
    [
        [([5], 0)],  # one pair, of the head where that has a short-list
        [([5], 59)],  # one of the last cluster
        [([5], 59), ([5], 59), ([6], 59)],
        [([word], 12) for word in range(60)],  # one target: most clusters are empty
        [([3], rank) for rank in range(60)],  # one input
    ],
    ids=["first", "last", "twice", "one target", "one input"],
)
def test_batches_without_most_clusters(cupy, case, examples, kind):
    _, objective = make_case(case)
    assert_like_reference(objective, examples, kind, step(cupy, objective, examples, kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["full", "class", "adaptive"])
@pytest.mark.parametrize("free", [PLENTY, SCARCE])
def test_evaluation_changes_nothing(cupy, case, kind, free):
    _, objective = make_case(case)
    examples = random_pairs(np.random.default_rng(3), 60, 90)
    backend = backend_of(cupy, objective, kind, free)
    before = backend.parameters()
    with backend.operations.running():
        backend.model.evaluate(_on_device(cupy, make_batch(objective, examples)))
        loss = backend.operations.take_loss()
    exact, _ = BlockReference(objective, random_parameters(objective)).loss_and_gradients(examples)
    assert loss == pytest.approx(exact, rel=3e-3 if kind == "bfloat16" else 1e-5)
    for name, values in backend.parameters().items():
        np.testing.assert_array_equal(values, before[name])


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_several_steps_and_their_losses(cupy, kind):
    """Shadows follow their matrices; losses add up over steps, also where there is no room for all of them."""
    _, objective = make_case("adaptive")
    batches = [random_pairs(np.random.default_rng(seed), 60, 50) for seed in range(4)]
    reference = BlockReference(objective, random_parameters(objective))
    expected = [reference.step(examples, RATE) for examples in batches]
    backend = backend_of(cupy, objective, kind)
    with backend.operations.running():
        backend.operations._losses = cupy.empty(30, np.float32)
        for examples in batches[:3]:
            backend.model.train(_on_device(cupy, make_batch(objective, examples)), RATE)
        losses = [backend.operations.take_loss()]
        backend.model.train(_on_device(cupy, make_batch(objective, batches[3])), RATE)
        losses += [backend.operations.take_loss(), backend.operations.take_loss()]
    tolerance = 0.01 if kind == "bfloat16" else 1e-5
    np.testing.assert_allclose(losses, [sum(expected[:3]), expected[3], 0], rtol=tolerance)
    for rows in backend.model.named_rows().values():
        shadow = rows.shadow._array
        matrix = rows.matrix._array
        np.testing.assert_array_equal(shadow, to_bfloat16(matrix) if kind == "bfloat16" else matrix)
        assert not matrix[:, rows.size :].any()
    if kind == "float32":
        assert_moved_alike(backend.parameters(), reference.parameters, random_parameters(objective), 1e-4)


# ---- Parameters and uploads. ----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e16, -1e16])
def test_a_value_that_is_not_sound_is_found(cupy, kind, value):
    _, objective = make_case("adaptive", vector_size=17)
    backend = backend_of(cupy, objective, kind)
    assert backend.unsound_parameters() == []
    given = random_parameters(objective)
    given["tail_2_vectors"][-1, -1] = value
    backend.load_parameters(given)
    assert backend.unsound_parameters() == ["tail_2_vectors"]
    for name, values in backend.parameters().items():
        np.testing.assert_array_equal(values, given[name])


def test_uploads_arrive_however_many_there_are(cupy, stream):
    uploads, rng = _Uploads(cupy), np.random.default_rng(0)
    sent = []
    for number in range(2 * UPLOADS + 1):
        arrays = [rng.integers(0, 99, shape).astype(np.int32) for shape in ((number,), (0,), (3, 2), (number, 3))]
        sent.append((arrays, uploads.send(arrays)))
    for arrays, found in sent:
        for array, device in zip(arrays, found, strict=True):
            np.testing.assert_array_equal(device.get(), array)
    assert len(uploads._under_way) == UPLOADS
    (nothing,) = uploads.send([np.empty(0, np.int64)])
    assert nothing.shape == (0,)
    assert nothing.dtype == np.int64


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_products_are_row_major(cupy, stream, bfloat16, transpose_a, transpose_b):
    rng = np.random.default_rng(0)
    operand = np.uint16 if bfloat16 else np.float32
    for rows, columns, depth in ((3, 5, 7), (1, 1, 1), (4, 1, 2), (1, 6, 3)):
        shapes = (
            (depth, rows) if transpose_a else (rows, depth),
            (columns, depth) if transpose_b else (depth, columns),
        )
        wide = [cupy.empty((shape[0], shape[1] + 3), operand) for shape in shapes]  # rubbish between the rows
        factors = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
        for room, values in zip(wide, factors, strict=True):
            room[:, :-3] = cupy.asarray(to_bfloat16(values) if bfloat16 else values)
        a, b = (rounded(values) if bfloat16 else values for values in factors)
        expected = (a.T if transpose_a else a).astype(float) @ (b.T if transpose_b else b)
        out = cupy.empty((rows, columns + 2), np.float32)
        flags = {"transpose_a": transpose_a, "transpose_b": transpose_b}
        products = _Products(bfloat16)
        products.multiply(wide[0][:, :-3], wide[1][:, :-3], out[:, :columns], **flags)
        np.testing.assert_allclose(out[:, :columns].get(), expected, rtol=1e-5, atol=1e-5)
        assert np.isnan(out[:, columns:].get()).all()
        products.multiply(wide[0][:, :-3], wide[1][:, :-3], out[:, :columns], add=True, **flags)
        np.testing.assert_allclose(out[:, :columns].get(), 2 * expected, rtol=1e-5, atol=1e-5)
        narrow = cupy.empty((rows, columns), operand)
        products.multiply(wide[0][:, :-3], wide[1][:, :-3], narrow, **flags)
        found = from_bfloat16(narrow.get()) if bfloat16 else narrow.get()
        np.testing.assert_allclose(found, expected, rtol=4e-3 if bfloat16 else 1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("a", "b", "out"), [((2, 3), (4, 5), (2, 5)), ((2, 3), (3, 5), (2, 4)), ((0, 3), (3, 5), (0, 5))]
)
def test_products_of_shapes_that_do_not_fit_are_refused(cupy, stream, a, b, out):
    with pytest.raises(ValueError, match="product"):
        _Products(False).multiply(*(cupy.zeros(shape, np.float32) for shape in (a, b, out)))


def test_memory_that_does_not_suffice_is_reported(cupy):
    _, objective = make_case("full")
    backend = backend_of(cupy, objective, "float32")
    machine.capacity = 1000
    try:
        with pytest.raises(DeviceError, match="lower --vector-size"), backend.operations.running():
            backend.model.train(_on_device(cupy, make_batch(objective, [([1], 2)])), RATE)
    finally:
        machine.capacity = None


# ---- Batches, collapsed on the device. ----


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("pairs", [0, 1, 200])
def test_pairs_collapse_alike(cupy, stream, case, pairs):
    _, objective = make_case(case)
    rng, words = np.random.default_rng(pairs), 60
    batch = rng.choice([0, 2, 3], pairs)  # the second of four has no pairs
    keys = ((batch * words + rng.integers(0, words // 3, pairs)) * words + rng.integers(0, words, pairs)).astype(
        np.int64
    )
    found = collapse_pairs(cupy, objective.layout, *distinct_pairs(cupy, cupy.asarray(keys)), 4)
    every = collapse_pairs(np, objective.layout, *distinct_pairs(np, keys), 4)
    for number, (one, other) in enumerate(zip(found, every, strict=True)):
        assert_batches_equal(one, other)
        own = keys[keys // words**2 == number] - number * words**2
        assert_batches_equal(one, next(collapse_pairs(np, objective.layout, *distinct_pairs(np, own))))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("windows", [0, 1, 40])
def test_windows_collapse_alike(cupy, stream, case, windows):
    _, objective = make_case(case)
    rng = np.random.default_rng(windows)
    begins = np.concatenate([[0], np.cumsum(rng.integers(1, 6, windows))]).astype(np.int64)
    words, ranks = rng.integers(0, 20, begins[-1]).astype(np.int32), rng.integers(0, 60, windows).astype(np.int32)
    found = collapse_windows(cupy, objective.layout, *map(cupy.asarray, (begins, words, ranks)))
    assert_batches_equal(found, collapse_windows(np, objective.layout, begins, words, ranks))


# ---- The stand-in itself. ----


def test_the_stand_in_is_strict(cupy):
    host = np.ones(3, np.float32)
    with pytest.raises(RuntimeError, match="outside of any stream"):
        cupy.asarray(host)
    with cupy.cuda.Stream():
        device = cupy.asarray(host)
        for mix in (
            lambda: device + host, lambda: host * device, lambda: np.add(device, 1), lambda: np.asarray(device),
            lambda: cupy.searchsorted(device, host), lambda: cupy.concatenate([device, host]),
            lambda: device.__setitem__(slice(None), host), lambda: cupy.take(device, np.array([0]), axis=0),
        ):  # fmt: skip
            with pytest.raises(TypeError):
                mix()
        with pytest.raises(IndexError):
            device[np.array([0])]
        with pytest.raises(AttributeError):
            device.cumsum()
        with pytest.raises(AttributeError):
            cupy.einsum("ij->j", device)
        assert np.isnan(cupy.empty(2, np.float32).get()).all()
    with pytest.raises(RuntimeError, match="outside of any stream"):
        device.get()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lda": 2}, "between columns"),
        ({"C": 12}, "no device memory"),
        ({"k": 4}, "past the end"),
        ({"computeType": 0}, "INVALID_VALUE"),
        ({"Btype": 14}, "NOT_SUPPORTED"),
    ],
)
def test_the_stand_in_of_cublas_refuses_what_cublas_does(cupy, stream, change, message):
    from cupy_backends.cuda.libs import cublas

    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    a, b, c = (cupy.ones((3, 3), np.float32) for _ in range(3))
    arguments = {
        "handle": cupy_on_cpu.HANDLE, "transa": 0, "transb": 0, "m": 3, "n": 3, "k": 3, "alpha": one.ctypes.data,
        "A": a.data.ptr, "Atype": 0, "lda": 3, "B": b.data.ptr, "Btype": 0, "ldb": 3, "beta": zero.ctypes.data,
        "C": c.data.ptr, "Ctype": 0, "ldc": 3, "computeType": 68, "algo": -1,
    }  # fmt: skip
    cublas.gemmEx(**arguments)
    np.testing.assert_array_equal(c.get(), 3)
    with pytest.raises(cupy_on_cpu.CUBLASError, match=message):
        cublas.gemmEx(**{**arguments, **change})


def test_cupy_takes_what_the_stand_in_takes():
    """Names and parameters of functions that CuPy describes; its kernels' and cuBLAS's arguments, as documented."""
    real = pytest.importorskip("cupy")
    for function in cupy_on_cpu.FUNCTIONS:
        known = inspect.signature(getattr(real, function.__name__)).parameters
        own = inspect.signature(function).parameters
        assert set(own) <= set(known), function.__name__
        positional = [name for name, parameter in own.items() if parameter.kind is not parameter.KEYWORD_ONLY]
        assert list(known)[: len(positional)] == positional, function.__name__
    for name, ufunc in cupy_on_cpu.UFUNCS.items():
        assert (getattr(real, name).nin, getattr(real, name).nout) == (ufunc._function.nin, ufunc._function.nout)
    for name in vars(cupy_on_cpu.ndarray):
        assert hasattr(real.ndarray, name) or name.startswith("_"), name
    for name in ("Stream", "Event", "alloc_pinned_memory"):
        assert hasattr(real.cuda, name)
    assert "from_external" in dir(real.cuda.Stream)
    assert "copy_from_host_async(self, mem, size_t size" in real.cuda.MemoryPointer.copy_from_host_async.__doc__
    try:
        from cupy_backends.cuda.libs import cublas
    except ImportError as error:
        pytest.skip(f"cuBLAS is missing: {error}")
    declared = cublas.gemmEx.__doc__.split("(")[1].split(")")[0]
    assert [part.split()[-1] for part in declared.split(",")] == list(
        inspect.signature(cupy_on_cpu.gemmEx).parameters
    )
