"""One training run: objective, backend, epochs, and what they leave behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from w2v import __version__
from w2v.backends import Backend, choose_device, device_memory_in_use, make_backend
from w2v.config import TrainConfig
from w2v.cores import available_cores
from w2v.corpus.heldout import compile_split, sentence_marks, split_heldout
from w2v.distributed.cluster import Cluster, cluster_if_asked
from w2v.errors import DeviceError
from w2v.objectives import CorpusShape, make_objective, resolve_for_corpus
from w2v.objectives.heldout_pairs import target_counts, unigram_nll
from w2v.training.callbacks import TrainingCallback
from w2v.training.checkpoints import Checkpoints
from w2v.training.clock import PhaseClock, peak_memory_bytes
from w2v.training.memory import stated_memory
from w2v.training.run import TrainingRun
from w2v.training.same_run import MAY_CHANGE, corpus_facts

if TYPE_CHECKING:
    from w2v.corpus import EncodedCorpus


@dataclass
class TrainedModel:
    """What a run leaves: configuration, vocabulary, parameters and the training record.

    config: resolved; asked: as it was given; input_vectors: (V, D) float32; output_parameters: the objective's arrays
    by name; training: the contents of ``training.json`` but for the seconds of saving.
    """

    config: TrainConfig
    asked: TrainConfig
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
            "asked": self.asked.to_dict(),
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
    callbacks: Sequence[TrainingCallback] = (),
    checkpoints: Checkpoints | None = None,
    ray_address: str = "auto",
    cluster: Cluster | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> TrainedModel:
    """Train on an encoded corpus, from fresh parameters or from a checkpoint.

    checkpoints: where the run is saved, and what it goes on from; the seconds of all its parts count together.
    ray_address: of the cluster that replicas run in (see ``w2v/distributed/cluster.py``); cluster: the one that they
    run in, where it is open already. say: gets lines for people about how the training runs.

    Held-out sentences count in the vocabulary and its tables, and nowhere else in training; choosing them counts as
    encoding, their loss as evaluation.

    Raises TrainingError where the corpus has nothing to learn from, the memory does not suffice, the parameters stop
    being finite or the checkpoint is of another run, DeviceError where the device is not usable. KeyboardInterrupt
    passes through.
    """
    asked, config = config, replace(config.resolved(), threads=config.threads or available_cores())
    clock = clock or PhaseClock()
    resumed = None if checkpoints is None else checkpoints.begin(asked, corpus)
    if resumed is not None:
        clock.go_on_from(resumed.seconds)
    for name in ("read", "encode", "compile"):
        clock.add(name, corpus.seconds.get(name, 0.0))
    ids, heldout_ids = _split(config, corpus, clock)
    heldout = HeldOut(heldout_ids)
    tokens = corpus.tokens - heldout.tokens
    with ExitStack() as held:
        with clock.phase("compile"):
            shape = CorpusShape(corpus.vocabulary.counts, tokens, corpus.sentences - heldout.sentences)
            cluster = cluster or held.enter_context(cluster_if_asked(ray_address, config, shape))
            device = choose_device(config.device) if cluster is None else cluster.choose_device(config.device)
            if resumed is None:
                config = resolve_for_corpus(config, shape, device, say)
                config = config if cluster is None else cluster.resolved(config, device)
            else:  # what was chosen for the corpus stays; where to train may change
                config = replace(resumed.config, **{name: getattr(config, name) for name in MAY_CHANGE})
            if cluster is not None and not (cluster.ours or asked.threads):
                config = replace(config, threads=cluster.threads(config.replicas))
            if cluster is None or cluster.ours:  # of other computers nothing is known
                say(stated_memory(config, shape, device, heldout_ids.size))
            used = device_memory_in_use(device) if cluster is None else None
            backend = _backend(config, corpus, device, cluster, held, say)
            backend.compile()
            backend.initialise()
            if resumed is not None:
                resumed.load_into(backend)
        for note in backend.notes:
            say(note)
        with clock.phase("upload"):
            backend.upload(ids)
        run = TrainingRun(
            config,
            backend,
            corpus.vocabulary,
            tokens,
            clock=clock,
            callbacks=callbacks if checkpoints is None else [*callbacks, checkpoints],
            heldout=lambda: backend.heldout_nll(heldout_ids) if heldout_ids.size else None,
            state=None if resumed is None else resumed.state,
        )
        with nullcontext() if checkpoints is None else checkpoints.keeping():
            reports = run.train(ids)
            with clock.phase("evaluate"):
                try:
                    heldout_nll, heldout_unigram_nll = _heldout_losses(run, corpus, heldout_ids)
                except DeviceError as error:  # what was trained is worth keeping
                    say(f"the held-out sentences were not evaluated: {error}")
                    heldout_nll, heldout_unigram_nll = None, None
            device_memory = None if used is None else device_memory_in_use(device) - used
            with clock.phase("save"):
                parameters = backend.parameters()
            if checkpoints is not None:
                checkpoints.trained(dict(parameters))
    seconds = clock.seconds()
    training = {
        "seconds": seconds,
        "words_per_second": tokens * config.epochs / max(seconds["train"], 1e-9),
        "kept_words": sum(report.kept_words for report in reports),
        "pairs": sum(report.pairs for report in reports),
        "loss": [report.mean_loss for report in reports],
        "heldout_nll": heldout_nll,
        "heldout_unigram_nll": heldout_unigram_nll,
        "peak_memory_bytes": peak_memory_bytes(),
        "device_memory_bytes": device_memory,
        "device": backend.device,
        "corpus": {
            **corpus_facts(corpus),
            "raw_tokens": corpus.raw_tokens,
            "bad_bytes": corpus.bad_bytes,
            "heldout_tokens": heldout.tokens,
            "heldout_sentences": heldout.sentences,
        },
    }
    return TrainedModel(
        config=config,
        asked=asked,
        words=corpus.vocabulary.words,
        counts=corpus.vocabulary.counts,
        input_vectors=parameters.pop("input_vectors"),
        output_parameters=parameters,
        training=training,
        clock=clock,
    )


class HeldOut:
    """How much is held out: words and sentences."""

    def __init__(self, ids: np.ndarray) -> None:
        """ids: (N,) int32, −1 after each sentence."""
        self.sentences = sentence_marks(ids)
        self.tokens = ids.size - self.sentences


def _backend(
    config: TrainConfig,
    corpus: EncodedCorpus,
    device: str,
    cluster: Cluster | None,
    held: ExitStack,
    say: Callable[[str], None],
) -> Backend:
    """One on the device, or replicas in a cluster; those end with ``held``."""
    counts = corpus.vocabulary.counts
    if cluster is None:
        return make_backend(config, make_objective(config, counts))
    from w2v.distributed.backend import ReplicatedBackend

    backend = ReplicatedBackend(replace(config, device=device), counts, cluster, say)
    held.callback(backend.close)
    return backend


def _split(config: TrainConfig, corpus: EncodedCorpus, clock: PhaseClock) -> tuple[np.ndarray, np.ndarray]:
    """Ids to train on, and ids that are held out."""
    if config.heldout:
        with clock.phase("compile"):
            compile_split()
    with clock.phase("encode"):
        return split_heldout(corpus.ids, config.heldout, config.seed)


def _heldout_losses(run: TrainingRun, corpus: EncodedCorpus, ids: np.ndarray) -> tuple[float | None, float | None]:
    """The model's and the unigram's nats per held-out pair; None where nothing is held out, or for ns."""
    nll = run.heldout_nll()
    if nll is None:
        return None, None
    counts = corpus.vocabulary.counts
    return nll, unigram_nll(target_counts(ids, run.config, counts.size), counts)
