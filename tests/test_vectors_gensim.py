"""KeyedVectors answers what gensim's class of that name answers, on the same random vectors."""

import numpy as np
import pytest

from w2v.vectors import KeyedVectors

gensim_models = pytest.importorskip("gensim.models", reason="gensim has no wheel for this Python")

WORDS = [f"w{number}" for number in range(60)]
VECTORS = np.random.default_rng(3).normal(size=(60, 7)).astype(np.float32)
COUNTS = np.arange(600, 0, -10)


def make(kind):
    vectors = kind(7)
    vectors.add_vectors(WORDS, VECTORS)
    for word, count in zip(WORDS, COUNTS, strict=True):
        vectors.set_vecattr(word, "count", int(count))
    return vectors


@pytest.fixture(scope="module")
def ours():
    return make(KeyedVectors)


@pytest.fixture(scope="module")
def theirs():
    return make(gensim_models.KeyedVectors)


def assert_same(got, wanted):
    """Equal words in equal order, numbers within 1e-6."""
    if isinstance(wanted, tuple) or (isinstance(wanted, list) and wanted and isinstance(wanted[0], tuple)):
        assert len(got) == len(wanted)
        for mine, other in zip(got, wanted, strict=True):
            assert_same(mine, other)
    elif isinstance(wanted, (float, np.floating, np.ndarray)):
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)
    else:
        assert got == wanted


QUERIES = {
    "one": lambda kv: kv.most_similar("w3"),
    "list": lambda kv: kv.most_similar(["w3", "w9"], topn=5),
    "analogy": lambda kv: kv.most_similar(positive=["w3", "w9"], negative=["w5"], topn=5),
    "negative word": lambda kv: kv.most_similar(positive=["w3", "w9"], negative="w5", topn=5),
    "only negative": lambda kv: kv.most_similar(negative=["w5"], topn=5),
    "weights": lambda kv: kv.most_similar([("w3", 2.0), "w9"], [("w5", -0.5), ("w6", 0.25)], topn=5),
    "vector": lambda kv: kv.most_similar(positive=[VECTORS[4] * 3], topn=5),
    "bare vector": lambda kv: kv.most_similar(VECTORS[4] * 3, topn=5),
    "vector and word": lambda kv: kv.most_similar([VECTORS[4] * 3, "w3"], topn=5),
    "weighted vector": lambda kv: kv.most_similar([(VECTORS[4], 0.3), "w3"], topn=5),
    "matrix": lambda kv: kv.most_similar(VECTORS[:3], topn=5),
    "row": lambda kv: kv.most_similar(3, topn=5),
    "rows": lambda kv: kv.most_similar([3, 4], topn=5),
    "all": lambda kv: kv.most_similar("w3", topn=None),
    "none": lambda kv: kv.most_similar("w3", topn=0),
    "fewer than none": lambda kv: kv.most_similar("w3", topn=-2),
    "more than there are": lambda kv: kv.most_similar("w3", topn=1000),
    "restricted": lambda kv: kv.most_similar("w50", topn=5, restrict_vocab=20),
    "clipped": lambda kv: kv.most_similar("w3", topn=5, clip_start=10, clip_end=30),
    "clipped all": lambda kv: kv.most_similar("w3", topn=None, clip_start=10, clip_end=30),
    "cosmul": lambda kv: kv.most_similar_cosmul("w3", topn=5),
    "cosmul analogy": lambda kv: kv.most_similar_cosmul(["w3", "w9"], ["w5"], topn=5),
    "cosmul shorthand": lambda kv: kv.most_similar_cosmul("w3", "w5", topn=5),
    "cosmul all": lambda kv: kv.most_similar_cosmul(["w3", "w9"], ["w5"], topn=None),
    "similar_by_word": lambda kv: kv.similar_by_word("w3", 4),
    "similar_by_key": lambda kv: kv.similar_by_key("w3", 4, restrict_vocab=20),
    "similar_by_vector": lambda kv: kv.similar_by_vector(VECTORS[8], 4),
    "similarity": lambda kv: kv.similarity("w3", "w4"),
    "similarity of rows": lambda kv: kv.similarity(3, 4),
    "n_similarity": lambda kv: kv.n_similarity(["w3", "w4"], ["w5"]),
    "n_similarity unknown": lambda kv: kv.n_similarity(["w3", "unknown"], ["w5"]),
    "distance": lambda kv: kv.distance("w3", "w4"),
    "distances": lambda kv: kv.distances("w3"),
    "distances to some": lambda kv: kv.distances("w3", ["w7", "w9"]),
    "distances of vector": lambda kv: kv.distances(VECTORS[5], ["w7", "w9"]),
    "doesnt_match": lambda kv: kv.doesnt_match(["w1", "w2", "w3", "w4", "unknown"]),
    "rank": lambda kv: kv.rank("w3", "w4"),
    "rank of itself": lambda kv: kv.rank("w3", "w3"),
    "closer_than": lambda kv: kv.closer_than("w3", "w4"),
    "closer_than itself": lambda kv: kv.closer_than("w3", "w3"),
    "most_similar_to_given": lambda kv: kv.most_similar_to_given("w3", ["w7", "w9", "w1"]),
    "relative_cosine_similarity": lambda kv: kv.relative_cosine_similarity("w3", "w9", 5),
    "rank_by_centrality": lambda kv: kv.rank_by_centrality(["w1", "w2", "w3"]),
    "cosine_similarities": lambda kv: kv.cosine_similarities(VECTORS[0], VECTORS[:5]),
    "get_vector": lambda kv: kv.get_vector("w3"),
    "get_vector norm": lambda kv: kv.get_vector("w3", norm=True),
    "item": lambda kv: kv["w3"],
    "items": lambda kv: kv[["w3", "w8", 1]],
    "mean": lambda kv: kv.get_mean_vector(["w3", "w4"]),
    "mean weighted": lambda kv: kv.get_mean_vector(["w3", "w4", VECTORS[9]], weights=[1, -2, 0.5]),
    "mean plain": lambda kv: kv.get_mean_vector(["w3", "w4"], pre_normalize=False),
    "mean scaled": lambda kv: kv.get_mean_vector(["w3", "w4"], pre_normalize=False, post_normalize=True),
    "mean missing": lambda kv: kv.get_mean_vector(["w3", "unknown"], weights=[1, 5]),
    "mean of none known": lambda kv: kv.get_mean_vector(["unknown"]),
    "normed": lambda kv: kv.get_normed_vectors(),
    "index": lambda kv: kv.get_index("w3"),
    "index default": lambda kv: kv.get_index("unknown", 5),
    "count": lambda kv: kv.get_vecattr("w3", "count"),
    "contains": lambda kv: ["w3" in kv, "unknown" in kv, 3 in kv, 1000 in kv, kv.has_index_for("w3")],
    "length": lambda kv: len(kv),
    "keys": lambda kv: (kv.index_to_key, kv.key_to_index),
    "some": lambda kv: kv.vectors_for_all(["w9", "w3", "w9", "unknown"]).vectors,
}  # fmt: skip


@pytest.mark.parametrize("name", QUERIES)
def test_query_agrees_with_gensim(name, ours, theirs):
    assert_same(QUERIES[name](ours), QUERIES[name](theirs))


FAILURES = {
    "most_similar": lambda kv: kv.most_similar("unknown"),
    "most_similar nothing": lambda kv: kv.most_similar([]),
    "cosmul nothing": lambda kv: kv.most_similar_cosmul(negative="w3"),
    "similarity": lambda kv: kv.similarity("w3", "unknown"),
    "distances": lambda kv: kv.distances("w3", ["unknown"]),
    "doesnt_match": lambda kv: kv.doesnt_match(["unknown"]),
    "n_similarity": lambda kv: kv.n_similarity(["w3"], []),
    "rank": lambda kv: kv.rank("w3", "unknown"),
    "item": lambda kv: kv["unknown"],
    "negative row": lambda kv: kv[-1],
    "row beyond": lambda kv: kv.get_index(1000),
    "mean weights": lambda kv: kv.get_mean_vector(["w3"], weights=[1, 2]),
    "mean missing": lambda kv: kv.get_mean_vector(["w3", "unknown"], ignore_missing=False),
    "attribute": lambda kv: kv.get_vecattr("w3", "nothing"),
    "attribute of unknown": lambda kv: kv.set_vecattr("unknown", "count", 1),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failure_agrees_with_gensim(name, ours, theirs):
    with pytest.raises((KeyError, ValueError, ZeroDivisionError)) as wanted:
        FAILURES[name](theirs)
    with pytest.raises(wanted.type) as got:
        FAILURES[name](ours)
    assert str(got.value) == str(wanted.value)


def test_growth_agrees_with_gensim():
    extra = np.full((3, 7), 2, np.float32)
    for kind in (KeyedVectors, gensim_models.KeyedVectors):
        vectors = make(kind)
        vectors.add_vectors(["new", "w3", "newer"], extra)
        assert len(vectors) == 62
        assert vectors.index_to_key[-2:] == ["new", "newer"]
        np.testing.assert_array_equal(vectors["new"], extra[0])
        np.testing.assert_array_equal(vectors["w3"], VECTORS[3])
        vectors.add_vectors(["w3"], extra[:1], replace=True)
        np.testing.assert_array_equal(vectors["w3"], extra[0])


def test_reserved_rows_are_filled_first():
    for kind in (KeyedVectors, gensim_models.KeyedVectors):
        vectors = kind(4, count=2)
        assert vectors.vectors.shape == (2, 4)
        assert [vectors.add_vector(word, np.ones(4)) for word in "ab"] == [0, 1]
        assert vectors.index_to_key == ["a", "b"]
        assert len(vectors) == 2


def test_evaluations_agree_with_gensim(tmp_path, ours, theirs):
    pairs = tmp_path / "pairs.tsv"
    rng = np.random.default_rng(0)
    drawn = [(rng.integers(0, 66), rng.integers(0, 60), rng.integers(0, 10)) for _ in range(80)]
    pairs.write_text("# a comment\n" + "".join(f"W{a}\tw{b}\t{score}\n" for a, b, score in drawn), "utf-8")
    for options in ({}, {"dummy4unknown": True}, {"restrict_vocab": 30}):
        wanted = theirs.evaluate_word_pairs(str(pairs), **options)
        got = ours.evaluate_word_pairs(str(pairs), **options)
        assert_same(got, (tuple(wanted[0]), tuple(wanted[1]), wanted[2]))
    questions = tmp_path / "questions.txt"
    lines = [" ".join(f"W{number}" for number in rng.integers(0, 63, 4)) for _ in range(200)]
    lines += [f"w{a} w{b} w{c} {theirs.most_similar([f'w{b}', f'w{c}'], [f'w{a}'])[0][0]}" for a, b, c, _ in
              rng.integers(0, 60, (60, 4))]  # fmt: skip
    questions.write_text(
        ": one\n" + "\n".join(lines[:100]) + "\n: gram two\n" + "\n".join(lines[100:]) + "\n", "utf-8"
    )
    for options in ({}, {"dummy4unknown": True}, {"restrict_vocab": 30}, {"case_insensitive": False}):
        wanted = theirs.evaluate_word_analogies(str(questions), **options)
        got = ours.evaluate_word_analogies(str(questions), **options)
        assert got[0] == wanted[0]
        assert got[1] == wanted[1]
    assert 0 < ours.evaluate_word_analogies(questions)[0] < 1


def test_cosmul_analogies_are_gensims_answers(tmp_path, ours, theirs):
    # gensim's own evaluation ignores its argument similarity_function: its single answers are what to compare
    # with.
    drawn = np.random.default_rng(4).integers(0, 60, (50, 3)).tolist()
    answers = [theirs.most_similar_cosmul([f"w{b}", f"w{c}"], [f"w{a}"], topn=1)[0][0] for a, b, c in drawn]
    lines = [f"w{a} w{b} w{c} {answer}\n" for (a, b, c), answer in zip(drawn, answers, strict=True)]
    questions = tmp_path / "questions.txt"
    questions.write_text(": section\n" + "".join(lines), "utf-8")
    assert ours.evaluate_word_analogies(questions, similarity_function="most_similar_cosmul")[0] == 1
    assert ours.evaluate_word_analogies(questions)[0] < 1


def test_assignment_sets_and_adds():
    vectors = KeyedVectors.from_arrays(["a", "b"], np.eye(2, dtype=np.float32))
    vectors.fill_norms()
    vectors["a"] = np.array([3.0, 4.0])
    vectors["c"] = [5.0, 0.0]
    vectors[["b", "d"]] = np.full((2, 2), 2.0)
    assert vectors.index_to_key == ["a", "b", "c", "d"]
    assert vectors.vectors.tolist() == [[3, 4], [2, 2], [5, 0], [2, 2]]
    assert vectors.similarity("b", "d") == pytest.approx(1.0)
    assert vectors.get_vector("a", norm=True).tolist() == pytest.approx([0.6, 0.8])
