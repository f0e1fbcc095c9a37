"""Callbacks in gensim's style, which get the model: ``on_epoch_end(model)`` and so on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from w2v.training.callbacks import TrainingCallback
from w2v.training.run import TrainingRun

if TYPE_CHECKING:
    from w2v.word2vec import Word2Vec


EVENTS = ("on_train_begin", "on_epoch_begin", "on_report", "on_epoch_end", "on_train_end")


def split_callbacks(callbacks: Iterable[object]) -> tuple[list[object], list[TrainingCallback]]:
    """The callbacks in gensim's style, and those of runs.

    Raises TypeError where one is neither, and so would never be called, or is a class in place of an object.
    """
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks is a list of them, not {callbacks!r}")
    of_models, of_runs = [], []
    for callback in callbacks:
        if isinstance(callback, type):
            raise TypeError(f"{callback.__name__} is a class: give callbacks=[{callback.__name__}()]")
        if isinstance(callback, TrainingCallback):
            of_runs.append(callback)
        elif any(callable(getattr(callback, event, None)) for event in EVENTS):
            of_models.append(callback)
        else:
            raise TypeError(f"{callback!r} is no callback: it has none of {', '.join(EVENTS)}")
    return of_models, of_runs


class ModelCallbacks(TrainingCallback):
    """Calls what each of ``callbacks`` has of gensim's methods, with the model as it is by then.

    Of gensim: ``on_train_begin``, ``on_epoch_begin``, ``on_epoch_end`` and ``on_train_end``, of a model. And
    ``on_report(model, run)``, some times a second, when the model still has the parameters of the last epoch's end.
    """

    def __init__(
        self, model: Word2Vec, callbacks: Sequence[object], bring_up_to_date: Callable[[TrainingRun], None]
    ) -> None:
        """bring_up_to_date: copies the run's parameters and sums into the model."""
        self._model, self._callbacks, self._bring_up_to_date = model, callbacks, bring_up_to_date

    def on_train_begin(self, run: TrainingRun) -> None:
        """The model is as it was."""
        self._call("on_train_begin")

    def on_epoch_begin(self, run: TrainingRun) -> None:
        """The model has the parameters of the end of the epoch before."""
        self._call("on_epoch_begin")

    def on_report(self, run: TrainingRun) -> None:
        """The run goes on meanwhile."""
        self._call("on_report", run)

    def on_epoch_end(self, run: TrainingRun) -> None:
        """The model has the parameters of now."""
        if self._callbacks:
            self._bring_up_to_date(run)
        self._call("on_epoch_end")

    def on_train_end(self, run: TrainingRun) -> None:
        """The model has everything."""
        self._bring_up_to_date(run)
        self._call("on_train_end")

    def _call(self, event: str, *arguments: object) -> None:
        for callback in self._callbacks:
            if hasattr(callback, event):
                getattr(callback, event)(self._model, *arguments)
