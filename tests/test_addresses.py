"""Texts behind addresses, through fsspec: its file systems of this computer and of this process's memory."""

import gzip
import json
import sys

import pytest
from click.testing import CliRunner
from test_distributed_corpus import Threads

from w2v.cli.options import refuse_inside, refuse_same_file
from w2v.cli.text_progress import TextBar
from w2v.corpus import CorpusOptions, count_words, encode_corpus
from w2v.corpus.sources import find_sources, identities, is_address
from w2v.distributed import encoding
from w2v.distributed.encoding import encode_by_workers
from w2v.errors import CorpusError, MissingExtraError, W2VError
from w2v.phrases import join_phrases

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'w2v[io]'")
OPTIONS = CorpusOptions(min_count=1)
FILES = {
    "b.txt": b"the cat sat\nthe end",
    "a/z.txt.gz": gzip.compress(b"a b a b\n" * 30),
    "a.txt": b"\xef\xbb\xbffirst words\r\n\xff bad\n",
    "a/sub/x.txt": b"deep words here\n" * 40,
    ".hidden.txt": b"hidden\n",
    "a/.git/x": b"hidden\n",
    "model/config.json": json.dumps({"format": "w2v-model"}).encode(),
    "model/vocabulary.tsv": b"model\t1\n",
    "other/config.json": b'{"format": "another"} text\n',
}


@pytest.fixture
def folder(tmp_path):
    """The files on the disk."""
    for name, data in FILES.items():
        path = tmp_path / "texts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "texts"


@pytest.fixture(params=["file", "local", "memory"])
def address(request, folder):
    """The address of a folder with the files."""
    if request.param != "memory":
        yield f"{request.param}://{folder}"
        return
    memory = fsspec.filesystem("memory")
    for name, data in FILES.items():
        memory.pipe(f"/texts/{name}", data)
    yield "memory://texts"
    memory.rm("/texts", recursive=True)


def test_a_folder_behind_an_address_is_the_same_text(folder, address):
    with encode_corpus([folder], OPTIONS, use_cache=False) as own, encode_corpus([address], OPTIONS) as found:
        assert found.vocabulary.words == own.vocabulary.words
        assert found.fingerprint == own.fingerprint
        assert (found.raw_tokens, found.bad_bytes) == (own.raw_tokens, own.bad_bytes)
        assert "hidden" not in found.vocabulary.words
        assert "model" not in found.vocabulary.words
    names = [source.name for source in find_sources([address])]
    assert [name.partition("texts/")[2] for name in names] == [
        "a/sub/x.txt", "a/z.txt.gz", "a.txt", "b.txt", "other/config.json"
    ]  # fmt: skip
    assert all(is_address(name) for name in names)


def test_its_encoded_corpus_is_kept_until_it_changes(address):
    text = f"{address}/b.txt"
    assert not encode_corpus([text], OPTIONS).from_cache
    assert encode_corpus([text], OPTIONS).from_cache
    file_system, path = fsspec.core.url_to_fs(text)
    file_system.pipe(path, b"quite another text\n")
    changed = encode_corpus([text], OPTIONS)
    assert not changed.from_cache
    assert "quite" in changed.vocabulary.words


def test_a_change_while_it_is_read_is_an_error(address, monkeypatch):
    text = f"{address}/b.txt"
    file_system, path = fsspec.core.url_to_fs(text)

    def told(done: int) -> None:
        file_system.pipe(path, b"another text of another length\n")

    with pytest.raises(CorpusError, match="changed while it was read"):
        count_words([text], OPTIONS, progress=told)


def test_texts_without_a_time_or_a_tag_are_not_kept(address, monkeypatch, cache_folder):
    from w2v.corpus.addresses import AddressSource

    monkeypatch.setattr(AddressSource, "_info", lambda self: {"size": 19, "type": "file", "etag": None})
    source = AddressSource(address=f"{address}/b.txt")
    assert not source.regular
    assert identities([source]) == [None]
    with encode_corpus([f"{address}/b.txt"], OPTIONS) as corpus:
        assert corpus.tokens == 5
    assert not cache_folder.exists()
    pruned = CorpusOptions(min_count=1, max_vocab_size=2)
    with encode_corpus([f"{address}/a/z.txt.gz"], pruned) as corpus:
        assert corpus.vocabulary.words == ["a", "b"]


def test_files_behind_addresses_are_read_in_ranges(folder, monkeypatch):
    monkeypatch.setattr(encoding, "LEAST_SHARD", 50)
    with encode_corpus([folder], OPTIONS) as own:
        for workers in (1, 3):
            inputs = [f"file://{folder}"]
            with encode_by_workers(Threads(workers), inputs, OPTIONS, use_cache=False) as found:
                assert found.fingerprint == own.fingerprint
                assert bytes(found.ids) == bytes(own.ids)


def test_commands_take_addresses(address, folder, tmp_path):
    from w2v.cli.vocab import vocab

    result = CliRunner().invoke(vocab, [f"{address}/b.txt", "-o", str(tmp_path / "v.tsv"), "--min-count", "1"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "v.tsv").read_text() == "the\t2\ncat\t1\nend\t1\nsat\t1\n"
    assert join_phrases([f"{address}/b.txt"], tmp_path / "out.txt").words == 5


def test_outputs_that_would_replace_a_local_address_are_refused(folder):
    with pytest.raises(Exception, match="would replace the input"):
        refuse_same_file(folder / "b.txt", [f"file://{folder}/b.txt"])
    with pytest.raises(Exception, match="would replace the input"):
        refuse_same_file(folder / "b.txt", [f"file://{folder}"])
    with pytest.raises(Exception, match="or inside it"):
        refuse_inside(folder / "log", [f"local://{folder}"])
    for other in ("s3://bucket/text", "memory://x", "-"):
        refuse_same_file(folder / "b.txt", [other])
        refuse_inside(folder / "log", [other])
    with TextBar(["s3://bucket/text.txt"], True) as bar:
        bar.update(5)


@pytest.mark.parametrize("path", ["C:\\texts\\a.txt", "C://texts", "a/b.txt", "a:b", "-", "x y://z", "://x"])
def test_what_is_no_address(path):
    assert not is_address(path)


@pytest.mark.parametrize(
    ("address", "kind", "message"),
    [
        ("memory://nothing/here", CorpusError, "memory://nothing/here does not exist: check the path"),
        ("file:///nothing/here", CorpusError, "file:///nothing/here does not exist: check the path"),
        ("nonsense://x/y", CorpusError, "cannot read nonsense://x/y: .* give an address that fsspec knows"),
    ],
)
def test_errors_name_the_address_in_one_line(address, kind, message):
    with pytest.raises(kind, match=message) as error:
        encode_corpus([address])
    assert "\n" not in str(error.value)


class Broken(fsspec.AbstractFileSystem):
    """A file system whose service says no, in errors of its own."""

    protocol = "broken"

    def info(self, path, **options):
        if "denied" in path:
            raise PermissionError("no")
        if "login" in path:
            raise LookupError("Unable to locate credentials\nin any place")
        return {"name": path, "size": 100, "type": "file", "mtime": 1}

    def _open(self, path, mode="rb", **options):
        raise LookupError("the service is gone")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("denied", "broken://denied may not be read: check your credentials"),
        ("login", "cannot read broken://login: Unable to locate credentials: check the address, the network"),
        ("text.txt", "cannot read broken://text.txt: the service is gone: check the address, the network"),
    ],
)
def test_what_a_service_says_is_one_line(path, message):
    fsspec.register_implementation("broken", Broken, clobber=True)
    with pytest.raises(CorpusError, match=message) as error:
        encode_corpus([f"broken://{path}"])
    assert "\n" not in str(error.value)


def test_missing_packages_are_named(monkeypatch):
    fsspec.register_implementation("lacking", "no_such_package.FileSystem", errtxt="Install no-such-package")
    with pytest.raises(
        MissingExtraError, match="reading lacking://x needs one more package: Install no-such-package"
    ):
        encode_corpus(["lacking://x"])
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(W2VError, match=r"reading file:///x needs the package 'fsspec': pip install 'w2v\[io\]'"):
        encode_corpus(["file:///x"])
