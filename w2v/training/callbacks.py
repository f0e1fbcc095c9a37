"""What a caller may do while a model trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from w2v.training.run import TrainingRun


class TrainingCallback:
    """Is told how training goes; override what you need, the methods here do nothing.

    Every method gets the run, whose ``epochs_done`` says how far it is; ``report`` has the sums of the epoch (loss,
    pairs, words; ``mean_loss`` is per pair), ``totals`` those since the run began. Only ``on_report`` is called while
    training goes on; during the others it stands still, and the time that they take counts as evaluation. ``points``:
    numbers of epochs, such as 0.5, after which ``on_point`` is to be called: at the next place that suits the
    backend, once for all points that have been passed since. ``due`` asks for such a place without naming a point.
    """

    points: Sequence[float] = ()

    def due(self) -> bool:
        """Whether training is to stand still soon, for ``on_pause``; asked often, perhaps from several threads."""
        return False

    def on_train_begin(self, run: TrainingRun) -> None:
        """Before the first epoch; everything is compiled and uploaded. A run that goes on has epochs done."""

    def on_epoch_begin(self, run: TrainingRun) -> None:
        """Before each epoch; not where training goes on in the middle of one."""

    def on_report(self, run: TrainingRun) -> None:
        """Some times a second, and at the end of an epoch: ``run.report`` has the sums of the epoch so far."""

    def on_point(self, run: TrainingRun) -> None:
        """One of ``points`` has been reached: ``run.vectors()`` gives the vectors as they are."""

    def on_pause(self, run: TrainingRun) -> None:
        """It was ``due``: ``run.state()`` is where training can go on."""

    def on_epoch_end(self, run: TrainingRun) -> None:
        """After each epoch, of which ``run.report`` has the sums; the parameters are finite."""

    def on_train_end(self, run: TrainingRun) -> None:
        """After the last epoch."""
