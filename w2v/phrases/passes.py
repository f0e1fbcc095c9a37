"""The two readings of a pass: count words and pairs, then join. Importing this imports numba."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from typing import BinaryIO

import numpy as np

from w2v.corpus.passes import BLOCK_SIZE
from w2v.corpus.pipeline import Pipeline
from w2v.corpus.sources import BlockReader, Source
from w2v.corpus.words import SECRETS, Block, WordTable
from w2v.kernels import phrases_cpu as kernel
from w2v.kernels.tokenizer import PADDING
from w2v.phrases.counts import CountTable, fingerprint_set, room_in_set, slots_for_text
from w2v.phrases.options import PhraseOptions
from w2v.phrases.output import write_all

_METHODS = {"default": kernel.DEFAULT, "npmi": kernel.NPMI, "word2phrase": kernel.WORD2PHRASE}


class PhraseBlock(Block):
    """A block of text and its words as the phrases see them: uint64 (words, 4), see ``kernels.phrases_cpu``."""

    described = np.empty((0, 4), np.uint64)
    bad_bytes = 0
    read = 0
    _room = described
    _reading = bytearray()
    _filled = np.empty(0, np.uint32)

    def fill(self, reader: BlockReader) -> bool:
        """Read the next block; False after the last one. What is read into never becomes the lower-cased text, whose
        size would then decide where the next block ends."""
        self._reading, self.length = reader.fill(self._reading or self.buffer)
        self.buffer = self._reading
        self.read = self.length
        return self.length > 0

    def lower(self) -> None:
        """Lower-case the text; bytes that are not UTF-8 stay as they are."""
        text = self.buffer[: self.length]
        if text.isascii():
            self.buffer[: self.length] = text.lower()
            return
        lowered = text.decode("utf-8", "surrogateescape").lower().encode("utf-8", "surrogateescape")
        self.length = len(lowered)
        self.buffer = bytearray(lowered) + b" " * PADDING

    def count_bad_bytes(self) -> None:
        """Set ``bad_bytes`` to the number of bytes that are not UTF-8, once the block is tokenized."""
        self.bad_bytes = 0
        try:
            codecs.utf_8_decode(memoryview(self.buffer)[: self.length], "strict", True)
        except UnicodeDecodeError:
            table = WordTable()
            table.add(self)
            self.bad_bytes = table.bad_bytes()

    def describe(self, delimiter: np.ndarray, connectors: np.ndarray) -> None:
        """Fill ``described``."""
        if len(self._filled) <= self.words:
            self._room = np.empty((2 * self.words, 4), np.uint64)
            self._filled = np.empty(2 * self.words + 1, np.uint32)
        self.described = self._room[: self.words]
        block = self.text, self.table
        kernel.describe_words(*block, SECRETS, delimiter, connectors, self.described, self._filled)


class Reading:
    """One reading of a text: blocks are tokenized by all threads, and committed in their order."""

    def __init__(self, sources: Sequence[Source], options: PhraseOptions, lowercase: bool) -> None:
        """Nothing is read before ``run``."""
        self.tokens = 0
        self.bad_bytes = 0
        self.done = 0
        self.delimiter = np.frombuffer(options.delimiter.encode(), np.uint8)
        self.carry = np.zeros(kernel.CARRY_SIZE, np.uint64)
        self.keys = np.empty(0, np.uint64)
        self._connectors = _fingerprints(options.connector_words, self.delimiter, lowercase)
        self._lowercase = lowercase
        self._reader = BlockReader(sources, PADDING)

    def run(self, threads: int, progress: Callable[[int], None]) -> None:
        """Read everything; ``progress`` is called with the bytes of text done so far."""
        blocks = [PhraseBlock(BLOCK_SIZE) for _ in range(2 * threads + 2)]
        try:
            Pipeline(blocks, self._produce, self.work, self.commit).run(threads, lambda: progress(self.done))
        finally:
            self._reader.close()

    def work(self, block: PhraseBlock) -> None:
        """Tokenize a block and fingerprint its words."""
        if self._lowercase:
            block.lower()
        block.tokenize()
        block.describe(self.delimiter, self._connectors)

    def commit(self, block: PhraseBlock) -> None:
        """Take in a block, after all those before it."""
        self.done += block.read
        if len(self.keys) < len(block.ids):
            self.keys = np.empty(len(block.ids) * 5 // 4, np.uint64)
        kernel.pair_keys(block.ids, block.described, self.carry, self.keys)

    def _produce(self, block: PhraseBlock) -> bool:
        return block.fill(self._reader)


class Counting(Reading):
    """Counts words and pairs of words into ``table``; tokens and bad_bytes are those of the text."""

    def __init__(self, sources: Sequence[Source], options: PhraseOptions, lowercase: bool) -> None:
        """Start from an empty table."""
        super().__init__(sources, options, lowercase)
        self.table = CountTable(options.max_vocab_size, slots_for_text(sources))

    def work(self, block: PhraseBlock) -> None:
        """See Reading."""
        super().work(block)
        block.count_bad_bytes()

    def commit(self, block: PhraseBlock) -> None:
        """See Reading."""
        super().commit(block)
        self.tokens += int(block.described[:, kernel.COUNT].sum())
        self.bad_bytes += block.bad_bytes
        self.table.add_words(block.described)
        self.table.add_pairs(self.keys[: len(block.ids)])


class Joining(Reading):
    """Writes the text with its phrases joined.

    A pair is scored where it is met, from the counts of the words that it was met with.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        options: PhraseOptions,
        lowercase: bool,
        counted: Counting,
        stream: BinaryIO,
        note: Callable[[bytes, int, float], None] | None = None,
    ) -> None:
        """counted: of the same text. note: called with the text, count and score of each phrase when first met."""
        super().__init__(sources, options, lowercase)
        self._rule, self._entries = _rule(options, counted)
        self._threshold = options.limit
        self._stream = stream
        self._note = note
        self._members = fingerprint_set(np.empty(0, np.uint64))
        self._state = np.zeros(kernel.JOIN_STATE_SIZE, np.int64)
        self._rest = np.empty(0, np.uint8)
        self._out = np.empty(0, np.uint8)
        self._positions = np.zeros(4096 + 128, np.uint64)
        self._room(1)

    def work(self, block: PhraseBlock) -> None:
        """See Reading."""
        super().work(block)
        kernel.look_up_words(block.described, self._entries)

    def commit(self, block: PhraseBlock) -> None:
        """See Reading."""
        super().commit(block)
        self._room(len(block.ids))
        marks, found, scores = self._marks, self._found, self._scores
        pairs = kernel.score_pairs(
            block.ids, self.keys, block.described, self._entries, self._rule, self._threshold, self.carry,
            marks, found, scores,
        )  # fmt: skip
        self._members = room_in_set(self._members, self.known + pairs)
        self._write(block, pairs)

    @property
    def joins(self) -> int:
        """Phrases in the text."""
        return int(self._state[kernel.JOINS])

    @property
    def removed(self) -> int:
        """Words that became part of a phrase that begins before them."""
        return int(self._state[kernel.REMOVED])

    @property
    def known(self) -> int:
        """Different phrases."""
        return int(self._state[kernel.KNOWN])

    def finish(self) -> None:
        """Write what is held back: nothing, where the text ends with a line end."""
        write_all(self._stream, memoryview(self._rest))

    def _room(self, ids: int) -> None:
        if len(self.keys) and len(self._marks) >= ids:
            return
        size = ids * 5 // 4
        self._marks = np.empty(size, np.int32)
        self._found = np.empty((size, 2), np.uint64)
        self._scores = np.empty(size, np.float64)

    def _write(self, block: PhraseBlock, pairs: int) -> None:
        room = (block.length + len(self._rest)) * max(1, len(self.delimiter))
        if len(self._out) < room:
            self._out = np.empty(room, np.uint8)
        fresh = np.empty((pairs, 3), np.int64)
        self._state[kernel.RESTING] = len(self._rest)
        text = block.text
        written = kernel.join_text(
            text, block.length, self._marks[: len(block.ids)], self._found, self.delimiter, self._members,
            self._positions, self._rest, self._state, self._out, fresh,
        )  # fmt: skip
        held = text[self._state[kernel.HELD] : block.length]
        self._rest = np.concatenate([self._rest[: self._state[kernel.RESTING]], held])
        write_all(self._stream, memoryview(self._out)[:written])
        if self._note is not None:
            for index, begin, length in fresh[: self._state[kernel.FRESH]].tolist():
                name = self._out[begin : begin + length].tobytes()
                self._note(name, int(self._found[index, 1]), float(self._scores[index]))


def _fingerprints(words: frozenset[str], delimiter: np.ndarray, lowercase: bool) -> np.ndarray:
    """The set of the fingerprints of ``words``."""
    text = "".join(f"{word.lower() if lowercase else word}\n" for word in sorted(words)).encode()
    if not text:
        return fingerprint_set(np.empty(0, np.uint64))
    block = PhraseBlock(len(text))
    block.buffer = bytearray(text) + b" " * PADDING
    block.length = len(text)
    block.tokenize()
    block.describe(delimiter, np.zeros(2, np.uint64))
    return fingerprint_set(np.ascontiguousarray(block.described[:, kernel.FINGERPRINT]))


def _rule(options: PhraseOptions, counted: Counting) -> tuple[np.ndarray, np.ndarray]:
    """What ``score_pairs`` needs to know of the counts, and the entries that can matter."""
    # With a threshold above 0 a pair has to come more often than min_count, which is taken off.
    least = options.min_count + (options.scoring != "npmi")
    entries = counted.table.frequent(least, counted.tokens)
    numbers = _METHODS[options.scoring], options.min_count, len(counted.table), counted.tokens, least
    return np.array(numbers, np.int64), entries
