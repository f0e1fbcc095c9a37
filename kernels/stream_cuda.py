"""From the encoded corpus to windows, on a GPU: sub-sampling, compaction, window cutting and noise draws.

The twin of ``stream_cpu.py``: the same tokens are kept and the same windows cut, because every draw is a function of
the token's position in the corpus. A corpus is worked off in segments; the host launches, and looks at nothing.

    begin_corpus, clear_starts
    count_kept      tile → kept tokens of the tile
    start_segment   what the new segment takes over from the one before: the places whose windows are not whole yet
    place_tiles     running sum over the tiles: where each one writes, and which centres the segment trains
    write_kept      kept words, their positions in the corpus, and where sentences start
    cut_windows     place → span: contexts to the left and to the right, number of targets
    draw_noise      place → noise words

A *place* is an index into the kept stream of a segment. The last ``window`` places of a segment that is not the last
one wait for their right-hand contexts, and are trained with the next: windows do not depend on how a corpus is cut.

``places``: int32 (3,): the first centre, the end of the centres, the end of the places. Spans: uint32,
left | right << 8 | targets << 16. Every kernel is a grid-stride loop but for those that say otherwise.
"""

import numba
from numba import cuda

from .jit_cuda import kernel
from .random import below, draw, window_key
from .stream_cpu import SENTENCE_END

# Most threads of a block, and the tokens of a tile that each of them goes through one after the other.
BLOCK = 256
TOKENS_PER_THREAD = 8

FIRST, LAST, LIMIT = 0, 1, 2
# Places of the sums over an epoch: float64 (4,).
LOSS, PAIRS, KEPT, WORDS = 0, 1, 2, 3
_ALWAYS = 0xFFFF_FFFF
# The square of a larger float32 is infinite once some dimensions are added up.
LARGEST = 1e15


@cuda.jit(device=True)
def _key_at(key, position):
    """``window_key`` as a uint64 in the simulator too, where it would come back as a Python int."""
    return numba.uint64(window_key(key, position))


@cuda.jit(device=True)
def _alias_draw(key, j, buckets):
    """``random.alias_draw``, which the simulator's arrays cannot be handed to."""
    bucket = below(draw(key, 2 * j), buckets.size)
    packed = buckets[bucket]
    if numba.uint64(draw(key, 2 * j + 1)) <= packed >> numba.uint64(32):
        return bucket
    return numba.int64(packed & numba.uint64(0xFFFF_FFFF))


@cuda.jit(device=True)
def _is_kept(word, position, keep_threshold, key):
    """``stream_cpu.is_kept``, with a sentence end kept never."""
    if word == SENTENCE_END:
        return False
    threshold = keep_threshold[word]
    return threshold == _ALWAYS or draw(_key_at(key, position), 0) <= threshold


@cuda.jit(device=True)
def _sum_before(value, shared):
    """(sum of value over the threads of the block before this one, sum over all). shared: int32, BLOCK entries.

    Every thread of the block takes part; Hillis & Steele 1986: Data parallel algorithms.
    """
    thread = cuda.threadIdx.x
    shared[thread] = value
    cuda.syncthreads()
    reach = 1
    while reach < cuda.blockDim.x:
        earlier = shared[thread - reach] if thread >= reach else 0
        cuda.syncthreads()
        shared[thread] += earlier
        cuda.syncthreads()
        reach *= 2
    total = shared[cuda.blockDim.x - 1]
    before = shared[thread] - value
    cuda.syncthreads()
    return before, total


@kernel
def count_kept(ids, base, keep_threshold, key, counts, sums):
    """counts[tile] = kept tokens of a tile of blockDim · TOKENS_PER_THREAD ids; one block per tile.

    ids: (n,) int32, this segment's; base: position of ids[0] in the corpus; keep_threshold: (V,) uint32; key: uint64;
    counts: (tiles,) int32; sums: (4,) float64, gets the number of words.
    """
    shared = cuda.shared.array(BLOCK, numba.int32)
    begin = (cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x) * TOKENS_PER_THREAD
    kept = 0
    words = 0
    for index in range(begin, min(begin + TOKENS_PER_THREAD, ids.size)):
        word = ids[index]
        words += word != SENTENCE_END
        kept += _is_kept(word, base + index, keep_threshold, key)
    _, total = _sum_before(kept, shared)
    _, total_words = _sum_before(words, shared)
    if cuda.threadIdx.x == 0:
        counts[cuda.blockIdx.x] = total
        cuda.atomic.add(sums, WORDS, numba.float64(total_words))


@kernel
def begin_corpus(kept, positions, starts, places, sums):
    """Make the places those before a corpus, which the first segment takes over: none, and a sentence starts."""
    if cuda.grid(1) == 0:
        starts[0] = 1
        for index in range(places.size):
            places[index] = 0
        for index in range(sums.size):
            sums[index] = 0.0


@kernel
def clear_starts(starts):
    """No sentence starts anywhere. starts: (places + 1,) uint8."""
    for place in range(cuda.grid(1), starts.size, cuda.gridsize(1)):
        starts[place] = 0


@kernel
def start_segment(old_kept, old_positions, old_starts, old_places, window, kept, positions, starts, places):
    """Take over the places that are still needed: those without whole windows, and ``window`` before them. One block.

    kept: int32, positions: int64, starts: uint8, one entry more than the others, cleared.
    """
    begin = max(0, old_places[LAST] - window)
    limit = old_places[LIMIT]
    for place in range(cuda.threadIdx.x, limit - begin + 1, cuda.blockDim.x):
        starts[place] = old_starts[begin + place]
        if begin + place < limit:
            kept[place] = old_kept[begin + place]
            positions[place] = old_positions[begin + place]
    if cuda.threadIdx.x == 0:
        places[FIRST] = old_places[LAST] - begin
        places[LIMIT] = limit - begin


@kernel
def place_tiles(counts, tiles, window, is_last, places):
    """counts[tile] becomes the first place of the tile; sets what the segment trains. One block.

    is_last: whether the corpus ends with this segment, so that the last windows are whole as they are.
    """
    shared = cuda.shared.array(BLOCK, numba.int32)
    before = places[LIMIT]
    cuda.syncthreads()
    for first in range(0, tiles, cuda.blockDim.x):
        tile = first + cuda.threadIdx.x
        earlier, total = _sum_before(counts[tile] if tile < tiles else 0, shared)
        if tile < tiles:
            counts[tile] = before + earlier
        before += total
    if cuda.threadIdx.x == 0:
        places[LIMIT] = before
        places[LAST] = before if is_last else max(places[FIRST], before - window)


@kernel
def write_kept(ids, base, keep_threshold, key, tile_places, kept, positions, starts):
    """Write the kept tokens of each tile from its place on; one block per tile, as in ``count_kept``."""
    shared = cuda.shared.array(BLOCK, numba.int32)
    begin = (cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x) * TOKENS_PER_THREAD
    end = min(begin + TOKENS_PER_THREAD, ids.size)
    count = 0
    for index in range(begin, end):
        count += _is_kept(ids[index], base + index, keep_threshold, key)
    before, _ = _sum_before(count, shared)
    place = tile_places[cuda.blockIdx.x] + before
    for index in range(begin, end):
        word = ids[index]
        if word == SENTENCE_END:
            starts[place] = 1  # of whichever token is kept next
        elif _is_kept(word, base + index, keep_threshold, key):
            kept[place] = word
            positions[place] = base + index
            place += 1


@kernel
def cut_windows(kept, positions, starts, places, window, shrink, cbow, draw_key, path_offsets, spans, begins, sums):
    """The span of every centre of the segment, and for Huffman paths where its path begins.

    path_offsets: (V+1,) int64, empty for noise; spans: (places,) uint32; begins: (places,) int64, untouched for
    noise; sums: (4,) float64, gets the kept words and the pairs (windows that have a context, with cbow).
    """
    shared = cuda.shared.array(BLOCK, numba.int32)
    begin, end, limit = places[FIRST], places[LAST], places[LIMIT]
    pairs = 0
    words = 0
    for place in range(begin + cuda.grid(1), end, cuda.gridsize(1)):
        width = window
        if shrink:
            width = 1 + below(draw(_key_at(draw_key, positions[place]), 0), window)
        left = 0
        while left < width and place - left > 0 and starts[place - left] == 0:
            left += 1
        right = 0
        while right < width and place + right + 1 < limit and starts[place + right + 1] == 0:
            right += 1
        targets = 0
        if path_offsets.size > 0:
            word = kept[place]
            begins[place] = path_offsets[word]
            targets = path_offsets[word + 1] - path_offsets[word]
        spans[place] = left | right << 8 | targets << 16
        words += 1
        if cbow:
            pairs += left + right > 0
        else:
            pairs += left + right
    _, all_words = _sum_before(words, shared)
    _, all_pairs = _sum_before(pairs, shared)
    if cuda.threadIdx.x == 0:
        cuda.atomic.add(sums, KEPT, numba.float64(all_words))
        cuda.atomic.add(sums, PAIRS, numba.float64(all_pairs))


@kernel
def draw_noise(kept, positions, places, buckets, negative, lists, draw_key, noise):
    """The targets of every centre: noise[(place · lists + list) · (1 + negative) + j].

    j = 0 is the centre itself, the others are its noise words, −1 for a draw of the centre, which is skipped.

    buckets: (V,) uint64 (``random.alias_draw``); lists: 1, or 2 · window where every context has noise of its own.
    """
    listed = 1 + negative
    count = numba.int64(lists * listed)
    begin = numba.int64(places[FIRST]) * count
    end = numba.int64(places[LAST]) * count
    for at in range(begin + cuda.grid(1), end, cuda.gridsize(1)):
        place = at // count
        number = at % count
        word = kept[place]
        if number % listed > 0:
            # On the CPU too, a list has room for the word itself among the numbers of its draws.
            drawn = _alias_draw(_key_at(draw_key, positions[place]), number, buckets)
            word = -1 if drawn == word else drawn
        noise[at] = word


@kernel
def add_losses(losses, places, chunk, sums):
    """sums[LOSS] += the losses of the segment's chunks. losses: (chunks,) float32."""
    chunks = (places[LAST] - places[FIRST] + chunk - 1) // chunk
    total = 0.0
    for index in range(cuda.grid(1), chunks, cuda.gridsize(1)):
        total += losses[index]
    if total != 0.0:
        cuda.atomic.add(sums, LOSS, total)


@kernel
def fill_uniform(vectors, size, half_width, key):
    """Fill vectors[:, :size] with uniform numbers in [−half_width, half_width), the rest with zeros.

    The twin of ``tables_cpu.fill_uniform``: the same bits. vectors: (V, ≥ size) float32; key: uint64.
    """
    scale = numba.float32(half_width * 2.0 / 16777216.0)
    for row in range(cuda.blockIdx.x, vectors.shape[0], cuda.gridDim.x):
        row_key = _key_at(key, row)
        for column in range(cuda.threadIdx.x, vectors.shape[1], cuda.blockDim.x):
            number = numba.int64(draw(row_key, column) >> numba.uint64(8)) - 8388608
            vectors[row, column] = numba.float32(number) * scale if column < size else numba.float32(0.0)


@kernel
def find_unsound(matrix, flags, index):
    """flags[index] = 1 where a value of the matrix is not finite, or so large that its square is not; else left."""
    for row in range(cuda.blockIdx.x, matrix.shape[0], cuda.gridDim.x):
        for column in range(cuda.threadIdx.x, matrix.shape[1], cuda.blockDim.x):
            if not abs(matrix[row, column]) < LARGEST:  # not a number compares false
                flags[index] = 1
