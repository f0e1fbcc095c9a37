"""What workers do for a corpus: shards to noted rows and counted words, counts to a vocabulary, rows to ids.

Each function is a task: it reads files of the building folder, writes new ones of its own names, and gives back a
small record. So a task whose worker died can be run again, and no record is lost with the worker that made it.
Importing this imports no numba.
"""

from __future__ import annotations

import os
import platform
import secrets as random
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from w2v.corpus.encode import written
from w2v.corpus.encoded import IDS
from w2v.corpus.options import CorpusOptions
from w2v.distributed.shards import Shard
from w2v.errors import CorpusError, OutputError
from w2v.vectors.arrays import load_array

if TYPE_CHECKING:
    from w2v.corpus.passes import TextPass
    from w2v.corpus.words import WordTable

# The cache takes files of such names for its own.
PREFIX = "input.tmp-"
VOCABULARY = f"{PREFIX}vocabulary"
# Bytes of words, or of ids, that are read at once.
_READ = 1 << 21
_TOLD_SECONDS = 0.3


@dataclass(frozen=True)
class Job:
    """What all tasks of a run have in common.

    folder: the building folder, seen by all. parts: into how many the words are shared out; secrets: three odd
    numbers, which decide about that. told: whether the bytes done are of interest.
    """

    folder: Path
    options: CorpusOptions
    parts: int
    secrets: tuple[int, int, int]
    told: bool = False

    def file(self, name: str) -> Path:
        """A file of the building folder; raises OutputError where this computer does not see the folder."""
        if not self.folder.is_dir():
            raise OutputError(
                f"the computer {platform.node()} does not see the folder {self.folder}: choose a --cache folder that "
                "all computers share"
            )
        return self.folder / name


@dataclass(frozen=True)
class Counted:
    """A shard whose rows are noted. name: of its files; runs: (first byte, bytes, first word, words) for each part.

    bytes: of text. seconds: ``read`` (waiting for text) and ``compile``.
    """

    name: str
    shard: int
    mid_line: bool
    bytes: int
    raw_tokens: int
    bad_bytes: int
    runs: tuple[tuple[int, int, int, int], ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Merged:
    """Words of a part that occur often enough: their bytes, a line end after each, and counts, int64.

    met: distinct words of the part.
    """

    text: bytes
    counts: np.ndarray
    met: int


@dataclass(frozen=True)
class Numbered:
    """A shard whose ids are written: how many, and what is among them.

    name: of their file; leads: whether the first is a mark, which may end a sentence that is open; closed: whether
    the last one is.
    """

    name: str
    length: int
    leads: bool
    closed: bool
    tokens: int
    marks: int
    digest: int


def count_shard(job: Job, shard: Shard, stamps: Sequence[list | None]) -> Counted:
    """Note the rows of a shard's words, and share out its words and their counts.

    stamps: the identities that its files have where the run began.
    """
    from w2v.corpus.passes import CountPass, NumberFile

    compiled = _compile()
    name = _new_name(shard)
    _check_files(shard, stamps)
    with closing(NumberFile(job.file(f"{name}.notes"))) as notes:
        counting = CountPass(shard.sources, notes)
        counting.run(1, _teller(job, shard))
    with written(job.folder):
        _save(job, name, "sizes", np.array(counting.sizes, np.int64).reshape(-1, 2))
        runs = _share_out(job, name, counting.table)
    return _counted(name, shard, counting, compiled, runs)


def _counted(name: str, shard: Shard, text_pass: TextPass, compiled: float, runs: tuple = ()) -> Counted:
    seconds = {"read": text_pass.waited, "compile": compiled}
    return Counted(
        name, shard.number, shard.mid_line, text_pass.done, text_pass.raw_tokens, text_pass.bad_bytes, runs, seconds
    )


def _share_out(job: Job, name: str, table: WordTable) -> tuple[tuple[int, int, int, int], ...]:
    """Write a shard's words, part by part, their counts, and the place there of each of its rows."""
    rows = None
    if job.options.lowercase or table.bad_bytes():
        table, rows = table.normalised(job.options.lowercase)
    parts = table.parts(job.parts, job.secrets)
    order = np.argsort(parts, kind="stable")
    places = np.empty(len(order), np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    _save(job, name, "places", places if rows is None else places[rows])
    _save(job, name, "counts", table.counts[order])
    ends = np.searchsorted(parts[order], np.arange(job.parts + 1))
    runs = []
    with open(job.file(f"{name}.words"), "wb") as file:
        for first, last in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            begin = file.tell()
            for some in _slices(order[first:last]):
                file.write(table.join(some))
            runs.append((begin, file.tell() - begin, first, last - first))
    return tuple(runs)


def _slices(rows: np.ndarray, step: int = 1 << 16) -> Iterator[np.ndarray]:
    for begin in range(0, len(rows), step):
        yield rows[begin : begin + step]


def merge_part(job: Job, shards: Sequence[tuple[str, tuple[int, int, int, int]]]) -> Merged:
    """Add up the counts of a part's words over all shards; keep those that the limits can let into the vocabulary.

    shards: the name of each, and its run of the part's words.
    """
    _compile()
    from w2v.corpus.words import WordTable

    table = WordTable()
    for name, (begin, size, first, words) in shards:
        counts = _load(job, name, "counts")[first : first + words]
        done = 0
        for text in _texts(job.file(f"{name}.words"), begin, size):
            rows = table.add_text(text)
            # A shard has each word once, and adding it counted it once.
            table.counts[rows] += counts[done : done + len(rows)] - 1
            done += len(rows)
    kept = np.flatnonzero(table.counts >= job.options.min_count)
    if job.options.max_final_vocab is not None:
        kept = table.order(kept)[: job.options.max_final_vocab]
    return Merged(table.join(kept), table.counts[kept], len(table))


def merged_table(parts: Sequence[Merged]) -> WordTable:
    """The words of all parts, with their counts, in one table."""
    from w2v.corpus.words import WordTable

    table = WordTable()
    for part in parts:
        done = 0
        for begin in _line_begins(part.text):
            rows = table.add_text(part.text[slice(*begin)])
            table.counts[rows] = part.counts[done : done + len(rows)]
            done += len(rows)
    return table


def _line_begins(text: bytes) -> Iterator[tuple[int, int]]:
    """The bounds of runs of whole lines."""
    begin = 0
    while begin < len(text):
        end = text.find(b"\n", min(begin + _READ, len(text)) - 1) + 1
        yield begin, end
        begin = end


def number_shard(job: Job, shard: Counted) -> Numbered:
    """Write a shard's ids: those of the words that its rows stand for. Reads VOCABULARY in the building folder."""
    _compile()
    table, numbers = _vocabulary_table(_present(job.file(VOCABULARY)))
    from w2v.corpus.words import Block

    ids = []
    size = sum(run[1] for run in shard.runs)
    for text in _texts(job.file(f"{shard.name}.words"), 0, size):
        block = Block.of(text, text.count(b"\n"))
        table.look_up(block)
        ids.append(numbers[block.mapping[block.ids[block.ids >= 0]]])
    final = np.concatenate([np.empty(0, np.int32), *ids])[_load(job, shard.name, "places")]
    return _number(job, shard, final)


@lru_cache(maxsize=1)
def _vocabulary_table(path: Path) -> tuple[WordTable, np.ndarray]:
    """The words of a file, a line each, and the line of each row; kept for the next shard of this process.

    Behind the lines, int32, comes DROPPED twice: there the row DROPPED leads.
    """
    from w2v.corpus.words import WordTable
    from w2v.kernels.tokenizer import DROPPED

    table = WordTable()
    rows = np.concatenate([table.add_text(text) for text in _texts(path, 0, path.stat().st_size)])
    numbers = np.full(len(rows) + 2, DROPPED, np.int32)
    numbers[rows] = np.arange(len(rows), dtype=np.int32)
    return table, numbers


def look_up_shard(job: Job, shard: Shard, stamps: Sequence[list | None]) -> tuple[Counted, int, Numbered]:
    """With a vocabulary given, all at once: look up its words, and write the ids.

    VOCABULARY in the building folder holds the words to look for, and beside it their ids. Returns too how many
    tokens are theirs.
    """
    compiled = _compile()
    from w2v.corpus.passes import LookUpPass, NumberFile

    name = _new_name(shard)
    _check_files(shard, stamps)
    words = job.file(VOCABULARY).read_bytes().decode().split("\n")[:-1]
    with closing(NumberFile(job.file(f"{name}.notes"))) as notes:
        looking = LookUpPass(shard.sources, words, job.options.lowercase, notes)
        looking.run(1, _teller(job, shard))
    with written(job.folder):
        _save(job, name, "sizes", np.array(looking.sizes, np.int64).reshape(-1, 2))
    final = np.empty(len(words), np.int32)
    final[looking.rows] = load_array(_present(job.file(f"{VOCABULARY}.npy")), mmap=False)
    counted = _counted(name, shard, looking, compiled)
    return counted, int(looking.table.counts.sum()), _number(job, counted, final)


def _number(job: Job, shard: Counted, final: np.ndarray) -> Numbered:
    """final: int32, the id of each noted row."""
    from w2v.corpus.passes import NumberFile, RenumberPass

    name = f"{shard.name}-{random.token_hex(4)}"
    sizes = _load(job, shard.name, "sizes").tolist()
    with (
        closing(NumberFile(_present(job.file(f"{shard.name}.notes")), new=False)) as notes,
        closing(NumberFile(job.file(f"{name}.ids"))) as ids,
        written(job.folder),
    ):
        numbering = RenumberPass(notes, sizes, final, out=ids, mid_line=shard.mid_line)
        numbering.run(1)
    length = numbering.length
    return Numbered(
        name, length, numbering.leads, numbering.closed, numbering.tokens, numbering.sentences, numbering.digest
    )


def place_shard(job: Job, shard: Numbered, skip: int, position: int) -> None:
    """Copy a shard's ids but for the first ``skip`` to their place, the ``position``-th id, in the corpus."""
    source = _present(job.file(f"{shard.name}.ids"))
    with written(job.folder), open(source, "rb", buffering=0) as ids, open(job.file(IDS), "r+b", buffering=0) as out:
        ids.seek(4 * skip)
        out.seek(4 * position)
        left = 4 * (shard.length - skip)
        while left:
            data = memoryview(ids.read(min(left, _READ)))
            if not data:
                raise OutputError(f"{source} was changed while it was in use: run again")
            left -= len(data)
            while data:
                data = data[out.write(data) :]


def forget(job: Job, name: str) -> None:
    """Remove the files of a name."""
    for path in job.folder.glob(f"{name}.*"):
        path.unlink(missing_ok=True)


def _new_name(shard: Shard) -> str:
    """A name that no other attempt at a shard has: half of what a dead worker wrote is never taken for the whole."""
    return f"{PREFIX}{shard.number}-{random.token_hex(4)}"


def progress_path(folder: Path, shard: int) -> Path:
    """Where the bytes done of a shard are told."""
    return folder / f"{PREFIX}done-{shard}"


class _Teller:
    """Writes how many bytes are done, now and then, into a file that the driver reads."""

    def __init__(self, path: Path) -> None:
        self._path, self._last = path, 0.0

    def __call__(self, done: int) -> None:
        if time.monotonic() - self._last < _TOLD_SECONDS:
            return
        with written(self._path.parent):
            self._path.write_text(str(done))
        self._last = time.monotonic()


def _teller(job: Job, shard: Shard) -> _Teller | None:
    return _Teller(progress_path(job.folder, shard.number)) if job.told else None


_COMPILED = False


def _compile() -> float:
    """Compile what tasks run, or load it, once in a process; the seconds it took."""
    global _COMPILED
    if _COMPILED:
        return 0.0
    start = time.perf_counter()
    from w2v.corpus.words import compile_kernels

    compile_kernels()
    _COMPILED = True
    return time.perf_counter() - start


def _check_files(shard: Shard, stamps: Sequence[list | None]) -> None:
    """Raise CorpusError where a file is not here, or not the one that is meant: by its size and its time."""
    for source, stamp in zip(shard.files, stamps, strict=True):
        if source.remote or stamp is None:
            continue
        if not source.regular:
            raise CorpusError(
                f"{source.name} is not there on the computer {platform.node()}: give files that all computers share"
            )
        if source.identity()[1:3] != stamp[1:3]:
            raise CorpusError(
                f"{source.name} changed while it was read, or is another file on the computer {platform.node()}: "
                "give files that all computers share, and run again when they are complete"
            )


def _save(job: Job, name: str, kind: str, array: np.ndarray) -> None:
    np.save(job.file(f"{name}.{kind}.npy"), array)


def _load(job: Job, name: str, kind: str) -> np.ndarray:
    """Mapped: a task may want a part alone."""
    path = _present(job.file(f"{name}.{kind}.npy"))
    return load_array(path, mmap=os.path.getsize(path) > _READ)


def _present(path: Path) -> Path:
    if not path.exists():
        raise OutputError(f"{path} went away while it was in use: run again")
    return path


def _texts(path: Path, begin: int, size: int) -> Iterator[bytes]:
    """Runs of whole lines of a range of a file."""
    with open(_present(path), "rb") as file:
        file.seek(begin)
        while size:
            text = file.read(min(size, _READ))
            if not text:
                raise OutputError(f"{path} was changed while it was in use: run again")
            if not text.endswith(b"\n"):
                text += file.readline(size - len(text))
            size -= len(text)
            yield text
