"""Approximate search: what it finds, what it says, what it keeps between runs, and what it does not trust."""

import shutil
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from w2v.cli.cache import cache
from w2v.cli.similar import similar
from w2v.errors import ConfigError, FormatError, MissingExtraError
from w2v.vectors import KeyedVectors, index_cache
from w2v.vectors.index_cache import Cells, IndexCache, fingerprint

pytest.importorskip("faiss")
from w2v.vectors import approximate  # noqa: E402

WORDS, SIZE = 3000, 20


@pytest.fixture(scope="module")
def rows():
    """Vectors around 60 centres, of many lengths."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(60, SIZE))
    around = centres[random.integers(0, 60, WORDS)] + 0.7 * random.normal(size=(WORDS, SIZE))
    return (around * random.uniform(0.1, 9, (WORDS, 1))).astype(np.float32)


@pytest.fixture
def vectors(rows):
    return KeyedVectors.from_arrays([f"w{row}" for row in range(len(rows))], rows.copy())


def searched(vectors, **options):
    """``vectors`` searched approximately, and the lines that were reported."""
    lines = []
    return vectors.search_approximately(report=lines.append, **options), lines


def kept(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_same(wanted, got):
    assert [word for word, _ in got] == [word for word, _ in wanted]
    np.testing.assert_allclose([score for _, score in got], [score for _, score in wanted], atol=1e-5)


def overlap(wanted, got):
    pairs = list(zip(wanted, got, strict=True))
    return np.mean([len(dict(one).keys() & dict(other).keys()) / len(one) for one, other in pairs])


QUESTIONS = {
    "word": lambda kv: kv.most_similar("w3"),
    "sum": lambda kv: kv.most_similar(["w1", "w2"], ["w4"], topn=25),
    "vector": lambda kv: kv.similar_by_vector(kv.vectors[5] * 3, topn=4),
    "indexer": lambda kv: kv.most_similar("w3", topn=4, indexer=kv.index),
}


@pytest.mark.parametrize("ask", list(QUESTIONS)[:3])
def test_all_cells_give_the_exact_answers(vectors, ask):
    wanted = QUESTIONS[ask](vectors)
    assert_same(wanted, QUESTIONS[ask](searched(vectors, recall=1)[0]))


def test_all_cells_give_the_exact_answers_to_batches(vectors):
    words, questions = vectors.index_to_key[:40], [("w1", "w2", "w3"), ("w9", "w8", "w7")]
    ask = [lambda kv: kv.most_similar_batch(words, 7), lambda kv: kv.analogies_batch(questions, 7)]
    wanted = [question(vectors) for question in ask]
    searched(vectors, recall=1)
    for lists, question in zip(wanted, ask, strict=True):
        for one, other in zip(lists, question(vectors), strict=True):
            assert_same(one, other)


def test_the_recall_is_what_other_words_meet(vectors):
    words = vectors.index_to_key[:1000]
    exact = vectors.most_similar_batch(words)
    _, lines = searched(vectors, recall=0.9)
    assert vectors.index.probes < vectors.index.cells
    said = float(lines[-1].split("recall@10 ")[1].split()[0])
    assert said == pytest.approx(vectors.index.recall(10), abs=5e-4)
    assert said > 0.85
    assert overlap(exact, vectors.most_similar_batch(words)) == pytest.approx(said, abs=0.03)
    # What is found has its exact similarity, and comes in order.
    for word, pairs in zip(words[:20], vectors.most_similar_batch(words[:20]), strict=True):
        scores = [score for _, score in pairs]
        assert scores == sorted(scores, reverse=True)
        assert scores == pytest.approx([vectors.similarity(word, other) for other, _ in pairs], abs=1e-5)


def test_a_higher_recall_looks_through_more_cells(vectors):
    probes = [searched(vectors, recall=recall)[0].index.probes for recall in (0.2, 0.9, 0.999, 1)]
    assert probes == sorted(probes)
    assert probes[0] < probes[-1] == vectors.index.cells


def test_the_recall_is_that_of_lists_of_topn(vectors):
    assert "recall@50 " in searched(vectors, topn=50)[1][-1]
    assert "recall@100 " in searched(vectors, topn=1000)[1][-1]


def test_what_an_index_cannot_answer_is_exact(vectors):
    asked = (
        lambda kv: kv.most_similar("w3", restrict_vocab=100),
        lambda kv: kv.most_similar("w3", clip_start=2000),
        lambda kv: kv.most_similar_cosmul(["w1", "w2"], ["w3"]),
        lambda kv: kv.analogies_batch([("w1", "w2", "w3")], method="3CosMul")[0],
        lambda kv: list(enumerate(kv.most_similar("w3", topn=None))),
    )
    wanted = [ask(vectors) for ask in asked]
    searched(vectors, recall=0.1)
    for ask, answer in zip(asked, wanted, strict=True):
        assert ask(vectors) == answer


def test_gensims_indexer_protocol(vectors):
    searched(vectors, recall=1)
    # As gensim's indexers do, it leaves the asked word in.
    assert QUESTIONS["indexer"](vectors)[0] == ("w3", pytest.approx(1, abs=1e-5))


def test_search_on_ends_it(vectors):
    searched(vectors)
    vectors.search_on("cpu")
    assert vectors.index is None
    assert_same(vectors.most_similar_batch(["w3"])[0], vectors.most_similar("w3"))


def test_a_second_run_reads_the_index(vectors, rows, cache_folder, monkeypatch):
    _, first = searched(vectors)
    (name,) = kept(cache_folder)
    assert "sorting 3,000 vectors" in first[0]
    assert str(cache_folder / name) in first[-1]
    monkeypatch.setattr(approximate, "find_cells", lambda store: pytest.fail("the index was made again"))
    again, second = searched(KeyedVectors.from_arrays(vectors.index_to_key, rows))
    assert len(second) == 1
    assert "read" in second[0]
    assert again.most_similar("w3") == vectors.most_similar("w3")
    assert again.index.probes == vectors.index.probes


def rewritten(path, **changes):
    """Replace arrays of an index file by others."""
    with np.load(path) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    np.savez(path, **{**found, **changes})


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-5000]),
    "a flipped byte": lambda path: path.write_bytes(
        path.read_bytes()[:9000] + b"\xaa\x55" + path.read_bytes()[9002:]
    ),
    "no index": lambda path: path.write_bytes(b"IwFl" + bytes(1000)),
    "a pickle": lambda path: rewritten(path, cells=np.array([{"a": 1}], object)),
    "another layout": lambda path: rewritten(path, description=np.frombuffer(b'{"layout": 0}', np.uint8)),
    "cells beyond the last": lambda path: rewritten(path, cells=np.full(WORDS, 10**6, np.int32)),
    "too few cells": lambda path: rewritten(path, cells=np.zeros(5, np.int32)),
    "other types": lambda path: rewritten(path, cells=np.zeros(WORDS)),
    "a sample beyond the last": lambda path: rewritten(path, sample=np.full(300, -1)),
    "no numbers": lambda path: rewritten(path, centroids=np.full((5, SIZE), np.nan, np.float32)),
}


@pytest.fixture(scope="module")
def index_file(rows, tmp_path_factory):
    """What is kept about ``rows``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("W2V_CACHE", str(tmp_path_factory.mktemp("made")))
        searched(KeyedVectors.from_arrays([str(row) for row in range(len(rows))], rows))
        return IndexCache().path(fingerprint(rows))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_index_is_made_anew(vectors, cache_folder, index_file, damage):
    wanted, name = vectors.most_similar("w3"), index_file.name
    cache_folder.mkdir()
    shutil.copy(index_file, cache_folder)
    DAMAGE[damage](cache_folder / name)
    _, lines = searched(vectors, recall=1)
    assert f"{name} is damaged or of another version, and is made anew" in lines[0]
    assert_same(wanted, vectors.most_similar("w3"))
    assert len(searched(vectors)[1]) == 1  # it was mended
    assert kept(cache_folder) == [name]


def test_the_index_of_other_vectors_is_not_trusted(vectors, rows, cache_folder):
    searched(vectors)
    (name,) = kept(cache_folder)
    other = KeyedVectors.from_arrays(vectors.index_to_key, rows[::-1].copy())
    path = IndexCache().path(fingerprint(other.vectors))
    shutil.copy(cache_folder / name, path)
    assert "made anew" in searched(other)[1][0]


def test_the_index_follows_the_vectors(vectors):
    searched(vectors, recall=1)
    vectors.add_vectors(["twin"], vectors.vectors[3:4] * 2)
    assert vectors.most_similar("w3")[0] == ("twin", pytest.approx(1, abs=1e-5))
    vectors.vectors[8] = vectors.vectors[4]
    vectors.fill_norms(force=True)
    assert vectors.most_similar("w4")[0][0] == "w8"


@pytest.mark.parametrize("count", [1, 2, 5, 70])
def test_few_words(rows, count):
    vectors = KeyedVectors.from_arrays([f"w{row}" for row in range(count)], rows[:count].copy())
    wanted = vectors.most_similar("w0")
    _, lines = searched(vectors, recall=1)
    assert_same(wanted, vectors.most_similar("w0"))
    assert f"recall@{min(10, count - 1)} 1.000" in lines[-1]


def test_equal_vectors_and_zeros_are_found_whichever_of_them_are(rows):
    repeated = np.concatenate([np.repeat(rows[:10], 300, axis=0), np.zeros((300, SIZE), np.float32)])
    vectors = KeyedVectors.from_arrays([f"w{row}" for row in range(len(repeated))], repeated)
    searched(vectors, recall=1)
    assert vectors.index.recall(10) == 1
    assert vectors.most_similar("w5", topn=3)[0][1] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("dtype", ["f2", "f8"])
def test_other_types_of_numbers(rows, dtype):
    vectors = KeyedVectors.from_arrays([f"w{row}" for row in range(500)], rows[:500].astype(dtype))
    wanted = vectors.most_similar_batch(["w3"])[0]
    searched(vectors, recall=1)
    assert_same(wanted, vectors.most_similar_batch(["w3"])[0])


def test_where_nothing_can_be_kept_it_says_so(vectors, tmp_path, monkeypatch):
    blocker = tmp_path / "file"
    blocker.write_text("no folder", "utf-8")
    monkeypatch.setenv("W2V_CACHE", str(blocker / "cache"))
    wanted = vectors.most_similar("w3")
    _, lines = searched(vectors, recall=1)
    assert "not kept: cannot write" in lines[-1]
    assert_same(wanted, vectors.most_similar("w3"))


@pytest.mark.parametrize("recall", [0, -1, 1.01, float("nan")])
def test_impossible_recalls(vectors, recall):
    with pytest.raises(ConfigError, match="share above 0"):
        vectors.search_approximately(recall)
    assert vectors.index is None


def test_numbers_that_are_none(vectors):
    vectors.vectors[7, 3] = np.inf
    with pytest.raises(FormatError, match="finite"):
        vectors.search_approximately()
    with pytest.raises(FormatError, match="needs vectors"):
        KeyedVectors(5).search_approximately()


def test_without_faiss(vectors, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'w2v\[ann\]'"):
        vectors.search_approximately()
    assert vectors.most_similar("w3")


def test_fingerprints_tell_vectors_apart(rows, monkeypatch):
    monkeypatch.setattr(index_cache, "_HASHED_AT_ONCE", 10_000)
    changed = rows.copy()
    changed[-1, -1] += 1e-3
    others = [rows, changed, rows[:-1], rows[::-1], rows.astype("f8"), rows.reshape(-1, 2 * SIZE), rows.T]
    assert len({fingerprint(array) for array in others}) == len(others)
    assert fingerprint(rows.copy()) == fingerprint(rows) == fingerprint(np.asfortranarray(rows))


def test_cells_must_fit():
    cells = Cells(
        np.ones((2, 3), np.float32), np.array([0, 1, 1], np.int32), np.array([2]), np.ones((1, 2), np.float32)
    )
    assert cells.fit(3, 3)
    assert not cells.fit(4, 3)
    assert not cells.fit(3, 4)


def test_the_cache_command_knows_the_indexes(vectors, cache_folder):
    vectors.save(cache_folder.parent / "model")
    result = CliRunner().invoke(similar, [str(cache_folder.parent / "model"), "w3", "--ann"])
    assert result.exit_code == 0, result.output
    (name,) = kept(cache_folder)
    (cache_folder / "precious.npz").write_bytes(b"mine")
    result = CliRunner().invoke(cache, [])
    assert f"{cache_folder / name}\t" in result.output
    assert "1 entry in" in result.output
    CliRunner().invoke(cache, ["--clear"])
    assert kept(cache_folder) == ["precious.npz"]
