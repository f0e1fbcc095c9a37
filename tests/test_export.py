"""What ``w2v export`` writes, read by the libraries that it is meant for."""

import json
import os
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from commands import run as run_command

from w2v.cli.export import export
from w2v.errors import ConfigError, FormatError, OutputError
from w2v.export import LAYOUTS, export_vectors, find_layout
from w2v.export.layout import MARK, Settings
from w2v.vectors import KeyedVectors, load_vectors, save_vectors
from w2v.vectors.folder import save_model_folder

WORDS = ["the", "king", "queen", "naïve", "語", "🙂", "it's", "3.5"]
COUNTS = np.array([90, 40, 40, 9, 5, 5, 5, 1])
FOLDERS = ["projector", "model2vec", "numpy"]
# Words that break lines or cells for one library or another; the last two are not, and become, equal.
STRANGE = ["a\tb", "c\nd", "e\rf", "g h", "i\u00a0j", "k\u2028l", "m\x85n", "", "bad\udce9", "o\x0bp", "x\ty", "x▁y"]


def make(words=WORDS, counts=COUNTS, size=6, seed=0):
    rows = np.random.default_rng(seed).normal(size=(len(words), size)).astype(np.float32)
    return KeyedVectors.from_arrays(words, rows, None if counts is None else np.asarray(counts)[: len(words)])


def target(folder, name):
    return folder / {"safetensors": "out.safetensors", "gensim": "out.bin"}.get(name, "out")


def needed(name):
    if name == "safetensors":
        pytest.importorskip("safetensors")


run = partial(run_command, export)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model"
    vectors = make()
    config = {"lowercase": True}
    save_model_folder(path, config=config, words=WORDS, counts=COUNTS, input_vectors=vectors.vectors)
    return path


# --- TensorBoard's projector


def served(folder):
    """What TensorBoard's plugin answers about the log folder: a function of a route and its query."""
    plugin_module = pytest.importorskip("tensorboard.plugins.projector.projector_plugin")
    base_plugin = pytest.importorskip("tensorboard.plugins.base_plugin")
    client_module = pytest.importorskip("werkzeug.test")
    provider = SimpleNamespace(list_runs=lambda *_, **__: [])
    plugin = plugin_module.ProjectorPlugin(base_plugin.TBContext(logdir=str(folder), data_provider=provider))
    applications = plugin.get_plugin_apps()

    def get(route, **query):
        response = client_module.Client(applications[route]).get("/", query_string=query)
        assert response.status_code == 200, response.get_data()
        return response.get_data()

    return get


def test_tensorboard_loads_the_projector_folder(tmp_path):
    vectors = make()
    export_vectors(vectors, tmp_path / "out", "projector")
    get = served(tmp_path / "out")
    assert json.loads(get("/runs")) == ["."]
    (embedding,) = json.loads(get("/info", run="."))["embeddings"]
    assert embedding["tensorShape"] == [8, 6]
    tensor = np.frombuffer(get("/tensor", run=".", name=embedding["tensorName"]), np.float32).reshape(8, 6)
    np.testing.assert_array_equal(tensor, vectors.vectors)
    text = get("/metadata", run=".", name=embedding["tensorName"], num_rows=100_000).decode("utf-8")
    rows = [line.split("\t") for line in text.splitlines()]
    assert rows[0] == ["word", "count", "rank"]
    assert rows[1:] == [[w, str(c), str(i)] for i, (w, c) in enumerate(zip(WORDS, COUNTS, strict=True), 1)]
    limited = get("/metadata", run=".", name=embedding["tensorName"], num_rows=3).decode("utf-8")
    assert len(limited.splitlines()) == 4, "the first line is not counted as a header"


def page_tables(folder):
    """The two TSV files by the rules of the projector's page: lines at LF, cells at tabs, blank lines are none."""
    tensors = [line.split("\t") for line in (folder / "tensors.tsv").read_bytes().decode("utf-8").split("\n") if line]
    lines = [line for line in (folder / "metadata.tsv").read_bytes().decode("utf-8").split("\n") if line.strip()]
    assert "\t" in lines[0], "without a tab the first line would be a row"
    return np.array(tensors, np.float64).astype(np.float32), [line.split("\t") for line in lines]


@pytest.mark.parametrize("counts", [True, False])
def test_the_projectors_page_reads_the_same(tmp_path, counts):
    vectors = make(STRANGE, np.arange(12, 0, -1) if counts else None)
    with pytest.warns(UserWarning, match="U\\+2581"):
        export_vectors(vectors, tmp_path / "out", "projector")
    tensors, rows = page_tables(tmp_path / "out")
    np.testing.assert_array_equal(tensors, vectors.vectors)
    assert rows[0] == (["word", "count", "rank"] if counts else ["word", "rank"])
    assert [len(row) for row in rows] == [len(rows[0])] * 13
    names = [row[0] for row in rows[1:]]
    assert len(set(names)) == 12
    assert names[:4] == ["a▁b", "c▁d", "e▁f", "g h"]
    get = served(tmp_path / "out")
    assert len(get("/metadata", run=".", name="words").decode("utf-8").split("\n")) == 14


@pytest.mark.parametrize(("words", "size"), [([], 5), (WORDS, 1)])
def test_nothing_to_project(tmp_path, words, size):
    with pytest.raises(OutputError, match="nothing to project"):
        export_vectors(make(words, None, size), tmp_path / "out", "projector")
    assert list(tmp_path.iterdir()) == []


# --- gensim


def test_gensim_loads_words_counts_and_vectors(tmp_path):
    models = pytest.importorskip("gensim.models")
    vectors = make()
    binary, vocabulary = export_vectors(vectors, tmp_path / "out.bin", "gensim")
    loaded = models.KeyedVectors.load_word2vec_format(str(binary), fvocab=str(vocabulary), binary=True)
    assert loaded.index_to_key == WORDS
    assert [loaded.get_vecattr(word, "count") for word in WORDS] == COUNTS.tolist()
    np.testing.assert_array_equal(loaded.vectors, vectors.vectors)
    ours = KeyedVectors.load_word2vec_format(binary, fvocab=vocabulary, binary=True)
    assert ours.counts.tolist() == COUNTS.tolist()


def test_gensim_loads_strange_words(tmp_path):
    models = pytest.importorskip("gensim.models")
    vectors = make(STRANGE, np.arange(12, 0, -1))
    with pytest.warns(UserWarning, match="U\\+2581"):
        export_vectors(vectors, tmp_path / "out", "gensim")
    loaded = models.KeyedVectors.load_word2vec_format(
        str(tmp_path / "out.bin"), fvocab=str(tmp_path / "out.vocab"), binary=True
    )
    assert [loaded.get_vecattr(row, "count") for row in range(12)] == list(range(12, 0, -1))
    np.testing.assert_array_equal(loaded.vectors, vectors.vectors)


def test_gensim_without_counts(tmp_path):
    save_vectors(tmp_path / "v.txt", make())
    result = run(tmp_path / "v.txt", "--to", "gensim", "-o", tmp_path / "out")
    assert [line.split("\t")[0] for line in result.stdout.splitlines()[1:]] == [str(tmp_path / "out.bin")]
    assert "fvocab" not in result.stderr
    assert load_vectors(tmp_path / "out.bin").index_to_key == WORDS
    (tmp_path / "out.vocab").write_text("of another model 5\n", "utf-8")
    run(tmp_path / "v.txt", "--to", "gensim", "-o", tmp_path / "out", error=OutputError)


@pytest.mark.parametrize(("name", "stem"), [("a.bin", "a"), ("a", "a"), ("a.b", "a.b"), ("a.b.BIN", "a.b")])
def test_the_two_files_of_gensim(tmp_path, name, stem):
    binary, vocabulary = find_layout("gensim").outputs(tmp_path / name)
    assert binary.name == (name if name.lower().endswith(".bin") else f"{stem}.bin")
    assert vocabulary.name == f"{stem}.vocab"


# --- model2vec


def test_model2vec_gives_the_mean_of_the_vectors(tmp_path):
    model2vec = pytest.importorskip("model2vec")
    vectors = make()
    export_vectors(vectors, tmp_path / "out", "model2vec")
    loaded = model2vec.StaticModel.from_pretrained(tmp_path / "out")
    sentences = ["king queen", "king", "the  king\tunheard it's", "KING", "", "語 語 🙂 3.5", "king\u00a0queen"]
    expected = [
        vectors[["king", "queen"]].mean(axis=0), vectors["king"], vectors[["the", "king", "it's"]].mean(axis=0),
        np.zeros(6), np.zeros(6), vectors[["語", "語", "🙂", "3.5"]].mean(axis=0), np.zeros(6),
    ]  # fmt: skip
    np.testing.assert_allclose(loaded.encode(sentences), expected, rtol=1e-6, atol=1e-7)
    long = " ".join(["king"] * 2000 + ["queen"] * 2000)
    np.testing.assert_allclose(loaded.encode([long])[0], expected[0], rtol=1e-4, atol=1e-5)
    assert loaded.dim == 6
    np.testing.assert_array_equal(loaded.embedding[:-1], vectors.vectors)
    unit = loaded.encode(["king queen"], normalize=True)[0]
    assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-6)


def test_model2vec_with_lower_case_and_weights(model, tmp_path):
    model2vec = pytest.importorskip("model2vec")
    run(model, "--to", "model2vec", "-o", tmp_path / "out", "--sif", "0.01")
    loaded = model2vec.StaticModel.from_pretrained(tmp_path / "out")
    vectors, shares = load_vectors(model), COUNTS / COUNTS.sum()
    weights = 0.01 / (0.01 + shares)
    expected = (weights[0] * vectors["the"] + weights[2] * vectors["queen"]) / 2
    np.testing.assert_allclose(loaded.encode(["The QUEEN"])[0], expected, rtol=1e-5)
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "weighted by 0.01 / (0.01 + frequency)" in card
    assert "in lower case" in card


def test_model2vec_with_strange_words(tmp_path):
    model2vec = pytest.importorskip("model2vec")
    words = [*STRANGE, "[UNK]", "[UNK]_"]
    vectors = make(words, None)
    with pytest.warns(UserWarning, match="U\\+2581"):
        export_vectors(vectors, tmp_path / "out", "model2vec")
    loaded = model2vec.StaticModel.from_pretrained(tmp_path / "out")
    assert len(loaded.tokens) == len(words) + 1
    for word in ("[UNK]", "i\u00a0j", "x▁y"):
        np.testing.assert_allclose(loaded.encode([word])[0], vectors[word], rtol=1e-6)
    assert not loaded.encode(["never"]).any()


def test_weights_need_counts(tmp_path):
    with pytest.raises(OutputError, match="leave --sif out"):
        export_vectors(make(counts=None), tmp_path / "out", "model2vec", Settings(sif=0.001))
    assert list(tmp_path.iterdir()) == []


# --- safetensors and NumPy


@pytest.mark.parametrize("counts", [True, False])
def test_safetensors_loads_what_is_documented(tmp_path, counts):
    numpy_module = pytest.importorskip("safetensors.numpy")
    vectors = make(counts=COUNTS if counts else None)
    (path,) = export_vectors(vectors, tmp_path / "out.safetensors", "safetensors")
    tensors = numpy_module.load_file(path)
    np.testing.assert_array_equal(tensors["input_vectors"], vectors.vectors)
    ends = tensors["word_ends"].tolist()
    text = tensors["words"].tobytes()
    assert [text[a:b].decode("utf-8") for a, b in zip([0, *ends[:-1]], ends, strict=True)] == WORDS
    assert (tensors["counts"].tolist() == COUNTS.tolist()) if counts else ("counts" not in tensors)
    (tmp_path / "plain").write_text("", "utf-8")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("counts", [True, False])
def test_numpy_loads_the_arrays(tmp_path, counts):
    vectors = make(counts=COUNTS if counts else None)
    export_vectors(vectors, tmp_path / "out", "numpy")
    loaded = np.load(tmp_path / "out" / "vectors.npy", allow_pickle=False, mmap_mode="r")
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, vectors.vectors)
    assert (tmp_path / "out" / "words.txt").read_text("utf-8").splitlines() == WORDS
    assert (tmp_path / "out" / "counts.npy").exists() == counts
    if counts:
        np.testing.assert_array_equal(np.load(tmp_path / "out" / "counts.npy", allow_pickle=False), COUNTS)


def test_every_way_of_reading_lines_finds_the_same_words(tmp_path):
    with pytest.warns(UserWarning, match="U\\+2581"):
        export_vectors(make(STRANGE, None), tmp_path / "out", "numpy")
    path = tmp_path / "out" / "words.txt"
    words = path.read_bytes().decode("utf-8").split("\n")[:-1]
    with path.open(encoding="utf-8") as stream:
        assert [line.rstrip("\n") for line in stream] == words
    assert path.read_text("utf-8").splitlines() == words
    assert len(set(words)) == 12
    assert words[3:5] == ["g h", "i\u00a0j"], "what ends no line stays"
    assert words[0] == "a\tb"


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
@pytest.mark.parametrize("name", ["numpy", "model2vec"])
def test_other_types_become_float32_in_order(tmp_path, dtype, name):
    rows = np.random.default_rng(0).normal(size=(9000, 3)).astype(dtype)
    counts = np.random.default_rng(1).permutation(9000)
    vectors = KeyedVectors.from_arrays([f"w{row}" for row in range(9000)], rows, counts)
    export_vectors(vectors, tmp_path / "out", name)
    if name == "numpy":
        loaded = np.load(tmp_path / "out" / "vectors.npy")
        words = (tmp_path / "out" / "words.txt").read_text("utf-8").splitlines()
    else:
        loaded = pytest.importorskip("safetensors.numpy").load_file(tmp_path / "out" / "model.safetensors")
        loaded, words = loaded["embeddings"][:-1], []
    order = np.argsort(-counts)
    np.testing.assert_array_equal(loaded, rows[order].astype(np.float32))
    assert words == [] or words == [f"w{row}" for row in order]


# --- all layouts


@pytest.mark.parametrize("name", LAYOUTS)
def test_exports_of_a_model(model, tmp_path, name):
    needed(name)
    out = target(tmp_path, name)
    result = run(model, "--to", name, "-o", out, "--limit", 4)
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert rows[0] == ["output", "layout", "words", "dimensions"]
    assert all(row[1:] == [name, "4", "6"] for row in rows[1:])
    assert str(out) in [row[0] for row in rows[1:]]
    (line,) = result.stderr.splitlines()
    assert line.startswith("to load it: ")
    assert str(out) in line
    records = json.loads(run(model, "--to", name, "-o", out, "--json").stdout)
    assert records[0]["words"] == 8
    left = {path.name for path in tmp_path.iterdir()} - {"model", "out.vocab", "cache"}
    assert left == {out.name}, "temporary files were left"


@pytest.mark.parametrize("name", ["gensim", "model2vec", "safetensors", "numpy"])
def test_the_line_that_loads_is_true(model, tmp_path, name):
    """The printed line is Python; with the library imported it runs."""
    library = {"model2vec": "model2vec", "safetensors": "safetensors.numpy", "gensim": "gensim"}.get(name, "numpy")
    pytest.importorskip(library)
    line = run(model, "--to", name, "-o", target(tmp_path, name)).stderr.partition("to load it: ")[2]
    code = line.partition("; word i: ")[0]
    scope = {}
    exec(f"import {library}\n{code}", scope)
    if name == "numpy":
        assert scope["words"] == WORDS
    if name == "safetensors":
        scope["i"] = 3
        assert eval(line.partition("; word i: ")[2], scope) == WORDS[3]


@pytest.mark.parametrize("name", LAYOUTS)
def test_one_word(tmp_path, name):
    needed(name)
    path = tmp_path / "one.txt"
    path.write_text("1 2\nonly 1 2\n", "utf-8")
    run(path, "--to", name, "-o", target(tmp_path, name))


@pytest.mark.parametrize("name", FOLDERS)
def test_only_such_an_export_is_replaced(tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    export_vectors(make(), out, name)  # an empty folder is taken
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    export_vectors(make(seed=1), out, name)
    after = {path.name: path.read_bytes() for path in out.iterdir()}
    assert before.keys() == after.keys()
    assert before != after
    other = FOLDERS[FOLDERS.index(name) - 1]
    with pytest.raises(OutputError, match=f"is an export for {name}, not for {other}"):
        export_vectors(make(), out, other)
    (out / "notes.txt").write_text("precious", "utf-8")
    with pytest.raises(OutputError, match="notes.txt does not belong to the export"):
        export_vectors(make(), out, name)
    (out / "notes.txt").unlink()
    (out / MARK).unlink()
    with pytest.raises(OutputError, match="holds other files and is no export of w2v"):
        export_vectors(make(), out, name)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {k: v for k, v in after.items() if k != MARK}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "w2v-export"}', '{"format": "other", "files": []}'])
def test_marks_that_mark_nothing(tmp_path, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MARK).write_text(content, "utf-8")
    with pytest.raises(OutputError, match="is no export of w2v"):
        export_vectors(make(), tmp_path / "out", "numpy")


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_failing_write_leaves_the_old_export(tmp_path, monkeypatch, name):
    needed(name)
    out = target(tmp_path, name)
    export_vectors(make(), out, name)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("w2v.atomic.os.fsync", fail)
    with pytest.raises(OutputError, match="No space left"):
        export_vectors(make(seed=1), out, name)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_inputs_are_never_replaced(model, tmp_path):
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    assert run(model, "--to", "numpy", "-o", model, error=SystemExit).exit_code == 2
    assert run(model, "--to", "numpy", "-o", model / "out", error=SystemExit).exit_code == 2
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before
    path = tmp_path / "v.bin"
    save_vectors(path, make())
    assert run(path, "--to", "gensim", "-o", tmp_path / "v", error=SystemExit).exit_code == 2
    inside = tmp_path / "folder"
    export_vectors(make(), inside, "numpy")
    (inside / "v.txt").write_text("1 2\na 1 2\n", "utf-8")
    assert run(inside / "v.txt", "--to", "numpy", "-o", inside, error=SystemExit).exit_code == 2


def test_outputs_that_cannot_be(model, tmp_path):
    for name in FOLDERS:
        run(model, "--to", name, "-o", tmp_path / "out.bin", error=OutputError)
        (tmp_path / "file").write_text("x", "utf-8")
        run(model, "--to", name, "-o", tmp_path / "file", error=OutputError)
        run(model, "--to", name, "-o", tmp_path / "file" / "out", error=OutputError)
    run(model, "--to", "safetensors", "-o", tmp_path / "out", error=OutputError)
    (tmp_path / "g.bin").mkdir()
    run(model, "--to", "gensim", "-o", tmp_path / "g", error=OutputError)


@pytest.mark.parametrize("name", LAYOUTS)
def test_folders_that_are_not_writable(model, tmp_path, monkeypatch, name):
    monkeypatch.setattr("w2v.atomic.os.access", lambda _, mode: not mode & os.W_OK)  # root may write anywhere
    result = run(model, "--to", name, "-o", target(tmp_path, name), error=OutputError)
    assert "no permission to write in" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_usage(model, tmp_path):
    assert run(model, "-o", tmp_path / "out", error=SystemExit).exit_code == 2
    assert run(model, "--to", "word", "-o", tmp_path / "out", error=SystemExit).exit_code == 2
    assert run(model, "--to", "numpy", error=SystemExit).exit_code == 2
    assert run(model, "--to", "numpy", "-o", tmp_path / "out", "--sif", "0.1", error=SystemExit).exit_code == 2
    assert run(model, "--to", "model2vec", "-o", tmp_path / "out", "--sif", "0", error=SystemExit).exit_code == 2
    run(tmp_path / "nowhere", "--to", "numpy", "-o", tmp_path / "out", error=FormatError)
    with pytest.raises(ConfigError, match="choose projector, gensim"):
        export_vectors(make(), tmp_path / "out", "pickle")
