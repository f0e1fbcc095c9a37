"""The row-wise step on a GPU in numba-CUDA: the readable twin of ``window.cu``, for any size.

The same rule, the same windows and draws: one block trains one chunk of windows at a time, and what a warp
of ``window.cu`` keeps in registers and shared memory lies in ``ring`` and ``groups`` here, in global memory. A
thread owns the dimensions threadIdx, threadIdx + blockDim, … of every row, so that rows need no barrier; only the
logits are sums over the block. Races by design as there: other blocks add to the rows meanwhile.
"""

import math

import numba
from numba import config, cuda

from .jit_cuda import kernel
from .stream_cuda import FIRST, LAST, LIMIT

# Targets met at once, at most, and threads of a block, at most.
MOST_GROUP = 8
MOST_SUMS = 2 * MOST_GROUP
MOST_THREADS = 128
# The first index of a block's ring, and of its groups: a group of output rows, then the hidden vector of CBOW.
VALUE, ORIGIN = 0, 1
NOW, OTHER = 0, 1


if config.ENABLE_CUDASIM:

    @cuda.jit(device=True)
    def _fresh(matrix, row, d):
        """matrix[row, d] as other multiprocessors left it."""
        return matrix[row, d]
else:

    @cuda.jit(device=True)
    def _fresh(matrix, row, d):
        """matrix[row, d] as other multiprocessors left it: read past the first-level cache."""
        return cuda.ldcg(matrix, (numba.int64(row), numba.int64(d)))


@cuda.jit(device=True)
def _leave(ring, slot, word, scale, inputs):
    """inputs[word] += scale · (value − origin) of a slot."""
    for d in range(cuda.threadIdx.x, inputs.shape[1], cuda.blockDim.x):
        cuda.atomic.add(inputs, (word, d), scale * (ring[VALUE, slot, d] - ring[ORIGIN, slot, d]))


@cuda.jit(device=True)
def _read(ring, word, inputs):
    """Read the row that enters next into its waiting place, past the ring."""
    waiting = ring.shape[1] - 1
    for d in range(cuda.threadIdx.x, inputs.shape[1], cuda.blockDim.x):
        ring[VALUE, waiting, d] = _fresh(inputs, word, d)


@cuda.jit(device=True)
def _enter(ring, slot):
    """Put the waiting row into a slot."""
    waiting = ring.shape[1] - 1
    for d in range(cuda.threadIdx.x, ring.shape[2], cuda.blockDim.x):
        ring[VALUE, slot, d] = ring[VALUE, waiting, d]
        ring[ORIGIN, slot, d] = ring[VALUE, waiting, d]


@cuda.jit(device=True)
def _target(targets, begin, negative, count, index):
    """(output row, sign) of a window's target number ``index``: −1 and 0 where there is none."""
    if index >= count:
        return -1, numba.float32(0.0)
    entry = targets[begin + index]
    if negative > 0:
        if entry < 0:
            return -1, numba.float32(0.0)
        return entry, numba.float32(1.0) if index == 0 else numba.float32(-1.0)
    return entry >> 1, numba.float32(-1.0) if entry & 1 else numba.float32(1.0)


@cuda.jit(device=True)
def _logistic(sign, z):
    """(s σ(−s z), log(1 + exp(−s z))): the step before the learning rate, and the loss in nats."""
    y = sign * z
    t = math.exp(-abs(y))
    r = numba.float32(1.0) / (numba.float32(1.0) + t)
    loss = math.log(numba.float32(1.0) + t) - min(y, numba.float32(0.0))
    return sign * (r if y < numba.float32(0.0) else t * r), loss


@kernel
def grow_scales(given, factor, scales):
    """scales = min(1, factor · given). given, scales: (rows,) float32; factor: float32, 1 or more."""
    for row in range(cuda.grid(1), given.size, cuda.gridsize(1)):
        scales[row] = min(numba.float32(1.0), factor * given[row])


@kernel
def train_windows(
    words, spans, places, chunk, inputs, outputs, input_scales, output_scales, targets, target_begins,
    window, negative, group, cbow, cbow_sum, per_pair, in_turn, rate_begin, rate_end, ring, groups, losses,
):  # fmt: skip
    """Train the centres of a segment; ``stream_cuda`` makes what it reads.

    words: (places,) int32; spans: (places,) uint32; places: (3,) int32; chunk: centres per chunk; inputs (V, ≥ D)
    and outputs (rows, ≥ D): float32, changed in place; input_scales (V,), output_scales (rows,): float32; targets,
    target_begins: the words with their noise (``draw_noise``), or all Huffman paths as row · 2 + code and where each
    place's begins, (places,) int64; negative: noise words, 0 for paths; group: targets met at once; rate_begin,
    rate_end: learning rates at the ends of the segment; ring: (blocks, 2, 2 · window + 2, ≥ D) and groups: (blocks,
    2, group + 1, ≥ D) float32 scratch; losses: (chunks,) float32, nats.
    """
    partial = cuda.shared.array((MOST_SUMS, MOST_THREADS), numba.float32)
    steps = cuda.shared.array(MOST_SUMS, numba.float32)
    gained = cuda.shared.array(MOST_SUMS, numba.float32)
    thread = cuda.threadIdx.x
    size = inputs.shape[1]
    mine = ring[cuda.blockIdx.x]
    rows = groups[cuda.blockIdx.x]
    hidden = group  # where CBOW keeps its hidden vector (NOW) and that one's movement (OTHER)
    slots = 2 * window + 1
    together = 1 if cbow or per_pair else 2  # inputs that meet a group at once
    first, last, limit = places[FIRST], places[LAST], places[LIMIT]
    chunks = (last - first + chunk - 1) // chunk

    for c in range(cuda.blockIdx.x, chunks, cuda.gridDim.x):
        begin = first + c * chunk
        end = min(begin + chunk, last)
        low = max(0, begin - window)
        rate = rate_begin + (rate_end - rate_begin) * (numba.float32(begin - first) / numba.float32(last - first))
        loss = numba.float32(0.0)
        entering = low
        _read(mine, words[low], inputs)

        for t in range(begin, end):
            while entering < limit and entering <= t + window:
                slot = (entering - low) % slots
                if entering - low >= slots:
                    word = words[entering - slots]
                    _leave(mine, slot, word, input_scales[word], inputs)
                _enter(mine, slot)
                entering += 1
                if entering < limit:
                    _read(mine, words[entering], inputs)
            left = numba.int64(spans[t]) & 255
            contexts = left + (numba.int64(spans[t]) >> 8 & 255)
            count = negative + 1 if negative > 0 else numba.int64(spans[t]) >> 16
            if contexts == 0:
                continue
            if cbow:
                share = numba.float32(1.0) if cbow_sum else numba.float32(1.0) / numba.float32(contexts)
                for d in range(thread, size, cuda.blockDim.x):
                    total = numba.float32(0.0)
                    for j in range(contexts):
                        total += mine[VALUE, (t - left + j + (j >= left) - low) % slots, d]
                    rows[NOW, hidden, d] = share * total
                    rows[OTHER, hidden, d] = numba.float32(0.0)

            for job in range(contexts if per_pair else 1):
                if negative == 0:
                    target_begin = target_begins[t]
                elif per_pair:
                    target_begin = (numba.int64(t) * 2 * window + job) * count
                else:
                    target_begin = numba.int64(t) * count
                for from_target in range(0, count, group):
                    for k in range(group):
                        row, _ = _target(targets, target_begin, negative, count, from_target + k)
                        for d in range(thread, size, cuda.blockDim.x):
                            value = _fresh(outputs, row, d) if row >= 0 else numba.float32(0.0)
                            rows[NOW, k, d] = value
                            rows[OTHER, k, d] = value if in_turn else numba.float32(0.0)
                    input_begin = job if per_pair else 0
                    input_end = job + 1 if per_pair else (1 if cbow else contexts)
                    for j in range(input_begin, input_end, together):
                        # The logits: every thread's share of every sum, then one thread per sum.
                        for c_in in range(together):
                            present = j + c_in < input_end
                            slot = (t - left + j + c_in + (j + c_in >= left) - low) % slots
                            for k in range(group):
                                total = numba.float32(0.0)
                                if present:
                                    for d in range(thread, size, cuda.blockDim.x):
                                        x = rows[NOW, hidden, d] if cbow else mine[VALUE, slot, d]
                                        total += x * rows[NOW, k, d]
                                partial[c_in * group + k, thread] = total
                        cuda.syncthreads()
                        for number in range(thread, together * group, cuda.blockDim.x):
                            z = numba.float32(0.0)
                            for other in range(cuda.blockDim.x):
                                z += partial[number, other]
                            row, sign = _target(targets, target_begin, negative, count, from_target + number % group)
                            step, nats = _logistic(sign, z)
                            counts = sign != 0 and j + number // group < input_end
                            steps[number] = rate * step if counts else numba.float32(0.0)
                            gained[number] = nats if counts else numba.float32(0.0)
                        cuda.syncthreads()
                        if thread == 0:
                            for number in range(together * group):
                                loss += gained[number]
                        # All of them move from where they stood: the inputs by the rows, and the rows by the inputs.
                        for d in range(thread, size, cuda.blockDim.x):
                            slot = (t - left + j + (j >= left) - low) % slots
                            x0 = rows[NOW, hidden, d] if cbow else mine[VALUE, slot, d]
                            paired = together == 2 and j + 1 < input_end
                            next_slot = (t - left + j + 1 + (j + 1 >= left) - low) % slots
                            x1 = mine[VALUE, next_slot, d] if paired else numba.float32(0.0)
                            d0 = numba.float32(0.0)
                            d1 = numba.float32(0.0)
                            for k in range(group):
                                g0 = steps[k]
                                g1 = steps[group + k] if paired else numba.float32(0.0)
                                d0 += g0 * rows[NOW, k, d]
                                d1 += g1 * rows[NOW, k, d]
                                if in_turn:
                                    rows[NOW, k, d] += g0 * x0 + g1 * x1
                                else:
                                    rows[OTHER, k, d] += g0 * x0 + g1 * x1
                            if cbow:
                                rows[OTHER, hidden, d] += d0
                            else:
                                mine[VALUE, slot, d] = x0 + d0
                                if paired:
                                    mine[VALUE, next_slot, d] = x1 + d1
                        cuda.syncthreads()
                    for k in range(group):
                        row, _ = _target(targets, target_begin, negative, count, from_target + k)
                        if row >= 0:
                            scale = output_scales[row]
                            for d in range(thread, size, cuda.blockDim.x):
                                moved = rows[OTHER, k, d]
                                if in_turn:
                                    moved = rows[NOW, k, d] - moved
                                cuda.atomic.add(outputs, (row, d), scale * moved)
            if cbow:
                for j in range(contexts):
                    slot = (t - left + j + (j >= left) - low) % slots
                    for d in range(thread, size, cuda.blockDim.x):
                        mine[VALUE, slot, d] += rows[OTHER, hidden, d]

        for place in range(max(low, entering - slots), entering):
            word = words[place]
            _leave(mine, (place - low) % slots, word, input_scales[word], inputs)
        if thread == 0:
            losses[c] = loss
