// What the row-wise kernels are made of: a row spread over the lanes of a warp, and sums over the warp.
//
// A row of PITCH floats lies in SLICES float4 per lane: lane l holds floats 4l … 4l+3 of every 128. Floats past the
// end of a row are zeros in registers and are never read or written in memory. A pointer to a row is the lane's own:
// it points to the lane's first float4, and the next one is LANES further.
//
// The loader puts the constants in front of this text: PITCH (floats per row in memory, a multiple of 4).

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

// A row of a matrix in global memory, whose first row is at `first`: one multiplication and addition in 64 bits.
__device__ __forceinline__ float4* row_of(float4* first, int row) {
    return reinterpret_cast<float4*>(reinterpret_cast<char*>(first) + static_cast<long long>(row) * (PITCH * 4));
}

__device__ __forceinline__ void read_row(Row& row, const float4* from, int lane) {
#pragma unroll
    for (int v = 0; v < SLICES; v++) row.part[v] = holds(v, lane) ? read_shared_row(from + v * LANES) : zero4();
}

// from: shared memory of this warp or block
__device__ __forceinline__ void take_row(Row& row, const float4* from, int lane) {
#pragma unroll
    for (int v = 0; v < SLICES; v++) row.part[v] = holds(v, lane) ? from[v * LANES] : zero4();
}

__device__ __forceinline__ void take_sum(Row& row, const float4* one, const float4* other, int lane) {
#pragma unroll
    for (int v = 0; v < SLICES; v++)
        row.part[v] = holds(v, lane) ? plus(one[v * LANES], other[v * LANES]) : zero4();
}

__device__ __forceinline__ void put_row(float4* to, const Row& row, int lane) {
#pragma unroll
    for (int v = 0; v < SLICES; v++)
        if (holds(v, lane)) to[v * LANES] = row.part[v];
}

// Sums over a warp, COUNT of them at once, by halving: of the lanes that hold the same numbers, the lower half keeps
// the first (COUNT + 1) / 2 and gets the other half's shares of them, the upper half keeps the rest. So n sums cost
// about n shuffles in place of 5 n. Written as a recursion, because arrays stay in registers only where all indices
// are constants. OFFSET: half the number of lanes that still hold the same numbers.
template <int COUNT, int OFFSET>
struct Halving {
    static constexpr int KEPT = (COUNT + 1) / 2;

    static __device__ __forceinline__ float sum(const float (&z)[COUNT], int lane) {
        const bool upper = lane & OFFSET;
        float half[KEPT];
#pragma unroll
        for (int i = 0; i < KEPT; i++) {
            const float second = i + KEPT < COUNT ? z[i + KEPT < COUNT ? i + KEPT : 0] : 0.f;
            half[i] = (upper ? second : z[i]) + __shfl_xor_sync(EVERYONE, upper ? z[i] : second, OFFSET);
        }
        return Halving<KEPT, OFFSET / 2>::sum(half, lane);
    }

    // Which sum a lane ends with, −1 for none.
    static __device__ __forceinline__ int number(int lane) {
        const int inner = Halving<KEPT, OFFSET / 2>::number(lane);
        if (!(lane & OFFSET)) return inner;
        return inner < 0 || inner + KEPT >= COUNT ? -1 : inner + KEPT;
    }

    // Whether a lane is the first of those that end with the same sum.
    static __device__ __forceinline__ bool speaks(int lane) { return Halving<KEPT, OFFSET / 2>::speaks(lane); }
};

template <int OFFSET>
struct Halving<1, OFFSET> {
    static __device__ __forceinline__ float sum(const float (&z)[1], int lane) {
        const float both[1] = {z[0] + __shfl_xor_sync(EVERYONE, z[0], OFFSET)};
        return Halving<1, OFFSET / 2>::sum(both, lane);
    }

    static __device__ __forceinline__ int number(int) { return 0; }
    static __device__ __forceinline__ bool speaks(int lane) { return lane % (2 * OFFSET) == 0; }
};

template <>
struct Halving<1, 0> {
    static __device__ __forceinline__ float sum(const float (&z)[1], int) { return z[0]; }
    static __device__ __forceinline__ int number(int) { return 0; }
    static __device__ __forceinline__ bool speaks(int) { return true; }
};

// s σ(−s z), the step before the learning rate; loss gets log(1 + exp(−s z)), nats. s = ±1.
__device__ __forceinline__ float logistic(float s, float z, float& loss) {
    const float y = s * z;
    const float t = __expf(-fabsf(y));
    const float r = __fdividef(1.f, 1.f + t);
    loss = __logf(1.f + t) - fminf(y, 0.f);
    return s * (y < 0.f ? r : t * r);
}
