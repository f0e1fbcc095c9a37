"""Encoded corpora that earlier runs left behind, one folder each."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import unicodedata
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from w2v.abandoned import held, remove_abandoned
from w2v.atomic import sync_folder, write_failure
from w2v.corpus.encoded import FILES, LAYOUT, META, EncodedCorpus
from w2v.corpus.options import CorpusOptions
from w2v.corpus.vocabulary import Vocabulary
from w2v.errors import CorpusError, OutputError
from w2v.untrusted import read_json

_ENTRY = re.compile(r"corpus-[0-9a-f]{32}")
_BUILDING = re.compile(r"building-[0-9a-f]{32}")
# How often a name is tried for, which other runs may take and clear meanwhile.
_ATTEMPTS = 10
_ADVICE = "choose another with --cache DIR, or use --no-cache"


def default_cache_dir() -> Path:
    """``$W2V_CACHE``, else ``w2v`` in the user's cache folder of the platform."""
    chosen = os.environ.get("W2V_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "w2v"
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "w2v"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "w2v"


def corpus_key(identity: list, options: CorpusOptions) -> str:
    """Hash of everything that decides an encoded corpus: inputs, options, the vocabulary file, and the layout."""
    chosen = asdict(options)
    if options.vocab_file is not None:
        try:
            chosen["vocab_file"] = hashlib.blake2b(Path(options.vocab_file).read_bytes()).hexdigest()
        except OSError as error:
            raise CorpusError(f"cannot read the vocabulary {options.vocab_file}: {error.strerror}") from None
    if options.lowercase:
        chosen["unicode"] = unicodedata.unidata_version
    text = json.dumps([LAYOUT, identity, chosen])
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def describe_size(size: int) -> str:
    """Bytes for people: ``68.0 MB``."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


@dataclass(frozen=True)
class CacheEntry:
    """A folder of the cache: its size in bytes, and what its description says (None where it has none)."""

    path: Path
    size: int
    tokens: int | None
    words: int | None
    inputs: list[str]
    created: str | None


class CorpusCache:
    """The folder of encoded corpora. Entries appear by renaming, so that a reader never meets half of one."""

    def __init__(self, root: str | Path | None = None) -> None:
        """Use ``root``, by default ``default_cache_dir()``; it is made when the first entry is."""
        self.root = Path(root) if root is not None else default_cache_dir()

    def find(self, key: str, report: Callable[[str], None]) -> EncodedCorpus | None:
        """The entry of ``key``; None where there is none. A damaged one is removed, and reported."""
        path = self.root / f"corpus-{key}"
        if not path.is_dir():
            return None
        try:
            return EncodedCorpus.open(path)
        except CorpusError as error:
            report(f"the cached corpus is made anew: {error}")
            _remove(path)
            return None

    @contextmanager
    def building(self) -> Iterator[Path]:
        """A new folder to fill; removed at the end unless it was published. Raises OutputError.

        Others leave it alone as long as this process lives; what killed ones left is removed first.
        """
        with ExitStack() as stack:
            try:
                self.root.mkdir(parents=True, exist_ok=True)
                for path in self._folders():
                    if _BUILDING.fullmatch(path.name):
                        remove_abandoned(path, _remove)
                folder = stack.enter_context(held(self._new_folder))
            except OSError as error:
                raise OutputError(
                    f"cannot write to the cache folder {self.root}: {error.strerror or error}: {_ADVICE}"
                ) from None
            try:
                yield folder
            finally:
                _remove(folder)

    def _new_folder(self) -> Path:
        folder = self.root / f"building-{uuid.uuid4().hex}"
        folder.mkdir()
        return folder

    def publish(self, folder: Path, key: str, vocabulary: Vocabulary) -> EncodedCorpus:
        """Give a finished folder its name; where another run was first, its equal work is used.

        Its files are on the disk before it has its name. vocabulary: what the folder's file holds. Raises
        OutputError.
        """
        sync_folder(folder)
        path = self.root / f"corpus-{key}"
        # Opened before others can see it: what is mapped stays, even where the cache is cleared in the next moment.
        corpus = None if os.name == "nt" else EncodedCorpus.open(folder, vocabulary)
        for _ in range(_ATTEMPTS):
            try:
                os.rename(folder, path)
            except OSError as error:
                failure = error
            else:
                if corpus is None:
                    return EncodedCorpus.open(path, vocabulary)
                corpus.moved(path)
                return corpus
            try:
                return EncodedCorpus.open(path, vocabulary)
            except CorpusError:
                _remove(path)
        raise OutputError(f"{write_failure(path, failure)}; or {_ADVICE}")

    def entries(self) -> list[CacheEntry]:
        """What the cache holds, oldest first, unfinished folders included."""
        found = [entry for entry in map(_describe, self._folders()) if entry is not None]
        return sorted(found, key=lambda entry: (entry.created or "", entry.path.name))

    def clear(self) -> tuple[int, int, list[Path]]:
        """Remove every entry; returns how many, their bytes, and the folders left because they are in use."""
        removed = freed = 0
        kept = []
        for path in self._folders():
            size = _size(path)
            if _BUILDING.fullmatch(path.name):
                remove_abandoned(path, _remove)
            else:
                _remove(path)
            if path.exists():
                kept.append(path)
                continue
            removed, freed = removed + 1, freed + size
        return removed, freed, kept

    def _folders(self) -> list[Path]:
        """The folders that are recognisably ours: by their names, and by the names of all they hold."""
        if not self.root.is_dir():
            return []
        named = (
            path
            for path in sorted(self.root.iterdir())
            if _ENTRY.fullmatch(path.name) or _BUILDING.fullmatch(path.name)
        )
        return [path for path in named if path.is_dir() and not path.is_symlink() and _ours(path)]


def _ours(path: Path) -> bool:
    return all(_our_file(item) for item in _items(path))


def _our_file(path: Path) -> bool:
    # Not by what it is: it may be gone by now.
    return path.name in FILES or path.name.startswith(("input.tmp", ".vocabulary.tsv."))


def _items(path: Path) -> list[Path]:
    """What is in a folder; nothing where another run has just removed it."""
    try:
        return list(path.iterdir())
    except FileNotFoundError:
        return []


def _size(path: Path) -> int:
    total = 0
    for item in _items(path):
        with suppress(FileNotFoundError):
            total += item.stat().st_size
    return total


def _remove(path: Path) -> bool:
    """Remove a folder of ours, file by file; nothing else is touched. Returns whether it is gone."""
    if not path.exists():
        return True
    # The description goes first: what is left, should this stop half-way, is no entry any more.
    with suppress(OSError):
        for item in sorted(_items(path), key=lambda item: item.name != META):
            if _our_file(item):
                item.unlink(missing_ok=True)
        path.rmdir()
    return not path.exists()


def _describe(path: Path) -> CacheEntry | None:
    """The entry at ``path``; None where it is gone by now."""
    size = _size(path)
    try:
        meta = read_json(path / META)
        inputs = [str(item[0]) for item in meta["inputs"]]
        return CacheEntry(path, size, int(meta["totals"]["tokens"]), int(meta["words"]), inputs, str(meta["created"]))
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return CacheEntry(path, size, None, None, [], None) if path.exists() else None
