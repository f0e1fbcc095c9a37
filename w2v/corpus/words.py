"""The tables of words that the tokenizer fills: one per block, one for the corpus. Importing this imports numba."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from w2v.errors import CorpusError
from w2v.host_memory import available_memory
from w2v.kernels import tokenizer as kernel
from w2v.kernels.partition_cpu import word_parts
from w2v.kernels.text_cpu import INLINE

# Drawn per process: a text cannot be made to collide, and nothing that is kept depends on them.
SECRETS = np.frombuffer(os.urandom(24), np.uint64) | np.uint64(1)
_MAX_WORDS = 2**31 - 2
_JOIN = 1 << 16
# Bytes from which on it is asked whether there is memory for them; and what sorting takes for a word.
_LARGE, _SORTED = 64 << 20, 100


class Block:
    """A block of text with its words and ids; reused for block after block.

    buffer: bytearray, the text and PADDING spaces. ids: int32, see ``kernels.tokenizer.tokenize``. words: number
    of distinct words; mapping: int32 (words,), what ``WordTable`` makes of the block's own ids.
    """

    def __init__(self, size: int, slots: int = 1 << 15) -> None:
        """Room for ``size`` bytes of text and, to begin with, ``slots`` / 2 words (a power of two)."""
        self.buffer = bytearray(size + kernel.PADDING)
        self.length = 0
        self.mapping = np.empty(0, np.int32)
        self.scratch = np.empty(0, np.uint32)
        self._table = np.zeros((slots, 4), np.uint64)
        self._positions = np.zeros(4096 + 128, np.uint64)
        self._ids = np.empty(0, np.int32)
        self._state = np.zeros(kernel.STATE_SIZE, np.int64)

    @classmethod
    def of(cls, text: bytes, words: int = 0) -> Block:
        """A tokenized block of ``text``, whose last byte is white space; words: about so many distinct ones."""
        block = cls(len(text), 1 << max(15, (words << kernel.LOAD_SHIFT).bit_length()))
        block.buffer[: len(text)] = text
        block.buffer[len(text) :] = b" " * kernel.PADDING
        block.length = len(text)
        block.tokenize()
        return block

    @property
    def text(self) -> np.ndarray:
        """The buffer as uint8."""
        return np.frombuffer(self.buffer, np.uint8)

    @property
    def table(self) -> np.ndarray:
        """The block table, uint64 (slots, 4)."""
        return self._table

    @property
    def ids(self) -> np.ndarray:
        """The block's own ids and marks, int32."""
        return self._ids[: self._state[kernel.IDS]]

    @property
    def words(self) -> int:
        """Distinct words of the block."""
        return int(self._state[kernel.WORDS])

    @property
    def long_bytes(self) -> int:
        """Bytes of those words that are longer than 16."""
        return int(self._state[kernel.LONG_BYTES])

    def tokenize(self) -> None:
        """Fill the table and the ids from ``buffer[:length]``."""
        # A mark follows a token and its line end, so ids never outnumber bytes; the memory is touched as it is used.
        if len(self._ids) < self.length + 4:
            self._ids = np.empty(len(self.buffer) + 4, np.int32)
        self._table.fill(0)
        self._state.fill(0)
        while not kernel.tokenize(
            self.text, self.length, self._table, SECRETS, self._positions, self._ids, self._state
        ):
            larger = np.zeros((2 * len(self._table), 4), np.uint64)
            kernel.grow_block_table(self._table, larger, SECRETS)
            self._table = larger

    def new_mapping(self) -> None:
        """Make ``mapping`` and ``scratch`` fit the block. Their memory is reused: giving some back to the system for
        every block would stop all threads for a moment each time."""
        if len(self.scratch) <= self.words:
            self.scratch = np.empty(2 * self.words + 1, np.uint32)
            self._mapping = np.empty(2 * self.words, np.int32)
        self.mapping = self._mapping[: self.words]

    def counts(self) -> np.ndarray:
        """Occurrences of each word of the block, int64 (words,), by the block's own ids."""
        counts = np.empty(self.words, np.int64)
        kernel.block_counts(self._table, counts)
        return counts


class WordTable:
    """Distinct words (as bytes) and their counts; a word's row never changes until ``prune``."""

    def __init__(self, rows: int = 1 << 12, slots: int = 1 << 13) -> None:
        """An empty table with room for ``rows`` words to begin with; ``slots`` is a power of two."""
        self._entries = np.zeros((rows, 4), np.uint64)
        self._slots = np.zeros(slots, np.int32)
        self._arena = np.zeros(1 << 12, np.uint8)
        self._sizes = np.zeros(2, np.int64)

    @classmethod
    def of(cls, words: list[str]) -> tuple[WordTable, np.ndarray]:
        """A table of distinct words without white space, and the row (int32) of each."""
        table = cls()
        rows = [
            table.add_text("".join(f"{word}\n" for word in words[start : start + _JOIN]).encode())
            for start in range(0, len(words), _JOIN)
        ]
        return table, np.concatenate([np.empty(0, np.int32), *rows])

    def __len__(self) -> int:
        """Number of words."""
        return int(self._sizes[0])

    @property
    def counts(self) -> np.ndarray:
        """Occurrences, int64 (words,); a view."""
        return self._entries[: len(self), 3].view(np.int64)

    @property
    def long_bytes(self) -> int:
        """Bytes of the words that are longer than 16; of the others the entries hold the bytes."""
        return int(self._sizes[1])

    @property
    def nbytes(self) -> int:
        """Memory of the table, room to grow included."""
        return self._entries.nbytes + self._slots.nbytes + self._arena.nbytes

    def add(self, block: Block) -> None:
        """Add a block's words and counts; sets ``block.mapping`` to the row of each of them."""
        self._reserve(len(self) + block.words, int(self._sizes[1]) + block.long_bytes)
        block.new_mapping()
        table = (self._entries, self._slots, self._arena, self._sizes)
        kernel.merge_block(block.text, block.table, *table, SECRETS, block.mapping, block.scratch)

    def add_text(self, text: bytes) -> np.ndarray:
        """Add the words of ``text`` (ending in white space); returns the row of each token, int32."""
        block = Block.of(text, text.count(b"\n"))
        self.add(block)
        return block.mapping[block.ids[block.ids >= 0]]

    def look_up(self, block: Block) -> np.ndarray:
        """Set ``block.mapping`` to the row of each word, DROPPED for unknown ones; the table stays as it is.

        Returns the unknown words, uint64 (n, 4): position in the block, length, count, the block's own id.
        """
        block.new_mapping()
        unknown = np.empty((block.words, 4), np.uint64)
        table = (self._entries, self._slots, self._arena)
        found = kernel.look_up_block(block.text, block.table, *table, SECRETS, block.mapping, unknown, block.scratch)
        return unknown[:found]

    def parts(self, count: int, secrets: tuple[int, int, int]) -> np.ndarray:
        """The part, 0 … ``count`` − 1, that each word falls to by its bytes and three odd numbers, int64 (words,)."""
        parts = np.empty(len(self), np.int64)
        word_parts(self._entries, self._arena, np.array(secrets, np.uint64), count, parts)
        return parts

    def bad_bytes(self) -> int:
        """Occurrences of bytes that are not UTF-8."""
        return int(kernel.bad_bytes(self._entries, self._arena, len(self)))

    def join(self, rows: np.ndarray) -> bytes:
        """The bytes of the words of ``rows`` (int64), a line end after each."""
        out = np.empty(int(self._entries[rows, 2].sum()) + len(rows), np.uint8)
        kernel.join_words(self._entries, self._arena, rows, out)
        return out.tobytes()

    def thresholds_for(self, words: int, long_bytes: int) -> tuple[int, int]:
        """The least numbers for ``prune`` that leave at most ``words`` words, and ``long_bytes`` of long ones."""
        counts = self.counts
        above = above_long = 0
        if len(counts) > words:
            last = len(counts) - words - 1
            above = int(np.partition(counts, last)[last])
        if self.long_bytes > long_bytes:
            falling = np.argsort(-counts)
            held = np.cumsum(np.where(self._is_long[falling], self._entries[falling, 2], 0))
            above_long = int(counts[falling[np.searchsorted(held, long_bytes, side="right")]])
        return above, above_long

    @property
    def _is_long(self) -> np.ndarray:
        return self._entries[: len(self), 2] > INLINE

    def prune(self, above: int, above_long: int = 0) -> None:
        """Forget the words that occur ``above`` times or less, or, longer than 16 bytes, ``above_long`` times.

        The others get new rows.
        """
        counts = self.counts
        rows = np.flatnonzero((counts > above) & ~(self._is_long & (counts <= above_long)))
        self._sizes[1] = kernel.keep_words(self._entries, self._arena, rows)
        self._sizes[0] = len(rows)
        self._slots.fill(0)
        kernel.fill_slots(self._entries, len(rows), self._slots, SECRETS)

    def normalised(self, lowercase: bool) -> tuple[WordTable, np.ndarray]:
        """The table after decoding (bad bytes become U+FFFD) and lower-casing, and the new row of each row."""
        table = WordTable()
        rows = np.empty(len(self), np.int32)
        for start in range(0, len(self), _JOIN):
            stop = min(start + _JOIN, len(self))
            text = self.join(np.arange(start, stop)).decode("utf-8", "replace")
            rows[start:stop] = table.add_text((text.lower() if lowercase else text).encode())
        table.counts.fill(0)
        np.add.at(table.counts, rows, self.counts)
        return table, rows

    def order(self, rows: np.ndarray) -> np.ndarray:
        """``rows`` (int64) sorted by falling count, ties by the words' bytes."""
        with memory_reported(_SORTED * len(rows), len(rows)):
            return self._ordered(rows)

    def _ordered(self, rows: np.ndarray) -> np.ndarray:
        keys = np.empty((2, len(rows)), np.uint64)
        kernel.sort_keys(self._entries, self._arena, rows, keys)
        falling = ~self._entries[rows, 3]
        lengths = self._entries[rows, 2]
        order = np.lexsort((lengths, keys[1], keys[0], falling))
        # The keys decide unless both words are longer than 16 bytes: runs of those are sorted by all their bytes.
        tied = (lengths[order[1:]] > INLINE) & (lengths[order[:-1]] > INLINE)
        for column in (falling, *keys):
            tied &= column[order[1:]] == column[order[:-1]]
        edges = np.flatnonzero(np.diff(tied, prepend=False, append=False))
        for first, last in edges.reshape(-1, 2):
            run = order[first : last + 1].copy()
            words = self.join(rows[run]).split(b"\n")
            order[first : last + 1] = run[sorted(range(len(run)), key=words.__getitem__)]
        return rows[order]

    def _reserve(self, words: int, arena: int) -> None:
        """Make room for ``words`` words and ``arena`` bytes in all."""
        if words > _MAX_WORDS:
            raise CorpusError("the text has more than 2^31 distinct words: bound them with --max-vocab-size")
        rows = _grown(len(self._entries), words)
        room = _grown(len(self._arena), arena + kernel.PADDING)
        slots = len(self._slots)
        while words << kernel.LOAD_SHIFT > slots:
            slots *= 2
        more = 32 * (rows - len(self._entries)) + room - len(self._arena)
        more += 4 * slots if slots > len(self._slots) else 0
        with memory_reported(more, len(self)):
            # resize() extends in place where the system can: no second copy of a large table.
            if rows > len(self._entries):
                self._entries.resize((rows, 4), refcheck=False)
            if room > len(self._arena):
                self._arena.resize(room, refcheck=False)
            if slots > len(self._slots):
                self._slots = np.zeros(0, np.int32)
                self._slots = np.zeros(slots, np.int32)
                kernel.fill_slots(self._entries, len(self), self._slots, SECRETS)


def _grown(size: int, needed: int) -> int:
    """``size`` where that suffices, else more than is needed: growing often costs time."""
    return size if needed <= size else max(needed, size * 3 // 2)


@contextmanager
def memory_reported(more: int, words: int) -> Iterator[None]:
    """Raise CorpusError where ``more`` bytes for a table of ``words`` words are not there, or are refused inside.

    Most systems promise memory that they do not have, and stop the process when it is used: so they are asked first.
    """
    available = available_memory() if more >= _LARGE else None
    try:
        if available is not None and more > available:
            raise MemoryError
        yield
    except MemoryError:
        bound = max(1000, words // 2)
        raise CorpusError(
            f"memory does not suffice for the {words:,} and more distinct words of the text: bound them with "
            f"--max-vocab-size {bound - bound % 10 ** (len(str(bound)) - 2)}, or take a machine with more memory"
        ) from None


def join_unknown(block: Block, unknown: np.ndarray) -> bytes:
    """The bytes of the words that ``WordTable.look_up`` did not find, a line end after each."""
    out = np.empty(int(unknown[:, 1].sum()) + len(unknown), np.uint8)
    kernel.join_runs(block.text, unknown, out)
    return out.tobytes()


def compile_kernels() -> float:
    """Compile every kernel, or load its cached code, by running it on a word or two; returns the seconds it took."""
    start = time.perf_counter()
    table = WordTable(2, 2)
    block = Block.of(b"b a " + b"c" * 20 + b"\n")
    block.counts()
    table.add(block)
    join_unknown(block, table.look_up(block))
    table.order(np.arange(len(table)))
    table.normalised(lowercase=False)
    table.bad_bytes()
    table.prune(0)
    small, large = np.zeros((2, 4), np.uint64), np.zeros((4, 4), np.uint64)
    kernel.grow_block_table(small, large, SECRETS)
    renumber(block.ids.copy(), block.mapping)
    return time.perf_counter() - start


def renumber(ids: np.ndarray, mapping: np.ndarray) -> tuple[int, int, int, int]:
    """Renumber int32 ``ids`` in place: see the kernel. Returns length, tokens, marks and content hash."""
    totals = np.zeros(2, np.int64)
    length, digest = kernel.renumber(ids, mapping, ids, totals)
    return int(length), int(totals[0]), int(totals[1]), int(digest)


def without_first_mark(ids: np.ndarray, digest: int) -> tuple[np.ndarray, int]:
    """Take a mark off the start of renumbered ``ids``, and its term off their content hash."""
    return ids[1:], digest_without_first_mark(len(ids), digest)


def digest_without_first_mark(length: int, digest: int) -> int:
    """The content hash of ``length`` ids but for the first, a mark, from that of all."""
    term = int(kernel.content_term(kernel.END)) * pow(kernel.HASH_MULTIPLIER, length - 1, 1 << 64)
    return (digest - term) % (1 << 64)


def joined_digest(digest: int, length: int, more: int) -> int:
    """The content hash of ids that ``length`` more follow, from those of both."""
    return (digest * pow(kernel.HASH_MULTIPLIER, length, 1 << 64) + more) % (1 << 64)
