"""Vectors that make sense: trained on a slice of real text and scored against people's judgement."""

import itertools
import lzma
import os
from pathlib import Path

import pytest

from w2v.config import TrainConfig
from w2v.corpus import CorpusOptions, encode_corpus
from w2v.evaluation import evaluate_analogies, evaluate_pairs
from w2v.training import train
from w2v.vectors import KeyedVectors

CORPORA = os.environ.get("W2V_TEST_CORPORA")
EVALUATION = os.environ.get("W2V_TEST_EVALUATION")
LINES = 200_000

pytestmark = pytest.mark.skipif(
    not (CORPORA and EVALUATION), reason="W2V_TEST_CORPORA and W2V_TEST_EVALUATION name no folders"
)


def encoded(tmp_path_factory, name, lines, **options):
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    with lzma.open(Path(CORPORA) / name, "rb") as source, open(path, "wb") as slice_of_it:
        slice_of_it.writelines(itertools.islice(source, lines))
    return encode_corpus([path], CorpusOptions(**options), use_cache=False)


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    return encoded(tmp_path_factory, "en17m.txt.xz", LINES)


def trained(corpus, **settings):
    model = train(TrainConfig(vector_size=100, **settings), corpus)
    return KeyedVectors.from_arrays(model.words, model.input_vectors, model.counts), model.training


# About what 3.7 million words give; chance is 0 ± 6 (pairs) and 0.003 % (analogies).
@pytest.mark.parametrize(
    ("objective", "model", "pairs", "analogies"),
    [("ns", "skipgram", 40, 5), ("hs", "skipgram", 40, 5), ("ns", "cbow", 35, 3), ("hs", "cbow", 30, 3)],
)
def test_scores_on_english_are_far_above_chance(english, objective, model, pairs, analogies):
    vectors, record = trained(english, objective=objective, model=model)
    wordsim = evaluate_pairs(vectors, Path(EVALUATION) / "wordsim353.tsv")
    google = evaluate_analogies(vectors, Path(EVALUATION) / "questions-words.txt", restrict=30000)
    assert wordsim.covered > 250
    assert 100 * wordsim.spearman.statistic > pairs
    assert google.total.covered > 3000
    assert 100 * google.total.accuracy > analogies
    # Later epochs draw other windows, so that their losses may differ by a little either way.
    assert record["loss"][0] == max(record["loss"]) > record["loss"][-1]


def test_korean_neighbours(tmp_path_factory):
    corpus = encoded(tmp_path_factory, "ko2m.txt.xz", None, min_count=3)
    vectors, _ = trained(corpus, objective="ns", model="skipgram")
    months = {f"{number}월" for number in range(1, 13)}
    nearest = {word for word, _ in vectors.most_similar("3월", topn=8)}
    assert len(nearest & months) >= 5
