"""How a run goes, as JSON lines for programs."""

from __future__ import annotations

import json
import math
import os
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from io import TextIOWrapper
from pathlib import Path

from w2v.atomic import check_parent
from w2v.backends import EpochReport
from w2v.errors import OutputError
from w2v.training.callbacks import TrainingCallback
from w2v.training.run import TrainingRun

#: Seconds between two reports, unless asked for otherwise.
INTERVAL = 1.0


class Intervals:
    """Cuts a run into intervals of at least ``seconds`` and gives the figures of each."""

    def __init__(self, seconds: float) -> None:
        """Nothing has been seen yet."""
        self._seconds = seconds
        self._shown_at = self._trained = 0.0
        self._before = EpochReport()

    def begin(self, run: TrainingRun) -> None:
        """The run begins, or goes on, now."""
        self._shown_at, self._trained, self._before = time.monotonic(), run.train_seconds, run.totals

    def figures(self, run: TrainingRun, whatever: bool = False) -> dict[str, float | int | None] | None:
        """The figures since the last ones; None where it is too early (unless ``whatever``) or nothing was done."""
        now = time.monotonic()
        if not whatever and now - self._shown_at < self._seconds:
            return None
        totals, trained = run.totals, run.train_seconds
        words, pairs = totals.words - self._before.words, totals.pairs - self._before.pairs
        if words <= 0:
            return None
        loss = (totals.loss - self._before.loss) / pairs if pairs else None
        speed = words / max(trained - self._trained, 1e-9)
        self._shown_at, self._trained, self._before = now, trained, totals
        return {
            "epochs": run.epochs_done,
            "seconds": trained,
            "words": totals.words,
            "kept_words": totals.kept_words,
            "pairs": totals.pairs,
            "loss": loss if loss is None or math.isfinite(loss) else None,
            "learning_rate": totals.learning_rate,
            "words_per_second": speed,
        }


class MetricsFile(TrainingCallback):
    """Writes one JSON object per line: ``begin``, then a ``report`` per interval, an ``epoch`` each, and ``end``.

    A report has epochs (how many are done, with the fraction), seconds (of training), words, kept_words, pairs (all
    since the run began), loss (nats per pair since the report before), learning_rate and words_per_second (since the
    report before). An epoch has its mean loss; the held-out likelihood is in ``training.json``. Lines are whole as
    soon as they are there, so that the file can be followed. An older file is replaced when training begins; a run
    that goes on from a checkpoint adds to it: a line ``resume`` says from how many epochs, and what lines before it
    say of later ones was done again.
    """

    def __init__(
        self, path: str | os.PathLike, seconds: float = INTERVAL, say: Callable[[str], None] = warnings.warn
    ) -> None:
        """Raise OutputError where ``path`` cannot be written; it is not yet.

        say: gets a line where writing fails later.
        """
        self._path = Path(path)
        self._say = say
        self._intervals = Intervals(seconds)
        self._file: TextIOWrapper | None = None
        if self._path.is_dir():
            raise OutputError(f"{path} is a folder: give a file name for the metrics")
        if str(path) == "-":
            raise OutputError("metrics go to a file: give its name, or /dev/stdout")
        check_parent(path, make_parents=False)
        if self._path.exists() and not os.access(self._path, os.W_OK):
            raise OutputError(f"cannot write {path}: no permission to change it")

    def on_train_begin(self, run: TrainingRun) -> None:
        """Open the file."""
        resumed = run.epochs_done > 0
        try:
            self._file = open(self._path, "a" if resumed else "w", encoding="utf-8")  # noqa: SIM115 (open for the run)
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror or error}") from error
        self._intervals.begin(run)
        begin = {"device": run.device, "tokens": run.tokens, "config": run.config.to_dict()}
        self._write(*(("resume", {"epochs": run.epochs_done, **begin}) if resumed else ("begin", begin)))

    def on_report(self, run: TrainingRun) -> None:
        """A line, where the interval is over."""
        if (figures := self._intervals.figures(run)) is not None:
            self._write("report", figures)

    def on_epoch_end(self, run: TrainingRun) -> None:
        """What the last interval left, and the epoch."""
        if (figures := self._intervals.figures(run, whatever=True)) is not None:
            self._write("report", figures)
        report = run.report
        self._write("epoch", {"epoch": run.epoch + 1, "loss": report.mean_loss, "seconds": run.train_seconds})

    def on_train_end(self, run: TrainingRun) -> None:
        """The last line."""
        totals = run.totals
        speed = totals.words / max(run.train_seconds, 1e-9)
        self._write("end", {"seconds": run.train_seconds, "words": totals.words, "words_per_second": speed})
        self.close()

    def close(self) -> None:
        """Close the file; training that failed leaves the lines that it had."""
        if self._file is not None:
            file, self._file = self._file, None
            with suppress(OSError):  # of what could not be written, as was said
                file.close()

    def _write(self, event: str, values: dict[str, object]) -> None:
        """A line. A model is worth more than its log: where this fails, training goes on without."""
        if self._file is None:
            return
        line = {"event": event, "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"), **values}
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            self._say(f"cannot write {self._path}: {error.strerror or error}: training goes on without metrics")
            self.close()
