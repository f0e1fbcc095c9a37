"""Hostile files against every reader: a result or an error of one line; no code, no harm outside, no memory.

``scripts/fuzz`` does the same with many more cases; what it finds is kept in ``hostile_cases``.
"""

import ast
import bz2
import gzip
import json
import os
import tracemalloc
from pathlib import Path

import hostile_cases
import numpy as np
import pytest
from commands import run
from comparison_records import make_record
from fuzz_mutations import KINDS, Step, mutated
from fuzz_targets import READERS, Violation, in_folder, judge, make_model, make_vectors, watched
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from w2v.cli import cli
from w2v.comparison.report.charts import charts_of
from w2v.comparison.report.page import build_report
from w2v.errors import FormatError, OutputError, W2VError
from w2v.vectors import load_vectors, save_vectors, streams

ROOT = Path(__file__).parent.parent
# Readers that need an extra.
NEEDS = {"safetensors": "safetensors", "zst": "zstandard", "index-search": "faiss"}
# Readers whose cases take some milliseconds each.
SLOW = {
    "corpus",
    "corpus-lowercase",
    "corpus-gz",
    "corpus-bz2",
    "corpus-xz",
    "cost-model",
    "command-line",
    "index-search",
}
STEPS = st.lists(
    st.builds(
        Step, st.integers(0, len(KINDS) - 1), st.integers(0, 2**20), st.integers(0, 31), st.integers(0, 2**16 - 1)
    ),
    min_size=1,
    max_size=5,
)  # fmt: skip


@pytest.fixture(autouse=True)
def little_memory():
    """A gigabyte beyond what the process has: an array of a terabyte fails at once, and not the machine."""
    resource = pytest.importorskip("resource")
    statm = Path("/proc/self/statm")
    if not statm.exists():
        yield
        return
    used = int(statm.read_text("ascii").split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (3 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def reader_of(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    return READERS[name]


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused(name, tmp_path):
    target = reader_of(name)
    seeds = target.seeds_in(tmp_path / "seeds")
    folder = tmp_path / "read"
    folder.mkdir()
    outcomes = {judge(target, data, folder) for data in seeds}
    assert True in outcomes

    @settings(
        max_examples=25 if name in SLOW else 60, derandomize=True, deadline=None, database=None,
        phases=(Phase.generate, Phase.shrink),
    )  # fmt: skip
    @given(st.integers(0, len(seeds) - 1), STEPS)
    def check(chosen, steps):
        judge(target, mutated(seeds[chosen], steps, seeds), folder)

    check()


@pytest.mark.parametrize("name", READERS)
def test_the_cases_of_the_script_are_the_same_again(name, tmp_path):
    target = reader_of(name)
    seeds = target.seeds_in(tmp_path)
    cases = [target.case(seeds, 1, number) for number in range(40)]
    assert cases == [target.case(seeds, 1, number) for number in range(40)]
    assert len(set(cases)) > 20


@given(st.binary(max_size=300))
@settings(max_examples=150, derandomize=True, deadline=None, database=None)
def test_arbitrary_bytes(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("bytes")
    for name in ("any", "binary", "saved-vocabulary", "any-array", "analogies", "export-mark"):
        judge(READERS[name], data, folder)


def content(name, data, folder):
    """The bytes of a case; records of comparisons are made here, since they are long."""
    if data is not None:
        return data
    record = json.loads(READERS["comparison"].seeds(folder)[0])
    if "planned" in name:
        for part in ("models", "objectives"):
            record[part] = [f"{part} {number}" for number in range(1000)]
        record["seeds"] = list(range(1000))
        record["corpus"]["heldout_sha256s"] = {str(seed): None for seed in range(1000)}
    elif "seconds" in name:
        record["runs"][0]["points"][1]["seconds"] = -(10**18)
    else:
        record["runs"][0]["config"]["alpha"] = "\ud800"
    return json.dumps(record).encode()


@pytest.mark.parametrize(("name", "reader", "data"), hostile_cases.REFUSED, ids=[c[0] for c in hostile_cases.REFUSED])
def test_these_are_refused(name, reader, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert judge(reader_of(reader), content(name, data, tmp_path), tmp_path) is False
    assert not Path("harm").exists()


@pytest.mark.parametrize(("name", "reader", "data"), hostile_cases.READ, ids=[c[0] for c in hostile_cases.READ])
def test_these_are_read(name, reader, data, tmp_path):
    assert judge(reader_of(reader), content(name, data, tmp_path), tmp_path) is True


# --- The judge itself ------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [
        lambda folder: (folder.parent / "outside").write_bytes(b""),
        lambda folder: os.mkdir(folder / ".." / "outside"),
        lambda folder: os.rename(folder / "mine", folder.parent / "outside"),
        lambda folder: (folder.parent / "outside").symlink_to("mine"),
        lambda folder: np.load(folder / "pickle.npy", allow_pickle=True),
        lambda folder: os.system("true"),
    ],
)
def test_the_judge_sees_harm(act, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "box"
    folder.mkdir()
    (folder / "mine").write_bytes(b"")
    (folder / "pickle.npy").write_bytes(hostile_cases._pickled())
    with pytest.raises((Violation, OSError)) as caught, watched(folder):
        act(folder)
    assert caught.type is Violation
    with watched(folder):
        (folder / "mine").write_bytes(b"allowed")


def test_the_judge_sees_long_messages_other_errors_and_arrays_from_nowhere(tmp_path):
    for outcome in (W2VError("a\nb"), W2VError("a" * 5000), KeyError("x"), MemoryError()):

        def read(data, folder, outcome=outcome):
            raise outcome

        with pytest.raises((Violation, KeyError, MemoryError)):
            judge(type(READERS["text"])("made up", list, read), b"", tmp_path)
    made_up = type(READERS["text"])("made up", list, lambda data, folder: [np.zeros(10_000)])
    with pytest.raises(Violation, match="80000 bytes"):
        judge(made_up, b"1 2", tmp_path)


# --- Memory ------------------------------------------------------------


def refusal(path):
    """The message of the error that loading raises, and the most bytes that Python and NumPy took meanwhile."""
    tracemalloc.start()
    with pytest.raises(FormatError) as caught:
        load_vectors(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return str(caught.value), peak


ROWS = b"a" + b" 0" * 4000 + b"\n"


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
@pytest.mark.parametrize(
    "content",
    [b"1000000000 4000\n" + ROWS * 1000, ROWS * 1000, bytes(8 << 20), b"3 1000000\n" + b"a " * (4 << 20)],
    ids=["text", "text without a first line", "zeros", "binary"],
)
def test_a_bomb_is_not_unfolded(tmp_path, monkeypatch, content, compress):
    monkeypatch.setattr(streams, "_UNFOLDED_FREELY", 2 << 20)
    path = tmp_path / "v.gz"
    path.write_bytes(compress(content))
    assert path.stat().st_size < len(content) / 200
    message, peak = refusal(path)
    assert "unfolds to more than 2 MB" in message
    assert peak < 80 << 20


def test_no_file_unfolds_to_more_than_a_hundred_times_its_size(tmp_path):
    path = tmp_path / "v.gz"
    path.write_bytes(gzip.compress(bytes(24 << 20)))
    assert "unfolds to more than 16 MB" in refusal(path)[0]


def test_what_unfolds_little_is_read(tmp_path):
    vectors = make_vectors()
    for name in ("v.txt.gz", "v.bin.bz2", "v.vec.xz"):
        save_vectors(tmp_path / name, vectors)
        assert load_vectors(tmp_path / name).index_to_key == vectors.index_to_key


def test_zstandard_is_read_in_both_formats(tmp_path):
    pytest.importorskip("zstandard")
    vectors = make_vectors()
    for name in ("v.txt.zst", "v.bin.zst"):
        save_vectors(tmp_path / name, vectors)
        assert np.array_equal(load_vectors(tmp_path / name).vectors, vectors.vectors)


@pytest.mark.parametrize("name", ["config.json", "vocabulary.tsv", "input_vectors.npy", "training.json"])
@pytest.mark.parametrize("kind", ["zero", "pipe", "folder", "loop", "nowhere"])
def test_a_folder_with_what_is_no_file(tmp_path, name, kind):
    model = make_model(tmp_path / "model")
    entry = model / name
    entry.unlink()
    if kind == "pipe":
        os.mkfifo(entry)
    elif kind == "folder":
        entry.mkdir()
    else:
        entry.symlink_to({"zero": "/dev/zero", "loop": name, "nowhere": tmp_path / "none"}[kind])
    if (name, kind) in (("training.json", "loop"), ("training.json", "nowhere")):
        assert len(load_vectors(model)) == 6  # it is not there
        return
    with pytest.raises(FormatError, match=name):
        load_vectors(model)


def test_a_link_to_a_file_is_read(tmp_path):
    """As the hub's cache keeps models: a folder of links to files elsewhere."""
    model = make_model(tmp_path / "model")
    (model / "input_vectors.npy").rename(tmp_path / "blob")
    (model / "input_vectors.npy").symlink_to(tmp_path / "blob")
    found = load_vectors(model)
    found.vectors[:] = 7  # in memory alone
    assert not np.any(load_vectors(model).vectors == 7)


def test_pipes_and_devices_are_no_vector_files(tmp_path):
    os.mkfifo(tmp_path / "v.bin")
    for path in (tmp_path / "v.bin", Path("/dev/zero")):
        with pytest.raises(FormatError, match="pipe or a device"):
            load_vectors(path)


def test_names_that_no_system_has(tmp_path):
    for name in ("a" * 300, "a\0b", "v.bin/below"):
        (tmp_path / "v.bin").write_bytes(b"")
        with pytest.raises(FormatError, match="no such file"):
            load_vectors(tmp_path / name)


# --- Writing ------------------------------------------------------------


def test_nothing_is_written_through_the_links_of_a_folder(tmp_path):
    """An older model with links in it is replaced by a new one; what the links lead to stays."""
    outside = tmp_path / "precious.npy"
    outside.write_bytes(b"precious")
    model = make_model(tmp_path / "model")
    (model / "output_vectors.npy").unlink()
    (model / "output_vectors.npy").symlink_to(outside)
    with pytest.raises(FormatError):
        load_vectors(model)
    save_vectors(model, make_vectors())
    assert outside.read_bytes() == b"precious"
    assert not (model / "output_vectors.npy").exists()


def test_a_folder_of_links_to_folders_is_not_replaced(tmp_path):
    (tmp_path / "other").mkdir()
    model = make_model(tmp_path / "model")
    (model / "x.npy").symlink_to(tmp_path / "other")
    with pytest.raises(OutputError, match="does not belong"):
        save_vectors(model, make_vectors())


@pytest.mark.parametrize("target", ["numpy", "projector", "gensim"])
def test_words_are_no_paths(tmp_path, target, monkeypatch):
    """Words such as ../../x and an absolute path end up inside what is written."""
    place = tmp_path / "place"
    place.mkdir()
    (place / "v.txt").write_bytes(b"3 2\n../../x 1 2\n/etc/x 3 4\n~/x 5 6\n")
    monkeypatch.chdir(place)
    with watched(place):
        run(cli, "export", "v.txt", "--to", target, "-o", "out")
        run(cli, "convert", "v.txt", "model")
    assert sorted(os.listdir(tmp_path)) == ["place"]


def test_a_mark_of_an_export_names_no_files_elsewhere(tmp_path):
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    out = tmp_path / "out"
    out.mkdir()
    mark = {"format": "w2v-export", "layout": "numpy", "files": ["../precious", str(precious)]}
    (out / "w2v_export.json").write_text(json.dumps(mark))
    save_vectors(tmp_path / "v.txt", make_vectors())
    run(cli, "export", tmp_path / "v.txt", "--to", "numpy", "-o", out)
    assert precious.read_bytes() == b"precious"


# --- Printing ------------------------------------------------------------


def test_a_word_commands_no_terminal(tmp_path, monkeypatch, capsys):
    from w2v.cli import options

    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    options.print_table(("word",), [("\x1b[2Ja\x9b5n",)], False)
    assert capsys.readouterr().out == "word\n\ufffd[2Ja\ufffd5n\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    options.print_table(("word",), [("a\x9b5n",)], False)
    assert capsys.readouterr().out == "word\na\x9b5n\n"


def test_bytes_that_are_no_text_come_out_as_they_were(tmp_path):
    """`w2v info` of a model whose words are in another encoding."""
    import subprocess
    import sys

    words = b"a\xff\t9\nb\t8\nc\t7\nd\t6\ne\t5\nf\t4\n"
    model = in_folder(tmp_path, "vocabulary.tsv", words)
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "w2v", "info", str(model)], env=environment, capture_output=True, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"a\xff b c" in done.stdout


def spoiled(value):
    """Every text of a record with what a browser would run."""
    if isinstance(value, dict):
        return {name: spoiled(item) for name, item in value.items()}
    if isinstance(value, list):
        return [spoiled(item) for item in value]
    return f"{value}{SCRIPT}" if isinstance(value, str) else value


SCRIPT = "\"'><script>alert(1)</script>"


def test_a_record_puts_no_script_into_the_report():
    record = make_record()
    page = build_report(spoiled(record), charts_of(spoiled(record)))
    assert "alert(1)" in page
    assert "<script" not in page


def test_words_put_no_script_into_the_page(tmp_path):
    pages = []
    for name, word in (("plain", "cat"), ("spoiled", "</script><script>alert(1)</script><!--")):
        rows = "".join(f"{word}{number} {number} 1 {number % 3}\n" for number in range(9))
        (tmp_path / f"{name}.txt").write_text(rows)
        run(cli, "explore", tmp_path / f"{name}.txt", "-o", tmp_path / f"{name}.html", "--title", word)
        pages.append((tmp_path / f"{name}.html").read_text("utf-8"))
    assert "alert(1)" in pages[1]
    for mark in ("<script", "</script", "<!--"):
        assert pages[1].count(mark) == pages[0].count(mark)


# --- The source itself ------------------------------------------------------------

_FORBIDDEN = {
    "eval", "exec", "compile", "pickle.load", "pickle.loads", "marshal.load", "marshal.loads", "shelve.open",
    "yaml.load", "yaml.unsafe_load", "os.system", "os.popen", "joblib.load", "torch.load", "tempfile.mktemp",
    "np.load", "numpy.load", "faiss.read_index", "ast.literal_eval", "dill.load", "__import__",
}  # fmt: skip
_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "yaml", "code", "codeop"}


def sources():
    return sorted([*(ROOT / "w2v").rglob("*.py"), *(ROOT / "kernels").glob("*.py")])


def dotted(node):
    """``a.b.c`` of a name or an attribute; an empty text for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def faults(tree):
    """What must not stand in the source: calls that run what they read, and modules that do."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in _MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in _MODULES:
            yield node.module
        elif isinstance(node, ast.Call):
            if dotted(node.func) in _FORBIDDEN:
                yield dotted(node.func)
            for keyword in node.keywords:
                refused = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                if keyword.arg in ("shell", "allow_pickle") and not refused:
                    yield f"{dotted(node.func)}({keyword.arg}=…)"


def test_the_source_runs_nothing_that_it_reads():
    found = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8")) for path in sources()}
    assert len(found) > 100
    assert not {(path, what) for path, tree in found.items() for what in faults(tree)}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "from pickle import loads", "eval('1')", "np.load(p)", "np.save(p, a, allow_pickle=True)",
        "subprocess.run(c, shell=True)", "faiss.read_index(p)", "torch.load(p)", "import yaml.loader",
        "subprocess.run(c, shell=x)", "ast.literal_eval(t)", "os.system(c)",
    ],
)  # fmt: skip
def test_the_source_check_sees(line):
    assert len(list(faults(ast.parse(line)))) == 1
