"""Where a soak works: its texts, a model that nothing may change, and one folder for each operation."""

import contextlib
import os
import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmark import ROOT
from soak_checks import fingerprint, require_clean_folder, require_sound, require_unchanged
from soak_commands import BrokenError, Commands
from soak_ledger import Failure, Ledger

#: Objective and model of a run, in turn.
KINDS = [
    (objective, model) for objective in ("ns", "hs", "class", "adaptive", "full") for model in ("skipgram", "cbow")
]
#: A cost model of another run of ``w2v calibrate``.
COSTS = ROOT / "data" / "results" / "cpu-cost-model.json"
_SMALL = 40_000


@dataclass
class Settings:
    """What was asked for. run_seconds: about how long a run of the kill loop trains; pairs: word pairs, or None."""

    seed: int
    run_seconds: float = 6.0
    text_bytes: int = 700_000
    pairs: Path | None = None


class Workplace:
    """The folders and files that the operations of a soak share."""

    def __init__(self, folder: Path, corpus: Path, settings: Settings, ledger: Ledger) -> None:
        """Cut the texts out of ``corpus`` and train the model that stays; raises BrokenError where that fails."""
        self.folder, self.settings, self.ledger = folder, settings, ledger
        self._numbers: Counter[str] = Counter()
        self.texts = folder / "texts"
        self.texts.mkdir(parents=True)
        text = corpus.read_bytes()[: settings.text_bytes]
        self.text = self._text("text.txt", text)
        self.small = self._text("small.txt", text[:_SMALL])
        self.other = self._text("other.txt", text[-_SMALL:])
        self.good = folder / "good"
        self._train_good()

    def _text(self, name: str, data: bytes) -> Path:
        path = self.texts / name
        path.write_bytes(data.rpartition(b"\n")[0] + b"\n")
        return path

    def _train_good(self) -> None:
        from w2v.vectors import load_vectors, save_vectors

        self.package = _copied(self.folder / "package")
        options = ("--vector-size", 24, "--min-count", 2, "--epochs", 3, "--threads", 1, "--seed", 5)
        place = self.folder / "making"
        place.mkdir()
        commands = Commands(place, {"W2V_CACHE": str(place / "cache"), "PYTHONPATH": str(self.package)})
        for objective, path in (("ns", self.good), ("hs", self.folder / "good-hs")):
            arguments = ("train", self.small, "-o", path, "--objective", objective, *options)
            commands.run(*arguments).check(0)
            require_sound(path)
        for suffix in (".bin", ".txt", ".safetensors", ".txt.gz"):
            save_vectors(self.folder / f"good-file{suffix}", load_vectors(self.good))
        self.good_files = {path: fingerprint(path) for path in sorted(self.folder.glob("good*"))}
        self.texts_before = fingerprint(self.texts)
        # The most frequent words, for questions.
        self.words = [
            line.split("\t")[0] for line in (self.good / "vocabulary.tsv").read_text("utf-8").splitlines()[:200]
        ]
        shutil.rmtree(place)

    def next_number(self, name: str) -> int:
        """0, 1, 2 … by name."""
        self._numbers[name] += 1
        return self._numbers[name] - 1

    def require_good(self) -> None:
        """BrokenError where the good models or the texts changed."""
        for path, before in self.good_files.items():
            require_unchanged(path, before)
        require_unchanged(self.texts, self.texts_before)

    def operate(self, name: str, number: int, operation: Callable[["Operation"], None]) -> None:
        """Do one operation in a folder of its own. A failure is noted and its folder stays; others go."""
        folder = self.folder / f"{name}-{number}"
        folder.mkdir()
        work = Operation(self, folder, random.Random(f"{self.settings.seed} {name} {number}"))
        begun = time.monotonic()
        try:
            with work.mounts:
                operation(work)
                self.require_good()
            work.require_no_temporary()
        except Exception as error:
            # Whatever it is: a soak goes on, and its result tells.
            what = str(error) if isinstance(error, BrokenError) else f"{type(error).__name__}: {error}"
            self.ledger.failures.append(Failure(name, number, what, str(folder), work.commands.done))
            (folder / "commands.txt").write_text("\n".join([*work.commands.done, f"# {what}"]) + "\n")
        else:
            shutil.rmtree(folder)
        seconds = time.monotonic() - begun
        self.ledger.add(name, number, seconds, work.faults, work.outcomes, "; ".join(work.details))


@dataclass
class Operation:
    """One operation: its folder, its own source of chance, what it injected and what came of it."""

    place: Workplace
    folder: Path
    random: random.Random
    faults: list[str] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    mounts: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __post_init__(self) -> None:
        """Folders for the cache and for temporary files."""
        self.cache, self.temporary, self.output = (self.folder / name for name in ("cache", "tmp", "out"))
        self.temporary.mkdir()
        folders = {"W2V_CACHE": self.cache, "TMPDIR": self.temporary, "PYTHONPATH": self.place.package}
        self.commands = Commands(self.folder, {name: str(path) for name, path in folders.items()})
        self.run, self.start = self.commands.run, self.commands.start

    def fault(self, kind: str, detail: str = "") -> None:
        """Count a fault that is about to be injected, or just was."""
        self.faults.append(kind)
        if detail:
            self.details.append(detail)
        self.commands.note(f"{kind} {detail}".rstrip())

    def outcome(self, kind: str) -> None:
        """Count what came of one."""
        self.outcomes.append(kind)

    def require_no_temporary(self) -> None:
        """BrokenError where a temporary file of ours is left."""
        require_clean_folder(self.temporary, "w2v-*")
        require_clean_folder(self.cache, "building-*")

    @contextlib.contextmanager
    def disk(self, kilobytes: int, name: str = "disk") -> Iterator[Path]:
        """A folder on a disk of that size; where none can be mounted, files that may not be larger than that."""
        folder = self.folder / name
        folder.mkdir()
        if mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)):
            self.fault("full disk", f"{kilobytes} kB")
            with contextlib.ExitStack() as stack:
                stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
                yield folder
        else:
            self.fault("limit on file sizes", f"{kilobytes} kB")
            self.commands.limit = kilobytes << 10
            try:
                yield folder
            finally:
                self.commands.limit = None


def _copied(folder: Path) -> Path:
    """A copy of the package, compiled code included: an hour is long, and the sources may change meanwhile."""
    for name in ("w2v", "kernels"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.tmp*"))
    shutil.copy2(ROOT / "setup.py", folder)
    return folder


def mount(*arguments: str) -> bool:
    """Whether ``mount ARGUMENTS`` worked; only root may."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return False
    return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0
