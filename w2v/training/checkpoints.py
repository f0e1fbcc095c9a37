"""When a run is saved, and where the next one takes it up."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from w2v import __version__
from w2v.atomic import clear_leftovers
from w2v.config import TrainConfig
from w2v.errors import ConfigError, OutputError, TrainingError, W2VError
from w2v.training.callbacks import TrainingCallback
from w2v.training.checkpoint import Checkpoint, CheckpointFolder
from w2v.training.run import RunState, TrainingRun
from w2v.training.same_run import corpus_facts, different_corpora, different_options

if TYPE_CHECKING:
    from w2v.corpus import EncodedCorpus

#: Minutes between two checkpoints, unless asked for otherwise.
MINUTES = 10.0


class Interruptions(Protocol):
    """Holds back what would interrupt training (Ctrl-C, SIGTERM), so that a checkpoint can be saved first."""

    def hold(self) -> None:
        """From now on the first interruption is only noted."""

    def release(self) -> None:
        """From now on interruptions interrupt again."""

    @property
    def noted(self) -> bool:
        """Whether there was one."""

    def exception(self, message: str) -> BaseException:
        """What the one that was noted would have raised, with a message for people."""


def checkpoint_path(output: str | os.PathLike) -> Path:
    """Where the checkpoints of an output are."""
    path = Path(output)
    if path.name in ("", ".."):  # the present folder, or the one above
        path = path.resolve()
    return path.with_name(f"{path.name}.checkpoint")


class Checkpoints(TrainingCallback):
    """Saves a run every ``minutes`` and when it is interrupted, beside its output, so that it can go on from there.

    They are in ``OUT.checkpoint`` (see ``checkpoint.py``), and go when the output is written. A checkpoint that
    cannot be written ends no training: it is reported, and tried again. Use it as a context: it holds the folder's
    lock.
    """

    def __init__(
        self,
        output: str | os.PathLike,
        minutes: float = MINUTES,
        *,
        resume: bool = False,
        interruptions: Interruptions | None = None,
        say: Callable[[str], None] = lambda message: None,
        warn: Callable[[str], None] = warnings.warn,
    ) -> None:
        """resume: go on from the checkpoint that is there. say: gets lines for people; warn: what went wrong.

        Raises ConfigError.
        """
        if not minutes > 0:
            raise ConfigError(f"--checkpoint-minutes {minutes:g} is out of range: use a number above 0")
        self._say, self._warn = say, warn
        self.found: Checkpoint | None = None
        self._output = output
        self._folder = CheckpointFolder(checkpoint_path(output))
        self._seconds, self._resume = 60.0 * minutes, resume
        self._interruptions = interruptions
        self._due_at = float("inf")
        self._asked: TrainConfig | None = None
        self._corpus: dict[str, object] = {}
        self._run: TrainingRun | None = None
        self._saved: RunState | None = None
        self._open = self._trained_all = self._told = False
        self._trained: Mapping[str, np.ndarray] | None = None

    def __enter__(self) -> Checkpoints:
        """Take the lock, look for a checkpoint, and clear away what a run that was killed left beside the output.

        Raises OutputError where another run has the lock, or where a checkpoint is there and was not to be resumed.
        """
        self._folder.open()
        try:
            clear_leftovers(self._output)
            self.found = self._look()
        except BaseException:
            self._folder.close()
            raise
        self._open = True
        return self

    @property
    def begun_before(self) -> bool:
        """Whether a run to the output began earlier and did not end, even where it left no checkpoint."""
        return self._folder.left

    def _look(self) -> Checkpoint | None:
        if self._resume:
            return self._folder.latest()
        if self._folder.holds_checkpoint():
            raise OutputError(
                f"{self._folder.path} is the checkpoint of a run that did not end: go on with --resume, or remove it "
                "to train from the beginning"
            )
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Give the lock back. What failed after training cost no training: a checkpoint of its end is saved first."""
        self._release()
        try:
            if error is not None:
                self._tell_what_is_left(error)
        finally:
            self._folder.close()
            self._open = False

    def require_same_options(self, asked: TrainConfig) -> None:
        """Raise TrainingError, naming what differs, where the checkpoint is of a run with other options."""
        if self.found is not None:
            self._refuse(different_options(self.found.asked, asked))

    def begin(self, asked: TrainConfig, corpus: EncodedCorpus) -> Checkpoint | None:
        """What to go on from, or None; a run of ``asked`` on ``corpus`` is about to begin.

        Raises TrainingError, naming what differs, where the checkpoint is of another one: of the options too, for
        those who have not called ``require_same_options``.
        """
        if not self._open:
            raise RuntimeError("checkpoints are used as a context: with Checkpoints(…) as checkpoints: …")
        self._asked, self._corpus = asked, corpus_facts(corpus)
        if self.found is None:
            if self._resume:
                self._say(f"no checkpoint in {self._folder.path} yet: training from the beginning")
            return None
        self._refuse(
            [*different_options(self.found.asked, asked), *different_corpora(self.found.corpus, self._corpus)]
        )
        return self.found

    def _refuse(self, differences: list[str]) -> None:
        if differences:
            raise TrainingError(
                f"{self._folder.path} is the checkpoint of another run: {', '.join(differences)}: give the same "
                "again, or remove the checkpoint to train from the beginning"
            )

    def due(self) -> bool:
        """Whether it is time, or the run was interrupted."""
        return time.monotonic() >= self._due_at or self._interrupted

    @property
    def _interrupted(self) -> bool:
        return self._interruptions is not None and self._interruptions.noted

    def on_train_begin(self, run: TrainingRun) -> None:
        """Interruptions wait for a checkpoint from now on."""
        self._run = run
        if self.found is not None:
            self._saved = run.state()
            self._say(
                f"resumed from {self._folder.path}: {run.epochs_done:.2f} of {run.config.epochs} epochs are done"
            )
        if self.found is not None and self.found.version != __version__:
            self._say(f"w2v {self.found.version} trained them, and this is {__version__}: results may differ")
        self._due_at = time.monotonic() + self._seconds
        if self._interruptions is not None:
            self._interruptions.hold()

    def on_pause(self, run: TrainingRun) -> None:
        """Save; then the interruption goes on, if there was one."""
        try:
            self._save(run)
        except OutputError as error:
            if self._interrupted:
                raise self._interruptions.exception(f"{error}; {self._what_is_left()}") from error
            self._warn(f"{error}: training goes on, and the next one is tried in {self._seconds / 60:g} minutes")
        if self._interrupted:
            raise self._interruptions.exception(self._what_is_left())
        self._due_at = time.monotonic() + self._seconds

    def on_train_end(self, run: TrainingRun) -> None:
        """Interruptions need not wait any more; one that came too late for a pause is not lost."""
        self._trained_all = True
        self._release()
        if self._interrupted:
            self.on_pause(run)

    def _release(self) -> None:
        if self._interruptions is not None:
            self._interruptions.release()

    def _save(self, run: TrainingRun) -> None:
        """Raises OutputError; and TrainingError where the parameters are not finite, which are not saved."""
        with run.clock.phase("save"):
            if self._trained is None:
                run.require_finite()
            state, seconds = run.state(), run.clock.seconds()
            parameters = run.parameters() if self._trained is None else self._trained
            self._folder.write(self._asked, run.config, self._corpus, state, seconds, parameters)
        self._saved = state

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Around what a run's backend lives in: what fails there after training comes after its end was saved."""
        try:
            yield
        except BaseException as error:
            self._tell_what_is_left(error)
            raise

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """What takes but a moment is finished first; a second interruption does not wait."""
        if self._interruptions is None:
            yield
            return
        self._interruptions.hold()
        try:
            yield
        finally:
            self._interruptions.release()

    def trained(self, parameters: Mapping[str, np.ndarray]) -> None:
        """What the run has come to, sound and on the host: from now on the run itself may be gone."""
        self._trained = parameters

    def _tell_what_is_left(self, error: BaseException) -> None:
        """Save the end of training, if it has come to that and is not saved; an interruption tells of it itself."""
        if self._told or self._run is None:
            return
        self._told = True
        interrupted = isinstance(error, KeyboardInterrupt)
        if not self._trained_all:
            if interrupted and not error.args:
                error.args = (self._what_is_left(),)
            return
        try:
            if self._saved != self._run.state():
                self._save(self._run)
            left = self._what_is_left()
        except W2VError as failure:
            left = f"{failure}; {self._what_is_left()}"
        if interrupted:
            error.args = (left,)
        else:
            self._warn(left)

    def _what_is_left(self) -> str:
        if self._saved is None:
            return "there is no checkpoint"
        done, epochs = self._run.done_at(self._saved), self._run.config.epochs
        return f"the checkpoint in {self._folder.path} has {done:.2f} of {epochs} epochs: go on with --resume"

    def remove(self) -> None:
        """The output is written: nothing is left to resume."""
        self._folder.remove()
