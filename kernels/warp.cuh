// What the row-wise kernels are made of: a row spread over the lanes of a warp, and sums over the warp.
//
// A row of PITCH floats lies in SLICES float4 per lane: lane l holds floats 4l … 4l+3 of every 128. Floats past the
// end of a row are zeros in registers and are never read or written in memory.
//
// The loader puts the constants in front of this text: PITCH (floats per row in memory, a multiple of 4).

typedef unsigned long long u64;

constexpr int LANES = 32;
constexpr unsigned EVERYONE = 0xffffffffu;
constexpr int QUADS = PITCH / 4;                       // float4 per row
constexpr int SLICES = (QUADS + LANES - 1) / LANES;    // float4 per lane
constexpr bool WHOLE = QUADS % LANES == 0;             // no lane idles in the last slice

struct Row {
    float4 part[SLICES];
};

__device__ __forceinline__ bool holds(int slice, int lane) {
    return WHOLE || slice + 1 < SLICES || slice * LANES + lane < QUADS;
}

__device__ __forceinline__ float4 zero4() { return make_float4(0.f, 0.f, 0.f, 0.f); }

__device__ __forceinline__ float4 plus(float4 a, float4 b) {
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

__device__ __forceinline__ float4 minus(float4 a, float4 b) {
    return make_float4(a.x - b.x, a.y - b.y, a.z - b.z, a.w - b.w);
}

__device__ __forceinline__ float4 times(float s, float4 a) {
    return make_float4(s * a.x, s * a.y, s * a.z, s * a.w);
}

// sum + s a
__device__ __forceinline__ float4 axpy(float s, float4 a, float4 sum) {
    return make_float4(fmaf(s, a.x, sum.x), fmaf(s, a.y, sum.y), fmaf(s, a.z, sum.z), fmaf(s, a.w, sum.w));
}

__device__ __forceinline__ float dot4(float4 a, float4 b, float sum) {
    return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

// Reads past the first-level cache, which other multiprocessors' writes do not reach; stays where it stands among the
// writes around it.
__device__ __forceinline__ float4 read_shared_row(const float4* from) {
#ifdef CUDA_ON_CPU
    return *from;
#else
    float4 a;
    asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(a.x), "=f"(a.y), "=f"(a.z), "=f"(a.w) : "l"(from) : "memory");
    return a;
#endif
}

// Adds to memory that others add to: one 16-byte reduction where the device has it, four of 4 bytes elsewhere.
__device__ __forceinline__ void add_to_shared_row(float4* to, float4 a) {
#ifdef CUDA_ON_CPU
    atomicAdd(to, a);
#elif __CUDA_ARCH__ >= 900
    asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};"
                 :: "l"(to), "f"(a.x), "f"(a.y), "f"(a.z), "f"(a.w) : "memory");
#else
    float* const floats = reinterpret_cast<float*>(to);
    atomicAdd(floats, a.x);
    atomicAdd(floats + 1, a.y);
    atomicAdd(floats + 2, a.z);
    atomicAdd(floats + 3, a.w);
#endif
}

__device__ __forceinline__ float4* row_of(float* matrix, int row) {
    return reinterpret_cast<float4*>(matrix) + static_cast<u64>(row) * QUADS;
}

__device__ __forceinline__ void read_row(Row& row, const float4* from, int lane) {
#pragma unroll
    for (int v = 0; v < SLICES; v++)
        row.part[v] = holds(v, lane) ? read_shared_row(from + v * LANES + lane) : zero4();
}

// from: shared memory of this warp or block
__device__ __forceinline__ void take_row(Row& row, const float4* from, int lane) {
#pragma unroll
    for (int v = 0; v < SLICES; v++) row.part[v] = holds(v, lane) ? from[v * LANES + lane] : zero4();
}

__device__ __forceinline__ void put_row(float4* to, const Row& row, int lane) {
#pragma unroll
    for (int v = 0; v < SLICES; v++)
        if (holds(v, lane)) to[v * LANES + lane] = row.part[v];
}

// Sums over the warp of NUMBERS numbers at once, a power of two: a butterfly in which every step halves the numbers
// that a lane still carries, so that n of them cost about n shuffles in place of 5 n. A lane ends with the sum of number
// number_of_lane(lane). Written as a recursion, because the arrays stay in registers only where all indices are
// constants.
template <int NUMBERS, int OFFSET>
__device__ __forceinline__ float halve_over_warp(const float (&z)[NUMBERS], int lane) {
    if constexpr (OFFSET == 0) {
        return z[0];
    } else if constexpr (NUMBERS == 1) {
        const float sum[1] = {z[0] + __shfl_xor_sync(EVERYONE, z[0], OFFSET)};
        return halve_over_warp<1, OFFSET / 2>(sum, lane);
    } else {
        const bool upper = lane & OFFSET;
        float half[NUMBERS / 2];
#pragma unroll
        for (int i = 0; i < NUMBERS / 2; i++) {
            const float given = upper ? z[i] : z[i + NUMBERS / 2];
            const float kept = upper ? z[i + NUMBERS / 2] : z[i];
            half[i] = kept + __shfl_xor_sync(EVERYONE, given, OFFSET);
        }
        return halve_over_warp<NUMBERS / 2, OFFSET / 2>(half, lane);
    }
}

template <int NUMBERS>
__device__ __forceinline__ float sum_over_warp(const float (&z)[NUMBERS], int lane) {
    return halve_over_warp<NUMBERS, LANES / 2>(z, lane);
}

template <int NUMBERS>
__device__ __forceinline__ int number_of_lane(int lane) {
    return lane / (LANES / NUMBERS);
}

// Whether a lane is the first of those that hold the same sum.
template <int NUMBERS>
__device__ __forceinline__ bool speaks(int lane) {
    return lane % (LANES / NUMBERS) == 0;
}

// s σ(−s z), the step before the learning rate; loss gets log(1 + exp(−s z)), nats. s = ±1.
__device__ __forceinline__ float logistic(float s, float z, float& loss) {
    const float y = s * z;
    const float t = __expf(-fabsf(y));
    const float r = __fdividef(1.f, 1.f + t);
    loss = __logf(1.f + t) - fminf(y, 0.f);
    return s * (y < 0.f ? r : t * r);
}
