"""Phrases against a plain reference and against gensim: scores, joined text, blocks, bounds of memory."""

import random
from pydoc_data.topics import topics

import numpy as np
import phrase_reference as reference
import pytest
from w2v.kernels import phrases_cpu as kernel

from w2v.corpus.sources import Source
from w2v.errors import ConfigError, CorpusError, OutputError
from w2v.phrases import PhraseOptions, join_phrases
from w2v.phrases import passes as phrase_passes
from w2v.phrases.connectors import ENGLISH, read_connector_words
from w2v.phrases.counts import CountTable

METHODS = {"default": kernel.DEFAULT, "npmi": kernel.NPMI, "word2phrase": kernel.WORD2PHRASE}
LONG = "a-word-of-more-than-sixteen-bytes"
WORDS = ["new", "york", "city", "new_york", "york_city", "of", "the", "the_of", "_", "a_", "_b", "b", "é", "서울"]
WORDS += [LONG, f"{LONG}_new", "a__b"]


def random_sentences(seed, words, sentences=400, longest=12):
    """Sentences of words drawn unevenly, some of them empty."""
    draw = random.Random(seed)
    weights = [1 / (number + 1) for number in range(len(words))]
    return [draw.choices(words, weights, k=draw.randrange(longest)) for _ in range(sentences)]


def language_reference():
    """Python's own reference: some 100,000 words of English and code, a line a sentence, cut at ASCII white space."""
    lines = (line.encode().split() for text in topics.values() for line in text.split("\n"))
    return [[word.decode() for word in line] for line in lines]


def write(path, sentences):
    path.write_text("".join(" ".join(sentence) + "\n" for sentence in sentences), encoding="utf-8")
    return path


def read(path):
    return [line.split(" ") if line else [] for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def joined(tmp_path, sentences, options, **more):
    """The sentences that ``join_phrases`` writes for ``sentences``, and its totals."""
    out = tmp_path / "out.txt"
    totals = join_phrases([write(tmp_path / "in.txt", sentences)], out, options, keep_list=True, **more)
    return read(out), totals


@pytest.mark.parametrize("scoring", list(METHODS))
@pytest.mark.parametrize(
    "counts", [(10, 20, 8), (3, 1, 1), (0, 4, 1), (7, 7, 7), (3_000_000_000, 2_999_999_999, 12345)]
)
def test_scores_are_those_of_the_formulas(scoring, counts):
    for min_count, entries, tokens in ((5, 1000, 20_000), (1, 40_000_001, 9_999_999_999)):
        wanted = reference.score(scoring, *counts, min_count, entries, tokens)
        assert kernel.score_pair(METHODS[scoring], *counts, min_count, entries, tokens) == wanted


def test_scores_by_hand():
    # 8 of 1000 words are the pair: ln(0.008 / (0.01 · 0.02)) / −ln 0.008.
    assert kernel.score_pair(kernel.DEFAULT, 10, 20, 8, 5, 100, 1000) == pytest.approx(1.5)
    assert kernel.score_pair(kernel.WORD2PHRASE, 10, 20, 8, 5, 100, 1000) == pytest.approx(15.0)
    assert kernel.score_pair(kernel.NPMI, 10, 20, 8, 5, 100, 1000) == pytest.approx(0.764010, abs=1e-6)
    assert kernel.score_pair(kernel.NPMI, 10, 20, 4, 5, 100, 1000) == -np.inf


@pytest.mark.parametrize("passes", [1, 3])
@pytest.mark.parametrize("connectors", [frozenset(), frozenset({"of", "the", "the_of"})])
@pytest.mark.parametrize(
    ("scoring", "threshold", "min_count"),
    [("default", 0.02, 1), ("default", 0.1, 5), ("npmi", 0.05, 1), ("npmi", -0.4, 3), ("word2phrase", 1.0, 2)],
)
def test_joined_text_is_the_references(tmp_path, scoring, threshold, min_count, connectors, passes):
    options = PhraseOptions(scoring, threshold, min_count, "_", connectors, passes=passes)
    for seed in range(3):
        sentences = wanted = random_sentences(seed, WORDS)
        phrases = {}
        for _ in range(passes):
            wanted, found = reference.join(wanted, options)
            phrases |= found
        result, totals = joined(tmp_path, sentences, options)
        assert result == wanted
        assert totals.words_after == sum(map(len, wanted)) < totals.words == sum(map(len, sentences))
        # One entry may be several pairs (new_york + city, new + york_city): each has a score of its own.
        assert {phrase.text: phrase.count for phrase in totals.listed()} == {
            text: n for text, (n, _) in phrases.items()
        }
        scores = [phrase.score for phrase in totals.listed()]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("delimiter", ["_", "·", "-=-", "ab"])
def test_any_delimiter(tmp_path, delimiter):
    words = ["x", "y", "z", "ab", "a", "b", f"x{delimiter}y", f"{delimiter}z", LONG + delimiter + "x", "ab-=-b"]
    sentences = random_sentences(5, words)
    options = PhraseOptions("default", 0.05, 1, delimiter, passes=2)
    wanted = reference.join(reference.join(sentences, options)[0], options)[0]
    assert joined(tmp_path, sentences, options)[0] == wanted != sentences


@pytest.mark.parametrize("connectors", [frozenset(), ENGLISH], ids=["none", "english"])
@pytest.mark.parametrize(("scoring", "threshold"), [("default", 10.0), ("npmi", 0.5), ("npmi", -0.1)])
def test_real_text_is_joined_as_gensim_does(tmp_path, scoring, threshold, connectors):
    models = pytest.importorskip("gensim.models.phrases", reason="gensim has no wheel for this Python")
    assert models.ENGLISH_CONNECTOR_WORDS == ENGLISH
    sentences = wanted = language_reference()
    for passes in (1, 2):
        theirs = models.Phrases(wanted, min_count=5, threshold=threshold, scoring=scoring, connector_words=connectors)
        found = theirs.find_phrases(wanted)
        wanted = [theirs[sentence] for sentence in wanted]
        options = PhraseOptions(scoring, threshold, connector_words=connectors, passes=passes)
        result, totals = joined(tmp_path, sentences, options)
        assert result == wanted
        if passes == 1:
            assert {phrase.text: phrase.score for phrase in totals.listed()} == found
            assert totals.pairs + len({word for line in sentences for word in line} - connectors) == len(theirs.vocab)
            assert all(theirs.vocab[phrase.text] == phrase.count for phrase in totals.listed())
    assert totals.phrases > 30


def test_no_two_words_of_many_are_taken_for_one(tmp_path):
    """Runs of a character behind another one: the tokenizer's hash of long words takes some of them for others."""
    words = [first + run * length for first in "+-*#=~_ab" for run in "+-*#=~_ab" for length in range(60)]
    sentences = [[word] for word in sorted(set(words))]
    counting = phrase_passes.Counting([Source(write(tmp_path / "in.txt", sentences))], PhraseOptions(), False)
    counting.run(1, lambda done: None)
    assert (len(counting.table), counting.table.words) == (len(sentences), len(sentences))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("one_line", [False, True])
def test_blocks_do_not_show(tmp_path, monkeypatch, threads, one_line):
    sentences = random_sentences(2, WORDS, 600)
    if one_line:
        sentences = [[word for sentence in sentences for word in sentence]]
    options = PhraseOptions("default", 0.05, 1, connector_words=frozenset({"of", "the", "y"}), passes=2)
    wanted = reference.join(reference.join(sentences, options)[0], options)[0]
    for size in (64, 150, 1 << 21):
        monkeypatch.setattr(phrase_passes, "BLOCK_SIZE", size)
        result, totals = joined(tmp_path, sentences, options, threads=threads)
        assert result == wanted
        assert totals.words_after == sum(map(len, wanted))


def test_a_phrase_may_span_many_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(phrase_passes, "BLOCK_SIZE", 64)
    phrase = ["bank", *["of"] * 100, "england"]
    sentences = [[*phrase, "x", *phrase, "y", *["of"] * 70, "z", "bank", *["of"] * 90], phrase]
    options = PhraseOptions("default", 0.1, 1, connector_words=frozenset({"of"}))
    result, totals = joined(tmp_path, sentences, options)
    assert result == reference.join(sentences, options)[0]
    assert result[1] == ["_".join(phrase)]
    assert (totals.joins, totals.phrases, totals.listed()[0].count) == (3, 1, 3)


def test_wide_gaps_between_blocks_become_one_delimiter(tmp_path, monkeypatch):
    (tmp_path / "in.txt").write_text("new  \t york   x y " * 40)
    for size in range(60, 82):
        monkeypatch.setattr(phrase_passes, "BLOCK_SIZE", size)
        join_phrases([tmp_path / "in.txt"], tmp_path / "out.txt", PhraseOptions("npmi", 0.0))
        assert (tmp_path / "out.txt").read_text() == "new_york   x_y " * 40 + "\n"


def test_white_space_and_lines_stay_but_within_phrases(tmp_path):
    text = b"\xef\xbb\xbf\n\n  new \t york\r\n x\x0bnew  york  \n\n new\n york new york\ty\n\nnew\xff york"
    (tmp_path / "in.txt").write_bytes(text)
    messages = []
    totals = join_phrases(
        [tmp_path / "in.txt"], tmp_path / "out.txt", PhraseOptions("default", 0.1, 1, "::"), report=messages.append
    )
    wanted = b"\n\n  new::york\r\n x\x0bnew::york  \n\n new\n york new::york\ty\n\nnew\xff york\n"
    assert (tmp_path / "out.txt").read_bytes() == wanted
    assert (totals.words, totals.words_after, totals.bad_bytes) == (12, 9, 1)
    assert messages == ["1 bytes are not UTF-8: they are written as they are"]


def test_lowercase(tmp_path):
    sentences = [["NEW", "York"], ["new", "YORK"], ["Ärger", "ÉCOLE", "İx"], ["ärger", "École"], ["ΣΑΣ", "A\udcffB"]]
    text = "".join(" ".join(sentence) + "\n" for sentence in sentences).encode("utf-8", "surrogateescape")
    (tmp_path / "in.txt").write_bytes(text)
    options = PhraseOptions("default", 0.1, 1, connector_words=frozenset({"A"}), lowercase=True, passes=2)
    join_phrases([tmp_path / "in.txt"], tmp_path / "out.txt", options)
    wanted = "new_york\nnew_york\närger_école i̇x\närger_école\nσας a\udcffb\n"
    assert (tmp_path / "out.txt").read_bytes() == wanted.encode("utf-8", "surrogateescape")


def test_lower_casing_does_not_move_the_ends_of_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(phrase_passes, "BLOCK_SIZE", 512)
    path = write(tmp_path / "in.txt", [["ÉÉÉ", "Íz"]] * 600)
    ends = []
    for threads, lowercase in ((1, False), (1, True), (3, True)):
        counting = phrase_passes.Counting([Source(path)], PhraseOptions(), lowercase)
        ends.append([])
        commit = counting.commit
        monkeypatch.setattr(
            counting, "commit", lambda block, commit=commit: (ends[-1].append(block.read), commit(block))
        )
        counting.run(threads, lambda done: None)
        assert counting.tokens == 1200
    assert ends[0] == ends[1] == ends[2]
    assert len(ends[0]) > 10


def test_tables_never_hold_more_than_the_bound(tmp_path, monkeypatch):
    sizes, full = [], []
    original = CountTable._add

    def watched(self, add, items):
        original(self, add, items)
        sizes.append(len(self))
        full.append(len(self.entries))
        assert len(self) == np.count_nonzero(self.entries[:, 0])
        assert self.words == np.count_nonzero(self.entries[:, 1] >> np.uint64(63))

    monkeypatch.setattr(CountTable, "_add", watched)
    monkeypatch.setattr(phrase_passes, "BLOCK_SIZE", 4096)
    draw = random.Random(1)
    sentences = [[f"w{int(draw.paretovariate(0.7)) % 5000}" for _ in range(9)] + ["new", "york"] for _ in range(3000)]
    messages = []
    options = PhraseOptions("npmi", 0.3, max_vocab_size=500)
    result, totals = joined(tmp_path, sentences, options, threads=2, report=messages.append)
    assert max(sizes) <= 500
    assert len(sizes) > 30
    assert max(full) <= 1024
    # What is frequent enough to survive is still found, and nothing else has changed.
    assert all(line[-1] == "new_york" for line in result)
    assert [[part for word in line for part in word.split("_")] for line in result] == sentences
    assert totals.words_after == sum(map(len, result))
    assert len(messages) == 1
    assert "--max-vocab-size 500 was reached" in messages[0]
    # The same at any number of threads.
    assert joined(tmp_path, sentences, options, threads=1)[0] == result


def test_pruning_forgets_the_rarest_and_its_bound_rises():
    table = CountTable(4)
    words = np.zeros((4, 4), np.uint64)
    words[:, kernel.FINGERPRINT] = [1 << 40, 2 << 50, 3 << 60, 4]
    words[:, kernel.COUNT] = [1, 5, 2, 9]
    table.add_words(words)
    assert (len(table), table.words, table.prunings) == (4, 4, 0)
    table.add_pairs(np.array([7, 7, 0, 7], np.uint64))
    assert (len(table), table.words, table.prunings, table.min_reduce) == (4, 3, 1, 2)
    # min_reduce is 2 by now; the two lowest counts that go are 2 and, of the pair, 3.
    table.add_pairs(np.array([8], np.uint64))
    assert (len(table), table.words, table.min_reduce) == (4, 2, 3)
    held = {int(key): int(value) & (2**62 - 1) for key, value in table.entries if key}
    assert held == {2 << 50: 5, 4: 9, 7: 3, 8: 1}


def test_tables_grow_from_the_smallest():
    table = CountTable(10**6, slots=2)
    keys = np.random.default_rng(0).integers(1, 2**64, 3000, np.uint64)
    for start in range(0, 9000, 700):
        table.add_pairs(np.tile(keys, 3)[start : start + 700])
    assert (len(table), table.words) == (3000, 0)
    assert set(table.entries[:, 0].tolist()) == {0, *keys.tolist()}
    assert set(table.entries[:, 1].tolist()) == {0, 3}
    assert len(table.entries) == 8192
    assert not np.count_nonzero(table.frequent(4, 9000))
    assert np.count_nonzero(table.frequent(3, 9000)[:, 0]) == 3000


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scoring": "pmi"}, "--scoring pmi is unknown"),
        ({"threshold": 0}, "--threshold 0 is out of range"),
        ({"threshold": float("nan")}, "--threshold nan is out of range"),
        ({"scoring": "npmi", "threshold": 10}, "--threshold 10 is out of range"),
        ({"scoring": "npmi", "threshold": -1.1}, "--threshold -1.1 is out of range"),
        ({"min_count": 0}, "--min-count 0 is out of range"),
        ({"passes": 0}, "--passes 0 is out of range"),
        ({"max_vocab_size": 0}, "--max-vocab-size 0 is out of range"),
        ({"delimiter": ""}, "--delimiter is empty"),
        ({"delimiter": "a b"}, "holds white space"),
        ({"delimiter": "\n"}, "holds white space"),
        ({"delimiter": "\udcff"}, "is not UTF-8"),
    ],
)
def test_options_out_of_range(wrong, message):
    with pytest.raises(ConfigError, match=message):
        PhraseOptions(**wrong)


def test_defaults_of_the_thresholds():
    assert [PhraseOptions(scoring).limit for scoring in METHODS] == [10.0, 0.5, 100.0]


def test_connector_words_of_a_file(tmp_path):
    path = tmp_path / "words"
    path.write_bytes("\ufeffder die\ndas\tüber".encode())
    assert read_connector_words(str(path)) == {"der", "die", "das", "über"}
    assert read_connector_words("none") == frozenset()
    for text, message in ((b" \n", "holds no connector word"), (b"a \xff", "is not UTF-8")):
        path.write_bytes(text)
        with pytest.raises(CorpusError, match=message):
            read_connector_words(str(path))
    with pytest.raises(CorpusError, match="cannot read the connector words"):
        read_connector_words(str(tmp_path / "missing"))


def test_a_text_without_words(tmp_path):
    (tmp_path / "in.txt").write_text(" \n\n")
    with pytest.raises(CorpusError, match="no words"):
        join_phrases([tmp_path / "in.txt"], tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()


def test_a_text_that_changes_meanwhile(tmp_path):
    path = write(tmp_path / "in.txt", [["a", "b"]])
    with pytest.raises(CorpusError, match="changed while it was read"):
        join_phrases([path], tmp_path / "out.txt", report=lambda message: None, progress=_Appending(path))
    assert not (tmp_path / "out.txt").exists()


class _Appending:
    """Progress that writes to the text as soon as some of it is done."""

    def __init__(self, path):
        self.path = path

    def __call__(self, inputs):
        return self

    def __enter__(self):
        return self.update

    def __exit__(self, *exception):
        """Nothing to close."""

    def update(self, done):
        with open(self.path, "a") as file:
            file.write("c\n")


def test_threads_out_of_range_and_no_temporary_folder(tmp_path, monkeypatch):
    path = write(tmp_path / "in.txt", [["a", "b"]])
    with pytest.raises(ConfigError, match="--threads 0 is out of range"):
        join_phrases([path], tmp_path / "out.txt", threads=0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(OutputError, match="set TMPDIR"):
        join_phrases([path], tmp_path / "out.txt")
