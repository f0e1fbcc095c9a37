"""The epochs of a run: learning rate, pauses, soundness, callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from w2v.backends import Backend, EpochReport
from w2v.backends.base import Pauses
from w2v.config import TrainConfig
from w2v.errors import ConfigError, TrainingError
from w2v.training.callbacks import TrainingCallback
from w2v.training.clock import PhaseClock
from w2v.training.schedule import LinearDecay

if TYPE_CHECKING:
    from w2v.corpus import Vocabulary
    from w2v.vectors import KeyedVectors

# Positions are shares of an epoch: a point this close counts as reached.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class RunState:
    """How far a run is: epochs that are done, with their sums, and the sums and the position in the present one.

    With the parameters, the seed and the corpus that is all there is: learning rates are a function of the position,
    random numbers of the epoch and the position.
    """

    reports: tuple[EpochReport, ...] = ()
    report: EpochReport = field(default_factory=EpochReport)


class TrainingRun:
    """A run of ``config.epochs`` passes, and how far it is.

    tokens: words of an epoch before sub-sampling; epoch: the present one, 0 …; report: its sums so far; reports: the
    epochs that are done. first_epoch numbers the first pass for the random draws, so that training that goes on does
    not repeat them. heldout: gives the nats per pair of held-out sentences; None where there are none, or for ns.
    """

    def __init__(
        self,
        config: TrainConfig,
        backend: Backend,
        vocabulary: Vocabulary,
        tokens: int,
        *,
        clock: PhaseClock | None = None,
        callbacks: Sequence[TrainingCallback] = (),
        first_epoch: int = 0,
        heldout: Callable[[], float | None] = lambda: None,
        state: RunState | None = None,
    ) -> None:
        """Nothing is trained yet. state: of an earlier run, to go on from there; the backend has its parameters."""
        self.config = config
        self.vocabulary = vocabulary
        self.tokens = tokens
        self.clock = clock or PhaseClock()
        self.first_epoch = first_epoch
        state = state or RunState()
        self.epoch = len(state.reports)
        self.report = state.report
        self.reports: list[EpochReport] = list(state.reports)
        # What the first epoch to come begins with, where that is not the beginning.
        self._start = {"start": state.report} if state.report.position else {}
        self._size = 0
        self._heldout = heldout
        self._heldout_at: tuple[float, float | None] | None = None
        self._backend = backend
        self._callbacks = tuple(callbacks)
        for point in (point for callback in self._callbacks for point in callback.points):
            if not point > 0:
                raise ConfigError(f"a callback's point {point} is out of range: use numbers of epochs above 0")
        # Of each callback the points to come, the next one last.
        done = self.epochs_done + _ROUNDING if self.epochs_done else 0.0
        self._points = [
            sorted({point for point in callback.points if point > done}, reverse=True) for callback in self._callbacks
        ]

    def __repr__(self) -> str:
        """How far it is."""
        return f"<TrainingRun of {self.config.model} {self.config.objective}, {self.epochs_done:.2f} epochs done>"

    @property
    def device(self) -> str:
        """The device's name, for people."""
        return self._backend.device

    @property
    def epochs_done(self) -> float:
        """Epochs that have been trained, with the fraction of the present one."""
        return self.done_at(self.state())

    @property
    def totals(self) -> EpochReport:
        """The sums over the run so far."""
        parts = self.reports if len(self.reports) > self.epoch else [*self.reports, self.report]
        return EpochReport(
            sum(part.loss for part in parts),
            sum(part.pairs for part in parts),
            sum(part.kept_words for part in parts),
            sum(part.words for part in parts),
            self.report.learning_rate,
        )

    @property
    def train_seconds(self) -> float:
        """Wall-clock seconds of training alone, without what callbacks took."""
        return self.clock.seconds()["train"]

    def done_at(self, state: RunState) -> float:
        """Epochs that were done in a state of this run, with the fraction of the one that was going on."""
        return len(state.reports) + min(1.0, state.report.words / max(1, self.tokens))

    def state(self) -> RunState:
        """Where training can go on, while it stands still."""
        if len(self.reports) > self.epoch:
            return RunState(tuple(self.reports))
        return RunState(tuple(self.reports), replace(self.report))

    def parameters(self) -> dict[str, np.ndarray]:
        """The backend's, all of them, float32: copies, or views that go on changing with training."""
        return self._backend.parameters()

    def require_finite(self) -> None:
        """Raise TrainingError where a parameter is not finite, or so large that its square is not."""
        for name in self._backend.unsound_parameters():
            raise TrainingError(
                f"{name} stopped being finite in epoch {self.epoch + 1}: lower --alpha (no model was saved)"
            )

    def vectors(self) -> KeyedVectors:
        """A copy of the input vectors as they are, with words and counts; inside ``on_report`` they are in motion."""
        from w2v.vectors import KeyedVectors

        vectors = np.array(self._backend.parameters()["input_vectors"], np.float32)
        return KeyedVectors.from_arrays(self.vocabulary.words, vectors, self.vocabulary.counts)

    def heldout_nll(self) -> float | None:
        """Nats per pair of the held-out sentences, now; None where there are none, or for ns.

        Asked again before training has gone on, it answers what it found.
        """
        if self._heldout_at is None or self._heldout_at[0] != self.epochs_done:
            self._heldout_at = self.epochs_done, self._heldout()
        return self._heldout_at[1]

    def train(self, ids: np.ndarray) -> list[EpochReport]:
        """Train all epochs on ids, (N,) int32 with −1 after each sentence, and return a report each.

        Raises TrainingError where there is no pair to learn from, or where parameters stop being finite.
        """
        decay = LinearDecay(self.config.alpha, self.config.min_alpha, self.config.epochs)
        self._size = ids.size
        with self.clock.phase("train"):
            self._call("on_train_begin")
            for epoch in range(self.epoch, self.config.epochs):
                self.epoch = epoch
                self._train_epoch(ids, decay)
            self._call("on_train_end")
        return self.reports

    def _train_epoch(self, ids: np.ndarray, decay: LinearDecay) -> None:
        epoch = self.epoch
        start, self._start = self._start, {}
        if not start:
            self.report = EpochReport()
            self._call("on_epoch_begin")
        self.report = self._backend.train_epoch(
            ids,
            self.first_epoch + epoch,
            lambda fraction: decay(epoch, fraction),
            self._reported,
            Pauses(lambda share: self._is_due(epoch + share), self._paused),
            **start,
        )
        if self.report.pairs == 0:
            raise TrainingError(
                "no line of the corpus has two words to learn from: use longer lines, a lower --min-count, "
                "or --sample 0"
            )
        self.require_finite()
        self.reports.append(self.report)
        self._reach(epoch + 1)
        self._call("on_epoch_end")
        self._pause_for_those_due()

    def _call(self, event: str) -> None:
        """Tell every callback, while nothing trains."""
        with self.clock.phase("evaluate"):
            for callback in self._callbacks:
                getattr(callback, event)(self)

    def _reported(self, report: EpochReport) -> None:
        self.report = report
        for callback in self._callbacks:
            callback.on_report(self)

    def _paused(self, report: EpochReport) -> None:
        self.report = report
        # A backend may count words later than it passes them.
        if self._is_point(self.epoch + report.position / max(1, self._size)):
            self._reach(max(self.epochs_done, self._next_point))
        self._pause_for_those_due()

    def _is_due(self, done: float) -> bool:
        return self._is_point(done) or any(callback.due() for callback in self._callbacks)

    def _is_point(self, done: float) -> bool:
        return done >= self._next_point - _ROUNDING

    def _pause_for_those_due(self) -> None:
        for callback in self._callbacks:
            if callback.due():
                with self.clock.phase("evaluate"):
                    callback.on_pause(self)

    @property
    def _next_point(self) -> float:
        return min((points[-1] for points in self._points if points), default=float("inf"))

    def _reach(self, done: float) -> None:
        """Call those whose points are at or before ``done`` epochs."""
        with self.clock.phase("evaluate"):
            for callback, points in zip(self._callbacks, self._points, strict=True):
                if not points or points[-1] > done + _ROUNDING:
                    continue
                while points and points[-1] <= done + _ROUNDING:
                    points.pop()
                callback.on_point(self)
