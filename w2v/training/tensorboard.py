"""How a run goes, as event files for TensorBoard."""

from __future__ import annotations

import os
from pathlib import Path

from w2v.atomic import check_parent
from w2v.errors import OutputError, require
from w2v.training.callbacks import TrainingCallback
from w2v.training.metrics import INTERVAL, Intervals
from w2v.training.run import TrainingRun

_SCALARS = ("loss", "learning_rate", "words_per_second")


class TensorBoardLog(TrainingCallback):
    """Writes loss, learning rate and words/s per report, and the loss of each epoch, over the words trained.

    folder: where the event files go; ``tensorboard --logdir`` shows it. Needs the extra ``tensorboard``.
    """

    def __init__(self, folder: str | os.PathLike, seconds: float = INTERVAL) -> None:
        """Raise MissingExtraError without TensorBoard, OutputError where ``folder`` cannot be written."""
        self._summary = require("tensorboard.summary", "tensorboard", "--tensorboard")
        self._folder = Path(folder)
        self._intervals = Intervals(seconds)
        self._writer = None
        if self._folder.exists() and not self._folder.is_dir():
            raise OutputError(f"{folder} is no folder: give one for the event files")
        if self._folder.is_dir() and not os.access(self._folder, os.W_OK | os.X_OK):
            raise OutputError(f"cannot write into {folder}: no permission")
        check_parent(folder)

    def on_train_begin(self, run: TrainingRun) -> None:
        """Open the event file."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._writer = self._summary.Writer(str(self._folder))
        self._intervals.begin(run)

    def on_report(self, run: TrainingRun) -> None:
        """A point of each curve, where the interval is over."""
        self._add(self._intervals.figures(run))

    def on_epoch_end(self, run: TrainingRun) -> None:
        """What the last interval left, and the epoch."""
        self._add(self._intervals.figures(run, whatever=True))
        self._writer.add_scalar("epoch/loss", run.report.mean_loss, step=run.epoch + 1)
        self._writer.flush()

    def on_train_end(self, run: TrainingRun) -> None:
        """Close the event file."""
        self.close()

    def close(self) -> None:
        """Close the event file; training that failed leaves the points that it had."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _add(self, figures: dict[str, float | int | None] | None) -> None:
        for name in _SCALARS if figures else ():
            if figures[name] is not None:
                self._writer.add_scalar(f"train/{name}", figures[name], step=figures["words"])
