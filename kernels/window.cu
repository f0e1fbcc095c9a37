// The row-wise step on a GPU: skip-gram and CBOW windows against a few (output row, label) pairs each.
//
// The formulas are those of rowwise_cpu.py; w2v/objectives/reference.py (DeviceRuleTrainer) is this file in float64.
//
// One warp trains one chunk of consecutive windows of the kept stream; warp w of U takes chunks w, w + U, …
//   registers      the output rows of one group of targets, GROUP at a time, with what they were (or gain); the two
//                  contexts that meet them; the next context row, read one window ahead.
//   shared memory  per warp: a ring of 2·WINDOW + 1 context rows, each as it is now (value) and as it was read
//                  (origin). A lane reads and writes only its own floats of it, so that the ring needs no barrier.
//                  per block, hierarchical softmax: the HOT top nodes of the tree, value and origin.
//   global memory  an input row is read when it enters the ring and gets value − origin when it leaves; an output row
//                  is read for its group and gets its movement after it.
// What races by design: reads of rows that other warps add to (they may be stale by a window of each warp in flight,
// so that the movement of a row is scaled by min(1, τ / contributions in flight), see w2v/backends/in_flight.py);
// and the warps of a block on its hot rows, where an update may rarely be lost to another one's.
//
// Spliced in front, besides what warp.cuh wants: WINDOW; NEGATIVE, noise words per window, 0 for a Huffman path;
// GROUP, targets met at once; CBOW, CBOW_SUM, PER_PAIR (noise for every context), IN_TURN (a pair of contexts sees the
// outputs as the pair before left them); HOT; WARPS per block; BLOCKS per multiprocessor.

constexpr int RING = 2 * WINDOW + 1;
constexpr int WIDTH = GROUP > 4 ? 8 : GROUP > 2 ? 4 : GROUP;      // GROUP, padded for the sums over the warp
constexpr int CONTEXTS = CBOW || PER_PAIR ? 1 : 2;                // inputs that meet a group at once
constexpr int NUMBERS = CONTEXTS * WIDTH;                         // logits of such a meeting
constexpr int LISTED = LANES / GROUP * GROUP;                     // targets that the lanes hold at a time
constexpr int HELD = (RING + LANES - 1) / LANES;
constexpr int STEP_QUADS = (NUMBERS + 3) / 4;
constexpr int WARP_QUADS = 2 * RING * QUADS + 2 * STEP_QUADS;     // shared memory of a warp, in float4
static_assert(GROUP >= 1 && GROUP <= 8 && (WARPS >= 1) && (HOT == 0 || NEGATIVE == 0), "unsupported shape");

// One lane's share of the list of targets: an output row, −1 where there is none; its sign, 0 where there is none.
struct Target {
    int row;
    float sign;
    float scale;
};

// The ring's bookkeeping: lane l knows the word and the write scale of slots l, l + 32, …
struct Slots {
    int word[HELD];
    float scale[HELD];

    __device__ __forceinline__ void set(int slot, int new_word, float new_scale, int lane) {
#pragma unroll
        for (int h = 0; h < HELD; h++) {
            if (slot == h * LANES + lane) {
                word[h] = new_word;
                scale[h] = new_scale;
            }
        }
    }

    __device__ __forceinline__ void get(int slot, int& its_word, float& its_scale) const {
        its_word = __shfl_sync(EVERYONE, word[0], slot);
        its_scale = __shfl_sync(EVERYONE, scale[0], slot);
#pragma unroll
        for (int h = 1; h < HELD; h++) {
            if (slot >= h * LANES) {
                its_word = __shfl_sync(EVERYONE, word[h], slot - h * LANES);
                its_scale = __shfl_sync(EVERYONE, scale[h], slot - h * LANES);
            }
        }
    }
};

// The targets number from + lane of the window at a place. ns: the word itself, then noise, −1 for a draw of the word;
// hs: nodes of its path, row · 2 + code. target_begins: hs only.
__device__ __forceinline__ Target list_targets(
    const int* __restrict__ words, const int* __restrict__ targets, long long begin, int count, int place, int from,
    int lane, const float* __restrict__ output_scales) {
    const int index = from + lane;
    Target target = {-1, 0.f, 0.f};
    if (lane < LISTED && index < count) {
        if (NEGATIVE) {
            target.row = index == 0 ? words[place] : targets[begin + index - 1];
            target.sign = index == 0 ? 1.f : -1.f;
        } else {
            const int entry = __ldg(targets + begin + index);
            target.row = entry >> 1;
            target.sign = entry & 1 ? -1.f : 1.f;
        }
    }
    if (target.row < 0) target.sign = 0.f;
    else target.scale = __ldg(output_scales + target.row);
    return target;
}

// A group of output rows and what it takes to know their movement: as they were read where contexts come in turn, the
// sum of the steps elsewhere.
struct Group {
    Row row[GROUP];
    Row other[GROUP];
};

// CONTEXTS inputs x meet the group: dx gets their steps, the group moves. sign: of the target whose logit this lane
// ends up with. present: inputs that there are.
__device__ __forceinline__ void meet(
    const Row (&x)[CONTEXTS], Row (&dx)[CONTEXTS], int present, Group& group, float sign, float rate, float4* steps,
    int lane, float& loss) {
    float z[NUMBERS];
#pragma unroll
    for (int c = 0; c < CONTEXTS; c++) {
#pragma unroll
        for (int k = 0; k < WIDTH; k++) {
            z[c * WIDTH + k] = 0.f;
            if (k < GROUP) {
#pragma unroll
                for (int v = 0; v < SLICES; v++)
                    z[c * WIDTH + k] = dot4(x[c].part[v], group.row[k].part[v], z[c * WIDTH + k]);
            }
        }
    }
    const float logit = sum_over_warp<NUMBERS>(z, lane);
    const int number = number_of_lane<NUMBERS>(lane);
    const bool counts = sign != 0.f && number / WIDTH < present;
    float gained;
    const float step = logistic(sign, logit, gained);
    if (speaks<NUMBERS>(lane)) {
        reinterpret_cast<float*>(steps)[number] = counts ? rate * step : 0.f;
        if (counts) loss += gained;
    }
    __syncwarp();
    float g[STEP_QUADS * 4];
#pragma unroll
    for (int i = 0; i < STEP_QUADS; i++) {
        const float4 four = steps[i];
        g[4 * i] = four.x;
        g[4 * i + 1] = four.y;
        g[4 * i + 2] = four.z;
        g[4 * i + 3] = four.w;
    }
#pragma unroll
    for (int v = 0; v < SLICES; v++) {
#pragma unroll
        for (int c = 0; c < CONTEXTS; c++) {
            float4 d = dx[c].part[v];
#pragma unroll
            for (int k = 0; k < GROUP; k++) d = axpy(g[c * WIDTH + k], group.row[k].part[v], d);
            dx[c].part[v] = d;
        }
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            Row& moved = IN_TURN ? group.row[k] : group.other[k];
#pragma unroll
            for (int c = 0; c < CONTEXTS; c++) moved.part[v] = axpy(g[c * WIDTH + k], x[c].part[v], moved.part[v]);
        }
    }
}

extern "C" __global__ void __launch_bounds__(WARPS * LANES, BLOCKS) train_windows(
    const int* __restrict__ words,              // (limit,) kept words
    const unsigned* __restrict__ spans,         // (limit,) contexts left | right << 8 | targets << 16
    const int* __restrict__ places,             // first centre, end of the centres, limit
    int chunk,                                  // centres per chunk
    float* inputs, float* outputs,              // rows of PITCH floats
    const float* __restrict__ input_scales, const float* __restrict__ output_scales,
    const int* __restrict__ targets,            // ns: noise (limit, contexts if PER_PAIR, NEGATIVE); hs: all paths
    const long long* __restrict__ target_begins,  // hs: (limit,) where the place's path begins in targets
    int first_hot, const float* __restrict__ exchange_scales,  // hs: first of the HOT rows, their scales
    float rate_begin, float rate_end,           // learning rate at the first and after the last centre
    float* losses) {                            // (chunks,) nats
    extern __shared__ float4 shared[];
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    float4* const hot_value = shared;
    float4* const hot_origin = shared + HOT * QUADS;
    float4* const value = shared + 2 * HOT * QUADS + warp * WARP_QUADS;
    float4* const origin = value + RING * QUADS;
    float4* steps = origin + RING * QUADS;
    float4* other_steps = steps + STEP_QUADS;
    const int first = places[0], last = places[1], limit = places[2];

    for (int h = warp; h < HOT; h += WARPS) {
        Row row;
        read_row(row, row_of(outputs, first_hot + h), lane);
        put_row(hot_value + h * QUADS, row, lane);
        put_row(hot_origin + h * QUADS, row, lane);
    }
    if (HOT) __syncthreads();
    int turn = warp % (HOT ? HOT : 1);

    const int chunks = (last - first + chunk - 1) / chunk;
    for (int c = blockIdx.x * WARPS + warp; c < chunks; c += gridDim.x * WARPS) {
        const int begin = first + c * chunk, end = begin + min(chunk, last - begin);
        const int low = max(0, begin - WINDOW);
        const float rate = rate_begin + (rate_end - rate_begin) * ((float)(begin - first) / (float)(last - first));
        float loss = 0.f;

        Slots slots;
        int entering = low, entering_slot = 0;  // the next place to enter, and its slot
        Row coming;                             // its row
        int coming_word = words[low], after_word = low + 1 < limit ? words[low + 1] : 0;
        float coming_scale = __ldg(input_scales + coming_word);
        read_row(coming, row_of(inputs, coming_word), lane);

        auto leave = [&](int slot) {
            int word;
            float scale;
            slots.get(slot, word, scale);
            float4* to = row_of(inputs, word);
#pragma unroll
            for (int v = 0; v < SLICES; v++) {
                if (holds(v, lane)) {
                    const int at = slot * QUADS + v * LANES + lane;
                    add_to_shared_row(to + v * LANES + lane, times(scale, minus(value[at], origin[at])));
                }
            }
        };
        auto enter = [&]() {
            if (entering - low >= RING) leave(entering_slot);
            put_row(value + entering_slot * QUADS, coming, lane);
            put_row(origin + entering_slot * QUADS, coming, lane);
            slots.set(entering_slot, coming_word, coming_scale, lane);
            entering++;
            entering_slot = entering_slot + 1 == RING ? 0 : entering_slot + 1;
            if (entering < limit) {
                coming_word = after_word;
                coming_scale = __ldg(input_scales + coming_word);
                read_row(coming, row_of(inputs, coming_word), lane);
                if (entering + 1 < limit) after_word = words[entering + 1];
            }
        };
        while (entering < limit && entering < begin + WINDOW) enter();

        // Spans and targets are read one window ahead, the beginnings of paths two.
        unsigned next_span = spans[begin];
        long long next_begin = NEGATIVE ? (long long)begin * NEGATIVE : target_begins[begin];
        long long begin_after = NEGATIVE || begin + 1 >= end ? 0 : target_begins[begin + 1];
        Target next = {-1, 0.f, 0.f};
        if (!PER_PAIR)
            next = list_targets(words, targets, next_begin, NEGATIVE ? NEGATIVE + 1 : (int)(next_span >> 16), begin, 0,
                                lane, output_scales);
        int centre_slot = begin - low;  // at most WINDOW

        for (int t = begin; t < end; t++) {
            if (entering < limit) enter();
            const unsigned span = next_span;
            const int left = span & 255, right = (span >> 8) & 255, contexts = left + right;
            const int count = NEGATIVE ? NEGATIVE + 1 : (int)(span >> 16);
            const long long target_begin = next_begin;
            Target target = next;
            const int centre = centre_slot;
            centre_slot = centre_slot + 1 == RING ? 0 : centre_slot + 1;
            if (t + 1 < end) {
                next_span = spans[t + 1];
                if (NEGATIVE) {
                    next_begin = (long long)(t + 1) * NEGATIVE;
                } else {
                    next_begin = begin_after;
                    if (t + 2 < end) begin_after = target_begins[t + 2];
                }
                if (!PER_PAIR)
                    next = list_targets(words, targets, next_begin,
                                        NEGATIVE ? NEGATIVE + 1 : (int)(next_span >> 16), t + 1, 0, lane, output_scales);
            }
            if (contexts == 0) continue;

            // The slot of context j, which lies j − left places from the centre, or one more past it.
            auto slot_of = [&](int j) {
                int slot = centre + j - left + (j >= left);
                slot = slot < 0 ? slot + RING : slot;
                return slot >= RING ? slot - RING : slot;
            };
            Row exchanged;  // the hot row whose turn it is, as the other blocks left it
            if (HOT) read_row(exchanged, row_of(outputs, first_hot + turn), lane);

            Row hidden[CONTEXTS], d_hidden[CONTEXTS];  // CBOW: the mean of the contexts, and its step
            if (CBOW) {
                const float share = CBOW_SUM ? 1.f : 1.f / contexts;
#pragma unroll
                for (int v = 0; v < SLICES; v++) hidden[0].part[v] = d_hidden[0].part[v] = zero4();
                for (int j = 0; j < contexts; j++) {
                    Row x;
                    take_row(x, value + slot_of(j) * QUADS, lane);
#pragma unroll
                    for (int v = 0; v < SLICES; v++) hidden[0].part[v] = plus(hidden[0].part[v], x.part[v]);
                }
#pragma unroll
                for (int v = 0; v < SLICES; v++) hidden[0].part[v] = times(share, hidden[0].part[v]);
            }

            for (int job = 0; job < (PER_PAIR ? contexts : 1); job++) {
                const long long job_begin =
                    PER_PAIR ? ((long long)t * 2 * WINDOW + job) * NEGATIVE : target_begin;
                for (int from = 0; from < count; from += GROUP) {
                    const int held = from % LISTED;  // the group's first target in the lanes
                    if (held == 0 && (PER_PAIR || from > 0))
                        target = list_targets(words, targets, job_begin, count, t, from, lane, output_scales);
                    Group group;
#pragma unroll
                    for (int k = 0; k < GROUP; k++) {
                        const int id = __shfl_sync(EVERYONE, target.row, held + k);
#pragma unroll
                        for (int v = 0; v < SLICES; v++) group.row[k].part[v] = zero4();
                        if (HOT && id >= first_hot)
                            take_row(group.row[k], hot_value + (id - first_hot) * QUADS, lane);
                        else if (id >= 0)
                            read_row(group.row[k], row_of(outputs, id), lane);
                    }
#pragma unroll
                    for (int k = 0; k < GROUP; k++) {
#pragma unroll
                        for (int v = 0; v < SLICES; v++)
                            group.other[k].part[v] = IN_TURN ? group.row[k].part[v] : zero4();
                    }
                    const int its = number_of_lane<NUMBERS>(lane) % WIDTH;
                    const float sign_held = __shfl_sync(EVERYONE, target.sign, held + its);
                    const float sign = its < GROUP ? sign_held : 0.f;

                    if (CBOW) {
                        meet(hidden, d_hidden, 1, group, sign, rate, steps, lane, loss);
                        float4* const swap = steps;
                        steps = other_steps;
                        other_steps = swap;
                    } else {
                        const int stop = PER_PAIR ? job + 1 : contexts;
                        for (int j = PER_PAIR ? job : 0; j < stop; j += CONTEXTS) {
                            const int present = min(CONTEXTS, stop - j);
                            Row x[CONTEXTS], dx[CONTEXTS];
                            int slot[CONTEXTS];
#pragma unroll
                            for (int i = 0; i < CONTEXTS; i++) {
                                slot[i] = slot_of(i < present ? j + i : j);
                                take_row(x[i], value + slot[i] * QUADS, lane);
#pragma unroll
                                for (int v = 0; v < SLICES; v++) dx[i].part[v] = x[i].part[v];
                            }
                            meet(x, dx, present, group, sign, rate, steps, lane, loss);
                            // The next meeting writes its steps elsewhere: lanes may still read these.
                            float4* const swap = steps;
                            steps = other_steps;
                            other_steps = swap;
#pragma unroll
                            for (int i = 0; i < CONTEXTS; i++)
                                if (i < present) put_row(value + slot[i] * QUADS, dx[i], lane);
                        }
                    }

#pragma unroll
                    for (int k = 0; k < GROUP; k++) {
                        const int id = __shfl_sync(EVERYONE, target.row, held + k);
                        const float scale = __shfl_sync(EVERYONE, target.scale, held + k);
                        if (id < 0) continue;
                        const bool hot = HOT && id >= first_hot;
                        float4* const to = row_of(outputs, id) + lane;
                        float4* const hot_to = hot_value + (id - first_hot) * QUADS + lane;
#pragma unroll
                        for (int v = 0; v < SLICES; v++) {
                            if (!holds(v, lane)) continue;
                            const float4 moved = times(scale, IN_TURN ? minus(group.row[k].part[v], group.other[k].part[v])
                                                                      : group.other[k].part[v]);
                            if (hot) hot_to[v * LANES] = plus(hot_to[v * LANES], moved);
                            else add_to_shared_row(to + v * LANES, moved);
                        }
                    }
                }
            }

            if (CBOW) {
                for (int j = 0; j < contexts; j++) {
                    float4* const at = value + slot_of(j) * QUADS;
                    Row x;
                    take_row(x, at, lane);
#pragma unroll
                    for (int v = 0; v < SLICES; v++) x.part[v] = plus(x.part[v], d_hidden[0].part[v]);
                    put_row(at, x, lane);
                }
            }
            if (HOT) {
                // What this block moved since its last exchange goes out; what the others moved comes in.
                const float scale = __ldg(exchange_scales + turn);
#pragma unroll
                for (int v = 0; v < SLICES; v++) {
                    if (!holds(v, lane)) continue;
                    const int at = turn * QUADS + v * LANES + lane;
                    const float4 moved = times(scale, minus(hot_value[at], hot_origin[at]));
                    const float4 now = plus(exchanged.part[v], moved);
                    add_to_shared_row(row_of(outputs, first_hot + turn) + v * LANES + lane, moved);
                    hot_value[at] = now;
                    hot_origin[at] = now;
                }
                turn = (turn + WARPS) % HOT;
            }
        }
        for (int slot = 0; slot < min(entering - low, RING); slot++) leave(slot);
const float alone[1] = {loss};
        loss = sum_over_warp<1>(alone, lane);
        if (lane == 0) losses[c] = loss;
    }

    if (HOT) __syncthreads();
    for (int h = warp; h < HOT; h += WARPS) {
        const float scale = exchange_scales[h];
#pragma unroll
        for (int v = 0; v < SLICES; v++) {
            if (!holds(v, lane)) continue;
            const int at = h * QUADS + v * LANES + lane;
            add_to_shared_row(row_of(outputs, first_hot + h) + v * LANES + lane,
                              times(scale, minus(hot_value[at], hot_origin[at])));
        }
    }
}
