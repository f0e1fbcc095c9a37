"""One training run: objective, backend, epochs, and what they leave behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from w2v import __version__
from w2v.backends import Backend, EpochReport, choose_device, make_backend
from w2v.config import TrainConfig
from w2v.cores import available_cores
from w2v.corpus.heldout import compile_split, split_heldout
from w2v.errors import DeviceError, TrainingError
from w2v.objectives import CorpusShape, make_objective, resolve_for_corpus
from w2v.objectives.heldout_pairs import target_counts, unigram_nll
from w2v.training.clock import PhaseClock, peak_memory_bytes
from w2v.training.schedule import LinearDecay

if TYPE_CHECKING:
    from w2v.corpus import EncodedCorpus

#: Called now and then in training: the epoch (0 …) and its sums so far.
ProgressHook = Callable[[int, EpochReport], None]
#: Called after each epoch: the epoch (0 …) and its sums.
EpochHook = Callable[[int, EpochReport], None]


@dataclass
class TrainedModel:
    """What a run leaves: resolved configuration, vocabulary, parameters and the training record.

    input_vectors: (V, D) float32; output_parameters: the objective's arrays by name; training: the contents of
    ``training.json`` but for the seconds of saving.
    """

    config: TrainConfig
    words: list[str]
    counts: np.ndarray
    input_vectors: np.ndarray
    output_parameters: dict[str, np.ndarray]
    training: dict[str, Any]
    clock: PhaseClock = field(repr=False)

    def config_record(self) -> dict[str, Any]:
        """The contents of ``config.json``."""
        import numba

        return {
            **self.config.to_dict(),
            "w2v_version": __version__,
            "numpy_version": np.__version__,
            "numba_version": numba.__version__,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "trained_on": self.training["device"],
            "corpus": self.training["corpus"],
        }

    def save(self, path: str | os.PathLike) -> None:
        """Write a model folder, or vectors alone where the suffix says so; replaces an older model whole."""
        from w2v.vectors import KeyedVectors, save_vectors
        from w2v.vectors.files import is_vector_file
        from w2v.vectors.folder import save_model_folder

        with self.clock.phase("save"):
            if is_vector_file(Path(path)):
                save_vectors(path, KeyedVectors.from_arrays(self.words, self.input_vectors, self.counts))
                return
            save_model_folder(
                path,
                config=self.config_record(),
                words=self.words,
                counts=self.counts,
                input_vectors=self.input_vectors,
                output_parameters=self.output_parameters,
                # Asked for when the arrays are written, so that the record knows how long that took.
                training=lambda: {**self.training, "seconds": self.clock.seconds()},
            )


def train(
    config: TrainConfig,
    corpus: EncodedCorpus,
    *,
    clock: PhaseClock | None = None,
    progress: ProgressHook | None = None,
    after_epoch: Sequence[EpochHook] = (),
    say: Callable[[str], None] = lambda message: None,
    epoch_tokens: Callable[[int], None] = lambda tokens: None,
) -> TrainedModel:
    """Train on an encoded corpus from fresh parameters. say: gets lines for people about how the training runs.

    epoch_tokens: gets the number of words that an epoch will go through, before the first: with ``config.heldout``
    the corpus has more. Held-out sentences count in the vocabulary and its tables, and nowhere else in training;
    choosing them counts as encoding, their loss in the total of the seconds only.

    Raises TrainingError where the corpus has nothing to learn from or the parameters stop being finite, DeviceError
    where the device is not usable. KeyboardInterrupt passes through.
    """
    config = replace(config.resolved(), threads=config.threads or available_cores())
    clock = clock or PhaseClock()
    for name in ("read", "encode", "compile"):
        clock.add(name, corpus.seconds.get(name, 0.0))
    ids, heldout_ids = _split(config, corpus, clock)
    heldout_sentences = int(np.count_nonzero(heldout_ids < 0))
    heldout_tokens = heldout_ids.size - heldout_sentences
    tokens = corpus.tokens - heldout_tokens
    epoch_tokens(tokens)
    with clock.phase("compile"):
        shape = CorpusShape(corpus.vocabulary.counts, tokens, corpus.sentences - heldout_sentences)
        config = resolve_for_corpus(config, shape, choose_device(config.device), say)
        objective = make_objective(config, corpus.vocabulary.counts)
        backend = make_backend(config, objective)
        backend.compile()
        backend.initialise()
    for note in backend.notes:
        say(note)
    with clock.phase("upload"):
        backend.upload(ids)
    with clock.phase("train"):
        reports = run_epochs(config, backend, ids, progress=progress, after_epoch=after_epoch)
    try:
        heldout_nll, heldout_unigram_nll = _heldout_losses(config, backend, corpus, heldout_ids)
    except DeviceError as error:  # what was trained is worth keeping
        say(f"the held-out sentences were not evaluated: {error}")
        heldout_nll, heldout_unigram_nll = None, None
    with clock.phase("save"):
        parameters = backend.parameters()
    seconds = clock.seconds()
    pairs = sum(report.pairs for report in reports)
    training = {
        "seconds": seconds,
        "words_per_second": tokens * config.epochs / max(seconds["train"], 1e-9),
        "kept_words": sum(report.kept_words for report in reports),
        "pairs": pairs,
        "loss": [report.mean_loss for report in reports],
        "heldout_nll": heldout_nll,
        "heldout_unigram_nll": heldout_unigram_nll,
        "peak_memory_bytes": peak_memory_bytes(),
        "device": backend.device,
        "corpus": {
            "fingerprint": corpus.fingerprint,
            "tokens": corpus.tokens,
            "raw_tokens": corpus.raw_tokens,
            "sentences": corpus.sentences,
            "bad_bytes": corpus.bad_bytes,
            "heldout_tokens": heldout_tokens,
            "heldout_sentences": heldout_sentences,
        },
    }
    return TrainedModel(
        config=config,
        words=corpus.vocabulary.words,
        counts=corpus.vocabulary.counts,
        input_vectors=parameters.pop("input_vectors"),
        output_parameters=parameters,
        training=training,
        clock=clock,
    )


def _split(config: TrainConfig, corpus: EncodedCorpus, clock: PhaseClock) -> tuple[np.ndarray, np.ndarray]:
    """Ids to train on, and ids that are held out."""
    if config.heldout:
        with clock.phase("compile"):
            compile_split()
    with clock.phase("encode"):
        return split_heldout(corpus.ids, config.heldout, config.seed)


def _heldout_losses(
    config: TrainConfig, backend: Backend, corpus: EncodedCorpus, ids: np.ndarray
) -> tuple[float | None, float | None]:
    """The model's and the unigram's nats per held-out pair; None where nothing is held out, or for ns."""
    if not ids.size:
        return None, None
    nll = backend.heldout_nll(ids)
    if nll is None:
        return None, None
    counts = corpus.vocabulary.counts
    return nll, unigram_nll(target_counts(ids, config, counts.size), counts)


def run_epochs(
    config: TrainConfig,
    backend: Backend,
    ids: np.ndarray,
    *,
    progress: ProgressHook | None = None,
    after_epoch: Sequence[EpochHook] = (),
    first_epoch: int = 0,
) -> list[EpochReport]:
    """Train ``config.epochs`` passes over ids and return a report each; checks the parameters after every one.

    first_epoch numbers the first pass for the random draws, so that training that goes on does not repeat them.
    """
    decay = LinearDecay(config.alpha, config.min_alpha, config.epochs)
    reports = []
    for epoch in range(config.epochs):
        report = backend.train_epoch(
            ids,
            first_epoch + epoch,
            lambda fraction, epoch=epoch: decay(epoch, fraction),
            lambda report, epoch=epoch: progress(epoch, report) if progress else None,
        )
        if report.pairs == 0:
            raise TrainingError(
                "no line of the corpus has two words to learn from: use longer lines, a lower --min-count, "
                "or --sample 0"
            )
        check_finite(backend, epoch)
        reports.append(report)
        for hook in after_epoch:
            hook(epoch, report)
    return reports


def check_finite(backend: Backend, epoch: int) -> None:
    """Raise TrainingError where a parameter is not finite, or so large that its square is not."""
    for name in backend.unsound_parameters():
        raise TrainingError(f"{name} stopped being finite in epoch {epoch + 1}: lower --alpha (nothing was saved)")
