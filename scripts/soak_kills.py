"""Runs that are killed at any moment and resumed until they end: what they leave must be what one run leaves."""

import fnmatch
import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from soak_checks import (
    SCORE_BAND,
    leftovers,
    nearest_cosine,
    require_clean,
    require_clean_folder,
    require_like_model,
    require_same_model,
    require_sound,
    training,
)
from soak_commands import STOPPED, BrokenError, Ended
from soak_place import Operation, Workplace

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# Where a run is met that is to be killed, and how often.
_AIMS = {"any moment": 5, "a checkpoint being written": 3, "the model being written": 2, "the text being encoded": 1}
# Epochs of the run that tells how long an epoch takes.
_TRIAL_EPOCHS = 3
_MOST_EPOCHS = 400


@dataclass
class Reference:
    """A run that nobody interrupted: its options, its folder, and how long it took."""

    options: list[str]
    model: Path
    seconds: float


def make_reference(place: Workplace, objective: str, model: str, threads: int) -> None:
    """The uninterrupted run of one kind on the text, in the soak's folder, unless it is there."""
    if (place.folder, objective, model, threads) not in _REFERENCES:
        folder = place.folder / f"reference-{objective}-{model}-{threads}"
        place.operate("reference", place.next_number("reference"), lambda work: _train(work, folder))


def reference(place: Workplace, objective: str, model: str, threads: int) -> Reference:
    """What ``make_reference`` made; BrokenError where it failed."""
    found = _REFERENCES.get((place.folder, objective, model, threads))
    if found is None:
        raise BrokenError(f"there is no reference run of {objective} {model} with {threads} threads")
    return found


_REFERENCES: dict[tuple[Path, str, str, int], Reference] = {}


def _train(work: Operation, folder: Path) -> None:
    _, objective, model, threads = folder.name.split("-")
    options = kill_options(objective, model, int(threads), len(_REFERENCES))
    trial = work.folder / "trial"
    work.run("train", work.place.text, "-o", trial, *options, "--epochs", _TRIAL_EPOCHS).check(0)
    an_epoch = training(trial)["seconds"]["train"] / _TRIAL_EPOCHS
    epochs = min(_MOST_EPOCHS, max(2, math.ceil(work.place.settings.run_seconds / max(an_epoch, 1e-3))))
    options += ["--epochs", str(epochs)]
    ended = work.run("train", work.place.text, "-o", folder, *options).check(0)
    require_sound(folder)
    require_clean(folder)
    found = f"{epochs} epochs in {ended.seconds:.1f} s, neighbours at {nearest_cosine(folder):.3f}"
    work.details.append(f"{objective} {model} {threads}: {found}")
    _REFERENCES[work.place.folder, objective, model, int(threads)] = Reference(options, folder, ended.seconds)


def kill_options(objective: str, model: str, threads: int, number: int) -> list[str]:
    """The options of the runs of one kind, but for the epochs."""
    heldout = [] if objective == "ns" else ["--heldout", "0.05"]
    return [
        *("--objective", objective, "--model", model, "--threads", str(threads), *heldout),
        *("--vector-size", str((32, 33, 50)[number % 3]), "--seed", str(number + 1), "--min-count", "3"),
    ]  # fmt: skip


def kill_round(work: Operation, objective: str, model: str, threads: int, most: int) -> None:
    """Kill the run of one kind up to ``most`` times, resume it until it ends, and compare it with the reference."""
    expected = reference(work.place, objective, model, threads)
    arguments = ["train", work.place.text, "-o", work.output, *expected.options]
    killed_until_done(work, arguments, expected.seconds, most)
    if threads == 1:
        require_same_model(expected.model, work.output)
    else:
        require_like_model(expected.model, work.output)
        if work.place.settings.pairs is not None:
            _require_like_scores(work, expected.model)


def killed_until_done(work: Operation, arguments: list, seconds: float, most: int) -> None:
    """Start, kill, resume … until the run, which takes ``seconds``, ends; then nothing but its output may be left."""
    resume = []
    for _ in range(most):
        number = work.random.choice(SIGNALS)
        aim = work.random.choices(list(_AIMS), list(_AIMS.values()))[0]
        if aim == "the text being encoded":
            shutil.rmtree(work.cache, ignore_errors=True)
        minutes = f"{work.random.uniform(0.005, 0.06):.3f}"
        before = leftovers(work.output, finished=False)
        running = work.start(*arguments, "--checkpoint-minutes", minutes, *resume)
        ended = running.stop_when(_moment(work, aim, seconds), number)
        resume = ["--resume"]
        if ended.sent is None:
            ended.check(0)
            work.outcome("ended before the kill")
            break
        work.fault(number.name, f"{aim} after {ended.seconds:.2f} s: exit {ended.code}")
        check_stopped(work, ended, before)
    ended = work.run(*arguments, *resume).check(0)
    work.outcome(_how(ended))
    require_clean(work.output)
    require_clean_folder(work.cache, "building-*")
    if work.output.is_dir():
        require_sound(work.output)


def _moment(work: Operation, aim: str, seconds: float) -> Callable[[float], bool]:
    """Whether now is the time to kill, of the seconds since the start."""
    chosen, later = work.random.uniform(0, seconds), work.random.uniform(0, 0.02)
    output = work.output
    seen: list[float] = []
    places = {
        "a checkpoint being written": (output.with_name(f"{output.name}.checkpoint"), ".*.tmp"),
        "the model being written": (output.parent, f".{output.name}.tmp-*"),
        "the text being encoded": (work.cache, "building-*"),
    }

    begun = time.time()

    def now(passed: float) -> bool:
        if aim not in places:
            return passed >= chosen
        folder, pattern = places[aim]
        if not seen and is_there(folder, pattern, begun):
            seen.append(passed)
        return bool(seen) and passed >= seen[0] + later

    return now


def is_there(folder: Path, pattern: str, since: float = 0.0) -> bool:
    """Whether a folder, which others change meanwhile, holds a name that matches, and that changed since then.

    What an earlier kill left was there before.
    """
    try:
        return any((folder / name).stat().st_mtime >= since for name in fnmatch.filter(os.listdir(folder), pattern))
    except OSError:
        return False


def check_stopped(work: Operation, ended: Ended, before: Sequence[str] = ()) -> None:
    """BrokenError unless a run that got a signal ended as it should, and left what it should.

    before: what was left behind before it began, which it may have been too early to clear away.
    """
    if ended.early:
        work.outcome("stopped before the command began")
        return
    if ended.late or ended.code == 0:
        if ended.code != -ended.sent:
            ended.check(0, STOPPED[ended.sent])
        work.outcome("ended all the same")
        return
    # Python ends by SIGINT itself where that met an exec; a shell tells both as 130.
    ended.check(STOPPED[ended.sent], -ended.sent)
    checkpoints = work.output.with_name(f"{work.output.name}.checkpoint")
    whole = [path for path in checkpoints.glob("*") if path.name.isdigit()]
    work.outcome("stopped with a checkpoint" if whole else "stopped without a checkpoint")
    if ended.sent == signal.SIGKILL:
        return
    ended.says("w2v: interrupted")
    if "the checkpoint in" in ended.stderr and len(whole) != 1:
        raise BrokenError(f"{checkpoints} holds {len(whole)} checkpoints: {ended}")
    require_clean(work.output, finished=False, known=before)
    work.require_no_temporary()


def _how(ended: Ended) -> str:
    for words in ("resumed from", "training from the beginning", "there is nothing to resume"):
        if words in ended.stderr:
            return words
    return "never killed"


def _require_like_scores(work: Operation, expected: Path) -> None:
    from benchmark import score

    from w2v.vectors import load_vectors

    pairs = work.place.settings.pairs
    before, after = (score(load_vectors(path), [pairs], [])[pairs.stem][0] for path in (expected, work.output))
    if not abs(before - after) <= SCORE_BAND:
        raise BrokenError(f"{work.output} has {after:.1f} in {pairs.name}, {expected} has {before:.1f}")


def kill_loop(place: Workplace, kinds: list[tuple[str, str]], kills: int) -> None:
    """Rounds of every kind in turn, with one thread and then with two, until there were that many kills."""
    turns = [(objective, model, threads) for threads in (1, 2) for objective, model in kinds]
    most = max(1, math.ceil(kills / len(turns)))
    before = signals(place)
    # Should runs end before they are met, or fail, there is an end all the same.
    for number in range(kills + 2 * len(turns)):
        if signals(place) >= before + kills:
            return
        objective, model, threads = turns[number % len(turns)]
        name = f"kill-{'one-thread' if threads == 1 else 'two-threads'}"
        kind = (objective, model, threads, most)
        make_reference(place, objective, model, threads)
        place.operate(name, number, lambda work, kind=kind: kill_round(work, *kind))
    if signals(place) < before + kills:
        place.operate("kills", 0, lambda work: _too_few(signals(place) - before, kills))


def _too_few(found: int, wanted: int) -> None:
    raise BrokenError(f"{found} runs were killed, and {wanted} were to be")


def signals(place: Workplace) -> int:
    """How many runs were killed so far."""
    return sum(place.ledger.faults[number.name] for number in SIGNALS)
