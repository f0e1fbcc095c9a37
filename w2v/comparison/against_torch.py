"""``--against torch``: PyTorch's adaptive softmax within a comparison.

It gets this project's own pairs (sub-sampling, windows, batches) and cut-offs, trains at its own learning rate, and
is scored and asked for held-out sentences as this project's runs are. Its products are float32; on a GPU this
project's are bfloat16. Pairs are cut on the host, by a thread of its own while PyTorch trains.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np

from w2v.backends.base import NO_PAUSES, EpochReport, Pauses
from w2v.backends.sound import is_sound
from w2v.comparison.hashes import sha256_of_array
from w2v.comparison.own import Notes, Points, RunBar
from w2v.comparison.pair_stream import PairBatch, Pairs, heldout_windows, one_ahead, pair_batches
from w2v.comparison.plan import RunSpec
from w2v.comparison.scores import Scorer
from w2v.comparison.torch_adaptive import TorchAdaptive, import_torch
from w2v.config import TrainConfig
from w2v.corpus import EncodedCorpus
from w2v.corpus.heldout import split_heldout
from w2v.errors import DeviceError
from w2v.objectives import AdaptiveSoftmax, CorpusShape, make_objective, resolve_for_corpus
from w2v.objectives.heldout_pairs import skipgram_pairs, target_counts, unigram_nll
from w2v.training import PhaseClock, TrainingRun

#: Where the learning rate starts without --alpha: of 0.02, 0.05, 0.1 and 0.2 the best for held-out sentences after
#: five epochs of small texts.
ALPHA = 0.1


def run(spec: RunSpec, corpus: EncodedCorpus, scorer: Scorer) -> dict[str, Any]:
    """Train as ``spec`` says and give its part of the record (see ``plan.py``).

    Raises MissingExtraError without PyTorch, DeviceError where it cannot use the device, ConfigError where it has no
    such softmax, TrainingError where it diverges.
    """
    torch = import_torch()
    clock, notes = PhaseClock(), Notes(spec.case)
    config = _own_rate(spec.config)
    with clock.phase("encode"):
        ids, heldout = split_heldout(corpus.ids, config.heldout, config.seed)
    tokens, sentences = _count(ids)
    with clock.phase("compile"):
        shape = CorpusShape(corpus.vocabulary.counts, tokens, sentences)
        # What it says of the cut-offs, this project's own run of the objective has said.
        config = resolve_for_corpus(config, shape, config.device)
        backend = TorchBackend(torch, config, make_objective(config, corpus.vocabulary.counts))
        backend.compile()
        backend.initialise()
    points = Points(spec.points, scorer, notes.say)
    bar = RunBar(spec.label, config.epochs, sys.stderr.isatty())
    training = TrainingRun(
        config, backend, corpus.vocabulary, tokens, clock=clock, callbacks=[bar, points],
        heldout=lambda: backend.heldout_nll(heldout) if heldout.size else None,
    )  # fmt: skip
    try:
        reports = training.train(ids)
    finally:
        bar.close()
    with clock.phase("evaluate"):
        counts = corpus.vocabulary.counts
        unigram = unigram_nll(target_counts(heldout, config, counts.size), counts) if heldout.size else None
    return {
        "config": config.to_dict(),
        "initial_sha256": points.initial_sha256,
        "vectors_sha256": sha256_of_array(backend.parameters()["input_vectors"]),
        "device": backend.device,
        "threads": config.threads,
        "seconds": clock.seconds(),
        "words": points.words,
        "kept_words": sum(report.kept_words for report in reports),
        "pairs": sum(report.pairs for report in reports),
        "peak_device_bytes": backend.peak_device_bytes(),
        "loss": [report.mean_loss for report in reports],
        "heldout_nll": points.found[-1]["heldout_nll"],
        "heldout_unigram_nll": unigram,
        "points": points.found,
        "notes": notes.lines,
        "versions": {"torch": str(torch.__version__)},
    }


class TorchBackend:
    """PyTorch behind the contract of a backend. Raises DeviceError where PyTorch has no use of the device."""

    def __init__(self, torch: ModuleType, config: TrainConfig, objective: AdaptiveSoftmax) -> None:
        """Fresh parameters."""
        kind = config.device
        if kind == "cuda" and not torch.cuda.is_available():
            raise DeviceError("this PyTorch has no CUDA: install one that has, or use --device cpu")
        self.config, self.objective = config, objective
        self.device = f"cuda ({torch.cuda.get_device_name()})" if kind == "cuda" else kind
        self.notes: list[str] = []
        self._torch = torch
        self._model = TorchAdaptive(torch, objective, seed=config.seed, threads=config.threads, device=kind)

    def initialise(self) -> None:
        """Draw the initial parameters."""
        self._model.initialise(self.config.seed)

    def compile(self) -> None:
        """One step on a sentence of all words' most frequent one: libraries are loaded, memory pools made."""
        word = int(np.argmin(self.objective.ranks))
        ids = np.append(np.full(64, word), -1).astype(np.int32)
        whole = replace(self.config, sample=0.0)
        for batch in pair_batches(whole, self.objective, ids):
            self._model.step(batch.pairs, 0.0)
        self._model.wait()

    def upload(self, ids: np.ndarray) -> None:
        """Nothing to do: pairs are cut on the host."""

    def train_epoch(
        self,
        ids: np.ndarray,
        epoch: int,
        schedule: Callable[[float], float],
        progress: Callable[[EpochReport], None],
        pauses: Pauses = NO_PAUSES,
    ) -> EpochReport:
        """Train one pass, batch by batch in the order of the text."""
        done = EpochReport()
        for batch in one_ahead(pair_batches(self.config, self.objective, ids, epoch)):
            if batch.begin and pauses.due(batch.begin / ids.size):
                self._model.wait()
                pauses.hook(replace(done, position=batch.begin))
            done.learning_rate = schedule(batch.begin / ids.size)
            self._train(batch, done, progress)
        self._model.wait()
        return done

    def _train(self, batch: PairBatch, done: EpochReport, progress: Callable[[EpochReport], None]) -> None:
        """A step on a batch, which is added to ``done``; its parts are told as they are done."""
        pairs = len(batch.pairs.ranks)
        if pairs:

            def told(part: int, loss: Any) -> None:
                words = done.words + batch.words * part // pairs
                progress(replace(done, loss=done.loss + loss.item(), pairs=done.pairs + part, words=words))

            done.loss += self._model.step(batch.pairs, done.learning_rate, told).item()
        done.pairs += pairs
        done.kept_words += batch.kept_words
        done.words += batch.words
        progress(replace(done))

    def parameters(self) -> dict[str, np.ndarray]:
        """``input_vectors``, (V, D) float32: a copy."""
        return {"input_vectors": self._model.inputs.weight.detach().cpu().numpy().copy()}

    def unsound_parameters(self) -> list[str]:
        """Names of the matrices that hold something not finite, or so large that its square is not."""
        named = {"input vectors": self._model.inputs, "the softmax": self._model.softmax}
        return [
            name
            for name, module in named.items()
            if not all(is_sound(matrix.detach().cpu().numpy()) for matrix in module.parameters())
        ]

    def heldout_nll(self, ids: np.ndarray) -> float:
        """Mean −log p of held-out ids, nats per pair (per window for CBOW)."""
        loss, pairs = 0.0, 0.0
        for found, counts in self._heldout(ids):
            loss += self._model.nll_sum(found, counts)
            pairs += len(found.ranks) if counts is None else float(counts.sum())
        return loss / pairs

    def _heldout(self, ids: np.ndarray) -> Iterator[tuple[Pairs, np.ndarray | None]]:
        config, objective = self.config, self.objective
        if config.model == "cbow":
            yield from ((pairs, None) for pairs in heldout_windows(config, objective, ids))
            return
        for inputs, targets, counts in skipgram_pairs(ids, config.window, objective.counts.size):
            yield Pairs(inputs.astype(np.int64), objective.ranks[targets].astype(np.int64)), counts

    def peak_device_bytes(self) -> int | None:
        """The most that PyTorch's pool has held of the GPU's memory."""
        return int(self._torch.cuda.max_memory_reserved()) if self.config.device == "cuda" else None


def _own_rate(config: TrainConfig) -> TrainConfig:
    """PyTorch's learning rate where the user gave none."""
    return replace(config, alpha=ALPHA if config.alpha is None else config.alpha).resolved()


def _count(ids: np.ndarray) -> tuple[int, int]:
    """Words and sentences."""
    sentences = int(np.count_nonzero(ids < 0))
    return ids.size - sentences, sentences
