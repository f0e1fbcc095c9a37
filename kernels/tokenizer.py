"""Text to ids on the CPU: white space, hash tables of words, renumbering. numba, without the GIL, one thread a call.

How a block of bytes becomes ids (``tokenize``):

1. 64 bytes at a time are compared with the six ASCII white-space bytes in vector registers; the bit mask of the
   answers, XORed with itself shifted by one, has a bit wherever a token starts or ends, in turn.
2. Those bits are flattened into a short array of positions, sixteen at a time without a branch.
3. Each pair of positions is a token. Up to 16 bytes are loaded as two masked words, so that the bytes themselves
   are the key of the hash table and one comparison is exact; longer tokens keep a 64-bit hash, then their bytes
   are compared. Nothing but the length (over 16 or not) and the first probe is a branch that can go wrong.

Tables
------
*Block table*: uint64 (slots, 4), open addressing, linear probing, a power of two slots, slot = top bits of the hash.
A row is ``[low 8 bytes | hash, next 8 bytes | second hash, length << 32 | id + 1, first position << 32 | count]``;
a third word of 0 is an empty slot. It lives as long as its block, so that the block's own text is where long
tokens are compared.

*Word table*: the words of the whole corpus. ``entries`` uint64 (words, 4), dense, row
``[low 8 bytes | hash, next 8 bytes | position in arena, length, count]``; ``slots`` int32 holds entry + 1, or 0;
``arena`` uint8 holds the bytes of the words longer than 16.

Both use the same hash and the same end of it, so walking a block table in order walks the slots of the word
table in order. The hash is keyed by two secrets drawn per process; no result depends on them.

Reference: ``bytes.split()`` for tokens, ``collections.Counter`` for counts, ``bytes.decode`` for bad bytes.
"""

import numpy as np

from .jit import kernel
from .text_cpu import (
    GOLDEN,
    HIGH_BITS,
    HIGH_MASKS,
    LOW_MASKS,
    boundaries,
    hash_inline,
    hash_long,
    load_u64,
    prefetch_row4,
    same_bytes,
    table_shift,
)

# Bytes that may be read past the end of a text, and that must be spaces.
PADDING = 128
DROPPED = -2
END = -1
# What `state` holds between two calls of `tokenize` on one block.
POSITION, IDS, WORDS, LONG_BYTES = range(4)
STATE_SIZE = 4

_WINDOW = 64 * 64
_NEWLINE = np.uint8(10)
_ID_BITS = np.uint64(0xFFFFFFFF)
_U0, _U1, _U8, _U16, _U32 = (np.uint64(n) for n in (0, 1, 8, 16, 32))
# Odd multiplier of the content hash, with a good spectrum.
HASH_MULTIPLIER = 0xD1342543DE82EF95
_HASH_MULTIPLIER = np.uint64(HASH_MULTIPLIER)
# The block table and the word table hold at most this share of their slots, as a shift: one half.
LOAD_SHIFT = 1
# How many words ahead of its use an entry of the word table is fetched.
_AHEAD = 12


@kernel
def tokenize(text, end, table, secrets, positions, ids, state):
    """Split ``text[state[POSITION]:end]`` at ASCII white space and number its words from 0 as they come.

    text: uint8, PADDING spaces after ``end``; the last byte before ``end`` is white space. table: block table.
    secrets: uint64 (3,). positions: uint64 scratch (at least 4352). ids: int32 with room for ``end`` + 2 more;
    receives ids, and END (never two in a row) after the last token of each line and at a leading line end.
    state: int64 (STATE_SIZE,), zeros at the start of a block; WORDS and LONG_BYTES (bytes of the distinct words
    longer than 16) are the block's so far.

    Returns True when done, False when the table is full: grow it (``grow_block_table``) and call again.
    """
    slot_mask = np.uint64(table.shape[0]) - _U1
    shift = table_shift(table)
    limit = np.uint64(table.shape[0] >> LOAD_SHIFT)
    words = np.uint64(state[WORDS])
    n = np.uint64(state[IDS])
    begin = np.uint64(state[POSITION])
    end = np.uint64(end)
    carry = _U1
    held = _U0
    # Where the white space before the next token starts; its first byte is looked at before this is set.
    gap = begin
    if begin == _U0 and text[_U0] == _NEWLINE:
        ids[n] = np.int32(END)
        n += _U1
    while begin < end:
        stop = min(begin + np.uint64(_WINDOW), end)
        held, carry = boundaries(text, begin, stop, carry, positions, held)
        pairs = held >> _U1
        for pair in range(pairs):
            start = positions[np.uint64(pair) << _U1]
            finish = positions[(np.uint64(pair) << _U1) | _U1]
            if start > gap + _U1:
                n = _line_ends(text, gap, start, ids, n)
            length = finish - start
            if length <= _U16:
                low = load_u64(text, start) & LOW_MASKS[length]
                high = load_u64(text, start + _U8) & HIGH_MASKS[length]
                at = hash_inline(low, high, length, secrets) >> shift
            else:
                low, high = hash_long(text, start, length, secrets)
                at = low >> shift
            while True:
                meta = table[at, 2]
                if ((table[at, 0] ^ low) | (table[at, 1] ^ high) | ((meta >> _U32) ^ length)) == _U0:
                    if length <= _U16 or same_bytes(text, table[at, 3] >> _U32, text, start, length):
                        table[at, 3] += _U1
                        break
                elif meta == _U0:
                    if words >= limit:
                        state[POSITION] = start
                        state[IDS] = n
                        state[WORDS] = words
                        return False
                    words += _U1
                    meta = (length << _U32) | words
                    table[at, 0] = low
                    table[at, 1] = high
                    table[at, 2] = meta
                    table[at, 3] = (start << _U32) | _U1
                    if length > _U16:
                        state[LONG_BYTES] += length
                    break
                at = (at + _U1) & slot_mask
            ids[n] = np.int32(meta & _ID_BITS) - np.int32(1)
            n += _U1
            ids[n] = np.int32(END)
            n += np.uint64(text[finish] == _NEWLINE)
            gap = finish
        if held & _U1:
            positions[0] = positions[held - _U1]
        held &= _U1
        begin = stop
    n = _line_ends(text, gap, end, ids, n)
    state[POSITION] = end
    state[IDS] = n
    state[WORDS] = words
    return True


@kernel
def _line_ends(text, begin, end, ids, n):
    """Append END to ``ids`` if there is a line end in the white space [begin, end) and END is not last already."""
    if n > _U0 and ids[n - _U1] == END:
        return n
    for at in range(begin, end):
        if text[np.uint64(at)] == _NEWLINE:
            ids[n] = np.int32(END)
            return n + _U1
    return n


@kernel
def _slot_hash(low, high, length, secrets):
    """The hash of a word whose row of a table begins with ``low`` and ``high``."""
    if length <= _U16:
        return hash_inline(low, high, length, secrets)
    return low


@kernel
def grow_block_table(old, new, secrets):
    """Move the rows of block table ``old`` to ``new``, which is larger and zero."""
    slot_mask = np.uint64(new.shape[0]) - _U1
    shift = table_shift(new)
    for row in range(old.shape[0]):
        source = np.uint64(row)
        meta = old[source, 2]
        if meta == _U0:
            continue
        at = _slot_hash(old[source, 0], old[source, 1], meta >> _U32, secrets) >> shift
        while new[at, 2] != _U0:
            at = (at + _U1) & slot_mask
        for column in range(4):
            new[at, column] = old[source, column]


@kernel
def fill_slots(entries, words, slots, secrets):
    """Enter the first ``words`` rows of ``entries`` into ``slots`` (int32 zeros, a power of two of them)."""
    slot_mask = np.uint64(slots.shape[0]) - _U1
    shift = table_shift(slots)
    for word in range(words):
        row = np.uint64(word)
        at = _slot_hash(entries[row, 0], entries[row, 1], entries[row, 2], secrets) >> shift
        while slots[at] != 0:
            at = (at + _U1) & slot_mask
        slots[at] = word + 1


@kernel
def _find(low, high, length, position, text, entries, slots, arena, shift, secrets):
    """The slot of a word in the word table: the one that holds it, else the empty one where it belongs."""
    slot_mask = np.uint64(slots.shape[0]) - _U1
    at = _slot_hash(low, high, length, secrets) >> shift
    while slots[at] != 0:
        row = np.uint64(slots[at] - 1)
        if entries[row, 0] == low and entries[row, 2] == length:
            if length <= _U16:
                if entries[row, 1] == high:
                    return at
            elif same_bytes(arena, entries[row, 1], text, position, length):
                return at
        at = (at + _U1) & slot_mask
    return at


@kernel
def filled_rows(table, words, scratch):
    """The ``words`` slots of a block table that hold a word, uint32, rising: which ones cannot be foreseen, so that
    no branch depends on it."""
    n = _U0
    for slot in range(table.shape[0]):
        scratch[n] = slot
        n += np.uint64(table[np.uint64(slot), 2] != _U0)
    return scratch[:words]


@kernel
def _prefetch_entry(table, slot, entries, slots, shift, secrets):
    """Prefetch the entry that the word of a block table's ``slot`` will be compared with first."""
    at = _slot_hash(table[slot, 0], table[slot, 1], table[slot, 2] >> _U32, secrets) >> shift
    if slots[at] != 0:
        prefetch_row4(entries, np.uint64(slots[at] - 1))


@kernel
def merge_block(text, table, entries, slots, arena, sizes, secrets, mapping, scratch):
    """Add a block's words and counts to the word table.

    text, table: the block after ``tokenize``. entries, slots, arena: the word table, with room for every word of
    the block (half of the slots stay empty; arena: LONG_BYTES more bytes). sizes: int64 (2,), words and arena
    bytes in use, updated. mapping: int32, receives the word's index in ``entries`` for each id of the block.
    scratch: uint32 (words of the block + 1,).
    """
    shift = table_shift(slots)
    words = np.uint64(sizes[0])
    used = np.uint64(sizes[1])
    filled = filled_rows(table, mapping.shape[0], scratch)
    for index in range(filled.shape[0]):
        if index + _AHEAD < filled.shape[0]:
            _prefetch_entry(table, np.uint64(filled[index + _AHEAD]), entries, slots, shift, secrets)
        slot = np.uint64(filled[index])
        meta = table[slot, 2]
        low = table[slot, 0]
        high = table[slot, 1]
        length = meta >> _U32
        position = table[slot, 3] >> _U32
        at = _find(low, high, length, position, text, entries, slots, arena, shift, secrets)
        if slots[at] == 0:
            entries[words, 0] = low
            entries[words, 1] = high
            entries[words, 2] = length
            entries[words, 3] = _U0
            if length > _U16:
                entries[words, 1] = used
                for byte in range(length):
                    arena[used + np.uint64(byte)] = text[position + np.uint64(byte)]
                used += length
            words += _U1
            slots[at] = np.int32(words)
        row = np.uint64(slots[at] - 1)
        entries[row, 3] += table[slot, 3] & _ID_BITS
        mapping[(meta & _ID_BITS) - _U1] = np.int32(row)
    sizes[0] = words
    sizes[1] = used


@kernel
def look_up_block(text, table, entries, slots, arena, secrets, mapping, unknown, scratch):
    """Look a block's words up in a fixed word table.

    mapping: int32, receives the word's index in ``entries`` for each id of the block, or DROPPED. unknown: uint64
    (words of the block, 4), receives ``[position, length, count, id]`` of each word that is not in the table.
    scratch: uint32 (words of the
    block + 1,). Counts are not added. Returns the number of unknown words.
    """
    shift = table_shift(slots)
    found = _U0
    filled = filled_rows(table, mapping.shape[0], scratch)
    for index in range(filled.shape[0]):
        if index + _AHEAD < filled.shape[0]:
            _prefetch_entry(table, np.uint64(filled[index + _AHEAD]), entries, slots, shift, secrets)
        slot = np.uint64(filled[index])
        meta = table[slot, 2]
        length = meta >> _U32
        position = table[slot, 3] >> _U32
        own = (meta & _ID_BITS) - _U1
        at = _find(table[slot, 0], table[slot, 1], length, position, text, entries, slots, arena, shift, secrets)
        if slots[at] != 0:
            mapping[own] = slots[at] - np.int32(1)
            continue
        mapping[own] = np.int32(DROPPED)
        unknown[found, 0] = position
        unknown[found, 1] = length
        unknown[found, 2] = table[slot, 3] & _ID_BITS
        unknown[found, 3] = own
        found += _U1
    return found


@kernel
def block_counts(table, counts):
    """Write the count of each word of a block table to ``counts`` (int64), by id."""
    for index in range(table.shape[0]):
        slot = np.uint64(index)
        if table[slot, 2] != _U0:
            counts[(table[slot, 2] & _ID_BITS) - _U1] = np.int64(table[slot, 3] & _ID_BITS)


@kernel
def _word_byte(entries, arena, row, at):
    """Byte ``at`` of a word of the word table."""
    if entries[row, 2] > _U16:
        return arena[entries[row, 1] + at]
    word = entries[row, 0] if at < _U8 else entries[row, 1]
    return np.uint8((word >> ((at & np.uint64(7)) << np.uint64(3))) & np.uint64(255))


@kernel
def join_words(entries, arena, rows, out):
    """Write the words of ``rows`` (int64 indices) to ``out`` (uint8), a line end after each."""
    n = _U0
    for index in range(rows.shape[0]):
        row = np.uint64(rows[index])
        for at in range(entries[row, 2]):
            out[n] = _word_byte(entries, arena, row, np.uint64(at))
            n += _U1
        out[n] = _NEWLINE
        n += _U1


@kernel
def join_runs(text, runs, out):
    """Write the runs of ``text`` given by ``runs`` (uint64 ``[position, length, ...]``), a line end after each."""
    n = _U0
    for index in range(runs.shape[0]):
        row = np.uint64(index)
        for at in range(runs[row, 1]):
            out[n] = text[runs[row, 0] + np.uint64(at)]
            n += _U1
        out[n] = _NEWLINE
        n += _U1


@kernel
def keep_words(entries, arena, rows):
    """Move the words of ``rows`` (int64, rising) to the front of ``entries``, their bytes to the front of ``arena``.

    Returns the bytes of the arena that are in use afterwards. Long words are in the arena in the order of their
    rows, so nothing is overwritten before it is read.
    """
    used = _U0
    for index in range(rows.shape[0]):
        source = np.uint64(rows[index])
        target = np.uint64(index)
        for column in range(4):
            entries[target, column] = entries[source, column]
        length = entries[target, 2]
        if length > _U16:
            position = entries[target, 1]
            for at in range(length):
                arena[used + np.uint64(at)] = arena[position + np.uint64(at)]
            entries[target, 1] = used
            used += length
    return used


@kernel
def sort_keys(entries, arena, rows, keys):
    """Write the first 16 bytes of each word as two big-endian words, so that their order is the bytes' order.

    rows: int64 (n,). keys: uint64 (2, n). Shorter words are filled up with zeros; the caller breaks those ties by
    the length, and the ties of longer words by their bytes.
    """
    for index in range(rows.shape[0]):
        row = np.uint64(rows[index])
        for half in range(2):
            key = _U0
            for byte in range(8):
                at = np.uint64(half * 8 + byte)
                key <<= _U8
                if at < entries[row, 2]:
                    key |= np.uint64(_word_byte(entries, arena, row, at))
            keys[half, index] = key


@kernel
def _sequence_length(entries, arena, row, at):
    """Length of the valid UTF-8 sequence at byte ``at`` of a word, 0 where there is none (RFC 3629)."""
    left = entries[row, 2] - at
    lead = _word_byte(entries, arena, row, at)
    if lead < 0x80:
        return _U1
    if lead < 0xC2 or lead > 0xF4:
        return _U0
    size = np.uint64(2) if lead < 0xE0 else np.uint64(3) if lead < 0xF0 else np.uint64(4)
    if left < size:
        return _U0
    for more in range(_U1, size):
        byte = _word_byte(entries, arena, row, at + np.uint64(more))
        # Over-long forms, surrogates and code points past U+10FFFF show in the second byte.
        low = 0xA0 if lead == 0xE0 and more == 1 else 0x90 if lead == 0xF0 and more == 1 else 0x80
        high = 0x9F if lead == 0xED and more == 1 else 0x8F if lead == 0xF4 and more == 1 else 0xBF
        if byte < low or byte > high:
            return _U0
    return size


@kernel
def bad_bytes(entries, arena, words):
    """Occurrences of bytes that belong to no valid UTF-8 sequence, over the first ``words`` rows and their counts."""
    total = np.int64(0)
    for index in range(words):
        row = np.uint64(index)
        length = entries[row, 2]
        if length <= _U16 and ((entries[row, 0] | entries[row, 1]) & HIGH_BITS) == _U0:
            continue
        bad = np.int64(0)
        at = _U0
        while at < length:
            size = _sequence_length(entries, arena, row, at)
            if size == _U0:
                bad += 1
                at += _U1
            else:
                at += size
        total += bad * np.int64(entries[row, 3])
    return total


@kernel
def content_term(value):
    """What one id or mark adds to the content hash."""
    mixed = (np.uint64(value + 2)) * GOLDEN
    return mixed ^ (mixed >> _U32)


@kernel
def renumber(ids, mapping, out, totals):
    """Replace the ids of a block by final ones, leave out dropped words, and keep marks single.

    ids: int32, a block's own ids and END. mapping: int32, the final id for each own id, or DROPPED. out: int32,
    as long as ``ids``; may be ``ids`` itself. totals: int64 (2,), receives tokens and END marks written. A mark at
    the very start is kept: the caller knows whether a sentence is open. Returns the length and the content hash,
    the polynomial sum of content_term(out[i]) * HASH_MULTIPLIER^(length-1-i) modulo 2^64.
    """
    n = _U0
    digest = _U0
    marks = 0
    last = np.int32(0)
    for index in range(ids.shape[0]):
        own = ids[np.uint64(index)]
        if own >= 0:
            final = mapping[np.uint64(own)]
            if final < 0:
                continue
        else:
            if last == END:
                continue
            final = np.int32(END)
            marks += 1
        out[n] = final
        n += _U1
        digest = digest * _HASH_MULTIPLIER + content_term(np.int64(final))
        last = final
    totals[0] = np.int64(n) - marks
    totals[1] = marks
    return n, digest


@kernel
def check_ids(ids, words):
    """Whether every id is below ``words`` and not below END, and the content hash, as ``renumber`` gives it.

    ids: (n,) int32, read-only.
    """
    digest = _U0
    right = True
    for index in range(ids.shape[0]):
        own = ids[np.uint64(index)]
        right &= END <= own < words
        digest = digest * _HASH_MULTIPLIER + content_term(np.int64(own))
    return right, digest
