"""The cache of encoded corpora: reused when nothing changed, made anew when anything did, never misread."""

import json
import os
import threading

import numpy as np
import pytest

from w2v.abandoned import hold
from w2v.corpus import CorpusCache, CorpusOptions, EncodedCorpus, default_cache_dir, encode_corpus
from w2v.corpus.encoded import FILES
from w2v.errors import CorpusError, OutputError

KEEP_ALL = CorpusOptions(min_count=1)


def encode(*inputs, options=KEEP_ALL, **more):
    messages = []
    corpus = encode_corpus(inputs, options, report=messages.append, **more)
    return corpus, messages


def test_a_second_run_reuses_the_first_and_says_so(text, cache_folder):
    first, said = encode(text)
    assert not first.from_cache
    assert any(str(first.path) in message and "written" in message for message in said)
    second, said = encode(text)
    assert second.from_cache
    assert any(str(first.path) in message and "reused" in message for message in said)
    assert second.path == first.path
    assert second.path.parent == cache_folder
    # By these names replicas open their parts.
    assert first.ids.filename.samefile(second.ids.filename)
    assert first.ids.filename.parent == first.path
    for name in ("tokens", "sentences", "raw_tokens", "bad_bytes", "fingerprint"):
        assert getattr(second, name) == getattr(first, name)
    assert second.ids.tolist() == first.ids.tolist()
    assert second.vocabulary.fingerprint == first.vocabulary.fingerprint


def test_anything_that_changes_makes_a_new_entry(text, tmp_path):
    first, _ = encode(text)
    vocabulary = tmp_path / "v.tsv"
    for options in (
        CorpusOptions(0),
        CorpusOptions(1, max_vocab_size=100),
        CorpusOptions(1, max_final_vocab=2),
        CorpusOptions(1, lowercase=True),
    ):
        assert not encode(text, options=options)[0].from_cache
    for content in (b"the\t2\ncat\t1\n", b"the\t2\nmat\t1\n"):
        vocabulary.write_bytes(content)
        assert not encode(text, options=CorpusOptions(1, vocab_file=vocabulary))[0].from_cache
        assert encode(text, options=CorpusOptions(1, vocab_file=vocabulary))[0].from_cache
    assert not encode(text, text)[0].from_cache
    status = text.stat()
    text.write_bytes(b"The dog sat\non the mat the\n")
    os.utime(text, ns=(status.st_atime_ns, status.st_mtime_ns))
    changed, _ = encode(text)
    # Same size, and the time put back: the time of the file's record still tells.
    assert not changed.from_cache
    assert "dog" in changed.vocabulary.words
    assert changed.fingerprint != first.fingerprint


def test_a_new_file_in_a_folder_is_a_change(tmp_path, text):
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a").write_bytes(b"a b\n")
    assert not encode(texts)[0].from_cache
    assert encode(texts)[0].from_cache
    (texts / "b").write_bytes(b"a b\n")
    corpus, _ = encode(texts)
    assert (corpus.from_cache, corpus.tokens) == (False, 4)


def test_the_fingerprint_is_of_the_content_not_of_the_path(text, tmp_path):
    copy = tmp_path / "copy.txt"
    copy.write_bytes(text.read_bytes().replace(b" ", b"  "))
    first, second = encode(text)[0], encode(copy)[0]
    assert not second.from_cache
    assert second.path != first.path
    assert second.fingerprint == first.fingerprint


def cut(path):
    path.write_bytes(path.read_bytes()[:-4])


def set_second_id(value):
    def edit(path):
        ids = np.fromfile(path, "<i4")
        ids[1] = value
        ids.tofile(path)

    return edit


def edit_meta(**changes):
    def edit(path):
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("ids.bin", cut),
        ("ids.bin", lambda path: path.unlink()),
        ("ids.bin", lambda path: path.write_bytes(bytes(path.stat().st_size))),
        ("ids.bin", set_second_id(6)),
        ("ids.bin", set_second_id(2**31 - 1)),
        ("ids.bin", set_second_id(-2)),
        ("meta.json", lambda path: path.unlink()),
        ("meta.json", cut),
        ("meta.json", lambda path: path.write_text("[]")),
        ("meta.json", edit_meta(layout=0)),
        ("meta.json", edit_meta(totals={})),
        ("vocabulary.tsv", lambda path: path.write_text("the\t2\n")),
        ("vocabulary.tsv", lambda path: path.write_text("the 2\n")),
    ],
)
def test_a_damaged_or_older_entry_is_made_anew(text, name, damage):
    first, _ = encode(text)
    expected = first.ids.tolist()
    first.close()
    damage(first.path / name)
    with pytest.raises(CorpusError):
        EncodedCorpus.open(first.path)
    second, said = encode(text)
    assert not second.from_cache
    assert any("made anew" in message for message in said)
    assert second.ids.tolist() == expected
    assert encode(text)[0].from_cache


def test_open_reads_an_entry_again(text):
    first, _ = encode(text)
    again = EncodedCorpus.open(first.path)
    assert again.ids.tolist() == first.ids.tolist()
    with pytest.raises(CorpusError, match="no encoded corpus"):
        EncodedCorpus.open(text.parent)


def test_without_cache_the_folder_goes_with_the_corpus(text, cache_folder):
    with encode_corpus([text], KEEP_ALL, use_cache=False) as corpus:
        path = corpus.path
        assert path.is_dir()
        assert corpus.tokens == 7
    assert not path.exists()
    assert not cache_folder.exists()
    corpus, _ = encode(text, use_cache=False)
    path = corpus.path
    del corpus
    assert not path.exists()


def test_a_failed_run_leaves_nothing(text, cache_folder):
    with pytest.raises(CorpusError):
        encode(text, options=CorpusOptions(100))
    assert list(cache_folder.iterdir()) == []


def test_text_that_changes_while_it_is_read_is_not_kept(text, cache_folder):
    def append(done):
        with open(text, "ab") as file:
            file.write(b"more\n")

    with pytest.raises(CorpusError, match="changed while it was read"):
        encode(text, progress=append)
    assert list(cache_folder.iterdir()) == []


def test_concurrent_runs_of_the_same_text_agree(text, cache_folder):
    start = threading.Barrier(4)
    results, errors = [], []

    def run():
        start.wait()
        try:
            results.append(encode_corpus([text], KEEP_ALL, threads=1))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len({corpus.fingerprint for corpus in results}) == 1
    assert len({tuple(corpus.ids.tolist()) for corpus in results}) == 1
    assert [path.name for path in cache_folder.iterdir()] == [results[0].path.name]


def test_publishing_over_another_runs_entry(text, cache_folder):
    first, _ = encode(text)
    cache = CorpusCache()
    key = first.path.name.removeprefix("corpus-")
    for damaged in (False, True):
        if damaged:
            cut(first.path / "ids.bin")
        with cache.building() as building:
            other = encode_corpus([text], KEEP_ALL, use_cache=False)
            for name in FILES:
                (building / name).write_bytes((other.path / name).read_bytes())
            corpus = cache.publish(building, key, other.vocabulary)
        assert corpus.fingerprint == first.fingerprint
        assert [path.name for path in cache_folder.iterdir()] == [first.path.name]


def test_a_cache_that_cannot_be_written_is_an_error_with_advice(text, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OutputError, match=r"--cache DIR.*--no-cache"):
        encode(text, cache_dir=blocked / "cache")


def test_the_default_folder(monkeypatch, tmp_path):
    assert default_cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("W2V_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "xdg"))
    monkeypatch.setattr("w2v.corpus.cache.sys.platform", "linux")
    assert default_cache_dir() == tmp_path / "xdg" / "w2v"
    monkeypatch.setattr("w2v.corpus.cache.sys.platform", "darwin")
    assert default_cache_dir().parts[-3:] == ("Library", "Caches", "w2v")


def test_entries_and_clear_touch_only_what_is_ours(text, cache_folder):
    cache = CorpusCache()
    assert cache.entries() == []
    assert cache.clear() == (0, 0, [])
    first, _ = encode(text)
    encode(text, options=CorpusOptions(1, max_final_vocab=2))
    foreign = cache_folder / "notes"
    foreign.mkdir()
    guest = cache_folder / ("corpus-" + "0" * 32)
    guest.mkdir()
    (guest / "thesis.txt").write_text("mine")
    old, new = (cache_folder / f"building-{digit * 32}" for digit in "ab")
    for path in (old, new):
        path.mkdir()
        (path / "ids.bin").write_bytes(bytes(8))
    # What a living run fills is held by it; the other one's run has died.
    release = hold(new)
    entries = cache.entries()
    assert len(entries) == 4
    finished = [entry for entry in entries if entry.tokens is not None]
    assert {entry.path for entry in finished} > {first.path}
    assert finished[0].inputs == [str(text)]
    removed, freed, kept = cache.clear()
    assert removed == 3
    assert freed == sum(entry.size for entry in entries) - 8
    assert kept == [new]
    assert sorted(path.name for path in cache_folder.iterdir()) == sorted([foreign.name, guest.name, new.name])
    assert (guest / "thesis.txt").read_text() == "mine"
    release()
    with cache.building() as building:
        assert not new.exists()
        assert building.exists()
