"""Word classes: k-means against planted classes and Lloyd's algorithm, and the command that prints them."""

import json
from functools import partial

import numpy as np
import pytest
from commands import run as run_command

from w2v.cli.classes import classes
from w2v.errors import ConfigError, FormatError, OutputError
from w2v.vectors import KeyedVectors, save_vectors
from w2v.vectors.clusters import cluster_words


def planted(words, count, size, seed=0, noise=0.3):
    """Vectors (words, size) of all lengths around ``count`` random directions, and the class of each."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(count, size))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    labels = np.concatenate([np.arange(count), generator.integers(0, count, words - count)])
    rows = centres[labels] + noise * generator.normal(size=(words, size)) / np.sqrt(size)
    return (rows * generator.uniform(0.1, 10, (words, 1))).astype(np.float32), labels


def same_partition(a, b):
    """Whether two labellings divide the words alike, whatever the classes are called."""
    pairs = set(zip(a.tolist(), b.tolist(), strict=True))
    return len(pairs) == len(set(a.tolist())) == len(set(b.tolist()))


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def lloyd(rows, count, seed, rounds=40):
    """1 - mean cosine of plain spherical k-means over all rows, from random rows."""
    centres = rows[np.random.default_rng(seed).choice(len(rows), count, replace=False)]
    for _ in range(rounds):
        labels = (rows @ centres.T).argmax(axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, labels, rows)
        kept = np.linalg.norm(sums, axis=1) > 0
        centres[kept] = unit(sums[kept])
    return 1 - (rows @ centres.T).max(axis=1).mean()


@pytest.mark.parametrize(("words", "count", "size"), [(300, 7, 20), (5000, 40, 33), (20_000, 200, 50), (50, 50, 8)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_planted_classes_are_found(words, count, size, seed):
    rows, truth = planted(words, count, size, seed)
    found = cluster_words(rows, count, seed)
    assert same_partition(found.labels, truth)
    np.testing.assert_array_equal(np.sort(found.sizes), np.sort(np.bincount(truth)))


def test_many_planted_classes_of_unequal_size():
    rows, truth = planted(5000, 1200, 40, noise=0.2)
    found = cluster_words(rows, 1200)
    pairs = np.unique(np.stack([found.labels, truth]), axis=1).shape[1]
    assert pairs < 1200 * 1.1, "centres were left where no class is"
    assert found.mean_similarity > 0.95


@pytest.mark.parametrize("seed", [1, 2])
def test_no_worse_than_lloyds_algorithm(seed):
    """Rows without classes in them: there is no right answer, only a better or worse one."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(15_000, 24)) * np.linspace(3, 0.3, 24)
    found = cluster_words(rows.astype(np.float32), 60, seed)
    assert 1 - found.mean_similarity < 1.02 * lloyd(unit(rows), 60, seed)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_a_result_says_of_itself(dtype):
    rows = planted(3000, 12, 10, noise=2)[0].astype(dtype)
    found = cluster_words(rows, 12)
    directions = unit(rows.astype(np.float64))
    assert (found.labels.dtype, found.centres.dtype, found.similarities.dtype) == (np.int32, np.float32, np.float32)
    for label in range(12):
        total = directions[found.labels == label].sum(axis=0)
        np.testing.assert_allclose(found.centres[label], total / np.linalg.norm(total), atol=1e-5)
    own = np.einsum("ij,ij->i", directions, found.centres[found.labels].astype(np.float64))
    np.testing.assert_allclose(found.similarities, own, atol=1e-5)
    assert found.mean_similarity == pytest.approx(own.mean(), abs=1e-6)
    # Classes are numbered in the order of their first words.
    first = [int(np.flatnonzero(found.labels == label)[0]) for label in range(12)]
    assert first == sorted(first)
    order = found.by_class()
    keys = list(zip(found.labels[order].tolist(), (-found.similarities[order]).tolist(), strict=True))
    assert keys == sorted(keys)


def test_the_seed_decides():
    rows = np.random.default_rng(0).normal(size=(9000, 16)).astype(np.float32)
    first, again, other = (cluster_words(rows, 30, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.labels, again.labels)
    np.testing.assert_array_equal(first.similarities, again.similarities)
    assert not same_partition(first.labels, other.labels)


def test_lengths_do_not_matter():
    rows, _ = planted(2000, 10, 8, noise=1.5)
    powers = np.float32(2.0) ** np.random.default_rng(1).integers(-60, 60, (2000, 1))
    np.testing.assert_array_equal(cluster_words(rows, 10).labels, cluster_words(rows * powers, 10).labels)


def test_no_class_is_empty_where_words_have_one_direction():
    rows = np.ones((20, 3), np.float32)
    rows[7] = [1, -1, 0]
    found = cluster_words(rows, 6)
    assert found.sizes.sum() == 20
    assert found.sizes.min() >= 1
    assert np.count_nonzero(found.labels == found.labels[7]) == 1
    assert cluster_words(rows, 20).sizes.tolist() == [1] * 20


def test_opposite_words_in_one_class():
    found = cluster_words(np.array([[1, 0], [-1, 0]], np.float32), 1)
    assert found.labels.tolist() == [0, 0]
    assert np.linalg.norm(found.centres[0]) == pytest.approx(1)


def test_vectors_of_zeros_belong_nowhere():
    rows, truth = planted(500, 5, 12)
    rows = np.insert(rows, [0, 100, 500], 0, axis=0)
    zeros = np.flatnonzero(~rows.any(axis=1))
    found = cluster_words(rows, 5)
    assert found.labels[zeros].tolist() == [-1] * 3
    assert found.similarities[zeros].tolist() == [0] * 3
    assert same_partition(np.delete(found.labels, zeros), truth)
    assert set(found.by_class()[-3:].tolist()) == set(zeros.tolist())
    assert found.sizes.sum() == 500


@pytest.mark.parametrize(
    ("rows", "count", "message"),
    [
        (np.ones((3, 2)), 4, "4 classes cannot be made of 3 words: ask for 1 to 3"),
        (np.ones((3, 2)), 0, "0 classes cannot be made of 3 words: ask for 1 to 3"),
        (np.eye(3)[:, :2], 3, "3 classes cannot be made of 2 words whose vectors are not zero: ask for 1 to 2"),
        (np.empty((0, 2)), 1, "1 class cannot be made of 0 words: train on more text"),
        (np.eye(2)[:1], 2, "2 classes cannot be made of 1 word: ask for 1$"),
        (np.ones((1200, 2)), 1300, "1,300 classes cannot be made of 1,200 words: ask for 1 to 1,200"),
    ],
)
def test_impossible_numbers_of_classes(rows, count, message):
    with pytest.raises(ConfigError, match=message):
        cluster_words(rows.astype(np.float32), count)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers(value):
    rows = np.ones((5, 2), np.float32)
    rows[3, 1] = value
    with pytest.raises(FormatError, match="row 3 holds a value that is no finite number"):
        cluster_words(rows, 2)


WORDS = ["red", "one", "green", "two", "three", "blue"]
ROWS = np.array([[5, 0.1], [0.1, 1], [1, 0], [0, 2], [-0.2, 1], [1, 0.2]], np.float32)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "vectors.txt"
    save_vectors(path, KeyedVectors.from_arrays(WORDS, ROWS))
    return path


run = partial(run_command, classes)


TABLE = "word\tclass\nred\t0\none\t1\ngreen\t0\ntwo\t1\nthree\t1\nblue\t0\n"


def test_the_table(model):
    result = run(model, "-n", 2)
    assert result.stdout == TABLE
    (line,) = result.stderr.splitlines()
    assert line.startswith("2 classes of 6 words: mean cosine to the centre 0.9")
    assert "largest class 3, smallest 3 (" in line
    records = json.loads(run(model, "-n", 2, "--json").stdout)
    assert records == [{"word": w, "class": c} for w, c in zip(WORDS, [0, 1, 0, 1, 1, 0], strict=True)]


def test_class_by_class(model):
    rows = [line.split("\t") for line in run(model, "-n", 2, "--sort", "class").stdout.splitlines()]
    assert rows == [
        ["word", "class"], ["red", "0"], ["green", "0"], ["blue", "0"], ["two", "1"], ["one", "1"], ["three", "1"],
    ] or rows[1:4] == [["red", "0"], ["green", "0"], ["blue", "0"]]  # fmt: skip


def test_into_a_file(model, tmp_path):
    out = tmp_path / "classes.tsv"
    assert run(model, "-n", 2, "-o", out).stdout == ""
    assert out.read_text("utf-8") == TABLE
    run(model, "-n", 2, "-o", out, "--json", "--limit", 3)
    assert [row["word"] for row in json.loads(out.read_text("utf-8"))] == WORDS[:3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classes.tsv", "vectors.txt"]


def test_a_dash_is_standard_output(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(model, "-n", 2, "-o", "-").stdout == TABLE
    assert [path.name for path in tmp_path.iterdir()] == ["vectors.txt"]


def test_outputs_that_cannot_be(model, tmp_path):
    before = model.read_bytes()
    assert run(model, "-n", 2, "-o", model, error=SystemExit).exit_code == 2
    assert model.read_bytes() == before
    (tmp_path / "folder").mkdir()
    run(model, "-n", 2, "-o", tmp_path / "folder", error=OutputError)
    run(model, "-n", 2, "-o", tmp_path / "nowhere" / "classes.tsv", error=OutputError)


def test_small_vocabularies(tmp_path, model):
    path = tmp_path / "one.txt"
    path.write_text("1 2\nonly 1 2\n", "utf-8")
    assert run(path, "-n", 1).stdout == "word\tclass\nonly\t0\n"
    result = run(path, "-n", 2, error=ConfigError)
    assert str(result.exception) == "2 classes cannot be made of 1 word: ask for 1"
    assert run(model, "-n", 0, error=SystemExit).exit_code == 2
    assert run(model, error=SystemExit).exit_code == 2
    run(tmp_path / "nowhere", "-n", 2, error=FormatError)


def test_vectors_of_zeros_are_told(tmp_path):
    path = tmp_path / "zeros.txt"
    path.write_text("3 2\na 1 2\npad 0 0\nb -1 0\n", "utf-8")
    result = run(path, "-n", 2)
    assert result.stdout == "word\tclass\na\t0\npad\t-1\nb\t1\n"
    assert "1 word has a vector of zeros" in result.stderr.splitlines()[1]


def test_words_cannot_break_the_table(tmp_path):
    pytest.importorskip("safetensors")
    path = tmp_path / "v.safetensors"
    save_vectors(path, KeyedVectors.from_arrays(["a\tb", "c\nd", "e f", "\r"], np.eye(4, dtype=np.float32)))
    rows = [line.split("\t") for line in run(path, "-n", 1).stdout.split("\n")[1:-1]]
    assert rows == [["a▁b", "0"], ["c▁d", "0"], ["e f", "0"], ["▁", "0"]]
    assert [row["word"] for row in json.loads(run(path, "-n", 1, "--json").stdout)] == ["a\tb", "c\nd", "e f", "\r"]
