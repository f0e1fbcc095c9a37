"""Texts encoded by several workers: what the cache holds is the same, byte for byte, as one process writes."""

import bz2
import gzip
import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from w2v.corpus import CorpusOptions, Vocabulary, encode_corpus
from w2v.corpus.sources import BlockReader, find_sources
from w2v.distributed import counting, encoding, shards
from w2v.distributed.encoding import encode_by_workers
from w2v.distributed.shards import Range, cut_into_shards
from w2v.errors import ConfigError, CorpusError, OutputError

SPACES = [b" ", b"  ", b"\t", b"\r\n", b"\n", b"\n\n", b" \n ", b"\x0b", b"\x0c\n"]
# Words that lower-case to one another, bad bytes that decode to the same, the end of a Greek word, long words.
ODD = [
    "Straße",
    "STRASSE",
    "ΟΔΟΣ",
    "οδος",
    "οδοσ",
    "İ",
    "i̇",
    "x" * 40,
    "X" * 40,
    "x" * 16,
    "x" * 17,
    "\ufffd",
    "a\ufffd",
]
BAD = [b"\xff", b"\xc3", b"a\xff", b"a\xfe", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xf0\x9f\x98"]


class Threads:
    """Tasks in threads of this process."""

    def __init__(self, count: int) -> None:
        self.count = count

    def run(self, function, calls, tick=None):  # noqa: ANN001, ANN201
        with ThreadPoolExecutor(self.count) as pool:
            results = list(pool.map(lambda call: function(*call), calls))
        if tick is not None:
            tick()
        return results


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that short texts have several."""
    monkeypatch.setattr(encoding, "LEAST_SHARD", 64)


def words_of(generator: random.Random, count: int) -> list[bytes]:
    """Words of which some are frequent, and some are odd."""
    common = [bytes([97 + number]) * (1 + number % 3) for number in range(12)]
    odd = [word.encode() for word in ODD] + BAD
    return [
        generator.choice(common) if generator.random() < 0.7
        else generator.choice(odd) if generator.random() < 0.5
        else b"w%d" % generator.randrange(200)
        for _ in range(count)
    ]  # fmt: skip


def text_of(generator: random.Random, count: int, line_ends: float = 0.3) -> bytes:
    """Words with white space of all kinds between them; the last byte may be anything."""
    spaces = [space for space in SPACES if b"\n" not in space]
    text = b"".join(
        word + generator.choice(SPACES if generator.random() < line_ends else spaces)
        for word in words_of(generator, count)
    )
    return text if generator.random() < 0.5 else text.rstrip()


def entries(folder: Path) -> dict[str, tuple]:
    """What a cache holds, but for dates."""
    found = {}
    for path in sorted(folder.iterdir()):
        meta = json.loads((path / "meta.json").read_text())
        del meta["created"]
        assert sorted(item.name for item in path.iterdir()) == ["ids.bin", "meta.json", "vocabulary.tsv"]
        found[path.name] = meta, (path / "ids.bin").read_bytes(), (path / "vocabulary.tsv").read_bytes()
    return found


def outcome(encode, folder: Path) -> tuple:  # noqa: ANN001
    """What is in the cache and what is said, or what is raised."""
    lines = []
    try:
        encode(cache_dir=folder, report=lines.append).close()
    except CorpusError as error:
        return str(error), list(folder.iterdir()) if folder.exists() else []
    return entries(folder), lines[:-1]


def assert_same(tmp_path: Path, inputs: list[Path], options: CorpusOptions, counts=(1, 2, 3, 5)) -> None:  # noqa: ANN001
    expected = outcome(lambda **where: encode_corpus(inputs, options, threads=1, **where), tmp_path / "one")
    for count in counts:
        found = outcome(
            lambda **where: encode_by_workers(Threads(count), inputs, options, **where),  # noqa: B023
            tmp_path / f"by{count}",
        )
        assert found == expected


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize(("min_count", "most"), [(1, None), (2, 7), (3, None), (0, 30), (4, 1)])
def test_the_cache_holds_the_same_bytes_at_any_number_of_workers(tmp_path, lowercase, min_count, most):
    generator = random.Random(f"{lowercase} {min_count} {most}")
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.txt").write_bytes(text_of(generator, generator.randrange(300)))
    (folder / "4.txt.gz").write_bytes(gzip.compress(text_of(generator, 150)))
    (folder / "5.bz2").write_bytes(bz2.compress(text_of(generator, 150)))
    (folder / "6.txt").write_bytes(b"")
    (folder / "7.txt").write_bytes(b"\xef\xbb\xbf" + text_of(generator, 400, line_ends=0))
    (folder / "8.txt").write_bytes(b"\n\r\n" + text_of(generator, 100) + b"\n\n")
    options = CorpusOptions(min_count=min_count, max_final_vocab=most, lowercase=lowercase)
    assert_same(tmp_path, [folder, folder / "1.txt"], options)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.lists(st.sampled_from([b"a", b"b", b"rare", *SPACES, b"\xff", b"long" * 30]), max_size=60), max_size=4
    ),
    st.integers(1, 5),
    st.booleans(),
)
def test_any_texts_give_the_same(tmp_path_factory, texts, count, cut_lines):
    folder = tmp_path_factory.mktemp("any")
    inputs = []
    for number, text in enumerate([*texts, [b"a b\n"] * 2]):
        inputs.append(folder / f"{number}.txt")
        inputs[-1].write_bytes(b"".join(text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "LEAST_SHARD", 5)
        if cut_lines:
            patch.setattr(shards, "_LINE", 3)
        assert_same(folder, inputs, CorpusOptions(min_count=2), (count,))


def test_lines_longer_than_shards_are_cut_between_words(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_LINE", 16)
    generator = random.Random(5)
    path = tmp_path / "line.txt"
    path.write_bytes(b" ".join(words_of(generator, 3000)) + b" end\nend a b c\n" + text_of(generator, 300, 0.01))
    found = cut_into_shards(find_sources([path]), 3, 64)
    assert len(found) > 10
    assert sum(shard.mid_line for shard in found) > 5
    for lowest in (1, 30):
        assert_same(tmp_path / str(lowest), [path], CorpusOptions(min_count=lowest))


def test_a_word_longer_than_shards(tmp_path):
    path = tmp_path / "word.txt"
    path.write_bytes(b"a " + b"y" * 5000 + b" a\nb a " + b"y" * 5000 + b" b" * 100)
    assert_same(tmp_path, [path], CorpusOptions(min_count=2))


def test_a_given_vocabulary(tmp_path):
    generator = random.Random(8)
    path = tmp_path / "text.txt"
    path.write_bytes(text_of(generator, 2000))
    words = ["bb", "a", "two words", "Straße", "strasse", "\ufffd", "absent", "w7", "x" * 40]
    Vocabulary(words, list(range(90, 0, -10))).save(tmp_path / "v.tsv")
    for lowercase in (False, True):
        options = CorpusOptions(vocab_file=tmp_path / "v.tsv", lowercase=lowercase, max_vocab_size=3)
        assert_same(tmp_path / str(lowercase), [path], options)
    Vocabulary(["absent", "gone"], [2, 1]).save(tmp_path / "v.tsv")
    assert_same(tmp_path / "none", [path], CorpusOptions(vocab_file=tmp_path / "v.tsv"), (2,))


@pytest.mark.parametrize("text", [b"", b" \n\n ", b"one", b"a b c d e f\n", b"a " * 30])
def test_too_few_words_are_the_same_error(tmp_path, text):
    path = tmp_path / "text.txt"
    path.write_bytes(text)
    assert_same(tmp_path, [path], CorpusOptions(min_count=2), (1, 3))


def test_one_kind_of_run_finds_what_the_other_kept(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"a b a b\n" * 50)
    encode_by_workers(Threads(2), [path]).close()
    assert encode_corpus([path]).from_cache
    with (
        encode_corpus([path], use_cache=False) as one,
        encode_by_workers(Threads(2), [path], use_cache=False) as many,
    ):
        assert many.fingerprint == one.fingerprint
        assert (many.ids == one.ids).all()
        assert many.path.exists()
        kept = many.path
        assert set(many.seconds) == {"read", "compile", "encode"}
    assert not kept.exists()


def test_shards_are_the_text_and_of_one_size(tmp_path):
    generator = random.Random(3)
    inputs = []
    for number in range(9):
        inputs.append(tmp_path / f"{number}.txt")
        inputs[-1].write_bytes(text_of(generator, 20 if number else 4000))
    sources = find_sources(inputs)
    found = cut_into_shards(sources, 4, 64)
    assert [shard.number for shard in found] == list(range(len(found)))
    assert 12 <= len(found) <= 20
    sizes = [sum(source.size for source in shard.sources) for shard in found]
    assert sum(sizes) == sum(source.size for source in sources)
    assert max(sizes) < 2 * sum(sizes) / len(sizes)
    assert _text(sources) == _text([source for shard in found for source in shard.sources])
    assert any(isinstance(source, Range) for source in found[0].sources)
    assert len(cut_into_shards(sources, 4)) == 1


def _text(sources) -> bytes:  # noqa: ANN001
    reader, text = BlockReader(sources), b""
    while True:
        buffer, length = reader.fill(bytearray(256))
        if not length:
            return text
        text += buffer[:length]


def test_words_fall_to_parts_by_their_bytes_alone():
    from w2v.corpus.words import WordTable

    words = [f"{'long' * (number % 7)}{number}" for number in range(4000)]
    keys = (3, 5, (1 << 63) + 7)
    table, rows = WordTable.of(words)
    parts = table.parts(5, keys)[rows]
    again, rows = WordTable.of(words[::-1])
    assert (again.parts(5, keys)[rows][::-1] == parts).all()
    assert np.bincount(parts, minlength=5).min() > 600
    assert (table.parts(1, keys) == 0).all()


def test_no_worker_holds_more_than_its_share(tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_bytes(b"".join(b"w%d w%d\n" % (number, number) for number in range(20_000)))
    sizes = {"shards": [], "parts": []}
    share_out, merge = counting._share_out, counting.merge_part
    monkeypatch.setattr(
        counting, "_share_out",
        lambda job, name, table: sizes["shards"].append(len(table)) or share_out(job, name, table),
    )  # fmt: skip

    def merged(*arguments: object) -> counting.Merged:
        part = merge(*arguments)
        sizes["parts"].append((part.met, len(part.counts)))
        return part

    monkeypatch.setattr(counting, "merge_part", merged)
    options = CorpusOptions(min_count=3)
    path.write_bytes(path.read_bytes() + b"a b a b a b\n")
    corpus = encode_by_workers(Threads(2), [path], options, use_cache=False)
    assert corpus.vocabulary.words == ["a", "b"]
    assert sum(met for met, _ in sizes["parts"]) == 20_002
    assert max(met for met, _ in sizes["parts"]) < 20_002 / 6
    assert sum(kept for _, kept in sizes["parts"]) == 2
    assert max(sizes["shards"]) < 20_002 / 6


def test_progress_ends_with_all_bytes(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"a b a b\n" * 5000)
    told = []
    encode_by_workers(Threads(2), [path], use_cache=False, progress=told.append).close()
    assert told[-1] == 40_000
    assert told == sorted(told)


def test_what_can_be_read_only_once_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="standard input") as error:
        encode_by_workers(Threads(2), ["-"])
    assert "\n" not in str(error.value)


def test_pruning_is_refused(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"a b\n")
    with pytest.raises(ConfigError, match="--max-vocab-size does not go with --replicas"):
        encode_by_workers(Threads(2), [path], CorpusOptions(max_vocab_size=10))


class Meddling(Threads):
    """Does something before tasks of a kind are run."""

    def __init__(self, name: str, meddle) -> None:  # noqa: ANN001
        super().__init__(2)
        self.name, self.meddle = name, meddle

    def run(self, function, calls, tick=None):  # noqa: ANN001, ANN201
        if function.__name__ == self.name:
            self.meddle(calls)
        return super().run(function, calls, tick)


def _remove_first(kind: str):  # noqa: ANN202
    def remove(calls: list[tuple]) -> None:
        job = calls[0][0]
        sorted(job.folder.glob(f"{counting.PREFIX}*{kind}"))[0].unlink()

    return remove


@pytest.mark.parametrize(
    ("before", "kind"),
    [
        ("merge_part", ".words"),
        ("merge_part", ".counts.npy"),
        ("number_shard", ".notes"),
        ("number_shard", ".places.npy"),
        ("number_shard", "vocabulary"),
        ("place_shard", ".ids"),
    ],
)
def test_files_that_go_away_meanwhile_are_an_error(tmp_path, before, kind):
    path = tmp_path / "text.txt"
    path.write_bytes(b"a b a b\n" * 500)
    with pytest.raises(OutputError, match="went away while it was in use: run again") as error:
        encode_by_workers(Meddling(before, _remove_first(kind)), [path], cache_dir=tmp_path / "cache")
    assert "\n" not in str(error.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_folder_that_a_computer_does_not_see(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"a b a b\n" * 500)
    meddling = Meddling("merge_part", lambda calls: calls[0][0].folder.rename(tmp_path / "elsewhere"))
    with pytest.raises(
        OutputError, match="does not see the folder .* choose a --cache folder that all computers share"
    ):
        encode_by_workers(meddling, [path], cache_dir=tmp_path / "cache")


@pytest.mark.parametrize(
    ("meddle", "message"),
    [
        (lambda path: path.unlink(), "does not exist|is not there on the computer"),
        (lambda path: path.write_bytes(b"c d\n" * 700), "changed while it was read"),
    ],
)
@pytest.mark.parametrize("before", ["count_shard", "number_shard"])
def test_texts_that_change_meanwhile_are_an_error(tmp_path, meddle, message, before):
    path = tmp_path / "text.txt"
    path.write_bytes(b"a b a b\n" * 500)
    with pytest.raises(CorpusError, match=message):
        encode_by_workers(Meddling(before, lambda calls: meddle(path)), [path], cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_task_that_is_run_twice_changes_nothing(tmp_path):
    class Twice(Threads):
        def run(self, function, calls, tick=None):  # noqa: ANN001, ANN201
            super().run(function, calls, tick)
            return super().run(function, calls, tick)

    generator = random.Random(4)
    path = tmp_path / "text.txt"
    path.write_bytes(text_of(generator, 2000))
    options = CorpusOptions(min_count=2)
    encode_corpus([path], options, cache_dir=tmp_path / "one").close()
    encode_by_workers(Twice(3), [path], options, cache_dir=tmp_path / "twice").close()
    assert entries(tmp_path / "twice") == entries(tmp_path / "one")


def test_sentences_whose_end_is_in_another_shard(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_LINE", 2)
    path = tmp_path / "text.txt"
    path.write_bytes(
        b"".join(b"a b a %s\n" % b" ".join(b"w%d" % (9 * line + at) for at in range(9)) for line in range(60))
    )
    found = []

    class Seeing(Threads):
        def run(self, function, calls, tick=None):
            results = super().run(function, calls, tick)
            found.extend(results if function is counting.number_shard else [])
            return results

    encode_by_workers(Seeing(5), [path], CorpusOptions(min_count=2), use_cache=False).close()
    assert any(shard.leads and not before.closed for before, shard in zip(found, found[1:], strict=False))
    assert_same(tmp_path, [path], CorpusOptions(min_count=2), (2, 5))


def test_byte_order_marks_within_a_file_are_letters(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xef\xbb\xbfword a\n" * 200)
    assert len(cut_into_shards(find_sources([path]), 3, 64)) > 5
    assert_same(tmp_path, [path], CorpusOptions(min_count=1))
