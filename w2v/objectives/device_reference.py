"""The update rule of the GPU kernels in float64, one worker after the other: what ``window.cu`` is tested against.

It differs from ``reference.ReferenceTrainer`` in what a worker holds for itself. A worker trains a chunk of
consecutive windows with a ring of the 2·window + 1 context rows around its centre, each read from the input matrix
one window before it enters; what a row has moved goes back, scaled, when it leaves. Targets are met in groups: a
group's rows are read together, the contexts move after each group, and the group's movement goes back, scaled, at
its end.
"""

from dataclasses import dataclass

import numpy as np

from w2v.config import TrainConfig
from w2v.kernels.targets_cpu import target_capacity
from w2v.objectives.base import RowWiseObjective
from w2v.objectives.reference import Window, cut_windows, window_gradients, window_gradients_in_turn


@dataclass
class _Held:
    """A row of the ring: as it is, and as it was read."""

    word: int
    value: np.ndarray
    origin: np.ndarray


class DeviceRuleTrainer:
    """Sequential float64 training by the rule of the GPU kernels with one worker.

    input_vectors (V, D) and output_vectors (rows, D) change in place. group: targets met at once; chunk: windows per
    chunk; input_scales (V,), output_scales (rows,): by what the movement of a row is multiplied.
    """

    def __init__(
        self,
        config: TrainConfig,
        objective: RowWiseObjective,
        input_vectors: np.ndarray,
        output_vectors: np.ndarray,
        *,
        group: int,
        chunk: int,
        input_scales: np.ndarray | None = None,
        output_scales: np.ndarray | None = None,
    ) -> None:
        """Take copies of the parameters in float64."""
        self.config = config
        self.objective = objective
        self.input_vectors = np.array(input_vectors, np.float64)
        self.output_vectors = np.array(output_vectors, np.float64)
        self.group = group
        self.chunk = chunk
        self.input_scales = np.ones(len(input_vectors)) if input_scales is None else input_scales
        self.output_scales = np.ones(len(output_vectors)) if output_scales is None else output_scales

    def train(self, ids: np.ndarray, epoch: int, first_rate: float, last_rate: float) -> tuple[float, int, int, int]:
        """One epoch, its learning rate falling from chunk to chunk; (loss in nats, pairs, kept words, words)."""
        windows, words = cut_windows(self.config, self.objective, ids, epoch)
        losses, pairs = self.train_segment(windows, 0, len(windows), first_rate, last_rate)
        return float(losses.sum()), pairs, len(windows), words

    def train_segment(
        self, windows: list[Window], first: int, last: int, first_rate: float, last_rate: float
    ) -> tuple[np.ndarray, int]:
        """Train the centres windows[first:last], the others being contexts only; (losses of the chunks, pairs)."""
        losses, pairs = [], 0
        for begin in range(first, last, self.chunk):
            rate = first_rate + (last_rate - first_rate) * (begin - first) / (last - first)
            loss, gained_pairs = self._chunk(windows, begin, min(begin + self.chunk, last), rate)
            losses.append(loss)
            pairs += gained_pairs
        return np.array(losses), pairs

    def _chunk(self, windows: list[Window], begin: int, end: int, rate: float) -> tuple[float, int]:
        width = self.config.window
        ring: dict[int, _Held] = {}
        loss, pairs = 0.0, 0
        entering = max(0, begin - width)
        coming = self._read(windows, entering)
        for centre in range(begin, end):
            while coming is not None and entering <= centre + width:
                if entering - 2 * width - 1 in ring:
                    self._leave(ring.pop(entering - 2 * width - 1))
                ring[entering] = coming
                entering += 1
                coming = self._read(windows, entering)
            window = windows[centre]
            places = [*range(centre - window.left, centre), *range(centre + 1, centre + 1 + window.right)]
            if places:
                loss += self._window(window, [ring[place] for place in places], rate)
                pairs += 1 if self.config.model == "cbow" else len(places)
        for held in ring.values():
            self._leave(held)
        return loss, pairs

    def _read(self, windows: list[Window], place: int) -> _Held | None:
        if place >= len(windows):
            return None
        word = windows[place].word
        return _Held(word, self.input_vectors[word].copy(), self.input_vectors[word].copy())

    def _leave(self, held: _Held) -> None:
        self.input_vectors[held.word] += self.input_scales[held.word] * (held.value - held.origin)

    def _window(self, window: Window, contexts: list[_Held], rate: float) -> float:
        if self.config.model == "cbow":
            return self._cbow(window, contexts, rate)
        if self.config.negatives_per_pair:
            step = target_capacity(self.objective.tables)
            return sum(
                self._skipgram(window, [context], rate, 1 + place * step) for place, context in enumerate(contexts)
            )
        return self._skipgram(window, contexts, rate, 1)

    def _skipgram(self, window: Window, contexts: list[_Held], rate: float, first_draw: int) -> float:
        loss = 0.0
        gradients = _in_turn(rate) if self.objective.in_turn else window_gradients
        for rows, signs in self._groups(window, first_draw):
            inputs = np.array([context.value for context in contexts])
            gained, d_inputs, d_outputs = gradients(inputs, self.output_vectors[rows], signs)
            for context, gradient in zip(contexts, d_inputs, strict=True):
                context.value -= rate * gradient
            self._move(rows, -rate * d_outputs)
            loss += gained
        return loss

    def _cbow(self, window: Window, contexts: list[_Held], rate: float) -> float:
        hidden = np.sum([context.value for context in contexts], axis=0, keepdims=True)
        if not self.config.cbow_sum:
            hidden /= len(contexts)
        loss, movement = 0.0, np.zeros_like(hidden[0])
        for rows, signs in self._groups(window, 1):
            gained, d_hidden, d_outputs = window_gradients(hidden, self.output_vectors[rows], signs)
            movement -= rate * d_hidden[0]
            self._move(rows, -rate * d_outputs)
            loss += gained
        for context in contexts:
            context.value += movement
        return loss

    def _groups(self, window: Window, first_draw: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """The targets by groups. A noise word that is skipped keeps its place in its group."""
        rows, signs = self.objective.listed_targets(window.word, window.key, first_draw)
        cuts = range(self.group, rows.size, self.group)
        groups = zip(np.split(rows, cuts), np.split(signs, cuts), strict=True)
        return [(rows[signs != 0], signs[signs != 0]) for rows, signs in groups]

    def _move(self, rows: np.ndarray, movement: np.ndarray) -> None:
        np.add.at(self.output_vectors, rows, self.output_scales[rows, None] * movement)


def _in_turn(rate: float):  # noqa: ANN202 - a closure with window_gradients' signature
    return lambda inputs, outputs, signs: window_gradients_in_turn(inputs, outputs, signs, rate)
