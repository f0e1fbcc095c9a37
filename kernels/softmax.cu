// The block-softmax family on a GPU (full, class-based and adaptive softmax; Grave et al. 2017): what lies between the
// large products, which are cuBLAS's, and the many small products of class-based softmax ("grouped").
//
// For every distinct input c of a batch, with hidden vector h, n = weights[c] pairs and n_o pairs with target o:
//   z = w h + b;  loss = n logsumexp(z) − Σ n_o z_o, nats;  g = d loss / d z = n softmax(z), less n_o at the targets.
// Updates are row-wise Adagrad: a += mean of d², w −= rate d / √(a + EPSILON).
//
// Matrices are row-major, with a pitch: elements from one row to the next. Places in a matrix are computed in 64 bits.
// Sums, parameters and losses are float32; what cuBLAS multiplies is of type `operand`, float32 or bfloat16 as its 16
// bits. Kernels handle four floats at once where the addresses and pitches of all the matrices that they meet there
// are multiples of four elements, and single floats elsewhere. No kernel races: each float of the results is written
// by one thread, or by two with a barrier between them, so that every launch gives the same bits.
// Grids must not be empty; how many blocks and threads a launch takes is said by softmax.py.
//
// Spliced in front: OPERAND_BF16; GATHER_THREADS, GATHER_ROWS (per block); SUM_WARPS, SUM_TOGETHER (summands that one
// warp adds by itself); ADAGRAD_WARPS; SOFTMAX_THREADS, at most; GROUPED_WARPS; TILE, TILE_THREADS.

constexpr int LANES = 32;
constexpr unsigned EVERYONE = 0xffffffffu;
constexpr float EPSILON = 1e-10f;  // Adagrad's: a row that never had a gradient stays finite
constexpr int AHEAD = 4;           // packs that a thread asks for before it needs the first
constexpr float LOWEST = -3e38f;   // of nothing: finite, so that differences of two of it are no NaN

#if OPERAND_BF16
using operand = unsigned short;
#else
using operand = float;
#endif

// ---- One or four floats at a time. ----

template <int N>
struct Pack {
    float at[N];
};

template <int N>
__device__ __forceinline__ Pack<N> all_of(float value) {
    Pack<N> pack;
#pragma unroll
    for (int i = 0; i < N; i++) pack.at[i] = value;
    return pack;
}

template <int N>
__device__ __forceinline__ Pack<N> take(const float* from) {
    Pack<N> pack;
    if constexpr (N == 4) {
        const float4 four = *reinterpret_cast<const float4*>(from);
        pack.at[0] = four.x;
        pack.at[1] = four.y;
        pack.at[2] = four.z;
        pack.at[3] = four.w;
    } else {
        pack.at[0] = *from;
    }
    return pack;
}

// The first `left` of them, and zeros.
template <int N>
__device__ __forceinline__ void cut(Pack<N>& pack, int left) {
#pragma unroll
    for (int i = 0; i < N; i++) pack.at[i] = i < left ? pack.at[i] : 0.f;
}

// The same from memory, which belongs to the row for the whole pack if left > 0.
template <int N>
__device__ __forceinline__ Pack<N> take_first(const float* from, int left) {
    Pack<N> pack = all_of<N>(0.f);
    if (left > 0) pack = take<N>(from);
    cut(pack, left);
    return pack;
}

// The nearest bfloat16, the even one of two; NaN stays NaN. Bits, because sm_75 has no instruction for it, and the same
// bits everywhere are worth more than what it would save: the kernels wait for memory.
__device__ __forceinline__ unsigned bfloat16_bits(float value) {
    const unsigned bits = __float_as_uint(value);
    const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    return nan ? (bits >> 16) | 0x40u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

template <int N>
__device__ __forceinline__ void put(float* to, const Pack<N>& pack) {
    if constexpr (N == 4)
        *reinterpret_cast<float4*>(to) = make_float4(pack.at[0], pack.at[1], pack.at[2], pack.at[3]);
    else *to = pack.at[0];
}

template <int N>
__device__ __forceinline__ void put(unsigned short* to, const Pack<N>& pack) {
    if constexpr (N == 4)
        *reinterpret_cast<uint2*>(to) = make_uint2(bfloat16_bits(pack.at[0]) | bfloat16_bits(pack.at[1]) << 16,
                                                   bfloat16_bits(pack.at[2]) | bfloat16_bits(pack.at[3]) << 16);
    else *to = static_cast<unsigned short>(bfloat16_bits(pack.at[0]));
}

// Whether a matrix can be accessed four elements at a time; so can one that is not there.
template <class T>
__device__ __forceinline__ bool in_fours(const T* first, int pitch) {
    return reinterpret_cast<unsigned long long>(first) % (4 * sizeof(T)) == 0 && pitch % 4 == 0;
}

__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
    for (int bits = LANES / 2; bits; bits /= 2) value += __shfl_xor_sync(EVERYONE, value, bits);
    return value;
}

// ---- Rows: gathered, summed, updated. ----

template <int N>
__device__ __forceinline__ void gather(const float* __restrict__ matrix, int pitch, int width,
                                       const int* __restrict__ rows, int n, operand* __restrict__ out, int out_pitch) {
    const unsigned packs = out_pitch / N;
    const int first = blockIdx.x * GATHER_ROWS, count = min(GATHER_ROWS, n - first);
    for (unsigned i = threadIdx.x; i < count * packs; i += AHEAD * GATHER_THREADS) {
        int column[AHEAD], from[AHEAD];
        long long to[AHEAD];
        Pack<N> got[AHEAD];
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            const unsigned at = min(i + a * GATHER_THREADS, count * packs - 1);  // the last, again and again
            from[a] = first + static_cast<int>(at / packs);
            column[a] = static_cast<int>(at % packs) * N;
            to[a] = static_cast<long long>(from[a]) * out_pitch + column[a];
        }
        if (rows) {
#pragma unroll
            for (int a = 0; a < AHEAD; a++) from[a] = rows[from[a]];
        }
#pragma unroll
        for (int a = 0; a < AHEAD; a++)
            got[a] = take_first<N>(matrix + static_cast<long long>(from[a]) * pitch + column[a], width - column[a]);
#pragma unroll
        for (int a = 0; a < AHEAD; a++)
            if (i + a * GATHER_THREADS < count * packs) put<N>(out + to[a], got[a]);
    }
}

// out[i] = matrix[rows[i]] as operands, for i < n; without rows it converts matrix[i]. Columns from width to out_pitch
// become zero. GATHER_ROWS rows per block, whose threads go through all of their packs: none idles in short rows.
extern "C" __global__ void __launch_bounds__(GATHER_THREADS) gather_rows(
    const float* __restrict__ matrix, int pitch,  // rows of at least `width` floats
    int width,
    const int* __restrict__ rows,                 // (n,) or null
    int n, operand* __restrict__ out, int out_pitch) {
    if (in_fours(matrix, pitch) && in_fours(out, out_pitch)) gather<4>(matrix, pitch, width, rows, n, out, out_pitch);
    else gather<1>(matrix, pitch, width, rows, n, out, out_pitch);
}

// What a lane's columns of rows index[k] add up to, for k = begin, begin + stride, … < end; `left` of them count.
template <int N>
__device__ __forceinline__ Pack<N> add_up(const float* __restrict__ columns, int pitch, int left,
                                          const int* __restrict__ index, long long begin, long long end, int stride) {
    Pack<N> sum = all_of<N>(0.f);
    if (left <= 0) return sum;
#pragma unroll 4
    for (long long k = begin; k < end; k += stride) {
        const Pack<N> row = take<N>(columns + static_cast<long long>(index[k]) * pitch);
#pragma unroll
        for (int i = 0; i < N; i++) sum.at[i] += row.at[i];
    }
    cut(sum, left);
    return sum;
}

template <int N>
__device__ __forceinline__ void put_sum(float* to, Pack<N> sum, float scale, bool accumulate) {
    Pack<N> before = all_of<N>(0.f);
    if (accumulate) before = take<N>(to);
#pragma unroll
    for (int i = 0; i < N; i++) sum.at[i] = before.at[i] + scale * sum.at[i];
    put<N>(to, sum);
}

template <int N>
__device__ __forceinline__ void sum_up(const float* __restrict__ matrix, int pitch, int width,
                                       const long long* __restrict__ begins, const int* __restrict__ index, int rows,
                                       bool mean, bool accumulate, float* __restrict__ out, int out_pitch,
                                       float* parts, long long (*together)[2]) {
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    const int row = warp * gridDim.x + blockIdx.x;
    const long long begin = row < rows ? begins[row] : 0, end = row < rows ? begins[row + 1] : 0;
    const bool alone = end - begin <= SUM_TOGETHER;
    auto scale_of = [&](long long count) { return mean && count > 0 ? 1.f / static_cast<float>(count) : 1.f; };
    if (row < rows && alone) {
        for (int column = lane * N; column < out_pitch; column += LANES * N)
            put_sum<N>(out + static_cast<long long>(row) * out_pitch + column,
                       add_up<N>(matrix + column, pitch, width - column, index, begin, end, 1),
                       scale_of(end - begin), accumulate);
    }
    if (lane == 0) {
        together[warp][0] = alone ? 0 : begin;
        together[warp][1] = alone ? 0 : end;
    }
    __syncthreads();
    for (int w = 0; w < SUM_WARPS; w++) {
        const long long its_begin = together[w][0], its_end = together[w][1];
        if (its_begin == its_end) continue;
        float* const its_out = out + static_cast<long long>(w * gridDim.x + blockIdx.x) * out_pitch;
        for (int first = 0; first < out_pitch; first += LANES * N) {
            const int column = first + lane * N;
            put<N>(parts + threadIdx.x * N, add_up<N>(matrix + column, pitch, width - column, index, its_begin + warp,
                                                      its_end, SUM_WARPS));
            __syncthreads();
            if (warp == 0 && column < out_pitch) {
                Pack<N> sum = all_of<N>(0.f);
#pragma unroll
                for (int other = 0; other < SUM_WARPS; other++) {
                    const Pack<N> part = take<N>(parts + (other * LANES + lane) * N);
#pragma unroll
                    for (int i = 0; i < N; i++) sum.at[i] += part.at[i];
                }
                put_sum<N>(its_out + column, sum, scale_of(its_end - its_begin), accumulate);
            }
            __syncthreads();
        }
    }
}

// out[r] = Σ matrix[index[k]] for k from begins[r] to begins[r + 1]; mean: divided by their number (zeros for none);
// accumulate: added to what is in out[r]. Columns from width to out_pitch get zeros, or keep what they are.
// A warp per row, which holds 128 columns in registers at a time. A row of more than SUM_TOGETHER summands (the
// gradients of a frequent word) is summed by all warps of its block, after their own rows; shared memory holds the
// sums of each. Warp w of block b has row w · blocks + b: frequent words, which are neighbours, get blocks of their own.
extern "C" __global__ void __launch_bounds__(SUM_WARPS * LANES) sum_rows(
    const float* __restrict__ matrix, int pitch,  // rows of at least `width` floats
    int width,
    const long long* __restrict__ begins,         // (rows + 1,)
    const int* __restrict__ index,
    int rows, int mean, int accumulate, float* __restrict__ out, int out_pitch) {
    __shared__ float4 parts[SUM_WARPS * LANES];
    __shared__ long long together[SUM_WARPS][2];  // first and last summand of the long rows; empty for others
    float* const floats = reinterpret_cast<float*>(parts);
    if (in_fours(matrix, pitch) && in_fours(out, out_pitch))
        sum_up<4>(matrix, pitch, width, begins, index, rows, mean, accumulate, out, out_pitch, floats, together);
    else sum_up<1>(matrix, pitch, width, begins, index, rows, mean, accumulate, out, out_pitch, floats, together);
}

// HELD packs per lane stay in registers; longer rows read the rest of their gradient again.
template <int N>
__device__ __forceinline__ void adagrad(const float* __restrict__ gradient, int width, float rate,
                                        float* __restrict__ row, float* __restrict__ accumulator,
                                        operand* __restrict__ shadow) {
    constexpr int HELD = 3, STEP = LANES * N;
    const int lane = threadIdx.x % LANES;
    const float before = *accumulator;
    Pack<N> d[HELD], w[HELD];
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        const int column = i * STEP + lane * N;
        d[i] = take_first<N>(gradient + column, width - column);
        w[i] = column < width ? take<N>(row + column) : all_of<N>(0.f);
    }
    float squares = 0.f;
    auto square = [&](const Pack<N>& of) {
#pragma unroll
        for (int i = 0; i < N; i++) squares += of.at[i] * of.at[i];
    };
#pragma unroll
    for (int i = 0; i < HELD; i++) square(d[i]);
    for (int column = HELD * STEP + lane * N; column < width; column += STEP)
        square(take_first<N>(gradient + column, width - column));
    const float after = before + warp_sum(squares) / static_cast<float>(width);  // all lanes have read `before`
    if (lane == 0) *accumulator = after;

    const float step = rate * rsqrtf(after + EPSILON);
    auto update = [&](int column, const Pack<N>& of, Pack<N> value) {
        if (column >= width) return;
#pragma unroll
        for (int i = 0; i < N; i++) value.at[i] -= step * of.at[i];
        put<N>(row + column, value);
        if (shadow) put<N>(shadow + column, value);
    };
#pragma unroll
    for (int i = 0; i < HELD; i++) update(i * STEP + lane * N, d[i], w[i]);
    for (int column = HELD * STEP + lane * N; column < width; column += STEP)
        update(column, take_first<N>(gradient + column, width - column), take<N>(row + column));
}

// Row-wise Adagrad: for i < n and r = rows[i] (distinct), or i without rows: accumulators[r] += mean of gradient[i]²,
// matrix[r] −= rate gradient[i] / √(accumulators[r] + EPSILON), and its operands go to shadow[r], unless that is null.
// A warp per row: gradient and row in registers, up to 384 columns. Columns from width on stay as they are.
extern "C" __global__ void __launch_bounds__(ADAGRAD_WARPS * LANES) adagrad_rows(
    const float* __restrict__ gradient, int gradient_pitch,
    const int* __restrict__ rows,                    // (n,) or null
    int n, int width, float rate,
    float* __restrict__ matrix, int pitch, float* __restrict__ accumulators,
    operand* __restrict__ shadow) {                  // rows of the same pitch as the matrix, or null
    const int i = blockIdx.x * ADAGRAD_WARPS + threadIdx.x / LANES;
    if (i >= n) return;
    const long long r = rows ? rows[i] : i;
    const float* const d = gradient + static_cast<long long>(i) * gradient_pitch;
    operand* const its_shadow = shadow ? shadow + r * pitch : nullptr;
    if (in_fours(gradient, gradient_pitch) && in_fours(matrix, pitch) && in_fours(shadow, pitch))
        adagrad<4>(d, width, rate, matrix + r * pitch, accumulators + r, its_shadow);
    else adagrad<1>(d, width, rate, matrix + r * pitch, accumulators + r, its_shadow);
}

// ---- Softmax. ----

// Of some logits: the highest, and Σ exp(z − highest); read once, in any order.
struct Running {
    float highest, sum;

    template <int N>
    __device__ __forceinline__ void include(const Pack<N>& z) {
        float top = z.at[0];
#pragma unroll
        for (int i = 1; i < N; i++) top = fmaxf(top, z.at[i]);
        if (top > highest) {
            sum *= __expf(highest - top);
            highest = top;
        }
#pragma unroll
        for (int i = 0; i < N; i++) sum += __expf(z.at[i] - highest);
    }

    __device__ __forceinline__ void merge(float other_highest, float other_sum) {
        const float top = fmaxf(highest, other_highest);
        sum = sum * __expf(highest - top) + other_sum * __expf(other_highest - top);
        highest = top;
    }

    __device__ __forceinline__ void merge_warp() {
#pragma unroll
        for (int bits = LANES / 2; bits; bits /= 2)
            merge(__shfl_xor_sync(EVERYONE, highest, bits), __shfl_xor_sync(EVERYONE, sum, bits));
    }
};

// A logit that is none: it adds nothing to a sum, whatever the highest.
__device__ __forceinline__ float no_logit() { return __uint_as_float(0xff800000u); }

template <int N>
__device__ __forceinline__ Pack<N> biased(const float* logits, const float* bias, int column) {
    Pack<N> z = take<N>(logits + column);
    if (bias) {
        const Pack<N> b = take<N>(bias + column);
#pragma unroll
        for (int i = 0; i < N; i++) z.at[i] += b.at[i];
    }
    return z;
}

// AHEAD packs of logits, `stride` columns apart.
template <int N>
__device__ __forceinline__ void take_ahead(Pack<N> (&z)[AHEAD], const float* __restrict__ logits,
                                           const float* __restrict__ bias, int column, int stride) {
#pragma unroll
    for (int a = 0; a < AHEAD; a++) z[a] = take<N>(logits + column + a * stride);
    if (!bias) return;
    Pack<N> b[AHEAD];
#pragma unroll
    for (int a = 0; a < AHEAD; a++) b[a] = take<N>(bias + column + a * stride);
#pragma unroll
    for (int a = 0; a < AHEAD; a++) {
#pragma unroll
        for (int i = 0; i < N; i++) z[a].at[i] += b[a].at[i];
    }
}

// What a row's targets add to its loss, Σ n_o (highest − z_o), and Σ n_o. In place of Σ n_o z_o it loses no digits where
// logits are large.
struct Met {
    float away, weight;

    __device__ __forceinline__ void include(float share, float difference) {
        away += share * difference;
        weight += share;
    }

    __device__ __forceinline__ void merge_warp() {
        away = warp_sum(away);
        weight = warp_sum(weight);
    }

    __device__ __forceinline__ float loss(float n, const Running& over) const {
        return n * logf(over.sum) + away + (n - weight) * over.highest;
    }
};

template <int N>
__device__ __forceinline__ void softmax_row(const float* __restrict__ logits, int columns,
                                            const float* __restrict__ bias, float n, int first_target, int last_target,
                                            const int* __restrict__ target_columns,
                                            const float* __restrict__ target_weights, operand* __restrict__ gradient,
                                            int gradient_pitch, float* __restrict__ loss, float2 (*parts)[LANES]) {
    const int threads = blockDim.x, lane = threadIdx.x % LANES, warp = threadIdx.x / LANES, warps = threads / LANES;
    const int thread = threadIdx.x, stride = threads * N;
    const int whole = columns / N * N;                                       // columns that come in packs
    const int rounds = max(0, whole / N - thread + threads - 1) / threads;  // packs of this thread, stride apart
    const float* const z_mine = logits + thread * N;
    const float* const bias_mine = bias ? bias + thread * N : nullptr;

    Running over = {LOWEST, 0.f};
    int round = 0;
    for (; round + AHEAD <= rounds; round += AHEAD) {
        Pack<N> z[AHEAD];
        take_ahead<N>(z, z_mine, bias_mine, round * stride, stride);
#pragma unroll
        for (int a = 0; a < AHEAD; a++) over.include(z[a]);
    }
#pragma unroll 1
    for (; round < rounds; round++) over.include(biased<N>(z_mine, bias_mine, round * stride));
#pragma unroll 1
    for (int column = whole + thread; column < columns; column += threads)
        over.include(biased<1>(logits, bias, column));
    over.merge_warp();
    if (lane == 0) parts[0][warp] = make_float2(over.highest, over.sum);
    __syncthreads();
    over = {lane < warps ? parts[0][lane].x : LOWEST, lane < warps ? parts[0][lane].y : 0.f};
    over.merge_warp();

    const float scale = n / over.sum;
    if (gradient) {
        auto put_share = [&](int at, Pack<N> z) {
#pragma unroll
            for (int i = 0; i < N; i++) z.at[i] = scale * __expf(z.at[i] - over.highest);
            put<N>(gradient + thread * N + at, z);
        };
        // Backwards, since the end of the row is what the caches still hold.
#pragma unroll 1
        for (int column = whole + thread; column < gradient_pitch; column += threads) {
            const bool is_one = column < columns;
            const float z = is_one ? biased<1>(logits, bias, column).at[0] : 0.f;
            put<1>(gradient + column, all_of<1>(is_one ? scale * __expf(z - over.highest) : 0.f));
        }
        round = rounds;
#pragma unroll 1
        while (round % AHEAD) {
            round--;
            put_share(round * stride, biased<N>(z_mine, bias_mine, round * stride));
        }
        while (round) {
            round -= AHEAD;
            Pack<N> z[AHEAD];
            take_ahead<N>(z, z_mine, bias_mine, round * stride, stride);
#pragma unroll
            for (int a = 0; a < AHEAD; a++) put_share((round + a) * stride, z[a]);
        }
        __syncthreads();
    }

    // Targets are computed once more, not corrected: their operands are rounded already.
    Met met = {0.f, 0.f};
#pragma unroll 1
    for (int k = first_target + thread; k < last_target; k += threads) {
        const int column = target_columns[k];
        const float share = target_weights[k], z = biased<1>(logits, bias, column).at[0];
        met.include(share, over.highest - z);
        if (gradient) put<1>(gradient + column, all_of<1>(scale * __expf(z - over.highest) - share));
    }
    met.merge_warp();
    if (lane == 0) parts[1][warp] = make_float2(met.away, met.weight);
    __syncthreads();
    if (warp == 0) {
        met = {lane < warps ? parts[1][lane].x : 0.f, lane < warps ? parts[1][lane].y : 0.f};
        met.merge_warp();
        if (lane == 0) *loss = met.loss(n, over);
    }
}

// Row r of a tile of logits, without their biases: losses[r], and gradient[r] unless gradient is null; columns of it
// from `columns` to its pitch become zero. It must not overlap the logits.
// A block per row, of 32 … SOFTMAX_THREADS threads. One pass over the row finds highest and sum, another writes; a
// third over the targets, whose columns are distinct, writes them again behind a barrier. Threads' and warps' sums are
// in registers, those of the block in shared memory.
extern "C" __global__ void __launch_bounds__(SOFTMAX_THREADS) softmax_gradient(
    const float* __restrict__ logits, int pitch, int columns,  // columns ≥ 1
    const float* __restrict__ bias,                            // (columns,) or null
    const float* __restrict__ weights,                         // (rows,) pairs of each row
    const int* __restrict__ target_begins,                     // (rows + 1,) places in the two lists that follow
    const int* __restrict__ target_columns, const float* __restrict__ target_weights,
    operand* __restrict__ gradient, int gradient_pitch,        // or null
    float* __restrict__ losses) {                              // (rows,) nats
    __shared__ float2 parts[2][LANES];
    const long long r = blockIdx.x;
    operand* const d = gradient ? gradient + r * gradient_pitch : nullptr;
    const int first = target_begins[r], last = target_begins[r + 1];
    if (in_fours(logits, pitch) && in_fours(bias, 4) && in_fours(gradient, gradient_pitch))
        softmax_row<4>(logits + r * pitch, columns, bias, weights[r], first, last, target_columns, target_weights, d,
                       gradient_pitch, losses + r, parts);
    else
        softmax_row<1>(logits + r * pitch, columns, bias, weights[r], first, last, target_columns, target_weights, d,
                       gradient_pitch, losses + r, parts);
}

// ---- Grouped products: groups of rows ("jobs") that meet words of their own. ----
//
// Group g has jobs row_begins[g] … row_begins[g + 1] and words word_begins[g] … word_begins[g + 1], rows of the output
// matrix. Its block of logits is row-major, jobs × words without padding, from logit_begins[g] on. Job j is met by row
// job_inputs[j] of the inputs. Rows of the inputs, the outputs and their gradients have `pitch` floats, a multiple of
// 8, begin at multiples of 16 bytes, and are zero past their end.

// As softmax_gradient, in place, for job j, whose columns are the words of group job_groups[j], at least one; bias is
// that of all words, target columns count from the group's first word. loss_only: the logits stay as they are.
// A warp per job. Its first 512 logits stay in registers, only longer rows are read twice; target columns are distinct.
extern "C" __global__ void __launch_bounds__(GROUPED_WARPS * LANES) grouped_softmax(
    float* __restrict__ logits, const int* __restrict__ row_begins, const int* __restrict__ word_begins,
    const long long* __restrict__ logit_begins,
    const int* __restrict__ job_groups, int jobs,  // (jobs,)
    const float* __restrict__ bias,                // (words,) or null
    const float* __restrict__ weights,             // (jobs,) pairs of each job
    const int* __restrict__ target_begins,         // (jobs + 1,)
    const int* __restrict__ target_columns, const float* __restrict__ target_weights,
    int loss_only, float* __restrict__ losses) {   // (jobs,) nats
    constexpr int HELD = 16;
    const int lane = threadIdx.x % LANES;
    const int job = blockIdx.x * GROUPED_WARPS + threadIdx.x / LANES;
    if (job >= jobs) return;
    const int group = job_groups[job], first_word = word_begins[group], columns = word_begins[group + 1] - first_word;
    float* const row = logits + logit_begins[group] + static_cast<long long>(job - row_begins[group]) * columns;
    const float* const its_bias = bias ? bias + first_word : nullptr;

    float held[HELD];
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        const int column = i * LANES + lane;
        held[i] = column < columns ? row[column] : no_logit();
    }
    if (bias) {
#pragma unroll
        for (int i = 0; i < HELD; i++) {
            const int column = i * LANES + lane;
            held[i] += column < columns ? its_bias[column] : 0.f;
        }
    }
    Running over = {LOWEST, 0.f};
#pragma unroll
    for (int i = 0; i < HELD; i++) over.highest = fmaxf(over.highest, held[i]);
#pragma unroll
    for (int i = 0; i < HELD; i++) over.sum += __expf(held[i] - over.highest);
#pragma unroll 4
    for (int column = HELD * LANES + lane; column < columns; column += LANES)
        over.include(biased<1>(row, its_bias, column));
    over.merge_warp();

    const float n = weights[job];
    const int first = target_begins[job], last = target_begins[job + 1];
    Met met = {0.f, 0.f};
    for (int k = first + lane; k < last; k += LANES)
        met.include(target_weights[k], over.highest - biased<1>(row, its_bias, target_columns[k]).at[0]);
    met.merge_warp();
    if (lane == 0) losses[job] = met.loss(n, over);
    if (loss_only) return;

    __syncwarp();  // targets are read before they are overwritten
    const float scale = n / over.sum;
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        const int column = i * LANES + lane;
        if (column < columns) row[column] = scale * __expf(held[i] - over.highest);
    }
#pragma unroll 4
    for (int column = HELD * LANES + lane; column < columns; column += LANES)
        row[column] = scale * __expf(biased<1>(row, its_bias, column).at[0] - over.highest);
    __syncwarp();  // and written before they are corrected
    for (int k = first + lane; k < last; k += LANES) row[target_columns[k]] -= target_weights[k];
}

// One product is C (TILE × TILE) = Σ over the depth k of A[m, k] B[k, n], by TILE_THREADS threads.
//   shared memory  two tiles of A and two of B, as [k][m] and [k][n], DEPTH deep: while one pair is multiplied, the next
//                  is on its way from global memory through registers to the other.
//   registers      a thread's 8 × 8 of C: two fours of rows, 16 apart, by two fours of columns, 32 apart. A warp has
//                  32 rows; its lanes are 4 × 8. Quarters of a warp read the same four of A and 128 bytes of B.
// The rows of a tile are TILE_PITCH apart, by which no two lanes of a warp want the same bank when tiles are written
// across: lanes that differ by 4 in k are 16 banks apart, those that differ by 1 are 4.
// A and B come in four ways. What is outside of the group comes as zero.
constexpr int DEPTH = 8, TILE_PITCH = TILE + 4, TILE_FLOATS = DEPTH * TILE_PITCH;
static_assert(TILE == 64 && TILE_THREADS == 64 && DEPTH == 8, "threads are mapped to these shapes");

__device__ __forceinline__ float4 four_at(const float* from) { return *reinterpret_cast<const float4*>(from); }

// The depth is the columns of a padded matrix; the tile is TILE of its rows: [first + row], or [index[first + row]].
struct DeepRows {
    const float* from[2];
    int depth;
    float4 got[2];

    __device__ __forceinline__ DeepRows(const float* matrix, int pitch, const int* index, int first, int rows)
        : depth(pitch) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int row = threadIdx.x / 2 + 32 * i;
            const long long place = row >= rows ? 0 : index ? index[first + row] : first + row;
            from[i] = row < rows ? matrix + place * pitch + threadIdx.x % 2 * 4 : nullptr;
        }
    }

    __device__ __forceinline__ void fetch(int k) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            got[i] = make_float4(0.f, 0.f, 0.f, 0.f);
            if (from[i] && k < depth) got[i] = four_at(from[i] + k);
        }
    }

    __device__ __forceinline__ void put_in(float* tile) const {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float* const to = tile + threadIdx.x % 2 * 4 * TILE_PITCH + threadIdx.x / 2 + 32 * i;
            to[0] = got[i].x;
            to[TILE_PITCH] = got[i].y;
            to[2 * TILE_PITCH] = got[i].z;
            to[3 * TILE_PITCH] = got[i].w;
        }
    }
};

// The depth is the rows of a padded matrix, as above; the tile is TILE of its columns. Where rows lie is looked up one
// step ahead, so that no read waits for another.
struct FlatRows {
    const float* columns;
    const int* index;
    int pitch, first, depth;
    bool inside;
    int place[2];
    float4 got[2];

    __device__ __forceinline__ FlatRows(const float* matrix, int its_pitch, const int* its_index, int its_first,
                                        int its_depth, int first_column)
        : index(its_index), pitch(its_pitch), first(its_first), depth(its_depth) {
        const int column = first_column + threadIdx.x % 16 * 4;
        columns = matrix + column;
        inside = column < pitch;
        look_up(0);
    }

    __device__ __forceinline__ void look_up(int k) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int row = k + threadIdx.x / 16 + 4 * i;
            place[i] = !inside || row >= depth ? -1 : index ? index[first + row] : first + row;
        }
    }

    __device__ __forceinline__ void fetch(int k) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            got[i] = make_float4(0.f, 0.f, 0.f, 0.f);
            if (place[i] >= 0) got[i] = four_at(columns + static_cast<long long>(place[i]) * pitch);
        }
        look_up(k + DEPTH);
    }

    __device__ __forceinline__ void put_in(float* tile) const {
#pragma unroll
        for (int i = 0; i < 2; i++)
            *reinterpret_cast<float4*>(tile + (threadIdx.x / 16 + 4 * i) * TILE_PITCH + threadIdx.x % 16 * 4) = got[i];
    }
};

// The depth is the columns of a block of logits; the tile is TILE of its rows.
struct DeepBlock {
    const float* from;
    int rows, columns;
    float got[8];

    // block: the tile's first row
    __device__ __forceinline__ DeepBlock(const float* block, int its_rows, int its_columns)
        : rows(its_rows), columns(its_columns) {
        from = block + static_cast<long long>(threadIdx.x / 8) * columns + threadIdx.x % 8;
    }

    __device__ __forceinline__ void fetch(int k) {
        const bool inside = k + static_cast<int>(threadIdx.x % 8) < columns;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const int row = threadIdx.x / 8 + 8 * i;
            got[i] = inside && row < rows ? from[static_cast<long long>(8 * i) * columns + k] : 0.f;
        }
    }

    __device__ __forceinline__ void put_in(float* tile) const {
#pragma unroll
        for (int i = 0; i < 8; i++) tile[threadIdx.x % 8 * TILE_PITCH + threadIdx.x / 8 + 8 * i] = got[i];
    }
};

// The depth is the rows of a block of logits; the tile is TILE of its columns.
struct FlatBlock {
    const float* from;
    int depth, columns;
    bool inside;
    float got[DEPTH];

    __device__ __forceinline__ FlatBlock(const float* block, int rows, int its_columns, int first_column)
        : depth(rows), columns(its_columns) {
        from = block + first_column + threadIdx.x;
        inside = first_column + static_cast<int>(threadIdx.x) < columns;
    }

    __device__ __forceinline__ void fetch(int k) {
#pragma unroll
        for (int i = 0; i < DEPTH; i++)
            got[i] = inside && k + i < depth ? from[static_cast<long long>(k + i) * columns] : 0.f;
    }

    __device__ __forceinline__ void put_in(float* tile) const {
#pragma unroll
        for (int i = 0; i < DEPTH; i++) tile[i * TILE_PITCH + threadIdx.x] = got[i];
    }
};

// A thread's part of C, and where it lies in the tile.
struct Part {
    float at[8][8];

    static __device__ __forceinline__ int row(int i) {
        return static_cast<int>(threadIdx.x / LANES * 32 + threadIdx.x % LANES / 8 * 4) + i / 4 * 16 + i % 4;
    }
    static __device__ __forceinline__ int column() { return threadIdx.x % 8 * 4; }

    __device__ __forceinline__ float4 four(int i, int half) const {
        return make_float4(at[i][4 * half], at[i][4 * half + 1], at[i][4 * half + 2], at[i][4 * half + 3]);
    }
};

// tiles: 4 · TILE_FLOATS, which nobody uses any more afterwards
template <class A, class B>
__device__ __forceinline__ void multiply(A a, B b, int depth, float* tiles, Part& sums) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
#pragma unroll
        for (int j = 0; j < 8; j++) sums.at[i][j] = 0.f;
    }
    float *now = tiles, *next = tiles + 2 * TILE_FLOATS;
    a.fetch(0);
    b.fetch(0);
    a.put_in(now);
    b.put_in(now + TILE_FLOATS);
    __syncthreads();
    for (int k = 0; k < depth; k += DEPTH) {
        // Past the end it fetches zeros: a condition here would let the compiler move the loads down to their use.
        a.fetch(k + DEPTH);
        b.fetch(k + DEPTH);
        const float *a_tile = now + Part::row(0), *b_tile = now + TILE_FLOATS + Part::column();
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            const Pack<4> a_fours[2] = {take<4>(a_tile + d * TILE_PITCH), take<4>(a_tile + d * TILE_PITCH + 16)};
            const Pack<4> b_fours[2] = {take<4>(b_tile + d * TILE_PITCH), take<4>(b_tile + d * TILE_PITCH + 32)};
#pragma unroll
            for (int i = 0; i < 8; i++) {
#pragma unroll
                for (int j = 0; j < 8; j++) sums.at[i][j] += a_fours[i / 4].at[i % 4] * b_fours[j / 4].at[j % 4];
            }
        }
        a.put_in(next);
        b.put_in(next + TILE_FLOATS);
        __syncthreads();
        float* const swap = now;
        now = next;
        next = swap;
    }
}

// The tile of a block: its group, and its first row and column in C.
struct Place {
    int first_job, jobs, first_word, words, row, column;
    long long block;

    __device__ __forceinline__ Place(const int* __restrict__ tiles, const int* __restrict__ row_begins,
                                     const int* __restrict__ word_begins, const long long* __restrict__ logit_begins) {
        const int* const tile = tiles + 3LL * blockIdx.x;
        const int group = tile[0];
        row = tile[1] * TILE;
        column = tile[2] * TILE;
        first_job = row_begins[group];
        jobs = row_begins[group + 1] - first_job;
        first_word = word_begins[group];
        words = word_begins[group + 1] - first_word;
        block = logit_begins[group];
    }
};

// The first `rows` rows of C to a padded matrix: 128 bytes of each row at a time. to: C's first element. Addresses are
// those of float4 throughout: NVRTC splits some stores where a float's is cast.
__device__ __forceinline__ void put_rows(const Part& sums, float* to, int pitch, int rows, int columns) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const int row = Part::row(i);
        float4* const its = reinterpret_cast<float4*>(to + static_cast<long long>(row) * pitch) + Part::column() / 4;
        if (row < rows && Part::column() < columns) *its = sums.four(i, 0);
        if (row < rows && Part::column() + 32 < columns) its[8] = sums.four(i, 1);
    }
}

// The first rows and columns of C to a block of logits, whose rows begin anywhere: through shared memory, so that the
// lanes write consecutive floats. Each warp has half of the tiles' memory for 16 of its rows.
__device__ __forceinline__ void put_block(const Part& sums, float* to, int pitch, int rows, int columns, float* tiles) {
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    float* const stage = tiles + warp * 2 * TILE_FLOATS;
    float4* const fours = reinterpret_cast<float4*>(stage);
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int first = 32 * warp + 16 * half;
        __syncwarp();
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int at = (Part::row(4 * half + i) - first) * TILE_PITCH + Part::column();
            fours[at / 4] = sums.four(4 * half + i, 0);
            fours[at / 4 + 8] = sums.four(4 * half + i, 1);
        }
        __syncwarp();
        const int last = min(16, rows - first);
        for (int i = 0; i < last; i++) {
            float* const its = to + static_cast<long long>(first + i) * pitch;
            for (int column = lane; column < min(TILE, columns); column += LANES)
                its[column] = stage[i * TILE_PITCH + column];
        }
    }
}

// tiles: triples of group, tile of jobs, tile of words. logits = inputs[job_inputs] outputsᵀ, without biases.
extern "C" __global__ void __launch_bounds__(TILE_THREADS) grouped_logits(
    const int* __restrict__ tiles, const int* __restrict__ row_begins, const int* __restrict__ word_begins,
    const long long* __restrict__ logit_begins, const int* __restrict__ job_inputs,
    const float* __restrict__ inputs, const float* __restrict__ outputs, int pitch, float* __restrict__ logits) {
    __shared__ float4 shared[TILE_FLOATS];
    float* const floats = reinterpret_cast<float*>(shared);
    const Place at(tiles, row_begins, word_begins, logit_begins);
    Part sums;
    multiply(DeepRows(inputs, pitch, job_inputs, at.first_job + at.row, at.jobs - at.row),
             DeepRows(outputs, pitch, nullptr, at.first_word + at.column, at.words - at.column), pitch, floats, sums);
    put_block(sums, logits + at.block + static_cast<long long>(at.row) * at.words + at.column, at.words,
              at.jobs - at.row, at.words - at.column, floats);
}

// tiles: triples of group, tile of jobs, tile of columns. d_jobs[j] = gradient[j] outputs, a row per job.
extern "C" __global__ void __launch_bounds__(TILE_THREADS) grouped_d_inputs(
    const int* __restrict__ tiles, const int* __restrict__ row_begins, const int* __restrict__ word_begins,
    const long long* __restrict__ logit_begins, const float* __restrict__ gradient,
    const float* __restrict__ outputs, int pitch, float* __restrict__ d_jobs) {
    __shared__ float4 shared[TILE_FLOATS];
    const Place at(tiles, row_begins, word_begins, logit_begins);
    Part sums;
    multiply(DeepBlock(gradient + at.block + static_cast<long long>(at.row) * at.words, at.jobs - at.row, at.words),
             FlatRows(outputs, pitch, nullptr, at.first_word, at.words, at.column), at.words,
             reinterpret_cast<float*>(shared), sums);
    put_rows(sums, d_jobs + static_cast<long long>(at.first_job + at.row) * pitch + at.column, pitch,
             at.jobs - at.row, pitch - at.column);
}

// tiles: triples of group, tile of words, tile of columns. d_outputs[words of the group] = gradientᵀ inputs[job_inputs].
// Rows of words whose group has no job are not written.
extern "C" __global__ void __launch_bounds__(TILE_THREADS) grouped_d_outputs(
    const int* __restrict__ tiles, const int* __restrict__ row_begins, const int* __restrict__ word_begins,
    const long long* __restrict__ logit_begins, const int* __restrict__ job_inputs,
    const float* __restrict__ gradient, const float* __restrict__ inputs, int pitch, float* __restrict__ d_outputs) {
    __shared__ float4 shared[TILE_FLOATS];
    const Place at(tiles, row_begins, word_begins, logit_begins);
    Part sums;
    multiply(FlatBlock(gradient + at.block, at.jobs, at.words, at.row),
             FlatRows(inputs, pitch, job_inputs, at.first_job, at.jobs, at.column), at.jobs,
             reinterpret_cast<float*>(shared), sums);
    put_rows(sums, d_outputs + static_cast<long long>(at.first_word + at.row) * pitch + at.column, pitch,
             at.words - at.row, pitch - at.column);
}
