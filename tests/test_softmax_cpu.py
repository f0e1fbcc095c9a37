"""The CPU path of block softmax in float32: its kernels against the formulas, its steps against float64."""

import math

import numpy as np
import pytest
from block_cases import (
    CASES,
    WORDS,
    after_step,
    assert_moved_alike,
    make_case,
    random_pairs,
    random_parameters,
    random_windows,
)
from w2v.kernels import simd
from w2v.kernels.jit import kernel
from w2v.kernels.softmax_cpu import BIAS_SLACK, EPSILON, adagrad_rows, add_rows, softmax_rows, sum_rows

from w2v.backends import block_cpu_operations
from w2v.backends.block_cpu_operations import CpuOperations

every_case = pytest.mark.parametrize("case", CASES)


@kernel
def largest_of(values, count):
    """The largest of count · LANES floats, lane by lane and then across."""
    found = simd.load(values.ctypes.data)
    for place in range(1, count):
        found = simd.maximum(found, simd.load(values.ctypes.data + place * simd.VECTOR_BYTES))
    return simd.largest(found)


@kernel
def maxima_of(values, others, out):
    simd.store(out.ctypes.data, simd.maximum(simd.load(values.ctypes.data), simd.load(others.ctypes.data)))


def test_maximum_goes_lane_by_lane():
    rng = np.random.default_rng(0)
    values, others = rng.normal(size=(2, simd.LANES)).astype(np.float32)
    values[:2], others[:2] = [np.nan, np.inf], [3.0, -np.inf]
    out = np.zeros(simd.LANES, np.float32)
    maxima_of(values, others, out)
    assert out[:2].tolist() == [3.0, np.inf]
    np.testing.assert_array_equal(out[2:], np.maximum(values, others)[2:])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_largest_finds_every_place(count):
    for place in range(count * simd.LANES):
        values = -np.random.default_rng(place).uniform(1, 2, count * simd.LANES).astype(np.float32)
        values[place] = -0.5
        assert largest_of(values, count) == -0.5


def random_targets(rng, rows, columns):
    """(begins, columns, weights, weights of the rows): up to six sorted columns each, some rows with none."""
    chosen = [
        np.sort(rng.choice(columns, min(columns, int(count)), replace=False)) for count in rng.integers(0, 7, rows)
    ]
    begins = np.cumsum([0, *map(len, chosen)]).astype(np.int32)
    counts = rng.integers(1, 9, begins[-1]).astype(np.float32)
    sums = np.array([counts[begins[row] : begins[row + 1]].sum() for row in range(rows)], np.float32)
    return begins, np.concatenate(chosen).astype(np.int32), counts, sums


def softmax_by_numpy(logits, weights, begins, columns, counts):
    """Loss and gradient in float64; logits with their biases."""
    peak = logits.max(axis=1, keepdims=True)
    shares = np.exp(logits - peak)
    mass = shares.sum(axis=1, keepdims=True)
    gradient = weights[:, None] * shares / mass
    row = np.repeat(np.arange(len(logits)), np.diff(begins))
    loss = weights @ (peak + np.log(mass))[:, 0] - (counts * logits[row, columns]).sum()
    gradient[row, columns] -= counts
    return loss, gradient


@pytest.mark.parametrize("columns", [1, 2, 15, 16, 17, 100, 4099])
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_softmax_rows(columns, scale):
    rng = np.random.default_rng(columns)
    rows, pitch = 11, simd.padded(columns)
    logits = np.full((rows, pitch), np.nan, np.float32)  # rubbish where there is no column
    logits[:, :columns] = rng.normal(0, scale, (rows, columns))
    bias = np.full(columns + BIAS_SLACK, 1e6, np.float32)
    bias[:columns] = rng.normal(0, 2, columns)
    begins, target_columns, counts, weights = random_targets(rng, rows, columns)
    exact = logits[:, :columns].astype(np.float64) + bias[:columns]
    expected_loss, expected = softmax_by_numpy(exact, weights, begins, target_columns, counts)
    for with_gradient in (False, True):
        own = logits.copy()
        loss = softmax_rows(own, columns, bias, weights, begins, target_columns, counts, with_gradient)
        assert loss == pytest.approx(expected_loss, rel=1e-6, abs=1e-6 * scale * float(weights.sum()))
    # Logits of some hundreds are rounded in float32 by 1e-5.
    np.testing.assert_allclose(own[:, :columns], expected, rtol=0, atol=2e-6 * scale * weights.max())


def test_softmax_rows_by_hand():
    """Weights 3 on two columns with odds 1 : 3, of which the second is the target twice and the first once."""
    logits = np.zeros((1, 16), np.float32)
    bias = np.array([0.0, math.log(3), *[0] * BIAS_SLACK], np.float32)
    begins, columns = np.array([0, 2], np.int32), np.array([0, 1], np.int32)
    loss = softmax_rows(
        logits, 2, bias, np.array([3], np.float32), begins, columns, np.array([1, 2], np.float32), True
    )
    assert loss == pytest.approx(-math.log(1 / 4) - 2 * math.log(3 / 4), rel=1e-6)
    np.testing.assert_allclose(logits[0, :2], [3 / 4 - 1, 9 / 4 - 2], rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 3, 30])
def test_what_is_not_finite_is_not_hidden(bad, place):
    logits = np.zeros((2, 32), np.float32)
    logits[0, place] = bad
    begins = np.array([0, 1, 2], np.int32)
    loss = softmax_rows(
        logits, 31, np.zeros(31 + BIAS_SLACK, np.float32), np.ones(2, np.float32), begins, np.array([5, 5], np.int32),
        np.ones(2, np.float32), True,
    )  # fmt: skip
    assert not math.isfinite(loss)
    assert np.isnan(logits[0, :31]).any()
    assert np.isfinite(logits[1, :31]).all()


@pytest.mark.parametrize("size", [1, 17, 128])
def test_rows_are_summed(size):
    rng = np.random.default_rng(size)
    matrix = rng.normal(size=(20, size)).astype(np.float32)
    begins = np.cumsum([0, 3, 0, 1, 5, 2]).astype(np.int64)
    index = rng.integers(0, 20, begins[-1]).astype(np.int32)
    slices = [matrix[index[begins[row] : begins[row + 1]]].astype(np.float64) for row in range(5)]
    sums = np.stack([rows.sum(axis=0) for rows in slices])
    lengths = np.maximum(np.diff(begins), 1)[:, None]
    for mean, expected in ((False, sums), (True, sums / lengths)):
        out = np.full((5, size), np.nan, np.float32)
        sum_rows(matrix, begins, index, mean, out)
        np.testing.assert_allclose(out, expected, atol=2e-6)
    start = rng.normal(size=(5, size)).astype(np.float32)
    out = start.copy()
    add_rows(matrix, begins, index, out)
    np.testing.assert_allclose(out, start + sums, atol=2e-6)


@pytest.mark.parametrize("size", [1, 17, 128])
def test_adagrad_moves_the_chosen_rows(size):
    rng = np.random.default_rng(size)
    matrix, accumulators = rng.normal(size=(20, size)).astype(np.float32), rng.uniform(0, 1, 20).astype(np.float32)
    accumulators[3] = 0
    rows = np.array([7, 3, 19], np.int32)
    gradient = rng.normal(size=(3, size)).astype(np.float32)
    gradient[2] = 0
    mass, moved = accumulators.astype(np.float64), matrix.astype(np.float64)
    mass[rows] += (gradient.astype(np.float64) ** 2).mean(axis=1)
    moved[rows] -= 0.3 * gradient / np.sqrt(mass[rows] + EPSILON)[:, None]
    adagrad_rows(matrix, accumulators, rows, gradient, 0.3)
    np.testing.assert_allclose(matrix, moved, atol=1e-6)
    np.testing.assert_allclose(accumulators, mass, rtol=1e-6)


def test_a_row_that_never_had_a_gradient_stays():
    matrix, accumulators = np.ones((1, 4), np.float32), np.zeros(1, np.float32)
    adagrad_rows(matrix, accumulators, np.zeros(1, np.int32), np.zeros((1, 4), np.float32), 0.1)
    assert (matrix == 1).all()
    assert accumulators[0] == 0


@every_case
@pytest.mark.parametrize("kind", ["cpu 1", "cpu 2", "cpu 3"])
@pytest.mark.parametrize("examples", [random_pairs, random_windows])
def test_float32_steps_follow_float64(case, kind, examples):
    model = "skipgram" if examples is random_pairs else "cbow"
    objective = make_case(case, model=model)[1]
    batch = examples(np.random.default_rng(7), WORDS, 400)
    expected_loss, expected = after_step(objective, batch, "float64")
    loss, found = after_step(objective, batch, kind)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    assert_moved_alike(found, expected, random_parameters(objective), 2e-5)


@pytest.mark.parametrize("term", ["weights", "bias", "targets"])
@every_case
def test_the_tolerance_tells_a_wrong_term(case, term):
    """One pair more, one bias off by 1 %, one target moved: each is more than ``assert_moved_alike`` lets pass."""
    objective = make_case(case)[1]
    pairs = random_pairs(np.random.default_rng(7), WORDS, 400)
    expected = after_step(objective, pairs, "float64")[1]
    if term == "weights":
        pairs = [*pairs, pairs[0]]
    elif term == "targets":
        pairs = [(pairs[0][0], (pairs[0][1] + 1) % WORDS), *pairs[1:]]
    else:
        objective.head_bias[-1] += 0.01
        objective.word_bias[-1] += 0.01
    found = after_step(objective, pairs, "cpu 2")[1]
    with pytest.raises(AssertionError, match="moved"):
        assert_moved_alike(found, expected, random_parameters(objective), 2e-5)


@pytest.mark.parametrize("kind", ["cpu 1", "cpu 2"])
@every_case
def test_tiles_that_do_not_divide(case, kind, monkeypatch):
    """Thirty-odd rows in tiles of seven, tiles of columns of any width."""
    objective = make_case(case)[1]
    pairs = random_pairs(np.random.default_rng(8), WORDS, 500)
    expected_loss, expected = after_step(objective, pairs, "float64")
    monkeypatch.setattr(block_cpu_operations, "FEWEST_ROWS", 7)
    monkeypatch.setattr(block_cpu_operations, "MOST_ROWS", 7)
    monkeypatch.setattr(block_cpu_operations, "PIECE", 3)
    loss, found = after_step(objective, pairs, kind)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    assert_moved_alike(found, expected, random_parameters(objective), 2e-5)


def test_many_columns_are_cut_among_threads():
    """Past 64 columns a thread: two threads share the gradient of the block's rows."""
    objective = make_case("full", words=301)[1]
    pairs = random_pairs(np.random.default_rng(9), 301, 600)
    expected_loss, expected = after_step(objective, pairs, "float64")
    for kind in ("cpu 2", "cpu 3"):
        loss, found = after_step(objective, pairs, kind)
        assert loss == pytest.approx(expected_loss, rel=1e-6)
        assert_moved_alike(found, expected, random_parameters(objective), 2e-5)


def test_an_error_of_a_thread_reaches_the_caller():
    operations = CpuOperations(2)

    def task(item):
        if item == 3:
            raise ValueError("three")

    with pytest.raises(ValueError, match="three"):
        operations._each(task, range(5))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_pieces_cover_everything_once(threads):
    operations = CpuOperations(threads)
    for count, least in ((0, 4), (1, 4), (7, 4), (8, 4), (1000, 4)):
        pieces = operations._pieces(count, least)
        assert len(pieces) <= threads
        assert [place for piece in pieces for place in range(piece.start, piece.stop)] == list(range(count))
        assert len(pieces) == 1 or min(piece.stop - piece.start for piece in pieces) >= least
