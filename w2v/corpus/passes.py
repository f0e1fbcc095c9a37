"""The passes over a text: count words and note their ids, look ids up, renumber. Importing this imports numba."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from w2v.corpus.pipeline import Pipeline
from w2v.corpus.sources import BlockReader, Source
from w2v.corpus.words import Block, WordTable, join_unknown, joined_digest, renumber, without_first_mark
from w2v.errors import OutputError
from w2v.kernels.tokenizer import DROPPED, END, PADDING

# Bytes of text per block: larger ones share more of the merging, smaller ones fit the cache; measured best at
# 2 MiB (1 and 4 are close). What --max-vocab-size prunes depends on it, so a change is a change of results.
BLOCK_SIZE = 1 << 21


class NumberFile:
    """A file of int32 numbers, written and read at given positions by several threads."""

    def __init__(self, path: Path, new: bool = True) -> None:
        """Create ``path``, or without ``new`` open it; raises OutputError where that is not possible."""
        self.path = path
        self._lock = threading.Lock()
        try:
            self._file: BinaryIO = open(path, "w+b" if new else "r+b", buffering=0)  # noqa: SIM115 (closed by close)
        except OSError as error:
            raise self._failure(error) from None

    def write(self, position: int, numbers: np.ndarray) -> None:
        """Write int32 ``numbers`` from the ``position``-th on; raises OutputError where the disk is full."""
        data = memoryview(numbers).cast("B") if len(numbers) else b""
        offset = 4 * position
        try:
            while data:
                count = self._write_at(data, offset)
                data, offset = data[count:], offset + count
        except OSError as error:
            raise self._failure(error) from None

    def read(self, position: int, numbers: np.ndarray) -> None:
        """Fill the int32 array ``numbers`` from the ``position``-th on."""
        data = memoryview(numbers).cast("B") if len(numbers) else b""
        offset = 4 * position
        while data:
            count = self._read_at(data, offset)
            if not count:
                raise OutputError(f"{self.path} was changed while it was in use: run again")
            data, offset = data[count:], offset + count

    def truncate(self, length: int) -> None:
        """Keep the first ``length`` numbers."""
        self._file.truncate(4 * length)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write_at(self, data: memoryview, offset: int) -> int:
        if hasattr(os, "pwrite"):
            return os.pwrite(self._file.fileno(), data, offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.write(data)

    def _read_at(self, data: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._file.fileno(), [data], offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.readinto(data)

    def _failure(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot write {self.path}: {error.strerror or error}: give a folder with room (--cache DIR, or TMPDIR "
            "with --no-cache)"
        )


class TextPass:
    """One pass over a text: blocks are tokenized by all threads and taken into ``table`` in their order.

    table: WordTable. file: where the blocks' ids are noted, or None. Afterwards: raw_tokens, bad_bytes (of all text),
    done (bytes of text), waited (seconds).
    """

    def __init__(self, sources: Sequence[Source], table: WordTable, file: NumberFile | None) -> None:
        """Nothing is read before ``run``."""
        self.table = table
        self.sizes: list[tuple[int, int]] = []
        self.raw_tokens = 0
        self.bad_bytes = 0
        self.waited = 0.0
        self._file = file
        self._noting = file is not None
        self._noted = 0
        self._reader = BlockReader(sources, PADDING)
        self.done = 0

    def run(self, threads: int, progress: Callable[[int], None] | None = None) -> None:
        """Read and tokenize everything; ``progress`` is called with the bytes of text done so far."""
        blocks = [_PlacedBlock(BLOCK_SIZE) for _ in range(2 * threads + 2)]
        pipeline = Pipeline(blocks, self._produce, self._work, self._commit, self._finish)
        try:
            pipeline.run(threads, None if progress is None else lambda: progress(self.done))
        finally:
            self._reader.close()
        self.waited = pipeline.waited

    def release(self) -> None:
        """Let go of the table: another pass has its own."""
        self.table = WordTable()

    def _produce(self, block: _PlacedBlock) -> bool:
        block.buffer, block.length = self._reader.fill(block.buffer)
        return block.length > 0

    def _work(self, block: _PlacedBlock) -> None:
        block.tokenize()

    def _commit(self, block: _PlacedBlock) -> None:
        raise NotImplementedError

    def _place(self, block: _PlacedBlock) -> None:
        """Give a block its place in the file."""
        self.done += block.length
        block.position = -1
        if self._noting:
            block.position = self._noted
            self._noted += len(block.ids) + len(block.mapping)
            self.sizes.append((len(block.ids), len(block.mapping)))

    def _finish(self, block: _PlacedBlock) -> None:
        if block.position >= 0:
            self._file.write(block.position, block.ids)
            self._file.write(block.position + len(block.ids), block.mapping)


class _PlacedBlock(Block):
    """A block and where its ids go, counted in numbers; -1 for nowhere."""

    position = -1


class CountPass(TextPass):
    """Counts every word; prunes rare ones where ``max_words`` is exceeded, by a threshold that only rises.

    Words longer than 16 bytes take memory by their length: together they may hold LONG_BYTES for each of
    ``max_words``, or LEAST_LONG, before the rare ones among them go, by a threshold of their own.
    """

    LONG_BYTES, LEAST_LONG = 64, 64 << 20

    def __init__(
        self,
        sources: Sequence[Source],
        file: NumberFile | None,
        max_words: int | None = None,
    ) -> None:
        """Start from an empty table."""
        super().__init__(sources, WordTable(), file)
        self.pruned = False
        self._max_words = max_words
        self._max_long = 0 if max_words is None else max(self.LEAST_LONG, self.LONG_BYTES * max_words)
        self._threshold = self._long_threshold = 0

    def _commit(self, block: _PlacedBlock) -> None:
        self.table.add(block)
        if self._max_words is not None and (
            len(self.table) > self._max_words or self.table.long_bytes > self._max_long
        ):
            self._prune()
        self._place(block)

    def _prune(self) -> None:
        """Forget rare words; the ids noted so far lose their meaning, so no more are noted."""
        self.pruned = True
        self._noting = False
        # The most frequent word that has to go decides, and a threshold in use rises by one at least.
        above, above_long = self.table.thresholds_for(self._max_words, self._max_long)
        if above:
            self._threshold = above = max(self._threshold + 1, above)
        if above_long:
            self._long_threshold = above_long = max(self._long_threshold + 1, above_long)
        self._account(1)
        self.table.prune(above, above_long)
        self._account(-1)

    def run(self, threads: int, progress: Callable[[int], None] | None = None) -> None:
        """See TextPass."""
        super().run(threads, progress)
        self._account(1)

    def _account(self, sign: int) -> None:
        """Add what the table holds now to the totals, or take it off."""
        self.raw_tokens += sign * int(self.table.counts.sum())
        self.bad_bytes += sign * self.table.bad_bytes()


class LookUpPass(TextPass):
    """Counts and notes the words of a fixed list; all others are dropped."""

    def __init__(
        self,
        sources: Sequence[Source],
        words: Sequence[str],
        lowercase: bool,
        file: NumberFile | None,
    ) -> None:
        """Look for ``words``: distinct, without white space, and lower-cased where ``lowercase``.

        rows: int32, the row of each of ``words`` in ``table``, whose counts are those of this text.
        """
        table, self.rows = WordTable.of(words)
        table.counts.fill(0)
        super().__init__(sources, table, file)
        self._words = words
        self._lowercase = lowercase
        self._numbering = threading.Lock()
        self._row_of: dict[str, int] | None = None

    def _work(self, block: _PlacedBlock) -> None:
        block.tokenize()
        unknown = self.table.look_up(block)
        block.bad_bytes = 0
        text = join_unknown(block, unknown)
        try:
            words = text.decode()
            if not self._lowercase:
                return
        except UnicodeDecodeError:
            words = text.decode("utf-8", "replace")
            own = WordTable()
            mapping = block.mapping.copy()
            own.add(block)
            block.mapping, block.bad_bytes = mapping, own.bad_bytes()
        words = (words.lower() if self._lowercase else words).split("\n")[:-1]
        row_of = self._rows_by_word()
        block.mapping[unknown[:, 3].astype(np.intp)] = [row_of.get(word, DROPPED) for word in words]

    def _rows_by_word(self) -> dict[str, int]:
        """The row of each word. Made when it is first wanted: plain text never wants it, and it is large."""
        with self._numbering:
            if self._row_of is None:
                self._row_of = dict(zip(self._words, self.rows.tolist(), strict=True))
            return self._row_of

    def _commit(self, block: _PlacedBlock) -> None:
        counts = block.counts()
        known = block.mapping >= 0
        np.add.at(self.table.counts, block.mapping[known], counts[known])
        self.raw_tokens += int(counts.sum())
        self.bad_bytes += block.bad_bytes
        self._place(block)


class _Piece:
    """The ids of a block while they are renumbered."""

    def __init__(self) -> None:
        self.buffer = self.ids = self.mapping = self.final = np.empty(0, np.int32)

    tokens = 0
    marks = 0
    digest = 0
    position = 0


class RenumberPass:
    """Rewrites the noted ids of a text as final ids, in place or into another file.

    What is written for a block is never longer than what was noted for it, so it covers only blocks that have been
    read. Afterwards: length of the ids, tokens, sentences, and the content hash
    (``kernels.tokenizer.renumber``) of all; leads: whether a mark is first; closed: whether one is last.
    """

    def __init__(
        self,
        file: NumberFile,
        sizes: Sequence[tuple[int, int]],
        final: np.ndarray,
        out: NumberFile | None = None,
        mid_line: bool = False,
    ) -> None:
        """file, sizes: what a TextPass noted. final: int32, the id of each row of its table. out: where ids go.

        mid_line: the text begins within a line, so that the first mark may end a sentence.
        """
        self.length = 0
        self.tokens = 0
        self.sentences = 0
        self.digest = 0
        self._file, self._out = file, out or file
        self._sizes = iter(sizes)
        self._final = np.append(final, np.full(2, DROPPED, np.int32))
        self.closed = not mid_line
        self.leads = False

    def run(self, threads: int) -> None:
        """Do it with ``threads`` threads, and cut the file to its new length."""
        self._read = 0
        pieces = [_Piece() for _ in range(2 * threads + 2)]
        Pipeline(pieces, self._produce, self._work, self._commit, self._finish).run(threads)
        self._out.truncate(self.length)

    def _produce(self, piece: _Piece) -> bool:
        size = next(self._sizes, None)
        if size is None:
            return False
        count = sum(size)
        if len(piece.buffer) < count:
            piece.buffer = np.empty(count, np.int32)
        numbers = piece.buffer[:count]
        self._file.read(self._read, numbers)
        self._read += count
        piece.ids, piece.mapping = numbers[: size[0]], numbers[size[0] :]
        return True

    def _work(self, piece: _Piece) -> None:
        if len(piece.final) < len(piece.mapping):
            piece.final = np.empty(2 * len(piece.mapping), np.int32)
        final = piece.final[: len(piece.mapping)]
        # Wrapping takes DROPPED = -2 to the last but one.
        np.take(self._final, piece.mapping, out=final, mode="wrap")
        length, piece.tokens, piece.marks, piece.digest = renumber(piece.ids, final)
        piece.ids = piece.ids[:length]

    def _commit(self, piece: _Piece) -> None:
        if len(piece.ids) and piece.ids[0] == END and self.closed:
            # No sentence is open that this mark could end.
            piece.ids, piece.digest = without_first_mark(piece.ids, piece.digest)
            piece.marks -= 1
        if not len(piece.ids):
            return
        self.leads |= not self.length and bool(piece.ids[0] == END)
        self.closed = bool(piece.ids[-1] == END)
        self.digest = joined_digest(self.digest, len(piece.ids), piece.digest)
        self.tokens += piece.tokens
        self.sentences += piece.marks
        piece.position = self.length
        self.length += len(piece.ids)

    def _finish(self, piece: _Piece) -> None:
        self._out.write(piece.position, piece.ids)
