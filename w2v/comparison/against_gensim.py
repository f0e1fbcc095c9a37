"""``--against gensim``: gensim's Word2Vec within a comparison.

It gets this project's vocabulary (words, counts and order) and the same training sentences, as the text file of its
fastest mode (``corpus_file``), which it reads and tokenizes in every epoch, inside its training seconds. It begins
with this project's draw of vectors. The learning rate begins at its own default, 0.025, and ends at its own 0.0001:
this project's default suits noise that the contexts of a window share, and would be a handicap. --alpha and
--min-alpha count for both.

gensim trains whole epochs: points within one are not scored. With several threads each trains a stretch of the file,
and its learning rate falls within an epoch only by as much as that stretch is of the file. That is how gensim is, and
it is left so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
from tqdm import tqdm

from w2v.backends.base import EpochReport
from w2v.backends.heldout import compile_heldout, rowwise_heldout_nll
from w2v.backends.sound import is_sound
from w2v.comparison.draw import initial_vectors
from w2v.comparison.gensim_text import text_file
from w2v.comparison.hashes import sha256_of_array
from w2v.comparison.own import Notes, Points
from w2v.comparison.plan import RunSpec
from w2v.comparison.scores import Scorer
from w2v.config import TrainConfig
from w2v.corpus import EncodedCorpus, Vocabulary
from w2v.corpus.heldout import compile_split, split_heldout
from w2v.errors import MissingExtraError, TrainingError, require
from w2v.kernels.targets_cpu import PathTables
from w2v.objectives import HierarchicalSoftmax
from w2v.objectives.heldout_pairs import target_counts, unigram_nll
from w2v.training import PhaseClock
from w2v.vectors import KeyedVectors

#: What gensim's constructor takes when nobody says otherwise.
ALPHA, MIN_ALPHA = 0.025, 0.0001
# gensim's count of words may differ by so much from ours before a line says so: its threads begin amid a line, and
# end after a whole batch of lines.
_TOLERANCE = 0.01


def run(spec: RunSpec, corpus: EncodedCorpus, scorer: Scorer) -> dict[str, Any]:
    """Train as ``spec`` says and give its part of the record (see ``plan.py``). Writing gensim's text is "upload".

    Raises MissingExtraError without gensim, OutputError where its text cannot be written, TrainingError where it
    diverges.
    """
    gensim = import_gensim()
    clock, notes, config = PhaseClock(), Notes(spec.case), own_rates(spec.config)
    vocabulary = corpus.vocabulary
    if config.heldout:
        with clock.phase("compile"):
            compile_split()
    with clock.phase("encode"):
        ids, heldout = split_heldout(corpus.ids, config.heldout, config.seed)
    with clock.phase("compile"):
        model = make_model(gensim, config, vocabulary)
        nll = heldout_measure(config, model, vocabulary, heldout)
    points = Points(spec.points, scorer, notes.say)
    training = GensimRun(config, model, vocabulary, int(np.count_nonzero(ids >= 0)), clock, points, nll)
    kept_words, read_words = training.train(ids, spec.label)
    if abs(read_words / points.words - 1) > _TOLERANCE:
        notes.say(
            f"gensim's {config.threads} threads trained on {read_words:,} words in all, not on {points.words:,}: "
            "they share a short text out by bytes, and read parts of it twice or not at all; its words/s are those "
            "of the text; --threads 1 avoids it"
        )
    final = points.found[-1]["heldout_nll"]
    with clock.phase("evaluate"):
        counts = vocabulary.counts
        unigram = None if final is None else unigram_nll(target_counts(heldout, config, counts.size), counts)
    return {
        "config": config.to_dict(),
        "initial_sha256": points.initial_sha256,
        "vectors_sha256": sha256_of_array(model.wv.vectors),
        "device": "cpu",
        "threads": config.threads,
        "seconds": clock.seconds(),
        "words": points.words,
        "kept_words": kept_words,
        "heldout_nll": final,
        "heldout_unigram_nll": unigram,
        "points": points.found,
        "notes": notes.lines,
        "versions": {"gensim": gensim.__version__},
    }


def import_gensim() -> ModuleType:
    """gensim; raises MissingExtraError where it is not installed, or cannot train from a file."""
    gensim = require("gensim", "bench", "--against gensim")
    word2vec = require("gensim.models.word2vec", "bench", "--against gensim")
    if word2vec.CORPUSFILE_VERSION < 0:
        raise MissingExtraError(
            "--against gensim needs gensim's compiled routines, which this installation lacks: "
            "pip install --force-reinstall gensim"
        )
    return gensim


def own_rates(config: TrainConfig) -> TrainConfig:
    """gensim's learning rates where the user gave none."""
    alpha = ALPHA if config.alpha is None else config.alpha
    return replace(
        config, alpha=alpha, min_alpha=min(MIN_ALPHA, alpha) if config.min_alpha is None else config.min_alpha
    )


def make_model(gensim: ModuleType, config: TrainConfig, vocabulary: Vocabulary) -> Any:
    """gensim's model with the settings of ``config``, the vocabulary as it is and this project's initial vectors."""
    hierarchical = config.objective == "hs"
    model = gensim.models.Word2Vec(
        sg=int(config.model == "skipgram"),
        hs=int(hierarchical),
        negative=0 if hierarchical else config.negative,
        ns_exponent=config.noise_power,
        vector_size=config.vector_size,
        window=config.window,
        shrink_windows=config.shrink_windows,
        # For gensim a threshold of 1 is a number of occurrences; for us it drops nothing, as 0 does.
        sample=config.sample if config.sample < 1 else 0,
        alpha=config.alpha,
        min_alpha=config.min_alpha,
        cbow_mean=int(not config.cbow_sum),
        seed=config.seed % 2**32,
        workers=config.threads,
        min_count=1,
        # Otherwise words of one count come out in reverse.
        sorted_vocab=0,
    )
    counts = np.maximum(vocabulary.counts, 1).tolist()  # a given vocabulary may list words that do not occur
    model.build_vocab_from_freq(dict(zip(vocabulary.words, counts, strict=True)))
    size = config.vector_size
    model.wv.vectors[:] = initial_vectors(len(vocabulary), size, 0.5 / size, config.seed)
    return model


def heldout_measure(
    config: TrainConfig, model: Any, vocabulary: Vocabulary, heldout: np.ndarray
) -> Callable[[], float | None]:
    """What tells the nats per held-out pair under gensim's tree as it is then; None for ns, or without such pairs."""
    if config.objective != "hs" or not heldout.size:
        return lambda: None
    objective = HierarchicalSoftmax(vocabulary.counts, config)
    objective.tables = path_tables(model.wv)
    compile_heldout(config, objective)
    return lambda: rowwise_heldout_nll(
        config, objective, lambda: {"input_vectors": model.wv.vectors, "output_vectors": model.syn1}, heldout
    )


def path_tables(wv: Any) -> PathTables:
    """gensim's Huffman tree: ``point`` are rows of syn1, and ``code`` 0 is label one, as in word2vec.c."""
    points, codes = (list(wv.expandos[name]) for name in ("point", "code"))
    lengths = [len(code) for code in codes]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return PathTables(
        offsets, np.concatenate(points).astype(np.int32), np.concatenate(codes).astype(np.int8), max(lengths)
    )


class GensimRun:
    """gensim's training: its callback, and what ``Points`` asks of a run."""

    def __init__(
        self,
        config: TrainConfig,
        model: Any,
        vocabulary: Vocabulary,
        tokens: int,
        clock: PhaseClock,
        points: Points,
        heldout_nll: Callable[[], float | None],
    ) -> None:
        """Nothing is trained yet. tokens: words of an epoch."""
        self.epochs_done = 0.0
        self.heldout_nll = heldout_nll
        self._config, self._model, self._vocabulary, self._tokens = config, model, vocabulary, tokens
        self._clock, self._points = clock, points
        self._bar: tqdm | None = None

    @property
    def totals(self) -> EpochReport:
        """The words so far, as this project counts them; gensim tells no more."""
        return EpochReport(words=int(self._tokens * self.epochs_done))

    @property
    def train_seconds(self) -> float:
        """Wall-clock seconds of training alone."""
        return self._clock.seconds()["train"]

    def vectors(self) -> KeyedVectors:
        """A copy of the vectors."""
        return KeyedVectors.from_arrays(
            self._vocabulary.words, self._model.wv.vectors.copy(), self._vocabulary.counts
        )

    def train(self, ids: np.ndarray, label: str) -> tuple[int, int]:
        """Train all epochs on ids; the words that sub-sampling kept, and the words that gensim read."""
        epochs = self._config.epochs
        self._bar = tqdm(total=epochs, desc=label, unit=" epochs", disable=not sys.stderr.isatty(), leave=False)
        phase = self._clock.phase
        with self._bar, phase("upload"), text_file(ids, self._vocabulary) as (path, lines), phase("train"):
            return self._model.train(
                corpus_file=path,
                total_words=self._tokens,
                total_examples=lines,
                epochs=epochs,
                callbacks=[self],
            )

    def on_train_begin(self, model: Any) -> None:
        """Nothing is trained yet."""
        with self._clock.phase("evaluate"):
            self._points.on_train_begin(self)

    def on_epoch_begin(self, model: Any) -> None:
        """Nothing to do."""

    def on_epoch_end(self, model: Any) -> None:
        """Score where a point has been passed; raises TrainingError where the vectors are no numbers any more."""
        with self._clock.phase("evaluate"):
            before, self.epochs_done = self.epochs_done, self.epochs_done + 1
            if not is_sound(model.wv.vectors):
                raise TrainingError(f"gensim's vectors stopped being finite in epoch {before + 1:g}: lower --alpha")
            if any(before < point <= self.epochs_done for point in self._points.points):
                self._points.on_point(self)
            self._bar.update()

    def on_train_end(self, model: Any) -> None:
        """Everything is trained."""
        with self._clock.phase("evaluate"):
            self._points.on_train_end(self)
