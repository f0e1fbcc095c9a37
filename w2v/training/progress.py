"""The progress bar of a training run."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from w2v.training.callbacks import TrainingCallback
from w2v.training.run import TrainingRun


class TrainingBar(TrainingCallback):
    """A tqdm bar on stderr over the words of all epochs: words/s, loss, learning rate, time left.

    The loss is the mean since the epoch began. Where several threads train, the words are what they have finished.
    """

    def __init__(self, epochs: int, shown: bool) -> None:
        """Not shown, it prints nothing at all."""
        self.epochs = epochs
        self._bar = tqdm(
            total=0,
            desc=f"epoch 1/{epochs}",
            unit="w",
            unit_scale=True,
            disable=not shown,
            dynamic_ncols=True,
            smoothing=0.1,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {rate_fmt}{postfix} [{elapsed}<{remaining}]",
        )
        self._shown_at = 0.0

    def on_train_begin(self, run: TrainingRun) -> None:
        """Cover the words of all epochs, without those of held-out sentences."""
        self._bar.total = run.tokens * self.epochs
        self._bar.n = self._bar.initial = run.totals.words  # of an earlier part of the run
        self._bar.last_print_n = self._bar.n

    def on_report(self, run: TrainingRun) -> None:
        """Show the sums so far of an epoch."""
        report = run.report
        now = time.monotonic()
        done = run.epoch * run.tokens + report.words
        if self._bar.disable or (now - self._shown_at < 0.1 and done < self._bar.total):
            return
        self._shown_at = now
        self._bar.set_description_str(f"epoch {run.epoch + 1}/{self.epochs}", refresh=False)
        self._bar.set_postfix_str(f"loss {report.mean_loss:.4f}, alpha {report.learning_rate:.5f}", refresh=False)
        self._bar.update(done - self._bar.n)

    def write(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.write(line, file=sys.stderr)

    def close(self) -> None:
        """End the line."""
        self._bar.close()
