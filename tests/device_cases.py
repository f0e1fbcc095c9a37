"""What the tests of the GPU's row-wise kernels share: windows as a kernel gets them, its launch, and the comparison.

problem = Problem.drawn(TrainConfig(objective="hs", vector_size=33), words=40)
shape = problem.shape(hot=7, warps=2)
found = launch(problem, shape, chunk=16, grid=3)            # window.cu in the emulator
trainer, losses = problem.train_reference(shape, chunk=16)  # the same in float64
problem.assert_close(found, trainer, losses)
"""

from dataclasses import dataclass, field

import numpy as np
from corpora import random_ids
from cuda_emulation import build
from w2v.kernels.targets_cpu import target_capacity
from w2v.kernels.window import EXCHANGES, LANES, NAME, TURNS, exchange_turns, group_size
from w2v.kernels.window import Window as Shape

from w2v.config import TrainConfig
from w2v.objectives import make_objective
from w2v.objectives.base import RowWiseObjective
from w2v.objectives.device_reference import DeviceRuleTrainer
from w2v.objectives.reference import Window, cut_windows

RATES = 0.03, 0.01
EPOCH = 2
# What stands where a kernel has nothing to read: as an index it leaves every array.
RUBBISH = 0x7EEEEEEE
# Error of float32 against float64, of the largest change of the matrix.
TOLERANCE = 2e-5


class Fenced:
    """Several copies of an objective side by side: word and targets of a window are always of one copy.

    Word w of copy n is n · words + w, and output rows alike.
    """

    def __init__(self, config: TrainConfig, counts: np.ndarray, copies: int) -> None:
        self.inner = make_objective(config, counts)
        self.counts = np.tile(counts, copies)
        self.output_rows = copies * self.inner.output_rows
        self.tables = self.inner.tables
        self.in_turn = self.inner.in_turn

    def listed_targets(self, word: int, key: np.uint64 = 0, first_draw: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Output rows and signs of a word, as the copy that it belongs to has them."""
        copy, inner_word = divmod(word, self.inner.counts.size)
        rows, signs = self.inner.listed_targets(inner_word, key, first_draw)
        return rows + copy * self.inner.output_rows, signs


@dataclass
class Places:
    """Which windows a launch trains, as ``places`` of ``kernels/stream_cuda.py``: first, last and limit."""

    first: int
    last: int
    limit: int


@dataclass
class Result:
    """Matrices as a launch left them, padding included, and the loss of every chunk."""

    inputs: np.ndarray
    outputs: np.ndarray
    losses: np.ndarray


@dataclass
class Problem:
    """Windows, parameters and scales. input_vectors (V, D), output_vectors (rows, D) and the scales: float32."""

    config: TrainConfig
    objective: RowWiseObjective
    windows: list[Window]
    input_vectors: np.ndarray = field(init=False)
    output_vectors: np.ndarray = field(init=False)
    input_scales: np.ndarray = field(init=False)
    output_scales: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        """Draw parameters so large that every term of a gradient matters, and scales."""
        rng = np.random.default_rng(1)
        words, rows, size = self.objective.counts.size, self.objective.output_rows, self.config.vector_size
        self.input_vectors = rng.normal(0, 0.3, (words, size)).astype(np.float32)
        self.output_vectors = rng.normal(0, 0.3, (rows, size)).astype(np.float32)
        self.input_scales = rng.uniform(0.5, 1, words).astype(np.float32)
        self.output_scales = rng.uniform(0.5, 1, rows).astype(np.float32)

    @classmethod
    def drawn(cls, config: TrainConfig, counts: np.ndarray, *, sentences: int = 12, longest: int = 20) -> "Problem":
        """Random sentences over a vocabulary with these counts."""
        ids = random_ids(np.random.default_rng(3), counts.size, sentences, longest)
        return cls.of_ids(config, make_objective(config, counts), ids)

    @classmethod
    def of_ids(cls, config: TrainConfig, objective: RowWiseObjective, ids: np.ndarray) -> "Problem":
        """The windows of an epoch over a corpus."""
        return cls(config, objective, cut_windows(config, objective, ids, EPOCH)[0])

    @property
    def everything(self) -> Places:
        """All the windows, in one launch."""
        return Places(0, len(self.windows), len(self.windows))

    @property
    def negative(self) -> int:
        """Noise words of a window, 0 for paths."""
        return self.config.negative if self.config.objective == "ns" else 0

    @property
    def in_turn(self) -> bool:
        """Whether pairs of contexts meet the outputs one after the other."""
        return self.objective.in_turn and self.config.model != "cbow"

    def group(self) -> int:
        """Targets met at once, as the backend chooses it."""
        targets = target_capacity(self.objective.tables)
        cbow = self.config.model == "cbow"
        return group_size(self.config.vector_size, targets, cbow=cbow, in_turn=self.in_turn)

    def shape(self, *, hot: int = 0, warps: int = 1) -> Shape:
        """The instance of ``window.cu`` for this problem."""
        config = self.config
        return Shape(
            config.vector_size, config.window, self.negative, self.group(), cbow=config.model == "cbow",
            cbow_sum=config.cbow_sum, per_pair=config.negatives_per_pair, in_turn=self.in_turn, hot=hot, warps=warps,
        )  # fmt: skip

    def matrices(self, pitch: int) -> tuple[np.ndarray, np.ndarray]:
        """Fresh copies of the parameters, rows padded with zeros."""
        pad = (0, 0), (0, pitch - self.config.vector_size)
        return np.pad(self.input_vectors, pad), np.pad(self.output_vectors, pad)

    def stream(self, places: Places) -> tuple[np.ndarray, ...]:
        """words, spans, places, targets and target_begins, as kernels read them; rubbish where they must not."""
        count = places.limit
        words = np.array([window.word for window in self.windows[:count]], np.int32)
        spans = np.full(count, RUBBISH, np.uint32)
        begins = np.full(count, RUBBISH, np.int64)
        targets, path_begins, lengths = self._noise(places) if self.negative else self._paths()
        for place in range(places.first, places.last):
            window = self.windows[place]
            length = lengths.get(window.word, 0)
            spans[place] = window.left | window.right << 8 | length << 16
            begins[place] = path_begins.get(window.word, RUBBISH)
        return words, spans, np.array([places.first, places.last, count], np.int32), targets, begins

    def _noise(self, places: Places) -> tuple[np.ndarray, dict, dict]:
        per_pair = self.config.negatives_per_pair
        listed = 1 + self.negative
        lists = np.full((places.limit, 2 * self.config.window if per_pair else 1, listed), RUBBISH, np.int32)
        for place in range(places.first, places.last):
            window = self.windows[place]
            for number in range(window.left + window.right if per_pair else 1):
                rows, signs = self.objective.listed_targets(window.word, window.key, 1 + number * listed)
                lists[place, number] = np.where(signs == 0, -1, rows)
        return lists.reshape(-1), {}, {}

    def _paths(self) -> tuple[np.ndarray, dict, dict]:
        entries, begins, lengths = [], {}, {}
        for word in range(self.objective.counts.size):
            rows, signs = self.objective.listed_targets(word)
            begins[word], lengths[word] = len(entries), rows.size
            entries += (2 * rows + (signs < 0)).tolist()
        # The only word of a vocabulary has an empty path, but kernels look at the first entry before they know.
        return np.array(entries or [RUBBISH], np.int32), begins, lengths

    def train_reference(
        self, chunk: int, places: Places | None = None, rates: tuple[float, float] = RATES
    ) -> tuple[DeviceRuleTrainer, np.ndarray]:
        """The float64 reference, trained on a segment; and the losses of its chunks."""
        places = places or self.everything
        trainer = DeviceRuleTrainer(
            self.config, self.objective, self.input_vectors, self.output_vectors, group=self.group(), chunk=chunk,
            input_scales=self.input_scales, output_scales=self.output_scales,
        )  # fmt: skip
        losses, _ = trainer.train_segment(self.windows[: places.limit], places.first, places.last, *rates)
        return trainer, losses

    def assert_close(self, found: Result, trainer: DeviceRuleTrainer, losses: np.ndarray) -> None:
        """That a launch has changed the parameters as the reference did, and nothing past the end of a row."""
        size = self.config.vector_size
        for rows, exact, start in (
            (found.inputs, trainer.input_vectors, self.input_vectors),
            (found.outputs, trainer.output_vectors, self.output_vectors),
        ):
            assert not rows[:, size:].any()
            change = np.abs(exact - start).max(initial=0.0)
            error = np.abs(rows[:, :size] - exact).max(initial=0.0)
            assert error <= TOLERANCE * change, f"{error:.2g} off, of {change:.2g}"
        np.testing.assert_allclose(found.losses, losses, rtol=2e-5)


def launch(
    problem: Problem,
    shape: Shape,
    *,
    chunk: int,
    grid: int = 1,
    places: Places | None = None,
    exchange_scales: np.ndarray | None = None,
    rates: tuple[float, float] = RATES,
    seed: int = 0,
    interleave: bool = False,
) -> Result:
    """Train with ``window.cu`` in the emulator. exchange_scales: (hot,) float32, ones unless given.

    Hot rows take turns as ``turns_of`` says.
    """
    places = places or problem.everything
    words, spans, bounds, targets, begins = problem.stream(places)
    inputs, outputs = problem.matrices(shape.pitch)
    losses = np.full(-(-(places.last - places.first) // chunk), np.nan, np.float32)
    if exchange_scales is None:
        exchange_scales = np.ones(max(1, shape.hot), np.float32)
    build(shape.source(), NAME)(
        grid, shape.warps * LANES, shape.shared_bytes, words, spans, bounds, np.int32(chunk), inputs, outputs,
        problem.input_scales, problem.output_scales, targets, begins, np.int32(outputs.shape[0] - shape.hot),
        exchange_scales, turns_of(shape.hot), np.float32(rates[0]), np.float32(rates[1]), losses, seed=seed,
        interleave=interleave,
    )  # fmt: skip
    return Result(inputs, outputs, losses)


def turns_of(hot: int) -> np.ndarray:
    """Turns of hot rows of very different weights: some come twice among those of one window."""
    return exchange_turns(np.arange(1.0, hot + 1) ** 3) if hot else np.zeros(TURNS, np.int32)


class HotRowsReference(DeviceRuleTrainer):
    """Blocks of one warp with hot rows, one block after the other, in float64.

    A block works on its own copy of the last rows. After every window it exchanges some of them, in turn, each once:
    what the row has moved since its last exchange goes out, scaled, and what is there then comes in. At its end all
    go out.
    exchange_scales: (hot,) float64.
    """

    def __init__(self, problem: Problem, chunk: int, exchange_scales: np.ndarray) -> None:
        """Take copies of the problem's parameters."""
        super().__init__(
            problem.config, problem.objective, problem.input_vectors, problem.output_vectors, group=problem.group(),
            chunk=chunk, input_scales=problem.input_scales, output_scales=problem.output_scales,
        )  # fmt: skip
        self.exchange_scales = exchange_scales
        self.turns = turns_of(exchange_scales.size).tolist()
        self.own = self.output_vectors[-exchange_scales.size :]
        self.shared = self.own.copy()

    def train_blocks(self, windows: list[Window], grid: int, rates: tuple[float, float] = RATES) -> np.ndarray:
        """Train all windows with ``grid`` blocks; the losses of the chunks."""
        begins = range(0, len(windows), self.chunk)
        losses = np.zeros(len(begins))
        for block in range(grid):
            self.own[:] = self.origin = self.shared.copy()
            self.turn = 0
            for number in range(block, len(begins), grid):
                begin = begins[number]
                rate = rates[0] + (rates[1] - rates[0]) * begin / len(windows)
                losses[number], _ = self._chunk(windows, begin, min(begin + self.chunk, len(windows)), rate)
            self.shared += self.exchange_scales[:, None] * (self.own - self.origin)
        self.own[:] = self.shared
        return losses

    def _window(self, window: Window, contexts: list, rate: float) -> float:
        loss = super()._window(window, contexts, rate)
        for row in {self.turns[(self.turn + e) % TURNS] for e in range(EXCHANGES)}:
            self.shared[row] += self.exchange_scales[row] * (self.own[row] - self.origin[row])
            self.own[row] = self.origin[row] = self.shared[row]
        self.turn += EXCHANGES
        return loss
