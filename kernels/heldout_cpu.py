"""Held-out sentences on the CPU: choosing them, the windows they hold, and their loss under row-wise tables.

The encoded corpus is int32 ids with −1 after each sentence. Windows here are full: ``window`` words on either side as
far as the sentence goes, nothing sub-sampled and nothing shrunk. The words around a centre are the inputs, the centre
is what is predicted.
"""

import numpy as np
from numba import njit

from .jit import kernel
from .random import draw, window_key
from .stream_cpu import SENTENCE_END
from .targets_cpu import list_targets


@kernel
def is_heldout(sentence, threshold, key):
    """Whether a sentence, by its number from 0, is held out: its draw is below threshold (uint64, of 2^32)."""
    return draw(window_key(key, sentence), 0) < threshold


@kernel
def count_heldout(ids, threshold, key):
    """How many ids, the −1 included, belong to held-out sentences; ids (N,) int32."""
    count = 0
    sentence = 0
    chosen = is_heldout(0, threshold, key)
    for place in range(ids.size):
        count += chosen
        if ids[place] == SENTENCE_END:
            sentence += 1
            chosen = is_heldout(sentence, threshold, key)
    return count


@kernel
def split_sentences(ids, first, threshold, key, train, heldout):
    """Copy ids sentence by sentence to one of two int32 arrays, which hold as many as ``count_heldout`` says.

    first: the number of the sentence that ids begin in; text can so be split block by block. Returns the numbers of
    ids copied to each, and of the sentence that the next block begins in.
    """
    trained = held = 0
    sentence = first
    chosen = is_heldout(sentence, threshold, key)
    for place in range(ids.size):
        word = ids[place]
        if chosen:
            heldout[held] = word
            held += 1
        else:
            train[trained] = word
            trained += 1
        if word == SENTENCE_END:
            sentence += 1
            chosen = is_heldout(sentence, threshold, key)
    return trained, held, sentence


@kernel
def has_pair(ids):
    """Whether two words of ids stand side by side in a sentence."""
    for place in range(1, ids.size):  # noqa: SIM110 (numba compiles no generators)
        if ids[place - 1] != SENTENCE_END and ids[place] != SENTENCE_END:
            return True
    return False


@kernel
def full_window(ids, centre, window):
    """The full window around a word as (low, high): ids[low:high] without the centre are its contexts."""
    low = centre
    while low > 0 and centre - low < window and ids[low - 1] != SENTENCE_END:
        low -= 1
    high = centre + 1
    while high < ids.size and high - centre <= window and ids[high] != SENTENCE_END:
        high += 1
    return low, high


@kernel
def window_pairs(ids, begin, end, window, words, keys):
    """Write every pair of the windows whose centres are in ids[begin:end]; return how many.

    keys: int64, room for 2 · window · (end − begin) of them; a pair's key is input · words + target.
    """
    count = 0
    for centre in range(begin, end):
        target = np.int64(ids[centre])
        if target == SENTENCE_END:
            continue
        low, high = full_window(ids, centre, window)
        for place in range(low, high):
            if place != centre:
                keys[count] = np.int64(ids[place]) * words + target
                count += 1
    return count


@kernel
def window_bags(ids, begin, end, window, bag_begins, bag_words, targets):
    """Write the windows of the centres in ids[begin:end] that have a context; return how many.

    Window i has the contexts bag_words[bag_begins[i]:bag_begins[i + 1]] (int32) and predicts targets[i] (int32).
    bag_begins: int64, room for end − begin + 1; bag_words: room for 2 · window · (end − begin).
    """
    count = 0
    at = 0
    bag_begins[0] = 0
    for centre in range(begin, end):
        if ids[centre] == SENTENCE_END:
            continue
        low, high = full_window(ids, centre, window)
        if high - low == 1:
            continue
        for place in range(low, high):
            if place != centre:
                bag_words[at] = ids[place]
                at += 1
        targets[count] = ids[centre]
        count += 1
        bag_begins[count] = at
    return count


@kernel
def count_targets(ids, window, per_window, counts):
    """Add to counts (V,) int64 how often each word is predicted: once per pair, or (per_window) once per window."""
    for centre in range(ids.size):
        if ids[centre] == SENTENCE_END:
            continue
        low, high = full_window(ids, centre, window)
        contexts = high - low - 1
        counts[ids[centre]] += min(contexts, 1) if per_window else contexts


# The sum may be taken in any order: so it is vectorised. No other liberty is taken.
@njit(fastmath={"reassoc", "contract"})
def _product(a, b):
    """Σ_d a_d · b_d in float64, of float32 arrays of one length."""
    result = 0.0
    for d in range(a.size):
        result += np.float64(a[d]) * np.float64(b[d])
    return result


@kernel
def bag_losses(
    inputs, input_pitch, outputs, output_pitch, tables, rows, signs, hidden,
    bag_begins, bag_words, targets, weights, first, last, use_sum,
):  # fmt: skip
    """Σ_i weight_i · Σ_k log(1 + exp(−s_k h_i·o_k)) of the bags first … last − 1, float64 nats.

    h_i: the mean of the bag's input rows (their sum with use_sum); o_k, s_k: the output rows and signs that
    ``list_targets`` gives for target i without any draw. inputs, outputs: float32, row r begins at r · pitch;
    weights: float64. rows (int32) and signs (float32): room for the longest list; hidden: float32 (D,), room for h_i.
    """
    size = hidden.size
    loss = 0.0
    for i in range(first, last):
        begin, end = bag_begins[i], bag_begins[i + 1]
        at = np.int64(bag_words[begin]) * input_pitch
        hidden[:] = inputs[at : at + size]
        for place in range(begin + 1, end):
            at = np.int64(bag_words[place]) * input_pitch
            row = inputs[at : at + size]
            for d in range(size):
                hidden[d] += row[d]
        if not use_sum and end - begin > 1:
            scale = np.float32(1.0 / (end - begin))
            for d in range(size):
                hidden[d] *= scale
        count = list_targets(tables, targets[i], np.uint64(0), 0, rows, signs)
        nats = 0.0
        for k in range(count):
            at = np.int64(rows[k]) * output_pitch
            logit = signs[k] * _product(hidden, outputs[at : at + size])
            nats += np.log1p(np.exp(-abs(logit))) - min(logit, 0.0)
        loss += weights[i] * nats
    return loss
