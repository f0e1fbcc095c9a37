"""``softmax.cu`` executed on the CPU against float64, its lists of tiles, and what NVRTC makes of it."""

import itertools

import numpy as np
import pytest
from cuda_compile import compile_for, has_float64
from cuda_emulation import build_all
from w2v.kernels import softmax
from w2v.kernels.softmax import LANES, TILE, padded

SIZES = (1, 17, 100, 128, 300)
BOTH = pytest.mark.parametrize("bfloat16", [False, True], ids=["float32", "bfloat16"])
# Float32 against float64, of the largest terms of a sum.
TOLERANCE = 2e-6
RATE, EPSILON = np.float32(0.1), 1e-10


def run(name, launch, *args, bfloat16=False, **options):
    """Launch a kernel in the emulator: options are seed and interleave."""
    (grid,), (block,) = launch
    args = [np.int32(arg) if isinstance(arg, (int, bool)) else arg for arg in args]
    build_all(softmax.source(bfloat16), softmax.NAMES)[name](grid, block, 0, *args, **options)


def to_bfloat16(values):
    """The nearest bfloat16, ties to even: (…) float32 to the upper halves of its bits, (…) uint16."""
    bits = values.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), (bits >> 16) | 0x40, rounded).astype(np.uint16)


def from_bfloat16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def operands(shape, bfloat16):
    """Memory for operands, filled with rubbish: NaN."""
    return np.full(shape, 0x7FFF, np.uint16) if bfloat16 else np.full(shape, np.nan, np.float32)


def steps_apart(bits, other):
    """How many bfloat16 lie between two, zeros of either sign taken as one."""

    def places(values):
        values = values.astype(np.int64)
        return np.where(values & 0x8000, -(values & 0x7FFF), values)

    return np.abs(places(bits) - places(other))


def rubbish(rows, pitch, width, rng):
    """A matrix of normal floats whose columns from ``width`` on are NaN: (rows, pitch) float32."""
    matrix = np.full((rows, pitch), np.nan, np.float32)
    matrix[:, :width] = rng.normal(size=(rows, width))
    return matrix


def random_begins(counts, start=0, dtype=np.int32):
    return np.concatenate([[start], start + np.cumsum(counts)]).astype(dtype)


def assert_close(found, exact, scale):
    """Elementwise, by TOLERANCE of ``scale``."""
    error = np.abs(found - exact)
    assert (error <= TOLERANCE * scale).all(), f"{(error / scale).max():.2g} of the scale"


def test_rounding_of_the_tests_own():
    values = np.array([1, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -0.0, 3.4028235e38, np.inf], np.float32)
    expected = [1, 1, 1 + 2**-6, 1 + 2**-7, -0.0, np.inf, np.inf]
    np.testing.assert_array_equal(from_bfloat16(to_bfloat16(values)), expected)
    assert steps_apart(to_bfloat16(np.float32([1, -1, 2**-130])), to_bfloat16(np.float32([1, 1, 0]))).tolist() == [
        0, 2 * 0x3F80, 8,
    ]  # fmt: skip


# ---- gather_rows ----


def narrow_or_wide(size):
    """Pitches of a matrix and of operands: for fours, and for single floats."""
    return [
        (padded(size), padded(size)),
        (padded(size) + 4, padded(size) + 8),
        (size, size + 3),
        (padded(size), size),
    ]


@BOTH
@pytest.mark.parametrize("size", SIZES)
def test_rows_are_gathered_and_converted(size, bfloat16):
    rng = np.random.default_rng(size)
    for (pitch, out_pitch), n in itertools.product(narrow_or_wide(size), (1, 75)):
        matrix = rubbish(80, pitch, size, rng)
        drawn = rng.integers(0, 80, n).astype(np.int32)
        drawn[n // 2 :] = drawn[0]
        for rows in (drawn, None):
            out = operands((n, out_pitch), bfloat16)
            run(
                "gather_rows",
                softmax.gather_launch(n),
                matrix,
                pitch,
                size,
                rows,
                n,
                out,
                out_pitch,
                bfloat16=bfloat16,
            )
            expected = np.zeros((n, out_pitch), np.float32)
            expected[:, :size] = matrix[:n, :size] if rows is None else matrix[rows, :size]
            np.testing.assert_array_equal(out, to_bfloat16(expected) if bfloat16 else expected)


def test_every_float_has_its_bfloat16():
    """Both neighbours of every bfloat16's halfway point, infinities, and NaN whose bits would be rounded away."""
    upper = np.arange(1 << 16, dtype=np.uint32)[::7] << 16
    bits = np.concatenate([upper | low for low in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)] + [upper[:3] | 0x7F800001])
    values = np.resize(bits, (bits.size // 64 + 1, 64)).view(np.float32)
    n = values.shape[0]
    assert np.isnan(values).any()
    for width, pitch in ((64, 64), (1, 1)):  # fours, and single floats
        matrix = np.ascontiguousarray(values[:, :width])
        out = operands((n, pitch), True)
        launch = softmax.gather_launch(n)
        run("gather_rows", launch, matrix, pitch, width, None, n, out, pitch, bfloat16=True)
        np.testing.assert_array_equal(out, to_bfloat16(matrix))
        np.testing.assert_array_equal(np.isnan(from_bfloat16(out)), np.isnan(matrix))


# ---- sum_rows ----


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("accumulate", [False, True])
def test_rows_are_summed(size, mean, accumulate):
    rng = np.random.default_rng(size)
    counts = rng.integers(0, 12, 20)
    counts[[2, 19]] = 0
    counts[[0, 1, 17]] = softmax.SUM_TOGETHER + 1, softmax.SUM_TOGETHER, 2 * softmax.SUM_TOGETHER + 37
    for (pitch, out_pitch), rows in itertools.product(narrow_or_wide(size)[: 4 if size < 300 else 1], (1, 20)):
        begins = random_begins(counts[:rows], start=3, dtype=np.int64)
        matrix = rubbish(50, pitch, size, rng)
        index = rng.integers(0, 50, begins[-1]).astype(np.int32)
        out = rng.normal(size=(rows, out_pitch)).astype(np.float32)
        expected = out.astype(np.float64) if accumulate else np.zeros(out.shape)
        terms = np.abs(expected)
        for r in range(rows):
            summands = matrix[index[begins[r] : begins[r + 1]], :size].astype(np.float64)
            scale = 1 / max(1, len(summands)) if mean else 1
            expected[r, :size] += scale * summands.sum(0)
            terms[r, :size] += scale * np.abs(summands).sum(0)
        args = matrix, pitch, size, begins, index, rows, mean, accumulate
        again = out.copy()
        run("sum_rows", softmax.sum_launch(rows), *args, out, out_pitch)
        assert_close(out, expected, terms + 1e-30)
        assert accumulate or not out[:, size:].any()
        if size < 300 and rows > 1:
            run("sum_rows", softmax.sum_launch(rows), *args, again, out_pitch, seed=1, interleave=True)
            np.testing.assert_array_equal(out, again)


# ---- adagrad_rows ----


@BOTH
@pytest.mark.parametrize("size", [*SIZES, 500])
def test_adagrad_updates_rows_and_their_operands(size, bfloat16):
    rng = np.random.default_rng(size)
    for (gradient_pitch, pitch), n, listed in itertools.product(narrow_or_wide(size), (1, 21), (False, True)):
        gradient = rubbish(n, gradient_pitch, size, rng)
        gradient[n // 2, :size] = 0
        # Padding of a matrix may hold anything: it stays.
        matrix = rng.normal(size=(30, pitch)).astype(np.float32)
        accumulators = np.where(rng.random(30) < 0.3, 0, rng.random(30)).astype(np.float32)
        shadow = None if listed and n == 1 else operands((30, pitch), bfloat16)
        rows = rng.permutation(30)[:n].astype(np.int32) if listed else None
        touched = np.arange(n) if rows is None else rows
        d = gradient[:, :size].astype(np.float64)
        sums, expected = accumulators.astype(np.float64), matrix.astype(np.float64)
        sums[touched] += (d**2).mean(1)
        steps = RATE * d / np.sqrt(sums[touched] + EPSILON)[:, None]
        expected[touched, :size] -= steps
        before, unwritten = matrix.copy(), operands((30, pitch), bfloat16)
        launch = softmax.adagrad_launch(n)
        args = gradient, gradient_pitch, rows, n, size, RATE, matrix, pitch, accumulators, shadow
        run("adagrad_rows", launch, *args, bfloat16=bfloat16)
        assert_close(accumulators, sums, sums + 1e-30)
        assert_close(matrix, expected, np.abs(before) + np.abs(expected) + 1e-30)
        np.testing.assert_array_equal(matrix[:, size:], before[:, size:])
        others = np.setdiff1d(np.arange(30), touched)
        np.testing.assert_array_equal(matrix[others], before[others])
        if shadow is not None:
            converted = to_bfloat16(matrix) if bfloat16 else matrix
            np.testing.assert_array_equal(shadow[touched, :size], converted[touched, :size])
            np.testing.assert_array_equal(shadow[others], unwritten[others])


# ---- softmax_gradient ----


def softmax_reference(logits, bias, n, columns, shares):
    """Loss in nats and gradient of one row in float64, but the sum of logit and bias, which is float32."""
    z = logits if bias is None else logits + bias
    assert z.dtype == np.float32
    z = z.astype(np.float64)
    total = z.max() + np.log(np.exp(z - z.max()).sum())
    gradient = n * np.exp(z - total)
    gradient[columns] -= shares
    return n * total - (shares * z[columns]).sum(), gradient


class Targets:
    """Random targets of rows: some without any, one with all of the columns, places that do not begin at 0."""

    def __init__(self, widths, rng, first=0):
        counts = [rng.integers(0, min(width, 40) + 1) for width in widths]
        counts[len(widths) // 2] = widths[len(widths) // 2]
        if len(widths) > 2:
            counts[1] = 0
        self.begins = random_begins(counts, start=first)
        chosen = [rng.choice(width, count, replace=False) for width, count in zip(widths, counts, strict=True)]
        self.columns = np.concatenate([np.full(first, -(1 << 30)), *chosen]).astype(np.int32)
        self.weights = rng.integers(1, 9, self.columns.size).astype(np.float32)
        # What counts of pairs are, except in one row.
        self.totals = np.array([self.weights[self.row(r)].sum() for r in range(len(widths))], np.float32)
        self.totals[-1] += 2.5

    def row(self, r):
        return slice(self.begins[r], self.begins[r + 1])


def softmax_gradient(logits, columns, bias, targets, gradient, bfloat16=False, launch=None, **options):
    """Losses of a tile of logits; gradient is written, or null."""
    losses = np.full(logits.shape[0], np.nan, np.float32)
    launch = launch or softmax.softmax_launch(logits.shape[0], columns)
    run(
        "softmax_gradient", launch, logits, logits.shape[1], columns, bias, targets.totals,
        targets.begins, targets.columns, targets.weights, gradient,
        0 if gradient is None else gradient.shape[1], losses, bfloat16=bfloat16, **options,
    )  # fmt: skip
    return losses


def assert_softmax(logits, columns, bias, targets, losses, gradient):
    """That losses (rows,) and a float32 gradient (rows, pitch) are those of the logits."""
    for r in range(logits.shape[0]):
        its = targets.columns[targets.row(r)], targets.weights[targets.row(r)]
        loss, exact = softmax_reference(logits[r, :columns], bias, targets.totals[r], *its)
        span = np.ptp(logits[r, :columns]) + (0 if bias is None else np.ptp(bias))
        assert_close(losses[r], loss, (targets.totals[r] + 1) * (1 + span) + abs(loss))
        assert_close(gradient[r, :columns], exact, targets.totals[r] + 1)
        assert not gradient[r, columns:].any()


@pytest.mark.parametrize("columns", [1, 2, 17, 100, 1300, 9001])
@pytest.mark.parametrize("wide", [False, True])
def test_softmax_follows_the_reference(columns, wide):
    rng = np.random.default_rng(columns)
    pitch = padded(columns) + 8 if wide else columns + (columns % 4 == 0) + 2
    for rows, has_bias, first in ((1, True, 0), (7, True, 5), (4, False, 0)):
        logits = rubbish(rows, pitch, columns, rng) * np.float32(3)
        bias = rng.normal(-5, 3, columns).astype(np.float32) if has_bias else None
        targets = Targets([columns] * rows, rng, first)
        exact = operands((rows, padded(columns) + 8), False)
        losses = softmax_gradient(logits, columns, bias, targets, exact)
        assert_softmax(logits, columns, bias, targets, losses, exact)
        rounded = operands(exact.shape, True)
        np.testing.assert_array_equal(
            softmax_gradient(logits, columns, bias, targets, rounded, bfloat16=True), losses
        )
        assert steps_apart(rounded, to_bfloat16(exact)).max() <= 1
        odd = operands((rows, columns + 1), True)
        # One float at a time; the sums have another order.
        odd_losses = softmax_gradient(logits, columns, bias, targets, odd, bfloat16=True)
        np.testing.assert_allclose(odd_losses, losses, rtol=1e-5, atol=1e-4)
        assert_close(from_bfloat16(odd)[:, :columns], exact[:, :columns], 0.01 / TOLERANCE * targets.totals.max())
        assert not odd[:, columns:].any()
        for bfloat16 in (False, True):
            alone = softmax_gradient(logits, columns, bias, targets, None, bfloat16=bfloat16)
            assert_close(alone, losses, np.abs(losses) + targets.totals + 1e-30)


@pytest.mark.parametrize("columns", [5, 300, 2100])
def test_softmax_of_large_logits(columns):
    """±1e4: a difference of float32 logits is exact, or small beside what it is computed from."""
    rng = np.random.default_rng(columns)
    logits = rng.choice([-1e4, -9990, 9990, 9999, 1e4], (6, padded(columns))).astype(np.float32)
    logits[0], logits[1] = 1e4, -1e4
    logits[2, :columns] = -1e4
    logits[2, columns // 2] = 1e4
    targets = Targets([columns] * 6, rng)
    for bias in (None, rng.normal(-9, 2, columns).astype(np.float32)):
        gradient = operands((6, padded(columns)), False)
        losses = softmax_gradient(logits, columns, bias, targets, gradient)
        assert np.isfinite(losses).all()
        assert_softmax(logits, columns, bias, targets, losses, gradient)


def test_a_nan_is_not_hidden():
    logits = np.zeros((2, 8), np.float32)
    logits[1, 3] = np.nan
    targets = Targets([8, 8], np.random.default_rng(1))
    gradient = operands((2, 8), True)
    losses = softmax_gradient(logits, 8, None, targets, gradient, bfloat16=True)
    np.testing.assert_array_equal(np.isnan(losses), [False, True])
    np.testing.assert_array_equal(np.isnan(from_bfloat16(gradient)).any(1), [False, True])


def test_softmax_by_hand():
    """Two words of logits 0 and log 3: p = 1/4, 3/4; four pairs, three of the first."""
    targets = Targets([2], np.random.default_rng(0))
    targets.begins, targets.columns = np.array([0, 2], np.int32), np.array([1, 0], np.int32)
    targets.weights, targets.totals = np.array([1, 3], np.float32), np.array([4], np.float32)
    gradient = operands((1, 8), False)
    losses = softmax_gradient(np.zeros((1, 2), np.float32), 2, np.log([1, 3]).astype(np.float32), targets, gradient)
    np.testing.assert_allclose(losses, [3 * np.log(4) + np.log(4 / 3)], rtol=1e-6)
    np.testing.assert_allclose(gradient[0], [1 - 3, 3 - 1, 0, 0, 0, 0, 0, 0], atol=1e-6)


@pytest.mark.parametrize("threads", [32, 64, 512])
def test_any_block_gives_the_same_softmax(threads):
    rng = np.random.default_rng(threads)
    logits, bias = rubbish(3, 1304, 1300, rng), rng.normal(size=1300).astype(np.float32)
    targets = Targets([1300] * 3, rng)
    found = []
    for seed in range(3):
        gradient = operands((3, 1304), False)
        launch = (3,), (threads,)
        options = {"seed": seed, "interleave": seed == 2, "launch": launch}
        losses = softmax_gradient(logits, 1300, bias, targets, gradient, **options)
        assert_softmax(logits, 1300, bias, targets, losses, gradient)
        found.append((losses, gradient))
    for losses, gradient in found[1:]:
        np.testing.assert_array_equal(losses, found[0][0])
        np.testing.assert_array_equal(gradient, found[0][1])


# ---- Grouped products. ----

# Jobs and words of each group.
GROUPS = {
    "one": [(1, 1)],
    "one job": [(1, 70)],
    "one word": [(70, 1), (3, 1), (1, 1)],
    "one group": [(67, 130)],
    "whole tiles": [(64, 64), (128, 64)],
    "ragged": [(0, 7), (5, 1), (0, 0), (130, 65), (1, 200), (64, 9), (7, 33), (0, 3)],
    "without jobs": [(0, 5), (2, 3), (0, 0), (0, 70)],
}


class Grouped:
    """Inputs, outputs and groups; matrices have the padding that the kernels ask for."""

    def __init__(self, groups, size, rng):
        jobs, words = np.array(groups).T
        self.size, self.pitch = size, padded(size)
        self.row_begins, self.word_begins = random_begins(jobs), random_begins(words)
        self.logit_begins = softmax.logit_begins(self.row_begins, self.word_begins)
        self.jobs, self.words, self.floats = self.row_begins[-1], self.word_begins[-1], self.logit_begins[-1]
        self.job_groups = np.repeat(np.arange(len(groups)), jobs).astype(np.int32)
        self.inputs, self.outputs = self.rows(20, rng), self.rows(self.words, rng)
        self.job_inputs = rng.integers(0, 20, self.jobs).astype(np.int32)

    def rows(self, count, rng):
        return np.nan_to_num(rubbish(count, self.pitch, self.size, rng))

    def each(self):
        """Slices of jobs and words of every group, and the shape of its block with its place."""
        for g in range(self.row_begins.size - 1):
            jobs = slice(*self.row_begins[g : g + 2])
            words = slice(*self.word_begins[g : g + 2])
            place = slice(*self.logit_begins[g : g + 2])
            yield jobs, words, place, (jobs.stop - jobs.start, words.stop - words.start)

    @property
    def places(self):
        return self.row_begins, self.word_begins, self.logit_begins


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", GROUPS)
def test_grouped_products(name, size):
    rng = np.random.default_rng(size)
    case = Grouped(GROUPS[name], size, rng)
    logits = np.full(case.floats, np.nan, np.float32)
    gradient = rng.normal(size=case.floats).astype(np.float32)
    d_jobs = np.full((case.jobs, case.pitch), np.nan, np.float32)
    d_outputs = np.zeros((case.words, case.pitch), np.float32)
    begins = case.places[:2]
    for kernel, tiles, args in (
        ("grouped_logits", softmax.logit_tiles(*begins),
         (case.job_inputs, case.inputs, case.outputs, case.pitch, logits)),
        ("grouped_d_inputs", softmax.d_input_tiles(*begins, case.pitch),
         (gradient, case.outputs, case.pitch, d_jobs)),
        ("grouped_d_outputs", softmax.d_output_tiles(*begins, case.pitch),
         (case.job_inputs, gradient, case.inputs, case.pitch, d_outputs)),
    ):  # fmt: skip
        again = args[-1].copy()
        run(kernel, softmax.tile_launch(len(tiles)), tiles, *case.places, *args)
        if size in (1, 17):
            run(
                kernel,
                softmax.tile_launch(len(tiles)),
                tiles,
                *case.places,
                *args[:-1],
                again,
                seed=5,
                interleave=True,
            )
            np.testing.assert_array_equal(args[-1], again)
    for jobs, words, place, shape in case.each():
        h = case.inputs[case.job_inputs[jobs]].astype(np.float64)
        w, g = case.outputs[words].astype(np.float64), gradient[place].reshape(shape).astype(np.float64)
        for found, a, b in ((logits[place].reshape(shape), h, w.T), (d_jobs[jobs], g, w), (d_outputs[words], g.T, h)):
            assert_close(found, a @ b, np.abs(a) @ np.abs(b) + 1e-30)
    assert not d_jobs[:, size:].any()
    assert not d_outputs[:, size:].any()


@pytest.mark.parametrize("name", [*GROUPS, "wide"])
@pytest.mark.parametrize("has_bias", [False, True])
def test_grouped_softmax(name, has_bias):
    rng = np.random.default_rng(len(name))
    groups = GROUPS.get(name, [(3, 50), (2, 511), (2, 512), (3, 513), (1, 1300), (2, 2000)])
    case = Grouped(groups, 1, rng)
    logits = rng.normal(0, 3, case.floats).astype(np.float32)
    if name == "wide":
        logits[-2000:] = rng.choice([-1e4, 9990, 1e4], 2000)
    bias = rng.normal(-4, 2, case.words).astype(np.float32) if has_bias else None
    targets = Targets(np.diff(case.word_begins)[case.job_groups], rng, first=2)
    args = (
        *case.places, case.job_groups, case.jobs, bias,
        targets.totals, targets.begins, targets.columns, targets.weights,
    )  # fmt: skip
    launch = softmax.grouped_softmax_launch(case.jobs)
    found = []
    for seed, loss_only in ((0, False), (1, False), (2, True)):
        gradient, losses = logits.copy(), np.full(case.jobs, np.nan, np.float32)
        run("grouped_softmax", launch, gradient, *args, loss_only, losses, seed=seed, interleave=seed == 1)
        found.append((gradient, losses))
    gradient, losses = found[0]
    for jobs, words, place, shape in case.each():
        for job, row, its in zip(
            range(jobs.start, jobs.stop), logits[place].reshape(shape), gradient[place].reshape(shape), strict=True
        ):
            its_bias = None if bias is None else bias[words]
            one = targets.columns[targets.row(job)], targets.weights[targets.row(job)]
            loss, exact = softmax_reference(row, its_bias, targets.totals[job], *one)
            span = np.ptp(row) + (0 if bias is None else np.ptp(its_bias))
            assert_close(losses[job], loss, (targets.totals[job] + 1) * (1 + span) + abs(loss))
            assert_close(its, exact, targets.totals[job] + 1)
    np.testing.assert_array_equal(found[1][0], gradient)
    np.testing.assert_array_equal(found[1][1], losses)
    np.testing.assert_array_equal(found[2][0], logits)
    np.testing.assert_array_equal(found[2][1], losses)


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("pitch", [8, 64, 72, 304])
def test_lists_of_tiles(name, pitch):
    groups = GROUPS[name]
    jobs, words = np.array(groups).T
    begins = random_begins(jobs), random_begins(words)

    def listed(rows, columns):
        """Every tile of every group by plain loops."""
        return [
            (g, r, c)
            for g in range(len(groups))
            for r in range(-(-int(rows[g]) // TILE))
            for c in range(-(-int(columns[g]) // TILE))
        ]

    widths = np.full(len(groups), pitch)
    logits, inputs = softmax.logit_tiles(*begins), softmax.d_input_tiles(*begins, pitch)
    outputs = softmax.d_output_tiles(*begins, pitch)
    assert list(map(tuple, logits.tolist())) == listed(jobs, words)
    for tiles, expected, depths in (
        (inputs, listed(jobs, widths), words),
        (outputs, listed(words * (jobs > 0), widths), jobs),
    ):
        assert sorted(map(tuple, tiles.tolist())) == expected
        assert (np.diff(depths[tiles[:, 0]]) <= 0).all()
    for tiles in (logits, inputs, outputs):
        assert tiles.dtype == np.int32
        assert tiles.flags.c_contiguous
        assert tiles.shape[1] == 3
    begins = softmax.logit_begins(*begins)
    assert begins.dtype == np.int64
    np.testing.assert_array_equal(np.diff(begins), jobs * words)


def test_no_jobs_and_no_groups():
    for row_begins, word_begins in (([0, 0, 0], [0, 3, 9]), ([0], [0])):
        begins = np.array(row_begins, np.int32), np.array(word_begins, np.int32)
        for tiles in (
            softmax.logit_tiles(*begins), softmax.d_input_tiles(*begins, 8), softmax.d_output_tiles(*begins, 8),
        ):  # fmt: skip
            assert tiles.shape == (0, 3)


def test_blocks_of_logits_past_two_to_the_31():
    begins = np.array([0, 1 << 20, 1 << 21], np.int32), np.array([0, 3000, 6000], np.int32)
    np.testing.assert_array_equal(softmax.logit_begins(*begins), [0, 3000 << 20, 6000 << 20])


# ---- As compiled. ----

# Registers of a thread, by what the launches count on: full multiprocessors for what waits for memory, and six blocks
# of a grouped product.
MOST_REGISTERS = dict.fromkeys(softmax.NAMES, 64) | {
    "grouped_logits": 168, "grouped_d_inputs": 168, "grouped_d_outputs": 168,
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("arch", ["sm_75", "sm_80", "sm_90"])
def test_kernels_stay_in_registers(arch, bfloat16):
    # CuPy adds -ftz=true by itself.
    found = compile_for(softmax.source(bfloat16), arch, options=(*softmax.OPTIONS, "-ftz=true"))
    assert set(found) == set(softmax.NAMES)
    for name, kernel in found.items():
        assert kernel.stack_bytes == kernel.spill_bytes == 0, f"{name}:\n{kernel.log}"
        assert kernel.registers <= MOST_REGISTERS[name], f"{name}: {kernel.registers} registers"
        assert kernel.shared_bytes <= 10 << 10, name
        assert f".target {arch}" in kernel.ptx
        assert not has_float64(kernel.ptx)


def test_launches_cover_their_work():
    for count in (1, 2, 31, 32, 33, 1000, 1 << 20):
        for launch, rows in (
            (softmax.gather_launch(count), softmax.GATHER_ROWS),
            (softmax.sum_launch(count), softmax.SUM_WARPS),
            (softmax.adagrad_launch(count), softmax.ADAGRAD_WARPS),
            (softmax.grouped_softmax_launch(count), softmax.GROUPED_WARPS),
            (softmax.softmax_launch(count, 100), 1),
            (softmax.tile_launch(count), 1),
        ):
            (grid,), (block,) = launch
            assert grid * rows >= count > (grid - 1) * rows
            assert block % LANES == 0
            assert 0 < block <= 512
    blocks = [softmax.softmax_launch(3, columns)[1][0] for columns in (1, 1000, 2000, 5000, 80_000, 1 << 20)]
    assert blocks == sorted(blocks)
    assert blocks[-1] == softmax.SOFTMAX_THREADS
