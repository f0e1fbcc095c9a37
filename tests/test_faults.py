"""Full disks, inputs that are damaged or change, runs that are killed: one line, and nothing half-written."""

import bz2
import errno
import gzip
import lzma
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from commands import run

from w2v import atomic
from w2v.abandoned import hold
from w2v.atomic import atomic_file, atomic_folder, check_file
from w2v.cli.cache import cache
from w2v.cli.classes import classes
from w2v.cli.convert import convert
from w2v.cli.explore import explore
from w2v.cli.export import export
from w2v.cli.phrases import phrases
from w2v.cli.train import train
from w2v.cli.vocab import vocab
from w2v.corpus import CorpusOptions, count_words, encode_corpus, sources
from w2v.errors import CorpusError, OutputError
from w2v.temporary import TemporaryFolder
from w2v.vectors import folder
from w2v.vectors.files import check_output
from w2v.vectors.folder import save_model_folder

ROOT = Path(__file__).parent.parent
resource = pytest.importorskip("resource", reason="this system has no limits on the sizes of files")
WORDS, SIZE = 300, 50
# Bytes that a file may have in the tests of a full disk: less than any result here.
ROOM = 1024


def contents(place: Path) -> dict[str, bytes | str | None]:
    """Everything below ``place``: a file's bytes, where a link leads, None for the rest."""
    return {
        str(path.relative_to(place)): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in place.rglob("*")
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of 300 words."""
    path = tmp_path_factory.mktemp("given") / "model"
    rng = np.random.default_rng(1)
    save_model_folder(
        path,
        config={"vector_size": SIZE, "objective": "ns"},
        words=[f"w{n}" for n in range(WORDS)],
        counts=np.arange(WORDS, 0, -1),
        input_vectors=rng.standard_normal((WORDS, SIZE)).astype(np.float32),
    )
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of 300 words in 1,000 lines; two of them always stand together."""
    path = tmp_path_factory.mktemp("given") / "corpus.txt"
    rng = np.random.default_rng(2)
    lines = (" ".join(f"w{n}" for n in rng.integers(0, WORDS, 10)) for _ in range(1000))
    path.write_text("".join(f"{line} new york\n" for line in lines))
    return path


@pytest.fixture
def little_room() -> Callable[[], AbstractContextManager]:
    """Inside it no file can become longer than ROOM: what a full disk is, but for the number of the error."""

    @contextmanager
    def limited() -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, before[1]))
        try:
            yield
        finally:
            # Before pytest reports: its own output may be a longer file.
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


WRITERS = {
    "vocab": (vocab, ["{corpus}", "-o", "{out}.tsv", "--min-count", 1], ".tsv"),
    "phrases": (phrases, ["{corpus}", "-o", "{out}.txt"], ".txt"),
    "phrases gz": (phrases, ["{corpus}", "-o", "{out}.txt.gz"], ".txt.gz"),
    "phrases list": (
        phrases,
        ["{corpus}", "-o", os.devnull + "-", "--list", "{out}.tsv", "--threshold", 1e-9, "--min-count", 1],
        ".tsv",
    ),
    "classes": (classes, ["{model}", "-n", 5, "-o", "{out}.tsv"], ".tsv"),
    "explore": (explore, ["{model}", "-o", "{out}.html"], ".html"),
    **{
        f"convert {suffix}": (convert, ["{model}", "{out}" + suffix], suffix)
        for suffix in (".txt", ".bin", ".vec.gz", ".txt.bz2", ".bin.xz", ".safetensors", "")
    },
    **{f"export {name}": (export, ["{model}", "--to", name, "-o", "{out}"], "") for name in ("projector", "numpy")},
    "export gensim": (export, ["{model}", "--to", "gensim", "-o", "{out}"], ".vocab"),
}


@pytest.mark.parametrize("there", ["new", "old"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_line_and_changes_nothing(name, there, model, corpus, tmp_path, little_room):
    command, arguments, suffix = WRITERS[name]
    (tmp_path / "place").mkdir()
    out = tmp_path / "place" / "out"
    filled = [str(argument).format(corpus=corpus, model=model, out=out) for argument in arguments]
    filled = [argument.replace(os.devnull + "-", str(tmp_path / "place" / "text")) for argument in filled]
    if there == "old":
        run(command, *filled)
    before = contents(tmp_path / "place")
    assert bool(before) == (there == "old")
    with little_room():
        error = run(command, *filled, error=OutputError).exception
    assert contents(tmp_path / "place") == before
    assert f"cannot write {tmp_path / 'place'}" in str(error)
    assert "\n" not in str(error)
    if name != "phrases list":
        assert f"{out}{suffix}: {os.strerror(errno.EFBIG)}: raise the limit" in str(error)


def test_a_full_disk_is_met_by_train_before_and_after_training(tmp_path, little_room):
    (tmp_path / "text").write_text(" ".join(f"w{n}" for n in range(60)) + "\n")
    place = tmp_path / "place"
    arguments = [tmp_path / "text", "--min-count", 1, "--epochs", 1, "--vector-size", 40, "--quiet"]
    run(train, *arguments, "-o", place / "out")
    before = contents(place)
    for out in (place / "out", place / "new", place / "new.bin"):
        with little_room():
            error = run(train, *arguments, "--no-cache", "-o", out, error=OutputError).exception
        assert str(error).startswith(f"cannot write {out}: "), error
    assert contents(place) == before


@pytest.mark.parametrize("arguments", [["--cache", "{place}"], ["--no-cache"]])
def test_a_full_disk_while_encoding_is_one_line_that_advises(arguments, corpus, tmp_path, monkeypatch, little_room):
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    arguments = [argument.format(place=place) for argument in arguments]
    with little_room():
        error = run(train, corpus, "-o", tmp_path / "out", "--quiet", *arguments, error=OutputError).exception
    assert str(place) in str(error)
    assert "--cache DIR, or TMPDIR with --no-cache" in str(error)
    assert contents(place) == {}
    assert not (tmp_path / "out").exists()


def test_standard_input_that_finds_no_room_is_one_line(tmp_path, monkeypatch, little_room):
    """With --max-vocab-size a pipe is copied, to be read twice."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    child = subprocess.Popen([sys.executable, "-c", f"open({str(pipe)!r}, 'w').write('a b c d\\n' * 3000)"])
    with little_room(), pytest.raises(OutputError, match=f"copy of {pipe}: .*: set TMPDIR"):
        count_words([pipe], CorpusOptions(1, max_vocab_size=100))
    child.wait()
    assert contents(place) == {}


def write_and(out, act):
    with atomic_file(out) as temporary:
        temporary.write_text("new")
        act()


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "make room"), (errno.EDQUOT, "make room"), (errno.EROFS, "write somewhere else"),
        (errno.EIO, "look after the disk"), (errno.EACCES, "chmod"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("call", ["fsync", "replace", "file"])
def test_any_failure_of_the_disk_leaves_the_old_file_and_says_what_to_do(tmp_path, monkeypatch, number, advice, call):
    out = tmp_path / "out"
    out.write_text("old")

    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    if call != "file":
        monkeypatch.setattr(atomic.os, call, fail)
    with pytest.raises(OutputError, match=advice) as caught:
        write_and(out, fail if call == "file" else lambda: None)
    monkeypatch.undo()
    assert str(out) in str(caught.value)
    assert contents(tmp_path) == {"out": b"old"}


def test_what_numpy_says_of_a_full_disk_is_understood(tmp_path):
    with pytest.raises(OutputError, match="the disk is full or fails: make room"), atomic_file(tmp_path / "out"):
        raise OSError("6000 requested and 3040 written")
    assert contents(tmp_path) == {}


# What a run does before it is killed, in a process of its own: which line of the program is its last.
DEATHS = {
    "file, before the rename": "os.replace = die",
    "file, while writing": "die_inside = True",
    "folder, before the rename": "atomic._swap = die",
    "folder, while writing": "die_inside = True",
    "folder, after the exchange": "shutil.rmtree = die",
    "folder, between the renames": "atomic._exchange = lambda a, b: False; os.rename = second(os.rename)",
    "folder, after the renames": "atomic._exchange = lambda a, b: False; shutil.rmtree = die",
}
KILLED = """
import os, shutil, signal, sys
from w2v import atomic
def die(*arguments, **more):
    os.kill(os.getpid(), signal.SIGKILL)
def second(call):
    calls = []
    def counted(*arguments):
        calls.append(arguments)
        return die() if len(calls) == 2 else call(*arguments)
    return counted
die_inside = False
out, kind = sys.argv[1:]
{death}
with atomic.atomic_file(out) if kind == "file" else atomic.atomic_folder(out, lambda path: None) as temporary:
    (temporary if kind == "file" else temporary / "a").write_text("new")
    if die_inside:
        die()
"""


def save(out: Path, kind: str, text: str) -> None:
    """Write a file, or a folder with a file ``a``."""
    with atomic_file(out) if kind == "file" else atomic_folder(out, lambda path: None) as temporary:
        (temporary if kind == "file" else temporary / "a").write_text(text)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("death", DEATHS)
def test_a_killed_run_leaves_the_old_or_the_new_and_the_next_one_clears_up(death, tmp_path):
    kind, out = death.partition(",")[0], tmp_path / "out"
    save(out, kind, "old")
    code = KILLED.format(death=DEATHS[death])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", code, out, kind], env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    left = contents(tmp_path)
    whole = {path.name for path in tmp_path.iterdir()}
    assert len(whole) == 2, left
    inside = out if kind == "file" else out / "a"
    if death != "folder, between the renames":
        assert inside.read_text() == ("new" if "after" in death else "old")
    else:
        assert not out.exists()
    # The next run fails, and puts the old one back where it was on its way; then one succeeds.
    failing = atomic_file(out) if kind == "file" else atomic_folder(out, lambda path: None)
    with pytest.raises(ZeroDivisionError), failing:
        1 / 0  # noqa: B018
    assert inside.read_text() == ("new" if "after" in death else "old")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    save(out, kind, "newest")
    assert inside.read_text() == "newest"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("late", ["read_vocabulary", "load_array"])
def test_a_model_that_is_replaced_while_it_is_read_is_never_a_mixture(late, tmp_path, monkeypatch):
    def write(sign):
        save_model_folder(
            tmp_path / "model",
            config={"sign": sign},
            words=[f"{sign}{n}" for n in range(3)],
            counts=None,
            input_vectors=np.full((3, 2), sign, np.float32),
        )

    write(1)
    call, done = getattr(folder, late), []

    def replace_and_call(*arguments):
        if not done:
            done.append(write(-1))
        return call(*arguments)

    monkeypatch.setattr(folder, late, replace_and_call)
    found = folder.load_model_folder(tmp_path / "model")
    assert (found.config["sign"], found.words[0], found.input_vectors[0, 0]) == (-1, "-10", -1)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_living_run_writes_is_left_alone(kind, tmp_path):
    out = tmp_path / "out"
    opened = atomic_file(out) if kind == "file" else atomic_folder(out, lambda path: None)
    with opened as temporary:
        save(out, kind, "other")
        assert temporary.exists()
        (temporary if kind == "file" else temporary / "a").write_text("mine")
    assert (out if kind == "file" else out / "a").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_only_names_of_ours_are_cleared(tmp_path):
    names = [".out.tmp-1234567", ".out.tmp-12345678x", ".out.bak-12345678", ".outs.tmp-12345678", "out.tmp-12345678"]
    for name in names:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".out.tmp-00000000").symlink_to(tmp_path / names[0])
    (tmp_path / ".out.tmp-12345678").write_text("left")
    save(tmp_path / "out", "file", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, ".out.tmp-00000000", "out"])
    assert hold(tmp_path / "missing") is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lets two folders change places")
def test_no_moment_has_neither_the_old_nor_the_new_folder(tmp_path, monkeypatch):
    save(tmp_path / "out", "folder", "old")
    # Not one rename is needed, so there is nothing between two of them.
    monkeypatch.delattr(atomic.os, "rename")
    save(tmp_path / "out", "folder", "new")
    assert contents(tmp_path) == {"out": None, "out/a": b"new"}


@pytest.mark.parametrize("locks", ["none", "refused"])
def test_without_locks_age_tells_what_is_abandoned(locks, tmp_path, monkeypatch):
    class Refusing:
        LOCK_EX = LOCK_NB = 0

        @staticmethod
        def flock(descriptor, operation):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("w2v.abandoned.fcntl", None if locks == "none" else Refusing)
    old, older = tmp_path / ".out.tmp-12345678", tmp_path / ".out.tmp-abcdef01"
    for path, age in ((old, 3_600), (older, 100_000)):
        path.mkdir()
        (path / "a").write_text("left")
        for touched in (path / "a", path):
            os.utime(touched, (time.time() - age,) * 2)
    save(tmp_path / "out", "folder", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [old.name, "out"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("loop", "link that leads back to itself|is not a folder"), ("x" * 250, "name is too long"),
        ("file/under", "is no folder"), ("zero\0byte", "zero byte"), ("fifo", "a pipe|is not a folder"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("check", [check_file, check_output, lambda path: check_output(f"{path}.bin")])
def test_outputs_that_cannot_be_are_refused_before_any_work(tmp_path, name, said, check):
    for link in ("loop", "loop.bin"):
        (tmp_path / link).symlink_to(link)
    for pipe in ("fifo", "fifo.bin"):
        os.mkfifo(tmp_path / pipe)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=said):
        check(f"{tmp_path}/{name}")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(tmp_path, corpus, model):
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(0o500)
    for command, arguments in (
        (vocab, [corpus, "-o", place / "v.tsv"]), (convert, [model, place / "v.bin"]),
        (train, [corpus, "-o", place / "m", "--quiet"]), (phrases, [corpus, "-o", place / "p.txt"]),
    ):  # fmt: skip
        error = run(command, *arguments, error=OutputError).exception
        assert f"no permission to write in {place}" in str(error)
    error = run(train, corpus, "-o", tmp_path / "m", "--cache", place / "c", "--quiet", error=OutputError).exception
    assert "--cache DIR" in str(error)


TEXT = b"a b c\n" * 500
PACKED = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def pack(suffix: str, data: bytes) -> bytes:
    if suffix == ".zst":
        return pytest.importorskip("zstandard").compress(data)
    return PACKED[suffix](data)


@pytest.mark.parametrize("suffix", [*PACKED, ".zst"])
def test_compressed_text_that_is_not_whole_is_named(suffix, tmp_path):
    packed, path = pack(suffix, TEXT), tmp_path / f"text{suffix}"
    for data, said in (
        (packed[: len(packed) // 2], "cut off"),
        (packed[:-1], "cut off"),
        (packed[:3], "cut off"),
        (packed + packed[:-1], "cut off"),
        (packed + b"something else that is no frame", "not intact"),
        (TEXT, "not intact"),
        (b"", "no words"),
        (pack(suffix, b""), "no words"),
    ):
        path.write_bytes(data)
        with pytest.raises(CorpusError, match=said) as caught:
            count_words([path], CorpusOptions(1))
        assert str(caught.value).startswith(str(path))
    if suffix != ".zst":  # which has no checksum unless that is asked for
        damaged = bytearray(packed)
        damaged[len(packed) // 2] ^= 255
        path.write_bytes(damaged)
        with pytest.raises(CorpusError, match="not intact"):
            count_words([path], CorpusOptions(1))


@pytest.mark.parametrize("suffix", [*PACKED, ".zst"])
def test_compressed_text_in_several_parts_is_read_to_its_end(suffix, tmp_path):
    path = tmp_path / f"text{suffix}"
    for tail in (b"", bytes(512)):
        path.write_bytes(pack(suffix, TEXT) + pack(suffix, b"") + pack(suffix, TEXT) + tail)
        assert count_words([path], CorpusOptions(1))[1].raw_tokens == 3000


def vanish(path: Path) -> None:
    path.unlink()


def shrink(path: Path) -> None:
    os.truncate(path, 100)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more\n")


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[::-1])
    other.replace(path)


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def encode_without_cache(path: Path, options: CorpusOptions) -> None:
    with encode_corpus([path], options, use_cache=False):
        raise AssertionError("it was taken")


def encode_with_cache(path: Path, options: CorpusOptions) -> None:
    encode_corpus([path], options)


def count(path: Path, options: CorpusOptions) -> None:
    count_words([path], options)


def join(path: Path, options: CorpusOptions) -> None:
    from w2v.phrases import join_phrases

    join_phrases([path], path.parent.parent / "joined.txt")


@pytest.mark.parametrize("limit", [None, 200], ids=["read once", "read twice"])
@pytest.mark.parametrize("when", ["while it is read", "after it was read"])
@pytest.mark.parametrize("change", [vanish, shrink, grow, replace, become_a_folder])
@pytest.mark.parametrize("read", [encode_with_cache, encode_without_cache, count, join])
def test_a_text_that_changes_meanwhile_is_named(read, change, when, limit, corpus, tmp_path, monkeypatch):
    texts = tmp_path / "texts"
    texts.mkdir()
    path = texts / "a.txt"
    path.write_bytes(corpus.read_bytes())
    fill, changed = sources.BlockReader.fill, []

    def fill_and_change(reader, buffer):
        buffer, length = fill(reader, buffer)
        if not changed and (when == "while it is read" or not length):
            changed.append(change(path))
        return buffer, length

    monkeypatch.setattr(sources.BlockReader, "fill", fill_and_change)
    with pytest.raises(CorpusError, match=r"changed while|does not exist|directory") as caught:
        read(texts, CorpusOptions(1, max_vocab_size=limit))
    assert str(path) in str(caught.value)
    assert changed
    assert not (tmp_path / "joined.txt").exists()
    assert list((tmp_path / "cache").glob("*")) == []


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket has to be short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def make_dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("make", [make_pipe, make_socket, make_dangling, make_loop])
def test_a_folder_with_what_is_no_file_is_refused_before_anything_is_read(make, tmp_path):
    """A pipe in it would be waited for without end."""
    (tmp_path / "a.txt").write_bytes(TEXT)
    make(tmp_path / "b.txt")
    with pytest.raises(CorpusError, match=f"^{tmp_path / 'b.txt'} is a .*: move it out"):
        sources.find_sources([tmp_path])


def test_inputs_of_other_kinds(tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_bytes(TEXT)
    (tmp_path / "texts" / "up").symlink_to("..")  # folders are not followed round in a circle
    assert count_words([tmp_path / "texts"], CorpusOptions(1))[1].raw_tokens == 1500
    make_socket(tmp_path / "socket")
    for name, said in (
        ("socket", "cannot read"), ("missing", "does not exist"), ("a\nb", "does not exist"), ("a\0b", "not exist"),
    ):  # fmt: skip
        with pytest.raises(CorpusError, match=said) as caught:
            count_words([f"{tmp_path}/{name}"], CorpusOptions(1))
        assert f"{tmp_path}/{name}" in str(caught.value)
    assert count_words([os.devnull, tmp_path / "texts"], CorpusOptions(1))[1].raw_tokens == 1500


def test_a_pipe_without_blocking_is_waited_for():
    """Another program may have made standard input one that gives nothing while it is slow, which is not its end."""
    code = "from w2v.corpus import *; print(count_words(['-'], CorpusOptions(1))[1].raw_tokens)"
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen([sys.executable, "-c", code], stdin=reader, stdout=subprocess.PIPE, env=environment)
    os.close(reader)
    os.write(writer, TEXT)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(1.5)
    os.write(writer, TEXT)
    os.close(writer)
    assert child.communicate(timeout=60)[0] == b"3000\n"


def test_clearing_a_cache_that_others_clear_and_fill(corpus, cache_folder, monkeypatch):
    """Entries that go while they are looked at are no error."""
    encode_corpus([corpus], CorpusOptions(1)).close()
    items = Path.iterdir

    def items_that_go(path):
        found = list(items(path))
        if path.name.startswith("corpus-"):
            for item in found:
                item.unlink(missing_ok=True)
        return iter(found)

    monkeypatch.setattr(Path, "iterdir", items_that_go)
    run(cache)
    run(cache, "--clear")
    assert list(cache_folder.glob("*")) == []


def w2v(*arguments: object, shell: str = "") -> subprocess.CompletedProcess:
    """The command in a process of its own; ``shell`` redirects its streams."""
    command = f'"$@" {shell}'
    return subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, "-m", "w2v", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    ("arguments", "shell", "status", "said"),
    [
        (["cache"], ">/dev/full", 1, "w2v: No space left on device: standard output\n"),
        (["cache"], ">&-", 1, "w2v: Bad file descriptor: standard output\n"),
        (["cache", "--clear"], ">&-", 0, None),
        (["cache", "--json"], "2>&-", 0, ""),
        (["cache", "--json"], "2>/dev/full", 0, ""),
        (["info", "no\nmodel"], "", 1, "w2v: no such file: no\\nmodel\n"),
        (["info", "no model"], "2>&-", 1, ""),
        (["similar", "{model}"], "<&-", 1, "w2v: cannot read standard input: Bad file descriptor\n"),
        (["vocab", "-", "-o", "out"], "<&-", 1, "w2v: cannot read standard input: Bad file descriptor: "),
        (["info", "{model}"], "| head -c 10", 0, ""),
        (["info", "{model}"], "2>&1 >/dev/full | cat", 0, ""),
    ],
)
def test_standard_streams_that_fail_or_are_closed(arguments, shell, status, said, model):
    done = w2v(*[argument.format(model=model) for argument in arguments], shell=shell)
    assert done.returncode == status, done.stderr
    assert said is None or done.stderr.startswith(said)
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.count("\n") <= 1


def test_words_that_cannot_be_said_end_no_run(corpus, tmp_path):
    """Messages go to a pipe that nobody reads; the vocabulary is written all the same."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "w2v", "vocab", corpus, "-o", tmp_path / "v.tsv"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=writer, check=False)
    os.close(writer)
    assert done.returncode == 0
    assert (tmp_path / "v.tsv").exists()


def test_a_writer_that_dies_is_the_end_of_its_text(tmp_path):
    """As with every program that reads a pipe: what came is taken, to the end of what came."""
    dying = "import os, signal; os.write(1, b'a b\\n' * 10); os.kill(os.getpid(), signal.SIGKILL)"
    done = w2v("vocab", "-", "-o", "-", "--min-count", 1, shell="<&3").returncode
    assert done != 0  # there is no such stream
    first = subprocess.Popen([sys.executable, "-c", dying], stdout=subprocess.PIPE)
    command = [sys.executable, "-m", "w2v", "vocab", "-", "-o", "-", "--min-count", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, stdin=first.stdout, capture_output=True, text=True)
    first.stdout.close()
    assert first.wait() == -signal.SIGKILL
    assert (done.returncode, done.stdout) == (0, "a\t10\nb\t10\n")


def test_compiled_code_that_finds_no_room_is_compiled_anew(tmp_path):
    code = """
import resource
import numpy as np
from w2v.kernels.tokenizer import block_counts
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
counts = np.empty(0, np.int64)
block_counts(np.zeros((4, 4), np.uint64), counts)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_a_killed_run_left_among_the_temporary_files_goes_with_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed = TemporaryFolder("corpus")
    (killed.path / "ids.bin").write_bytes(b"1234")
    killed._release()
    (tmp_path / "w2v-corpus-12345678").mkdir()  # before it had its mark
    # What others have under such names, and what is no name of ours.
    (tmp_path / "w2v-corpus-my_texts").mkdir()
    (tmp_path / "w2v-corpus-my_texts" / "text.txt").write_text("precious")
    (tmp_path / "w2v-corpus-english").mkdir()
    others = sorted(["w2v-corpus-my_texts", "w2v-corpus-english"])
    first, second = TemporaryFolder("corpus"), TemporaryFolder("corpus")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted([*others, first.path.name, second.path.name])
    assert first.path.is_dir()  # whoever holds it lives
    assert second.path.is_dir()
    first.remove()
    second.remove()
    assert sorted(path.name for path in tmp_path.iterdir()) == others
    assert (tmp_path / "w2v-corpus-my_texts" / "text.txt").read_text() == "precious"
