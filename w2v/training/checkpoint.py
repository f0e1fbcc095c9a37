"""The file layout of checkpoints: a folder ``OUT.checkpoint`` with at most one whole checkpoint in it.

    OUT.checkpoint/
      lock                 held by the run that trains to OUT
      000007/              the latest one; its name appears by a rename, when every byte is on the disk
        state.json         options, corpus, how far it is, seconds, and shape and checksum of every array
        *.npy              the parameters, with the optimiser's accumulators

A newer one is written under a temporary name, synced, renamed to the next number; then the older one goes. Whenever
the machine stops, the folder holds a whole one, unless none was ever finished. Nothing in it is pickled.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from w2v import __version__
from w2v.atomic import sync, sync_folder, write_failure
from w2v.backends.base import Backend, EpochReport
from w2v.config import TrainConfig
from w2v.errors import FormatError, OutputError
from w2v.training.clock import PHASES
from w2v.training.run import RunState
from w2v.untrusted import read_json
from w2v.vectors.array_writing import checksum, write_array
from w2v.vectors.arrays import load_array

try:
    import fcntl
except ImportError:  # Windows; there two runs to one output are the user's to avoid
    fcntl = None

if TYPE_CHECKING:
    from typing import BinaryIO

STATE, LOCK = "state.json", "lock"
FORMAT, VERSION = "w2v-checkpoint", 1
# Of file systems that cannot lock.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
_FINISHED = re.compile(r"\d{6,}")
_UNFINISHED = re.compile(r"\.\d{6,}\.tmp")


@dataclass(frozen=True)
class Checkpoint:
    """A moment of a run.

    asked: the options as they were given; config: with everything filled in; corpus: what identifies the text
    (``corpus_facts``); state: how far it is; seconds: by phase, since the run began; arrays: shape and checksum of
    each parameter by name; version: of w2v, which wrote it; folder: where they are.
    """

    asked: TrainConfig
    config: TrainConfig
    corpus: dict[str, object]
    state: RunState
    seconds: dict[str, float]
    arrays: dict[str, tuple[tuple[int, ...], int]]
    version: str
    folder: Path

    def require_possible(self) -> None:
        """Raise ValueError where it is further than its run can be."""
        epochs = self.config.epochs
        if len(self.state.reports) + bool(self.state.report.position) > epochs:
            raise ValueError(f"it is past {epochs} epochs")
        if self.state.report.position >= self.corpus["tokens"] + self.corpus["sentences"]:
            raise ValueError("its position is past the text")

    def parameters(self) -> dict[str, np.ndarray]:
        """The arrays, memory-mapped; raises FormatError where one is not what was written."""
        found = {}
        for name, (shape, expected) in self.arrays.items():
            path = self.folder / f"{name}.npy"
            array = load_array(path)
            if array.dtype != np.float32 or array.shape != shape or checksum(array) != expected:
                raise FormatError(f"{path} is damaged: remove {self.folder.parent} to train from the beginning")
            found[name] = array
        return found

    def load_into(self, backend: Backend) -> None:
        """Copy the parameters into a backend of the same shapes; raises FormatError where they are not its own."""
        parameters = self.parameters()
        shapes = {name: array.shape for name, array in backend.parameters().items()}
        if {name: array.shape for name, array in parameters.items()} != shapes:
            raise FormatError(
                f"{self.folder / STATE} does not have this model's parameters: remove {self.folder.parent} to train "
                "from the beginning"
            )
        backend.load_parameters(parameters)


class CheckpointFolder:
    """The folder of the checkpoints of one output.

    left: whether it was there when it was opened: a run began there, and did not end.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        """Nothing is read or written yet."""
        self.path = Path(path)
        self.left = False
        self._lock: BinaryIO | None = None
        self._made: list[Path] = []

    def open(self) -> None:
        """Make the folder and take its lock; raises OutputError where another run has it, or something else is there.

        The lock goes with the process, however that ends. Where the system has no such locks, none is taken.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path} is not a folder: move it away, checkpoints go there")
        try:
            self._refuse_other_files()
            while self._lock is None:  # gone meanwhile where the run that had it ended
                self.left = (self.path / LOCK).exists()
                self._make()
                self._lock = _locked(self.path / LOCK)
        except BlockingIOError:
            raise OutputError(
                f"another run is training to this output ({self.path} is in use): wait, or choose another output"
            ) from None
        except OSError as error:
            raise write_failure(self.path, error) from error

    def _refuse_other_files(self) -> None:
        for entry in sorted(self.path.iterdir()) if self.path.exists() else ():
            known = entry.name == LOCK or _FINISHED.fullmatch(entry.name) or _UNFINISHED.fullmatch(entry.name)
            if not known or entry.is_symlink():
                raise OutputError(f"{entry} is no checkpoint: move it away, checkpoints go to {self.path}")

    def _make(self) -> None:
        """The folder and those above it, which are remembered."""
        missing = [path for path in (self.path, *self.path.parents) if not path.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        self._made = [*self._made, *missing[1:]]
        for path in missing:
            sync(path.parent)

    def close(self) -> None:
        """Give the lock back; where no checkpoint is in it, the folder goes, and those that were made for it."""
        if self._lock is None:
            return
        if not self._numbered():
            self._remove_all()
        lock, self._lock = self._lock, None
        lock.close()

    def remove(self) -> None:
        """Remove every checkpoint: the run is finished."""
        for number in self._numbered():
            self._discard(number)
        self.close()

    def holds_checkpoint(self) -> bool:
        """Whether there is a whole one."""
        return bool(self._numbered())

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint, its arrays unread; None where there is none. FormatError where it is damaged."""
        numbered = self._numbered()
        return None if not numbered else _read(self.path / numbered[-1])

    def write(
        self,
        asked: TrainConfig,
        config: TrainConfig,
        corpus: Mapping[str, object],
        state: RunState,
        seconds: Mapping[str, float],
        parameters: Mapping[str, np.ndarray],
    ) -> None:
        """Add a checkpoint, and remove the ones before it; raises OutputError, and then those are as they were."""
        older = self._numbered()
        name = f"{int(older[-1]) + 1 if older else 1:06d}"
        temporary = self.path / f".{name}.tmp"
        try:
            self._remove_unfinished()
            temporary.mkdir()
            arrays = {
                stem: {"shape": array.shape, "crc32": write_array(temporary / f"{stem}.npy", array)}
                for stem, array in parameters.items()
            }
            record = {
                "format": FORMAT,
                "format_version": VERSION,
                "w2v_version": __version__,
                "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "asked": asked.to_dict(),
                "config": config.to_dict(),
                "corpus": dict(corpus),
                "epochs": [asdict(report) for report in state.reports],
                "epoch": asdict(state.report),
                "seconds": dict(seconds),
                "arrays": arrays,
            }
            record["checksum"] = _checksum(record)
            (temporary / STATE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            sync_folder(temporary)
            os.rename(temporary, self.path / name)
            sync(self.path)
        except OSError as error:
            raise OutputError(f"cannot write a checkpoint to {self.path}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        for number in older:
            self._discard(number)

    def _numbered(self) -> list[str]:
        """The names of whole checkpoints, oldest first."""
        if not self.path.is_dir():
            return []
        return sorted((entry.name for entry in self.path.iterdir() if _FINISHED.fullmatch(entry.name)), key=int)

    def _remove_unfinished(self) -> None:
        """What a run left that was killed while it wrote."""
        for entry in list(self.path.iterdir()):
            if _UNFINISHED.fullmatch(entry.name):
                shutil.rmtree(entry)

    def _discard(self, number: str) -> None:
        """Remove a whole one, which loses its name first: should this stop half-way, what is left is none."""
        unfinished = self.path / f".{number}.tmp"
        with suppress(OSError):  # what cannot be removed does no harm, and is tried again
            os.rename(self.path / number, unfinished)
            shutil.rmtree(unfinished)

    def _remove_all(self) -> None:
        """What killed runs left, the lock's file, and the folders that are empty then."""
        with suppress(OSError):  # a folder that holds no checkpoint does no harm
            self._remove_unfinished()
            (self.path / LOCK).unlink(missing_ok=True)
            self.path.rmdir()
            for path in self._made:
                path.rmdir()


def _locked(path: Path) -> BinaryIO | None:
    """Open a file and lock it for this process; None where it is gone by then. BlockingIOError: another has it."""
    file = open(path, "ab")  # noqa: SIM115 (open for the run)
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            file.close()
            raise
    try:
        same = os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
    except FileNotFoundError:
        same = False
    if not same:
        file.close()
    return file if same else None


def _read(folder: Path) -> Checkpoint:
    """The checkpoint in a folder; raises FormatError naming the file that is damaged."""
    path = folder / STATE
    try:
        record = read_json(path)
        if record["format"] != FORMAT:
            raise ValueError("it is of something else")
        if record["format_version"] != VERSION:
            raise FormatError(
                f"{path} was written by another version of w2v ({record.get('w2v_version')}): resume with that one, "
                f"or remove {folder.parent} to train from the beginning"
            )
        if record.pop("checksum", None) != _checksum(record):
            raise ValueError("its checksum is wrong")
        checkpoint = Checkpoint(
            asked=TrainConfig.from_dict(record["asked"]),
            config=TrainConfig.from_dict(record["config"]),
            corpus=_plain(record["corpus"]),
            state=RunState(tuple(map(_report, record["epochs"])), _report(record["epoch"])),
            seconds={name: float(record["seconds"][name]) for name in (*PHASES, "total")},
            arrays={_stem(name): _array(entry) for name, entry in record["arrays"].items()},
            version=str(record["w2v_version"])[:40],
            folder=folder,
        )
        checkpoint.require_possible()
        return checkpoint
    except OSError as error:
        raise FormatError(
            f"cannot read {path}: {error.strerror or error}: remove {folder.parent} to train from the beginning"
        ) from error
    except FormatError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise FormatError(
            f"{path} is damaged ({reason}): remove {folder.parent} to train from the beginning"
        ) from error


def _checksum(record: dict[str, object]) -> str:
    """Of a record as JSON writes it."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()


def _report(values: dict) -> EpochReport:
    report = EpochReport(**{**values, "parts": tuple(values["parts"])})
    if any(type(place) is not int or place < 0 for place in report.parts):
        raise ValueError("a part's position is no number")
    for name in ("pairs", "kept_words", "words", "position", "rounds"):
        if type(getattr(report, name)) is not int or getattr(report, name) < 0:
            raise ValueError(f"{name} is no number")
    for name in ("loss", "learning_rate"):
        if not isinstance(getattr(report, name), (int, float)):
            raise ValueError(f"{name} is no number")
    return report


def _plain(corpus: dict) -> dict[str, object]:
    return {str(name): value for name, value in corpus.items()}


def _stem(name: str) -> str:
    """A name that cannot lead out of the folder."""
    if not re.fullmatch(r"\w{1,64}", name, re.ASCII):
        raise ValueError(f"{name!r} is no name of an array")
    return name


def _array(entry: dict) -> tuple[tuple[int, ...], int]:
    return tuple(int(size) for size in entry["shape"]), int(entry["crc32"])
