"""Operations of a soak around training: any options and texts, kills, resuming, runs side by side."""

import bz2
import gzip
import json
import lzma
import shutil
import signal
import time
from pathlib import Path

from soak_checks import (
    fingerprint,
    require_clean,
    require_clean_folder,
    require_same_model,
    require_sound,
    require_unchanged,
    same_vectors,
)
from soak_commands import LONGEST, NOTHING, BrokenError, Ended
from soak_kills import SIGNALS, check_stopped, is_there, killed_until_done
from soak_place import KINDS, Operation

_PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
_SUFFIXES = (".bin", ".txt", ".vec", ".safetensors")


def train_anything(work: Operation) -> None:
    """A run of any options on a text in any form."""
    source, stdin = any_text(work)
    extra = ["--no-cache"] if work.random.random() < 0.3 else []
    ended = work.run("train", source, "-o", work.output, *any_options(work), *extra, stdin=stdin).check(0)
    require_sound(work.output)
    require_clean(work.output)
    if "saved to" not in ended.stderr:
        raise BrokenError(f"it does not say that it saved anything: {ended}")
    work.run("info", work.output).check(0)


def any_text(work: Operation) -> tuple[object, Path | int]:
    """(CORPUS, standard input): the small text as it is, compressed, in a folder, or from standard input."""
    data = work.place.small.read_bytes()
    form = work.random.choice(("plain", "stdin", "folder", *_PACK))
    if form == "plain":
        return work.place.small, NOTHING
    if form == "stdin":
        return "-", work.place.small
    if form == "folder":
        folder = work.folder / "corpus" / "deeper"
        folder.mkdir(parents=True)
        half = data.find(b"\n", len(data) // 2) + 1
        (folder / "a.txt").write_bytes(data[:half])
        (folder.parent / "z.txt.gz").write_bytes(gzip.compress(data[half:]))
        return folder.parent, NOTHING
    packed = work.folder / f"corpus.txt{form}"
    packed.write_bytes(_PACK[form](data))
    return packed, NOTHING


def any_options(work: Operation, threads: int | None = None) -> list[object]:
    """Options of a short run."""
    chance = work.random
    objective, model = chance.choice(KINDS)
    found = [
        *("--objective", objective, "--model", model, "--vector-size", chance.choice((1, 7, 16, 50, 100))),
        *("--window", chance.choice((1, 2, 5, 10)), "--min-count", chance.choice((1, 2, 5))),
        *("--epochs", chance.choice((1, 2, 3)), "--seed", chance.randrange(10**6)),
        *("--threads", threads or chance.choice((1, 2)), "--sample", chance.choice((0, 1e-3, 1e-4))),
    ]
    more = {
        "ns": [["--negative", 1], ["--negatives-per-pair"], ["--noise-power", 0.5]],
        "hs": [[]],
        "class": [["--classes", 7], ["--output-bias", "none"], ["--batch-pairs", 500]],
        "adaptive": [["--clusters", 3], ["--no-shortlist"], ["--div-value", 4], ["--batch-pairs", 1000]],
        "full": [["--output-bias", "none"], ["--batch-pairs", 300]],
    }
    anyone = [[], [], ["--lowercase"], ["--max-final-vocab", 300], ["--max-vocab-size", 500], ["--heldout", 0.1]]
    if model == "cbow":
        found += chance.choice(([], ["--cbow-sum"]))
    return [*found, *chance.choice([[], *more[objective]]), *chance.choice(anyone)]


def train_killed(work: Operation) -> None:
    """A short run of any options that is killed and resumed, to a folder or a file, beside the same run in peace."""
    options = [*any_options(work, threads=1), "--epochs", 12]
    peace = work.folder / "peace"
    work.output = work.folder / f"out{work.random.choice(('', '', *_SUFFIXES))}"
    expected = peace.with_suffix(work.output.suffix)
    first = work.run("train", work.place.small, "-o", expected, *options).check(0)
    killed_until_done(work, ["train", work.place.small, "-o", work.output, *options], first.seconds, 3)
    if work.output.is_dir():
        require_same_model(expected, work.output)
    elif work.output.suffix == ".safetensors":  # that library writes its header in any order
        same_vectors(expected, work.output, exactly=True)
    elif work.output.read_bytes() != expected.read_bytes():
        raise BrokenError(f"{work.output.name} differs from the one of an uninterrupted run")


def kill_without_cache(work: Operation) -> None:
    """A run without a cache that is killed: its temporary folder goes with the next one that ends."""
    arguments = ["train", work.place.small, "-o", work.output, "--no-cache", "--epochs", 60, "--quiet"]
    number = work.random.choice(SIGNALS)
    ended = work.start(*arguments).stop_when(lambda passed: is_there(work.temporary, "w2v-*"), number)
    if ended.sent is not None:
        work.fault(number.name, f"exit {ended.code}")
        check_stopped(work, ended)
    work.run(*arguments, "--resume").check(0)
    require_clean(work.output)


def make_checkpoint(work: Operation, arguments: list[object]) -> Path:
    """Start a run and interrupt it when it has a checkpoint; where that is."""
    folder = work.output.with_name(f"{work.output.name}.checkpoint")
    running = work.start(*arguments, "--checkpoint-minutes", 0.003)
    number = work.random.choice((signal.SIGINT, signal.SIGTERM))
    ended = running.stop_when(lambda passed: is_there(folder, "0*"), number)
    if ended.sent is None or ended.code == 0:
        raise BrokenError(f"the run ended before it was interrupted: {ended}")
    work.fault(number.name)
    check_stopped(work, ended)
    return folder


def long_run(work: Operation, objective: str | None = None) -> list[object]:
    """A run on the small text that takes seconds, and can be interrupted."""
    objective = objective or work.random.choice(("ns", "hs", "class", "adaptive", "full"))
    return [
        *("train", work.place.small, "-o", work.output, "--objective", objective),
        *("--epochs", 1500, "--threads", 1, "--vector-size", 20, "--seed", 3),
    ]


def resume_changed(work: Operation) -> None:
    """What is not the same run is refused by name, and the checkpoint stays as it is; then the same run goes on."""
    arguments = long_run(work)
    folder = make_checkpoint(work, arguments)
    before = fingerprint(folder)
    work.run(*arguments).check(1).says("--resume")
    name, value = work.random.choice(
        (
            ("--epochs", 9),
            ("--vector-size", 31),
            ("--window", 2),
            ("--seed", 99),
            ("--alpha", 0.01),
            ("--min-count", 7),
        )
    )
    work.fault("changed option", name)
    work.run(*arguments, name, value, "--resume").check(1).says(name)
    work.fault("changed text")
    other = [work.place.other if word == work.place.small else word for word in arguments]
    work.run(*other, "--resume").check(1).says("differs")
    require_unchanged(folder, before)
    work.run(*arguments, "--resume").check(0).says("resumed from")
    require_clean(work.output)
    require_sound(work.output)


def resume_finished(work: Operation) -> None:
    """A finished run says so and stays as it is."""
    arguments = ["train", work.place.small, "-o", work.output, *any_options(work)]
    work.run(*arguments).check(0)
    before = fingerprint(work.output)
    work.run(*arguments, "--resume").check(0).says("nothing to resume")
    work.fault("changed option", "--seed")
    work.run(*arguments, "--seed", 1_000_001, "--resume").check(1).says("--seed")
    require_unchanged(work.output, before)
    require_clean(work.output)


def two_at_once(work: Operation) -> None:
    """A second run to an output that one is training to is refused, and the first one does not notice."""
    arguments = long_run(work, "ns")
    first = work.start(*arguments)
    lock = work.output.with_name("out.checkpoint")
    while first.alive() and not is_there(lock, "lock") and time.monotonic() < first.begun + LONGEST:
        time.sleep(0.02)
    try:
        work.fault("a second run to the same output")
        work.run(*arguments, *work.random.choice(([], ["--resume"]))).check(1).says("another run is training")
    finally:
        ended = first.wait()
    ended.check(0)
    require_sound(work.output)
    require_clean(work.output)


def shared_cache(work: Operation) -> None:
    """Two runs encode the same text into one cache while it is cleared."""
    options = [*any_options(work, threads=1), "--epochs", 4]
    outputs = [work.folder / name for name in ("one", "two")]
    runs = [work.start("train", work.place.text, "-o", output, *options) for output in outputs]
    try:
        for _ in range(work.random.randint(0, 4)):
            time.sleep(work.random.uniform(0, 1))
            work.fault("cache cleared")
            work.run("cache", "--clear").check(0)
    finally:
        ended = [run.wait() for run in runs]
    for one in ended:
        one.check(0)
    require_same_model(*outputs)
    for output in outputs:
        require_clean(output)


def existing_output(work: Operation) -> None:
    """A model that is there stays until a run to its name ends, however that is stopped."""
    shutil.copytree(work.place.good, work.output)
    before = fingerprint(work.output)
    number = work.random.choice(SIGNALS)
    moment = work.random.uniform(0.1, 3)
    ended = work.start(*long_run(work)).stop_when(lambda passed: passed >= moment, number)
    if ended.code != 0:
        work.fault(number.name, f"after {moment:.2f} s")
        check_stopped(work, ended)
        require_unchanged(work.output, before)
    if number == signal.SIGKILL:  # the next one clears up
        work.run("train", work.place.small, "-o", work.folder / "next", "--epochs", 1, "--vector-size", 8).check(0)


def vocabulary_first(work: Operation) -> None:
    """Counting and training apart give what training alone gives."""
    options = ["--seed", work.random.randrange(1000), "--threads", 1, "--epochs", 1]
    count = work.random.choice((1, 3, 6))
    vocabulary, apart = work.folder / "vocabulary.tsv", work.folder / "apart"
    work.run("vocab", work.place.small, "-o", vocabulary, "--min-count", count).check(0)
    work.run("train", work.place.small, "-o", apart, "--vocab", vocabulary, *options).check(0)
    work.run("train", work.place.small, "-o", work.output, "--min-count", count, *options).check(0)
    require_same_model(apart, work.output)


def text_changes(work: Operation) -> None:
    """A text that vanishes, shrinks or grows while it is read: an error of a line, or a model."""
    data = work.place.text.read_bytes()
    text = work.folder / "changing.txt"
    text.write_bytes(data * 12)
    extra = work.random.choice(([], ["--no-cache"], ["--max-vocab-size", 100_000]))
    running = work.start("train", text, "-o", work.output, "--epochs", 1, "--vector-size", 8, "--quiet", *extra)
    folder, pattern = (work.temporary, "w2v-*") if "--no-cache" in extra else (work.cache, "building-*")
    while running.alive() and not is_there(folder, pattern) and time.monotonic() < running.begun + LONGEST:
        time.sleep(0.005)
    time.sleep(work.random.uniform(0, 0.3))
    change = work.random.choice(("vanishes", "shrinks", "empties", "grows"))
    work.fault(f"text {change} while it is read")
    if change == "vanishes":
        text.unlink()
    elif change == "grows":
        with text.open("ab") as stream:
            stream.write(data)
    else:
        with text.open("r+b") as stream:
            stream.truncate(0 if change == "empties" else work.random.randrange(len(data) * 12))
    reported_or_trained(work, running.wait().check(0, 1), "reported")


def reported_or_trained(work: Operation, ended: Ended, reported: str) -> None:
    """A run on what was damaged or changed: a sound model, or none; reported: the outcome where it said what was."""
    work.outcome(reported if ended.code else "trained all the same")
    if ended.code == 0:
        require_sound(work.output)
    elif work.output.exists():
        raise BrokenError(f"there is an output of a run that failed: {ended}")
    require_clean(work.output)


def cut_text(work: Operation) -> None:
    """Compressed text that is cut off, or damaged: reported, and nothing is written."""
    suffix = work.random.choice(list(_PACK))
    whole = _PACK[suffix](work.place.small.read_bytes())
    text = work.folder / f"corpus.txt{suffix}"
    text.write_bytes(whole[: work.random.randrange(1, len(whole) - 12)])
    work.fault("compressed text cut off", suffix)
    work.run("train", text, "-o", work.output, "--quiet").check(1).says(text.name)
    require_clean_folder(work.folder, "out*")
    require_clean_folder(work.cache, "corpus-*")


def metrics(work: Operation) -> None:
    """The lines of a metrics file of a run that is killed are whole, but for the last one."""
    path = work.folder / "metrics.jsonl"
    running = work.start(*long_run(work, "ns"), "--metrics-jsonl", path)
    moment = work.random.uniform(1, 4)
    ended = running.stop_when(lambda passed: passed >= moment, signal.SIGKILL)
    if ended.sent is not None:
        work.fault("SIGKILL", "while metrics are written")
    lines = path.read_text("utf-8").splitlines()[:-1] if path.exists() else []
    for line in lines:
        if not isinstance(json.loads(line), dict):
            raise BrokenError(f"{path}: {line}")
