"""From windows on the GPU to the pairs of block softmax: the twin of ``pairs_cpu.py`` behind ``stream_cuda.py``.

The host decides what an array has room for, after one look at the windows of a segment. Grid-stride loops.
"""

import numba
from numba import cuda

from .jit_cuda import kernel


@kernel
def count_contexts(spans, first, counts):
    """counts[i] = contexts of the window at place first + i. spans: uint32, as ``stream_cuda.py`` has them; int64."""
    for index in range(cuda.grid(1), counts.size, cuda.gridsize(1)):
        span = spans[first + index]
        counts[index] = (span & numba.uint32(0xFF)) + (span >> numba.uint32(8) & numba.uint32(0xFF))


@kernel
def emit_pairs(words, spans, first, begins, batches, ranks, keys):
    """A key (batch · V + input) · V + rank of the target for each pair: contexts are inputs, the centre the target.

    words: int32; first: place of the first centre; begins: (n,) int64, where each window's keys begin; batches: (n,)
    int64, whose they are; ranks: (V,) int32; keys: int64.
    """
    size = numba.int64(ranks.size)
    for index in range(cuda.grid(1), begins.size, cuda.gridsize(1)):
        centre = first + index
        span = numba.int64(spans[centre])
        left, right = span & 0xFF, span >> 8 & 0xFF
        rank = numba.int64(ranks[words[centre]])
        line = batches[index] * size
        place = begins[index]
        for context in range(centre - left, centre + right + 1):
            if context != centre:
                keys[place] = (line + words[context]) * size + rank
                place += 1


@kernel
def emit_bags(words, spans, places, begins, members):
    """The contexts of windows one after the other: members[begins[i] …] for the one at places[i].

    words, members: int32; places, begins: (n,) int64.
    """
    for index in range(cuda.grid(1), places.size, cuda.gridsize(1)):
        centre = places[index]
        span = numba.int64(spans[centre])
        left, right = span & 0xFF, span >> 8 & 0xFF
        place = begins[index]
        for context in range(centre - left, centre + right + 1):
            if context != centre:
                members[place] = words[context]
                place += 1
