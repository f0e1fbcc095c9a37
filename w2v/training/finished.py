"""Whether an output is that of a run that ended: then there is nothing to resume."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from w2v.config import TrainConfig
from w2v.errors import FormatError, TrainingError
from w2v.training.same_run import corpus_facts, different_corpora, different_options
from w2v.vectors.files import is_vector_file
from w2v.vectors.folder import read_config

if TYPE_CHECKING:
    from w2v.corpus import EncodedCorpus


def finished_run(output: str | os.PathLike, asked: TrainConfig) -> FinishedRun | None:
    """What is at ``output``; None where nothing is. Raises TrainingError where it is of other options."""
    path = Path(output)
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return None
    return FinishedRun(output, asked)


class FinishedRun:
    """What is at an output already. A file of vectors alone does not tell which run wrote it."""

    def __init__(self, output: str | os.PathLike, asked: TrainConfig) -> None:
        """Raise TrainingError, naming what differs, where a model is there that other options made.

        FormatError where its configuration is damaged.
        """
        self.output = output
        self._corpus: Mapping[str, object] | None = None
        if is_vector_file(Path(output)):
            return
        config = read_config(output)
        if "asked" not in config:
            raise TrainingError(
                f"{output} is a finished model that does not tell which options made it: leave out --resume to "
                "replace it"
            )
        try:
            before, self._corpus = TrainConfig.from_dict(dict(config["asked"])), dict(config["corpus"])
        except (ValueError, TypeError, KeyError) as error:
            raise FormatError(f"{output}: its config.json is damaged: leave out --resume to replace it") from error
        self._refuse(different_options(before, asked))

    def __str__(self) -> str:
        """What to tell of it, as there is nothing to resume."""
        if self._corpus is None:
            return (
                f"{self.output} is there, and no run to it was left unfinished: there is nothing to resume (vectors "
                "alone do not tell which run wrote them)"
            )
        return f"{self.output} is finished: there is nothing to resume"

    def require_same_corpus(self, corpus: EncodedCorpus) -> None:
        """Raise TrainingError, naming what differs, where another corpus made the model."""
        if self._corpus is not None:
            self._refuse(different_corpora(self._corpus, corpus_facts(corpus)))

    def _refuse(self, differences: list[str]) -> None:
        if differences:
            raise TrainingError(
                f"{self.output} is a finished model of another run: {', '.join(differences)}: leave out --resume to "
                "replace it"
            )
