"""From the encoded corpus to the kept stream of one chunk: sub-sampling and compaction, on the CPU.

The encoded corpus is int32 ids with −1 after each sentence. A chunk is a range of its positions; what it needs
beyond its ends (the contexts of its first and last centres) is read as a halo of up to ``window`` kept tokens on
either side, so that the windows of a corpus do not depend on how it was cut.
"""

import numpy as np

from .jit import kernel
from .random import below, draw, window_key

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
    both hold at least ``chunk_capacity`` entries. kept[first:last] belongs to the chunk itself, the rest
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


@kernel
def chunk_capacity(tokens, window):
    """Entries that a chunk of this many tokens and its halo may take."""
    return tokens + 2 * window + 2


@kernel
def cut_windows(kept, positions, first, last, count, window, shrink, draw_key, keys, lows, highs):
    """Cut a window around every kept token of a chunk: contexts kept[low:high] without the token itself.

    kept, positions, first, last, count: from ``compact_chunk``; draw_key: the epoch's window key. Writes, at the
    token's place in kept: keys (uint64, the window's own key), lows and highs (int32). A window stays in its
    sentence; shrink: its width on either side is drawn from 1 … window, as in word2vec.c.
    """
    left = 0
    right = -1  # the end of the current sentence; −1: not looked up
    for centre in range(first, last):
        if kept[centre] == SENTENCE_END:
            left = centre + 1
            right = -1
            continue
        if right < 0:
            right = centre + 1
            while right < count and kept[right] != SENTENCE_END:
                right += 1
        key = window_key(draw_key, positions[centre])
        half_width = 1 + below(draw(key, 0), window) if shrink else window
        keys[centre] = key
        lows[centre] = max(left, centre - half_width)
        highs[centre] = min(right, centre + half_width + 1)


@kernel
def cut_chunk(ids, begin, end, window, shrink, keep_threshold, subsample_key, draw_key):
    """``compact_chunk`` and ``cut_windows`` of ids[begin:end]: (kept, keys, lows, highs, first, last, words)."""
    capacity = chunk_capacity(end - begin, window)
    kept, positions = np.empty(capacity, np.int32), np.empty(capacity, np.int64)
    first, last, count, words = compact_chunk(ids, begin, end, window, keep_threshold, subsample_key, kept, positions)
    keys, lows, highs = np.empty(capacity, np.uint64), np.empty(capacity, np.int32), np.empty(capacity, np.int32)
    cut_windows(kept, positions, first, last, count, window, shrink, draw_key, keys, lows, highs)
    return kept, keys, lows, highs, first, last, words


@kernel
def next_word(kept, place, last):
    """The first place from here on that holds a word and no sentence end; ``last`` where there is none."""
    while place < last and kept[place] == SENTENCE_END:
        place += 1
    return place


def keep_thresholds(counts: np.ndarray, sample: float) -> np.ndarray:
    """Sub-sampling thresholds, (V,) uint32, for ``is_kept``.

    A word of frequency f is kept with probability min(1, sqrt(t/f) + t/f), t = ``sample`` (word2vec.c; the paper's
    formula is sqrt(t/f)). ``sample`` of 0 keeps everything. counts: (V,) int64.
    """
    if sample <= 0:
        return np.full(counts.size, 0xFFFF_FFFF, np.uint32)
    ratio = sample * counts.sum(dtype=np.float64) / np.maximum(counts, 1)
    return np.floor(np.minimum(1.0, np.sqrt(ratio) + ratio) * 0xFFFF_FFFF).astype(np.uint32)
