"""Phrases on the CPU: counts of words and of pairs of words, scores, and the text with phrases joined. numba, no GIL.

Fingerprints
------------
Words and pairs are counted by the text that they would be written as, so that ``new_york`` in the text and the pair
``new york`` are one entry, as in gensim and in word2phrase.c. No text is kept: an entry is the 64-bit fingerprint of
its pieces, the runs between delimiters. With h a keyed hash of a piece and B an odd constant,

    F(p1 … pk) = Σ h(pi) · B^(k−i)   modulo 2^64,

so that the fingerprint of a joined pair follows from those of its words by one product:
F(a_b) = F(a) · B^(pieces of b) + F(b). Any two entries are taken for one with a chance of about 2^-62: 0.02 % for
some two of 40 million.

Tables
------
*Words of a block*: uint64 (words, 4) by the block's own ids, row ``[fingerprint, B^pieces, count, 1 for a
connector]``.

*Entries*: uint64 (slots, 2), a power of two slots, linear probing, slot = top bits of the fingerprint. A row is
``[fingerprint, WORD flag | REJECTED flag | count]``; a fingerprint of 0 is an empty slot. A table walked in order
fills a larger one in order.

*Set* of fingerprints: uint64 (slots,), the same without counts.

Reference: plain Python over dictionaries of strings, ``tests/phrase_reference.py``; gensim's ``Phrases``.
"""

from math import log

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import kernel
from .text_cpu import (
    GOLDEN,
    HIGH_BITS,
    HIGH_MASKS,
    INLINE,
    LOW_MASKS,
    boundaries,
    byte_pointer,
    hash_inline,
    hash_long,
    load_u64,
    prefetch_row2,
    table_shift,
)
from .tokenizer import filled_rows

# Columns of the words of a block.
FINGERPRINT, POWER, COUNT, CONNECTOR = range(4)
# What goes from block to block: fingerprint of the last word and the connectors after it, whether a pair may end
# with the next word, count and power of that last word.
PREFIX, OPEN, LEFT_COUNT, LEFT_POWER = range(4)
CARRY_SIZE = 4
# Marks of what is no word, or no end of a phrase.
LINE_END, BETWEEN = -1, -2
# Ways to score.
DEFAULT, NPMI, WORD2PHRASE = range(3)
# State of `join_text` between blocks: whether a word is pending, tokens since it, bytes in `rest`; then what the call
# left: where the text to be held begins, fresh phrases, phrases in the set, joins, tokens that they took away.
PENDING, SINCE, RESTING, HELD, FRESH, KNOWN, JOINS, REMOVED = range(8)
JOIN_STATE_SIZE = 8

WORD = np.uint64(1 << 63)
# A pair of words without a delimiter in them that is no phrase. (With one in them, the same entry may be another pair
# as well: new_york + city, new + york_city.)
REJECTED = np.uint64(1 << 62)
_COUNT_BITS = np.uint64((1 << 62) - 1)
# B: 5 modulo 8, so that B − 1 and B + 1 have few factors of two; its bits are those of no nice number.
_BASE = np.uint64(0x9FB21C651E98DF25)
_EACH_BYTE = np.uint64(0x0101010101010101)
_AHEAD = 24
_WINDOW = np.uint64(64 * 64)
_U0, _U1, _U2, _U8, _U16 = (np.uint64(n) for n in (0, 1, 2, 8, 16))
_INLINE = np.uint64(INLINE)


@intrinsic
def _copy(typingctx, target, target_start, source, source_start, length):
    """Copy ``length`` bytes between two uint8 arrays that do not overlap."""

    def codegen(context, builder, signature, args):
        byte = ir.IntType(8)
        to = byte_pointer(context, builder, _pointer_signature(signature, 0), args[0:2], byte)
        origin = byte_pointer(context, builder, _pointer_signature(signature, 2), args[2:4], byte)
        cgutils.raw_memcpy(builder, to, origin, args[4], 1)
        return context.get_dummy_value()

    return types.none(target, types.uint64, source, types.uint64, types.uint64), codegen


def _pointer_signature(signature, first):
    """The types of an array and an index among the arguments of ``_copy``."""
    return types.none(signature.args[first], signature.args[first + 1])


@kernel
def _piece_hash(text, start, length, secrets):
    """Keyed hash of the ``length`` bytes from ``start``; the text goes on for 16 bytes at least."""
    if length > _INLINE:
        return _with_length(hash_long(text, start, length, secrets)[0], length)
    low = load_u64(text, start) & LOW_MASKS[length]
    high = load_u64(text, start + _U8) & HIGH_MASKS[length]
    return _with_length(hash_inline(low, high, length, secrets), length)


@kernel
def _with_length(value, length):
    """A hash of the tokenizer, in which a byte can make up for another length, made one that stands for the bytes."""
    return value + length * GOLDEN


@kernel
def _holds(word, byte):
    """Whether one of the eight bytes of ``word`` is ``byte``; may also say so where none is."""
    rest = word ^ (byte * _EACH_BYTE)
    return ((rest - _EACH_BYTE) & ~rest & HIGH_BITS) != _U0


@kernel
def _delimiter_at(text, at, delimiter):
    """Whether ``delimiter`` (uint8) stands at byte ``at``."""
    same = True
    for byte in range(delimiter.shape[0]):
        same &= text[at + np.uint64(byte)] == delimiter[byte]
    return same


@kernel
def _fingerprint(text, start, length, delimiter, secrets):
    """Fingerprint of a word and B^pieces."""
    end = start + length
    width = np.uint64(delimiter.shape[0])
    value, power = _U0, _BASE
    piece = at = start
    while at + width <= end:
        if text[at] == delimiter[0] and _delimiter_at(text, at, delimiter):
            value = value * _BASE + _piece_hash(text, piece, at - piece, secrets)
            power *= _BASE
            at += width
            piece = at
        else:
            at += _U1
    return _never_zero(value * _BASE + _piece_hash(text, piece, end - piece, secrets)), power


@kernel
def _never_zero(fingerprint):
    """The fingerprint itself, or 1 for 0, which marks empty slots."""
    return fingerprint + np.uint64(fingerprint == _U0)


@kernel
def _place_in_set(fingerprint, members):
    """The slot of a set where ``fingerprint`` is, or the empty one where it would be."""
    mask = np.uint64(members.shape[0]) - _U1
    at = fingerprint >> table_shift(members)
    while members[at] != _U0 and members[at] != fingerprint:
        at = (at + _U1) & mask
    return at


@kernel
def _in_set(fingerprint, members):
    """Whether a set of fingerprints holds ``fingerprint``."""
    return members[_place_in_set(fingerprint, members)] != _U0


@kernel
def _add_to_set(fingerprint, members):
    """Add to a set with room; returns whether it was new."""
    at = _place_in_set(fingerprint, members)
    fresh = members[at] == _U0
    members[at] = fingerprint
    return fresh


@kernel
def grow_set(old, new):
    """Add all of one set to another one with room."""
    for slot in range(old.shape[0]):
        if old[slot] != _U0:
            _add_to_set(old[slot], new)


@kernel
def describe_words(text, table, secrets, delimiter, connectors, words, scratch):
    """Write the words of a tokenized block, by id: fingerprint, power, count in the block, connector or not.

    text, table: the block after ``tokenize``. delimiter: uint8, not empty. connectors: a set of fingerprints.
    words: uint64 (words, 4). scratch: uint32 (words + 1,).
    """
    thirty_two = np.uint64(32)
    ids = np.uint64(0xFFFFFFFF)
    first = np.uint64(delimiter[0])
    filled = filled_rows(table, words.shape[0], scratch)
    for index in range(filled.shape[0]):
        row = np.uint64(filled[index])
        meta = table[row, 2]
        own = (meta & ids) - _U1
        length = meta >> thirty_two
        if length <= _INLINE and not (_holds(table[row, 0], first) or _holds(table[row, 1], first)):
            value = hash_inline(table[row, 0], table[row, 1], length, secrets)
            fingerprint = _never_zero(_with_length(value, length))
            power = _BASE
        else:
            fingerprint, power = _fingerprint(text, table[row, 3] >> thirty_two, length, delimiter, secrets)
        words[own, FINGERPRINT] = fingerprint
        words[own, POWER] = power
        words[own, COUNT] = table[row, 3] & ids
        words[own, CONNECTOR] = np.uint64(_in_set(fingerprint, connectors))


@kernel
def pair_keys(ids, words, carry, keys):
    """Write the fingerprint of the pair that ends with each token, 0 where none does.

    A pair is a word, the connectors that follow it, and the next word of the same sentence; connectors begin and end
    none. ids: int32 of ``tokenize``. carry: uint64 (CARRY_SIZE,), PREFIX and OPEN are updated. keys: uint64, as
    long as ``ids``.
    """
    prefix, is_open = carry[PREFIX], carry[OPEN]
    for at in range(ids.shape[0]):
        own = ids[at]
        keys[at] = _U0
        if own < 0:
            is_open = _U0
            continue
        row = np.uint64(own)
        if words[row, CONNECTOR] != _U0:
            prefix = prefix * words[row, POWER] + words[row, FINGERPRINT]
            continue
        if is_open != _U0:
            keys[at] = _never_zero(prefix * words[row, POWER] + words[row, FINGERPRINT])
        prefix = words[row, FINGERPRINT]
        is_open = _U1
    carry[PREFIX] = prefix
    carry[OPEN] = is_open


@kernel
def _slot_of(fingerprint, entries, shift):
    """The slot of a fingerprint among the entries: the one that holds it, else the empty one where it belongs."""
    mask = np.uint64(entries.shape[0]) - _U1
    at = fingerprint >> shift
    while entries[at, 0] != fingerprint and entries[at, 0] != _U0:
        at = (at + _U1) & mask
    return at


@kernel
def add_pairs(keys, begin, entries, sizes, limit):
    """Count ``keys[begin:]`` (uint64, 0 is skipped) in ``entries``.

    sizes: int64 (2,), entries and words among them, updated. Stops before an entry beyond ``limit``; returns
    the index that it got to.
    """
    shift = table_shift(entries)
    used = sizes[0]
    count = keys.shape[0]
    for index in range(begin, count):
        if index + _AHEAD < count:
            prefetch_row2(entries, keys[index + _AHEAD] >> shift)
        key = keys[index]
        if key == _U0:
            continue
        at = _slot_of(key, entries, shift)
        if entries[at, 0] == _U0:
            if used >= limit:
                sizes[0] = used
                return index
            used += 1
            entries[at, 0] = key
        entries[at, 1] += _U1
    sizes[0] = used
    return count


@kernel
def add_words(words, begin, entries, sizes, limit):
    """Add the counts of a block's ``words[begin:]`` but the connectors to ``entries``; as ``add_pairs``."""
    shift = table_shift(entries)
    count = words.shape[0]
    for index in range(begin, count):
        if index + _AHEAD < count:
            prefetch_row2(entries, words[index + _AHEAD, FINGERPRINT] >> shift)
        if words[index, CONNECTOR] != _U0:
            continue
        at = _slot_of(words[index, FINGERPRINT], entries, shift)
        if entries[at, 0] == _U0:
            if sizes[0] >= limit:
                return index
            sizes[0] += 1
            entries[at, 0] = words[index, FINGERPRINT]
        sizes[1] += np.int64(entries[at, 1] & WORD == _U0)
        entries[at, 1] = (entries[at, 1] | WORD) + words[index, COUNT]
    return count


@kernel
def move_entries(old, new):
    """Enter the rows of ``old`` that are not empty into ``new``, where they are not and have room."""
    shift = table_shift(new)
    for row in range(old.shape[0]):
        if old[row, 0] != _U0:
            at = _slot_of(old[row, 0], new, shift)
            new[at, 0] = old[row, 0]
            new[at, 1] = old[row, 1]


@kernel
def select_entries(entries, above, keep_words, out):
    """Copy the rows that count more than ``above``, and with ``keep_words`` all words, to ``out`` in order.

    ``out`` has room for them. Returns how many they are, and how many of them are words.
    """
    rows = 0
    words = 0
    for row in range(entries.shape[0]):
        counted = entries[row, 1]
        if entries[row, 0] == _U0:
            continue
        is_word = counted >> np.uint64(63)
        if np.int64(counted & _COUNT_BITS) > above or (keep_words and is_word != _U0):
            out[rows, 0] = entries[row, 0]
            out[rows, 1] = counted
            rows += 1
            words += np.int64(is_word)
    return rows, words


@kernel
def lowest_count(entries):
    """The lowest count of an entry; the highest int64 where there is none."""
    lowest = np.int64(_COUNT_BITS)
    for row in range(entries.shape[0]):
        if entries[row, 0] != _U0:
            lowest = min(lowest, np.int64(entries[row, 1] & _COUNT_BITS))
    return lowest


@kernel
def look_up_words(words, entries):
    """Replace the counts of a block's words by those of ``entries``, 0 where there is none."""
    shift = table_shift(entries)
    count = words.shape[0]
    for index in range(count):
        if index + _AHEAD < count:
            prefetch_row2(entries, words[index + _AHEAD, FINGERPRINT] >> shift)
        at = _slot_of(words[index, FINGERPRINT], entries, shift)
        words[index, COUNT] = entries[at, 1] & _COUNT_BITS


@kernel
def score_pair(method, left, right, pair, min_count, entries, tokens):
    """Score of a pair from the counts of its words and its own, all int64; −inf where it is never a phrase.

    DEFAULT (Mikolov 2013b, eq. 6, as gensim scales it): (pair − min_count) / (left · right) · entries, float64.
    NPMI (Bouma 2009): ln(p(pair) / (p(left) · p(right))) / −ln p(pair), p = count / tokens, for counts of min_count
    or more. WORD2PHRASE: (pair − min_count) / left / right · tokens in float32, as word2phrase.c has it, for three
    counts of min_count or more.
    """
    if left <= 0 or right <= 0 or pair <= 0:
        return -np.inf
    if method == DEFAULT:
        return (pair - min_count) / np.float64(left * right) * entries
    if method == NPMI:
        p_pair = pair / np.float64(tokens)
        if pair < min_count or p_pair >= 1.0:
            return -np.inf
        return log(p_pair / ((left / np.float64(tokens)) * (right / np.float64(tokens)))) / -log(p_pair)
    if min(left, right, pair) < min_count:
        return -np.inf
    quotient = np.float32(np.float32(pair - min_count) / np.float32(left)) / np.float32(right)
    return np.float64(np.float32(quotient) * np.float32(tokens))


@kernel
def score_pairs(ids, keys, words, entries, rule, threshold, carry, marks, found, scores):
    """Mark the tokens that end a pair whose score is above ``threshold``.

    ids, keys: of ``pair_keys``. words: after ``look_up_words``. entries: pairs become REJECTED. rule: int64 (5,),
    method, min_count, entries, tokens, and the lowest count of a pair that can be a phrase. carry: LEFT_COUNT and
    LEFT_POWER are updated. marks: int32, as long as ``ids``, receives LINE_END, BETWEEN for a connector, and for
    other words 0 or 1 + index of the pair in ``found`` (uint64 (n, 2): key, count) and ``scores`` (float64). Returns
    the number of pairs found.
    """
    shift = table_shift(entries)
    left = np.int64(carry[LEFT_COUNT])
    left_power = carry[LEFT_POWER]
    least = np.uint64(rule[4])
    pairs = 0
    count = ids.shape[0]
    for at in range(count):
        if at + _AHEAD < count:
            prefetch_row2(entries, keys[at + _AHEAD] >> shift)
        own = ids[at]
        if own < 0:
            marks[at] = LINE_END
            continue
        row = np.uint64(own)
        if words[row, CONNECTOR] != _U0:
            marks[at] = BETWEEN
            continue
        marks[at] = 0
        right = np.int64(words[row, COUNT])
        if keys[at] != _U0:
            slot = _slot_of(keys[at], entries, shift)
            flag = REJECTED * np.uint64((left_power ^ _BASE) | (words[row, POWER] ^ _BASE) == _U0)
            counted = entries[slot, 1]
            # One branch, which is rarely taken: a flag makes the difference too large, as a count too small does.
            if (counted & (_COUNT_BITS | flag)) - least < REJECTED - least:
                pair = np.int64(counted & _COUNT_BITS)
                score = score_pair(rule[0], left, right, pair, rule[1], rule[2], rule[3])
                if not score > threshold:
                    entries[slot, 1] = counted | flag
                else:
                    found[pairs, 0] = keys[at]
                    found[pairs, 1] = np.uint64(pair)
                    scores[pairs] = score
                    pairs += 1
                    marks[at] = pairs
        left = right
        left_power = words[row, POWER]
    carry[LEFT_COUNT] = np.uint64(left)
    carry[LEFT_POWER] = left_power
    return pairs


@kernel
def _is_space(byte):
    return byte == 32 or (byte >= 9 and byte <= 13)


@kernel
def _join_run(text, begin, end, delimiter, after_space, out, n):
    """Copy [begin, end) with each run of white space turned into the delimiter; ``after_space``: a run is open.

    Returns the new end of ``out`` and whether a run is open.
    """
    for at in range(begin, end):
        byte = text[np.uint64(at)]
        if not _is_space(byte):
            out[n] = byte
            n += _U1
            after_space = False
        elif not after_space:
            for piece in range(delimiter.shape[0]):
                out[n] = delimiter[piece]
                n += _U1
            after_space = True
    return n, after_space


@kernel
def _append(text, begin, end, out, n):
    """Copy [begin, end) to ``out`` from ``n`` on; returns its new end."""
    _copy(out, n, text, begin, end - begin)
    return n + (end - begin)


@kernel
def join_text(text, end, marks, found, delimiter, members, positions, rest, state, out, fresh):
    """Copy ``text[:end]`` to ``out`` with the white space within phrases turned into the delimiter.

    Greedy, from the left: a marked token is joined with the word before it unless that is part of a phrase already.
    All else is copied as it is. marks, found: of ``score_pairs``. positions: uint64 scratch of
    ``tokenize``. members: a set with room for ``found``: the phrases met so far. rest: uint8, the end of the text
    before this block where a phrase may still begin, ``state[RESTING]`` bytes. state: int64 (JOIN_STATE_SIZE,).
    fresh: int64 (pairs found, 3), receives ``[index in found, begin, length]`` of the phrases met for the first time,
    in ``out``.

    Afterwards ``rest[:state[RESTING]]`` and ``text[state[HELD]:end]`` are to be the next block's rest. Returns the
    bytes written; ``out`` has room for (end + rest) · max(1, bytes of the delimiter).
    """
    n = _U0
    copied = _U0
    begin = _U0
    end = np.uint64(end)
    resting = np.uint64(state[RESTING])
    pending = state[PENDING]
    since = state[SINCE]
    token = 0
    state[FRESH] = 0
    base = _U0
    carry = _U1
    held = _U0
    while base < end:
        stop = min(base + _WINDOW, end)
        held, carry = boundaries(text, base, stop, carry, positions, held)
        for pair in range(held >> _U1):
            start = positions[np.uint64(pair) << _U1]
            finish = positions[(np.uint64(pair) << _U1) | _U1]
            mark = marks[token]
            if mark == LINE_END:
                # Only one stands between two words.
                pending = 0
                token += 1
                mark = marks[token]
            since += 1
            if mark != BETWEEN:
                if pending != 0 and mark != 0:
                    spaced = False
                    name = n
                    if resting == _U0:
                        n = _append(text, copied, begin, out, n)
                        name = n
                    else:
                        n, spaced = _join_run(rest, _U0, resting, delimiter, False, out, n)
                        begin = _U0
                        resting = _U0
                    n, spaced = _join_run(text, begin, start, delimiter, spaced, out, n)
                    n = _append(text, start, finish, out, n)
                    copied = finish
                    pending = 0
                    state[JOINS] += 1
                    state[REMOVED] += since
                    if _add_to_set(found[mark - 1, 0], members):
                        state[KNOWN] += 1
                        fresh[state[FRESH], 0] = mark - 1
                        fresh[state[FRESH], 1] = np.int64(name)
                        fresh[state[FRESH], 2] = np.int64(n - name)
                        state[FRESH] += 1
                else:
                    if resting != _U0:
                        n = _append(rest, _U0, resting, out, n)
                        resting = _U0
                    begin = start
                    pending = 1
                    since = 0
            token += 1
        if held & _U1:
            positions[0] = positions[held - _U1]
        held &= _U1
        base = stop
    if token < marks.shape[0]:
        # Line ends after the last token.
        pending = 0
    if pending == 0:
        n = _append(rest, _U0, resting, out, n)
        resting = _U0
        begin = end
    elif resting != _U0:
        begin = _U0
    n = _append(text, copied, begin, out, n)
    state[PENDING] = pending
    state[SINCE] = since
    state[RESTING] = np.int64(resting)
    state[HELD] = np.int64(begin)
    return n
