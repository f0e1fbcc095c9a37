"""Damaged and hostile files: a FormatError that says where, or a success; nothing else, and no memory taken."""

import io
import json
import shutil
import struct
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2v.errors import FormatError
from w2v.vectors import KeyedVectors, load_vectors, save_vectors

WORDS = ["the", "of", "naïve"]


def make():
    vectors = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    return KeyedVectors.from_arrays(WORDS, vectors, np.array([9, 5, 2]))


def load_or_refuse(path):
    """The vectors, or the one-line FormatError; any other exception fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            return load_vectors(path, mmap=False)
        except FormatError as error:
            refusal = error
    assert "\n" not in str(refusal)
    assert path.name in str(refusal)
    return refusal


@pytest.mark.parametrize("name", ["v.bin", "v.txt", "v.vec", "v.safetensors", "v.txt.gz", "v.bin.xz", "v.vec.bz2"])
def test_truncation_at_every_byte(tmp_path, name):
    if name.endswith("safetensors"):
        pytest.importorskip("safetensors")
    save_vectors(tmp_path / name, make())
    whole = (tmp_path / name).read_bytes()
    path = tmp_path / f"cut-{name}"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        result = load_or_refuse(path)
        # A text file may lose its last line end, or digits of its last number, without anyone noticing.
        if not isinstance(result, FormatError):
            assert name in ("v.txt", "v.vec")
            assert len(result) == 3


@pytest.mark.parametrize("name", ["v.bin", "v.txt", "v.safetensors", "v.bin.gz"])
def test_any_byte_changed(tmp_path, name):
    if name.endswith("safetensors"):
        pytest.importorskip("safetensors")
    save_vectors(tmp_path / name, make())
    whole = (tmp_path / name).read_bytes()
    path = tmp_path / f"changed-{name}"
    for position in range(len(whole)):
        for value in (10, 57, 255):
            path.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
            load_or_refuse(path)


@given(st.one_of(st.binary(max_size=200), st.text("0123456789 .-e\n\tna", max_size=80).map(str.encode)))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("bytes")
    for name in ("v", "v.bin", "v.txt"):
        path = folder / name
        path.write_bytes(content)
        load_or_refuse(path)


@pytest.mark.parametrize("name", ["v.bin", "v.txt", "v"])
@pytest.mark.parametrize("header", [b"1000000000000 3", b"3 1000000000000", b"999999999999999999 999999999999999999"])
def test_a_header_takes_no_memory(tmp_path, name, header):
    path = tmp_path / name
    path.write_bytes(header + b"\nthe 1 2 3\n")
    tracemalloc.start()
    with pytest.raises(FormatError, match="line 1"):
        load_vectors(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"2 3\na 1 2 3\nb 1 2\n", "line 3: 2 numbers where 3"),
        (b"2 3\na 1 2 3\nb 1 2 3 4\n", "line 3: more than the 3 numbers"),
        (b"2 3\na 1 2 3\nb 1 two 3\n", "line 3: .*number"),
        (b"2 3\na 1 2 3\nb 1 2_0 3\n", "line 3: .*number"),
        (b"2 3\na 1 2 3\nb 1 nan 3\n", "line 3: .*no finite number"),
        (b"2 3\n\n\na 1 2 3\nb 1 inf 3\n", "line 5: .*no finite number"),
        (b"2 3\na 1 2 3\nb 1 1e99 3\n", "line 3: .*no finite number"),
        (b"2 3\na 1 2 3\nb 1.5.5  3\n", "line 3"),
        (b"3 3\na 1 2 3\nb 1 2 3.00000\n", "promises 3 vectors but 2 are there"),
        (b"1 3\na 1 2 3\nb 1 2 3\n", "line 3: rows go on after the 1"),
        (b"a 1 2\nb 1\n", "line 2: 1 numbers where 2"),
        (b"just words\n", "line 1: no word followed by numbers"),
        (b"2 0\na\nb\n", "line 1: 0 dimensions"),
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"\x80\x04\x95", "pickle, which is never loaded"),
        (b"PK\x03\x04...", "zip archive"),
        (b"\x93NUMPY\x01\x00", "bare array"),
    ],
)
def test_text_errors_name_the_line(tmp_path, content, message):
    path = tmp_path / "v.txt"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        load_vectors(path)
    assert str(path) in str(caught.value)


def binary(*rows, header=b"2 2\n"):
    return header + b"".join(word + b" " + struct.pack("<2f", *values) for word, values in rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (binary((b"a", (1, 2)), (b"b", (3, 4)))[:-1], "byte 23: the file ends in row 2 of the 2"),
        (binary((b"a", (1, 2)))[:-1], "line 1: the header promises 2 vectors"),
        (binary((b"a", (1, 2)), (b"b", (3, 4)), (b"c", (5, 6))), "goes on after the 2 vectors of 2 .*byte 24"),
        (binary((b"a", (1, 2)), (b"b", (3, np.nan))), "byte 16: .*no finite number"),
        (binary((b"a", (1, 2)), header=b"x y\n"), "no header|line 1"),
    ],
)
def test_binary_errors_name_the_byte(tmp_path, content, message):
    path = tmp_path / "v.bin"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        KeyedVectors.load_word2vec_format(path, binary=True)


def test_missing_files(tmp_path):
    for load in (load_vectors, KeyedVectors.load, KeyedVectors.load_word2vec_format):
        with pytest.raises(FormatError, match=r"^no such file: .*nowhere$"):
            load(tmp_path / "nowhere")
    save_vectors(tmp_path / "v.bin", make())
    with pytest.raises(FormatError, match="dimensions are unknown"):
        KeyedVectors.load_word2vec_format(tmp_path / "v.bin", binary=True, no_header=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model"
    save_vectors(path, make())
    return path


def damaged(model, tmp_path, name, content):
    copy = tmp_path / "model"
    shutil.copytree(model, copy, dirs_exist_ok=True)
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content)
    return copy


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npy_header(text):
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b'"w2v-model"', b"\xff\xfe", b"[" * 100_000, b'{"format": "other"}',
        b'{"format": "w2v-model", "format_version": 99}', b'{"format": ["w2v-model"]}', b"9" * 5000, None,
    ],
)  # fmt: skip
def test_garbage_in_the_configuration(model, tmp_path, content):
    assert isinstance(load_or_refuse(damaged(model, tmp_path, "config.json", content)), FormatError)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_garbage_in_the_training_record(model, tmp_path, content):
    with pytest.raises(FormatError, match=r"training\.json"):
        load_vectors(damaged(model, tmp_path, "training.json", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"the\t9\nof\t5\n", "input_vectors.*shape"),
        (b"the\t9\nof\t5\nx", "line 3: cut off"),
        (b"the\t9\nof\nx\t3\n", "line 2: expected a word"),
        (b"the\t9\nof\t-5\nx\t3\n", "line 2: expected a word"),
        ("the\t9\nof\t٣\nx\t3\n".encode(), "line 2: expected a word"),
        (b"the\t9\nof\t%d\nx\t3\n" % 10**30, "line 2: expected a word"),
        (b"the\t9\nthe\t5\nx\t3\n", "twice"),
        (None, "vocabulary.tsv"),
    ],
)
def test_garbage_in_the_vocabulary(model, tmp_path, content, message):
    with pytest.raises(FormatError, match=message):
        load_vectors(damaged(model, tmp_path, "vocabulary.tsv", content))


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"\x93NUMPY",
        npy(np.zeros((3, 3), np.float32))[:-1],
        npy(np.zeros((3, 3), np.float32)) + b"x",
        npy(np.zeros((3, 3), np.float64)),
        npy(np.zeros((4, 3), np.float32)),
        npy(np.zeros(3, np.float32)),
        npy(np.array([[None] * 3] * 3, object), allow_pickle=True),
        npy_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3)}\n"),
        npy_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 0, 10000000000000000000000)}\n"),
        npy_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-3, -3)}\n") + bytes(36),
        npy_header(b"{'descr': '|V0', 'fortran_order': False, 'shape': (3, 3)}\n"),
        npy_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': ("),
        npy_header(b"(" * 9000),
        npy_header(b"__import__('os')\n"),
    ],
)
def test_garbage_in_the_vectors(model, tmp_path, content):
    for mmap in (True, False):
        with pytest.raises(FormatError, match="input_vectors"):
            load_vectors(damaged(model, tmp_path, "input_vectors.npy", content), mmap=mmap)


def test_every_truncation_of_a_folders_files(model, tmp_path):
    for name in ("config.json", "vocabulary.tsv", "input_vectors.npy", "training.json"):
        whole = (model / name).read_bytes()
        for length in range(len(whole)):
            result = load_or_refuse(damaged(model, tmp_path, name, whole[:length]))
            # Only the line end after the closing brace is not missed.
            assert isinstance(result, FormatError) or (length == len(whole) - 1 and name.endswith(".json"))
        (tmp_path / "model" / name).write_bytes(whole)


def test_hostile_safetensors(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    good = {
        "input_vectors": np.zeros((2, 3), np.float32),
        "words": np.frombuffer(b"ab", np.uint8),
        "word_ends": np.array([1, 2]),
        "counts": np.array([5, 4]),
    }
    path = tmp_path / "v.safetensors"
    numpy.save_file(good, path)
    assert load_vectors(path).index_to_key == ["a", "b"]
    for change in (
        {"input_vectors": np.zeros((3, 3), np.float32)},
        {"input_vectors": np.zeros((2, 3), np.float64)},
        {"input_vectors": np.full((2, 3), np.nan, np.float32)},
        {"input_vectors": np.zeros(2, np.float32)},
        {"word_ends": np.array([1, 3])},
        {"word_ends": np.array([2, 1])},
        {"word_ends": np.array([-1, 1])},
        {"word_ends": np.array([[1, 2]])},
        {"word_ends": np.array([1.0, 2.0])},
        {"words": np.array([97, 98])},
        {"counts": np.array([5])},
        {"counts": np.array([5.0, 4.0])},
    ):
        numpy.save_file(good | change, path)
        assert isinstance(load_or_refuse(path), FormatError), change
    for name in ("input_vectors", "words", "word_ends"):
        numpy.save_file({key: value for key, value in good.items() if key != name}, path)
        with pytest.raises(FormatError, match=f"no tensor '{name}'"):
            load_vectors(path)
    header = json.dumps({"input_vectors": {"dtype": "F32", "shape": [10**12, 3], "data_offsets": [0, 12 * 10**12]}})
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode())
    assert isinstance(load_or_refuse(path), FormatError)
