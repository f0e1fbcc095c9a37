"""A corpus as the text file that gensim reads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from w2v.corpus import Vocabulary
from w2v.errors import OutputError

#: gensim cuts longer lines (``MAX_WORDS_IN_BATCH``), and of a file of one line it trains on the first part alone.
LONGEST_LINE = 10_000
# Ids that are turned into text together.
_BLOCK = 1 << 20


@contextmanager
def text_file(ids: np.ndarray, vocabulary: Vocabulary) -> Iterator[tuple[str, int]]:
    """The path of a temporary file with a sentence of ``LONGEST_LINE`` words at most per line, and the lines' number.

    ids: (N,) int32 with −1 after each sentence. Raises OutputError where there is no room for it.
    """
    with ExitStack() as stack:
        try:
            file, path = stack.enter_context(_temporary_file())
            lines = write_text(file, ids, vocabulary)
            file.flush()
        except OSError as error:
            raise OutputError(
                f"cannot write gensim's copy of the text as a temporary file ({error.strerror or error}): "
                "choose a folder with room for it and the results"
            ) from error
        yield path, lines


@contextmanager
def _temporary_file() -> Iterator[tuple[IO[bytes], str]]:
    """A file and its path; without a name where the system allows, so that nothing is left of a process that dies."""
    if Path("/proc/self/fd").is_dir():
        with tempfile.TemporaryFile() as file:
            yield file, f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.TemporaryDirectory(prefix="w2v-gensim-") as folder:
        path = Path(folder, "text")
        with path.open("wb") as file:
            yield file, str(path)


def write_text(file: IO[bytes], ids: np.ndarray, vocabulary: Vocabulary) -> int:
    """Write the words of ids, and return the number of lines."""
    # The mark after a sentence, −1, stands for the last one.
    pieces = [*(word.encode() + b" " for word in vocabulary.words), b"\n"]
    lines = 0
    for block in map(cut_lines, _blocks(ids)):
        lines += int(np.count_nonzero(block < 0))
        file.write(b"".join([pieces[number] for number in block.tolist()]))
    return lines


def cut_lines(ids: np.ndarray) -> np.ndarray:
    """ids with a −1 after every ``LONGEST_LINE`` words of a sentence; whole sentences, ended by −1 each."""
    ends = np.flatnonzero(ids < 0)
    begins = np.append(0, ends[:-1] + 1)
    long = np.flatnonzero(ends - begins > LONGEST_LINE)
    # Before a sentence's end there is no cut: it would leave an empty line.
    cuts = [np.arange(begins[i] + LONGEST_LINE, ends[i], LONGEST_LINE) for i in long]
    return np.insert(ids, np.concatenate(cuts), -1) if cuts else ids


def _blocks(ids: np.ndarray) -> Iterator[np.ndarray]:
    """Whole sentences, about ``_BLOCK`` ids at once."""
    begin = 0
    while begin < ids.size:
        end = min(begin + _BLOCK, ids.size)
        while ids[end - 1] >= 0:  # a sentence goes on: take the rest of it, however long
            more = ids[end : end + _BLOCK]
            marks = np.flatnonzero(more < 0)
            end += int(marks[0]) + 1 if marks.size else more.size
        yield np.asarray(ids[begin:end])
        begin = end
