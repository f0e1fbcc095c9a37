"""Ranking, batches of queries, and what KeyedVectors does where gensim leaves things open."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2v.errors import ConfigError, FormatError
from w2v.vectors import KeyedVectors, search


@given(st.lists(st.integers(-3, 3), max_size=30), st.integers(-1, 40))
def test_top_is_a_stable_sort(values, count):
    scores = np.array(values, np.float32)
    wanted = sorted(range(len(values)), key=lambda row: -values[row])[: max(count, 0)]
    assert search.top(scores, count).tolist() == wanted


def random_vectors(count=50, size=6, seed=0):
    words = [f"w{number}" for number in range(count)]
    return KeyedVectors.from_arrays(words, np.random.default_rng(seed).normal(size=(count, size)).astype("f4"))


@pytest.mark.parametrize("at_once", [1, 130, 1 << 20])
def test_batch_answers_as_single_queries_do(monkeypatch, at_once):
    monkeypatch.setattr(search, "SCORES_AT_ONCE", at_once)
    vectors = random_vectors()
    queries = ["w3", "w49", 0, "w3"]
    for restrict in (None, 20):
        answers = vectors.most_similar_batch(queries, topn=4, restrict_vocab=restrict)
        for query, answer in zip(queries, answers, strict=True):
            wanted = vectors.most_similar(query, topn=4, restrict_vocab=restrict)
            assert [word for word, _ in answer] == [word for word, _ in wanted]
            np.testing.assert_allclose([s for _, s in answer], [s for _, s in wanted], atol=1e-6)
    by_vector = vectors.most_similar_batch(vectors.vectors[:2] * 5, topn=1)
    assert [answer[0][0] for answer in by_vector] == ["w0", "w1"]
    assert vectors.most_similar_batch([]) == []


@pytest.mark.parametrize("at_once", [1, 130, 1 << 20])
@pytest.mark.parametrize("restrict", [None, 20])
def test_batches_of_analogies_answer_as_single_ones_do(monkeypatch, at_once, restrict):
    monkeypatch.setattr(search, "SCORES_AT_ONCE", at_once)
    vectors = random_vectors()
    questions = [("w3", "w49", 0), ("w1", "w2", "w4"), ("w5", "w5", "w6"), (7, 8, 9)]
    singles = {
        "3CosAdd": lambda a, b, c: vectors.most_similar([b, c], [a], topn=4, restrict_vocab=restrict),
        "3CosMul": lambda a, b, c: vectors.most_similar_cosmul([b, c], [a], topn=4, restrict_vocab=restrict),
    }
    for method, ask in singles.items():
        answers = vectors.analogies_batch(questions, 4, restrict, method)
        for question, answer in zip(questions, answers, strict=True):
            wanted = ask(*question)
            assert [word for word, _ in answer] == [word for word, _ in wanted]
            np.testing.assert_allclose([s for _, s in answer], [s for _, s in wanted], rtol=1e-5, atol=1e-6)
    assert vectors.analogies_batch([]) == []
    with pytest.raises(KeyError, match="nowhere"):
        vectors.analogies_batch([("w1", "w2", "nowhere")])
    with pytest.raises(ConfigError, match="unknown"):
        vectors.analogies_batch(questions, method="cosine")


@pytest.mark.parametrize("count", [0, 1, 3, 50, 400, 1000])
def test_top_of_many_scores(count):
    random = np.random.default_rng(count)
    for scores in (random.normal(size=1000), random.integers(0, 5, 1000), np.zeros(1000), -np.arange(1000.0)):
        wanted = np.argsort(-scores.astype("f4"), kind="stable")[:count]
        assert search.top(scores.astype("f4"), count).tolist() == wanted.tolist()


def test_numbers_that_are_none_rank_last():
    scores = np.arange(500, dtype=np.float32)
    scores[::7] = np.nan
    assert search.top(scores, 3).tolist() == [499, 498, 496]


def test_a_vector_of_zeros_is_similar_to_nothing():
    vectors = KeyedVectors.from_arrays(["a", "b", "zero"], np.array([[1, 0], [1, 1], [0, 0]], np.float32))
    assert vectors.most_similar("a") == [("b", pytest.approx(np.sqrt(0.5))), ("zero", 0.0)]
    assert vectors.most_similar("zero") == [("a", 0.0), ("b", 0.0)]
    assert vectors.similarity("a", "zero") == 0
    assert vectors.most_similar_batch(["zero"]) == [[("a", 0.0), ("b", 0.0)]]


def test_cosmul_restricts_its_answers():
    vectors = random_vectors()
    answers = vectors.most_similar_cosmul(["w1", "w2"], ["w3"], topn=100, restrict_vocab=10)
    assert {word for word, _ in answers} == {f"w{number}" for number in range(10)} - {"w1", "w2", "w3"}


def test_norms_follow_changes():
    vectors = random_vectors()
    before = vectors.get_vector("w1", norm=True).copy()
    vectors.vectors *= 3
    vectors.fill_norms(force=True)
    np.testing.assert_allclose(vectors.get_vector("w1", norm=True), before, rtol=1e-6)
    vectors.add_vectors(["w1"], [np.arange(6)], replace=True)
    np.testing.assert_allclose(np.linalg.norm(vectors.get_vector("w1", norm=True)), 1, rtol=1e-6)
    vectors.unit_normalize_all()
    np.testing.assert_allclose(np.linalg.norm(vectors.vectors, axis=1), 1, rtol=1e-6)


def test_vectors_handed_out_are_read_only_and_the_store_is_not():
    vectors = random_vectors()
    with pytest.raises(ValueError, match="read-only"):
        vectors["w1"][0] = 5
    vectors.vectors[1, 0] = 5
    assert vectors["w1"][0] == 5


def test_an_indexer_answers_in_place_of_the_search():
    class Indexer:
        def most_similar(self, vector, topn):
            return [(len(vector), topn)]

    assert random_vectors().most_similar("w1", topn=3, indexer=Indexer()) == [(6, 3)]


def test_attributes_grow_with_the_words():
    vectors = KeyedVectors.from_arrays(["a"], np.ones((1, 2), np.float32), np.array([9]))
    vectors.add_vectors(["b", "c"], np.ones((2, 2)), extras={"count": [4, 12], "weight": [0.5, 0.25]})
    assert [vectors.get_vecattr(word, "count") for word in "abc"] == [9, 4, 12]
    assert [vectors.get_vecattr(word, "weight") for word in "abc"] == [0, 0.5, 0.25]
    vectors.sort_by_descending_frequency()
    assert vectors.index_to_key == ["c", "a", "b"]
    assert vectors.get_vecattr("c", "weight") == 0.25
    assert vectors.get_index("b") == 2


def test_a_refused_addition_changes_nothing():
    vectors = random_vectors()
    for keys, weights, extras in (
        (["x", "y"], np.ones((1, 6)), None),
        (["x"], np.ones((1, 5)), None),
        (["x"], np.ones((1, 6)), {"count": [1, 2]}),
    ):
        with pytest.raises(ValueError, match="shape|fit"):
            vectors.add_vectors(keys, weights, extras)
    assert len(vectors) == 50
    assert "x" not in vectors
    with pytest.warns(UserWarning, match="exists already"):
        assert vectors.add_vector("w3", np.ones(6)) == 3


@pytest.mark.parametrize(
    ("words", "shape", "counts"),
    [
        (["a"], (2, 3), None),
        (["a", "a"], (2, 3), None),
        (["a"], (1, 3), [1, 2]),
        (["a"], (3,), None),
    ],
)
def test_arrays_that_do_not_fit_are_refused(words, shape, counts):
    with pytest.raises(FormatError):
        KeyedVectors.from_arrays(words, np.zeros(shape, np.float32), counts)
