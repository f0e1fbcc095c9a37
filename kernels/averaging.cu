// Rows of replicas, packed for a sum over them and set to its mean: a warp per row.
//
// Reference: averaging_cpu.py. The loader puts the constants in front of this text: WARPS (of a block).
//
// A packed row is one float longer than a row, so that float4 would not be aligned: lanes take a float each, next to
// each other.

constexpr int LANES = 32;
constexpr unsigned EVERYONE = 0xffffffffu;

// Into packed (rows, columns + 1): rows that differ from reference, with a 1 behind them; zeros for the others.
// values: floats from one row to the next are value_pitch; reference: reference_pitch.
extern "C" __global__ void __launch_bounds__(WARPS * LANES) pack_changed_rows(
    const float* __restrict__ values, long long value_pitch, const float* __restrict__ reference,
    long long reference_pitch, long long rows, int columns, float* __restrict__ packed) {
    const long long row = static_cast<long long>(blockIdx.x) * WARPS + threadIdx.x / LANES;
    const int lane = threadIdx.x % LANES;
    if (row >= rows) return;
    const float* mine = values + row * value_pitch;
    const float* known = reference + row * reference_pitch;
    float* out = packed + row * (columns + 1LL);
    bool differs = false;
    for (int column = lane; column < columns; column += LANES) differs |= mine[column] != known[column];
    differs = __any_sync(EVERYONE, differs);
    for (int column = lane; column < columns; column += LANES) out[column] = differs ? mine[column] : 0.f;
    if (lane == 0) out[columns] = differs ? 1.f : 0.f;
}

// values and reference become a row's sum over the number behind it, where that is not 0.
extern "C" __global__ void __launch_bounds__(WARPS * LANES) unpack_means(
    const float* __restrict__ packed, long long rows, int columns, float* __restrict__ values, long long value_pitch,
    float* __restrict__ reference, long long reference_pitch) {
    const long long row = static_cast<long long>(blockIdx.x) * WARPS + threadIdx.x / LANES;
    const int lane = threadIdx.x % LANES;
    if (row >= rows) return;
    const float* sums = packed + row * (columns + 1LL);
    const float members = sums[columns];
    if (!(members > 0.f)) return;
    float* mine = values + row * value_pitch;
    float* known = reference + row * reference_pitch;
    for (int column = lane; column < columns; column += LANES) {
        const float mean = sums[column] / members;
        mine[column] = mean;
        known[column] = mean;
    }
}
