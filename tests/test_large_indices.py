"""Rows and positions past 2^31 and 2^32: sparse files in the place of memory, and the same work on tiny arrays.

A matrix of V × D > 2^32 floats is a file with holes, of which only a few rows are ever written. What the kernels do
with those rows has to be what they do with the rows of a tiny matrix, bit for bit; and no block of the file may be
written elsewhere.
"""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from corpora import random_ids, zipf_counts
from cuda_emulation import build
from test_cuda_ptx import ptx_of
from w2v.kernels import heldout_cpu, pairs_cpu, rowwise_cpu, softmax_cpu, stream_cpu, window
from w2v.kernels.hot_rows_cpu import give_back, private_rows
from w2v.kernels.random import draw, window_key
from w2v.kernels.targets_cpu import NoiseTables, PathTables, target_capacity

from w2v.backends.heldout import _flat
from w2v.config import TrainConfig
from w2v.corpus import encoded
from w2v.corpus.passes import NumberFile
from w2v.errors import TrainingError
from w2v.objectives import make_objective
from w2v.objectives.block_batch import collapse_pairs, collapse_windows, distinct_pairs
from w2v.objectives.block_layout import full_layout
from w2v.vectors import KeyedVectors, load_vectors
from w2v.vectors.arrays import load_array

SIZE = 4096
WORDS = 2**20 + 24
# Words whose rows lie at the beginning, about 2^31 and about 2^32 floats from it, and at the end.
SPOTS = np.array(
    [0, 1, 2, *range(2**19 - 2, 2**19 + 3), *range(2**20 - 2, 2**20 + 3), WORDS - 3, WORDS - 2, WORDS - 1], np.int64
)
FEW = SPOTS.size
HELD = 3  # private rows of a thread: the last ones
WINDOW, RATE = 3, 0.05
KEYS = np.uint64(0x1234_5678_9ABC_DEF1), np.uint64(0xFEDC_BA98_7654_3210)  # sub-sampling, windows
GOLDEN = 0x9E37_79B9_7F4A_7C15
# Places of a passage of text: across 2^31, and past 2^32.
PLACES = (2**31 - 20, 2**32 + 11)


class Sparse:
    """A file with holes as an array, and how much of it takes room on the disk."""

    def __init__(self, path: Path, shape: tuple[int, ...] | int, dtype: type) -> None:
        self.path = path
        with path.open("wb") as file:
            try:
                file.truncate(int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)
            except OSError as error:
                pytest.skip(f"no files of this size here: {error}")
        if not hasattr(path.stat(), "st_blocks") or self.used() > 2**20:
            pytest.skip("no sparse files here")
        self._mapped = np.memmap(path, dtype, "r+", shape=shape)
        self.array = np.asarray(self._mapped)

    def used(self) -> int:
        """Bytes on the disk."""
        return self.path.stat().st_blocks * 512

    def close(self) -> None:
        self._mapped.flush()
        self.array = self._mapped = None


@pytest.fixture
def sparse(tmp_path):
    """Makes sparse arrays; none may end up with more than a few megabytes on the disk."""
    made = []

    def make(shape: tuple[int, ...] | int, dtype: type) -> np.ndarray:
        made.append(Sparse(tmp_path / f"sparse{len(made)}", shape, dtype))
        return made[-1].array

    yield make
    for file in made:
        file.close()
        assert file.used() < 8 * 2**20, f"{file.path.name}: something was written where nothing belongs"
        file.path.unlink()


def read_only(ids: np.ndarray) -> np.ndarray:
    ids = ids.view()
    ids.flags.writeable = False
    return ids


def small_text(sentences: int = 14) -> np.ndarray:
    """Sentences of which one has every word."""
    rng = np.random.default_rng(1)
    every = [*rng.permutation(FEW), *rng.permutation(FEW), -1]
    return np.concatenate([random_ids(rng, FEW, sentences, 9), every]).astype(np.int32)


def spread(ids: np.ndarray) -> np.ndarray:
    """Words 0 … FEW − 1 to their SPOTS; sentence ends stay."""
    return np.where(ids < 0, -1, SPOTS[ids]).astype(np.int32)


# ---- Rows past 2^31 floats: the row-wise family. ----


def noise_tables(words: np.ndarray) -> NoiseTables:
    """Buckets that always give their alias, so that a few of them reach any word."""
    return NoiseTables(words[np.random.default_rng(2).integers(0, FEW, 64)].astype(np.uint64), 5)


def path_tables() -> PathTables:
    return make_objective(TrainConfig(objective="hs"), zipf_counts(FEW)).tables


def spread_paths(tables: PathTables, rows: np.ndarray, sparse) -> PathTables:
    """The same paths through other rows, written past the 2^31st entry of the lists."""
    begin = 2**31 + 7
    nodes, codes = sparse(begin + 2**12, np.int32), sparse(begin + 2**12, np.int8)
    nodes[begin : begin + tables.nodes.size] = rows[tables.nodes]
    codes[begin : begin + tables.codes.size] = tables.codes
    offsets = np.full(WORDS + 1, -(2**62), np.int64)  # nobody reads the others
    offsets[SPOTS] = begin + tables.offsets[:-1]
    offsets[SPOTS + 1] = begin + tables.offsets[1:]
    return PathTables(offsets, nodes, codes, tables.longest)


def train(
    kernel: object, variant: tuple, ids: np.ndarray, words: int, matrices: list[np.ndarray], tables: tuple, held: int,
    span: tuple[int, int] | None = None, keys: tuple[np.uint64, np.uint64] = KEYS,
) -> np.ndarray:  # fmt: skip
    """A chunk on one thread, which holds the last ``held`` rows of both matrices; returns the report."""
    width, capacity = matrices[0].shape[1], target_capacity(tables)
    hot = [private_rows(len(matrix) - held, held, 2, width) for matrix in matrices]
    scratch, report = rowwise_cpu.scratch_for(WINDOW, capacity, width), np.zeros(8)
    kernel(
        read_only(ids), *(span or (0, ids.size)), WINDOW, True, np.full(words, 0xD000_0000, np.uint32), *keys,
        *matrices, *hot, scratch, tables, capacity, RATE, report, *variant,
    )  # fmt: skip
    for matrix, rows in zip(matrices, hot, strict=True):
        assert rows.touches.any() == (held > 0)
        give_back(matrix, rows)
    return report


STEPS = {
    "ns": (rowwise_cpu.skipgram_chunk, (False,)),
    "ns per pair": (rowwise_cpu.skipgram_pairs_chunk, ()),
    "hs": (rowwise_cpu.skipgram_chunk, (True,)),
    "ns cbow": (rowwise_cpu.cbow_chunk, (False,)),
    "hs cbow": (rowwise_cpu.cbow_chunk, (False,)),
}


@pytest.mark.parametrize("held", [0, HELD])
@pytest.mark.parametrize("step", STEPS)
def test_rows_past_2_to_the_32_floats_train_as_those_of_a_tiny_matrix(sparse, step, held):
    rng, ids = np.random.default_rng(3), small_text()
    if step.startswith("hs"):
        output_spots = np.concatenate([SPOTS[: FEW - 4], SPOTS[FEW - 3 :]])  # the last ones are neighbours
        tables = path_tables()
        spread_tables = spread_paths(tables, output_spots, sparse)
    else:
        output_spots, tables, spread_tables = SPOTS, noise_tables(np.arange(FEW)), noise_tables(SPOTS)
    tiny = [rng.normal(0, 0.1, (spots.size, SIZE)).astype(np.float32) for spots in (SPOTS, output_spots)]
    tiny = [aligned(matrix) for matrix in tiny]
    large = [sparse((WORDS, SIZE), np.float32) for _ in tiny]
    assert large[0].size > 2**32
    for matrix, rows, spots in zip(large, tiny, (SPOTS, output_spots), strict=True):
        matrix[spots] = rows
    start = [matrix.copy() for matrix in tiny]

    expected = train(*STEPS[step], ids, FEW, tiny, tables, held)
    found = train(*STEPS[step], spread(ids), WORDS, large, spread_tables, held)

    np.testing.assert_array_equal(found, expected)
    assert found[1] > 50
    for matrix, rows, spots, before in zip(large, tiny, (SPOTS, output_spots), start, strict=True):
        np.testing.assert_array_equal(matrix[spots], rows)
        assert (np.abs(rows - before).max(axis=1) > 0).all(), "a row that nothing was learned for"


def aligned(matrix: np.ndarray) -> np.ndarray:
    """A copy whose rows begin at whole vectors, as those of a mapped file do."""
    from w2v.kernels.simd import aligned_zeros

    copy = aligned_zeros(*matrix.shape)
    copy[:] = matrix
    return copy


def test_held_out_losses_of_rows_past_2_to_the_32_floats(sparse):
    rng, tables = np.random.default_rng(4), path_tables()
    tiny = rng.normal(0, 0.1, (FEW, SIZE)).astype(np.float32)
    large = sparse((WORDS, SIZE), np.float32)
    large[SPOTS] = tiny
    bag_begins, bag_words = np.array([0, 1, 4, 9]), rng.integers(0, FEW, 9).astype(np.int32)
    targets = rng.integers(0, FEW, 3).astype(np.int32)
    room = np.empty(tables.longest, np.int32), np.empty(tables.longest, np.float32), np.empty(SIZE, np.float32)

    def losses(matrix: np.ndarray, paths: PathTables, words: np.ndarray, centres: np.ndarray) -> float:
        return heldout_cpu.bag_losses(
            *_flat(matrix), *_flat(matrix), paths, *room, bag_begins, words, centres, np.ones(3), 0, 3, False
        )

    far = spread_paths(tables, SPOTS, sparse)
    expected = losses(tiny, tables, bag_words, targets)
    assert expected > 0
    assert losses(large, far, spread(bag_words), spread(targets)) == expected


# ---- Block softmax. ----


def test_sums_and_updates_of_rows_past_2_to_the_32_floats(sparse):
    rng = np.random.default_rng(5)
    tiny, gradient = (rng.normal(0, 1, (FEW, SIZE)).astype(np.float32) for _ in range(2))
    large, accumulators = sparse((WORDS, SIZE), np.float32), np.zeros(WORDS, np.float32)
    large[SPOTS] = tiny
    few, begins = rng.permutation(FEW).astype(np.int32), np.array([0, 5, 5, FEW])
    for mean in (False, True):
        sums = [np.empty((3, SIZE), np.float32) for _ in range(2)]
        softmax_cpu.sum_rows(tiny, begins, few, mean, sums[0])
        softmax_cpu.sum_rows(large, begins, spread(few), mean, sums[1])
        np.testing.assert_array_equal(*sums)
    softmax_cpu.add_rows(tiny, begins, few, sums[0])
    softmax_cpu.add_rows(large, begins, spread(few), sums[1])
    np.testing.assert_array_equal(*sums)
    own = np.zeros(FEW, np.float32)
    softmax_cpu.adagrad_rows(tiny, own, few, gradient, 0.1)
    softmax_cpu.adagrad_rows(large, accumulators, spread(few), gradient, 0.1)
    np.testing.assert_array_equal(large[SPOTS], tiny)
    np.testing.assert_array_equal(accumulators[SPOTS], own)
    assert own.min() > 0
    assert np.count_nonzero(accumulators) == FEW


def test_keys_of_pairs_of_a_million_words():
    """input · V + rank is past 2^31 and 2^32, up to 2^40."""
    ids, keep = small_text(), np.full(WORDS, 0xD000_0000, np.uint32)
    ranks = np.arange(WORDS, dtype=np.int32)[::-1].copy()

    def keys(text: np.ndarray, words: int, its_ranks: np.ndarray) -> np.ndarray:
        found = pairs_cpu.skipgram_keys(read_only(text), 0, text.size, WINDOW, True, keep[:words], *KEYS, its_ranks)
        return found[0]

    inputs, targets = np.divmod(keys(ids, FEW, np.arange(FEW, dtype=np.int32)), FEW)
    expected = SPOTS[inputs] * WORDS + ranks[SPOTS[targets]]
    found = keys(spread(ids), WORDS, ranks)
    np.testing.assert_array_equal(found, expected)
    assert found.max() > 2**39
    full = np.empty(2 * WINDOW * ids.size, np.int64)
    count = heldout_cpu.window_pairs(spread(ids), 0, ids.size, WINDOW, WORDS, full)
    few = np.empty_like(full)
    assert heldout_cpu.window_pairs(ids, 0, ids.size, WINDOW, FEW, few) == count > 100
    inputs, targets = np.divmod(few[:count], FEW)
    np.testing.assert_array_equal(full[:count], SPOTS[inputs] * WORDS + SPOTS[targets])


@pytest.mark.parametrize("batches", [1, 3])
def test_batches_of_pairs_of_a_million_words(batches):
    rng = np.random.default_rng(6)
    pairs = [(batch, *rng.choice(SPOTS, 2).tolist()) for batch in range(batches) for _ in range(60)]
    keys = np.array([(batch * WORDS + word) * WORDS + rank for batch, word, rank in pairs])
    assert keys.max() > 2**39
    counted = Counter(pairs)
    collapsed = list(collapse_pairs(np, full_layout(WORDS, 8), *distinct_pairs(np, keys), batches))
    assert len(collapsed) == batches
    found = {}
    for number, batch in enumerate(collapsed):
        for row, word in enumerate(batch.inputs.tolist()):
            places = slice(*batch.head.begins[row : row + 2])
            for column, weight in zip(batch.head.columns[places], batch.head.weights[places], strict=True):
                found[number, word, int(column)] = int(weight)
    assert found == dict(counted)


def test_batches_whose_places_do_not_fit_32_bits_are_refused():
    """Their keys are one number again and again, which takes no memory."""
    keys, layout = np.broadcast_to(np.int64(7), (2**31,)), full_layout(WORDS, 8)
    with pytest.raises(TrainingError, match="2,147,483,648 distinct pairs is too large: lower --batch-pairs"):
        next(collapse_pairs(np, layout, keys, keys))
    with pytest.raises(TrainingError, match="lower --batch-pairs"):
        collapse_windows(np, layout, keys, keys, keys)


# ---- Positions past 2^31. ----


def shifted(key: np.uint64, positions: int) -> np.uint64:
    """The key under which position p draws what position p + ``positions`` draws under ``key``."""
    return np.uint64((int(key) + positions * GOLDEN) % 2**64)


def mixed(x: int) -> int:
    """SplitMix64's finaliser in Python's whole numbers."""
    x = (x ^ (x >> 30)) * 0xBF58_476D_1CE4_E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D0_49BB_1331_11EB % 2**64
    return x ^ (x >> 31)


def test_every_position_draws_numbers_of_its_own():
    key = KEYS[0]
    positions = [place + distance for place in range(300) for distance in (0, 2**31, 2**32, 2**33, 2**40, 2**62)]
    keys = [int(window_key(key, position)) for position in positions]
    assert keys == [mixed((int(key) + (position + 1) * GOLDEN) % 2**64) for position in positions]
    assert len(set(keys)) == len(positions)
    assert len({int(draw(np.uint64(found), 0)) for found in keys}) > len(positions) - 3


def test_sentences_past_2_to_the_32_are_held_out_by_draws_of_their_own():
    threshold = np.uint64(2**31)
    chosen = [
        tuple(bool(heldout_cpu.is_heldout(first + number, threshold, KEYS[0])) for number in range(64))
        for first in (0, 2**31, 2**32, 2**33)
    ]
    assert len(set(chosen)) == 4
    assert all(10 < sum(draws) < 54 for draws in chosen)


@pytest.fixture
def texts(sparse) -> tuple[np.ndarray, np.ndarray]:
    """A short text, and a corpus of more than 2^32 ids that has it at PLACES."""
    passage = np.concatenate([[-1], small_text(20)]).astype(np.int32)
    assert passage.size > 60
    ids = sparse(2**32 + 2**12, np.int32)
    for place in PLACES:
        ids[place : place + passage.size] = passage
    return passage, ids


def spans(passage: np.ndarray) -> list[tuple[int, int]]:
    """All of it, and stretches that begin and end within a sentence."""
    return [(1, passage.size), (7, 33), (20, 24), (30, passage.size - 3)]


@pytest.mark.parametrize("place", PLACES)
def test_windows_past_position_2_to_the_31(texts, place):
    passage, ids = texts
    keep, ranks = np.full(FEW, 0xD000_0000, np.uint32), np.arange(FEW, dtype=np.int32)
    moved = [shifted(key, place) for key in KEYS]
    for begin, end in spans(passage):
        cut = [
            stream_cpu.cut_chunk(read_only(text), begin + at, end + at, WINDOW, True, keep, *keys)
            for text, at, keys in ((passage, 0, moved), (ids, place, KEYS))
        ]
        first, last, words = cut[0][4:]
        assert cut[1][4:] == (first, last, words)
        assert last > first
        is_word = cut[0][0][first:last] >= 0  # nothing is written where sentences end
        for near, far in zip(cut[0][:4], cut[1][:4], strict=True):
            np.testing.assert_array_equal(near[first:last][is_word], far[first:last][is_word])
        for emit in (pairs_cpu.skipgram_keys, pairs_cpu.cbow_bags):
            near = emit(read_only(passage), begin, end, WINDOW, True, keep, *moved, ranks)
            far = emit(read_only(ids), begin + place, end + place, WINDOW, True, keep, *KEYS, ranks)
            for one, other in zip(near, far, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("place", PLACES)
def test_held_out_windows_past_position_2_to_the_31(texts, place):
    passage, ids = texts
    for begin, end in spans(passage):
        found = []
        for text, at in ((passage, 0), (ids, place)):
            keys = np.zeros(2 * WINDOW * (end - begin), np.int64)
            bags = np.zeros(end - begin + 1, np.int64), np.zeros(keys.size, np.int32), np.zeros(end - begin, np.int32)
            pairs = heldout_cpu.window_pairs(read_only(text), begin + at, end + at, WINDOW, FEW, keys)
            windows = heldout_cpu.window_bags(read_only(text), begin + at, end + at, WINDOW, *bags)
            found.append((pairs, windows, *(array.tolist() for array in (keys, *bags))))
        assert found[0] == found[1]
        assert found[0][0] > 0


@pytest.mark.parametrize("step", STEPS)
def test_training_past_position_2_to_the_31(texts, step):
    passage, ids = texts
    tables = path_tables() if step.startswith("hs") else noise_tables(np.arange(FEW))
    rows = FEW - 1 if step.startswith("hs") else FEW
    rng = np.random.default_rng(7)
    start = [rng.normal(0, 0.1, (count, 16)).astype(np.float32) for count in (FEW, rows)]
    for place in PLACES:
        for begin, end in spans(passage):
            near, far = [aligned(matrix) for matrix in start], [aligned(matrix) for matrix in start]
            moved = tuple(shifted(key, place) for key in KEYS)
            expected = train(*STEPS[step], passage, FEW, near, tables, 0, (begin, end), moved)
            found = train(*STEPS[step], ids, FEW, far, tables, 0, (begin + place, end + place))
            np.testing.assert_array_equal(found, expected)
            assert found[3] > 0
            for one, other in zip(near, far, strict=True):
                np.testing.assert_array_equal(one, other)
        # Positions modulo 2^32 would have given other draws.
        wrapped = [aligned(matrix) for matrix in start]
        other_keys = tuple(shifted(key, place % 2**31) for key in KEYS)
        train(*STEPS[step], passage, FEW, wrapped, tables, 0, spans(passage)[0], other_keys)
        assert np.abs(wrapped[0] - near[0]).max() > 1e-4


# ---- Files. ----


def test_an_encoded_corpus_of_more_than_2_to_the_31_ids(tmp_path, monkeypatch):
    length = 2**31 + 40
    passage = np.array([-1, 3, 1, 2, -1], np.int32)
    words = encoded.Vocabulary(["a", "b", "c", "d"], [2**31, 5, 4, 3])
    totals = encoded.CorpusTotals(length, length - 3, 3, length - 3, 0, "0" * 32)
    ids = Sparse(tmp_path / encoded.IDS, length, np.int32)
    ids.array[-5:] = passage
    ids.close()
    encoded.write_meta(tmp_path, words, totals, [], {})
    seen = []

    def look_at_the_end(found: np.ndarray, vocabulary: encoded.Vocabulary, *known: str) -> bool:
        """In the place of a look at all of the 8 GB."""
        seen.append((len(found), len(vocabulary)))
        return True

    monkeypatch.setattr(encoded, "_is_whole", look_at_the_end)
    with encoded.EncodedCorpus.open(tmp_path) as corpus:
        assert seen == [(length, 4)]
        assert corpus.size == 4 * length > 2**33
        assert corpus.ids[-5:].tolist() == passage.tolist()
        assert corpus.ids[2**31] == 0
    (tmp_path / encoded.IDS).unlink()


def test_numbers_are_written_and_read_past_8_gigabytes(tmp_path):
    file, numbers = NumberFile(tmp_path / "ids"), np.arange(100, dtype=np.int32)
    try:
        positions = (0, 2**29 - 50, 2**31 - 50, 2**32 + 3)
        for position in positions:
            file.write(position, numbers + position % 1000)
        for position in positions:
            found = np.zeros_like(numbers)
            file.read(position, found)
            np.testing.assert_array_equal(found, numbers + position % 1000)
        assert (tmp_path / "ids").stat().st_size == 4 * (2**32 + 103)
    finally:
        file.close()
        (tmp_path / "ids").unlink()


def test_an_array_of_more_than_2_to_the_32_floats_is_mapped(tmp_path):
    path = tmp_path / "input_vectors.npy"
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (WORDS, SIZE)}
        np.lib.format.write_array_header_1_0(file, header)
        begin = file.tell()
        file.truncate(begin + 4 * WORDS * SIZE)
        for row in SPOTS.tolist():
            file.seek(begin + 4 * SIZE * row)
            file.write(np.full(SIZE, row + 0.5, np.float32).tobytes())
    vectors = load_array(path)
    assert vectors.shape == (WORDS, SIZE)
    np.testing.assert_array_equal(vectors[SPOTS, -1], (SPOTS + 0.5).astype(np.float32))
    store = KeyedVectors.from_arrays([str(word) for word in range(WORDS)], vectors)
    np.testing.assert_array_equal(store[str(WORDS - 1)], np.full(SIZE, WORDS - 0.5, np.float32))
    assert store.similarity("0", str(2**19)) == pytest.approx(1)
    del vectors, store
    path.unlink()


def test_the_first_rows_of_a_binary_file_of_more_than_2_to_the_32_floats(tmp_path):
    path, row = tmp_path / "large.bin", np.arange(SIZE, dtype=np.float32)
    with path.open("wb") as file:
        file.write(b"%d %d\n" % (WORDS, SIZE))
        begin = file.tell()
        for word in (b"a ", b"b "):
            file.write(word + row.tobytes())
        file.truncate(begin + WORDS * (4 * SIZE + 2))
    vectors = load_vectors(path, limit=2)
    assert vectors.index_to_key == ["a", "b"]
    np.testing.assert_array_equal(vectors.vectors, [row, row])
    path.unlink()


# ---- CUDA C++. ----

ROW_OF = """
extern "C" __global__ void places(const int* rows, int count, long long* bytes) {
    float4* const first = nullptr;
    for (int i = threadIdx.x; i < count; i += blockDim.x)
        bytes[i] = reinterpret_cast<long long>(row_of(first, rows[i]));
}
"""


def test_rows_of_the_gpu_lie_past_2_to_the_31():
    """The one place where ``window.cu`` turns a row into an address."""
    pitch = 104
    source = (Path(window.__file__).parent / "warp.cuh").read_text("utf-8") + ROW_OF
    rows = np.array([0, 1, 2**19, 2**24 + 1, 2**30 - 1, 2**31 - 1], np.int32)
    found = np.zeros(rows.size, np.int64)
    build(source, "places", {"PITCH": pitch})(1, 32, 0, rows, np.int32(rows.size), found)
    assert found.tolist() == [4 * pitch * row for row in rows.tolist()]
    assert found.max() > 2**33


ADDRESSING = [
    "rowwise_cuda.train_windows", "pairs_cuda.emit_pairs", "stream_cuda.write_kept", "stream_cuda.draw_noise",
    "stream_cuda.fill_uniform", "stream_cuda.find_unsound",
]  # fmt: skip


@pytest.mark.parametrize("name", ADDRESSING)
def test_kernels_of_numba_multiply_indices_in_64_bits(name):
    """In 32 bits they only multiply where a remainder is taken (of two numbers that fit), and count threads."""
    lines = [line.strip() for line in ptx_of(name, (8, 0)).splitlines()]
    made_by = {match[2]: match[1] for line in lines if (match := re.match(r"([\w.]+)\s+(%r\d+),", line))}
    special = {line.split()[1].rstrip(",") for line in lines if re.search(r"%(n?ctaid|n?tid)\.x;", line)}
    for line in lines:
        if re.match(r"(mul|mad)\.lo\.[su]32", line):
            factors = re.findall(r"%r\d+", line)[1:3]
            assert any(made_by[factor] == "div.u32" for factor in factors) or set(factors) <= special, line
