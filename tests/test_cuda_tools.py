"""The tools that test CUDA kernels without a GPU: the emulator and the compilers, on kernels of a few lines."""

import cuda_emulation
import numpy as np
import pytest
from cuda_compile import CompileError, compile_for, compile_numba, has_float64, supported_archs
from cuda_emulation import KernelError, build, build_all

SEEDS = range(20)


def kernel(parameters, body):
    """A kernel called ``k``; its body starts in line 2."""
    return f'extern "C" __global__ void k({parameters}) {{\n{body}\n}}\n'


WARP = kernel(
    "const float *x, float *sums, int *lefts, unsigned *votes, unsigned *any",
    """
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = x[i];
    #pragma unroll
    for (int bits = 16; bits; bits >>= 1) sum += __shfl_xor_sync(~0u, sum, bits);
    sums[i] = sum;
    lefts[i] = __shfl_sync(~0u, i, (int)threadIdx.x - 1);
    votes[i] = __ballot_sync(~0u, x[i] > 0.f);
    any[i] = __any_sync(~0u, x[i] > 100.f);
    """,
)


def run_warp_kernel(defines, **options):
    x = np.random.default_rng(5).normal(size=128).astype(np.float32)
    x[40] = 101
    sums, lefts = np.zeros(128, np.float32), np.zeros(128, np.int32)
    votes, any_ = np.zeros(128, np.uint32), np.zeros(128, np.uint32)
    build(WARP, "k", defines)(2, 64, 0, x, sums, lefts, votes, any_, **options)
    warps = x.reshape(4, 32)
    np.testing.assert_allclose(sums, np.repeat(warps.sum(1), 32), rtol=1e-5)
    np.testing.assert_array_equal(lefts.reshape(4, 32), np.roll(np.arange(128).reshape(4, 32), 1, axis=1))
    np.testing.assert_array_equal(votes, np.repeat(((warps > 0) << np.arange(32)).sum(1), 32))
    np.testing.assert_array_equal(any_, np.repeat([0, 1, 0, 0], 32))


# Both ways of switching between fibres: the second is that of processors other than x86-64.
@pytest.mark.parametrize("defines", [{}, {"CUDA_ON_CPU_UCONTEXT": 1}])
@pytest.mark.parametrize("interleave", [False, True])
def test_shuffles_and_votes_see_the_lanes_of_their_warp(defines, interleave):
    for seed in range(4):
        run_warp_kernel(defines, seed=seed, interleave=interleave)


# A 32 x 32 tile per block, in one float4 per thread and row of threads.
TRANSPOSITION = kernel(
    "const float4 *in, float *out",
    """
    __shared__ float tile[32][33];
    const int row = threadIdx.x / 8, column = threadIdx.x % 8 * 4;
    const float4 four = __ldg(in + blockIdx.x * 256 + threadIdx.x);
    tile[column][row] = four.x;
    tile[column + 1][row] = four.y;
    tile[column + 2][row] = four.z;
    tile[column + 3][row] = four.w;
    BARRIER;
    for (int j = 0; j < 4; ++j) out[blockIdx.x * 1024 + row * 32 + column + j] = tile[row][column + j];
    """,
)


def transpose(barrier, seed, interleave):
    tiles = np.arange(3 * 1024, dtype=np.float32).reshape(3, 32, 32)
    out = np.zeros_like(tiles)
    build(TRANSPOSITION, "k", {"BARRIER": barrier})(3, 256, 0, tiles, out, seed=seed, interleave=interleave)
    return np.array_equal(out, tiles.transpose(0, 2, 1))


def test_kernels_of_one_source():
    both = build_all(TRANSPOSITION + NEIGHBOUR.replace(" k(", " neighbour("), ("k", "neighbour"), {"BARRIER": ""})
    assert [run.name for run in both.values()] == list(both) == ["k", "neighbour"]
    assert both["k"].parameters == ["const float32*", "float32*"]
    out = np.zeros(32, np.int32)
    both["neighbour"](1, 32, 128, out)
    assert out.any()


@pytest.mark.parametrize("interleave", [False, True])
def test_every_block_has_shared_memory_of_its_own(interleave):
    assert all(transpose("__syncthreads()", seed, interleave) for seed in SEEDS)


@pytest.mark.parametrize("interleave", [False, True])
def test_a_missing_block_barrier_shows(interleave):
    """A barrier of the warp is not one of the block."""
    assert not all(transpose("__syncwarp()", seed, interleave) for seed in SEEDS)


NEIGHBOUR = kernel(
    "int *out",
    """
    extern __shared__ __align__(16) int slots[];
    slots[threadIdx.x] = threadIdx.x;
    BARRIER;
    out[threadIdx.x] = slots[threadIdx.x ^ 1];
    """,
)


def neighbours(barrier, seed):
    out = np.zeros(32, np.int32)
    build(NEIGHBOUR, "k", {"BARRIER": barrier})(1, 32, 128, out, seed=seed)
    return out


def test_a_missing_warp_barrier_shows_and_shared_memory_starts_as_rubbish():
    right = np.arange(32) ^ 1
    assert all(np.array_equal(neighbours("__syncwarp()", seed), right) for seed in SEEDS)
    missing = np.stack([neighbours("", seed) for seed in SEEDS])
    assert set(missing[missing != right]) == {-1}


def test_a_seed_repeats_itself():
    np.testing.assert_array_equal(neighbours("", 7), neighbours("", 7))
    assert any(not np.array_equal(neighbours("", 7), neighbours("", seed)) for seed in SEEDS)


COUNTERS = kernel(
    "float *total, float4 *totals, int *stale, long long n",
    """
    for (long long i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        atomicAdd(total, 1);
        atomicAdd(totals, make_float4(1.f, 2.f, 3.f, (float)i));
    }
    const int seen = *stale;
    __syncwarp();
    if (threadIdx.x == 0) *stale = seen + 1;
    """,
)


def count(seed, interleave):
    total, totals, stale = np.zeros(1, np.float32), np.zeros(4, np.float32), np.zeros(1, np.int32)
    build(COUNTERS, "k")(5, 64, 0, total, totals, stale, np.int64(1000), seed=seed, interleave=interleave)
    assert total[0] == 1000
    np.testing.assert_array_equal(totals, [1000, 2000, 3000, 499500])
    return stale[0]


def test_atomics_lose_nothing_and_interleaved_blocks_see_stale_values():
    assert {count(seed, interleave=False) for seed in SEEDS} == {5}
    interleaved = {count(seed, interleave=True) for seed in SEEDS}
    assert len(interleaved) > 1
    assert interleaved <= set(range(1, 6))


def test_arithmetic_is_that_of_the_device():
    body = """
    out[0] = __expf(1.f), out[1] = __logf(2.f), out[2] = __fdividef(1.f, 3.f), out[3] = __frcp_rn(4.f);
    out[4] = min(1.f, nanf("")), out[5] = max(nanf(""), 2.f), out[6] = min(3LL, 4), out[7] = max(3u, 4);
    out[8] = __ffs(12), out[9] = __popc(12), out[10] = __umulhi(1u << 31, 6u);
    out[11] = __uint_as_float(__float_as_uint(-1.5f)), out[12] = rsqrtf(16.f);
    """
    out = np.zeros(13, np.float32)
    build(kernel("float *out", body), "k")(1, 32, 0, out)
    np.testing.assert_allclose(out, [np.e, np.log(2), 1 / 3, 0.25, 1, 2, 3, 4, 3, 2, 3, -1.5, 0.25], rtol=1e-6)


def test_two_words_move_at_once():
    body = "if (threadIdx.x < 2) out[threadIdx.x] = make_uint2(in[threadIdx.x].y, in[threadIdx.x].x);"
    run = build(kernel("const uint2 *in, uint2 *out", body), "k")
    assert run.parameters == ["const uint32*", "uint32*"]
    out = np.zeros(4, np.uint32)
    run(1, 32, 0, np.array([1, 2, 3, 1 << 31], np.uint32), out)
    np.testing.assert_array_equal(out, [2, 1, 1 << 31, 3])


def test_null_pointers():
    body = "if (threadIdx.x == 0) out[0] = in ? in[0] : other ? 0.f : -1.f;"
    run = build(kernel("const float *in, float *other, float *out", body), "k")
    out = np.zeros(1, np.float32)
    for given, other, expected in [
        (None, None, -1),
        (None, np.zeros(1, np.float32), 0),
        (np.ones(1, np.float32), None, 1),
    ]:
        run(1, 32, 0, given, other, out)
        assert out[0] == expected
    with pytest.raises(KernelError, match="access memory far from every array"):
        run(1, 32, 0, np.ones(1, np.float32), None, None)


# What no kernel may do, and how it is reported. i is the thread of 64; n is 64; x and out have 64 floats.
FAULTS = [
    ("if (i == 63) out[n] = 1;", r"thread 63 .*: access 0 bytes past the end of argument 2$"),
    ("out[i - 5] = 1;", r"something was written just outside argument 2$"),
    ("if (i == 0) out[0] = x[1 << 12];", r"access 16128 bytes past the end of argument 1$"),
    ("out[1LL << 40] = 1;", r"access memory far from every array$"),
    ("if (i == 2) const_cast<float *>(x)[2] = 1;", r"access byte 8 of argument 1, which is const$"),
    ("if (i == 63) dynamic[i + 1] = 1;", r"access 0 bytes past the end of the dynamic shared memory$"),
    ("dynamic[i - 1] = 1;", r"something was written just outside the dynamic shared memory$"),
    ("fixed[i + 1] = 1;", r"LINE: index 64 is out of bounds$"),
    ("out[0] = deep(n * n);", r"bytes before the start of the thread's stack$"),
    ("*reinterpret_cast<float4 *>(out + 1) = make_float4(1, 1, 1, 1);", r"LINE: misaligned access$"),
    (
        "atomicAdd(reinterpret_cast<float4 *>(out + 1), make_float4(1, 1, 1, 1));",
        r"LINE: misaligned access of 16 bytes$",
    ),
    ("out[0] = n / (i - i);", r"integer division by zero$"),
    ("out[0] = 1 << n;", r"LINE: shift by 64 bits$"),
    ("while (*(volatile float *)out != 9) {}", r"the kernel does not end within its limit of processor time$"),
    ("if (i < 8) __syncwarp(0xFF);", r"LINE: only the full mask is supported, not 0xff$"),
    (
        "if (i == 3) return;",
        r"returned and never reaches __syncwarp in|returns, but others of its warp wait in __syncwarp",
    ),
    (
        "if (i > 31) return;",
        r"warp has returned and never reaches __syncthreads|returns, but others of its block wait",
    ),
    (
        "if (i < 7) __syncwarp();",
        r"meets __syncwarp in LINE, but other lanes .* LAST$|LAST, but other lanes .* LINE$",
    ),
    ("i & 1 ? __syncwarp() : void(__shfl_sync(~0u, i, 0));", r"meets __\w+ in LINE, but other lanes .* in LINE$"),
    ("if (i < 32) __syncthreads();", r"warps meet in different __syncthreads: lines \d+ and \d+$"),
]
LAST = "__syncwarp(); __syncthreads(); out[i] = fixed[i];"
DEEP = """__device__ float deep(int n) {
    volatile float own[64];
    for (int j = 0; j < 64; ++j) own[j] = n;
    return n ? deep(n - 1) + own[n % 64] : 0;
}
"""
FAULTY = DEEP + kernel(
    "int what, const float *x, float *out, int n",
    "\n".join([
        "extern __shared__ float dynamic[]; __shared__ float fixed[64]; const int i = threadIdx.x;",
        "__syncthreads();",
        "fixed[i] = dynamic[i] = x[i];",
        *(f"if (what == {what}) {{ {statement} }}" for what, (statement, _) in enumerate(FAULTS)),
        LAST,
    ]),
)  # fmt: skip


def line_with(text):
    return f"line {FAULTY[: FAULTY.index(text)].count(chr(10)) + 1}"


def run_faulty(what):
    x, out = np.ones(64, np.float32), np.zeros(64, np.float32)
    endless = "while" in (*FAULTS, ("", ""))[what][0]
    args = np.int32(what), x, out, np.int32(64)
    build(FAULTY, "k")(2, 64, 256, *args, seed=3, interleave=True, limit_s=0.2 if endless else 60)
    return out


@pytest.mark.parametrize("what", range(len(FAULTS)), ids=[statement for statement, _ in FAULTS])
def test_what_no_kernel_may_do_is_reported(what):
    statement, message = FAULTS[what]
    message = message.replace("LINE", line_with(statement)).replace("LAST", line_with(LAST))
    with pytest.raises(KernelError, match=message):
        run_faulty(what)
    assert run_faulty(len(FAULTS)).all(), "the machine works on after a fault"


def test_arguments_are_checked_against_the_declaration():
    run = build(FAULTY, "k")
    assert run.parameters == ["int32", "const float32*", "float32*", "int32"]
    what, n, x, out = np.int32(-1), np.int32(64), np.zeros(64, np.float32), np.zeros(64, np.float32)
    read_only = np.zeros(64, np.float32)
    read_only.flags.writeable = False
    run(1, 64, 256, what, read_only, out, n)
    for wrong, error, message in [
        ((what, x, out), TypeError, "k takes 4 arguments, not 3"),
        ((np.int64(-1), x, out, n), TypeError, "argument 0 is a int64 of int64, but the kernel declares int32"),
        ((-1, x, out, n), TypeError, "argument 0 is a int of no numpy type"),
        ((None, x, out, n), TypeError, "argument 0 is a NoneType of no numpy type"),
        ((what, x.astype(float), out, n), TypeError, "argument 1 is a ndarray of float64"),
        ((what, x, out, out), TypeError, "argument 3 is a ndarray of float32"),
        ((what, x, np.zeros(128, np.float32)[::2], n), ValueError, "argument 2 must be C-contiguous"),
        ((what, x, read_only, n), ValueError, "argument 2 must be .* writeable"),
        ((what, out[:32], out, n), ValueError, "arguments 1 and 2 share memory"),
    ]:
        with pytest.raises(error, match=message):
            run(1, 64, 256, *wrong)
    with pytest.raises(KernelError, match=r"a block has 32, 64, ... or 1024 threads"):
        run(1, 48, 256, what, x, out, n)
    with pytest.raises(KernelError, match="no device has so much shared memory"):
        run(1, 64, 1 << 20, what, x, out, n)


def test_a_source_that_does_not_compile_is_reported_with_its_line():
    with pytest.raises(KernelError, match=r"kernel.cu:2:\d+: error: .*Index"):
        build(kernel("int *out", "out[threadIdx.y] = 1;"), "k")


def test_without_a_compiler_only_continuous_integration_fails(monkeypatch):
    monkeypatch.setattr(cuda_emulation.shutil, "which", lambda name: None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="g\\+\\+ on Linux is missing"):
        build(NEIGHBOUR, "k")
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="g\\+\\+ on Linux is missing"):
        build(NEIGHBOUR, "k")


# One kernel without needs, one whose array is indexed dynamically, one with shared memory.
NEEDS = """
extern "C" __global__ void modest(float *x) { x[threadIdx.x] *= SCALE; }
extern "C" __global__ void stacked(float *x, const int *places) {
    float own[64];
    for (int j = 0; j < 64; ++j) own[j] = x[j];
    for (int j = 0; j < 64; ++j) own[places[j]] += 1.f;
    for (int j = 0; j < 64; ++j) x[j] = own[j];
}
extern "C" __global__ void shared(float *x) {
    __shared__ float tile[100];
    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = tile[99 - threadIdx.x];
}
"""


@pytest.mark.parametrize("arch", ["sm_75", "sm_90"])
def test_nvrtc_says_what_kernels_need(arch):
    assert arch in supported_archs()
    compiled = compile_for(NEEDS, arch, {"SCALE": "2.f"})
    assert compiled.keys() == {"modest", "stacked", "shared"}
    assert compiled["stacked"].stack_bytes == 256
    assert compiled["modest"].stack_bytes == compiled["shared"].stack_bytes == 0
    assert compiled["shared"].shared_bytes - compiled["modest"].shared_bytes == 400
    assert 0 < compiled["modest"].registers < 32
    assert compiled["modest"].cubin.startswith(b"\x7fELF")
    assert f".target {arch}" in compiled["modest"].ptx
    assert not has_float64(compiled["modest"].ptx)


def test_nvrtc_reports_spills():
    body = "float own[200];\n" + "\n".join(
        ["#pragma unroll", "for (int j = 0; j < 200; ++j) own[j] = x[j * 32 + threadIdx.x];"]
        + ["__syncthreads();", "#pragma unroll", "for (int j = 0; j < 200; ++j) x[j] = own[199 - j];"]
    )
    (spilling,) = compile_for(kernel("float *x", body), "sm_80", options=["--maxrregcount=32"]).values()
    assert spilling.spill_bytes > 0
    assert spilling.registers <= 32


def test_double_precision_is_found():
    (double,) = compile_for(kernel("float *x", "x[0] *= 1.1;"), "sm_80").values()
    assert has_float64(double.ptx)
    (single,) = compile_for(kernel("float *x", "x[0] *= 1.1f; // no double, .f64"), "sm_80").values()
    assert not has_float64(single.ptx)
    assert not has_float64("// .f64 in a comment\nmov.f32 %f1, %f2;")


def test_nvrtc_refuses_with_its_log():
    with pytest.raises(CompileError, match=r'kernel.cu\(2\): error: identifier "nothing" is undefined'):
        compile_for(kernel("float *x", "nothing = 1;"), "sm_80")


def scale(x, factor):
    for i in range(x.shape[0]):
        x[i] *= factor


def test_numba_kernels_compile_to_ptx():
    cuda = pytest.importorskip("numba.cuda")
    single = compile_numba(scale, "void(float32[::1], float32)", (7, 5))
    assert ".target sm_75" in single
    assert not has_float64(single)
    assert has_float64(compile_numba(cuda.jit(scale), "void(float32[::1], float64)", (9, 0)))
