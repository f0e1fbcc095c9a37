"""Encoding text: against a plain Python reading of the same bytes, at any number of threads and block size."""

import bz2
import gzip
import lzma
import os
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from w2v.corpus import CorpusOptions, Vocabulary, count_words, encode_corpus, encode_sentences, passes
from w2v.corpus.pipeline import Pipeline
from w2v.corpus.sources import find_sources
from w2v.errors import ConfigError, CorpusError, MissingExtraError, OutputError, VocabularyError
from w2v.vectors.folder import save_model_folder

KEEP_ALL = CorpusOptions(min_count=1)
TEXT = b"the cat sat on the mat\n\nthe  dog\tsat \r\n \n on the cat\n"


def write(folder: Path, data: bytes, name: str = "text.txt") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def plain_sentences(text: bytes, lowercase: bool = False) -> list[list[str]]:
    """Decoded words by line; lines without words are no sentences."""
    lines = [[word.decode("utf-8", "replace") for word in line.split()] for line in text.split(b"\n")]
    return [[word.lower() if lowercase else word for word in line] for line in lines if line]


def plain_vocabulary(sentences, min_count=1, limit=None) -> dict[str, int]:
    """Word to count in the order of ids."""
    counts = Counter(word for sentence in sentences for word in sentence)
    kept = [word for word in counts if counts[word] >= min_count]
    return {word: counts[word] for word in sorted(kept, key=lambda word: (-counts[word], word.encode()))[:limit]}


def decoded(corpus) -> list[list[str]]:
    """The sentences of an encoded corpus as words; checks the marks on the way."""
    ids = np.asarray(corpus.ids)
    assert ids.dtype == np.int32
    assert ids[0] >= 0
    assert ids[-1] == -1
    assert not np.any((ids[1:] == -1) & (ids[:-1] == -1))
    ends = np.flatnonzero(ids == -1)
    assert len(ends) == corpus.sentences
    assert len(ids) - len(ends) == corpus.tokens
    words = np.array(corpus.vocabulary.words, object)
    return [words[part[part >= 0]].tolist() for part in np.split(ids, ends)[:-1]]


def check(corpus, sentences, **limits):
    """The corpus is the plain reading of ``sentences``."""
    expected = plain_vocabulary(sentences, **limits)
    assert corpus.vocabulary.words == list(expected)
    assert corpus.vocabulary.counts.tolist() == list(expected.values())
    kept = [[word for word in sentence if word in expected] for sentence in sentences]
    assert decoded(corpus) == [sentence for sentence in kept if sentence]
    assert corpus.raw_tokens == sum(map(len, sentences))


def test_round_trip(tmp_path):
    corpus = encode_corpus([write(tmp_path, TEXT)], KEEP_ALL)
    check(corpus, plain_sentences(TEXT))
    assert corpus.vocabulary.words[:2] == ["the", "cat"]
    assert corpus.sentences == 3


WORDS = st.one_of(
    st.sampled_from(["the", "a", "A", "cat", "İ", "i̇", "ß", "ΣΑΣ", "x" * 9, "y" * 30, "\ufffd", "\x1c"]).map(
        str.encode
    ),
    st.binary(min_size=1, max_size=3),
)
LINES = st.lists(st.one_of(WORDS, st.sampled_from([b" ", b"\n", b"\r\n", b"\t"])), max_size=60).map(b" ".join)


@given(LINES, st.sampled_from([4, 7, 16, 64]), st.sampled_from([1, 2, 3, 7]), st.booleans(), st.integers(1, 3))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_at_any_block_size_and_thread_count(tmp_path, text, size, threads, lowercase, min_count):
    text += b"\nthe a the a the a"
    path = write(tmp_path, text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "BLOCK_SIZE", size)
        options = CorpusOptions(min_count=min_count, lowercase=lowercase)
        with encode_corpus([path], options, threads=threads, use_cache=False) as corpus:
            check(corpus, plain_sentences(text.removeprefix(b"\xef\xbb\xbf"), lowercase), min_count=min_count)


def zipf_text(seed: int = 1, lines: int = 3000) -> bytes:
    """Lines of words with realistic counts: some frequent ones, many that occur once."""
    random = np.random.default_rng(seed)
    numbers = np.minimum(random.zipf(1.3, (lines, 12)), 10**7)
    return b"\n".join(b" ".join(b"w%d" % number for number in line) for line in numbers) + b"\n"


@pytest.mark.parametrize("options", [CorpusOptions(), CorpusOptions(3, 200), CorpusOptions(2, 500, 100, True)])
def test_same_result_at_any_thread_count(tmp_path, monkeypatch, options):
    monkeypatch.setattr(passes, "BLOCK_SIZE", 5000)
    path = write(tmp_path, zipf_text())
    results = []
    for threads in (1, 2, 3, 7):
        with encode_corpus([path], options, threads=threads, use_cache=False) as corpus:
            results.append((np.array(corpus.ids).tobytes(), corpus.vocabulary.fingerprint, corpus.fingerprint))
    assert len(set(results)) == 1


def test_absurd_thread_counts_are_cut_to_what_the_cores_can_use(tmp_path, monkeypatch):
    started = []

    def run(self, threads, tick=None, original=Pipeline.run):
        started.append(threads)
        original(self, threads, tick)

    monkeypatch.setattr(Pipeline, "run", run)
    monkeypatch.setattr("w2v.corpus.encode.available_cores", lambda: 2)
    path = write(tmp_path, b"a b a\nb c\n")
    expected = encode_corpus([path], CorpusOptions(1), threads=1, use_cache=False).fingerprint
    for threads in (3000, 2**60):
        assert encode_corpus([path], CorpusOptions(1), threads=threads, use_cache=False).fingerprint == expected
    assert started[:2] == [1, 1]
    assert set(started[2:]) == {8}


def test_pruning_while_earlier_blocks_are_still_being_written(tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "BLOCK_SIZE", 5000)
    path = write(tmp_path, zipf_text())
    options = CorpusOptions(2, max_vocab_size=900)
    expected = encode_corpus([path], options, threads=1, use_cache=False).fingerprint
    write_now = passes.NumberFile.write

    def write_late(self, position, numbers):
        time.sleep(0.005)
        write_now(self, position, numbers)

    monkeypatch.setattr(passes.NumberFile, "write", write_late)
    assert encode_corpus([path], options, threads=4, use_cache=False).fingerprint == expected


def test_block_size_changes_nothing_without_pruning(tmp_path, monkeypatch):
    path = write(tmp_path, zipf_text())
    fingerprints = set()
    for size in (100, 5000, 1 << 22):
        monkeypatch.setattr(passes, "BLOCK_SIZE", size)
        with encode_corpus([path], use_cache=False) as corpus:
            fingerprints.add(corpus.fingerprint)
    assert len(fingerprints) == 1


@pytest.mark.parametrize("min_count", [1, 2, 5, 50])
@pytest.mark.parametrize("limit", [None, 2, 10, 100000])
def test_min_count_and_max_final_vocab(tmp_path, min_count, limit):
    text = zipf_text()
    corpus = encode_corpus([write(tmp_path, text)], CorpusOptions(min_count, max_final_vocab=limit))
    check(corpus, plain_sentences(text), min_count=min_count, limit=limit)


def test_max_vocab_size_that_is_never_reached_changes_nothing(tmp_path):
    text = zipf_text()
    corpus = encode_corpus([write(tmp_path, text)], CorpusOptions(2, max_vocab_size=10**6))
    check(corpus, plain_sentences(text), min_count=2)


def test_max_vocab_size_bounds_the_words_and_counts_the_kept_ones_exactly(tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "BLOCK_SIZE", 4000)
    text = zipf_text()
    truth = plain_vocabulary(plain_sentences(text))
    corpus = encode_corpus([write(tmp_path, text)], CorpusOptions(1, max_vocab_size=300))
    assert 20 < len(corpus.vocabulary) <= 300
    assert dict(zip(corpus.vocabulary.words, corpus.vocabulary.counts.tolist(), strict=True)).items() <= truth.items()
    # The frequent words cannot have been pruned.
    assert corpus.vocabulary.words[:20] == list(truth)[:20]
    kept = [[word for word in line if word in corpus.vocabulary.index] for line in plain_sentences(text)]
    assert decoded(corpus) == [line for line in kept if line]
    assert corpus.raw_tokens == sum(truth.values())


def test_pruning_reports_every_bad_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "BLOCK_SIZE", 64)
    text = b"".join(b"the cat \xff%d \xe2\x82 the cat\n" % n for n in range(100))
    corpus = encode_corpus([write(tmp_path, text)], CorpusOptions(1, max_vocab_size=5))
    assert corpus.bad_bytes == 300
    assert corpus.vocabulary.words[:2] == ["cat", "the"]


def test_words_that_decode_to_the_same_are_one(tmp_path):
    text = b"a\xff b a\xfe a\xef\xbf\xbd b\n"
    messages = []
    corpus = encode_corpus([write(tmp_path, text)], KEEP_ALL, report=messages.append)
    assert corpus.vocabulary.words == ["a\ufffd", "b"]
    assert corpus.vocabulary.counts.tolist() == [3, 2]
    assert corpus.bad_bytes == 2
    assert sum("2 bytes are not UTF-8" in message for message in messages) == 1
    assert encode_corpus([tmp_path / "text.txt"], KEEP_ALL, report=messages.append).from_cache
    assert sum("2 bytes are not UTF-8" in message for message in messages) == 2


def test_merged_words_are_counted_together_against_min_count(tmp_path):
    corpus = encode_corpus([write(tmp_path, b"The the THE cat cat cat dog\n")], CorpusOptions(3, lowercase=True))
    assert dict(zip(corpus.vocabulary.words, corpus.vocabulary.counts.tolist(), strict=True)) == {"the": 3, "cat": 3}


def test_lowercase_is_unicodes(tmp_path):
    text = "İSTANBUL STRASSE ẞ ΟΔΟΣ Σ ÀÉ ŁÓDŹ Привет\nistanbul straße ß οδος σ àé łódź привет\n"
    corpus = encode_corpus([write(tmp_path, text.encode())], CorpusOptions(1, lowercase=True))
    assert set(corpus.vocabulary.words) == {word.lower() for word in text.split()}
    check(corpus, plain_sentences(text.encode(), lowercase=True))


def test_unicode_spaces_do_not_separate(tmp_path):
    text = "a\u00a0b c\u3000d e\u2028f g\x85h i\x1cj a\u00a0b\n"
    corpus = encode_corpus([write(tmp_path, text.encode())], KEEP_ALL)
    assert set(corpus.vocabulary.words) == {"a\u00a0b", "c\u3000d", "e\u2028f", "g\x85h", "i\x1cj"}
    path = tmp_path / "v.tsv"
    corpus.vocabulary.save(path)
    assert Vocabulary.load(path).words == corpus.vocabulary.words


def test_a_byte_order_mark_is_no_word(tmp_path):
    first = write(tmp_path, b"\xef\xbb\xbfa b\n", "1.txt")
    second = write(tmp_path, b"\xef\xbb\xbf", "2.txt")
    third = write(tmp_path, b"\xef\xbb\xbfb \xef\xbb\xbf c", "3.txt")
    corpus = encode_corpus([first, second, third], KEEP_ALL)
    assert sorted(corpus.vocabulary.words) == ["a", "b", "c", "\ufeff"]


def test_the_end_of_a_file_ends_its_sentence(tmp_path, monkeypatch):
    for size in (8, 100):
        monkeypatch.setattr(passes, "BLOCK_SIZE", size)
        paths = [write(tmp_path, b"a b", "1"), write(tmp_path, b"", "2"), write(tmp_path, b"c", "3")]
        with encode_corpus([*paths, paths[0]], KEEP_ALL, use_cache=False) as corpus:
            assert decoded(corpus) == [["a", "b"], ["c"], ["a", "b"]]


def test_lines_and_tokens_of_any_length(tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "BLOCK_SIZE", 1 << 12)
    line = b" ".join(b"word%d" % (n % 50) for n in range(30000))
    text = line + b"\n" + b"x" * 100_000 + b" the " + b"x" * 100_000 + b"\n" + b"y" * 40_000
    with encode_corpus([write(tmp_path, text)], KEEP_ALL, use_cache=False) as corpus:
        check(corpus, plain_sentences(text))


def compressed(data: bytes, suffix: str) -> bytes:
    if suffix == ".zst":
        zstandard = pytest.importorskip("zstandard")
        return zstandard.ZstdCompressor().compress(data)
    return {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[suffix](data)


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".zst"])
def test_every_compression_in_several_members(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(passes, "BLOCK_SIZE", 1000)
    text = zipf_text(lines=500)
    path = write(tmp_path, compressed(text[:3000], suffix) + compressed(text[3000:], suffix), f"text{suffix}")
    check(encode_corpus([path], KEEP_ALL), plain_sentences(text))


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_damaged_compressed_files_are_named(tmp_path, suffix):
    whole = compressed(zipf_text(), suffix)
    for data in (whole[: len(whole) // 2], whole[:-3], b"plain text, not compressed at all\n", whole[:5]):
        path = write(tmp_path, data, f"text{suffix}")
        with pytest.raises(CorpusError, match=rf"text\{suffix}.*fetch it again"):
            encode_corpus([path], KEEP_ALL)


def test_flipped_bits_in_a_compressed_file_are_named(tmp_path):
    for suffix in (".gz", ".bz2", ".xz"):
        data = bytearray(compressed(zipf_text(), suffix))
        data[len(data) // 2] ^= 255
        with pytest.raises(CorpusError, match="fetch it again"):
            encode_corpus([write(tmp_path, bytes(data), f"text{suffix}")], KEEP_ALL)


def test_zstandard_missing_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError, match=r"w2v\[io\]"):
        encode_corpus([write(tmp_path, b"?", "text.zst")], KEEP_ALL)


def test_folders_are_read_sorted_recursively_without_hidden_files(tmp_path):
    folder = tmp_path / "texts"
    for name in ("b.txt", "a/z.txt", "a/b/c.txt", "B.txt", ".hidden", ".git/x", "a/.y", "a.txt"):
        write(folder, f"name {name}\n".encode(), name)
    corpus = encode_corpus([folder], KEEP_ALL)
    order = ["B.txt", "a/b/c.txt", "a/z.txt", "a.txt", "b.txt"]
    assert decoded(corpus) == [["name", name] for name in order]


def test_inputs_are_read_in_the_order_given(tmp_path):
    paths = [write(tmp_path, f"x {name}\n".encode(), name) for name in ("2", "1", "3")]
    assert decoded(encode_corpus(paths, KEEP_ALL)) == [["x", "2"], ["x", "1"], ["x", "3"]]


def test_models_inside_a_folder_are_not_read_as_text(tmp_path):
    folder = tmp_path / "texts"
    write(folder, b"a b\n", "a.txt")
    vectors = np.ones((2, 3), np.float32)
    save_model_folder(folder / "m", config={}, words=["x", "y"], counts=None, input_vectors=vectors)
    # Someone else's config.json does not make a folder a model.
    write(folder, b'{"format": "c d"}\n', "other/config.json")
    names = [source.path.relative_to(folder).as_posix() for source in find_sources([folder])]
    assert names == ["a.txt", "other/config.json"]
    with pytest.raises(CorpusError, match="w2v models are left out"):
        find_sources([folder / "m"])
    assert len(find_sources([folder / "m" / "vocabulary.tsv"])) == 1


class FakeStdin:
    """Standard input that is a file."""

    def __init__(self, path: Path) -> None:
        self.buffer = open(path, "rb")  # noqa: SIM115 (lives as long as the test)


@pytest.mark.parametrize("options", [KEEP_ALL, CorpusOptions(1, max_vocab_size=50)])
def test_standard_input_is_read_and_never_cached(tmp_path, monkeypatch, cache_folder, options):
    monkeypatch.setattr(passes, "BLOCK_SIZE", 1000)
    path = write(tmp_path, zipf_text(lines=300))
    expected = encode_corpus([path], options, use_cache=False)
    for _ in range(2):
        monkeypatch.setattr(sys, "stdin", FakeStdin(path))
        corpus = encode_corpus(["-"], options)
        assert corpus.fingerprint == expected.fingerprint
        assert not corpus.from_cache
        folder = corpus.path
        corpus.close()
        assert not folder.exists()
    assert not cache_folder.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes need POSIX")
def test_a_pipe_is_read_like_a_file(tmp_path):
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_bytes, args=(TEXT,), daemon=True).start()
    check(encode_corpus([pipe], KEEP_ALL), plain_sentences(TEXT))


def test_a_saved_vocabulary_keeps_its_order_and_counts(tmp_path):
    vocabulary = write(tmp_path, b"dog\t9\nzebra\t8\nthe\t8\ncat\t1\nnew york\t1\n", "v.tsv")
    corpus = encode_corpus([write(tmp_path, TEXT)], CorpusOptions(5, vocab_file=vocabulary))
    assert corpus.vocabulary.words == ["dog", "zebra", "the", "cat", "new york"]
    assert corpus.vocabulary.counts.tolist() == [9, 8, 8, 1, 1]
    assert decoded(corpus) == [["the", "cat", "the"], ["the", "dog"], ["the", "cat"]]
    assert corpus.raw_tokens == 12


@pytest.mark.parametrize("use_cache", [False, True])
def test_what_a_vocabulary_covers_is_reported(tmp_path, use_cache):
    path, vocabulary = write(tmp_path, TEXT), write(tmp_path, b"dog\t9\nzebra\t8\nthe\t8\ncat\t1\n", "v.tsv")
    expected = {
        CorpusOptions(2): "4 words kept, 10 of 12 tokens (83.3%)",
        CorpusOptions(5, vocab_file=vocabulary): f"vocabulary of {vocabulary}: 4 words, 7 of 12 tokens (58.3%)",
    }
    for options, message in expected.items():
        for _ in range(2):
            said = []
            encode_corpus([path], options, use_cache=use_cache, report=said.append)
            assert message in said


def test_a_saved_vocabulary_with_lowercase_and_bad_bytes(tmp_path):
    vocabulary = write(tmp_path, "the\t9\nThe\t8\nß\t8\na\ufffd\t1\n".encode(), "v.tsv")
    text = "The THE the ẞ".encode() + b" a\xff A\xfe x\xff x\xff\n"
    corpus = encode_corpus([write(tmp_path, text)], CorpusOptions(vocab_file=vocabulary, lowercase=True))
    assert decoded(corpus) == [["the", "the", "the", "ß", "a\ufffd", "a\ufffd"]]
    assert corpus.bad_bytes == 4
    corpus = encode_corpus([write(tmp_path, text)], CorpusOptions(vocab_file=vocabulary))
    assert decoded(corpus) == [["The", "the", "a\ufffd"]]
    assert corpus.bad_bytes == 4


@pytest.mark.parametrize("content", [b"b\t1\na\t5\n", b"a\t1\n", b"a\t5\nb\t0\n"])
def test_an_unusable_saved_vocabulary_is_refused(tmp_path, content):
    vocabulary = write(tmp_path, content, "v.tsv")
    with pytest.raises(VocabularyError, match=r"v\.tsv"):
        encode_corpus([write(tmp_path, TEXT)], CorpusOptions(vocab_file=vocabulary))


def test_a_saved_vocabulary_of_another_language_is_an_error(tmp_path):
    vocabulary = write(tmp_path, b"hund\t2\nkatze\t1\n", "v.tsv")
    with pytest.raises(CorpusError, match="no word of .* occurs"):
        encode_corpus([write(tmp_path, TEXT)], CorpusOptions(vocab_file=vocabulary))


@pytest.mark.parametrize("text", [b"", b"\n \t\r\n\n", b"\xef\xbb\xbf"])
def test_text_without_words_is_an_error(tmp_path, text):
    with pytest.raises(CorpusError, match=r"text\.txt: no words"):
        encode_corpus([write(tmp_path, text)], KEEP_ALL)


@pytest.mark.parametrize(
    ("text", "options", "advice"),
    [
        (b"a b c\n", CorpusOptions(), "lower --min-count"),
        (b"a a a a a b\n", CorpusOptions(), "lower --min-count"),
        (b"a a a\n", KEEP_ALL, "1 distinct word: give more text"),
        (b"a b b\n", CorpusOptions(1, max_final_vocab=1), "--max-final-vocab 1"),
        (b"a b c d\n", CorpusOptions(1, max_vocab_size=2), "--max-vocab-size 2"),
    ],
)
def test_too_few_words_is_an_error_with_advice(tmp_path, text, options, advice):
    with pytest.raises(CorpusError, match=advice):
        encode_corpus([write(tmp_path, text)], options)


def test_missing_and_unusable_inputs_are_named(tmp_path):
    with pytest.raises(CorpusError, match=r"nowhere\.txt does not exist"):
        encode_corpus([tmp_path / "nowhere.txt"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="empty holds no file"):
        encode_corpus([tmp_path / "empty"])
    with pytest.raises(CorpusError, match="no input"):
        encode_corpus([])
    with pytest.raises(CorpusError, match="only once"):
        encode_corpus(["-", "-"])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_named(tmp_path):
    path = write(tmp_path, TEXT)
    path.chmod(0)
    with pytest.raises(CorpusError, match="may not be read"):
        encode_corpus([path])


def test_a_token_without_end_is_no_text(tmp_path, monkeypatch):
    from w2v.corpus import sources

    monkeypatch.setattr(sources, "LONGEST_TOKEN", 1 << 14)
    monkeypatch.setattr(passes, "BLOCK_SIZE", 1 << 10)
    with pytest.raises(CorpusError, match="single token"):
        encode_corpus([write(tmp_path, b"x" * (1 << 17))], KEEP_ALL)


def test_progress_and_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "BLOCK_SIZE", 1000)
    text = zipf_text()
    seen = []
    corpus = encode_corpus([write(tmp_path, text)], progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == len(text)
    assert corpus.seconds.keys() == {"read", "compile", "encode"}
    assert all(seconds >= 0 for seconds in corpus.seconds.values())


def test_an_error_in_progress_stops_everything(tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "BLOCK_SIZE", 100)

    def interrupt(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_corpus([write(tmp_path, zipf_text())], progress=interrupt)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_reported():
    file = passes.NumberFile(Path("/dev/full"))
    with pytest.raises(OutputError, match="--cache DIR"):
        file.write(0, np.zeros(10, np.int32))
    file.close()


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system with holes")
def test_positions_past_two_to_the_31(tmp_path):
    file = passes.NumberFile(tmp_path / "ids.bin")
    written, read = np.arange(5, dtype=np.int32), np.empty(5, np.int32)
    file.write(2**31 + 3, written)
    file.read(2**31 + 3, read)
    assert read.tolist() == written.tolist()
    file.truncate(2**31 + 5)
    assert (tmp_path / "ids.bin").stat().st_size == 4 * (2**31 + 5)
    file.close()


def test_count_words_gives_the_same_vocabulary(tmp_path):
    path = write(tmp_path, zipf_text())
    for options in (CorpusOptions(), CorpusOptions(2, 300, 50, True)):
        vocabulary, totals = count_words([path], options)
        corpus = encode_corpus([path], options)
        assert vocabulary.fingerprint == corpus.vocabulary.fingerprint
        assert totals.raw_tokens == corpus.raw_tokens


def test_vocabulary_file_round_trip(tmp_path):
    vocabulary = Vocabulary(["the", "new york", '"', "한국어", "\u2028", "a\\n"], [9, 8, 7, 6, 6, 2**40])
    vocabulary.save(tmp_path / "v.tsv")
    again = Vocabulary.load(tmp_path / "v.tsv")
    assert (again.words, again.counts.tolist()) == (vocabulary.words, vocabulary.counts.tolist())
    assert again.fingerprint == vocabulary.fingerprint
    assert again.index["한국어"] == 3
    assert list(tmp_path.glob(".v.tsv*")) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\t1\nb\n", "line 2"),
        (b"a\t1\tb\t2\n", "line 1"),
        (b"a\t1\t2\n3\n", "line 1"),
        (b"a\t1\n\nb\t1\n", "line 2"),
        (b"a\tx\n", "line 1"),
        (b"a\t1\nb\t-1\n", "line 2"),
        (b"a\t99999999999999999999\n", "line 1"),
        (b"a\t2\nb\t1\na\t1\n", "line 1.*again"),
        (b"a\xff\t1\n", "byte 1 is not UTF-8"),
    ],
)
def test_malformed_vocabulary_files_name_the_line(tmp_path, content, message):
    with pytest.raises(VocabularyError, match=rf"v\.tsv.*{message}"):
        Vocabulary.load(write(tmp_path, content, "v.tsv"))


def test_vocabulary_files_of_other_systems(tmp_path):
    vocabulary = Vocabulary.load(write(tmp_path, b"\xef\xbb\xbfa\t2\r\nb\t1", "v.tsv"))
    assert (vocabulary.words, vocabulary.counts.tolist()) == (["a", "b"], [2, 1])


def test_a_vocabulary_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(VocabularyError, match="tab or a line break"):
        Vocabulary(["a\nb"], [1]).save(tmp_path / "v.tsv")
    with pytest.raises(OutputError, match="cannot write"):
        Vocabulary(["a"], [1]).save(tmp_path / "missing" / "v.tsv")
    with pytest.raises(VocabularyError, match="counts of shape"):
        Vocabulary(["a"], [1, 2])


@pytest.mark.parametrize("name", ["min_count", "max_vocab_size", "max_final_vocab"])
def test_options_out_of_range(name):
    with pytest.raises(ConfigError, match="out of range"):
        CorpusOptions(**{name: -1})


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_out_of_range(tmp_path, threads):
    with pytest.raises(ConfigError, match="--threads"):
        encode_corpus([write(tmp_path, TEXT)], threads=threads)


def test_sentences_are_encoded_as_their_text_is(tmp_path):
    text = zipf_text(lines=400)
    sentences = plain_sentences(text)
    for options in (KEEP_ALL, CorpusOptions(3), CorpusOptions(2, max_final_vocab=17)):
        of_text = encode_corpus([write(tmp_path, text)], options)
        of_sentences = encode_sentences(sentences, options)
        assert of_sentences.fingerprint == of_text.fingerprint
        assert of_sentences.vocabulary.fingerprint == of_text.vocabulary.fingerprint
        assert decoded(of_sentences) == decoded(of_text)
        assert (of_sentences.tokens, of_sentences.raw_tokens) == (of_text.tokens, of_text.raw_tokens)


def test_sentences_from_a_generator_and_with_a_vocabulary():
    sentences = [[], ["b"], ["a", "new york", "a"], [], ["c", "a"], ("b",)]
    corpus = encode_sentences((sentence for sentence in sentences), KEEP_ALL)
    assert corpus.vocabulary.words == ["a", "b", "c", "new york"]
    given = encode_sentences(iter(sentences[2:]), KEEP_ALL, vocabulary=Vocabulary(["a", "new york", "z"], [5, 4, 3]))
    assert decoded(given) == [["a", "new york", "a"], ["a"]]
    assert given.vocabulary.counts.tolist() == [5, 4, 3]
    assert given.raw_tokens == 6


def test_sentences_with_lowercase_and_pruning():
    sentences = plain_sentences(zipf_text(lines=400).upper())
    corpus = encode_sentences(sentences, CorpusOptions(1, max_vocab_size=60, lowercase=True))
    truth = plain_vocabulary([[word.lower() for word in line] for line in sentences])
    assert 5 < len(corpus.vocabulary) <= 60
    assert corpus.vocabulary.words[:5] == list(truth)[:5]
    assert dict(zip(corpus.vocabulary.words, corpus.vocabulary.counts.tolist(), strict=True)).items() <= truth.items()
    with pytest.raises(CorpusError, match="twice"):
        encode_sentences(iter(sentences), CorpusOptions(max_vocab_size=10))


def test_tokens_that_no_file_can_hold_are_left_out_with_a_warning():
    with pytest.warns(UserWarning, match="4 distinct tokens"):
        corpus = encode_sentences([["a", "", "\n", "b", "x\ty", "\ud800", "a"]], KEEP_ALL)
    assert decoded(corpus) == [["a", "b", "a"]]


@pytest.mark.parametrize(
    "sentences", ["some text", ["some text"], [b"some"], [[1, 2, 1, 2]], [3], [["a"], None], [], [[]]]
)
def test_sentences_that_are_none(sentences):
    with pytest.raises(CorpusError):
        encode_sentences(sentences, KEEP_ALL)


def real_corpus(name: str) -> Path:
    folder = os.environ.get("W2V_TEST_CORPORA")
    if not folder or not (Path(folder) / name).is_file():
        pytest.skip(f"W2V_TEST_CORPORA names no folder with {name}")
    return Path(folder) / name


@pytest.mark.parametrize("name", ["en17m.txt.xz", "ko2m.txt.xz"])
def test_real_text_against_a_counter(tmp_path, name):
    with lzma.open(real_corpus(name)) as file:
        text = file.read(6_000_000)
    text = text[: text.rfind(b"\n") + 1]
    check(encode_corpus([write(tmp_path, text)]), plain_sentences(text), min_count=5)
