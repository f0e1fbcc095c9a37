"""word2vec text and binary, GloVe, fastText and safetensors: round trips, repairs, and gensim in both directions."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from w2v.errors import FormatError, OutputError
from w2v.vectors import KeyedVectors, load_vectors, save_vectors

FILES = ["v.bin", "v.txt", "v.vec", "v.safetensors", "v.txt.gz", "v.bin.bz2", "v.vec.xz", "v.txt.zst", "model"]
WORDS = ["the", "of", "naïve", "語", "🙂", "a_b", "3.5", "x"]


def make(words=WORDS, size=5, counts=True, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(len(words), size)).astype(np.float32)
    numbers = np.arange(len(words), 0, -1) * 7 if counts else None
    return KeyedVectors.from_arrays(list(words), vectors, numbers)


def needed(name):
    if name.endswith(".zst"):
        pytest.importorskip("zstandard")
    if name.endswith(".safetensors"):
        pytest.importorskip("safetensors")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("counts", [True, False])
def test_round_trip(tmp_path, name, counts):
    needed(name)
    saved = make(counts=counts)
    save_vectors(tmp_path / name, saved)
    loaded = load_vectors(tmp_path / name)
    assert loaded.index_to_key == WORDS
    np.testing.assert_array_equal(loaded.vectors, saved.vectors)
    assert loaded.vectors.dtype == np.float32
    if counts and name in ("model", "v.safetensors"):
        np.testing.assert_array_equal(loaded.counts, saved.counts)
    else:
        assert loaded.counts is None
    first = load_vectors(tmp_path / name, limit=3)
    assert first.index_to_key == WORDS[:3]
    np.testing.assert_array_equal(first.vectors, saved.vectors[:3])
    assert [path.name for path in tmp_path.iterdir()] == [name], "temporary files were left"


@pytest.mark.parametrize("name", FILES)
def test_no_words_at_all(tmp_path, name):
    needed(name)
    save_vectors(tmp_path / name, make([], 4))
    loaded = load_vectors(tmp_path / name)
    assert loaded.vectors.shape == (0, 4)
    assert loaded.index_to_key == []


@pytest.mark.parametrize("name", FILES)
def test_rows_are_written_by_falling_count(tmp_path, name):
    needed(name)
    vectors = make(["rare", "often", "also rare".replace(" ", "-")])
    for word, count in (("rare", 2), ("often", 9), ("also-rare", 2)):
        vectors.set_vecattr(word, "count", count)
    save_vectors(tmp_path / name, vectors)
    loaded = load_vectors(tmp_path / name)
    assert loaded.index_to_key == ["often", "rare", "also-rare"]
    np.testing.assert_array_equal(loaded["often"], vectors["often"])


any_word = st.text(min_size=0, max_size=8)
plain_word = st.text(min_size=1, max_size=8).filter(lambda word: not any(c in " \t\n\r\v\f" for c in word))


@pytest.mark.parametrize("name", ["v.bin", "v.txt", "v.safetensors", "model"])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_vectors_survive(tmp_path_factory, name, data):
    needed(name)
    exact = name in ("v.safetensors", "model")
    words = data.draw(st.lists(plain_word, unique=True, min_size=1, max_size=6))
    numbers = hnp.from_dtype(np.dtype(np.float32), allow_nan=False, allow_infinity=False)
    size = data.draw(st.integers(2, 4))
    rows = data.draw(hnp.arrays(np.float32, (len(words), size), elements=numbers))
    path = tmp_path_factory.mktemp("any") / name
    save_vectors(path, KeyedVectors.from_arrays(words, rows))
    loaded = load_vectors(path)
    assert loaded.index_to_key == words
    np.testing.assert_array_equal(loaded.vectors, rows)
    assert exact or loaded.counts is None


@pytest.mark.parametrize("name", ["v.bin", "v.txt"])
@given(words=st.lists(any_word, unique=True, min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
@pytest.mark.filterwarnings("ignore:.*U\\+2581")
def test_any_words_stay_distinct(tmp_path_factory, name, words):
    path = tmp_path_factory.mktemp("words") / name
    saved = make(words, 3)
    save_vectors(path, saved)
    loaded = load_vectors(path)
    assert len(loaded) == len(words)
    np.testing.assert_array_equal(loaded.vectors, saved.vectors)
    for before, after in zip(words, loaded.index_to_key, strict=True):
        assert before == after or any(c in before for c in " \t\n\r\v\f") or not before


def test_white_space_in_words_is_replaced_with_a_warning(tmp_path):
    words = ["new york", "new▁york", "", "tab\there", "plain"]
    for name in ("v.txt", "v.bin"):
        with pytest.warns(UserWarning, match=r"3 words with white space"):
            save_vectors(tmp_path / name, make(words))
        assert load_vectors(tmp_path / name).index_to_key == ["new▁york▁", "new▁york", "▁", "tab▁here", "plain"]
    needed("v.safetensors")
    for name in ("model", "v.safetensors"):
        save_vectors(tmp_path / name, make(words))
        assert load_vectors(tmp_path / name).index_to_key == words


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n"])
@pytest.mark.parametrize("last", ["", "\n", "\n\n \n"])
def test_text_as_others_write_it(tmp_path, end, last):
    lines = ["a 1 2.5", "new york -1e-3 4", "3 5 6", ". . .  7\t8"]
    path = tmp_path / "glove.txt"
    wanted = [[1, 2.5], [-0.001, 4], [5, 6], [7, 8]]
    for header in ([], ["4 2"], ["", "4 2", ""]):
        path.write_bytes((end.join(header + lines) + last).encode())
        loaded = load_vectors(path)
        assert loaded.index_to_key == ["a", "new york", "3", ". . ."]
        np.testing.assert_array_equal(loaded.vectors, np.array(wanted, np.float32))


def test_repairs_are_warned_about(tmp_path):
    path = tmp_path / "v.txt"
    path.write_bytes(b"4 2\na 1 2\nb 3 4\na 5 6\nc 7 8\n")
    with pytest.warns(UserWarning, match="1 duplicate words .*'a'.* the first one counts"):
        loaded = load_vectors(path)
    assert loaded.index_to_key == ["a", "b", "c"]
    np.testing.assert_array_equal(loaded.vectors, [[1, 2], [3, 4], [7, 8]])
    path.write_bytes(b"2 2\n 1 2\nb 3 4\n")
    with pytest.warns(UserWarning, match="1 rows have an empty word"):
        assert load_vectors(path).index_to_key == ["▁", "b"]
    path.write_bytes(b"2 2\n\xffa 1 2\nb 3 4\n")
    with pytest.warns(UserWarning, match="1 words are not utf-8"):
        assert load_vectors(path).index_to_key == ["\ufffda", "b"]
    with pytest.raises(FormatError, match="line 2.*unicode_errors"):
        KeyedVectors.load_word2vec_format(path)
    ignored = KeyedVectors.load_word2vec_format(path, unicode_errors="ignore")
    assert ignored.index_to_key == ["a", "b"]
    latin = KeyedVectors.load_word2vec_format(path, encoding="latin-1")
    assert latin.index_to_key == ["ÿa", "b"]


def test_binary_rows_may_end_in_line_feeds(tmp_path):
    rows = np.arange(6, dtype="<f4").reshape(3, 2)
    path = tmp_path / "v.bin"
    path.write_bytes(b"3 2\n" + b"".join(b"w%d %b\n" % (number, row.tobytes()) for number, row in enumerate(rows)))
    loaded = load_vectors(path)
    assert loaded.index_to_key == ["w0", "w1", "w2"]
    np.testing.assert_array_equal(loaded.vectors, rows)


def test_blocks_of_any_size_read_the_same(tmp_path, monkeypatch):
    from w2v.vectors import files, word2vec_binary, word2vec_text

    saved = make([f"word{number}" for number in range(200)], 3, counts=False)
    for block in (1, 7, 64, 1000):
        monkeypatch.setattr(word2vec_text, "_BLOCK", block)
        monkeypatch.setattr(word2vec_binary, "_BLOCK", block)
        monkeypatch.setattr(files, "_ROWS_AT_ONCE", block)
        for name in ("v.txt", "v.bin"):
            save_vectors(tmp_path / name, saved)
            loaded = load_vectors(tmp_path / name)
            assert loaded.index_to_key == saved.index_to_key
            np.testing.assert_array_equal(loaded.vectors, saved.vectors)
            assert load_vectors(tmp_path / name, limit=9).index_to_key == saved.index_to_key[:9]


@pytest.mark.parametrize("binary", [True, False])
def test_gensim_reads_ours(tmp_path, binary):
    gensim_models = pytest.importorskip("gensim.models")
    saved = make()
    for header in (True,) if binary else (True, False):
        saved.save_word2vec_format(tmp_path / "v", tmp_path / "counts", binary, write_header=header)
        theirs = gensim_models.KeyedVectors.load_word2vec_format(
            str(tmp_path / "v"), binary=binary, no_header=not header
        )
        assert theirs.index_to_key == WORDS
        np.testing.assert_array_equal(theirs.vectors, saved.vectors)
    ours = KeyedVectors.load_word2vec_format(tmp_path / "v", tmp_path / "counts", binary)
    np.testing.assert_array_equal(ours.counts, saved.counts)


@pytest.mark.parametrize("binary", [True, False])
def test_gensim_and_we_write_the_same_order_and_read_the_same(tmp_path, binary):
    gensim_models = pytest.importorskip("gensim.models")
    saved = make()
    theirs = gensim_models.KeyedVectors(saved.vector_size)
    theirs.add_vectors(WORDS, saved.vectors)
    shuffled = np.random.default_rng(1).permutation(len(WORDS))
    for kv in (saved, theirs):
        for word, count in zip(WORDS, shuffled.tolist(), strict=True):
            kv.set_vecattr(word, "count", count)
    options = {"binary": binary, "prefix": "*"}
    theirs.save_word2vec_format(str(tmp_path / "theirs"), fvocab=str(tmp_path / "their counts"), **options)
    saved.save_word2vec_format(tmp_path / "ours", fvocab=tmp_path / "our counts", **options)
    assert (tmp_path / "ours").stat().st_size == (tmp_path / "theirs").stat().st_size or not binary
    assert (tmp_path / "our counts").read_bytes() == (tmp_path / "their counts").read_bytes()
    a, b = (KeyedVectors.load_word2vec_format(tmp_path / name, binary=binary) for name in ("ours", "theirs"))
    c = gensim_models.KeyedVectors.load_word2vec_format(str(tmp_path / "theirs"), binary=binary)
    assert a.index_to_key == b.index_to_key == c.index_to_key
    np.testing.assert_array_equal(a.vectors, b.vectors)
    np.testing.assert_array_equal(a.vectors, c.vectors)
    assert a.get_vecattr(a.index_to_key[0], "count") == c.get_vecattr(c.index_to_key[0], "count") == len(WORDS)


def test_appending_and_types(tmp_path):
    path = tmp_path / "v.txt"
    saved = make()
    saved.save_word2vec_format(path, total_vec=2 * len(WORDS))
    saved.save_word2vec_format(path, write_header=False, append=True, prefix="#")
    loaded = KeyedVectors.load_word2vec_format(path, datatype=np.float64)
    assert loaded.index_to_key == WORDS + ["#" + word for word in WORDS]
    assert loaded.vectors.dtype == np.float64
    half = KeyedVectors.load_word2vec_format(path, datatype=np.float16, limit=2)
    np.testing.assert_array_equal(half.vectors, saved.vectors[:2].astype(np.float16))
    wide = KeyedVectors.from_arrays(["a"], np.array([[1 / 3, 2e-300]]))
    wide.save_word2vec_format(path)
    np.testing.assert_array_equal(KeyedVectors.load_word2vec_format(path, datatype=np.float64).vectors, wide.vectors)


def test_numbers_as_first_word_need_no_header_said(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("7 1\n8 2\n", "utf-8")
    loaded = KeyedVectors.load_word2vec_format(path, no_header=True)
    assert loaded.index_to_key == ["7", "8"]
    np.testing.assert_array_equal(loaded.vectors, [[1], [2]])


def test_vectors_that_are_not_finite_are_written_with_a_warning(tmp_path):
    vectors = KeyedVectors.from_arrays(["a", "b"], np.array([[1, np.nan], [2, 3]], np.float32))
    with pytest.warns(UserWarning, match="no finite numbers"):
        save_vectors(tmp_path / "v.txt", vectors)
    with pytest.raises(FormatError, match="line 2.*finite"):
        load_vectors(tmp_path / "v.txt")


def test_outputs_that_cannot_be(tmp_path):
    folder = tmp_path / "v.bin"
    folder.mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        save_vectors(folder, make())
    with pytest.raises(OutputError, match=r"which format\? write v.txt.gz"):
        save_vectors(tmp_path / "v.gz", make())
    with pytest.raises(OutputError, match="not compressed"):
        save_vectors(tmp_path / "v.safetensors.gz", make())
    (tmp_path / "file").write_text("x", "utf-8")
    with pytest.raises(OutputError, match=r"cannot write"):
        save_vectors(tmp_path / "file" / "v.txt", make())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "v.bin")
    with pytest.raises(OutputError, match="device or a pipe"):
        save_vectors(tmp_path / "v.bin", make())
    assert not (tmp_path / "v.bin").is_file()


def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "v.txt"
    save_vectors(path, make())
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("w2v.atomic.os.fsync", fail)
    with pytest.raises(OutputError, match="No space left"):
        save_vectors(path, make(seed=1))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.txt"]


def test_safetensors_are_mapped_and_never_written(tmp_path):
    pytest.importorskip("safetensors")
    path = tmp_path / "v.safetensors"
    save_vectors(path, KeyedVectors.from_arrays(["a", "b"], np.eye(2, dtype=np.float32)))
    before = path.read_bytes()
    loaded = load_vectors(path)
    base = loaded.vectors
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    loaded.vectors[:] = 7
    assert path.read_bytes() == before
    assert load_vectors(path, limit=1).vectors.tolist() == [[1.0, 0.0]]
    np.testing.assert_array_equal(load_vectors(path, mmap=False).vectors, np.eye(2))
