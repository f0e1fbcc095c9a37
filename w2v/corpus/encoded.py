"""A corpus as ids: int32 with a mark after each sentence, its vocabulary, and its folder on disk."""

from __future__ import annotations

import hashlib
import json
import time
import weakref
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from w2v.corpus.vocabulary import Vocabulary
from w2v.errors import CorpusError, VocabularyError
from w2v.temporary import TemporaryFolder
from w2v.untrusted import check_plain, read_json, shortened

LAYOUT = 2
FORMAT = "w2v encoded corpus"
IDS, WORDS, META = "ids.bin", "vocabulary.tsv", "meta.json"
FILES = frozenset((IDS, WORDS, META))


@dataclass(frozen=True)
class CorpusTotals:
    """What was counted while encoding: see ``EncodedCorpus``; ``length`` is that of ``ids``."""

    length: int
    tokens: int
    sentences: int
    raw_tokens: int
    bad_bytes: int
    fingerprint: str


@dataclass(eq=False)
class EncodedCorpus:
    """Sentences as ids.

    ids: int32 (n,), a memory map or an array; -1 ends each sentence, never two in a row, never at the start.
    vocabulary: the words, id = position. tokens: ids that are words. sentences: number of marks. raw_tokens: all
    tokens read, dropped ones included. bad_bytes: bytes met that are not UTF-8. fingerprint: hash of ids and words
    (not of where they came from). from_cache: whether an earlier run's work was reused. seconds: wall-clock
    ``read`` (waiting for text), ``compile`` and ``encode``. path: the folder, None in memory.
    """

    ids: np.ndarray
    vocabulary: Vocabulary
    tokens: int
    sentences: int
    raw_tokens: int
    bad_bytes: int
    fingerprint: str
    from_cache: bool = False
    seconds: dict[str, float] = field(default_factory=lambda: {"read": 0.0, "compile": 0.0, "encode": 0.0})
    path: Path | None = None
    _removal: weakref.finalize | None = None

    @classmethod
    def open(cls, path: str | Path, vocabulary: Vocabulary | None = None) -> EncodedCorpus:
        """Map an encoded corpus that was written earlier; raises CorpusError where it is not one, or is damaged.

        vocabulary: what its file holds, where that is in memory already.
        """
        path = Path(path)
        start = time.perf_counter()
        try:
            meta = read_json(path / META)
            if meta["format"] != FORMAT or meta["layout"] != LAYOUT:
                raise CorpusError(f"{path} was written by another version of w2v: encode the text again")
            totals = _checked_totals(meta["totals"])
            vocabulary = vocabulary or Vocabulary.load(path / WORDS)
            if check_plain(path / IDS).st_size != 4 * totals.length or len(vocabulary) != meta["words"]:
                raise CorpusError(f"{path} is not complete: remove it and encode the text again")
            ids = np.memmap(path / IDS, "<i4", "r")
            if ids[0] < 0 or ids[-1] != -1 or not _is_whole(ids, vocabulary, totals.fingerprint, meta["vocabulary"]):
                raise CorpusError(f"{path} is damaged: remove it and encode the text again")
        except (OSError, ValueError, KeyError, TypeError, VocabularyError) as error:
            raise CorpusError(f"{path} is no encoded corpus ({error}): encode the text again") from None
        values = asdict(totals)
        del values["length"]
        seconds = {"read": time.perf_counter() - start, "compile": 0.0, "encode": 0.0}
        return cls(ids, vocabulary, **values, from_cache=True, seconds=seconds, path=path)

    @property
    def size(self) -> int:
        """Bytes of the ids."""
        return self.ids.nbytes

    def moved(self, path: Path) -> None:
        """Its folder has another name now, by which others open its ids."""
        self.path = path
        self.ids.filename = (path / IDS).resolve()

    def remove_on_close(self, folder: TemporaryFolder) -> None:
        """Its folder is temporary: it goes with ``close``, with this object, or at exit."""
        self._removal = weakref.finalize(self, folder.remove)

    def close(self) -> None:
        """Let go of the ids, and remove the folder if it is temporary."""
        self.ids = np.empty(0, np.int32)
        if self._removal is not None:
            self._removal()

    def __enter__(self) -> EncodedCorpus:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def _checked_totals(values: dict[str, object]) -> CorpusTotals:
    """The totals in ``values``; KeyError, TypeError or ValueError where one is missing or not of its kind."""
    found = {each.name: values[each.name] for each in fields(CorpusTotals)}
    for name, value in found.items():
        right = isinstance(value, str) if name == "fingerprint" else type(value) is int and 0 <= value < 1 << 62
        if not right:
            raise ValueError(f"{name} is {shortened(value)}")
    return CorpusTotals(**found)


def _is_whole(ids: np.ndarray, vocabulary: Vocabulary, fingerprint: str, known: str) -> bool:
    """Whether ids and vocabulary are what was written: kernels take ids for rows without looking.

    fingerprint: of ids and words; known: of words and counts.
    """
    from w2v.kernels.jit import read_only
    from w2v.kernels.tokenizer import check_ids

    right, digest = check_ids(read_only(ids), len(vocabulary))
    return (
        right
        and bool((vocabulary.counts > 0).all())
        and vocabulary.fingerprint == known
        and content_fingerprint(vocabulary.words, len(ids), int(digest)) == fingerprint
    )


def content_fingerprint(words: list[str], length: int, digest: int) -> str:
    """Fingerprint of a corpus from its words, and from the length and the content hash of its ids."""
    hashed = hashlib.blake2b(digest_size=16)
    hashed.update("\n".join(words).encode("utf-8", "surrogatepass"))
    hashed.update(f"\n{length} {digest}".encode())
    return hashed.hexdigest()


def write_meta(path: Path, vocabulary: Vocabulary, totals: CorpusTotals, inputs: list, options: dict) -> None:
    """Write the vocabulary and the description of the corpus whose ids are in the folder already."""
    vocabulary.save(path / WORDS)
    meta = {
        "format": FORMAT,
        "layout": LAYOUT,
        "words": len(vocabulary),
        "vocabulary": vocabulary.fingerprint,
        "totals": asdict(totals),
        "inputs": inputs,
        "options": options,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    (path / META).write_text(json.dumps(meta, indent=1), "utf-8")
