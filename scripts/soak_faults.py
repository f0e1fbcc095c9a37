"""Operations of a soak that damage what is on the disk, fill it, or take the right to write away."""

import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from soak_checks import (
    fingerprint,
    require_clean,
    require_clean_folder,
    require_same_model,
    require_sound,
    require_unchanged,
)
from soak_commands import BrokenError
from soak_damage import damage, files_of
from soak_place import COSTS, Operation, mount
from soak_training import long_run, make_checkpoint, reported_or_trained


def damaged_vectors(work: Operation) -> None:
    """A vector file that is damaged: other numbers, or an error of a line; asked and converted."""
    source = work.random.choice([path for path in work.place.good_files if path.is_file()])
    _ask_damaged(work, Path(shutil.copy(source, work.folder)), source.name.partition(".")[2])


def damaged_model(work: Operation) -> None:
    """A model folder with a damaged file: the same."""
    _ask_damaged(work, Path(shutil.copytree(work.place.good, work.folder / "damaged")), "model folder")


def _ask_damaged(work: Operation, path: Path, kind: str) -> None:
    _damage(work, path, kind)
    word = work.random.choice(work.place.words)
    questions: list[list[object]] = [
        ["info", path],
        ["similar", path, word],
        ["analogy", path, *work.place.words[:3]],
        ["convert", path, work.folder / f"converted{work.random.choice(('.bin', '.txt', '.safetensors', ''))}"],
        ["classes", path, "-n", 3],
        ["export", path, "--to", "numpy", "-o", work.folder / "exported"],
        ["explore", path, "-o", work.folder / "page.html", "--words", 100],
    ]
    for arguments in work.random.sample(questions, 3):
        ended = work.run(*arguments)
        ended.check(0, 1, 2)
        work.outcome("damage reported" if ended.code else "answered from what is left")


def _damage(work: Operation, path: Path, kind: str) -> None:
    chosen = work.random.choice(files_of(path))
    work.fault(f"damaged {kind}", damage(chosen, work.random))


def damaged_checkpoint(work: Operation) -> None:
    """A damaged checkpoint is reported; or the damage did not matter, and the model is what it would have been."""
    arguments = long_run(work)
    folder = make_checkpoint(work, arguments)
    peace = _same_elsewhere(work, arguments)
    _damage(work, next(path for path in folder.iterdir() if path.name.isdigit()), "checkpoint")
    ended = work.run(*arguments, "--resume").check(0, 1)
    if ended.code:
        work.outcome("damage reported")
        shutil.rmtree(folder)
        work.run(*arguments, "--resume").check(0)
    else:
        work.outcome("resumed all the same")
    require_clean(work.output)
    require_same_model(peace, work.output)


def _same_elsewhere(work: Operation, arguments: list[object]) -> Path:
    peace = work.folder / "peace"
    work.run(*[peace if word == work.output else word for word in arguments]).check(0)
    return peace


def damaged_cache(work: Operation) -> None:
    """A damaged entry of the cache is made anew; or the damage did not matter."""
    arguments = ["train", work.place.small, "--epochs", 2, "--threads", 1, "--vector-size", 12]
    first = work.folder / "first"
    work.run(*arguments, "-o", first).check(0)
    _damage(work, next(work.cache.glob("corpus-*")), "cache entry")
    ended = work.run(*arguments, "-o", work.output).check(0)
    work.outcome("damage reported" if "made anew" in ended.stderr else "taken as it is, or made anew")
    require_same_model(first, work.output)
    work.run("cache").check(0)
    work.run("cache", "--clear").check(0)


def damaged_costs(work: Operation) -> None:
    """A damaged cost model: an error of a line, or clusters of some kind."""
    path = Path(shutil.copy(COSTS, work.folder / "cost.json"))
    _damage(work, path, "cost model")
    options = ["--objective", "adaptive", "--cost-model", path, "--epochs", 1, "--vector-size", 16, "--min-count", 1]
    ended = work.run("train", work.place.small, "-o", work.output, *options).check(0, 1, 2)
    reported_or_trained(work, ended, "damage reported")


def damaged_vocabulary(work: Operation) -> None:
    """A damaged vocabulary for ``train --vocab``: an error of a line, or a model of what is left."""
    path = work.folder / "vocabulary.tsv"
    shutil.copy(work.place.good / "vocabulary.tsv", path)
    _damage(work, path, "vocabulary")
    options = ["--vocab", path, "--epochs", 1, "--vector-size", 8]
    ended = work.run("train", work.place.small, "-o", work.output, *options).check(0, 1, 2)
    work.outcome("damage reported" if ended.code else "trained all the same")
    require_clean(work.output)


def full_output(work: Operation) -> None:
    """A disk that is full when the model or a checkpoint is written, after one has been there before."""
    size = work.random.choice((8, 20, 32, 48, 64, 100))
    with work.disk(size) as disk:
        work.output = disk / "out"
        arguments = [*long_run(work, work.random.choice(("ns", "class"))), "--checkpoint-minutes", 0.01]
        ended = work.run(*arguments, "--epochs", 60).check(0, 1)
        work.outcome("full disk reported" if ended.code else "there was room enough")
        if ended.code and work.output.exists():
            raise BrokenError(f"there is an output of a run that failed: {ended}")
        require_clean(work.output, finished=ended.code == 0)
        if ended.code == 0:
            require_sound(work.output)
            return
        if mount("-o", "remount,size=20m", str(disk)):
            work.commands.note("room is made")
            work.run(*arguments, "--epochs", 60, "--resume").check(0)
            require_same_model(_same_elsewhere(work, [*arguments, "--epochs", 60]), work.output)
            require_clean(work.output)


def full_replacement(work: Operation) -> None:
    """A disk too full for a new model or file: the old one stays."""
    suffix = work.random.choice(("", ".bin", ".txt", ".safetensors"))
    source = work.place.good if not suffix else work.folder.parent / f"good-file{suffix}"
    size = 16 + sum(path.stat().st_size for path in files_of(source)) // 1024 * 3 // 2
    with work.disk(size) as disk:
        work.output = disk / f"out{suffix}"
        (shutil.copytree if source.is_dir() else shutil.copy)(source, work.output)
        before = fingerprint(work.output)
        options = ["--vector-size", 100, "--epochs", 1, "--min-count", 1]
        ended = work.run("train", work.place.small, "-o", work.output, *options).check(1)
        work.outcome("full disk reported")
        require_unchanged(work.output, before)
        require_clean(work.output, finished=False)
        if "the checkpoint in" in ended.stderr:
            work.outcome("a checkpoint of the end is left")


def full_cache(work: Operation) -> None:
    """No room for the encoded text, in the cache or the folder for temporary files: a line, and nothing stays."""
    where = work.random.choice(("W2V_CACHE", "TMPDIR"))
    with work.disk(work.random.choice((4, 30, 300))) as disk:
        before = dict(work.commands.variables)
        work.commands.variables[where] = str(disk)
        extra = ["--no-cache"] if where == "TMPDIR" else []
        ended = work.run("train", work.place.text, "-o", work.output, *extra, "--quiet", "--epochs", 1).check(0, 1)
        work.outcome("full disk reported" if ended.code else "there was room enough")
        for pattern in ("building-*", "w2v-*"):
            require_clean_folder(disk, pattern)
        require_clean(work.output)
        work.commands.variables.update(before)
    if ended.code and work.output.exists():
        raise BrokenError(f"there is an output of a run that failed: {ended}")


def full_conversion(work: Operation) -> None:
    """Writers of other formats on a full disk: a line, and the old file stays."""
    arguments: Callable[[Path], list[object]] = work.random.choice(
        (
            lambda disk: [
                "convert",
                work.place.good,
                disk / f"x{work.random.choice(('.bin', '.txt', '', '.txt.gz'))}",
            ],
            lambda disk: ["convert", work.place.good, disk / "x.safetensors"],
            lambda disk: ["export", work.place.good, "--to", "numpy", "-o", disk / "x"],
            lambda disk: ["export", work.place.good, "--to", "safetensors", "-o", disk / "x.safetensors"],
            lambda disk: ["export", work.place.good, "--to", "gensim", "-o", disk / "x"],
            lambda disk: ["explore", work.place.good, "-o", disk / "x.html"],
            lambda disk: ["classes", work.place.good, "-n", 3, "-o", disk / "x.tsv"],
            lambda disk: ["vocab", work.place.small, "-o", disk / "x.tsv", "--min-count", 1],
            lambda disk: ["phrases", work.place.small, "-o", disk / "x.txt"],
        )
    )
    with work.disk(4) as disk:
        ended = work.run(*arguments(disk)).check(0, 1)
        work.outcome("full disk reported" if ended.code else "there was room enough")
        left = [path.name for path in disk.iterdir()]
        if ended.code and left:
            raise BrokenError(f"left behind on a full disk: {', '.join(left)}: {ended}")


def read_only(work: Operation) -> None:
    """A place where nothing may be written: said before training, in a line."""
    folder = work.folder / "read-only"
    folder.mkdir()
    if mount("-t", "tmpfs", "-o", "size=64k,ro", "tmpfs", str(folder)):
        work.mounts.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
    else:
        folder.chmod(0o555)
        work.mounts.callback(folder.chmod, 0o755)
    work.fault("read-only folder")
    arguments = work.random.choice(
        (
            ["train", work.place.text, "-o", folder / "out", "--epochs", 50],
            ["train", work.place.small, "-o", work.output, "--cache", folder / "cache"],
            ["train", work.place.small, "-o", work.output, "--metrics-jsonl", folder / "metrics.jsonl"],
            ["convert", work.place.good, folder / "x.bin"],
            ["export", work.place.good, "--to", "numpy", "-o", folder / "x"],
            ["explore", work.place.good, "-o", folder / "x.html"],
            ["vocab", work.place.small, "-o", folder / "x.tsv"],
        )
    )
    ended = work.run(*arguments).check(1)
    if ended.seconds > 60:
        raise BrokenError(f"said only after {ended.seconds:.0f} s: {ended}")
    require_clean(work.output)


def killed_writer(work: Operation) -> None:
    """A conversion that is killed leaves the old file as it is, or the whole new one; the next one clears up."""
    suffix = work.random.choice((".bin", ".txt", ".safetensors", ""))
    work.output = work.folder / f"out{suffix}"
    big = work.folder / "big.bin"
    _write_big(big)
    work.run("convert", work.place.good, work.output).check(0)
    before = fingerprint(work.output)
    running = work.start("convert", big, work.output)
    moment = work.random.uniform(0.2, 1.2)
    ended = running.stop_when(lambda passed: passed >= moment, signal.SIGKILL)
    if ended.sent is None or ended.code == 0:
        ended.check(0)
        work.outcome("ended before the kill")
        return
    work.fault("SIGKILL", f"convert after {moment:.2f} s")
    if fingerprint(work.output) != before:
        whole = work.folder / f"whole{suffix}"
        work.run("convert", big, whole).check(0)
        require_unchanged_but_dates(work.output, fingerprint(whole))
        work.outcome("killed when the new one had its name")
    work.run("convert", work.place.good, work.output).check(0)
    require_unchanged_but_dates(work.output, before)
    require_clean(work.output)


def require_unchanged_but_dates(path: Path, before: dict[str, str]) -> None:
    """BrokenError unless the vectors and the words are as they were."""
    heeded = {name for name in before if name in (".", "vocabulary.tsv") or name.endswith(".npy")}
    after = fingerprint(path)
    changed = sorted(name for name in heeded if before[name] != after.get(name))
    if changed:
        raise BrokenError(f"{path} changed: {', '.join(changed)}")


def _write_big(path: Path) -> None:
    """A file of 30,000 vectors, which takes a moment to convert."""
    words, size = 30_000, 100
    rows = np.random.default_rng(0).standard_normal((words, size), dtype=np.float32)
    with path.open("wb") as stream:
        stream.write(f"{words} {size}\n".encode())
        for number, row in enumerate(rows):
            stream.write(f"w{number} ".encode() + row.tobytes() + b"\n")
