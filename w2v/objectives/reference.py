"""The row-wise family in float64 NumPy, written from the formulas: what every kernel is tested against."""

from dataclasses import dataclass

import numpy as np

from w2v.config import TrainConfig
from w2v.kernels.random import STREAM_SUBSAMPLE, STREAM_WINDOW, below, draw, epoch_key, window_key
from w2v.kernels.stream_cpu import SENTENCE_END, is_kept, keep_thresholds
from w2v.kernels.targets_cpu import target_capacity
from w2v.objectives.base import RowWiseObjective


def window_gradients(
    inputs: np.ndarray, outputs: np.ndarray, signs: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Loss and gradients of one window: loss = Σ_ck log(1 + exp(−s_k x_c·o_k)), nats.

    inputs: (C, D), outputs: (K, D), signs: (K,) of ±1. Returns the loss, d_inputs (C, D) and d_outputs (K, D),
    float64. d loss / d (x_c·o_k) = −s_k σ(−s_k x_c·o_k).
    """
    logits = inputs @ outputs.T
    loss = np.logaddexp(0.0, -signs * logits).sum()
    d_logits = -signs * np.exp(-np.logaddexp(0.0, signs * logits))
    return float(loss), d_logits @ outputs, d_logits.T @ inputs


def window_gradients_in_turn(
    inputs: np.ndarray, outputs: np.ndarray, signs: np.ndarray, rate: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """``window_gradients`` where two inputs at a time meet the outputs as the earlier ones have moved them."""
    moved = outputs.copy()
    loss, d_inputs = 0.0, []
    for pair in range(0, len(inputs), 2):
        logits = inputs[pair : pair + 2] @ moved.T
        loss += np.logaddexp(0.0, -signs * logits).sum()
        d_logits = -signs * np.exp(-np.logaddexp(0.0, signs * logits))
        d_inputs.append(d_logits @ moved)
        moved -= rate * d_logits.T @ inputs[pair : pair + 2]
    return float(loss), np.concatenate(d_inputs), (outputs - moved) / rate


@dataclass(frozen=True)
class Window:
    """A kept word, how many kept words to its left and right are its contexts, and its uint64 key."""

    word: int
    left: int
    right: int
    key: np.uint64


def cut_windows(
    config: TrainConfig, objective: RowWiseObjective, ids: np.ndarray, epoch: int
) -> tuple[list[Window], int]:
    """The windows of an epoch, one per kept word in the order of the text, and the number of words before that."""
    thresholds = keep_thresholds(objective.counts, config.sample)
    subsample_key = np.uint64(epoch_key(np.uint64(config.seed), epoch, STREAM_SUBSAMPLE))
    draw_key = np.uint64(epoch_key(np.uint64(config.seed), epoch, STREAM_WINDOW))
    windows: list[Window] = []
    sentence: list[tuple[int, int]] = []
    words = 0
    for position, word in enumerate([*ids.tolist(), SENTENCE_END]):
        if word != SENTENCE_END:
            words += 1
            if is_kept(word, position, thresholds, subsample_key):
                sentence.append((word, position))
            continue
        for centre, (kept, place) in enumerate(sentence):
            key = np.uint64(window_key(draw_key, place))
            width = config.window
            if config.shrink_windows:
                width = 1 + int(below(draw(key, 0), width))
            windows.append(Window(kept, min(centre, width), min(len(sentence) - 1 - centre, width), key))
        sentence = []
    return windows, words


class ReferenceTrainer:
    """Plain sequential training in float64: the same windows, draws and updates as the kernels, nothing fused.

    input_vectors (V, D) and output_vectors (rows, D) are float64 and change in place. Every window reads the rows
    as they were before it; updates of rows that stand twice add up.
    """

    def __init__(
        self,
        config: TrainConfig,
        objective: RowWiseObjective,
        input_vectors: np.ndarray,
        output_vectors: np.ndarray,
    ) -> None:
        """Take copies of the parameters in float64."""
        self.config = config
        self.objective = objective
        self.input_vectors = np.array(input_vectors, np.float64)
        self.output_vectors = np.array(output_vectors, np.float64)

    def train(self, ids: np.ndarray, epoch: int, learning_rate: float) -> tuple[float, int, int, int]:
        """One epoch at a fixed learning rate; returns (loss in nats, pairs, kept words, words)."""
        windows, words = cut_windows(self.config, self.objective, ids, epoch)
        loss, pairs = 0.0, 0
        for place, window in enumerate(windows):
            around = windows[place - window.left : place] + windows[place + 1 : place + 1 + window.right]
            contexts = np.array([other.word for other in around], np.int64)
            if contexts.size:
                gained = self._window(window.word, contexts, window.key, learning_rate)
                loss += gained[0]
                pairs += gained[1]
        return loss, pairs, len(windows), words

    def _window(self, word: int, contexts: np.ndarray, key: np.uint64, rate: float) -> tuple[float, int]:
        if self.config.model == "cbow":
            return self._cbow(word, contexts, key, rate), 1
        if self.config.negatives_per_pair:
            capacity = target_capacity(self.objective.tables)
            losses = [
                self._step(contexts[c : c + 1], *self.objective.targets(word, key, 1 + c * capacity), rate)
                for c in range(contexts.size)
            ]
            return sum(losses), contexts.size
        return self._step(contexts, *self.objective.targets(word, key), rate), contexts.size

    def _step(self, contexts: np.ndarray, rows: np.ndarray, signs: np.ndarray, rate: float) -> float:
        inputs, outputs = self.input_vectors[contexts], self.output_vectors[rows]
        if self.objective.in_turn:
            loss, d_inputs, d_outputs = window_gradients_in_turn(inputs, outputs, signs, rate)
        else:
            loss, d_inputs, d_outputs = window_gradients(inputs, outputs, signs)
        np.subtract.at(self.input_vectors, contexts, rate * d_inputs)
        np.subtract.at(self.output_vectors, rows, rate * d_outputs)
        return loss

    def _cbow(self, word: int, contexts: np.ndarray, key: np.uint64, rate: float) -> float:
        rows, signs = self.objective.targets(word, key)
        hidden = self.input_vectors[contexts].sum(axis=0, keepdims=True)
        if not self.config.cbow_sum:
            hidden /= contexts.size
        loss, d_hidden, d_outputs = window_gradients(hidden, self.output_vectors[rows], signs)
        # word2vec.c gives every context the whole gradient of the mean, not its share of it.
        np.subtract.at(self.input_vectors, contexts, rate * np.repeat(d_hidden, contexts.size, axis=0))
        np.subtract.at(self.output_vectors, rows, rate * d_outputs)
        return loss
