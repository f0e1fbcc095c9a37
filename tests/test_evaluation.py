"""Word pairs and analogies: correlations against scipy, analogies made by hand, files as people write them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2v.errors import EvaluationError
from w2v.evaluation import evaluate_analogies, evaluate_pairs
from w2v.vectors import KeyedVectors
from w2v.vectors.correlation import incomplete_beta, pearson, ranks, spearman

finite = st.integers(-5, 5) | st.floats(-100, 100)


@given(st.lists(st.tuples(finite, finite), min_size=3, max_size=40))
@settings(deadline=None)
def test_correlations_are_scipys(pairs):
    stats = pytest.importorskip("scipy.stats")
    x, y = np.array(pairs, np.float64).T
    if np.ptp(x) < 1e-6 or np.ptp(y) < 1e-6:
        return
    for ours, theirs in ((pearson, stats.pearsonr), (spearman, stats.spearmanr)):
        wanted, got = theirs(x, y), ours(x, y)
        assert got.statistic == pytest.approx(wanted.statistic, abs=1e-9)
        # Close to +-1 the p-value hangs on the last bits of r.
        if abs(got.statistic) < 1 - 1e-9:
            assert got.pvalue == pytest.approx(wanted.pvalue, rel=1e-6, abs=1e-12)
    np.testing.assert_allclose(ranks(x), stats.rankdata(x))


# At subnormal x SciPy itself is off: I_x(1/64, 2) is x^a (1 + a (1 - x)), from which it is 0.5 % away at 5e-324.
@given(st.floats(0.01, 600), st.floats(0.01, 600), st.floats(0, 1, allow_subnormal=False))
@settings(deadline=None)
def test_the_incomplete_beta_function_is_scipys(a, b, x):
    special = pytest.importorskip("scipy.special")
    assert incomplete_beta(a, b, x) == pytest.approx(special.betainc(a, b, x), rel=1e-8, abs=1e-12)


def test_correlations_at_the_edges():
    assert spearman([1, 2, 3], [10, 20, 25]) == (1, 0)
    assert spearman([1, 2, 3], [3, 2, 1]) == (-1, 0)
    assert pearson([1, 2], [5, 9]) == (1, 1)
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]).statistic)
    with pytest.raises(ValueError, match="at least 2"):
        pearson([1], [1])


def plane(words, angles):
    """Words as unit vectors of the plane at the given angles in degrees: their similarity is the cosine between."""
    radians = np.radians(angles)
    return KeyedVectors.from_arrays(words, np.stack([np.cos(radians), np.sin(radians)], 1).astype(np.float32))


PLANE = plane(["cat", "dog", "car", "bus"], [0, 10, 90, 130])


@pytest.mark.parametrize("separator", ["\t", ",", " ", "  ", " \t "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_pairs_in_any_common_layout(tmp_path, separator, end):
    lines = [["cat", "dog", "9"], ["Car", "BUS", "7.5"], ["cat", "car", "1e0"], ["cat", "unicorn", "5"]]
    text = ["\ufeff# made by hand", "", *map(separator.join, lines), ""]
    path = tmp_path / "pairs"
    path.write_bytes(end.join(text).encode())
    result = evaluate_pairs(PLANE, path)
    assert (result.covered, result.total, result.oov_ratio) == (3, 4, 25)
    assert result.spearman.statistic == pytest.approx(1)
    wanted = np.corrcoef([9, 7.5, 1], np.cos(np.radians([10, 40, 90])))[0, 1]
    assert result.pearson.statistic == pytest.approx(wanted)


def test_pairs_options(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("Word 1\tWord 2\tMean\ncat\tdog\t9\nCar\tbus\t7\ncat\tcar\t1\ncat\tunicorn\t5\n", "utf-8")
    assert evaluate_pairs(PLANE, path, case_insensitive=False).covered == 2
    with pytest.raises(EvaluationError, match="1 of 4 pairs"):
        evaluate_pairs(PLANE, path, restrict=2)
    with_dummy = evaluate_pairs(PLANE, path, dummy_for_unknown=True)
    wanted = spearman([9, 7, 1, 5], np.append(np.cos(np.radians([10, 40, 90])), 0))
    assert with_dummy.spearman.statistic == pytest.approx(wanted.statistic)
    assert with_dummy.covered == 3
    path.write_text("unicorn\tdog\t9\n", "utf-8")
    with pytest.raises(EvaluationError, match="0 of 1 pairs are in the vocabulary"):
        evaluate_pairs(PLANE, path, dummy_for_unknown=True)


@pytest.mark.parametrize(
    ("line", "number"),
    [("cat dog", 2), ("cat\tdog\tnine", 2), ("cat,dog,nan", 2), ("cat", 2), ("cat\t\t3", 2), ("cat dog inf", 2)],
)
def test_malformed_pairs_name_their_line(tmp_path, line, number):
    path = tmp_path / "pairs"
    path.write_text(f"cat dog 9\n{line}\ncar bus 3\ncat car 2\n", "utf-8")
    with pytest.raises(EvaluationError, match=f"line {number}: expected two words and a number"):
        evaluate_pairs(PLANE, path)
    assert evaluate_pairs(PLANE, path, skip_malformed=True).total == 3


def test_files_that_are_none(tmp_path):
    for evaluate in (evaluate_pairs, evaluate_analogies):
        with pytest.raises(EvaluationError, match="^no such file"):
            evaluate(PLANE, tmp_path / "nowhere")
        with pytest.raises(EvaluationError, match="^cannot read"):
            evaluate(PLANE, tmp_path)
        (tmp_path / "bytes").write_bytes(b"cat dog 9\n\xff\xfe 3\n")
        with pytest.raises(EvaluationError, match="byte 10: not utf-8"):
            evaluate(PLANE, tmp_path / "bytes")


def parallel():
    """Countries in one corner, their capitals each shifted by the same step; singular and plural likewise."""
    rng = np.random.default_rng(5)
    countries, nouns = rng.normal(size=(2, 4, 24))
    to_capital, to_plural = rng.normal(size=(2, 24))
    rows = np.concatenate([countries, countries + to_capital, nouns, nouns + to_plural])
    words = [*"abcd", *"ABCD", *(f"noun{n}" for n in range(4)), *(f"noun{n}s" for n in range(4))]
    words = [f"capital{word}" if word.isupper() else word for word in words]
    return KeyedVectors.from_arrays(words, rows.astype(np.float32))


QUESTIONS = """\
: capitals
a capitalA b capitalB
A CAPITALA c CAPITALC
a capitalA b capitalC
a capitalA nowhere capitalB

: gram-plural
noun0 noun0s noun1 noun1s
# a comment
noun2 noun2s noun3 noun3s
: gram-empty
"""


@pytest.mark.parametrize("method", ["3CosAdd", "3CosMul"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_analogies_by_section(tmp_path, method, end):
    path = tmp_path / "questions"
    path.write_bytes(QUESTIONS.replace("\n", end).encode())
    result = evaluate_analogies(parallel(), path, method=method)
    found = {part.name: (len(part.correct), part.covered, part.total) for part in result.sections}
    assert found == {"capitals": (2, 3, 4), "gram-plural": (2, 2, 2), "gram-empty": (0, 0, 0)}
    assert (result.semantic.covered, result.semantic.total) == (3, 4)
    assert result.semantic.accuracy == pytest.approx(2 / 3)
    assert result.syntactic.accuracy == 1
    assert result.total.accuracy == 0.8
    assert math.isnan(result.sections[2].accuracy)
    assert result.sections[0].incorrect == [("A", "CAPITALA", "B", "CAPITALC")]


def test_analogies_options(tmp_path):
    path = tmp_path / "questions"
    path.write_text(QUESTIONS, "utf-8")
    vectors = parallel()
    assert evaluate_analogies(vectors, path, case_insensitive=False).total.covered == 4
    assert evaluate_analogies(vectors, path, restrict=8).syntactic.covered == 0
    with pytest.raises(EvaluationError, match="none of its 6 questions"):
        evaluate_analogies(vectors, path, restrict=4)
    with pytest.raises(EvaluationError, match="3CosAdd or 3CosMul"):
        evaluate_analogies(vectors, path, method="nearest")


def test_other_spellings_of_the_words_asked_are_no_answer(tmp_path):
    """With king and King in the vocabulary, neither answers a question about king, and either is a right answer."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(6, 8)).astype(np.float32)
    rows[3] = rows[1] - rows[0] + rows[2]
    rows[4] = rows[1] - rows[0] + rows[2] * 1.01
    rows[5] = rows[1] - rows[0] + rows[2] * 1.02
    path = tmp_path / "questions"
    path.write_text(": family\nman king woman queen\n", "utf-8")
    for words, correct in (
        (["man", "king", "woman", "King", "Woman", "Queen"], 1),
        (["man", "king", "woman", "Queen", "x", "queen"], 1),
        (["man", "king", "woman", "King", "x", "queen"], 0),
    ):
        result = evaluate_analogies(KeyedVectors.from_arrays(words, rows), path)
        assert len(result.total.correct) == correct, words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b c d\n", "line 1: a question before the first section"),
        (": one\na b c\n", "line 2: expected four words"),
        (": one\na b c d e\n", "line 2: expected four words"),
    ],
)
def test_malformed_questions_name_their_line(tmp_path, text, message):
    path = tmp_path / "questions"
    path.write_text(text, "utf-8")
    with pytest.raises(EvaluationError, match=message):
        evaluate_analogies(parallel(), path)
