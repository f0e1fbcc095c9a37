"""Sentences that training never sees."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from w2v.errors import OutputError, TrainingError

# Bytes of ids from which on the parts are files, not memory; and ids that are split at once.
_IN_MEMORY, _BLOCK = 64 << 20, 1 << 20
# The corpus's cache takes files of this name for its own.
_PREFIX = "input.tmp-heldout-"


def split_heldout(ids: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Part the sentences of an encoded corpus into (training ids, held-out ids), both int32 and in the text's order.

    ids: (N,) int32, −1 after each sentence. fraction: the probability, 0 … 0.5, that a sentence is held out; its draw
    depends on the seed and on the sentence's number alone. A fraction of 0 gives the ids themselves, not a copy. The
    parts of a large corpus are mapped from files without a name beside its own: they go with the arrays, however the
    process ends.

    Raises TrainingError where either part has no sentence of two words, OutputError where the disk is full.
    """
    if fraction <= 0:
        return ids, np.empty(0, np.int32)
    from w2v.kernels.heldout_cpu import count_heldout, has_pair, split_sentences
    from w2v.kernels.jit import read_only
    from w2v.kernels.random import STREAM_HELDOUT, epoch_key

    folder = _folder_of(ids)
    ids = read_only(ids)
    threshold = np.uint64(max(1, round(fraction * 2**32)))
    key = np.uint64(epoch_key(np.uint64(seed), 0, STREAM_HELDOUT))
    if ids.nbytes < _IN_MEMORY:
        held = count_heldout(ids, threshold, key)
        train, heldout = np.empty(ids.size - held, np.int32), np.empty(held, np.int32)
        split_sentences(ids, 0, threshold, key, train, heldout)
    else:
        train, heldout = _split_to_files(
            ids, folder, lambda block, first, *parts: split_sentences(block, first, threshold, key, *parts)
        )
    if not has_pair(heldout):
        raise TrainingError(
            f"--heldout {fraction:g} keeps back no sentence of two words: raise it, take another --seed or more text"
        )
    if not has_pair(train):
        raise TrainingError(
            f"--heldout {fraction:g} leaves no sentence of two words to learn from: lower it, or take more text"
        )
    return train, heldout


def sentence_marks(ids: np.ndarray) -> int:
    """How many sentences end in ids, (N,) int32: block by block, for the corpus may be larger than the memory."""
    return sum(int(np.count_nonzero(ids[begin : begin + _BLOCK] < 0)) for begin in range(0, ids.size, _BLOCK))


def _folder_of(ids: np.ndarray) -> Path | None:
    """Where a mapped corpus lies; None for one in memory."""
    name = getattr(ids, "filename", None)
    return None if name is None else Path(name).parent


def _split_to_files(
    ids: np.ndarray, folder: Path | None, split: Callable[..., tuple[int, int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """The same through files: block by block, so that memory does not grow with the corpus."""
    rooms = np.empty(_BLOCK, np.int32), np.empty(_BLOCK, np.int32)
    sentence = 0
    try:
        with _temporary_file(folder) as train, _temporary_file(folder) as heldout:
            for begin in range(0, ids.size, _BLOCK):
                trained, held, sentence = split(ids[begin : begin + _BLOCK], sentence, *rooms)
                train.write(rooms[0][:trained])
                heldout.write(rooms[1][:held])
            return _mapped(train), _mapped(heldout)
    except OSError as error:
        raise OutputError(
            f"cannot write the held-out sentences beside the corpus: {error.strerror or error}: give a folder with "
            "room (--cache DIR, or TMPDIR with --no-cache)"
        ) from None


def _temporary_file(folder: Path | None):  # noqa: ANN202 (what tempfile returns has no public type)
    """A file that goes when it is closed and mapped no more; where the corpus's folder takes none, in TMPDIR."""
    if folder is not None:
        with suppress(OSError):  # a cache that others share may be read-only
            return tempfile.TemporaryFile(dir=folder, prefix=_PREFIX)
    return tempfile.TemporaryFile(prefix=_PREFIX)


def _mapped(file) -> np.ndarray:  # noqa: ANN001
    """What a file of int32 holds, shared with the file: pages of it can leave the memory at any time."""
    file.flush()
    size = file.tell()
    return np.asarray(np.memmap(file, np.int32, "r+")) if size else np.empty(0, np.int32)


def compile_split() -> None:
    """Compile, or load from a cache, what ``split_heldout`` runs."""
    sentence = [0, 1, -1]
    split_heldout(np.array(100 * sentence, np.int32), 0.5, 0)
