// The row-wise step on a GPU: skip-gram and CBOW windows against a few (output row, label) pairs each.
//
// The formulas are those of rowwise_cpu.py; w2v/objectives/reference.py (DeviceRuleTrainer) is this file in float64.
//
// One warp trains one chunk of consecutive windows of the kept stream; warp w of U takes chunks w, w + U, …
//   registers      the output rows of one group of targets, GROUP at a time, with what they were (or gain); the two
//                  contexts that meet them; the next context row, read one window ahead.
//   shared memory  per warp: a ring of 2·WINDOW + 1 context rows, each as it is now (value) and as it was read
//                  (origin). A lane reads and writes only its own floats of it, so that the ring needs no barrier.
//                  per block, hierarchical softmax: the HOT top nodes of the tree, as they were read (origin) and what
//                  the block has gained since, of which they are the sum; after every window a warp exchanges EXCHANGES
//                  of them with global memory.
//   global memory  an input row is read when it enters the ring and gets value − origin when it leaves; an output row
//                  is read for its group and gets its movement after it.
// What races by design: reads of rows that other warps add to (they may be stale by a window of each warp in flight,
// so that the movement of a row is scaled by min(1, τ / contributions in flight), see w2v/backends/in_flight.py);
// and the warps of a block on its hot rows. There a step may be lost to another warp's, or a gain go out twice where
// an exchange falls between the two halves of an addition; because only gains are added to, never rows that came in
// from outside, what other blocks have learnt cannot be undone by it.
//
// Spliced in front, besides what warp.cuh wants: WINDOW; NEGATIVE, noise words per window, 0 for a Huffman path;
// GROUP, targets met at once; CBOW, CBOW_SUM, PER_PAIR (noise for every context), IN_TURN (a pair of contexts sees the
// outputs as the pair before left them); HOT, EXCHANGES, TURNS (entries of the list of whose turn it is, a power of
// two); WARPS per block; BLOCKS per multiprocessor.

constexpr int RING = 2 * WINDOW + 1;
constexpr int RING_QUADS = RING * QUADS;
constexpr int CONTEXTS = CBOW || PER_PAIR ? 1 : 2;                // inputs that meet a group at once
constexpr int HALF = LANES / CONTEXTS;                            // lanes per input in the sums over the warp
constexpr int LISTED = LANES / GROUP * GROUP;                     // targets that the lanes hold at a time
constexpr int HELD = (RING + LANES - 1) / LANES;
constexpr int WIDTH = GROUP > 4 ? 8 : 4;                          // steps of an input, padded to whole float4
constexpr int STEP_QUADS = CONTEXTS * WIDTH / 4;
constexpr int WARP_QUADS = 2 * RING_QUADS + 2 * STEP_QUADS;       // shared memory of a warp, in float4
using Sums = Halving<GROUP, HALF / 2>;
static_assert(GROUP >= 1 && GROUP <= 8 && WARPS >= 1 && (HOT == 0 || NEGATIVE == 0), "unsupported shape");

// One lane's share of the list of targets: an output row that may be read, and its sign, 0 where there is none.
struct Target {
    int row;
    float sign;
};

// The targets from + lane of a list. ns: the word itself, then noise, −1 for a draw of the word; hs: nodes of the
// word's path, row · 2 + code. Past the end the last one is read again, with a sign of 0.
__device__ __forceinline__ Target read_target(const int* __restrict__ list, int count, int from, int lane) {
    const int index = from + lane;
    const int entry = __ldg(list + min(index, max(count, 1) - 1));
    if (NEGATIVE) return {max(entry, 0), index >= count || entry < 0 ? 0.f : index == 0 ? 1.f : -1.f};
    return {entry >> 1, index >= count ? 0.f : entry & 1 ? -1.f : 1.f};
}

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

// Goes through the contexts of a window from left to right, as offsets into the ring, past the centre.
struct Walk {
    int at, centre;

    static __device__ __forceinline__ int after(int offset) {
        return offset + QUADS == RING_QUADS ? 0 : offset + QUADS;
    }

    __device__ __forceinline__ Walk(int centre_at, int left) : centre(centre_at) {
        at = centre_at - left * QUADS;
        if (at < 0) at += RING_QUADS;
        if (left == 0) at = after(centre_at);
    }

    __device__ __forceinline__ int next() {
        const int here = at;
        at = after(at);
        if (at == centre) at = after(at);
        return here;
    }
};

// A group of output rows and what it takes to know their movement: as they were read where contexts come in turn, the
// sum of the steps elsewhere.
struct Group {
    Row row[GROUP];
    Row other[GROUP];
};

// The inputs x meet the group: dx gets their steps, the group moves. Where two meet it, the lanes of the upper half
// name them the other way round, so that x[0] is the one whose logits the lane's half adds up. sign: of the target
// whose logit the lane ends up with, 0 for none; absent: whether the second input is none.
__device__ __forceinline__ void meet(
    const Row (&x)[CONTEXTS], Row (&dx)[CONTEXTS], bool absent, Group& group, float sign, float rate, float4* steps,
    int lane, float& loss) {
    float z[GROUP];
#pragma unroll
    for (int k = 0; k < GROUP; k++) {
        z[k] = 0.f;
#pragma unroll
        for (int v = 0; v < SLICES; v++) z[k] = dot4(x[0].part[v], group.row[k].part[v], z[k]);
    }
    if (CONTEXTS == 2) {
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            float given = 0.f;
#pragma unroll
            for (int v = 0; v < SLICES; v++) given = dot4(x[CONTEXTS - 1].part[v], group.row[k].part[v], given);
            z[k] += __shfl_xor_sync(EVERYONE, given, HALF);
        }
    }
    const float logit = Sums::sum(z, lane);
    const int half = lane / HALF;  // the input that x[0] is
    if (Sums::speaks(lane) && Sums::number(lane) >= 0) {
        float gained;
        const float step = logistic(sign, logit, gained);
        const bool counts = sign != 0.f && !(absent && half == 1);
        reinterpret_cast<float*>(steps)[half * WIDTH + Sums::number(lane)] = counts ? rate * step : 0.f;
        if (counts) loss += gained;
    }
    __syncwarp();
    float g[CONTEXTS][WIDTH];
#pragma unroll
    for (int c = 0; c < CONTEXTS; c++) {
#pragma unroll
        for (int i = 0; i < WIDTH / 4; i++) {
            const float4 four = steps[(c == 0 ? half : 1 - half) * (WIDTH / 4) + i];
            g[c][4 * i] = four.x;
            g[c][4 * i + 1] = four.y;
            g[c][4 * i + 2] = four.z;
            g[c][4 * i + 3] = four.w;
        }
    }
#pragma unroll
    for (int v = 0; v < SLICES; v++) {
#pragma unroll
        for (int c = 0; c < CONTEXTS; c++) {
            float4 d = dx[c].part[v];
#pragma unroll
            for (int k = 0; k < GROUP; k++) d = axpy(g[c][k], group.row[k].part[v], d);
            dx[c].part[v] = d;
        }
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            Row& moved = IN_TURN ? group.row[k] : group.other[k];
#pragma unroll
            for (int c = 0; c < CONTEXTS; c++) moved.part[v] = axpy(g[c][k], x[c].part[v], moved.part[v]);
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
    const int* __restrict__ targets,            // ns: lists (limit, 2 WINDOW if PER_PAIR, 1 + NEGATIVE); hs: all paths
    const long long* __restrict__ target_begins,  // hs: (limit,) where the place's path begins in targets
    int first_hot, const float* __restrict__ exchange_scales,  // hs: first of the HOT rows, their scales,
    const int* __restrict__ exchange_turns,     // and in which order they are exchanged, (TURNS,)
    float rate_begin, float rate_end,           // learning rate at the first and after the last centre
    float* losses) {                            // (chunks,) nats
    extern __shared__ float4 shared[];
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    float4* const hot_origin = shared + lane;
    float4* const hot_gained = hot_origin + HOT * QUADS;
    float4* const value = shared + 2 * HOT * QUADS + warp * WARP_QUADS + lane;
    float4* const origin = value + RING_QUADS;
    float4* steps = shared + 2 * HOT * QUADS + warp * WARP_QUADS + 2 * RING_QUADS;
    float4* other_steps = steps + STEP_QUADS;
    float4* const input_rows = reinterpret_cast<float4*>(inputs) + lane;
    float4* const output_rows = reinterpret_cast<float4*>(outputs) + lane;
    const int first = places[0], last = places[1], limit = places[2];
    const int number = Sums::number(lane);

    for (int h = warp; h < HOT; h += WARPS) {
        Row row;
        read_row(row, row_of(output_rows, first_hot + h), lane);
        put_row(hot_origin + h * QUADS, row, lane);
#pragma unroll
        for (int v = 0; v < SLICES; v++) row.part[v] = zero4();
        put_row(hot_gained + h * QUADS, row, lane);
    }
    if (HOT) __syncthreads();
    int turn = warp;

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
        read_row(coming, row_of(input_rows, coming_word), lane);

        auto leave = [&](int slot) {
            int word;
            float scale;
            slots.get(slot, word, scale);
            float4* const to = row_of(input_rows, word);
#pragma unroll
            for (int v = 0; v < SLICES; v++) {
                if (holds(v, lane)) {
                    const int at = slot * QUADS + v * LANES;
                    add_to_shared_row(to + v * LANES, times(scale, minus(value[at], origin[at])));
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
                read_row(coming, row_of(input_rows, coming_word), lane);
                if (entering + 1 < limit) after_word = words[entering + 1];
            }
        };
        while (entering < limit && entering < begin + WINDOW) enter();

        // Spans and targets are read one window ahead, where paths begin two: nothing waits for what it just asked for.
        auto targets_of = [&](unsigned span) { return NEGATIVE ? NEGATIVE + 1 : (int)(span >> 16); };
        unsigned next_span = spans[begin];
        const int* next_list = targets + (NEGATIVE ? (long long)begin * (NEGATIVE + 1) : target_begins[begin]);
        long long begin_after = NEGATIVE || begin + 1 >= end ? 0 : target_begins[begin + 1];
        Target next = {0, 0.f};
        if (!PER_PAIR) next = read_target(next_list, targets_of(next_span), 0, lane);
        int centre_at = (begin - low) * QUADS;  // at most WINDOW slots

        for (int t = begin; t < end; t++) {
            if (entering < limit) enter();
            const unsigned span = next_span;
            const int left = span & 255, contexts = left + ((span >> 8) & 255), count = targets_of(span);
            const int* const list = next_list;
            Target target = next;
            float scale = target.sign == 0.f ? 0.f : __ldg(output_scales + target.row);
            const int centre = centre_at;
            centre_at = Walk::after(centre_at);
            if (t + 1 < end) {
                next_span = spans[t + 1];
                if (NEGATIVE) {
                    next_list += NEGATIVE + 1;
                } else {
                    next_list = targets + begin_after;
                    if (t + 2 < end) begin_after = target_begins[t + 2];
                }
                if (!PER_PAIR) next = read_target(next_list, targets_of(next_span), 0, lane);
            }
            if (contexts == 0) continue;

            Row hidden[CONTEXTS], d_hidden[CONTEXTS];  // CBOW: the mean of the contexts, and its step
            if (CBOW) {
                const float share = CBOW_SUM ? 1.f : 1.f / contexts;
#pragma unroll
                for (int v = 0; v < SLICES; v++) hidden[0].part[v] = d_hidden[0].part[v] = zero4();
                Walk walk(centre, left);
                for (int j = 0; j < contexts; j++) {
                    Row x;
                    take_row(x, value + walk.next(), lane);
#pragma unroll
                    for (int v = 0; v < SLICES; v++) hidden[0].part[v] = plus(hidden[0].part[v], x.part[v]);
                }
#pragma unroll
                for (int v = 0; v < SLICES; v++) hidden[0].part[v] = times(share, hidden[0].part[v]);
            }

            Walk alone(centre, left);  // PER_PAIR: the one context of a job
            for (int job = 0; job < (PER_PAIR ? contexts : 1); job++) {
                const int* const job_list =
                    PER_PAIR ? targets + ((long long)t * 2 * WINDOW + job) * (NEGATIVE + 1) : list;
                const int job_at = PER_PAIR ? alone.next() : 0;
                for (int from = 0; from < count; from += GROUP) {
                    const int held = from % LISTED;  // the group's first target in the lanes
                    if (held == 0 && (PER_PAIR || from > 0)) {
                        target = read_target(job_list, count, from, lane);
                        scale = target.sign == 0.f ? 0.f : __ldg(output_scales + target.row);
                    }
                    Group group;
#pragma unroll
                    for (int k = 0; k < GROUP; k++) {
                        const int id = __shfl_sync(EVERYONE, target.row, held + k);
                        if (HOT && id >= first_hot)
                            take_sum(group.row[k], hot_origin + (id - first_hot) * QUADS,
                                     hot_gained + (id - first_hot) * QUADS, lane);
                        else
                            read_row(group.row[k], row_of(output_rows, id), lane);
                    }
#pragma unroll
                    for (int k = 0; k < GROUP; k++) {
#pragma unroll
                        for (int v = 0; v < SLICES; v++)
                            group.other[k].part[v] = IN_TURN ? group.row[k].part[v] : zero4();
                    }
                    const float its_sign = __shfl_sync(EVERYONE, target.sign, held + max(number, 0));
                    const float sign = number < 0 ? 0.f : its_sign;
                    // The next meeting writes its steps elsewhere: lanes may still read those of this one.
                    auto swap_steps = [&]() {
                        float4* const swap = steps;
                        steps = other_steps;
                        other_steps = swap;
                    };

                    if (CBOW) {
                        meet(hidden, d_hidden, false, group, sign, rate, steps, lane, loss);
                        swap_steps();
                    } else {
                        Walk walk(centre, left);
                        const int inputs_met = PER_PAIR ? 1 : contexts;
                        for (int j = 0; j < inputs_met; j += CONTEXTS) {
                            const bool absent = CONTEXTS == 2 && j + 1 == inputs_met;
                            const int one = PER_PAIR ? job_at : walk.next();
                            const int two = CONTEXTS == 1 || absent ? one : walk.next();
                            const bool upper = CONTEXTS == 2 && lane >= HALF;
                            float4* const at[2] = {value + (upper ? two : one), value + (upper ? one : two)};
                            Row x[CONTEXTS], dx[CONTEXTS];
#pragma unroll
                            for (int i = 0; i < CONTEXTS; i++) {
                                take_row(x[i], at[i], lane);
                                dx[i] = x[i];
                            }
                            meet(x, dx, absent, group, sign, rate, steps, lane, loss);
                            swap_steps();
                            if (!(absent && upper)) put_row(at[0], dx[0], lane);
                            if (CONTEXTS == 2 && !(absent && !upper)) put_row(at[1], dx[CONTEXTS - 1], lane);
                        }
                    }

#pragma unroll
                    for (int k = 0; k < GROUP; k++) {
                        const int id = __shfl_sync(EVERYONE, target.row, held + k);
                        const float its_scale = __shfl_sync(EVERYONE, scale, held + k);
                        if (its_scale == 0.f) continue;
                        const bool hot = HOT && id >= first_hot;
                        float4* const to = row_of(output_rows, id);
                        float4* const hot_to = hot_gained + (id - first_hot) * QUADS;
#pragma unroll
                        for (int v = 0; v < SLICES; v++) {
                            if (!holds(v, lane)) continue;
                            const float4 moved =
                                times(its_scale, IN_TURN ? minus(group.row[k].part[v], group.other[k].part[v])
                                                         : group.other[k].part[v]);
                            if (hot) hot_to[v * LANES] = plus(hot_to[v * LANES], moved);
                            else add_to_shared_row(to + v * LANES, moved);
                        }
                    }
                }
            }

            if (CBOW) {
                Walk walk(centre, left);
                for (int j = 0; j < contexts; j++) {
                    float4* const at = value + walk.next();
#pragma unroll
                    for (int v = 0; v < SLICES; v++)
                        if (holds(v, lane)) at[v * LANES] = plus(at[v * LANES], d_hidden[0].part[v]);
                }
            }
            if (HOT) {
                // What this block moved since its last exchange goes out; what the others moved comes in.
                int exchanged[EXCHANGES];
                Row now[EXCHANGES];
#pragma unroll
                for (int e = 0; e < EXCHANGES; e++) {
                    exchanged[e] = __ldg(exchange_turns + (turn & (TURNS - 1)));
                    turn += WARPS;
                }
#pragma unroll
                for (int e = 0; e < EXCHANGES; e++)
                    read_row(now[e], row_of(output_rows, first_hot + exchanged[e]), lane);
#pragma unroll
                for (int e = 0; e < EXCHANGES; e++) {
                    bool again = false;  // what was read of it lacks what has just gone out
#pragma unroll
                    for (int f = 0; f < e; f++) again = again || exchanged[f] == exchanged[e];
                    if (again) continue;
                    const float its_scale = __ldg(exchange_scales + exchanged[e]);
                    float4* const to = row_of(output_rows, first_hot + exchanged[e]);
#pragma unroll
                    for (int v = 0; v < SLICES; v++) {
                        if (!holds(v, lane)) continue;
                        const int at = exchanged[e] * QUADS + v * LANES;
                        const float4 moved = times(its_scale, hot_gained[at]);
                        add_to_shared_row(to + v * LANES, moved);
                        hot_origin[at] = plus(now[e].part[v], moved);
                        hot_gained[at] = zero4();
                    }
                }
            }
        }
        for (int slot = 0; slot < min(entering - low, RING); slot++) leave(slot);
        const float all[1] = {loss};
        loss = Halving<1, LANES / 2>::sum(all, lane);
        if (lane == 0) losses[c] = loss;
    }

    if (HOT) __syncthreads();
    for (int h = warp; h < HOT; h += WARPS) {
        const float its_scale = exchange_scales[h];
        float4* const to = row_of(output_rows, first_hot + h);
#pragma unroll
        for (int v = 0; v < SLICES; v++) {
            if (!holds(v, lane)) continue;
            const int at = h * QUADS + v * LANES;
            add_to_shared_row(to + v * LANES, times(its_scale, hot_gained[at]));
        }
    }
}
