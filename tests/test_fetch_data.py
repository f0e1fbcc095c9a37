"""scripts/fetch_data against a server on this machine: whole, wrong, cut short, resumed, absent."""

import dataclasses
import hashlib
import http.server
import importlib.machinery
import importlib.util
import io
import os
import re
import socket
import sys
import threading
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "fetch_data"
TEXT = b" anarchism originated as a term of abuse" * 50_000


@pytest.fixture(scope="module")
def fetch_data():
    """The script as a module."""
    loader = importlib.machinery.SourceFileLoader("fetch_data", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("fetch_data", loader))
    sys.modules["fetch_data"] = module  # dataclasses look their module up
    loader.exec_module(module)
    yield module
    del sys.modules["fetch_data"]


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.content``, in part where asked; ``server.cut`` ends the first answer after so many bytes."""

    def do_GET(self):
        content, start = self.server.content, 0
        self.server.ranges.append(self.headers.get("Range"))
        if content is None:
            self.send_error(404)
            return
        if self.server.understands_ranges and (found := re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))):
            start = int(found[1])
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut, self.server.cut = self.server.cut, None
        self.wfile.write(content[start:][:cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """A server with settable content; ``server.url`` is its address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.cut, server.ranges, server.understands_ranges = None, None, [], True
        server.url = f"http://127.0.0.1:{server.server_port}/text8.zip"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def small(fetch_data, monkeypatch):
    """A stand-in for text8, registered under its name."""
    digest = f"md5:{hashlib.md5(TEXT).hexdigest()}"
    data_set = dataclasses.replace(fetch_data.DATA_SETS["text8"], size=len(TEXT), digest=digest)
    monkeypatch.setitem(fetch_data.DATA_SETS, "text8", data_set)
    return data_set


def zipped(content, compression=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        archive.writestr("text8", content)
    return out.getvalue()


def run(fetch_data, folder, url, capsys, name="text8"):
    status = fetch_data.main(["--only", name, "--url", url, "--into", str(folder)])
    captured = capsys.readouterr()
    assert len((captured.out + captured.err).splitlines()) == 1
    return status, captured.out + captured.err


def test_a_good_file_is_unpacked_verified_and_not_fetched_again(fetch_data, small, server, tmp_path, capsys):
    server.content = zipped(TEXT, zipfile.ZIP_DEFLATED)
    folder = tmp_path / "new" / "folder"
    status, message = run(fetch_data, folder, server.url, capsys)
    assert status == 0
    assert "checksum verified" in message
    assert (folder / "text8").read_bytes() == TEXT
    assert os.listdir(folder) == ["text8"]
    status, message = run(fetch_data, folder, server.url, capsys)
    assert status == 0
    assert "already there" in message
    assert len(server.ranges) == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (zipped(TEXT[:-1] + b"x"), "wrong checksum"),
        (zipped(TEXT + b"x"), "wrong checksum"),
        (zipped(TEXT)[:-30], "not a zip archive"),
        (b"<html>sorry</html>", "not a zip archive"),
    ],
)
def test_a_wrong_file_is_refused_and_what_was_there_stays(
    fetch_data, small, server, tmp_path, capsys, content, complaint
):
    (tmp_path / "text8").write_bytes(b"what was there before")
    server.content = content
    status, message = run(fetch_data, tmp_path, server.url, capsys)
    assert status == 1
    assert complaint in message
    assert (tmp_path / "text8").read_bytes() == b"what was there before"
    assert os.listdir(tmp_path) == ["text8"]


@pytest.mark.parametrize("understands_ranges", [True, False])
def test_a_download_cut_short_goes_on_where_it_stopped(
    fetch_data, small, server, tmp_path, capsys, understands_ranges
):
    server.content, server.cut, server.understands_ranges = zipped(TEXT), 1_000_000, understands_ranges
    status, message = run(fetch_data, tmp_path, server.url, capsys)
    assert status == 1
    assert "run this again" in message
    assert f"1,000,000 of {len(server.content):,} bytes" in message
    assert not (tmp_path / "text8").exists()
    status, message = run(fetch_data, tmp_path, server.url, capsys)
    assert status == 0
    assert server.ranges == [None, "bytes=1000000-"]
    assert (tmp_path / "text8").read_bytes() == TEXT


def test_a_download_that_lacks_nothing_but_the_unpacking(fetch_data, small, server, tmp_path, capsys):
    server.content = zipped(TEXT)
    (tmp_path / "text8.download").write_bytes(server.content)
    status, _ = run(fetch_data, tmp_path, server.url, capsys)
    assert status == 0
    assert (tmp_path / "text8").read_bytes() == TEXT


def test_refused_connections_missing_files_and_bad_addresses_are_one_line(
    fetch_data, small, server, tmp_path, capsys
):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        refused = f"http://127.0.0.1:{unused.getsockname()[1]}/text8.zip"
        status, message = run(fetch_data, tmp_path, refused, capsys)
    assert status == 1
    assert "cannot reach" in message
    assert "check the network" in message
    status, message = run(fetch_data, tmp_path, server.url, capsys)
    assert status == 1
    assert "404" in message
    status, message = run(fetch_data, tmp_path, "nonsense", capsys)
    assert status == 1
    assert "no address" in message
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_one_line(fetch_data, small, server, tmp_path, capsys):
    server.content = zipped(TEXT)
    (tmp_path / "file").write_text("")
    status, message = run(fetch_data, tmp_path / "file", server.url, capsys)
    assert status == 1
    assert "cannot write" in message


def test_url_goes_with_one_name(fetch_data, capsys):
    for arguments in (["--url", "http://h/f"], ["--url", "http://h/f", "--only", "text8", "--only", "simlex999"]):
        with pytest.raises(SystemExit) as caught:
            fetch_data.main(arguments)
        assert caught.value.code == 2
    assert "--only" in capsys.readouterr().err


def test_pairs_lose_comments_and_carriage_returns(fetch_data, tmp_path):
    download, kept = tmp_path / "download", tmp_path / "kept"
    download.write_bytes(b"# Word 1\tWord 2\tHuman (mean)\r\nlove\tsex\t6.77\r\n\r\ntiger\tcat\t7.35\r\n")
    fetch_data.keep_pairs(download, kept)
    assert kept.read_bytes() == b"love\tsex\t6.77\ntiger\tcat\t7.35\n"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("questions-words", "questions-words.txt"),
        ("wordsim353", "wordsim353.tsv"),
        ("simlex999", "simlex999.txt"),
    ],
)
def test_the_real_evaluation_sets_have_the_checksums_that_are_asked_for(
    fetch_data, server, tmp_path, capsys, name, file
):
    pytest.importorskip("gensim", reason="gensim, which ships copies of the evaluation sets, is not installed")
    from gensim.test.utils import datapath

    server.content = Path(datapath(file)).read_bytes()
    assert run(fetch_data, tmp_path, server.url, capsys, name)[0] == 0
    # The files in gensim's repository have other line ends than those in its package.
    (tmp_path / fetch_data.DATA_SETS[name].file).unlink()
    if name != "questions-words":
        server.content = server.content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        assert run(fetch_data, tmp_path, server.url, capsys, name)[0] == 0
