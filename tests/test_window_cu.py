"""``window.cu`` executed on the CPU against its rule in float64; its instances planned, and compiled by NVRTC."""

import dataclasses

import numpy as np
import pytest
from corpora import fibonacci_counts, zipf_counts
from cuda_compile import compile_for, has_float64
from device_cases import (
    Fenced,
    HotRowsReference,
    Places,
    Problem,
    launch,
)
from w2v.kernels.window import (
    LANES,
    MOST_SIZE,
    MOST_WINDOW,
    NAME,
    TURNS,
    Multiprocessor,
    exchange_turns,
    group_size,
    padded,
    plan,
)
from w2v.kernels.window import Window as Shape

from w2v.config import TrainConfig
from w2v.objectives import make_objective
from w2v.objectives.reference import Window, window_gradients_in_turn

ZIPF, TWO = zipf_counts(40), zipf_counts(2)
CHAIN = fibonacci_counts(40)  # paths of up to 39 nodes: more than a warp has lanes


def config(objective="ns", model="skipgram", size=20, window=3, negative=5, **others) -> TrainConfig:
    others = {"sample": 0.05, "seed": 3, **others}
    return TrainConfig(
        objective=objective, model=model, vector_size=size, window=window, negative=negative, **others
    )  # fmt: skip


# Some that several tests train.
NS = config(size=17, window=2, negative=7, shrink_windows=False)
PAIRS = config(size=33, window=2, negatives_per_pair=True)
HS = config("hs", size=100, window=5)
CBOW_HS = config("hs", "cbow", size=50, window=5)
WIDE = config(size=50, window=32, negative=64, shrink_windows=False)  # a ring of 65 slots
TWICE = config(size=17, window=2, negative=7, sample=0)  # of two words: nearly all noise is double, or the target
DEEP = config("hs", size=17, window=32)

# What is trained, counts of the vocabulary, hot rows, windows per chunk.
CASES = [
    (config(size=128, window=5), ZIPF, 0, 256),
    (config(size=1, window=1, negative=1), ZIPF, 0, 1),
    (NS, ZIPF, 0, 3),
    (config(size=33, window=20, negative=20), ZIPF, 0, 16),
    (WIDE, ZIPF, 0, 256),
    (config(size=200, window=5), ZIPF, 0, 16),
    (config(size=300, window=2), ZIPF, 0, 3),
    (config(size=1024, window=2), ZIPF, 0, 16),
    (TWICE, TWO, 0, 16),
    (PAIRS, ZIPF, 0, 3),
    (config(size=100, window=5, negative=64, negatives_per_pair=True), ZIPF, 0, 256),
    (config(model="cbow", size=50, window=5), ZIPF, 0, 16),
    (config(model="cbow", size=100, window=20, negative=20, cbow_sum=True), ZIPF, 0, 3),
    (config(model="cbow", size=300, window=1, negative=7, sample=0), TWO, 0, 256),
    (config("hs", size=128, window=5), ZIPF, 0, 256),
    (HS, ZIPF, 7, 16),
    (DEEP, CHAIN, 0, 256),
    (config("hs", size=300, window=2), ZIPF, 3, 3),
    (config("hs", size=768, window=1, shrink_windows=False), ZIPF, 0, 1),
    (config("hs", size=20, sample=0), TWO, 0, 16),
    (CBOW_HS, ZIPF, 0, 16),
    (config("hs", "cbow", size=128, window=2, cbow_sum=True), CHAIN, 7, 3),
]


def name_of(case: TrainConfig) -> str:
    flags = ["pairs"] * case.negatives_per_pair + ["sum"] * case.cbow_sum
    return "-".join(map(str, (case.objective, case.model, case.vector_size, case.window, case.negative, *flags)))


def seeds_of(problem: Problem, shape: Shape, seeds: range, **options):
    """What the emulator finds with these seeds: it gives every one its own order of threads."""
    return [launch(problem, shape, seed=seed, **options) for seed in seeds]


def assert_same_bits(found, other) -> None:
    for field in dataclasses.fields(found):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(other, field.name))


@pytest.mark.parametrize(
    ("case", "counts", "hot", "chunk"), CASES, ids=[f"{name_of(case)}-{counts.size}" for case, counts, *_ in CASES]
)
def test_one_warp_follows_the_reference(case, counts, hot, chunk):
    problem = Problem.drawn(case, counts)
    lengths = [window.left + window.right for window in problem.windows]
    assert len(lengths) > 50
    assert min(lengths) == 0, "no sentence of one word"
    shape = problem.shape(hot=hot)
    found, again = seeds_of(problem, shape, range(2), chunk=chunk)
    problem.assert_close(found, *problem.train_reference(chunk))
    assert_same_bits(found, again)


def test_the_cases_hold_what_they_are_for():
    twice = Problem.drawn(TWICE, TWO)
    noise = twice.stream(twice.everything)[3].reshape(-1, 1 + TWICE.negative)[:, 1:]
    assert any((rows < 0).any() and np.unique(rows).size < rows.size - 1 for rows in noise)
    deep = Problem.drawn(DEEP, CHAIN)
    assert max(deep.stream(deep.everything)[1] >> 16) > 32
    wide = Problem.drawn(WIDE, ZIPF)
    assert max(window.left + window.right for window in wide.windows) > 12


@pytest.mark.parametrize("chunk", [1, 3, 16, 256])
@pytest.mark.parametrize("case", [NS, PAIRS, CBOW_HS], ids=name_of)
def test_chunks_of_any_size(case, chunk):
    problem = Problem.drawn(case, ZIPF)
    problem.assert_close(launch(problem, problem.shape(), chunk=chunk), *problem.train_reference(chunk))


# First, last and limit; then single centres.
SEGMENTS = [(7, 40, 44), (0, 1, 1), (0, 5, 60), (33, 34, 35), (5, 5, 9), (0, 0, 0)]
SEGMENTS += [(place, place + 1, 60) for place in range(15, 50)]


@pytest.mark.parametrize("case", [NS, PAIRS, HS, CBOW_HS], ids=name_of)
def test_segments_with_a_halo_on_either_side(case):
    """Nothing outside a segment's places is read, and nothing but its centres is trained."""
    problem = Problem.drawn(case, ZIPF, longest=40)
    windows = problem.windows
    start = problem.matrices(padded(case.vector_size))[0]
    assert max(windows[first].right for first, last, _ in SEGMENTS if last - first == 1) == case.window
    for first, last, limit in SEGMENTS:
        problem.windows = end_at(windows, limit)
        found = launch(problem, problem.shape(), chunk=16, places=Places(first, last, limit))
        problem.assert_close(found, *problem.train_reference(16, Places(first, last, limit)))
        near = windows[max(0, first - case.window) : last + case.window]
        far = sorted(set(range(ZIPF.size)) - {window.word for window in near})
        assert far
        np.testing.assert_array_equal(found.inputs[far], start[far])


def end_at(windows: list[Window], limit: int) -> list[Window]:
    """The windows before a place, without their contexts from there on."""
    return [
        dataclasses.replace(window, right=min(window.right, limit - 1 - place))
        for place, window in enumerate(windows[:limit])
    ]


def fenced(case: TrainConfig, words: int, chunk: int, chunks: int) -> Problem:
    """Chunks that share no row: each is one sentence over words and targets of its own."""
    objective = Fenced(case, zipf_counts(words), chunks)
    rng = np.random.default_rng(4)
    ids = [np.append(number * words + rng.integers(0, words, chunk), -1) for number in range(chunks)]
    return Problem.of_ids(case, objective, np.concatenate(ids).astype(np.int32))


@pytest.mark.parametrize(
    "case",
    [
        config(size=33, window=3, sample=0),
        config("hs", size=50, window=3, sample=0),
        config("hs", "cbow", size=20, window=3, sample=0),
    ],
    ids=name_of,
)
def test_workers_that_share_no_row_do_not_disturb_each_other(case):
    chunk = 12
    problem = fenced(case, 9, chunk, 11)
    alone = launch(problem, problem.shape(), chunk=chunk)
    problem.assert_close(alone, *problem.train_reference(chunk))
    for warps, grid in ((1, 4), (3, 1), (3, 2)):
        for interleave in (False, True):
            found = launch(
                problem, problem.shape(warps=warps), chunk=chunk, grid=grid, seed=warps + grid, interleave=interleave
            )
            assert_same_bits(found, alone)


@pytest.mark.parametrize(
    ("case", "hot"),
    [
        (config(size=33), 0),
        (config(model="cbow", size=33), 0),
        (config(size=33, negatives_per_pair=True), 0),
        (config("hs", size=33), 0),
        (config("hs", size=33), 7),
        (config("hs", "cbow", size=33), 7),
    ],
    ids=lambda value: name_of(value) if isinstance(value, TrainConfig) else str(value),
)
def test_workers_in_flight_lose_nothing(case, hot):
    """Steps too small to matter to one another add up whatever their order; stale rows make no difference then."""
    problem = Problem.drawn(case, ZIPF, sentences=20)
    rates = 1e-4, 0.5e-4
    trainer, losses = problem.train_reference(4, rates=rates)
    shape = problem.shape(hot=hot, warps=3)
    for seed, found in enumerate(seeds_of(problem, shape, range(4), chunk=4, grid=2, rates=rates, interleave=True)):
        np.testing.assert_allclose(found.losses, losses, rtol=2e-3, atol=1e-3, err_msg=f"seed {seed}")
        size = case.vector_size
        for rows, exact, start in (
            (found.inputs[:, :size], trainer.input_vectors, problem.input_vectors),
            (found.outputs[:, :size], trainer.output_vectors, problem.output_vectors),
        ):
            moved = np.linalg.norm(exact - start, axis=1)
            assert (np.linalg.norm(rows - exact, axis=1) <= 0.02 * moved + 1e-6).all()


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
@pytest.mark.parametrize(("hot", "grid", "chunk"), [(7, 1, 16), (7, 3, 5), (31, 4, 16), (31, 40, 3)])
def test_hot_rows_are_exchanged_in_turn(model, hot, grid, chunk):
    """Blocks of one warp, one block after the other: the last cases end before every hot row had its turn."""
    problem = Problem.drawn(config("hs", model, size=20), ZIPF)
    scales = np.random.default_rng(5).uniform(0.3, 1, hot).astype(np.float32)
    found = launch(problem, problem.shape(hot=hot), chunk=chunk, grid=grid, exchange_scales=scales)
    reference = HotRowsReference(problem, chunk, scales.astype(np.float64))
    losses = reference.train_blocks(problem.windows, grid)
    problem.assert_close(found, reference, losses)


def test_hot_rows_by_hand():
    """Two windows of two words, a block each: the movement of a row goes out with the row's scale."""
    case = config("hs", size=5, window=1, sample=0)
    problem = Problem.of_ids(case, make_objective(case, zipf_counts(4)), np.array([1, 3, -1], np.int32))
    scales = np.array([0.25, 0.5, 0.75], np.float32)
    found = launch(problem, problem.shape(hot=3), chunk=1, grid=2, exchange_scales=scales, rates=(0.1, 0.1))
    inputs, outputs = problem.input_vectors.astype(np.float64), problem.output_vectors.astype(np.float64)
    losses = []
    for word, context in ((1, 3), (3, 1)):
        rows, signs = problem.objective.listed_targets(word)
        loss, d_inputs, d_outputs = window_gradients_in_turn(inputs[[context]], outputs[rows], signs, 0.1)
        inputs[context] -= 0.1 * problem.input_scales[context] * d_inputs[0]
        outputs[rows] -= 0.1 * (scales * problem.output_scales)[rows, None] * d_outputs
        losses.append(loss)
    np.testing.assert_allclose(found.inputs[:, :5], inputs, atol=1e-6)
    np.testing.assert_allclose(found.outputs[:, :5], outputs, atol=1e-6)
    np.testing.assert_allclose(found.losses, losses, rtol=1e-5)
    assert np.abs(outputs - problem.output_vectors).max() > 1e-3


@pytest.mark.parametrize("case", [config(), config("hs", "cbow")], ids=name_of)
def test_words_without_contexts_change_nothing(case):
    problem = Problem.drawn(case, ZIPF, longest=1)
    found = launch(problem, problem.shape(), chunk=3, grid=2)
    inputs, outputs = problem.matrices(padded(case.vector_size))
    np.testing.assert_array_equal(found.inputs, inputs)
    np.testing.assert_array_equal(found.outputs, outputs)
    assert not found.losses.any()


def test_a_vocabulary_of_one_word():
    """Every noise word is the target; the tree has no inner node."""
    for case in (config(size=17, window=2, negative=7, sample=0), config("hs", size=20, sample=0)):
        problem = Problem.drawn(case, np.array([9]))
        found = launch(problem, problem.shape(), chunk=16)
        problem.assert_close(found, *problem.train_reference(16))


H200 = Multiprocessor(132, 232448, 233472)
DEVICES = {
    "sm_75": Multiprocessor(40, 65536, 65536),
    "sm_80": Multiprocessor(108, 166912, 167936),
    "sm_90": H200,
    "sm_100": Multiprocessor(148, 232448, 233472),
}
KINDS = {
    "ns": {"negative": 5},
    "ns, many": {"negative": 17},
    "pairs": {"negative": 5, "per_pair": True},
    "cbow": {"negative": 7, "cbow": True},
    "hs": {"negative": 0, "in_turn": True},
    "cbow hs": {"negative": 0, "cbow": True},
}
DEFAULT_SIZES, OTHER_SIZES = (50, 100, 128, 200, 300), (512, 768, 1000, 1024)
# Huffman paths of a vocabulary of ROWS words have up to LONGEST nodes, or more.
ROWS, LONGEST = 70_000, 24
# Bytes of local memory per thread, as NVRTC 13.4 and 13.5 have them, of the instances that do not stay in registers:
# by device, size, kind and window. Narrow windows leave room for hot rows, which take registers.
STACK_BYTES = {
    ("sm_75", 300, "ns, many", 5): 8,
    ("sm_90", 512, "cbow hs", 2): 24,
    ("sm_90", 1000, "cbow hs", 5): 16,
}
SLACK = 16  # for other versions of NVRTC, where there is any


def planned(device: Multiprocessor, size: int, kind: str, window: int = 5, workers: int = 1024) -> Shape | None:
    options = {"cbow": False, "per_pair": False, "in_turn": False, **KINDS[kind]}
    targets = options["negative"] + 1 if options["negative"] else LONGEST
    group = group_size(size, targets, cbow=options["cbow"], in_turn=options["in_turn"])
    return plan(device, size=size, window=window, group=group, rows=ROWS, workers=workers, **options)


@pytest.mark.parametrize(
    ("arch", "size"),
    [("sm_90", size) for size in (*DEFAULT_SIZES, *OTHER_SIZES)]
    + [(arch, size) for arch in ("sm_75", "sm_80", "sm_100") for size in (100, 128, 300)],
)
def test_instances_stay_in_registers(arch, size):
    """As compiled for a device: single precision throughout, and local memory only where it is listed."""
    for kind, window in [(kind, 5) for kind in KINDS] + [("hs", 2), ("cbow hs", 2)] * (size in OTHER_SIZES):
        shape = planned(DEVICES[arch], size, kind, window)
        # CuPy adds -ftz=true by itself.
        found = compile_for(shape.source(), arch, options=("--std=c++17", "-ftz=true"))[NAME]
        assert f".target {arch}" in found.ptx
        assert not has_float64(found.ptx), kind
        # The reduction of 16 bytes came with sm_90.
        assert ("red.global.add.v4.f32" in found.ptx) == (arch not in ("sm_75", "sm_80")), kind
        assert found.registers * LANES * shape.workers_per_unit <= 65536, kind
        listed = STACK_BYTES.get((arch, size, kind, window), 0)
        assert found.stack_bytes <= (listed + SLACK if listed else 0), f"{kind}, window {window}:\n{found.log}"
        assert listed or found.spill_bytes == 0, f"{kind}, window {window}:\n{found.log}"


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
@pytest.mark.parametrize("kind", KINDS)
def test_plans_fit_the_device(device, kind):
    found = {}
    for size in (1, 17, *DEFAULT_SIZES, *OTHER_SIZES):
        for window in (1, 5, 20, 32, 127):
            for workers in (1, 2, 3, 5, 9, 1024):
                shape = planned(device, size, kind, window, workers)
                found[size, window, workers] = shape
                if shape is None:
                    assert workers > 1 or Shape(size, window, 5, 1).warp_bytes > device.shared_per_block - 2048
                    continue
                assert shape.shared_bytes <= device.shared_per_block
                assert shape.blocks * (shape.shared_bytes + 1024) <= device.shared_per_unit
                assert 1 <= shape.workers_per_unit <= min(workers, 16)
                assert shape.hot == 0 or (shape.negative == 0 and shape.hot + 1 in (4, 8, 16, 32, 64))
                assert (shape.size, shape.window, shape.negative) == (size, window, KINDS[kind]["negative"])
    assert found[100, 5, 1024].workers_per_unit >= 4
    assert None not in [found[size, 5, 1024] for size in DEFAULT_SIZES]
    assert found[1024, 32, 1] is None, "two rings of 65 rows of 4 KB"


def test_shapes_beyond_the_kernel_have_no_plan():
    assert planned(H200, MOST_SIZE, "ns") is not None
    assert planned(H200, MOST_SIZE + 1, "ns") is None
    assert planned(H200, 8, "ns", MOST_WINDOW) is not None
    assert planned(H200, 8, "ns", MOST_WINDOW + 1) is None


def test_hot_rows_are_fewer_than_the_rows():
    options = {"size": 100, "window": 5, "negative": 0, "group": 6, "workers": 1024, "in_turn": True}
    found = {rows: plan(H200, rows=rows, **options).hot for rows in (1, 7, 8, 31, 32, 63, 64, 10**6)}
    assert found == {1: 0, 7: 0, 8: 7, 31: 15, 32: 31, 63: 31, 64: 31, 10**6: 31}


@pytest.mark.parametrize("kind", KINDS)
def test_groups_are_few_and_even(kind):
    cbow, in_turn = KINDS[kind].get("cbow", False), KINDS[kind].get("in_turn", False)
    for size in (1, 128, 200, 300, 512, 1024):
        most = group_size(size, 10**6, cbow=cbow, in_turn=in_turn)
        assert 1 <= most <= 8
        for targets in range(1, 70):
            group = group_size(size, targets, cbow=cbow, in_turn=in_turn)
            assert -(-targets // group) == -(-targets // most), "as few groups as can be"
            smaller = -(-targets // max(1, group - 1))
            assert in_turn or group == 1 or smaller > -(-targets // group), "no group larger than it must be"
    assert group_size(1, 0, cbow=cbow, in_turn=in_turn) == 1, "a tree of one word"


@pytest.mark.parametrize(("size", "floats"), [(1, 8), (8, 8), (9, 16), (100, 104), (300, 304), (1024, 1024)])
def test_rows_begin_at_whole_sectors(size, floats):
    assert padded(size) == floats


@pytest.mark.parametrize("weights", [[1.0], [1.0, 1.0, 1.0], [100.0, 1.0, 0.01, 30.0], list(range(1, 64))], ids=len)
def test_turns_follow_the_weights_and_are_spread(weights):
    weights = np.array(weights, float)
    turns = exchange_turns(weights)
    assert turns.dtype == np.int32
    assert turns.size == TURNS
    times = np.bincount(turns, minlength=weights.size)
    assert times.min() >= 1
    expected = np.maximum(1, TURNS * weights / weights.sum())
    assert np.abs(times - expected).max() <= 2 + 0.05 * expected.max()
    for number in range(weights.size):
        gaps = np.diff(np.flatnonzero(np.concatenate([turns, turns]) == number))
        assert gaps.max(initial=0) <= 2 * TURNS / times[number] + weights.size
