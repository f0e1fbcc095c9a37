"""A run of this project's trainer within a comparison."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import click

from w2v.comparison.hashes import sha256_of_array, sha256_of_draw
from w2v.comparison.plan import RunSpec
from w2v.comparison.scores import Scorer
from w2v.comparison.words import epochs_text
from w2v.corpus import EncodedCorpus
from w2v.errors import DeviceError
from w2v.training import PhaseClock, TrainingCallback, TrainingRun, train
from w2v.training.progress import TrainingBar


def run(spec: RunSpec, corpus: EncodedCorpus, scorer: Scorer) -> dict[str, Any]:
    """Train as ``spec`` says and give its part of the record (see ``plan.py``)."""
    bar = RunBar(spec.label, spec.config.epochs, sys.stderr.isatty())
    notes = Notes(spec.case, bar.write)
    points = Points(spec.points, scorer, notes.say)
    try:
        model = train(spec.config, corpus, clock=PhaseClock(), callbacks=[bar, points], say=notes.say)
    finally:
        bar.close()
    training = model.training
    return {
        "config": model.config.to_dict(),
        "initial_sha256": points.initial_sha256,
        "vectors_sha256": sha256_of_array(model.input_vectors),
        "device": training["device"],
        "threads": model.config.threads,
        "seconds": training["seconds"],
        "words": points.words,
        "kept_words": training["kept_words"],
        "pairs": training["pairs"],
        "peak_device_bytes": training["device_memory_bytes"],
        "loss": training["loss"],
        "heldout_nll": training["heldout_nll"],
        "heldout_unigram_nll": training["heldout_unigram_nll"],
        "points": points.found,
        "notes": notes.lines,
        "versions": {},
    }


@dataclass
class Notes:
    """Lines about how a run goes, said and kept. case: named in front of each; write: says a line."""

    case: str
    write: Callable[[str], None] = partial(click.echo, err=True)
    lines: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """Say and keep a line."""
        self.lines.append(f"{self.case}: {line}")
        self.write(self.lines[-1])


class Points(TrainingCallback):
    """Scores the vectors at the points of a run, which stands still meanwhile.

    found: the entries of "points"; initial_sha256: of the initial draw; words: of the whole run, once it is over.
    """

    def __init__(self, points: tuple[float, ...], scorer: Scorer, say: Callable[[str], None]) -> None:
        """points: numbers of epochs."""
        self.points = points
        self.found: list[dict[str, object]] = []
        self.initial_sha256: str | None = None
        self.words = 0
        self._scorer, self._say = scorer, say

    def on_train_begin(self, run: TrainingRun) -> None:
        """Hash what the objective begins with."""
        self.initial_sha256 = sha256_of_draw(run.vectors().vectors)

    def on_point(self, run: TrainingRun) -> None:
        """Score."""
        self.found.append(
            {
                "epochs": run.epochs_done,
                "words": run.totals.words,
                "seconds": run.train_seconds,
                "scores": self._scorer(run.vectors()),
                "heldout_nll": self._heldout(run),
            }
        )

    def on_train_end(self, run: TrainingRun) -> None:
        """Count the words."""
        self.words = run.totals.words

    def _heldout(self, run: TrainingRun) -> float | None:
        try:
            return run.heldout_nll()
        except DeviceError as error:  # the run is worth going on with
            self._say(f"the held-out sentences were not evaluated after {epochs_text(run.epochs_done)}: {error}")
            return None


class RunBar(TrainingBar):
    """The bar of training, with the run's place in the comparison in front, gone when the run is over."""

    def __init__(self, label: str, epochs: int, shown: bool) -> None:
        """Not shown, it prints nothing at all."""
        super().__init__(epochs, shown)
        self._bar.leave = False
        if shown:
            self._bar.bar_format = f"{label}, {self._bar.bar_format}"

    def write(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.write(line, file=sys.stderr)
