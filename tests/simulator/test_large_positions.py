"""The stream on a GPU at positions past 2^31 and 2^32, and the keys of pairs of a large vocabulary."""

import numpy as np
import pytest
from corpora import random_ids
from w2v.kernels import pairs_cuda, stream_cuda
from w2v.kernels.stream_cpu import cut_chunk

WORDS, WINDOW, THREADS = 12, 3, 4
NEGATIVE = 2
SUBSAMPLE_KEY, WINDOW_KEY = np.uint64(0x1234_5678_9ABC_DEF1), np.uint64(0xFEDC_BA98_7654_3210)
GOLDEN = 0x9E37_79B9_7F4A_7C15
PLACES = [2**31 - 9, 2**32 + 5, 2**40]


def shifted(key: np.uint64, positions: int) -> np.uint64:
    """The key under which position p draws what position p + ``positions`` draws under ``key``."""
    return np.uint64((int(key) + positions * GOLDEN) % 2**64)


class Side:
    """Arrays of a segment's places."""

    def __init__(self, capacity: int) -> None:
        self.kept, self.positions = np.zeros(capacity, np.int32), np.zeros(capacity, np.int64)
        self.starts, self.places = np.zeros(capacity + 1, np.uint8), np.zeros(3, np.int32)

    def arrays(self) -> tuple[np.ndarray, ...]:
        return self.kept, self.positions, self.starts, self.places


def cut(ids: np.ndarray, base: int, keys: tuple[np.uint64, np.uint64]) -> tuple[list, ...]:
    """Words, positions, sides and noise of all the windows of two segments, the first of which begins at ``base``."""
    capacity, sums = ids.size + 2 * WINDOW + 1, np.zeros(4)
    old, new = Side(capacity), Side(capacity)
    thresholds, buckets = np.full(WORDS, 0xA000_0000, np.uint32), np.arange(WORDS, dtype=np.uint64)
    stream_cuda.begin_corpus[1, THREADS](*old.arrays(), sums)
    found = [], [], [], []
    half = ids.size // 2
    for begin, end in ((0, half), (half, ids.size)):
        piece = ids[begin:end]
        tiles = -(-piece.size // (THREADS * stream_cuda.TOKENS_PER_THREAD))
        counts = np.zeros(tiles, np.int32)
        keep = thresholds, keys[0]
        stream_cuda.count_kept[tiles, THREADS](piece, base + begin, *keep, counts, sums)
        stream_cuda.clear_starts[2, THREADS](new.starts)
        stream_cuda.start_segment[1, THREADS](*old.arrays(), WINDOW, *new.arrays())
        stream_cuda.place_tiles[1, THREADS](counts, tiles, WINDOW, end == ids.size, new.places)
        stream_cuda.write_kept[tiles, THREADS](
            piece, base + begin, *keep, counts, new.kept, new.positions, new.starts
        )
        spans, begins = np.zeros(capacity, np.uint32), np.zeros(capacity, np.int64)
        stream_cuda.cut_windows[2, THREADS](
            *new.arrays(), WINDOW, True, False, keys[1], np.empty(0, np.int64), spans, begins, sums
        )
        noise = np.zeros((capacity, 1 + NEGATIVE), np.int32)
        stream_cuda.draw_noise[2, THREADS](
            new.kept, new.positions, new.places, buckets, NEGATIVE, 1, keys[1], noise.reshape(-1)
        )
        centres = slice(*new.places[:2])
        for gathered, array in zip(found, (new.kept, new.positions, spans, noise), strict=True):
            gathered += array[centres].tolist()
        old, new = new, old
    return found


@pytest.mark.parametrize("place", PLACES)
def test_windows_and_noise_are_those_of_the_position(place):
    ids = random_ids(np.random.default_rng(0), WORDS, 9, 9)
    far = cut(ids, place, (SUBSAMPLE_KEY, WINDOW_KEY))
    near = cut(ids, 0, (shifted(SUBSAMPLE_KEY, place), shifted(WINDOW_KEY, place)))
    assert far[0] == near[0]
    assert len(far[0]) > 10
    assert [position - place for position in far[1]] == near[1]
    assert far[2:] == near[2:]
    wrapped = cut(ids, place % 2**30, (SUBSAMPLE_KEY, WINDOW_KEY))
    assert wrapped[3] != far[3]


@pytest.mark.parametrize("place", PLACES)
def test_windows_are_those_of_the_cpu(place):
    ids = random_ids(np.random.default_rng(1), WORDS, 9, 9)
    words, _, spans, _ = cut(ids, place, (SUBSAMPLE_KEY, WINDOW_KEY))
    kept, _, lows, highs, first, last, _ = cut_chunk(
        ids, 0, ids.size, WINDOW, True, np.full(WORDS, 0xA000_0000, np.uint32),
        shifted(SUBSAMPLE_KEY, place), shifted(WINDOW_KEY, place),
    )  # fmt: skip
    centres = [centre for centre in range(first, last) if kept[centre] >= 0]
    assert words == [kept[centre] for centre in centres]
    sides = [(centre - lows[centre], highs[centre] - centre - 1) for centre in centres]
    assert [(span & 255, span >> 8 & 255) for span in spans] == sides


def test_keys_of_pairs_of_a_million_words():
    """(batch · V + input) · V + rank, past 2^41."""
    size, batch = 2**20 + 9, 3
    words = np.array([size - 1, 5, size - 2, 2**19], np.int32)
    spans = np.array([1 << 8, 1 | 2 << 8, 1 | 1 << 8, 1], np.uint32)  # contexts to the left, and to the right
    begins, batches = np.array([0, 1, 4, 6]), np.full(4, batch)
    ranks, keys = np.arange(size, dtype=np.int32)[::-1].copy(), np.zeros(7, np.int64)
    pairs_cuda.emit_pairs[2, 4](words, spans, 0, begins, batches, ranks, keys)
    contexts = [(0, [1]), (1, [0, 2, 3]), (2, [1, 3]), (3, [2])]
    expected = [
        (batch * size + int(words[context])) * size + int(ranks[words[centre]])
        for centre, around in contexts
        for context in around
    ]
    assert keys.tolist() == expected
    assert max(expected) > 2**41
