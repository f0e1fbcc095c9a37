"""From the encoded corpus to the kept stream of one chunk: sub-sampling and compaction, on the CPU.

The encoded corpus is int32 ids with −1 after each sentence. A chunk is a range of its positions; what it needs
beyond its ends (the contexts of its first and last centres) is read as a halo of up to ``window`` kept tokens on
either side, so that the windows of a corpus do not depend on how it was cut.
"""

import numpy as np

from .jit import kernel
from .random import draw, window_key

SENTENCE_END = -1


@kernel
def is_kept(word, position, keep_threshold, key):
    """Whether sub-sampling keeps the token at a position (Mikolov et al. 2013b, in word2vec.c's form).

    keep_threshold: (V,) uint32, keep while the draw is not above it (2^32 − 1 keeps always); key: uint64.
    """
    threshold = keep_threshold[word]
    return threshold == 0xFFFF_FFFF or draw(window_key(key, position), 0) <= threshold


@kernel
def compact_chunk(ids, begin, end, window, keep_threshold, key, kept, positions):
    """Write the kept tokens of ids[begin:end] and of its halo; return (first, last, count, words).

    ids: (N,) int32; keep_threshold: (V,) uint32; key: the epoch's sub-sampling key.
    kept: int32 buffer for ids, sentence ends included as −1; positions: int64 buffer, the place in ids of each;
    both hold at least end − begin + 2·window + 2 entries. kept[first:last] belongs to the chunk itself, the rest
    of kept[:count] is halo. words counts the tokens of the chunk before sub-sampling.
    """
    # Backwards into the halo, then the same stretch turned round.
    count = 0
    place = begin - 1
    while place >= 0 and count < window and ids[place] != SENTENCE_END:
        if is_kept(ids[place], place, keep_threshold, key):
            kept[count] = ids[place]
            positions[count] = place
            count += 1
        place -= 1
    for low in range(count // 2):
        high = count - 1 - low
        kept[low], kept[high] = kept[high], kept[low]
        positions[low], positions[high] = positions[high], positions[low]
    first = count
    words = 0
    for place in range(begin, end):
        word = ids[place]
        if word == SENTENCE_END:
            kept[count] = SENTENCE_END
            positions[count] = place
            count += 1
            continue
        words += 1
        if is_kept(word, place, keep_threshold, key):
            kept[count] = word
            positions[count] = place
            count += 1
    last = count
    if begin < end and ids[end - 1] != SENTENCE_END:
        place = end
        while place < ids.size and count - last < window and ids[place] != SENTENCE_END:
            if is_kept(ids[place], place, keep_threshold, key):
                kept[count] = ids[place]
                positions[count] = place
                count += 1
            place += 1
    return first, last, count, words


def chunk_capacity(chunk: int, window: int) -> int:
    """Entries that ``kept`` and ``positions`` must hold for chunks of this many tokens."""
    return chunk + 2 * window + 2


def keep_thresholds(counts: np.ndarray, sample: float) -> np.ndarray:
    """Sub-sampling thresholds, (V,) uint32, for ``is_kept``.

    A word of frequency f is kept with probability min(1, sqrt(t/f) + t/f), t = ``sample`` (word2vec.c; the paper's
    formula is sqrt(t/f)). ``sample`` of 0 keeps everything. counts: (V,) int64.
    """
    if sample <= 0:
        return np.full(counts.size, 0xFFFF_FFFF, np.uint32)
    ratio = sample * counts.sum(dtype=np.float64) / np.maximum(counts, 1)
    return np.floor(np.minimum(1.0, np.sqrt(ratio) + ratio) * 0xFFFF_FFFF).astype(np.uint32)
