"""Texts behind addresses (``s3://``, ``gs://``, …): through fsspec, which is imported when one is given."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from w2v.corpus.sources import Source, reported
from w2v.errors import CorpusError, MissingExtraError, require

# What tells a text from an earlier one at the same address, by the names that file systems have for it.
_STAMPS = frozenset(
    ("etag", "mtime", "lastmodified", "last_modified", "modified", "updated", "created", "md5hash", "content_md5")
)
_LARGEST_CONFIG = 1 << 20
# Read ahead, for text is read from one end to the other.
_READ_AHEAD = 1 << 22


@dataclass(frozen=True)
class AddressSource(Source):
    """A file behind an address. Only the address goes with it to another process."""

    path: None = None
    address: str = ""

    remote = True
    rights = "check your credentials"

    @property
    def name(self) -> str:
        """The address."""
        return self.address

    @property
    def is_stdin(self) -> bool:
        """Never."""
        return False

    @property
    def suffix(self) -> str:
        """As of a local file; of a chain of addresses, that of the first."""
        return PurePosixPath(self.address.partition("::")[0]).suffix.lower()

    @property
    def regular(self) -> bool:
        """Whether its file system tells when it has changed: only then is its encoded corpus kept."""
        return any(str(key).lower() in _STAMPS and value for key, value in self._info().items())

    @property
    def size(self) -> int:
        """Bytes as they are stored; raises CorpusError where its file system does not tell."""
        size = self._info().get("size")
        if size is None:
            raise CorpusError(f"{self.address} has no known size: copy it to a file")
        return int(size)

    def identity(self) -> list[str | int]:
        """Address, size, and the file system's checksum of what is there now."""
        with reported(self):
            file_system, path = _file_system(self.address)
            file_system.invalidate_cache(path)
            return [self.address, self._info().get("size") or 0, str(file_system.checksum(path))]

    def open_raw(self) -> BinaryIO:
        """Its bytes; raises what its file system raises."""
        file_system, path = _file_system(self.address)
        return file_system.open(path, "rb", block_size=_READ_AHEAD)

    def _info(self) -> dict[str, Any]:
        with reported(self):
            file_system, path = _file_system(self.address)
            return file_system.info(path)


def find_address(address: str) -> list[Source]:
    """The file at an address, or those of the folder there, by the rules of ``find_sources``.

    Raises CorpusError, and MissingExtraError without fsspec or without what it needs for the protocol.
    """
    source = AddressSource(address=address)
    with reported(source):
        file_system, path = _file_system(address)
        if file_system.info(path).get("type") != "directory":
            return [source]
        found = file_system.find(path, detail=True)
        kept = _texts(file_system, path, found)
    if not kept:
        raise CorpusError(
            f"the folder {address} holds no file (hidden ones and w2v models are left out): put text files into it"
        )
    return kept


def _texts(file_system: Any, folder: str, found: dict[str, dict]) -> list[Source]:
    """The files that are text, sorted by the parts of their names."""
    parts = {path: PurePosixPath(path[len(folder.rstrip("/")) :].lstrip("/")).parts for path in found}
    configurations = [path for path in found if path.rpartition("/")[2] == "config.json"]
    models = [parts[path][:-1] for path in configurations if _is_model(file_system, path)]
    kept = []
    for path in sorted(found, key=parts.__getitem__):
        hidden = any(part.startswith(".") for part in parts[path])
        if hidden or any(parts[path][: len(model)] == model for model in models):
            continue
        source = AddressSource(address=file_system.unstrip_protocol(path))
        if found[path].get("type") != "file":
            raise CorpusError(f"{source.name} is no plain file: move it out of the folder, or name the files to read")
        kept.append(source)
    return kept


def _is_model(file_system: Any, path: str) -> bool:
    from w2v.vectors.folder import FORMAT

    try:
        record = json.loads(file_system.cat_file(path, end=_LARGEST_CONFIG))
    except ValueError:
        return False
    return isinstance(record, dict) and record.get("format") == FORMAT


def _file_system(address: str) -> tuple[Any, str]:
    """What reads an address, and its path there."""
    fsspec = require("fsspec", "io", f"reading {address}")
    try:
        return fsspec.core.url_to_fs(address)
    except ImportError as error:
        reason = str(error).strip().partition("\n")[0]
        raise MissingExtraError(f"reading {address} needs one more package: {reason} (pip install)") from error
    except ValueError as error:
        raise CorpusError(f"cannot read {address}: {error}: give an address that fsspec knows, or a path") from None
