"""Block softmax: a normalised distribution over the words, made of a few softmax blocks. Three configurations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np

from w2v.config import TrainConfig
from w2v.errors import ConfigError
from w2v.kernels.stream_cpu import keep_thresholds
from w2v.objectives.batching import CorpusShape, default_batch_pairs
from w2v.objectives.block_layout import BlockLayout, adaptive_layout, class_edges, class_layout, full_layout

# Standard deviation of a fresh input row's values. Anything from 0.01 to 0.1 learned alike; 0.5 did harm.
INPUT_DEVIATION = 0.05
# Share of the stream for a word that never occurred (a given vocabulary may list some), in occurrences.
UNSEEN = 0.5


class BlockObjective(ABC):
    """−log p(w|h), p(w|h) = p_head(w|h) for a word of the short-list, p_head(c|h)·p_c(w|h) for a word of cluster c.

    Every p is a softmax: logits h·o_k + b_k, with h projected first where a tail says so, and b fixed at the log of
    the share that k has of the block's targets (``output_bias`` "unigram") or 0 ("none"). Domain: any real inputs.
    Normalised over the vocabulary. Words are ordered by rank of frequency; ``ranks`` tells it, (V,) int32.

    Parameters (float32), names as ``parameter_shapes`` gives them: inputs (V, D); of the head and of every tail word
    vectors and their accumulators of row-wise Adagrad; of a projected tail its projection (D, size) and accumulators.
    """

    name: ClassVar[str]
    normalised: ClassVar[bool] = True

    def __init__(self, counts: np.ndarray, config: TrainConfig) -> None:
        """Build layout and biases from counts, (V,) int64; raises ConfigError where the options do not fit V."""
        self.counts = np.ascontiguousarray(counts, np.int64)
        self.config = config
        order = self._order()
        self.ranks = np.empty(order.size, np.int32)
        self.ranks[order] = np.arange(order.size, dtype=np.int32)
        self.layout = self.build_layout(self.counts[order], config)
        self.share = stream_shares(self.counts, config.sample)[order]
        self.head_bias, self.word_bias = self._biases()

    @classmethod
    def resolve(cls, config: TrainConfig, shape: CorpusShape, device: str, say: Callable[[str], None]) -> TrainConfig:
        """Fill in the size of a batch."""
        if config.batch_pairs is None:
            config = replace(config, batch_pairs=default_batch_pairs(config, shape))
        return config

    def _order(self) -> np.ndarray:
        """Words by falling frequency: rank → word."""
        return np.argsort(-self.counts, kind="stable")

    @staticmethod
    @abstractmethod
    def build_layout(counts: np.ndarray, config: TrainConfig) -> BlockLayout:
        """The blocks; counts: (V,), falling; raises ConfigError where the options do not fit V."""

    def _biases(self) -> tuple[np.ndarray, np.ndarray]:
        """Biases of the head's columns, and of every word within its block, by rank; float32."""
        layout, share = self.layout, self.share
        if self.config.output_bias == "none":
            return np.zeros(layout.columns, np.float32), np.zeros(layout.words, np.float32)
        word = np.log(share)
        sums = np.add.reduceat(share, layout.edges[:-1]) if layout.clusters else np.empty(0)
        word[layout.shortlist :] -= np.repeat(np.log(sums), np.diff(layout.edges))
        head = np.concatenate([word[: layout.shortlist], np.log(sums)])
        return head.astype(np.float32), word.astype(np.float32)

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all the parameters, in a fixed order."""
        layout = self.layout
        shapes: dict[str, tuple[int, ...]] = {
            "input_vectors": (layout.words, layout.size),
            "input_accumulators": (layout.words,),
            f"{layout.head}_vectors": (layout.columns, layout.size),
            f"{layout.head}_accumulators": (layout.columns,),
        }
        for tail in layout.tails:
            if tail.projected:
                shapes[f"{tail.name}_projection"] = (layout.size, tail.size)
                shapes[f"{tail.name}_projection_accumulators"] = (layout.size,)
            shapes[f"{tail.name}_vectors"] = (tail.words, tail.size)
            shapes[f"{tail.name}_accumulators"] = (tail.words,)
        return shapes

    @property
    def initial_half_widths(self) -> dict[str, float]:
        """Parameters that begin uniform in ± this; all the others begin at zero."""
        projections = {f"{tail.name}_projection": (3 / self.layout.size) ** 0.5 for tail in self.layout.tails}
        shapes = self.parameter_shapes
        widths = {"input_vectors": INPUT_DEVIATION * 3**0.5, **projections}
        return {name: width for name, width in widths.items() if name in shapes}

    def log_probabilities(self, hidden: np.ndarray, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """log p(w|h) of every word, (n, V) in the vocabulary's order, float64 nats; hidden: (n, D)."""
        layout = self.layout
        hidden = np.atleast_2d(hidden).astype(np.float64)
        logits = hidden @ parameters[f"{layout.head}_vectors"].astype(np.float64).T + self.head_bias
        head = log_softmax(logits)
        by_rank = np.empty((len(hidden), layout.words))
        by_rank[:, : layout.shortlist] = head[:, : layout.shortlist]
        column = layout.shortlist
        for tail in layout.tails:
            inner = hidden
            if tail.projected:
                inner = hidden @ parameters[f"{tail.name}_projection"].astype(np.float64)
            vectors = parameters[f"{tail.name}_vectors"].astype(np.float64)
            for begin, end in zip(tail.edges, tail.edges[1:], strict=False):
                rows = vectors[begin - tail.edges[0] : end - tail.edges[0]]
                within = log_softmax(inner @ rows.T + self.word_bias[begin:end])
                by_rank[:, begin:end] = head[:, column : column + 1] + within
                column += 1
        return by_rank[:, self.ranks]


class FullSoftmax(BlockObjective):
    """One block with every word: the exact softmax that the others approximate."""

    name = "full"

    def _order(self) -> np.ndarray:
        return np.arange(self.counts.size)

    @staticmethod
    def build_layout(counts: np.ndarray, config: TrainConfig) -> BlockLayout:
        """One block of every word."""
        return full_layout(counts.size, config.vector_size)


class ClassSoftmax(BlockObjective):
    """p(class|h)·p(word|class, h), about √V classes of words of like frequency (Goodman 2001: Classes for fast
    maximum entropy training, eq. 3)."""  # fmt: skip

    name = "class"

    @staticmethod
    def build_layout(counts: np.ndarray, config: TrainConfig) -> BlockLayout:
        """A head of classes, and a block of the words of each."""
        classes = config.classes or max(1, round(counts.size**0.5))
        if classes > counts.size:
            raise ConfigError(f"--classes {classes} is more than the {counts.size} words: lower it")
        return class_layout(counts.size, config.vector_size, class_edges(counts, classes))


class AdaptiveSoftmax(BlockObjective):
    """A head with a short-list of words and one entry per tail cluster; tails see projected inputs.

    Grave, Joulin, Cissé, Grangier & Jégou 2017: Efficient softmax approximation for GPUs, section 4.
    """

    name = "adaptive"

    @classmethod
    def resolve(cls, config: TrainConfig, shape: CorpusShape, device: str, say: Callable[[str], None]) -> TrainConfig:
        """Fill in the size of a batch, and the cut-offs that are cheapest under the cost model."""
        from w2v.cost import resolve_cutoffs

        return resolve_cutoffs(super().resolve(config, shape, device, say), shape, device, say)

    @staticmethod
    def build_layout(counts: np.ndarray, config: TrainConfig) -> BlockLayout:
        """A short-list with the clusters, and a projected block of the words of each cluster."""
        cutoffs = config.cutoffs
        if cutoffs == "auto":
            raise ConfigError("--cutoffs auto has to be resolved for a vocabulary first")
        if cutoffs and cutoffs[-1] >= counts.size:
            raise ConfigError(
                f"--cutoffs {','.join(map(str, cutoffs))} must stay below the {counts.size} words of the vocabulary"
            )
        return adaptive_layout(counts.size, config.vector_size, cutoffs, config.div_value, config.shortlist)


def stream_shares(counts: np.ndarray, sample: float) -> np.ndarray:
    """Share of each word in the sub-sampled stream, (V,) float64, all above 0; counts: (V,) int64."""
    keep = (keep_thresholds(counts, sample).astype(np.float64) + 1) / 2**32
    weights = np.maximum(counts, UNSEEN) * keep
    return weights / weights.sum()


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Along the last axis; float64 of the same shape."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
