"""Block softmax in float64, pair by pair, written from the formulas: what the implementations are tested against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from w2v.kernels.softmax_cpu import EPSILON
from w2v.objectives.block_layout import Tail
from w2v.objectives.block_softmax import BlockObjective

#: Input words of a hidden vector and the rank of what it is to predict: one word, or a bag with cbow.
Example = tuple[Sequence[int], int]


class BlockReference:
    """Loss, gradients and steps of a block objective; parameters: float64 copies by name, changed in place."""

    def __init__(self, objective: BlockObjective, parameters: Mapping[str, np.ndarray], mean: bool = True) -> None:
        """mean: whether a bag's hidden vector is the mean of its inputs, not their sum."""
        self.objective, self.mean = objective, mean
        self.parameters = {name: np.array(values, np.float64) for name, values in parameters.items()}

    def hidden(self, words: Sequence[int]) -> np.ndarray:
        """The hidden vector (D,) of input words."""
        rows = self.parameters["input_vectors"][list(words)]
        return rows.mean(axis=0) if self.mean else rows.sum(axis=0)

    def _blocks(self, rank: int) -> tuple[int, Tail | None, int, int]:
        """(column of the head, tail or None, first and last rank of the cluster) of a target."""
        layout = self.objective.layout
        column = layout.shortlist
        if rank < column:
            return rank, None, 0, 0
        for tail in layout.tails:
            for begin, end in zip(tail.edges, tail.edges[1:], strict=False):
                if begin <= rank < end:
                    return column, tail, begin, end
                column += 1
        raise IndexError(rank)

    def loss_and_gradients(self, examples: Sequence[Example]) -> tuple[float, dict[str, np.ndarray]]:
        """Σ −log p over examples, nats, and its gradients by the parameters' names.

        The gradient of the inputs follows word2vec.c: every word of a bag gets the whole gradient of the hidden
        vector, also where that is the mean.
        """
        gradients = {name: np.zeros_like(values) for name, values in self.parameters.items()}
        loss = 0.0
        for words, rank in examples:
            hidden = self.hidden(words)
            gained, d_hidden = self._example(hidden, rank, gradients)
            loss += gained
            for word in words:
                gradients["input_vectors"][word] += d_hidden
        return loss, gradients

    def _example(self, hidden: np.ndarray, rank: int, gradients: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
        layout, objective = self.objective.layout, self.objective
        column, tail, begin, end = self._blocks(rank)
        head = f"{layout.head}_vectors"
        loss, d_hidden, d_head = _softmax(self.parameters[head], objective.head_bias, hidden, column)
        gradients[head] += d_head
        if tail is None:
            return loss, d_hidden
        first = begin - tail.edges[0]
        rows, name = slice(first, first + end - begin), f"{tail.name}_vectors"
        projection = f"{tail.name}_projection"
        inner = hidden @ self.parameters[projection] if tail.projected else hidden
        bias = objective.word_bias[begin:end]
        within, d_inner, d_rows = _softmax(self.parameters[name][rows], bias, inner, rank - begin)
        gradients[name][rows] += d_rows
        if not tail.projected:
            return loss + within, d_hidden + d_inner
        gradients[projection] += np.outer(hidden, d_inner)
        return loss + within, d_hidden + self.parameters[projection] @ d_inner

    def step(self, examples: Sequence[Example], rate: float) -> float:
        """One step of row-wise Adagrad on the examples together; returns their loss."""
        loss, gradients = self.loss_and_gradients(examples)
        for name, gradient in gradients.items():
            if name.endswith("accumulators"):
                continue
            stem = name if name.endswith("projection") else name.removesuffix("_vectors")
            accumulators = self.parameters[f"{stem}_accumulators"]
            accumulators += (gradient**2).mean(axis=1)
            self.parameters[name] -= rate * gradient / np.sqrt(accumulators + EPSILON)[:, None]
        return loss


def _softmax(
    rows: np.ndarray, bias: np.ndarray, hidden: np.ndarray, target: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """−log softmax(rows · hidden + bias)[target], and its gradients by hidden and rows."""
    logits = rows @ hidden + bias
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    d_logits = shares.copy()
    d_logits[target] -= 1.0
    return -float(np.log(shares[target])), d_logits @ rows, np.outer(d_logits, hidden)
