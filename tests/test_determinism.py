"""The same seed and one thread: the same vectors in every run. Any number of threads: the same vocabulary and ids."""

import bz2
import gzip
import hashlib
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from w2v import Word2Vec
from w2v.cli import main
from w2v.config import MODELS, OBJECTIVES
from w2v.corpus import CorpusOptions, encode_corpus, passes

ALL = [(objective, model) for objective in OBJECTIVES for model in MODELS]
FAST = ["--vector-size", "20", "--epochs", "2", "--min-count", "2", "--device", "cpu", "--quiet"]
# Trains everything in one process and prints what came out, since starting one takes seconds.
EVERYTHING = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from test_determinism import everything
everything(Path({text!r}), Path({out!r}))
"""


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    """Lines of words many of which occur equally often: ties are broken by their bytes, not by who came first."""
    rng = np.random.default_rng(0)
    words = np.array([f"{letter}{number}" for number in range(90) for letter in ("é", "w", "Z")])
    weights = 1.0 / (1 + np.arange(words.size) // 9)
    lines = [" ".join(rng.choice(words, length, p=weights / weights.sum())) for length in rng.integers(1, 15, 500)]
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def train(text: Path, out: Path, *options: object) -> dict[str, object]:
    """A model folder's arrays and vocabulary as digests, and the numbers of its record."""
    try:
        main(["train", str(text), "-o", str(out), *FAST, *map(str, options)])
    except SystemExit as leaving:
        if leaving.code:
            raise
    record = json.loads((out / "training.json").read_text("utf-8"))
    digests = {
        path.name: hashlib.blake2b(path.read_bytes()).hexdigest()
        for path in sorted(out.iterdir())
        if path.suffix in (".npy", ".tsv")
    }
    numbers = {name: record[name] for name in ("loss", "pairs", "kept_words", "heldout_nll", "heldout_unigram_nll")}
    return {**digests, **numbers, "corpus": record["corpus"]}


def everything(text: Path, out: Path) -> None:
    """Print what every objective and model learns on one thread, by the command line and in Python, as JSON."""
    found = {}
    sentences = [line.split() for line in text.read_text("utf-8").splitlines()]
    for objective, model in ALL:
        options = "--objective", objective, "--model", model, "--threads", 1, "--heldout", "0.1", "--no-cache"
        found[f"{objective} {model}"] = train(text, out / f"{objective}-{model}", *options)
        in_python = Word2Vec(
            sentences, objective=objective, sg=model == "skipgram", vector_size=20, min_count=2, workers=1, epochs=2,
            device="cpu",
        )  # fmt: skip
        found[f"{objective} {model} in Python"] = {
            "words": in_python.wv.index_to_key,
            "vectors": hashlib.blake2b(in_python.wv.vectors.tobytes()).hexdigest(),
            "outputs": {
                name: hashlib.blake2b(array.tobytes()).hexdigest()
                for name, array in in_python.output_parameters.items()
            },
        }
    print(json.dumps(found))


def test_one_thread_learns_the_same_in_every_process(text, tmp_path):
    """Whatever the seed of Python's hashes, which orders its sets and decides nothing here."""
    path = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]
    running = {}
    for seed in ("0", "1", "random"):
        code = EVERYTHING.format(path=path, text=str(text), out=str(tmp_path / seed))
        running[seed] = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )  # fmt: skip
    answers = {seed: process.communicate(timeout=240) for seed, process in running.items()}
    for seed, process in running.items():
        assert process.returncode == 0, answers[seed][1]
    found = {seed: json.loads(answer[0]) for seed, answer in answers.items()}
    assert found["0"].keys() == found["1"].keys()
    assert len(found["0"]) == 2 * len(ALL)
    for name, learned in found["0"].items():
        assert found["1"][name] == learned, name
        assert found["random"][name] == learned, name
    vectors = {name: learned.get("vectors", learned.get("input_vectors.npy")) for name, learned in found["0"].items()}
    assert len(set(vectors.values())) == len(vectors), "two runs that differ in something learned the same"
    assert len({learned["vocabulary.tsv"] for learned in found["0"].values() if "vocabulary.tsv" in learned}) == 1


@pytest.mark.parametrize(("objective", "model"), ALL)
def test_the_cache_changes_nothing(text, tmp_path, cache_folder, objective, model):
    """Without one, when it is filled, and when it is read; nor does a run before it in the same process."""
    options = "--objective", objective, "--model", model, "--threads", 1
    found = [train(text, tmp_path / f"off{number}", *options, "--no-cache") for number in range(2)]
    assert not cache_folder.exists() or not any(cache_folder.rglob("ids.bin"))
    found += [train(text, tmp_path / f"on{number}", *options, "--cache", cache_folder) for number in range(2)]
    assert any(cache_folder.rglob("ids.bin"))
    assert all(other == found[0] for other in found)
    assert train(text, tmp_path / "seed", *options, "--seed", 2)["input_vectors.npy"] != found[0]["input_vectors.npy"]


@pytest.fixture
def small_blocks(monkeypatch):
    """Text in so many blocks that threads finish them out of order."""
    monkeypatch.setattr(passes, "BLOCK_SIZE", 1 << 9)


@pytest.mark.parametrize("options", [{}, {"max_vocab_size": 100}, {"max_final_vocab": 50}, {"lowercase": True}])
def test_threads_make_the_same_vocabulary_and_ids(text, small_blocks, options):
    found = []
    for threads in (1, 2, 3, 4, 1):
        with encode_corpus([text], CorpusOptions(min_count=2, **options), threads=threads, use_cache=False) as corpus:
            found.append(
                (corpus.ids.tolist(), corpus.vocabulary.words, corpus.vocabulary.counts.tolist(), corpus.fingerprint)
            )
    assert all(other == found[0] for other in found)
    words, counts = found[0][1:3]
    assert sorted(zip(words, counts, strict=True), key=lambda entry: (-entry[1], entry[0].encode())) == list(
        zip(words, counts, strict=True)
    )
    assert len(set(counts)) < len(counts), "no ties"


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_threads_that_train_leave_the_vocabulary_and_the_windows_alone(text, tmp_path, small_blocks, objective):
    found = [
        train(text, tmp_path / f"model{threads}", "--objective", objective, "--threads", threads, "--no-cache")
        for threads in (1, 2, 3, 4)
    ]
    for name in ("vocabulary.tsv", "corpus", "pairs", "kept_words"):
        assert all(other[name] == found[0][name] for other in found), name


def test_compression_changes_nothing(text, tmp_path, small_blocks):
    plain = text.read_bytes()
    expected = train(text, tmp_path / "plain", "--threads", 1)
    for suffix, compress in ((".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)):
        packed = tmp_path / f"text.txt{suffix}"
        packed.write_bytes(compress(plain))
        assert train(packed, tmp_path / suffix[1:], "--threads", 1) == expected
    # Two streams one after the other are one text, and so are two files.
    cut = plain.index(b"\n", len(plain) // 2) + 1
    joined, folder = tmp_path / "joined.gz", tmp_path / "folder"
    joined.write_bytes(gzip.compress(plain[:cut]) + gzip.compress(plain[cut:]))
    folder.mkdir()
    (folder / "a.txt").write_bytes(plain[:cut])
    (folder / "b.txt").write_bytes(plain[cut:])
    for source in (joined, folder):
        assert train(source, tmp_path / f"of-{source.stem}", "--threads", 1) == expected


@pytest.mark.parametrize(("objective", "model"), ALL)
def test_python_learns_the_same_from_a_list_and_from_a_file(text, objective, model):
    sentences = [line.split() for line in text.read_text("utf-8").splitlines()]
    settings = {
        "objective": objective, "sg": model == "skipgram", "vector_size": 12, "min_count": 2, "workers": 1,
        "epochs": 1, "device": "cpu",
    }  # fmt: skip
    found = [
        Word2Vec(sentences, **settings),
        Word2Vec([list(sentence) for sentence in sentences], **settings),
        Word2Vec(corpus_file=text, **settings),
    ]
    for other in found[1:]:
        assert other.wv.index_to_key == found[0].wv.index_to_key
        np.testing.assert_array_equal(other.wv.vectors, found[0].wv.vectors)
    assert (Word2Vec(sentences, **settings, seed=2).wv.vectors != found[0].wv.vectors).any()


def test_pythons_threads_make_the_same_vocabulary(text):
    found = [
        Word2Vec(corpus_file=text, vector_size=8, min_count=2, workers=workers, epochs=1, device="cpu").wv
        for workers in (1, 2, 3, 4)
    ]
    for other in found[1:]:
        assert other.index_to_key == found[0].index_to_key
        assert [other.get_vecattr(word, "count") for word in other.index_to_key] == [
            found[0].get_vecattr(word, "count") for word in found[0].index_to_key
        ]
