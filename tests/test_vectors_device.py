"""Searching on a device answers what the CPU answers.

Every test of ``device`` runs twice: on a stand-in for CuPy over NumPy, which refuses to mix arrays of the two
sides, and on a GPU where there is one.
"""

import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from w2v.backends import choose_device
from w2v.cli import cli, main
from w2v.errors import ConfigError, DeviceError
from w2v.evaluation import evaluate_analogies
from w2v.vectors import KeyedVectors, device_rows, search

ROOT = Path(__file__).resolve().parent.parent


class DeviceArray(np.ndarray):
    """An array of the stand-in: like CuPy's, it takes part in nothing together with an array of the host."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        for array in (*inputs, *out):
            assert not _of_the_host(array), f"{ufunc.__name__} of a host array"
        options |= {"out": tuple(map(_plain, out))} if out else {}
        result = getattr(ufunc, method)(*map(_plain, inputs), **options)
        return out[0] if out else _wrapped(result)

    def __array_function__(self, function, types, arguments, options):
        raise TypeError(f"numpy.{function.__name__} of a device array")

    def __getitem__(self, key):
        return super().__getitem__(self._checked(key))

    def __setitem__(self, key, value):
        assert not _of_the_host(value), "a host array is stored on the device"
        super().__setitem__(self._checked(key), value)

    @staticmethod
    def _checked(key):
        for part in key if isinstance(key, tuple) else (key,):
            assert not _of_the_host(part), "indexed from the host"
        return key

    def get(self):
        StandIn.came_back.append(self.size)
        return np.array(_plain(self))


def _of_the_host(value):
    return isinstance(value, (np.ndarray, list)) and not isinstance(value, DeviceArray)


def _plain(array):
    return array.view(np.ndarray) if isinstance(array, DeviceArray) else array


def _wrapped(array):
    return array.view(DeviceArray) if isinstance(array, np.ndarray) else array


class StandIn:
    """What is used of the module ``cupy``; ``sent`` and ``came_back`` are the sizes of what was copied."""

    class OutOfMemoryError(MemoryError):
        """As in ``cupy.cuda.memory``."""

    sent: list[int] = []
    came_back: list[int] = []
    most = math.inf
    cuda = SimpleNamespace(memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError))

    @classmethod
    def empty(cls, shape, dtype):
        if math.prod(shape) > cls.most:
            raise cls.OutOfMemoryError(f"Out of memory allocating {4 * math.prod(shape):,} bytes")
        return np.empty(shape, dtype).view(DeviceArray)

    @classmethod
    def asarray(cls, array):
        assert not isinstance(array, DeviceArray)
        cls.sent.append(array.size)
        return np.array(array).view(DeviceArray)

    @staticmethod
    def arange(count):
        return np.arange(count).view(DeviceArray)

    @staticmethod
    def full(shape, value, dtype):
        return np.full(shape, value, dtype).view(DeviceArray)

    @staticmethod
    def sort(array, axis):
        return np.sort(_plain(array), axis).view(DeviceArray)

    @staticmethod
    def take_along_axis(array, indices, axis):
        return np.take_along_axis(_plain(array), _plain(indices), axis).view(DeviceArray)


@pytest.fixture
def stand_in(monkeypatch):
    """The stand-in in place of CuPy, and a machine that has a GPU to all appearance."""
    monkeypatch.setitem(sys.modules, "cupy", StandIn)
    monkeypatch.setattr("w2v.backends.choose_device", lambda asked: "cpu" if asked == "cpu" else "cuda")
    monkeypatch.setattr(StandIn, "sent", [])
    monkeypatch.setattr(StandIn, "came_back", [])
    return StandIn


@pytest.fixture(params=["stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request):
    """The device to search on: first the stand-in's, then the GPU's."""
    request.getfixturevalue("stand_in" if request.param == "stand-in" else "gpu")
    return "cuda"


def random_vectors(count=200, size=10, seed=0):
    rows = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return KeyedVectors.from_arrays([f"w{number}" for number in range(count)], rows)


def tied_vectors(count=200, size=16, seed=1):
    """Rows with many equal similarities, every one exact: signs times powers of 2, and every ninth row zero."""
    random = np.random.default_rng(seed)
    signs = random.choice([-1, 1], (count // 4, size))[random.integers(count // 4, size=count)]
    rows = signs * 2.0 ** random.integers(-3, 4, (count, 1))
    rows[::9] = 0
    return KeyedVectors.from_arrays([f"w{number}" for number in range(count)], rows.astype(np.float32))


def on_both(vectors, device, ask):
    """What ``ask(vectors)`` answers on the CPU and on the device."""
    return ask(vectors.search_on("cpu")), ask(vectors.search_on(device))


def assert_same(wanted, got):
    """The same words in the same order, with the same scores up to rounding."""
    assert [word for word, _ in got] == [word for word, _ in wanted]
    np.testing.assert_allclose([score for _, score in got], [score for _, score in wanted], rtol=1e-5, atol=1e-6)


QUESTIONS = {
    "word": lambda vectors: vectors.most_similar("w3"),
    "row": lambda vectors: vectors.most_similar(7, topn=3),
    "vector": lambda vectors: vectors.similar_by_vector(vectors.vectors[5] * 3, topn=4),
    "weights": lambda vectors: vectors.most_similar([("w1", 2.0), "w2"], ["w4"], topn=25),
    "clipped": lambda vectors: vectors.most_similar("w60", clip_start=50, clip_end=80, topn=40),
    "restricted": lambda vectors: vectors.most_similar("w60", restrict_vocab=50),
    "beyond": lambda vectors: vectors.most_similar("w60", restrict_vocab=5000, topn=5000),
    "nothing": lambda vectors: vectors.most_similar("w60", topn=0),
    "cosmul": lambda vectors: vectors.most_similar_cosmul(["w1", "w2"], ["w3"]),
    "cosmul without negatives": lambda vectors: vectors.most_similar_cosmul("w8", restrict_vocab=20, topn=30),
}


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_single_questions(device, ask):
    assert_same(*on_both(random_vectors(), device, ask))


@pytest.mark.parametrize("at_once", [1, 450, 1 << 24])
@pytest.mark.parametrize("restrict", [None, 60])
def test_batches(device, monkeypatch, at_once, restrict):
    monkeypatch.setattr(search, "SCORES_AT_ONCE", at_once)
    vectors = random_vectors()
    for queries in (["w3", "w150", 0, "w3", "w9"], vectors.vectors[::40] * 5, []):
        wanted, got = on_both(vectors, device, lambda kv, q=queries: kv.most_similar_batch(q, 7, restrict))
        assert len(got) == len(wanted) == len(queries)
        for one, other in zip(wanted, got, strict=True):
            assert_same(one, other)


@pytest.mark.parametrize("method", ["3CosAdd", "3CosMul"])
def test_batches_of_analogies(device, monkeypatch, method):
    monkeypatch.setattr(search, "SCORES_AT_ONCE", 450)
    questions = [("w3", "w150", 0), ("w1", "w2", "w4"), ("w9", "w8", "w7")]
    wanted, got = on_both(random_vectors(), device, lambda kv: kv.analogies_batch(questions, 7, method=method))
    for one, other in zip(wanted, got, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("topn", [0, 1, 10, 150, 1000])
def test_ties_go_by_row(device, topn):
    vectors = tied_vectors()
    assert np.any(vectors.vectors[3])
    assert not np.any(vectors.vectors[9])
    words = vectors.index_to_key[:40]
    wanted, got = on_both(vectors, device, lambda kv: kv.most_similar_batch(words, topn))
    assert got == wanted
    for word in ("w3", "w9"):
        wanted, got = on_both(vectors, device, lambda kv, w=word: kv.most_similar(w, topn=topn))
        assert got == wanted


def test_all_scores(device):
    vectors = random_vectors()
    for ask in (
        lambda kv: kv.most_similar("w1", topn=None, clip_start=3),
        lambda kv: kv.most_similar_cosmul("w1", "w2", topn=None),
        lambda kv: kv.distances("w1"),
    ):
        wanted, got = on_both(vectors, device, ask)
        assert type(got) is np.ndarray
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    wanted, got = on_both(vectors, device, lambda kv: (kv.closer_than("w1", "w2"), kv.rank("w3", "w4")))
    assert got == wanted


@pytest.mark.parametrize("method", ["3CosAdd", "3CosMul"])
@pytest.mark.parametrize("at_once", [1, 1000, 1 << 24])
def test_analogies(device, monkeypatch, tmp_path, method, at_once):
    monkeypatch.setattr(search, "SCORES_AT_ONCE", at_once)
    vectors = random_vectors(60, 4)
    # Words that differ in case only, one of each pair beyond what is searched.
    vectors = KeyedVectors.from_arrays([f"w{i % 45}" if i < 45 else f"W{i % 45}" for i in range(60)], vectors.vectors)
    path = tmp_path / "questions.txt"
    lines = [f"w{i} w{(i * 7 + 1) % 45} w{(i * 5 + 2) % 45} w{(i * 3 + 4) % 45}" for i in range(45)]
    vectors.search_on("cpu")
    for number, line in enumerate(lines[::2]):  # every other question is given the answer that it gets
        a, b, c, _ = line.split()
        best = vectors.most_similar([b, c], [a], topn=10)
        lines[2 * number] = f"{a} {b} {c} " + next(word for word, _ in best if word.lower() not in (a, b, c))
    path.write_text("\n".join([": all", *lines, "x y z w"]), "utf-8")
    wanted, got = on_both(
        vectors, device, lambda kv: evaluate_analogies(kv, path, method=method, restrict=55).sections
    )
    assert got == wanted
    assert wanted[0].correct
    assert wanted[0].incorrect


def test_changes_are_seen(device):
    vectors = random_vectors().search_on(device)

    def check():
        wanted = KeyedVectors.from_arrays(vectors.index_to_key, vectors.vectors.copy()).most_similar("w2")
        assert_same(wanted, vectors.most_similar("w2"))

    check()
    vectors.vectors[50:] = random_vectors(seed=2).vectors[50:]
    vectors.fill_norms(force=True)
    check()
    vectors.add_vectors(["w7", "new"], [vectors["w2"] + vectors["w3"] / 99, -vectors["w2"]], replace=True)
    check()
    assert vectors.most_similar("w2", topn=1)[0][0] == "w7"
    vectors.unit_normalize_all()
    check()


def test_products_are_float32(device):
    """TF32 keeps 10 bits behind the point: it would see no difference between these rows."""
    rows = np.ones((40, 64), np.float32)
    rows[:, 32:] += np.arange(40, dtype=np.float32)[:, None] * 2**-13
    vectors = KeyedVectors.from_arrays([f"w{number}" for number in range(40)], rows).search_on(device)
    query = np.repeat(np.array([[1, -1]], np.float32), 32, axis=1)
    best = vectors.most_similar_batch(query, topn=40)[0]
    assert [word for word, _ in best] == vectors.index_to_key
    units = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1)[:, None]
    np.testing.assert_allclose([score for _, score in best], units @ query[0] / 8, atol=3e-7)


SCORES = st.sampled_from([-np.inf, -2.5, -1e-40, -0.0, 0.0, 1e-40, 1, 2, np.inf])


@given(
    st.integers(1, 40).flatmap(lambda n: st.lists(st.lists(SCORES, min_size=n, max_size=n), min_size=1, max_size=4)),
    st.integers(-1, 45),
)
def test_the_best_are_those_of_a_stable_sort(rows, count):
    scores = np.array(rows, np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cupy", StandIn)
        searched = device_rows.DeviceRows(np.zeros((1, 1), np.float32), np.ones(1, np.float32))
        best = searched.best(scores.view(DeviceArray), count)
    positions = [search.top(row, count) for row in scores]
    assert best == [(p.tolist(), row[p].tolist()) for p, row in zip(positions, scores, strict=True)]


def test_nan_comes_last(stand_in):
    scores = np.array([[np.nan, 1, -np.inf, -np.nan, 2]], np.float32).view(DeviceArray)
    searched = device_rows.DeviceRows(np.zeros((1, 1), np.float32), np.ones(1, np.float32))
    assert searched.best(scores, 5)[0][0] == [4, 1, 2, 0, 3]


def test_only_queries_go_there_and_only_the_best_come_back(stand_in):
    vectors = random_vectors().search_on("cuda")
    vectors.most_similar_batch(["w1"], topn=5, restrict_vocab=50)
    assert stand_in.sent == [50 * 10, 10]
    vectors.most_similar_batch(["w1", "w2"], topn=5)
    assert stand_in.sent[2:] == [200 * 10, 2 * 10]
    del stand_in.sent[:], stand_in.came_back[:]
    vectors.most_similar("w1", topn=5)
    vectors.most_similar_batch(["w1", "w2"], topn=5, restrict_vocab=50)
    assert stand_in.sent == [10, 20]
    assert stand_in.came_back == [6, 6, 12, 12]


def test_vectors_beyond_the_memory(stand_in, monkeypatch):
    monkeypatch.setattr(stand_in, "most", 1000)
    monkeypatch.setattr(search, "SCORES_AT_ONCE", 1 << 30)
    vectors = random_vectors().search_on("cuda")
    with pytest.raises(DeviceError) as caught:
        vectors.most_similar("w1")
    assert str(caught.value) == (
        "searching 200 vectors of 10 dimensions on the GPU needs about 25.8 GB of its memory, more than is free: "
        "load fewer vectors (--limit), or search on the CPU (--device cpu)"
    )
    assert len(vectors.most_similar("w1", restrict_vocab=100)) == 10


def test_reduced_precision_is_refused(stand_in, monkeypatch):
    monkeypatch.setenv("CUPY_TF32", "1")
    with pytest.raises(DeviceError, match="CUPY_TF32"):
        random_vectors().search_on("cuda").most_similar("w1")
    assert random_vectors().search_on("cpu").most_similar("w1")


def test_devices(stand_in, monkeypatch):
    vectors = random_vectors()
    assert vectors.search_device == "cpu"
    assert vectors.search_on("auto") is vectors
    assert vectors.search_device == "cuda"
    with pytest.raises(ConfigError, match="gpu"):
        vectors.search_on("gpu")
    monkeypatch.setattr("w2v.backends.choose_device", lambda asked: "cpu")
    assert vectors.search_on("auto").search_device == "cpu"


@pytest.fixture
def files(tmp_path):
    """A vector file and a file of questions."""
    random_vectors(40, 5).save_word2vec_format(tmp_path / "v.bin", binary=True)
    (tmp_path / "questions.txt").write_text(": all\nw1 w2 w3 w4\nw5 w6 w7 w8\n", "utf-8")
    return tmp_path


COMMANDS = [
    "similar {0}/v.bin w1 w2 -n 3",
    "analogy {0}/v.bin w1 w2 w3 -n 4",
    "analogy {0}/v.bin w1 w2 w3 --cosmul",
    "eval {0}/v.bin --analogies {0}/questions.txt",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(device, files, command):
    def table(*options):
        done = CliRunner().invoke(cli, [*command.format(files).split(), *options], catch_exceptions=False)
        assert done.exit_code == 0
        return [line.split("\t") for line in done.output.splitlines()]

    wanted = table()
    assert len(wanted) > 1
    assert table("--device", "cpu") == wanted
    for choice in (device, "auto"):
        got = table("--device", choice)
        assert [row[:-1] for row in got] == [row[:-1] for row in wanted]
        for one, other in zip(got[1:], wanted[1:], strict=True):
            assert float(one[-1]) == pytest.approx(float(other[-1]), abs=2e-6)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_without_a_gpu_say_so_in_one_line(files, capsys, command):
    try:
        choose_device("cuda")
    except DeviceError as error:
        reason = str(error)
    else:
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit) as done:
        main([*command.format(files).split(), "--device", "cuda"])
    assert done.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"w2v: {reason}\n"
    with pytest.raises(DeviceError):
        random_vectors().search_on("cuda")


@pytest.mark.parametrize("options", [[], ["--device", "cpu"]])
def test_the_cpu_needs_no_package_of_the_gpu(files, options):
    arguments = [*COMMANDS[3].format(files).split(), *options]
    code = (
        "import sys; from w2v.cli import cli; "
        f"cli.main({arguments!r}, standalone_mode=False); "
        "print(*({'cupy', 'numba', 'llvmlite'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("file\t")
    assert done.stderr.strip() == ""
