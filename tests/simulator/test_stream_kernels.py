"""The stream on a GPU: the windows, draws and sums of the CPU's, however a corpus is cut into segments."""

import numpy as np
import pytest
from corpora import fibonacci_counts, random_ids, zipf_counts
from w2v.kernels import stream_cuda, tables_cpu
from w2v.kernels.random import STREAM_SUBSAMPLE, STREAM_WINDOW, epoch_key
from w2v.kernels.stream_cpu import SENTENCE_END, cut_chunk, keep_thresholds

from w2v.config import TrainConfig
from w2v.objectives import make_objective

WORDS = 12
SUBSAMPLE_KEY = np.uint64(epoch_key(7, 1, STREAM_SUBSAMPLE))
WINDOW_KEY = np.uint64(epoch_key(7, 1, STREAM_WINDOW))
NOTHING = np.empty(0, np.int64)
RUBBISH = 77


class Side:
    """The arrays of a segment's places, as the backend has two of; what an earlier segment left is in them."""

    def __init__(self, capacity: int) -> None:
        self.kept = np.full(capacity, RUBBISH, np.int32)
        self.positions = np.full(capacity, RUBBISH, np.int64)
        self.starts = np.full(capacity + 1, RUBBISH, np.uint8)
        self.places = np.full(3, RUBBISH, np.int32)

    def arrays(self) -> tuple[np.ndarray, ...]:
        return self.kept, self.positions, self.starts, self.places


class Stream:
    """The kernels one after the other, as the backend launches them. threads: of a block."""

    def __init__(self, ids, thresholds, *, window=3, shrink=True, cbow=False, offsets=NOTHING, threads=4):
        self.ids, self.thresholds, self.threads = ids, thresholds, threads
        self.window, self.shrink, self.cbow, self.offsets = window, shrink, cbow, offsets
        self.sums = np.full(4, np.nan)
        self.words, self.spans, self.positions, self.begins = [], [], [], []

    def cut(self, cuts: list[int]) -> "Stream":
        """Work off ids[cuts[0]:cuts[1]] and so on; what every centre gets is in words, spans and positions."""
        capacity = self.ids.size + 2 * self.window + 1
        old, new = Side(capacity), Side(capacity)
        stream_cuda.begin_corpus[1, self.threads](*old.arrays(), self.sums)
        for begin, end in zip(cuts, cuts[1:], strict=False):
            self._segment(begin, end, old, new)
            old, new = new, old
        self.side = old
        return self

    def _segment(self, begin: int, end: int, old: Side, new: Side) -> None:
        ids, is_last = self.ids[begin:end], end == self.ids.size
        tiles = max(1, -(-ids.size // (self.threads * stream_cuda.TOKENS_PER_THREAD)))
        counts = np.full(tiles, RUBBISH, np.int32)
        keep = self.thresholds, SUBSAMPLE_KEY
        stream_cuda.count_kept[tiles, self.threads](ids, begin, *keep, counts, self.sums)
        stream_cuda.clear_starts[2, self.threads](new.starts)
        stream_cuda.start_segment[1, self.threads](*old.arrays(), self.window, *new.arrays())
        stream_cuda.place_tiles[1, self.threads](counts, tiles, self.window, is_last, new.places)
        stream_cuda.write_kept[tiles, self.threads](ids, begin, *keep, counts, new.kept, new.positions, new.starts)
        capacity = new.kept.size
        spans, begins = np.full(capacity, RUBBISH, np.uint32), np.full(capacity, RUBBISH, np.int64)
        stream_cuda.cut_windows[2, self.threads](
            *new.arrays(), self.window, self.shrink, self.cbow, WINDOW_KEY, self.offsets, spans, begins, self.sums
        )
        first, last, limit = new.places
        assert 0 <= first <= last <= limit <= capacity
        self.words += new.kept[first:last].tolist()
        self.positions += new.positions[first:last].tolist()
        self.spans += spans[first:last].tolist()
        self.begins += begins[first:last].tolist()

    @property
    def sides(self) -> list[tuple[int, int]]:
        """Contexts to the left and right of every centre."""
        return [(span & 255, span >> 8 & 255) for span in self.spans]


def on_cpu(ids, thresholds, window=3, shrink=True) -> tuple[list[int], list[tuple[int, int]]]:
    """The kept words of a corpus, and their contexts to the left and right."""
    kept, _, lows, highs, first, last, _ = cut_chunk(
        ids, 0, ids.size, window, shrink, thresholds, SUBSAMPLE_KEY, WINDOW_KEY
    )
    places = [place for place in range(first, last) if kept[place] != SENTENCE_END]
    return kept[places].tolist(), [(int(place - lows[place]), int(highs[place] - 1 - place)) for place in places]


def ragged(seed: int, sentences: int = 9) -> np.ndarray:
    return random_ids(np.random.default_rng(seed), WORDS, sentences, 9)


def assert_like_the_cpu(stream: Stream) -> None:
    words, sides = on_cpu(stream.ids, stream.thresholds, stream.window, stream.shrink)
    assert stream.words == words
    assert stream.sides == sides
    assert stream.ids[stream.positions].tolist() == words
    assert stream.positions == sorted(set(stream.positions))
    lengths = np.array([left + right for left, right in sides], int)
    loss, pairs, kept, tokens = stream.sums
    assert loss == 0
    assert pairs == ((lengths > 0).sum() if stream.cbow else lengths.sum())
    assert kept == len(words)
    assert tokens == (stream.ids != SENTENCE_END).sum()


@pytest.mark.parametrize(
    ("seed", "window", "shrink", "cbow", "threads"),
    [(0, 3, True, False, 2), (1, 1, True, True, 4), (2, 5, False, False, 1), (3, 12, True, True, 16)],
)
def test_windows_are_those_of_the_cpu_wherever_segments_end(seed, window, shrink, cbow, threads):
    ids = ragged(seed)
    thresholds = keep_thresholds(zipf_counts(WORDS), 0.05)
    assert 0 < len(on_cpu(ids, thresholds)[0]) < (ids >= 0).sum(), "sub-sampling drops nothing, or all"
    cuts = np.sort(np.random.default_rng(seed).choice(np.arange(1, ids.size), 4, replace=False)).tolist()
    for these in ([0, ids.size], [0, *cuts, ids.size]):
        stream = Stream(ids, thresholds, window=window, shrink=shrink, cbow=cbow, threads=threads)
        assert_like_the_cpu(stream.cut(these))


def test_segments_of_one_token():
    ids = np.array([3, 1, -1, 2, -1, 0, 4, 4, 1, 2, -1], np.int32)
    stream = Stream(ids, np.full(WORDS, 0xFFFFFFFF, np.uint32), window=2, threads=1)
    assert_like_the_cpu(stream.cut(list(range(ids.size + 1))))
    assert len(stream.words) == 8


@pytest.mark.parametrize("cuts", [[0, 4, 12, 20], [0, 5, 6, 7, 13, 20], [0, 20]])
def test_segments_in_which_nothing_is_kept(cuts):
    """The middle of a sentence, and then an end with its neighbours, are dropped; windows reach past them."""
    ids = np.array([1, 2, -1, 3, *[0] * 9, 4, -1, 0, 0, -1, 5, -1], np.int32)
    thresholds = np.where(np.arange(WORDS) == 0, 0, 0xFFFFFFFF).astype(np.uint32)
    stream = Stream(ids, thresholds, window=2, shrink=False, threads=2).cut(cuts)
    assert_like_the_cpu(stream)
    assert stream.words == [1, 2, 3, 4, 5]
    assert stream.sides == [(0, 1), (1, 0), (0, 1), (1, 0), (0, 0)]


@pytest.mark.parametrize("ids", [[-1], [0, -1], [0, 0, -1]])
def test_a_corpus_of_which_nothing_is_kept(ids):
    ids = np.array(ids, np.int32)
    stream = Stream(ids, np.zeros(WORDS, np.uint32), threads=2).cut([0, ids.size])
    assert stream.words == []
    assert stream.sums.tolist() == [0, 0, 0, ids.size - 1]


def test_more_tiles_than_threads_place_them():
    ids = ragged(5, sentences=30)
    stream = Stream(ids, np.full(WORDS, 0xFFFFFFFF, np.uint32), threads=2).cut([0, ids.size])
    assert ids.size > 4 * 2 * stream_cuda.TOKENS_PER_THREAD
    assert_like_the_cpu(stream)


def test_paths_begin_where_the_tables_say():
    ids = ragged(4, sentences=5)
    tables = make_objective(TrainConfig(objective="hs"), fibonacci_counts(WORDS)).tables
    stream = Stream(ids, np.full(WORDS, 0xFFFFFFFF, np.uint32), offsets=tables.offsets)
    assert_like_the_cpu(stream.cut([0, ids.size // 2, ids.size]))
    assert stream.begins == tables.offsets[stream.words].tolist()
    assert [span >> 16 for span in stream.spans] == np.diff(tables.offsets)[stream.words].tolist()
    assert len(set(np.diff(tables.offsets))) > 5


@pytest.mark.parametrize("size", [1, 6, 21])
def test_no_sentence_starts_are_left(size):
    starts = np.full(size, RUBBISH, np.uint8)
    stream_cuda.clear_starts[2, 4](starts)
    assert not starts.any()


@pytest.mark.parametrize(("window", "per_pair"), [(3, False), (2, True)])
def test_noise_is_that_of_the_objective(window, per_pair):
    negative = 3
    objective = make_objective(TrainConfig(negative=negative), zipf_counts(4))
    ids = random_ids(np.random.default_rng(6), 4, 6, 6)
    stream = Stream(ids, np.full(4, 0xFFFFFFFF, np.uint32), window=window).cut([0, ids.size // 2, ids.size])
    side, lists = stream.side, 2 * window if per_pair else 1
    drawn = np.full(side.kept.size * lists * (1 + negative), RUBBISH, np.int32)
    stream_cuda.draw_noise[3, 4](
        side.kept, side.positions, side.places, objective.tables.buckets, negative, lists, WINDOW_KEY, drawn
    )
    drawn = drawn.reshape(-1, lists, 1 + negative)
    first, last, _ = side.places
    assert 0 < first < last
    assert (drawn[:first] == RUBBISH).all()
    assert (drawn[last:] == RUBBISH).all()
    for place in range(first, last):
        word, key = int(side.kept[place]), np.uint64(stream_cuda._key_at(WINDOW_KEY, side.positions[place]))
        for number in range(lists):
            rows, signs = objective.listed_targets(word, key, 1 + number * (1 + negative))
            assert drawn[place, number].tolist() == np.where(signs == 0, -1, rows).tolist()
    noise = drawn[first:last, :, 1:]
    assert (noise == -1).any()
    assert np.unique(noise).size > 3


def test_losses_of_a_segment_add_up():
    losses = np.full(20, np.nan, np.float32)
    losses[:5] = [1, 2, 4, 8, 16]
    sums = np.array([100.0, 1, 2, 3])
    stream_cuda.add_losses[2, 4](losses, np.array([7, 7 + 13, 40], np.int32), 3, sums)
    assert sums.tolist() == [131, 1, 2, 3]
    stream_cuda.add_losses[2, 4](losses, np.array([7, 7, 40], np.int32), 3, sums)
    assert sums[0] == 131


@pytest.mark.parametrize("size", [0, 1, 5, 8])
def test_initial_vectors_are_those_of_the_cpu(size):
    key = np.uint64(epoch_key(2**40, 0, STREAM_WINDOW))
    half_width = 0.5 / max(size, 1)
    found = np.full((7, 8), np.nan, np.float32)
    stream_cuda.fill_uniform[3, 4](found, size, half_width, key)
    expected = np.zeros((7, 8), np.float32)
    tables_cpu.fill_uniform(expected, size, half_width, key)
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))
    assert np.unique(found).size == 7 * size + (size < 8)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30])
def test_unsound_values_are_found(value):
    matrix, flags = np.full((5, 8), -stream_cuda.LARGEST / 2, np.float32), np.zeros(3, np.int32)
    stream_cuda.find_unsound[2, 4](matrix, flags, 1)
    assert not flags.any()
    matrix[4, 7] = value
    stream_cuda.find_unsound[2, 4](matrix, flags, 1)
    assert flags.tolist() == [0, 1, 0]
