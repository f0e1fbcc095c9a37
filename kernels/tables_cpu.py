"""Tables built once per vocabulary, in O(V): the alias table of the noise, and the Huffman tree of the counts."""

import numpy as np

from .jit import kernel
from .random import draw, window_key

_ALWAYS = np.uint64(0xFFFF_FFFF_0000_0000)


@kernel
def build_alias(weights, buckets):
    """Fill an alias table for a distribution proportional to weights (Walker 1977; Vose 1991), in O(V).

    weights: (V,) float64, not negative, not all zero; buckets: (V,) uint64, threshold and alias as
    ``random.alias_draw`` reads them.
    """
    size = weights.size
    total = 0.0
    for i in range(size):
        total += weights[i]
    share = np.empty(size, np.float64)
    small = np.empty(size, np.int32)
    large = np.empty(size, np.int32)
    n_small = n_large = 0
    for i in range(size):
        share[i] = weights[i] * size / total
        if share[i] < 1.0:
            small[n_small] = i
            n_small += 1
        else:
            large[n_large] = i
            n_large += 1
    while n_small > 0 and n_large > 0:
        n_small -= 1
        s, g = small[n_small], large[n_large - 1]
        # A threshold t keeps t + 1 of 2^32 numbers; a share of (almost) zero still keeps one, 2e-10 of a bucket.
        threshold = np.uint64(max(0.0, share[s] * 4294967296.0 - 1.0))
        buckets[s] = (threshold << np.uint64(32)) | np.uint64(g)
        share[g] -= 1.0 - share[s]
        if share[g] < 1.0:
            n_large -= 1
            small[n_small] = g
            n_small += 1
    # What is left has a share of one but for rounding.
    for j in range(n_small):
        buckets[small[j]] = _ALWAYS | np.uint64(small[j])
    for j in range(n_large):
        buckets[large[j]] = _ALWAYS | np.uint64(large[j])


@kernel
def build_huffman(counts, parent, branch):
    """Join the two lightest nodes until one is left: word2vec.c's two queues, O(V) on sorted counts.

    counts: (V,) int64, falling. Words are nodes 0 … V−1, inner nodes V … 2V−2 in order of their making, the root
    last. parent: (2V−1,) int32; branch: (2V−1,) int8, 1 for the second-lightest of each pair.
    """
    size = counts.size
    weight = np.empty(2 * size - 1, np.int64)
    weight[:size] = counts
    word = size - 1  # the first queue: words, from the rarest
    inner = size  # the second: inner nodes, whose weights rise as they are made
    for made in range(size, 2 * size - 1):
        total = np.int64(0)
        for code in range(2):
            # On equal weights the inner node goes first, as in word2vec.c.
            if word >= 0 and (inner >= made or weight[word] < weight[inner]):
                pick = word
                word -= 1
            else:
                pick = inner
                inner += 1
            parent[pick] = made
            branch[pick] = code
            total += weight[pick]
        weight[made] = total
    parent[2 * size - 2] = -1


@kernel
def path_lengths(parent, offsets):
    """Fill offsets (V+1,) int64 with the running sum of the code lengths; return the longest."""
    longest = 0
    offsets[0] = 0
    for word in range(offsets.size - 1):
        length = 0
        node = word
        while parent[node] >= 0:
            node = parent[node]
            length += 1
        offsets[word + 1] = offsets[word] + length
        longest = max(longest, length)
    return longest


@kernel
def fill_paths(parent, branch, offsets, nodes, codes):
    """Write each word's path from the root: inner nodes as rows 0 … V−2 (the root is V−2), and the branch at each."""
    size = offsets.size - 1
    for word in range(size):
        at = offsets[word + 1]
        node = word
        while parent[node] >= 0:
            at -= 1
            codes[at] = branch[node]
            node = parent[node]
            nodes[at] = node - size


@kernel
def fill_uniform(vectors, size, half_width, key):
    """Fill vectors[:, :size] with uniform numbers in [−half_width, half_width), 24 bits each, by counter.

    vectors: (V, ≥ size) float32, what lies beyond ``size`` is left alone; key: uint64. A row's numbers depend on the
    key and on the row alone.
    """
    scale = np.float32(half_width * 2.0 / 16777216.0)
    for row in range(vectors.shape[0]):
        row_key = window_key(key, row)
        for column in range(size):
            number = np.int64(draw(row_key, column) >> np.uint64(8)) - 8388608
            vectors[row, column] = np.float32(number) * scale
