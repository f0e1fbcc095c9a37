"""Every reader of files that may come from strangers, as a function of the bytes of one file.

A reader gets bytes and a folder of its own, puts the bytes where the file belongs, and reads it the public way. All
that may come out is a result or a W2VError of one line. ``judge`` holds it to the other promises as well: no code is
run, nothing outside the folder is written, and what was read is no larger than the file can justify.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import random
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
from fuzz_mutations import mutated, random_steps

from w2v.errors import W2VError

WORDS = ["the", "of", "naïve", "cat", "mat", "dog"]
COUNTS = np.array([90, 50, 20, 9, 5, 2])
TEXT = b"the cat of the mat\nthe dog of the cat the the\nna\xc3\xafve of the mat the of\n" * 3
SIZE = 3
# What a byte of a file may become in memory: numbers of two characters each become float32; compressed data more.
MOST_PER_BYTE = 16
MOST_PER_COMPRESSED_BYTE = 2000


class Violation(AssertionError):
    """A promise about hostile files was broken."""


@dataclass(frozen=True)
class Reader:
    """``seeds(folder)`` makes valid files and gives their bytes; ``read(data, folder)`` reads the bytes of one.

    ``read`` returns the arrays that it got, or nothing.
    """

    name: str
    seeds: Callable[[Path], list[bytes]]
    read: Callable[[bytes, Path], object]

    def seeds_in(self, folder: Path) -> list[bytes]:
        """The seeds, made in a folder that may not exist yet."""
        folder.mkdir(parents=True, exist_ok=True)
        return self.seeds(folder)

    def case(self, seeds: list[bytes], seed: int, number: int) -> bytes:
        """The case of that number: always the same for the same ``seed``."""
        source = random.Random(f"{self.name} {seed} {number}")
        if self.name == "command-line" and number % 2:
            return "\n".join(random_arguments(source)).encode("utf-8", "surrogateescape")
        return mutated(source.choice(seeds), random_steps(source), seeds)


READERS: dict[str, Reader] = {}


def reader(name: str, seeds: Callable[[Path], list[bytes]]) -> Callable[[Callable], Callable]:
    """Register a function as the reader ``name``."""

    def register(function: Callable[[bytes, Path], object]) -> Callable[[bytes, Path], object]:
        READERS[name] = Reader(name, seeds, function)
        return function

    return register


def judge(target: Reader, data: bytes, folder: Path) -> bool:
    """Whether ``target`` read ``data``, or refused it with one line; any other outcome raises."""
    with warnings.catch_warnings(), watched(folder):
        warnings.simplefilter("ignore")
        try:
            found = target.read(data, folder)
        except W2VError as error:
            _check_message(str(error))
            return False
    most = MOST_PER_COMPRESSED_BYTE if _is_compressed(data) else MOST_PER_BYTE
    for array in found if isinstance(found, (list, tuple)) else ():
        if isinstance(array, np.ndarray) and array.nbytes > most * len(data) + 64:
            raise Violation(f"{array.nbytes} bytes of an array from {len(data)} bytes")
    return True


def _check_message(message: str) -> None:
    if not message or len(message.splitlines()) > 1:
        raise Violation(f"the message is not one line: {message!r}")
    if len(message) > 2000:
        raise Violation(f"a message of {len(message)} characters: {message[:200]!r}")


def _is_compressed(data: bytes) -> bool:
    return data.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"PK"))


# --- What a reader must not do ----------

_RUNS_CODE = frozenset(
    ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect",
     "code.__new__")
)  # fmt: skip
_CHANGES = frozenset(
    ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
     "shutil.rmtree")
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_allowed: list[str] = []
_broken: list[str] = []


def _hook(event: str, arguments: tuple) -> None:
    """Python's audit events while a reader is watched: notes what is forbidden."""
    if not _allowed:
        return
    if event in _RUNS_CODE and not _by_a_compiler():
        _broken.append(f"{event} {arguments!r:.200}")
    elif event == "open" and (_writes(arguments[1]) or (arguments[2] or 0) & _WRITING):
        _check_place(event, arguments[0])
    elif event in _CHANGES:
        # A link may lead anywhere; what matters is where it is made. The last argument is the folder's descriptor.
        changed = arguments[1:2] if event in ("os.symlink", "os.link") else arguments[:2]
        relative = event != "os.truncate" and isinstance(arguments[-1], int) and arguments[-1] >= 0
        for argument in changed:
            if isinstance(argument, (str, bytes, os.PathLike)):
                _check_place(event, argument, f"/proc/self/fd/{arguments[-1]}" if relative else "")


def _by_a_compiler() -> bool:
    """Whether numba is at work, which keeps what it compiled as pickles beside the sources, or atheris."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] in ("numba", "atheris"):
            return True
        frame = frame.f_back
    return False


def _writes(mode: object) -> bool:
    return isinstance(mode, str) and any(letter in mode for letter in "wax+")


def _check_place(event: str, path: object, folder: str = "") -> None:
    if isinstance(path, int):
        return
    place = os.path.realpath(os.path.join(folder, os.fsdecode(path)))
    inside = place == _allowed[0] or place.startswith(_allowed[0] + os.sep)
    # Python and numba keep compiled code beside the sources.
    if not (inside or place == os.devnull or "__pycache__" in place or _by_a_compiler()):
        _broken.append(f"{event} {place}")


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[None]:
    """Raise Violation where code of a file was run, or something outside ``folder`` was written."""
    if not getattr(sys, "_w2v_hook", False):
        sys.addaudithook(_hook)  # for the life of the process; it looks away unless a folder is watched
        sys._w2v_hook = True
    _broken.clear()
    _allowed[:] = [os.path.realpath(folder)]
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    before, tempfile.tempdir = tempfile.tempdir, str(scratch)
    try:
        yield
    finally:
        tempfile.tempdir = before
        _allowed.clear()
    if _broken:
        raise Violation("; ".join(_broken))


# --- Vector files ----------


def make_vectors():
    """Six words of three dimensions, with counts."""
    from w2v.vectors import KeyedVectors

    vectors = np.random.default_rng(0).normal(size=(len(WORDS), SIZE)).astype(np.float32)
    return KeyedVectors.from_arrays(list(WORDS), vectors, COUNTS)


def saved(*names: str) -> Callable[[Path], list[bytes]]:
    """Seeds that ``save_vectors`` writes."""

    def seeds(folder: Path) -> list[bytes]:
        from w2v.vectors import save_vectors

        for name in names:
            save_vectors(folder / name, make_vectors())
        return [(folder / name).read_bytes() for name in names]

    return seeds


def put(folder: Path, name: str, data: bytes) -> Path:
    """``data`` as a file of that name."""
    path = folder / name
    path.write_bytes(data)
    return path


def loaded(path: Path, **options: object) -> list[np.ndarray]:
    """The vectors and counts of a file or folder, looked at as queries would."""
    from w2v.vectors import load_vectors

    found = load_vectors(path, **options)
    if len(found) != len(set(found.index_to_key)) or found.vectors.ndim != 2 or len(found.vectors) != len(found):
        raise Violation("words and vectors do not fit each other")
    if len(found) > 1:
        with np.errstate(all="ignore"):
            found.most_similar(found.index_to_key[0], topn=2)
    if path.is_file() and not np.isfinite(found.vectors).all():
        raise Violation("a vector that is not finite")
    return [found.vectors] if found.counts is None else [found.vectors, found.counts]


def _text_seeds(folder: Path) -> list[bytes]:
    plain = saved("v.txt")(folder)[0]
    body = plain.partition(b"\n")[2]
    words_with_spaces = b"2 3\nnew york 1 2 3\n the 4 5e-1 -6.25\n"
    return [plain, body, words_with_spaces, plain.replace(b"\n", b" \r\n"), b"2 1\na 1\nb 2\n", b"a 1 2\n"]


@reader("text", _text_seeds)
def read_text(data: bytes, folder: Path) -> object:
    """word2vec's, fastText's and GloVe's text, with and without a first line."""
    return loaded(put(folder, "v.txt", data))


@reader("binary", saved("v.bin"))
def read_binary(data: bytes, folder: Path) -> object:
    """word2vec's binary format."""
    return loaded(put(folder, "v.bin", data))


@reader("any", lambda folder: [*_text_seeds(folder), *saved("v.bin")(folder)])
def read_any(data: bytes, folder: Path) -> object:
    """A file whose name tells nothing."""
    return loaded(put(folder, "vectors", data), limit=4)


@reader("compressed", saved("v.txt.gz", "v.bin.gz", "v.txt.bz2", "v.bin.xz", "v.vec.gz"))
def read_compressed(data: bytes, folder: Path) -> object:
    """Compressed vector files: told by their content."""
    return loaded(put(folder, "vectors.gz", data))


def _zst_seeds(folder: Path) -> list[bytes]:
    return saved("v.txt.zst", "v.bin.zst")(folder)


@reader("zst", _zst_seeds)
def read_zst(data: bytes, folder: Path) -> object:
    """Zstandard's compression (extra: io)."""
    return loaded(put(folder, "vectors.zst", data))


@reader("safetensors", saved("v.safetensors"))
def read_safetensors(data: bytes, folder: Path) -> object:
    """A .safetensors file (extra: hub), mapped and not."""
    path = put(folder, "v.safetensors", data)
    loaded(path, mmap=False)
    return loaded(path)


@reader("gensim-binary", saved("v.bin", "v.bin.gz"))
def read_gensim_binary(data: bytes, folder: Path) -> object:
    """KeyedVectors.load_word2vec_format(binary=True), in another encoding and type."""
    from w2v import KeyedVectors

    path = put(folder, "v.bin", data)
    return [KeyedVectors.load_word2vec_format(path, binary=True, encoding="latin-1", datatype=np.float64).vectors]


@reader("gensim-text", lambda folder: [_text_seeds(folder)[1], b"2 1\na 1\nb 2\n", b"a 1 2\n"])
def read_gensim_text(data: bytes, folder: Path) -> object:
    """KeyedVectors.load_word2vec_format of text, without a first line and in float16."""
    from w2v import KeyedVectors

    path = put(folder, "v.txt", data)
    return [KeyedVectors.load_word2vec_format(path, no_header=True, datatype=np.float16, limit=5).vectors]


@reader("counts", lambda folder: [b"the 90\nof 50\nna\xc3\xafve 20\ncat 9\nmat 5\ndog 2\n"])
def read_counts(data: bytes, folder: Path) -> object:
    """The counts beside a word2vec file (``fvocab``)."""
    from w2v import KeyedVectors

    vectors = folder / "known.txt"
    if not vectors.exists():
        vectors.write_bytes(saved("v.txt")(folder)[0])
    path = put(folder, "counts.txt", data)
    return [KeyedVectors.load_word2vec_format(vectors, fvocab=path).vectors][:0]


# --- Model folders ----------


def make_model(path: Path, objective: str = "ns") -> Path:
    """A model folder as `w2v train` writes it, with output parameters, without a training."""
    from w2v.config import TrainConfig
    from w2v.objectives import make_objective
    from w2v.vectors.folder import save_model_folder

    options = {"cutoffs": (2, 4)} if objective == "adaptive" else {}
    config = TrainConfig(vector_size=SIZE, objective=objective, min_count=1, window=2, **options).resolved()
    shapes = make_objective(config, COUNTS).parameter_shapes
    arrays = {name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()}
    seconds = {"read": 0.1, "encode": 0.2, "train": 1.5, "total": 2.0}
    training = {
        "seconds": seconds,
        "words_per_second": 1e6,
        "loss": [2.5, 2.25],
        "heldout_nll": None,
        "device": "cpu",
    }
    save_model_folder(
        path,
        config=config.to_dict(),
        words=WORDS,
        counts=COUNTS,
        input_vectors=arrays.pop("input_vectors"),
        output_parameters=arrays,
        training=training,
    )
    return path


def of_folder(name: str, *objectives: str) -> Callable[[Path], list[bytes]]:
    """Seeds: that file of model folders; without objectives of vectors alone too."""

    def seeds(folder: Path) -> list[bytes]:
        made = [make_model(folder / f"seed-{objective}", objective) for objective in objectives or ("ns",)]
        return [next(path.glob(name)).read_bytes() for path in made]

    return seeds


def in_folder(folder: Path, name: str, data: bytes, objective: str = "ns") -> Path:
    """A model folder that is whole but for the file ``name``."""
    model = folder / f"model-{objective}-{name}"
    if not model.exists():
        make_model(model, objective)
    (model / name).write_bytes(data)
    return model


def _both(model: Path) -> object:
    """A folder read as vectors and as a model that can be trained on."""
    from w2v import Word2Vec
    from w2v.vectors.folder import is_model_folder

    is_model_folder(model)
    found = loaded(model)
    loaded(model, mmap=False)
    with contextlib.suppress(W2VError):
        Word2Vec.load(model)
    return found


@reader("config", of_folder("config.json", "ns", "adaptive"))
def read_config(data: bytes, folder: Path) -> object:
    """config.json, with what `w2v info` prints of it, and going on with the training."""
    model = in_folder(folder, "config.json", data)
    with warnings.catch_warnings():
        run_command(["info", str(model)], folder)
    return _both(model) and None


@reader("config-adaptive", of_folder("config.json", "adaptive"))
def read_adaptive_config(data: bytes, folder: Path) -> object:
    """config.json of adaptive softmax: cut-offs decide the shapes of other files."""
    from w2v import Word2Vec

    Word2Vec.load(in_folder(folder, "config.json", data, "adaptive"))


@reader("training", of_folder("training.json"))
def read_training(data: bytes, folder: Path) -> object:
    """training.json, with what `w2v info` prints of it."""
    model = in_folder(folder, "training.json", data)
    run_command(["info", str(model), "--json"], folder)
    loaded(model)


@reader("vocabulary", of_folder("vocabulary.tsv"))
def read_folder_vocabulary(data: bytes, folder: Path) -> object:
    """vocabulary.tsv of a model folder."""
    model = in_folder(folder, "vocabulary.tsv", data)
    loaded(model)


@reader("array", of_folder("input_vectors.npy"))
def read_array(data: bytes, folder: Path) -> object:
    """input_vectors.npy of a model folder."""
    return loaded(in_folder(folder, "input_vectors.npy", data))


@reader("any-array", of_folder("output_vectors.npy"))
def read_any_array(data: bytes, folder: Path) -> object:
    """A .npy file of any shape, as output parameters and checkpoints hold them."""
    from w2v.vectors.arrays import load_array

    path = put(folder, "a.npy", data)
    return [load_array(path, mmap=False), load_array(path)]


# --- The text side ----------


def _vocabulary_seeds(folder: Path) -> list[bytes]:
    from w2v.corpus.vocabulary import Vocabulary

    Vocabulary(WORDS, COUNTS).save(folder / "v.tsv")
    whole = (folder / "v.tsv").read_bytes()
    return [whole, b"\xef\xbb\xbf" + whole.replace(b"\n", b"\r\n")]


@reader("saved-vocabulary", _vocabulary_seeds)
def read_saved_vocabulary(data: bytes, folder: Path) -> object:
    """What `w2v vocab` wrote and `train --vocab` reads."""
    from w2v.corpus.encode import given_vocabulary
    from w2v.corpus.options import CorpusOptions

    path = put(folder, "v.tsv", data)
    found = given_vocabulary(CorpusOptions(vocab_file=path))
    if int(found.counts.sum()) < len(found):
        raise Violation("the counts overflow")
    found.save(folder / "again.tsv")


def encoded_folder(folder: Path) -> Path:
    """An encoded corpus, as a cache keeps it."""
    from w2v.kernels.tokenizer import check_ids

    from w2v.corpus.encoded import IDS, CorpusTotals, content_fingerprint, write_meta
    from w2v.corpus.vocabulary import Vocabulary

    path = folder / "encoded"
    if not path.exists():
        path.mkdir()
        ids = np.array([0, 1, 2, -1, 3, 4, 5, 0, -1], "<i4")
        ids.tofile(path / IDS)
        ids.flags.writeable = False
        fingerprint = content_fingerprint(WORDS, len(ids), int(check_ids(ids, len(WORDS))[1]))
        totals = CorpusTotals(len(ids), 7, 2, 9, 0, fingerprint)
        write_meta(path, Vocabulary(WORDS, COUNTS), totals, [["text.txt", 9, 1, 1]], {"min_count": 1})
    return path


def _encoded(name: str) -> None:
    def seeds(folder: Path) -> list[bytes]:
        return [(encoded_folder(folder) / name).read_bytes()]

    @reader(f"encoded-{name.partition('.')[0]}", seeds)
    def read_encoded(data: bytes, folder: Path) -> object:
        """A file of an encoded corpus; the others are whole."""
        from w2v.corpus.encoded import EncodedCorpus

        path = encoded_folder(folder)
        whole = (path / name).read_bytes()
        (path / name).write_bytes(data)
        try:
            with EncodedCorpus.open(path) as corpus:
                f"{corpus.tokens:,} {corpus.raw_tokens:,} {corpus.sentences:,} {corpus.bad_bytes:,} {corpus.size:,}"
                if not corpus.ids.size or int(corpus.ids.max()) >= len(corpus.vocabulary):
                    raise Violation("ids beyond the vocabulary")
                if int(corpus.vocabulary.counts.sum()) < len(corpus.vocabulary):
                    raise Violation("the counts overflow, or are zero")
        finally:
            (path / name).write_bytes(whole)


for _name in ("meta.json", "vocabulary.tsv", "ids.bin"):
    _encoded(_name)


def _corpus_seeds(folder: Path) -> list[bytes]:
    return [TEXT, TEXT.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + TEXT, b"a b\0c d\xff\xfe a\n\na b" * 5]


@reader("corpus", _corpus_seeds)
def read_corpus(data: bytes, folder: Path) -> object:
    """A text, counted and encoded."""
    return _encode(put(folder, "text.txt", data))


@reader("corpus-lowercase", _corpus_seeds)
def read_corpus_lowercase(data: bytes, folder: Path) -> object:
    """A text in lower case, with pruning and a given bound of words."""
    return _encode(put(folder, "text.txt", data), lowercase=True, max_vocab_size=4)


def _compressed_texts(suffix: str) -> Callable[[Path], list[bytes]]:
    import bz2
    import gzip
    import lzma

    compress = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[suffix]
    return lambda folder: [compress(TEXT), compress(TEXT) + compress(b"the end of the cat\n")]


def _compressed_corpus(suffix: str) -> None:
    @reader(f"corpus-{suffix}", _compressed_texts(suffix))
    def read_compressed_corpus(data: bytes, folder: Path) -> object:
        """A compressed text."""
        return _encode(put(folder, f"text.txt.{suffix}", data))


for _name in ("gz", "bz2", "xz"):
    _compressed_corpus(_name)


def _encode(path: Path, **options: object) -> None:
    from w2v.corpus import CorpusOptions, encode_corpus

    with encode_corpus([path], CorpusOptions(min_count=1, **options), threads=1, use_cache=False) as corpus:
        if int(corpus.ids.max()) >= len(corpus.vocabulary):
            raise Violation("ids beyond the vocabulary")


@reader("connectors", lambda folder: [b"of the\nand\n", b"\xef\xbb\xbfna\xc3\xafve"])
def read_connectors(data: bytes, folder: Path) -> object:
    """The words of `w2v phrases --connector-words FILE`."""
    from w2v.phrases.connectors import read_connector_words

    read_connector_words(str(put(folder, "connectors.txt", data)))


# --- Records and evaluation ----------


def _cost_seeds(folder: Path) -> list[bytes]:
    from w2v.cost import CostModel, Measurement

    model = CostModel(
        device="cpu (known)", c=2e-5, alpha=2e-9, beta=4e-11, gamma=1e-9, delta=2e-9, threshold=30_000.0,
        reference_inputs=256, reference_size=100, error_median=0.1, error_p90=None, created="2026-11-01",
        versions={"numpy": "2"}, source="made up", measurements=(Measurement(16, 64, 100, 1e-4),),
    )  # fmt: skip
    model.to_json(folder / "cost.json")
    return [(folder / "cost.json").read_bytes()]


@reader("cost-model", _cost_seeds)
def read_cost_model(data: bytes, folder: Path) -> object:
    """What `w2v calibrate` wrote, and the cut-offs that follow from it."""
    from w2v.config import TrainConfig
    from w2v.cost.auto import resolve_cutoffs
    from w2v.objectives.batching import CorpusShape

    path = put(folder, "cost.json", data)
    counts = np.sort(np.arange(1, 400))[::-1]
    config = TrainConfig(objective="adaptive", cost_model=str(path))
    resolve_cutoffs(config, CorpusShape(counts, int(counts.sum()), 500), "cpu")


_PAIRS = b"# a test\nthe\tof\t3.5\ncat\tdog\t9\nmat\tnone\t1\nof\tmat\t2\n"


@reader("pairs", lambda folder: [_PAIRS, b"a,b,c\nthe,of,1\ncat,dog,2\n"])
def read_pairs(data: bytes, folder: Path) -> object:
    """Word pairs with scores."""
    from w2v.evaluation import evaluate_pairs

    result = evaluate_pairs(make_vectors(), put(folder, "pairs.tsv", data))
    if not (math.isnan(result.spearman.statistic) or -1.001 <= result.spearman.statistic <= 1.001):
        raise Violation("a correlation out of its range")


@reader("analogies", lambda folder: [b": a\nthe of cat mat\ncat dog the of\n: gram2\nof the mat cat\n"])
def read_analogies(data: bytes, folder: Path) -> object:
    """Questions in sections."""
    from w2v.evaluation import evaluate_analogies

    evaluate_analogies(make_vectors(), put(folder, "questions.txt", data))


def _record_seeds(folder: Path) -> list[bytes]:
    from comparison_records import make_record

    record = make_record(models=("skipgram",), objectives=("ns", "full"), seeds=(1,), points=(0.5, 1))
    hashes = {str(seed): "2d" * 32 for seed in record["seeds"]}
    record["corpus"]["heldout_sha256s"] = hashes
    return [json.dumps(record).encode()]


@reader("comparison", _record_seeds)
def read_record(data: bytes, folder: Path) -> object:
    """compare.json that `w2v compare --resume` goes on from, and the report of it."""
    from w2v.comparison.record import NAME, check_same, load_record, save_record
    from w2v.comparison.report.charts import charts_of
    from w2v.comparison.report.page import build_report
    from w2v.comparison.summary import default_targets, summarise
    from w2v.comparison.tables import write_tables

    out = folder / "comparison"
    out.mkdir(exist_ok=True)
    record = load_record(put(out, NAME, data).parent)
    check_same(record, json.loads(_record_seeds(folder)[0]))
    names = [item["name"] for item in record["evaluation"]]
    record["targets"] = {**default_targets(record["runs"], names), **record["targets_given"]}
    record["summary"] = summarise(record["runs"], record["targets"])
    save_record(record, out)
    write_tables(record, out)
    build_report(record, charts_of(record))


def _index_seeds(folder: Path) -> list[bytes]:
    from w2v.vectors.index_cache import Cells, IndexCache

    cells = Cells(
        np.eye(2, SIZE, dtype=np.float32), np.zeros(len(WORDS), np.int32), np.arange(len(WORDS)),
        np.full((len(WORDS), 2), 0.5, np.float32),
    )  # fmt: skip
    return [IndexCache(folder).keep("0" * 32, cells).read_bytes()]


@reader("index", _index_seeds)
def read_index(data: bytes, folder: Path) -> object:
    """What an approximate search left in the cache folder: damaged files are made anew, and listed."""
    from w2v.vectors.index_cache import IndexCache

    cache = IndexCache(folder / "cache")
    cache.root.mkdir(exist_ok=True)
    cache.path("0" * 32).write_bytes(data)
    for entry in cache.entries():
        f"{entry.size:,}"
    found = cache.find("0" * 32, len(WORDS), SIZE)
    return None if found is None else [found.centroids, found.cells]


def _search_seeds(folder: Path) -> list[bytes]:
    from w2v.vectors.index_cache import IndexCache, fingerprint

    before = os.environ.get("W2V_CACHE")
    os.environ["W2V_CACHE"] = str(folder)
    try:
        vectors = make_vectors()
        vectors.search_approximately(report=lambda line: None)
        return [IndexCache(folder).path(fingerprint(vectors.vectors)).read_bytes()]
    finally:
        _restore("W2V_CACHE", before)


def _restore(name: str, value: str | None) -> None:
    os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value


@reader("index-search", _search_seeds)
def read_index_and_search(data: bytes, folder: Path) -> object:
    """The same (extra: ann), with the vectors that it is for, which are then asked."""
    from w2v.vectors.index_cache import IndexCache, fingerprint

    before = os.environ.get("W2V_CACHE")
    os.environ["W2V_CACHE"] = str(folder / "cache")
    try:
        vectors = make_vectors()
        path = IndexCache().path(fingerprint(vectors.vectors))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        vectors.search_approximately(report=lambda line: None)
        vectors.most_similar("the", topn=3)
    finally:
        _restore("W2V_CACHE", before)


@reader("export-mark", lambda folder: [b'{"format": "w2v-export", "layout": "numpy", "files": ["words.txt"]}\n'])
def read_export_mark(data: bytes, folder: Path) -> object:
    """The file that tells an export from other folders, which are not replaced."""
    from w2v.export import find_layout

    out = folder / "export"
    out.mkdir(exist_ok=True)
    put(out, "w2v_export.json", data)
    find_layout("numpy").check(out)


# --- The command line ----------

_SIMPLE = ("info", "similar", "analogy", "eval", "convert", "export", "classes", "cache", "explore")
# These take a text, and get one without words: what is tested is what they make of their options.
_LONG = ("train", "compare", "vocab", "phrases", "calibrate")
_ODD = (
    "", "-", "--", "-1", "0", "1", "2", "3", "1e999", "nan", "inf", "1_0", "9" * 30, "9" * 5000, "x", "the", "cat",
    "THE", "+of", "-cat", "nowhere", "../x", "a/b/c", "\udcff", "\x1b[2J", "é", "a" * 300, "{}", "%s", "\n", ",",
    "2,x", "auto", "cpu", "v.bin", "v.txt", "model", "empty.txt", "questions.txt", "pairs.tsv", "out.bin",
    "out.txt.gz", "out", "page.html", "numpy", "gensim", "projector", "safetensors", "model2vec", "loop",
    "folder", "cost.json", "0.5", "-0", "1e-3", ".", "/dev/null", "out.txt/x", "v.bin/x",
)  # fmt: skip


def _commands() -> dict[str, list[str]]:
    from w2v.cli import cli

    return {
        name: sorted({option for parameter in command.params for option in parameter.opts if option.startswith("-")})
        for name, command in cli.commands.items()
    }


def random_arguments(source: random.Random) -> list[str]:
    """Arguments of the command line, of which some make sense."""
    name = source.choice((*_SIMPLE, *_SIMPLE, *_LONG)) if source.random() < 0.97 else source.choice(_ODD)
    known = _commands().get(name, ["--help"])
    arguments = [name]
    if name in _LONG:
        arguments += ["--explain", "empty.txt"] if name == "calibrate" else ["empty.txt"]
        arguments += ["-o", "out"] if source.random() < 0.8 else []
        known = [option for option in known if option != "--vocab"]
    elif source.random() < 0.8:
        arguments.append(source.choice(("model", "v.bin", "v.txt")))
    if name in ("export", "convert", "explore", "classes") and source.random() < 0.7:
        out = source.choice(("out", "page.html", "out.bin", "out.txt.gz"))
        arguments += [out] if name == "convert" else ["-o", out]
    for _ in range(source.randrange(5)):
        arguments.append(source.choice(_ODD) if source.random() < 0.5 else source.choice(known))
    return arguments


def _command_seeds(folder: Path) -> list[bytes]:
    lines = (
        ["info", "model"], ["similar", "v.bin", "the", "-n", "2"], ["similar", "model", "--", "the", "-cat", "+of"],
        ["analogy", "v.txt", "the", "of", "cat"], ["eval", "model", "--pairs", "pairs.tsv"], ["cache", "--json"],
        ["eval", "model", "--analogies", "questions.txt", "--restrict", "5"], ["convert", "v.txt", "out.bin"],
        ["export", "model", "--to", "numpy", "-o", "out"], ["classes", "model", "-n", "2", "-o", "-"],
        ["train", "empty.txt", "-o", "out", "--objective", "adaptive", "--cutoffs", "2,3"],
        ["vocab", "empty.txt", "-o", "-"],
    )  # fmt: skip
    return ["\n".join(line).encode() for line in lines]


@reader("command-line", _command_seeds)
def read_command_line(data: bytes, folder: Path) -> object:
    """Arguments, one a line, of `w2v`: exit status 0, 1 or 2, and no traceback."""
    arguments = data.replace(b"\0", b"").decode("utf-8", "surrogateescape").split("\n")
    if _would_take_long(arguments):
        return
    if run_command(arguments, folder):
        raise W2VError("refused with a message")


def _would_take_long(arguments: list[str]) -> bool:
    """Whether the arguments ask for more than reading: training a text, measuring a device."""
    named = {"train", "compare", "vocab", "phrases"} & set(arguments[:1])
    texts = {"questions.txt", "pairs.tsv", "v.txt", "v.bin", "model", "folder", ".", "cost.json", "page.html", "out"}
    if named:
        return any(argument in texts or argument.startswith(("out.", "out/")) for argument in arguments[1:2])
    return arguments[:1] == ["calibrate"] and "--explain" not in arguments


def _workplace(folder: Path) -> Path:
    """The folder that commands run in, with files to ask for."""
    place = folder / "place"
    if place.exists():
        return place
    from w2v.vectors import save_vectors

    place.mkdir()
    make_model(place / "model")
    save_vectors(place / "v.bin", make_vectors())
    save_vectors(place / "v.txt", make_vectors())
    (place / "empty.txt").write_bytes(b"\n \n")
    (place / "questions.txt").write_bytes(b": a\nthe of cat mat\ncat dog the of\n")
    (place / "pairs.tsv").write_bytes(b"the\tof\t3.5\ncat\tdog\t9\nof\tmat\t2\n")
    (place / "cost.json").write_bytes(b"{}")
    (place / "folder").mkdir()
    (place / "loop").symlink_to("loop")
    return place


def run_command(arguments: list[str], folder: Path) -> int:
    """The exit status of `w2v` with ``arguments``; raises Violation where it is another than 0, 1 or 2."""
    from w2v.cli import main

    place = _workplace(folder)
    here, streams = os.getcwd(), (sys.stdin, sys.stdout, sys.stderr)
    cache = os.environ.get("W2V_CACHE")
    os.environ["W2V_CACHE"] = str(place / "cache")
    os.environ.setdefault("MPLCONFIGDIR", str(place / "cache"))  # matplotlib makes it when it is imported
    sys.stdin = io.TextIOWrapper(io.BytesIO(b""))
    # As a terminal has them: what UTF-8 cannot write is an error on standard output.
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.BytesIO(), "utf-8"),
        io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace"),
    )
    os.chdir(place)
    status: object = 0
    try:
        # At its end a process gives its standard output away, which here it must not.
        with mock.patch("w2v.cli.give_up_output"):
            main(arguments)
    except SystemExit as end:
        status = end.code
    finally:
        os.chdir(here)
        said = sys.stderr
        sys.stdin, sys.stdout, sys.stderr = streams
        _restore("W2V_CACHE", cache)
    said.flush()
    text = said.buffer.getvalue().decode("utf-8", "replace")
    if status not in (0, 1, 2) or "Traceback" in text:
        raise Violation(f"exit status {status} of w2v {arguments!r}: {text[-300:]}")
    _tidy(place)
    return int(status)


def _tidy(place: Path) -> None:
    """Remove what a command wrote, so that the next one finds the same."""
    keep = {"model", "v.bin", "v.txt", "empty.txt", "questions.txt", "pairs.tsv", "cost.json", "folder", "loop"}
    for entry in os.scandir(place):
        if entry.name not in keep:
            shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)


def _checkpoint_seeds(folder: Path) -> list[bytes]:
    """Records of a run in its second epoch, alone and of replicas."""
    from w2v.backends.base import EpochReport
    from w2v.config import TrainConfig
    from w2v.training.checkpoint import STATE, CheckpointFolder
    from w2v.training.clock import PHASES
    from w2v.training.run import RunState

    done, now = EpochReport(4.5, 30, 20, 25, 0.02, 40), EpochReport(2.5, 10, 8, 9, 0.01, 12)
    corpus = {"fingerprint": "0" * 32, "vocabulary": "1" * 32, "words": 4, "tokens": 25, "sentences": 15}
    found = []
    for number, report in enumerate((now, EpochReport(position=12, parts=(5, 7), rounds=2))):
        checkpoints = CheckpointFolder(folder / f"{number}.checkpoint")
        checkpoints.open()
        config = TrainConfig(vector_size=3)
        arrays = {"input_vectors": np.zeros((4, 3), np.float32)}
        seconds = dict.fromkeys((*PHASES, "total"), 1.0)
        checkpoints.write(config, config.resolved(), corpus, RunState((done,), report), seconds, arrays)
        found.append((folder / f"{number}.checkpoint" / "000001" / STATE).read_bytes())
        checkpoints.close()
    return found


@reader("checkpoint", _checkpoint_seeds)
def read_checkpoint(data: bytes, folder: Path) -> object:
    """The record of a checkpoint, as it is and with the checksum that would be right."""
    from w2v.training.checkpoint import STATE, CheckpointFolder, _checksum

    place = folder / "out.checkpoint" / "000001"
    place.mkdir(parents=True, exist_ok=True)
    np.save(place / "input_vectors.npy", np.zeros((4, 3), np.float32))
    try:
        record = json.loads(data)
        record.pop("checksum", None)
        data = json.dumps({**record, "checksum": _checksum(record)}).encode()
    except (ValueError, AttributeError, RecursionError, TypeError):
        pass  # no record at all, which the reader is to say
    put(place, STATE, data)
    found = CheckpointFolder(folder / "out.checkpoint").latest()
    return list(found.parameters().values())
