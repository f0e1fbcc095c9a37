"""From a stretch of the encoded corpus to the pairs of block softmax, on the CPU.

Windows are cut as in ``stream_cpu.py``. The contexts of a window are inputs, the centre is what is predicted: known
by its rank of frequency, by which blocks are made.
"""

import numpy as np

from .jit import kernel
from .stream_cpu import SENTENCE_END, cut_chunk


@kernel
def count_contexts(kept, lows, highs, first, last):
    """(pairs, windows that have a context, kept words) of the windows of kept[first:last]."""
    pairs, windows, words = 0, 0, 0
    for centre in range(first, last):
        if kept[centre] != SENTENCE_END:
            contexts = highs[centre] - lows[centre] - 1
            pairs += contexts
            windows += contexts > 0
            words += 1
    return pairs, windows, words


@kernel
def skipgram_keys(ids, begin, end, window, shrink, keep_threshold, subsample_key, draw_key, ranks):
    """(keys, kept words, words) of ids[begin:end]: one int64 key input · V + rank of the target for each pair.

    ids: (N,) int32; keep_threshold: (V,) uint32; the keys of the epoch: uint64; ranks: (V,) int32.
    """
    kept, _, lows, highs, first, last, words = cut_chunk(
        ids, begin, end, window, shrink, keep_threshold, subsample_key, draw_key
    )
    pairs, _, kept_words = count_contexts(kept, lows, highs, first, last)
    keys = np.empty(pairs, np.int64)
    place = 0
    for centre in range(first, last):
        if kept[centre] == SENTENCE_END:
            continue
        rank = ranks[kept[centre]]
        for context in range(lows[centre], highs[centre]):
            if context != centre:
                keys[place] = np.int64(kept[context]) * ranks.size + rank
                place += 1
    return keys, kept_words, words


@kernel
def cbow_bags(ids, begin, end, window, shrink, keep_threshold, subsample_key, draw_key, ranks):
    """(bag begins, bag words, ranks of the targets, kept words, words): the windows of ids[begin:end] with contexts.

    Bag begins are (windows + 1,) int64 places in the bag words, int32; ranks: (windows,) int32.
    """
    kept, _, lows, highs, first, last, words = cut_chunk(
        ids, begin, end, window, shrink, keep_threshold, subsample_key, draw_key
    )
    pairs, windows, kept_words = count_contexts(kept, lows, highs, first, last)
    begins, members, targets = np.empty(windows + 1, np.int64), np.empty(pairs, np.int32), np.empty(windows, np.int32)
    row, place = 0, 0
    for centre in range(first, last):
        if kept[centre] == SENTENCE_END or highs[centre] - lows[centre] == 1:
            continue
        begins[row] = place
        targets[row] = ranks[kept[centre]]
        row += 1
        for context in range(lows[centre], highs[centre]):
            if context != centre:
                members[place] = kept[context]
                place += 1
    begins[row] = place
    return begins, members, targets, kept_words, words
