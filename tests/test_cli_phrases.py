"""``w2v phrases``: files, standard streams, compressed output, the list, and what is refused."""

import bz2
import gzip
import io
import lzma
import sys

import click
import pytest
from click.testing import CliRunner

from w2v.cli import cli
from w2v.cli.phrases import phrases
from w2v.errors import ConfigError, CorpusError, MissingExtraError, OutputError

TEXT = "i live in new york city\n\nnew york city is far\nmy new york\nis it far\n"
JOINED = "i live in new_york city\n\nnew_york city is far\nmy new_york\nis it far\n"
LOOSE = ("--threshold", "1.5", "--min-count", "1")


def run(*arguments, **more):
    result = CliRunner().invoke(phrases, [str(argument) for argument in arguments], catch_exceptions=False, **more)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT)
    return path


def test_a_text_its_list_and_the_last_line(corpus, tmp_path):
    out, listed = tmp_path / "out.txt", tmp_path / "list.tsv"
    result = run(corpus, "-o", out, *LOOSE, "--list", listed, "--threads", 2)
    assert out.read_text() == JOINED
    # 3 times new york; 10 words and 10 pairs: (3 − 1) / (3 · 3) · 20.
    assert listed.read_text() == "phrase\tcount\tscore\nnew_york\t3\t4.44444\n"
    assert result.stdout == ""
    assert result.stderr.startswith(f"1 phrases of 10 pairs; 17 words -> 14; saved to {out} (")


def test_passes_and_connector_words_of_a_file(corpus, tmp_path):
    out, connectors = tmp_path / "out.txt", tmp_path / "connectors"
    connectors.write_text("Is")
    run(corpus, "-o", out, *LOOSE, "--passes", 2, "--lowercase", "--delimiter", "+")
    assert "new+york+city\n\nnew+york+city is" in out.read_text()
    run(corpus, "-o", out, "--scoring", "npmi", "--threshold", -1, "--min-count", 1, "--connector-words", connectors,
        "--lowercase")  # fmt: skip
    assert "york city_is_far\n" in out.read_text()
    corpus.write_text("bank of england\nthe bank of england\nbank of york\n")
    run(corpus, "-o", out, "--connector-words", "english", "-threshold", 0.5, "-min-count", 1)
    assert out.read_text() == "bank_of_england\nthe bank_of_england\nbank of york\n"


def test_standard_input_and_output(tmp_path):
    result = run("-", "-o", "-", *LOOSE, "--passes", 2, input=TEXT)
    assert result.stdout == JOINED.replace("york city", "york_city")
    assert "14" not in result.stdout
    assert "; written (" in result.stderr


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_compressed_in_and_out(corpus, tmp_path, suffix):
    if suffix == ".zst":
        zstandard = pytest.importorskip("zstandard")

        def decompress(data):
            return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
    else:
        decompress = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}[suffix]
    out, again = tmp_path / f"out{suffix}", tmp_path / "again.txt"
    run(corpus, "-o", out, *LOOSE)
    assert decompress(out.read_bytes()).decode() == JOINED
    first = out.read_bytes()
    run(corpus, "-o", out, *LOOSE)
    assert out.read_bytes() == first
    run(out, "-o", again)
    assert again.read_text() == JOINED


def test_a_missing_package_for_zst_is_said_before_reading(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'w2v\[io\]'"):
        run(tmp_path / "missing", "-o", tmp_path / "out.zst")


def test_several_files_and_folders(corpus, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("new york")
    with gzip.open(folder / "b.gz", "wt") as file:
        file.write("far\n\nnew york")
    run(corpus, folder, "-o", tmp_path / "out.txt", *LOOSE)
    assert (tmp_path / "out.txt").read_text() == JOINED + "new_york\nfar\n\nnew_york\n"


def test_what_would_be_overwritten_is_refused(corpus, tmp_path):
    for arguments in (
        (corpus, "-o", corpus),
        (tmp_path, "-o", corpus),
        (corpus, "-o", tmp_path / "out.txt", "--list", corpus),
        (corpus, "-o", tmp_path / "out.txt", "--list", tmp_path / "out.txt"),
    ):
        with pytest.raises(click.UsageError, match="choose another"):
            phrases.main([str(argument) for argument in arguments], standalone_mode=False)
    assert corpus.read_text() == TEXT
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.txt"]


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (("--delimiter", " "), ConfigError),
        (("--threshold", "-1"), ConfigError),
        (("--scoring", "npmi", "--threshold", "2"), ConfigError),
        (("--threads", "0"), ConfigError),
        (("--connector-words", "missing"), CorpusError),
        (("--list", "missing/list.tsv"), OutputError),
        (("-o", "missing/out.txt"), OutputError),
    ],
)
def test_errors_leave_the_old_output(corpus, tmp_path, monkeypatch, more, error):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out.txt"
    out.write_text("old")
    with pytest.raises(error) as raised:
        run(corpus, "-o", out, *more)
    assert "\n" not in str(raised.value)
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.txt", "out.txt"]


def test_an_empty_text(tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "out.txt").write_text("old")
    with pytest.raises(CorpusError, match="no words"):
        run(tmp_path / "empty.txt", "-o", tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text() == "old"


def test_the_bound_is_said_in_one_line(corpus, tmp_path):
    result = run(corpus, "-o", tmp_path / "out.txt", "--max-vocab-size", 8)
    said = result.stderr.splitlines()
    assert len(said) == 2
    assert said[0].startswith("--max-vocab-size 8 was reached")
    assert (tmp_path / "out.txt").read_text() == TEXT


def test_the_command_is_registered():
    assert cli.commands["phrases"] is phrases


def test_passes_end_where_nothing_is_joined_any_more(corpus, tmp_path):
    once, often = tmp_path / "once.txt", tmp_path / "often.txt.gz"
    run(corpus, "-o", once, *LOOSE, "--passes", 2)
    result = run(corpus, "-o", often, *LOOSE, "--passes", 1000)
    said = [line for line in result.stderr.splitlines() if "joined nothing" in line]
    assert len(said) == 1
    assert gzip.decompress(often.read_bytes()).decode() == once.read_text()


@pytest.mark.parametrize("option", ["--min-count", "--max-vocab-size", "--passes"])
def test_numbers_past_31_bits_are_refused(corpus, tmp_path, option):
    with pytest.raises(ConfigError, match="out of range: use 1 to 2147483647"):
        run(corpus, "-o", tmp_path / "out.txt", option, 2**31)
