"""Hierarchical softmax over the Huffman tree of the counts."""

import math
from collections.abc import Mapping

import numpy as np

from w2v.config import TrainConfig
from w2v.kernels.tables_cpu import build_huffman, fill_paths, path_lengths
from w2v.kernels.targets_cpu import PathTables
from w2v.objectives.base import RowWiseObjective


class HierarchicalSoftmax(RowWiseObjective):
    """−log p(w|h), p(w|h) = Π over the path of w of σ(s_k h·o_k), s_k = +1 for code 0 and −1 for code 1.

    Mikolov et al. 2013: Distributed Representations of Words and Phrases, eq. 3; the tree is word2vec.c's
    (CreateBinaryTree). Normalised: the probabilities of all the words sum to 1 for any h.
    """

    name = "hs"
    normalised = True
    # All the contexts of a window push the same path the same way: together they would overshoot.
    in_turn = True
    # Every window goes through the root: at four times as many a point of SimLex-999 was lost.
    unseen_touches = (64, 16)
    # Every input leans on the top of the tree: where that learns too slowly, the inputs grow to make up for it, and
    # similarities suffer before anything else.
    unseen_contributions = 128.0

    def _build_tables(self, config: TrainConfig) -> PathTables:
        size = self.counts.size
        parent = np.empty(2 * size - 1, np.int32)
        branch = np.zeros(2 * size - 1, np.int8)
        # The two queues need falling counts; a vocabulary that grew later is not in that order.
        order = np.argsort(-self.counts, kind="stable")
        # Counts of zero would be joined into a chain, one level a word.
        build_huffman(_joinable(self.counts[order]), parent, branch)
        parent[order], branch[order] = parent[:size].copy(), branch[:size].copy()
        offsets = np.empty(size + 1, np.int64)
        longest = path_lengths(parent, offsets)
        nodes = np.empty(offsets[-1], np.int32)
        codes = np.empty(offsets[-1], np.int8)
        fill_paths(parent, branch, offsets, nodes, codes)
        return PathTables(offsets, nodes, codes, longest)

    @property
    def output_rows(self) -> int:
        """One output vector per inner node: V − 1."""
        return self.counts.size - 1

    def first_hot_row(self, count: int) -> int:
        """The tree is numbered from its leaves: the root and the nodes below it come last."""
        return self.output_rows - count

    def expected_touches(self, share: np.ndarray) -> np.ndarray:
        """The share of all the words below a node."""
        lengths = np.diff(self.tables.offsets)
        return np.bincount(self.tables.nodes, np.repeat(share, lengths), minlength=self.output_rows)

    def listed_targets(self, word: int, key: object = None, first_draw: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """The inner nodes from the root to the word, and the sign of the branch taken at each; nothing is drawn."""
        path = slice(self.tables.offsets[word], self.tables.offsets[word + 1])
        return self.tables.nodes[path].astype(np.int64), 1.0 - 2.0 * self.tables.codes[path]

    def log_probabilities(self, hidden: np.ndarray, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """log p(w|h) of every word, (n, V) float64 nats; hidden: (n, D); parameters: ``output_vectors`` (V−1, D)."""
        logits = np.atleast_2d(hidden).astype(np.float64) @ parameters["output_vectors"].astype(np.float64).T
        steps = -np.logaddexp(0.0, -(1.0 - 2.0 * self.tables.codes) * logits[:, self.tables.nodes])
        # A running total's differences are the sums per path, also where a path is empty (a single word).
        running = np.concatenate([np.zeros((len(logits), 1)), np.cumsum(steps, axis=1)], axis=1)
        return running[:, self.tables.offsets[1:]] - running[:, self.tables.offsets[:-1]]


def _joinable(counts: np.ndarray) -> np.ndarray:
    """Counts of 1 or more whose sum fits int64, (V,) int64: halved as often as it takes, where they are huge.

    A sum that wraps round would be the lightest node of all, and make the tree a chain.
    """
    halvings = max(0, math.ceil(math.log2(max(1.0, float(counts.sum(dtype=np.float64))))) - 62)
    return np.maximum(counts >> halvings, 1)
