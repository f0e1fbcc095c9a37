"""One cache folder and several runs: none is hurt by another that writes, is killed, or clears it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from w2v.corpus import CorpusCache, CorpusOptions, EncodedCorpus, encode_corpus
from w2v.corpus.cache import corpus_key
from w2v.corpus.sources import find_sources, identities
from w2v.errors import OutputError
from w2v.vectors.index_cache import Cells, IndexCache

ROOT = Path(__file__).parent.parent
POSIX = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork, and no open files without names")
LIMITS = (None, 7, 40)

COMMON = """
import hashlib, json, os, random, signal, sys, time
from w2v.corpus import CorpusOptions, encode_corpus
text, cache, seed = sys.argv[1:]
random.seed(int(seed))
def encode(limit, folder=cache):
    with encode_corpus([text], CorpusOptions(1, max_final_vocab=limit), threads=2, cache_dir=folder) as corpus:
        time.sleep(random.random() / 100)
        return hashlib.sha256(corpus.ids.tobytes()).hexdigest(), corpus.fingerprint, corpus.vocabulary.words[-1]
encode(None, cache + "-warm" + seed)
print("ready", flush=True)
"""
ENCODE = """
found = {}
sys.stdin.readline()
for turn in range(15):
    limit = random.choice([None, 7, 40])
    found.setdefault(str(limit), set()).add(encode(limit))
print(json.dumps({limit: sorted(map(list, values)) for limit, values in found.items()}))
"""
# A child is killed at a moment of its own, again and again.
DIE = """
sys.stdin.readline()
for turn in range(8):
    child = os.fork()
    if not child:
        random.seed(turn)
        while True:
            encode(random.choice([None, 7, 40]))
    time.sleep(random.random() / 30)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
print("{}")
"""


def start(code: str, *arguments: object) -> subprocess.Popen:
    """A process that waits for a line on its standard input once it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return process


def finish(process: subprocess.Popen) -> str:
    """What it printed last; it must have ended well."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.splitlines()[-1]


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A text of 30,000 tokens and 200 words."""
    rng = np.random.default_rng(1)
    path = tmp_path / "words.txt"
    path.write_text("".join(" ".join(f"w{n}" for n in rng.integers(0, 200, 15)) + "\n" for _ in range(2000)))
    return path


@POSIX
def test_runs_that_share_a_cache_agree_whoever_is_killed_and_whoever_clears_it(words, cache_folder):
    expected = {}
    for limit in LIMITS:
        with encode_corpus([words], CorpusOptions(1, max_final_vocab=limit), use_cache=False) as corpus:
            digest = hashlib.sha256(corpus.ids.tobytes()).hexdigest()
            expected[str(limit)] = [[digest, corpus.fingerprint, corpus.vocabulary.words[-1]]]
    processes = [start(COMMON + code, words, cache_folder, n) for n, code in enumerate([ENCODE, ENCODE, ENCODE, DIE])]
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    cache, removed = CorpusCache(cache_folder), 0
    while any(process.poll() is None for process in processes):
        removed += cache.clear()[0]
        for entry in cache.entries():
            assert entry.size >= 0
        time.sleep(0.02)
    for process in processes:
        for limit, values in json.loads(finish(process)).items():
            assert values == expected[limit]
    assert removed > 0
    for path in cache_folder.glob("corpus-*"):
        assert EncodedCorpus.open(path).fingerprint in [values[0][1] for values in expected.values()]
    cache.clear()
    assert list(cache_folder.iterdir()) == []


@POSIX
@pytest.mark.parametrize("fault", ["cleared", "rebuilt", "removed"])
def test_a_reader_keeps_what_it_has_open(words, cache_folder, fault):
    reader = encode_corpus([words], CorpusOptions(1))
    expected = np.array(encode_corpus([words], CorpusOptions(1), use_cache=False).ids)
    if fault == "cleared":
        assert CorpusCache().clear()[0] == 1
    elif fault == "rebuilt":
        (reader.path / "meta.json").unlink()
        assert not encode_corpus([words], CorpusOptions(1)).from_cache
    else:
        shutil.rmtree(cache_folder)
    assert np.array_equal(reader.ids, expected)


@POSIX
def test_clearing_right_after_an_entry_got_its_name_hurts_nobody(words, cache_folder, monkeypatch):
    """The cache is cleared by another run between the rename and whatever comes next."""
    rename = os.rename

    def rename_and_clear(source, target):
        rename(source, target)
        assert CorpusCache(cache_folder).clear()[0] == 1

    monkeypatch.setattr("w2v.corpus.cache.os.rename", rename_and_clear)
    corpus = encode_corpus([words], CorpusOptions(1))
    monkeypatch.undo()
    assert np.array_equal(corpus.ids, encode_corpus([words], CorpusOptions(1), cache_dir=cache_folder).ids)


def change_meta(**changes):
    def change(path):
        meta = path / "meta.json"
        meta.write_text(json.dumps({**json.loads(meta.read_text()), **changes}))

    return change


def older_files(path):
    (path / "ids.bin").rename(path / "ids.npy")
    (path / "meta.json").rename(path / "header.json")


def shorter_ids(path):
    os.truncate(path / "ids.bin", 400)


@pytest.mark.parametrize(
    "change",
    [
        change_meta(layout=0), change_meta(layout=2**40), change_meta(layout="1"), change_meta(format="another"),
        shorter_ids, lambda path: (path / "meta.json").unlink(),
    ],
)  # fmt: skip
def test_an_entry_of_another_layout_is_made_anew_and_that_is_said(words, change):
    first = encode_corpus([words], CorpusOptions(1))
    expected, path = np.array(first.ids), first.path
    first.close()
    change(path)
    said = []
    second = encode_corpus([words], CorpusOptions(1), report=said.append)
    assert not second.from_cache
    assert any("made anew" in line and str(path) in line for line in said)
    assert np.array_equal(second.ids, expected)
    assert encode_corpus([words], CorpusOptions(1)).from_cache


def test_a_folder_under_the_name_of_an_entry_that_holds_other_files_is_left_alone(words):
    """What lies under the name of the entry is no entry of ours, and holds files that are not ours to remove."""
    first = encode_corpus([words], CorpusOptions(1))
    path = first.path
    first.close()
    older_files(path)
    with pytest.raises(OutputError, match=r"--cache DIR.*--no-cache"):
        encode_corpus([words], CorpusOptions(1))
    assert sorted(item.name for item in path.iterdir()) == ["header.json", "ids.npy"]


def test_the_layout_is_part_of_an_entrys_name(words, monkeypatch):
    identity = identities(find_sources([words]))
    key = corpus_key(identity, CorpusOptions(1))
    monkeypatch.setattr("w2v.corpus.cache.LAYOUT", 0)
    assert corpus_key(identity, CorpusOptions(1)) != key


KEEP = """
import sys
import numpy as np
from w2v.vectors.index_cache import Cells, IndexCache
cache = IndexCache(sys.argv[1])
cells = Cells(np.ones((50, 20), "f4"), np.zeros(5000, "i4"), np.arange(9), np.ones((9, 10), "f4"))
print("ready", flush=True)
sys.stdin.readline()
for _ in range(60):
    cache.keep("a" * 32, cells)
print("done")
"""


def test_two_writers_of_one_index_and_a_reader(cache_folder):
    cache_folder.mkdir()
    processes = [start(KEEP, cache_folder) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        process.stdin.write("go\n")
        process.stdin.flush()
    cache, met = IndexCache(cache_folder), 0
    while any(process.poll() is None for process in processes):
        if (path := cache.path("a" * 32)).exists():
            found = cache.find("a" * 32, 5000, 20)
            assert isinstance(found, Cells), path
            met += 1
    assert [finish(process) for process in processes] == ["done"] * 2
    assert met > 0
    assert [path.name for path in cache_folder.iterdir()] == [cache.path("a" * 32).name]


COMPILE = """
import sys
print("ready", flush=True)
sys.stdin.readline()
import numpy as np
from w2v.kernels.tokenizer import content_term, block_counts
counts = np.empty(0, np.int64)
block_counts(np.zeros((4, 4), np.uint64), counts)
print(block_counts._cache_hits and "loaded" or "compiled")
"""


def test_two_runs_that_compile_the_same_kernel_at_once_share_what_they_made(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    processes = [start(COMPILE) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        finish(process)
    third = start(COMPILE)
    third.stdin.write("go\n")
    third.stdin.flush()
    assert finish(third) == "loaded"
    assert not list((tmp_path / "numba").rglob("*.tmp*"))
