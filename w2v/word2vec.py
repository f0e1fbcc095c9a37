"""``Word2Vec``: gensim 4's class of that name, on this project's trainer."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from w2v.config import TrainConfig
from w2v.cores import available_cores
from w2v.corpus import CorpusOptions, EncodedCorpus, Vocabulary, encode_corpus, encode_sentences
from w2v.errors import ConfigError, FormatError, TrainingError
from w2v.vectors import KeyedVectors
from w2v.vectors.folder import ModelFolder

if TYPE_CHECKING:
    from w2v.objectives import Objective

Sentences = Iterable[Iterable[str]]
TrimRule = Callable[[str, int, int], int]

# gensim.utils' answers of a trim_rule.
RULE_DEFAULT, RULE_DISCARD, RULE_KEEP = 0, 1, 2

# Settings that an objective may derive from the corpus: what was asked for is kept beside what came of it.
DERIVED = ("cutoffs", "clusters", "batch_pairs")


class Word2Vec:
    """Train word vectors from sentences or a file, with gensim 4's arguments, attributes and methods.

    What differs from gensim: ``alpha=None`` means the objective's own default; ``hs=1`` selects hierarchical softmax
    alone; ``objective=`` names it directly, and so class, adaptive and full softmax, with the command line's options.
    Noise words are shared by the contexts of a window unless ``negatives_per_pair``. ``save`` writes a model folder,
    never a pickle. Arguments that cannot matter here are accepted and have no effect (``hashfxn``, ``batch_words``,
    ``null_word``, ``sorted_vocab``, ``compute_loss``, …): the loss is always known, the vocabulary always sorted.

    Attributes: ``wv`` (KeyedVectors), ``epochs``, ``corpus_count`` (sentences), ``corpus_total_words``,
    ``total_train_time`` (seconds), and the parameters under gensim's names ``syn1neg`` or ``syn1``.

    Raises ConfigError (a ValueError) on arguments out of range or that contradict each other.
    """

    def __init__(
        self,
        sentences: Sentences | None = None,
        corpus_file: str | os.PathLike | None = None,
        vector_size: int = 100,
        alpha: float | None = None,
        window: int = 5,
        min_count: int = 5,
        max_vocab_size: int | None = None,
        sample: float = 1e-3,
        seed: int = 1,
        workers: int = 3,
        min_alpha: float = 0.0001,
        sg: int = 0,
        hs: int = 0,
        negative: int = 5,
        ns_exponent: float = 0.75,
        cbow_mean: int = 1,
        hashfxn: Callable = hash,
        epochs: int = 5,
        null_word: int = 0,
        trim_rule: TrimRule | None = None,
        sorted_vocab: int = 1,
        batch_words: int = 10000,
        compute_loss: bool = False,
        callbacks: Sequence[object] = (),
        comment: str | None = None,
        max_final_vocab: int | None = None,
        shrink_windows: bool = True,
        *,
        objective: str | None = None,
        device: str = "auto",
        kernels: str = "raw",
        negatives_per_pair: bool = False,
        cutoffs: str | Sequence[int] = "auto",
        clusters: int | None = None,
        div_value: float = 2.0,
        shortlist: bool = True,
        classes: int | None = None,
        batch_pairs: int | None = None,
        output_bias: str = "unigram",
        cost_model: str | os.PathLike | None = None,
    ) -> None:
        """Build the vocabulary and train, if ``sentences`` or ``corpus_file`` is given."""
        self.config = TrainConfig(
            model="skipgram" if sg else "cbow",
            objective=_objective(objective, hs, negative),
            vector_size=vector_size,
            window=window,
            min_count=min_count,
            negative=negative or 1,
            noise_power=ns_exponent,
            sample=sample,
            epochs=epochs,
            alpha=alpha,
            min_alpha=min_alpha if alpha is None else min(min_alpha, alpha),
            seed=seed,
            device=device,
            kernels=kernels,
            threads=workers,
            max_vocab_size=max_vocab_size,
            max_final_vocab=max_final_vocab,
            negatives_per_pair=negatives_per_pair,
            cbow_sum=not cbow_mean,
            shrink_windows=bool(shrink_windows),
            cutoffs=cutoffs,
            clusters=clusters,
            div_value=div_value,
            shortlist=shortlist,
            classes=classes,
            batch_pairs=batch_pairs,
            output_bias=output_bias,
            cost_model=None if cost_model is None else os.fspath(cost_model),
        ).resolved()
        self._asked = {name: getattr(self.config, name) for name in DERIVED}
        self.comment = comment
        self.callbacks = callbacks
        self._reset()
        if sentences is None and corpus_file is None:
            if trim_rule is not None:
                warnings.warn("trim_rule has no effect here: give it to build_vocab", stacklevel=2)
            return
        _check_callbacks(callbacks)
        # One pass over the text gives both the vocabulary and the ids to train on.
        encoded = self._encode_new(sentences, corpus_file, trim_rule)
        try:
            self._take_vocabulary(encoded)
            self._train(encoded, self.config, callbacks)
        finally:
            encoded.close()

    def _reset(self) -> None:
        self.wv = KeyedVectors(self.config.vector_size)
        #: The objective's arrays but for the input vectors, by name (see ``w2v.objectives``).
        self.output_parameters: dict[str, np.ndarray] = {}
        self.corpus_count = 0
        self.corpus_total_words = 0
        self.total_train_time = 0.0
        self.running_training_loss = 0.0
        self._epochs_done = 0
        self._training: dict[str, object] = {}
        self._tables: tuple[TrainConfig, np.ndarray, Objective] | None = None

    # -- gensim's names for the configuration ------------------------------------------------------------------

    @property
    def vector_size(self) -> int:
        """Dimensions."""
        return self.config.vector_size

    layer1_size = vector_size

    @property
    def sg(self) -> int:
        """1 for skip-gram, 0 for CBOW."""
        return int(self.config.model == "skipgram")

    @property
    def hs(self) -> int:
        """1 for hierarchical softmax."""
        return int(self.config.objective == "hs")

    @property
    def negative(self) -> int:
        """Noise words per window (or pair); 0 where the objective draws none."""
        return self.config.negative if self.config.objective == "ns" else 0

    @property
    def window(self) -> int:
        """Most context words on either side."""
        return self.config.window

    @property
    def min_count(self) -> int:
        """Words that occur less often are ignored."""
        return self.config.min_count

    @property
    def sample(self) -> float:
        """Threshold of sub-sampling."""
        return self.config.sample

    @property
    def epochs(self) -> int:
        """Passes over the corpus that ``train`` makes by default."""
        return self.config.epochs

    @epochs.setter
    def epochs(self, value: int) -> None:
        self.config = replace(self.config, epochs=value)

    @property
    def workers(self) -> int:
        """Threads that train; never more than there are cores."""
        return self.config.threads

    @workers.setter
    def workers(self, value: int) -> None:
        self.config = replace(self.config, threads=value)

    @property
    def _threads(self) -> int:
        # gensim's default of three workers is meant for machines that have as many cores.
        return min(self.config.threads or available_cores(), available_cores())

    @property
    def alpha(self) -> float:
        """Learning rate at the start."""
        return self.config.alpha

    @alpha.setter
    def alpha(self, value: float) -> None:
        self.config = replace(self.config, alpha=value)

    @property
    def min_alpha(self) -> float:
        """Learning rate at the end."""
        return self.config.min_alpha

    @min_alpha.setter
    def min_alpha(self, value: float) -> None:
        self.config = replace(self.config, min_alpha=value)

    @property
    def seed(self) -> int:
        """Seed of all random numbers."""
        return self.config.seed

    @property
    def cbow_mean(self) -> int:
        """1 where CBOW takes the mean of the context, 0 where it takes the sum."""
        return int(not self.config.cbow_sum)

    @property
    def ns_exponent(self) -> float:
        """Noise words are drawn ∝ count to this power."""
        return self.config.noise_power

    @property
    def output_vectors(self) -> np.ndarray:
        """Output vectors of ns and full, one per word; of hs, one per inner node; of class, one per word.

        (rows, D) float32. Adaptive softmax has several matrices, in ``output_parameters``: AttributeError.
        """
        if "output_vectors" not in self.output_parameters and len(self.wv):
            names = ", ".join(self.output_parameters)
            raise AttributeError(f"objective {self.config.objective!r} has its output parameters by name: {names}")
        return self.output_parameters.get("output_vectors", np.empty((0, self.vector_size), np.float32))

    @property
    def syn1neg(self) -> np.ndarray:
        """Output vectors of negative sampling, (V, D) float32; AttributeError under another objective."""
        return self._output_of("ns", "syn1neg")

    @property
    def syn1(self) -> np.ndarray:
        """Output vectors of hierarchical softmax, (V − 1, D) float32; AttributeError under another objective."""
        return self._output_of("hs", "syn1")

    def _output_of(self, objective: str, name: str) -> np.ndarray:
        if self.config.objective != objective:
            raise AttributeError(f"{name} belongs to objective {objective!r}; this model has output_vectors")
        return self.output_vectors

    def __str__(self) -> str:
        """Vocabulary size, dimensions and learning rate, as gensim prints them."""
        return f"Word2Vec<vocab={len(self.wv)}, vector_size={self.vector_size}, alpha={self.alpha}>"

    # -- vocabulary --------------------------------------------------------------------------------------------

    def build_vocab(
        self,
        corpus_iterable: Sentences | None = None,
        corpus_file: str | os.PathLike | None = None,
        update: bool = False,
        progress_per: int = 10000,
        keep_raw_vocab: bool = False,
        trim_rule: TrimRule | None = None,
        **kwargs: object,
    ) -> None:
        """Count words and make fresh parameters; with ``update``, add new words to a trained model instead.

        The old words keep their rows, and their counts grow by the new text's.
        """
        encoded = self._encode_new(corpus_iterable, corpus_file, trim_rule)
        try:
            self._take_vocabulary(encoded, update)
        finally:
            encoded.close()

    def build_vocab_from_freq(
        self,
        word_freq: Mapping[str, int],
        keep_raw_vocab: bool = False,
        corpus_count: int | None = None,
        trim_rule: TrimRule | None = None,
        update: bool = False,
    ) -> None:
        """Make the vocabulary from given counts; ``corpus_count`` is the number of sentences, if known."""
        config = self.config
        limit = config.max_final_vocab
        kept = [(word, int(count)) for word, count in word_freq.items() if self._is_kept(word, count, trim_rule)]
        kept.sort(key=lambda entry: (-entry[1], entry[0].encode()))
        vocabulary = Vocabulary([word for word, _ in kept[:limit]], [count for _, count in kept[:limit]])
        self._take_words(vocabulary, update, corpus_count or 0, int(sum(word_freq.values())))

    def _is_kept(self, word: str, count: int, trim_rule: TrimRule | None) -> bool:
        answer = RULE_DEFAULT if trim_rule is None else trim_rule(word, count, self.config.min_count)
        if answer in (RULE_KEEP, RULE_DISCARD):
            return answer == RULE_KEEP
        return count >= self.config.min_count

    def _options(self, min_count: int | None = None) -> CorpusOptions:
        config = self.config
        return CorpusOptions(
            min_count=config.min_count if min_count is None else min_count,
            max_vocab_size=config.max_vocab_size,
            max_final_vocab=config.max_final_vocab,
        )

    def _encode_new(
        self,
        sentences: Sentences | None,
        corpus_file: str | os.PathLike | None,
        trim_rule: TrimRule | None,
    ) -> EncodedCorpus:
        """Encode text under a vocabulary of its own."""
        _one_source(sentences, corpus_file)
        if trim_rule is not None:
            return self._encode_trimmed(sentences, corpus_file, trim_rule)
        if corpus_file is not None:
            return encode_corpus([corpus_file], self._options(), threads=self._threads, use_cache=False)
        return encode_sentences(sentences, self._options())

    def _encode_trimmed(
        self,
        sentences: Sentences | None,
        corpus_file: str | os.PathLike | None,
        trim_rule: TrimRule,
    ) -> EncodedCorpus:
        """Encode with every word, then let the rule choose, then encode again with the words it left."""
        if iter(sentences or ()) is sentences:
            raise TypeError("a trim_rule goes through the sentences twice: give a list, not a generator")
        options = replace(self._options(min_count=1), max_final_vocab=None)
        if corpus_file is not None:
            everything = encode_corpus([corpus_file], options, threads=self._threads, use_cache=False)
        else:
            everything = encode_sentences(sentences, options)
        vocabulary = everything.vocabulary
        kept = [
            i
            for i, (word, count) in enumerate(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True))
            if self._is_kept(word, count, trim_rule)
        ][: self.config.max_final_vocab]
        chosen = Vocabulary([vocabulary.words[i] for i in kept], vocabulary.counts[kept])
        everything.close()
        return self._encode_known(sentences, corpus_file, chosen)

    def _encode_known(
        self, sentences: Sentences | None, corpus_file: str | os.PathLike | None, vocabulary: Vocabulary
    ) -> EncodedCorpus:
        """Encode text under a given vocabulary."""
        if corpus_file is None:
            return encode_sentences(sentences, self._options(), vocabulary=vocabulary)
        with TemporaryDirectory(prefix="w2v-") as folder:
            saved = Path(folder) / "vocabulary.tsv"
            vocabulary.save(saved)
            options = CorpusOptions(vocab_file=saved)
            return encode_corpus([corpus_file], options, threads=self._threads, use_cache=False)

    def _take_vocabulary(self, encoded: EncodedCorpus, update: bool = False) -> None:
        self._take_words(encoded.vocabulary, update, encoded.sentences, encoded.raw_tokens)

    def _take_words(self, vocabulary: Vocabulary, update: bool, sentences: int, raw_tokens: int) -> None:
        """Fresh parameters for a vocabulary, or rows for the words of it that are new."""
        if update:
            self._grow(vocabulary)
        else:
            if len(self.wv):
                self._refit_cutoffs(len(vocabulary))
            self._reset()
            # Before the parameters: what the objective derives from a corpus depends on its number of sentences.
            self.corpus_count = sentences
            self._install(vocabulary)
        self.corpus_count = sentences
        self.corpus_total_words = raw_tokens

    def _refit_cutoffs(self, words: int) -> None:
        """Let go of given cut-offs that a new vocabulary is too small for: they were meant for the earlier one."""
        given = self._asked["cutoffs"]
        if given != "auto" and given and given[-1] >= words:
            shown = ",".join(map(str, given))
            warnings.warn(f"cutoffs {shown} do not fit the new {words} words: auto chooses others", stacklevel=4)
            self._asked["cutoffs"] = "auto"

    def _grow(self, vocabulary: Vocabulary) -> None:
        """Add the words of a vocabulary that are new, and its counts to those of the others."""
        from w2v.objectives import BLOCK

        if not len(self.wv):
            raise TrainingError("build_vocab(update=True) needs a vocabulary to add to: call build_vocab first")
        if self.config.objective in BLOCK:
            raise TrainingError(
                "build_vocab(update=True) is for objectives ns and hs: the blocks of "
                f"{self.config.objective} are cut for one vocabulary"
            )
        old = KeyedVectors.from_arrays(self.wv.index_to_key, self.wv.vectors, self._counts())
        old_outputs = self.output_vectors
        counts = dict(zip(old.index_to_key, self._counts().tolist(), strict=True))
        fresh = []
        for word, count in zip(vocabulary.words, vocabulary.counts.tolist(), strict=True):
            if word in counts:
                counts[word] += count
            else:
                fresh.append(word)
                counts[word] = count
        words = [*old.index_to_key, *fresh]
        self._install(Vocabulary(words, [counts[word] for word in words]))
        self.wv.vectors[: len(old)] = old.vectors
        self.output_vectors[: len(old_outputs)] = old_outputs

    def _install(self, vocabulary: Vocabulary) -> None:
        """Initial parameters for a vocabulary, in place of what there was."""
        if len(vocabulary) < 2:
            raise TrainingError(
                f"{len(vocabulary)} words are left of the text: lower min_count ({self.min_count}) or give more text"
            )
        self._resolve(vocabulary.counts)
        backend = self._backend(vocabulary.counts)
        backend.initialise()
        self._read_back(backend, vocabulary.words, vocabulary.counts)

    def _resolve(self, counts: np.ndarray) -> None:
        """What the objective derives from a vocabulary, derived again for this one."""
        from w2v.backends import choose_device
        from w2v.objectives import CorpusShape, resolve_for_corpus
        from w2v.training.memory import stated_memory

        shape = CorpusShape(counts, int(counts.sum(dtype=np.float64)), self.corpus_count)
        config = replace(self.config, **self._asked)
        device = choose_device(config.device)
        self.config = resolve_for_corpus(config, shape, device)
        stated_memory(replace(self.config, threads=self._threads), shape, device)  # refuses what cannot fit

    def _counts(self) -> np.ndarray:
        return np.asarray(self.wv.expandos["count"], np.int64)

    # -- training ----------------------------------------------------------------------------------------------

    def train(
        self,
        corpus_iterable: Sentences | None = None,
        corpus_file: str | os.PathLike | None = None,
        total_examples: int | None = None,
        total_words: int | None = None,
        epochs: int | None = None,
        start_alpha: float | None = None,
        end_alpha: float | None = None,
        word_count: int = 0,
        queue_factor: int = 2,
        report_delay: float = 1.0,
        compute_loss: bool = False,
        callbacks: Sequence[object] = (),
        **kwargs: object,
    ) -> tuple[int, int]:
        """Train on text under the vocabulary that ``build_vocab`` made, going on from the present vectors.

        epochs: default the constructor's. start_alpha, end_alpha: the learning rate's ends for this call.
        ``total_examples`` and ``total_words`` are not needed: the text is counted as it is encoded. Returns (words
        trained after sub-sampling, words read), over all epochs.
        """
        if not len(self.wv):
            raise TrainingError("the model has no vocabulary: call build_vocab before train")
        _one_source(corpus_iterable, corpus_file)
        _check_callbacks(callbacks)
        alpha = self.alpha if start_alpha is None else start_alpha
        config = replace(
            self.config,
            epochs=self.epochs if epochs is None else epochs,
            alpha=alpha,
            min_alpha=min(alpha, self.min_alpha) if end_alpha is None else end_alpha,
        )
        vocabulary = Vocabulary(self.wv.index_to_key, self._counts())
        encoded = self._encode_known(corpus_iterable, corpus_file, vocabulary)
        try:
            return self._train(encoded, config, callbacks or self.callbacks)
        finally:
            encoded.close()

    def _train(self, encoded: EncodedCorpus, config: TrainConfig, callbacks: Sequence[object]) -> tuple[int, int]:
        from threadpoolctl import threadpool_limits

        from w2v.training import TrainingRun
        from w2v.training.model_callbacks import ModelCallbacks, split_callbacks

        of_models, of_runs = split_callbacks(callbacks)
        config = self._without_heldout(config)
        backend = self._backend(self._counts(), config)
        backend.compile()
        backend.load_parameters({"input_vectors": self.wv.vectors, **self.output_parameters})
        backend.upload(encoded.ids)
        begin, earlier = time.perf_counter(), self.total_train_time
        self.running_training_loss = 0.0
        first_epoch = self._epochs_done

        def bring_up_to_date(run: TrainingRun) -> None:
            self._read_back(backend)
            totals = run.totals
            self._epochs_done = first_epoch + len(run.reports)
            self.running_training_loss = totals.loss
            self.total_train_time = earlier + time.perf_counter() - begin
            self._training |= {
                "loss": [report.mean_loss for report in run.reports],
                "pairs": totals.pairs,
                "kept_words": totals.kept_words,
                "device": backend.device,
            }

        run = TrainingRun(
            config,
            backend,
            encoded.vocabulary,
            encoded.tokens,
            callbacks=[ModelCallbacks(self, of_models, bring_up_to_date), *of_runs],
            first_epoch=first_epoch,
        )
        with threadpool_limits(self._threads):
            run.train(encoded.ids)
        return self._training["kept_words"], encoded.raw_tokens * config.epochs

    def _without_heldout(self, config: TrainConfig) -> TrainConfig:
        """``config`` for training on every sentence; what was held out of an earlier run is no longer."""
        self.config = replace(self.config, heldout=0.0)
        # Of the earlier parameters. Before the first epoch, since a callback may save the model after any.
        self._training |= {"heldout_nll": None, "heldout_unigram_nll": None}
        return replace(config, heldout=0.0)

    def _backend(self, counts: np.ndarray, config: TrainConfig | None = None):  # noqa: ANN202 (imported when used)
        from w2v.backends import make_backend
        from w2v.objectives import make_objective

        config = config or self.config
        return make_backend(replace(config, threads=self._threads), make_objective(config, counts))

    def _read_back(self, backend: object, words: list[str] | None = None, counts: np.ndarray | None = None) -> None:
        """Copy a backend's parameters into ``wv`` and ``output_parameters``."""
        parameters = backend.parameters()
        vectors = np.ascontiguousarray(parameters.pop("input_vectors"))
        if words is not None:
            self.wv = KeyedVectors.from_arrays(words, vectors, counts)
        elif self.wv.vectors.flags.writeable:
            self.wv.vectors[:] = vectors
        else:
            self.wv.vectors = vectors
        self.wv.norms = None
        self.output_parameters = {name: np.array(values) for name, values in parameters.items()}

    def get_latest_training_loss(self) -> float:
        """The summed loss of the latest call of ``train`` so far: float64 nats, over all pairs."""
        return self.running_training_loss

    def init_sims(self, replace: bool = False) -> None:
        """Normalise the vectors in place with ``replace`` (gensim's old name); otherwise nothing is needed."""
        if replace:
            self.wv.vectors /= np.maximum(np.linalg.norm(self.wv.vectors, axis=1, keepdims=True), 1e-30)
            self.wv.norms = None

    # -- prediction --------------------------------------------------------------------------------------------

    def predict_output_word(
        self, context_words_list: Sequence[str | int], topn: int = 10
    ) -> list[tuple[str, float]] | None:
        """The most probable centre words of a context, as (word, probability); None where no word is known.

        The input is the mean of the context's vectors (their sum with ``cbow_mean=0``). The probabilities are the
        model's own; under ns, which has none, they are gensim's: a softmax over all the output vectors.
        """
        hidden = self._hidden(context_words_list)
        if hidden is None:
            warnings.warn("no word of the context is in the vocabulary", stacklevel=2)
            return None
        if self.config.objective != "ns":
            probabilities = np.exp(self._log_probabilities(hidden))
        else:
            logits = self.output_vectors @ hidden
            probabilities = np.exp(logits - logits.max())
            probabilities /= probabilities.sum()
        best = np.argsort(-probabilities, kind="stable")[:topn]
        return [(self.wv.index_to_key[row], float(probabilities[row])) for row in best]

    def log_probability(self, centre: str | int, context: str | Sequence[str | int]) -> float:
        """log p(centre | context) under the model, float64 nats; context: words, or one word.

        Words of the context that are not in the vocabulary are left out. Raises KeyError where the centre or all of
        the context is unknown, and ConfigError for ns, which learns no probabilities.
        """
        if self.config.objective == "ns":
            raise ConfigError("ns learns no probabilities: train with objective hs, class, adaptive or full")
        row = self.wv.get_index(centre)
        hidden = self._hidden([context] if isinstance(context, (str, int, np.integer)) else context)
        if hidden is None:
            raise KeyError(f"no word of the context {context!r} is in the vocabulary")
        return float(self._log_probabilities(hidden)[row])

    def _hidden(self, context: Sequence[str | int]) -> np.ndarray | None:
        """The hidden vector of a context, (D,) float64; None where no word of it is known."""
        rows = [row for row in (self.wv.get_index(word, -1) for word in context) if row >= 0]
        if not rows:
            return None
        hidden = self.wv.vectors[rows].astype(np.float64).sum(axis=0)
        return hidden / len(rows) if self.cbow_mean else hidden

    def _log_probabilities(self, hidden: np.ndarray) -> np.ndarray:
        """log p of every word, (V,) float64 nats."""
        return self._current_tables().log_probabilities(hidden, self.output_parameters)[0]

    def _current_tables(self) -> Objective:
        """The objective with its tables: built once, and again where vocabulary or settings have changed."""
        from w2v.objectives import make_objective

        counts = self._counts()
        if self._tables is None or self._tables[0] != self.config or self._tables[1] is not counts:
            self._tables = self.config, counts, make_objective(self.config, counts)
        return self._tables[2]

    # -- files -------------------------------------------------------------------------------------------------

    def save(self, fname: str | os.PathLike, *args: object, **kwargs: object) -> None:
        """Write a model folder (see ``w2v.vectors.folder``), from which ``load`` can go on training.

        gensim's further arguments (``separately``, ``sep_limit``, ``pickle_protocol``, …) have no effect.
        """
        from w2v.vectors.folder import save_model_folder

        state = {
            "comment": None if self.comment is None else str(self.comment),
            "corpus_count": self.corpus_count,
            "corpus_total_words": self.corpus_total_words,
            "epochs_done": self._epochs_done,
            "total_train_time": self.total_train_time,
            "asked": self._asked,
        }
        save_model_folder(
            fname,
            config={**self.config.to_dict(), "word2vec": state},
            words=self.wv.index_to_key,
            counts=self._counts(),
            input_vectors=self.wv.vectors,
            output_parameters=self.output_parameters,
            training=self._training,
        )

    @classmethod
    def load(cls, fname: str | os.PathLike, *args: object, mmap: str | None = None, **kwargs: object) -> Word2Vec:
        """Read a model folder that ``save`` or ``w2v train`` wrote; FormatError where it is none, or is damaged.

        ``build_vocab`` then derives again what had been left to the objective. A folder of ``w2v train`` does not
        tell that from what was given: its cut-offs stay while they fit, and its ``batch_pairs`` stay.
        """
        from w2v.vectors.folder import load_model_folder

        if os.path.isfile(fname):
            raise FormatError(f"{fname} is a file: Word2Vec.load reads model folders, KeyedVectors.load vector files")
        folder = load_model_folder(fname, mmap=mmap is not None)
        model = cls.__new__(cls)
        try:
            model.config = TrainConfig.from_dict(folder.config).resolved()
        except (ConfigError, TypeError) as error:
            raise FormatError(f"{fname}: config.json does not describe a training run: {error}") from error
        model.callbacks = ()
        model._reset()
        model.wv = KeyedVectors.from_arrays(folder.words, folder.input_vectors, folder.counts)
        model.output_parameters = _checked_outputs(fname, folder, model.config)
        state = folder.config.get("word2vec")
        state = state if isinstance(state, dict) else {}
        model._asked = _checked_asked(fname, state.get("asked"), model.config)
        model.comment = state.get("comment")
        model.corpus_count = state.get("corpus_count", 0)
        model.corpus_total_words = state.get("corpus_total_words", 0)
        model._epochs_done = state.get("epochs_done", model.config.epochs)
        model.total_train_time = state.get("total_train_time", 0.0)
        model._training = folder.training
        return model


def _checked_asked(path: object, asked: object, config: TrainConfig) -> dict[str, object]:
    """What was asked for of DERIVED, and the configuration's values where a folder does not tell."""
    asked = asked if isinstance(asked, dict) else {}
    try:
        wanted = replace(config, **{name: asked[name] for name in DERIVED if name in asked})
    except (ConfigError, TypeError) as error:
        raise FormatError(f"{path}: config.json does not describe a training run: {error}") from error
    return {name: getattr(wanted, name) for name in DERIVED}


def _checked_outputs(path: object, folder: ModelFolder, config: TrainConfig) -> dict[str, np.ndarray]:
    """The output parameters of a model folder, writable; FormatError where they do not fit its words and settings."""
    from w2v.objectives import make_objective

    if not folder.output_parameters or folder.counts is None:
        raise FormatError(f"{path} holds vectors alone, which cannot be trained: use KeyedVectors.load")
    try:
        expected = make_objective(config, folder.counts).parameter_shapes
    except ConfigError as error:
        raise FormatError(f"{path}: config.json does not fit its vocabulary: {error}") from error
    found = {"input_vectors": folder.input_vectors, **folder.output_parameters}
    for name, shape in expected.items():
        if name not in found:
            raise FormatError(f"{path}: {name}.npy is missing: the folder is damaged")
        if found[name].shape != shape or found[name].dtype != np.float32:
            raise FormatError(
                f"{path}: {name}.npy is {found[name].dtype} of shape {found[name].shape}, where float32 of {shape} "
                "is needed: the folder is damaged"
            )
    return {name: np.array(found[name]) for name in expected if name != "input_vectors"}


def _objective(objective: str | None, hs: int, negative: int) -> str:
    """Reconcile gensim's two switches with ``objective``; raises ConfigError where they contradict each other."""
    if hs and objective not in (None, "hs"):
        raise ConfigError(f"hs=1 contradicts objective={objective!r}: give one of them")
    if hs and negative > 0:
        warnings.warn(
            f"hs=1 trains hierarchical softmax alone: negative={negative} is ignored (negative=0 says so)",
            stacklevel=3,
        )
    if hs:
        return "hs"
    if objective in (None, "ns") and not negative:
        raise ConfigError("negative=0 leaves nothing to train on: use hs=1 or negative=5")
    return objective or "ns"


def _check_callbacks(callbacks: Sequence[object]) -> None:
    """Before a long text is read."""
    from w2v.training.model_callbacks import split_callbacks

    split_callbacks(callbacks)


def _one_source(sentences: Sentences | None, corpus_file: str | os.PathLike | None) -> None:
    if (sentences is None) == (corpus_file is None):
        raise TypeError("give either sentences or corpus_file, and not both")
