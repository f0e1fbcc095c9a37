"""``w2v vocab`` and ``w2v cache``."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from w2v.cli.cache import cache
from w2v.cli.options import refuse_same_file
from w2v.cli.text_progress import TextBar
from w2v.cli.vocab import vocab
from w2v.corpus import CorpusOptions, Vocabulary, encode_corpus
from w2v.errors import ConfigError, CorpusError, OutputError


def run(command, *arguments, **more):
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False, **more)
    assert result.exit_code == 0, result.output
    return result


def test_vocab_writes_words_and_counts(text, tmp_path, cache_folder):
    output = tmp_path / "v.tsv"
    result = run(vocab, text, "-o", output, "--min-count", 1, "--lowercase", "--threads", 2)
    assert output.read_text() == "the\t3\ncat\t1\nmat\t1\non\t1\nsat\t1\n"
    assert "5 words written" in result.stderr
    assert result.stdout == ""
    assert not cache_folder.exists()


def test_vocab_limits_and_word2vecs_spellings(text, tmp_path):
    output = tmp_path / "v.tsv"
    run(vocab, text, text, "-o", output, "-min-count", 2, "-threads", 1, "--max-final-vocab", 2)
    assert Vocabulary.load(output).words == ["the", "The"]


def test_vocab_reads_standard_input(tmp_path):
    output = tmp_path / "v.tsv"
    for more in ((), ("--max-vocab-size", 2)):
        run(vocab, "-", "-o", output, "--min-count", 1, *more, input="a b a b\n")
        assert output.read_text() == "a\t2\nb\t2\n"


def test_vocab_to_standard_output(tmp_path):
    (tmp_path / "text.txt").write_text("a b a b a\n", "utf-8")
    command = [sys.executable, "-m", "w2v", "vocab", "text.txt", "-o", "-", "--min-count", "1"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert result.stdout == b"a\t3\nb\t2\n"
    assert "2 words written (" in result.stderr.decode()
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


@pytest.mark.parametrize("option", ["--min-count", "--max-vocab-size", "--max-final-vocab", "--threads"])
def test_vocab_limits_out_of_range(text, tmp_path, option):
    with pytest.raises(ConfigError, match=f"{option} -1 is out of range"):
        run(vocab, text, "-o", tmp_path / "v.tsv", option, -1)
    assert not (tmp_path / "v.tsv").exists()


def test_vocab_min_count_of_zero_keeps_all(text, tmp_path):
    run(vocab, text, "-o", tmp_path / "v.tsv", "--min-count", 0)
    assert len(Vocabulary.load(tmp_path / "v.tsv")) == 6


def test_the_bar_starts_again_with_a_second_reading(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"a b c d e\n" * 9 + b"a b c d e")
    shown = []
    with TextBar([str(path)], True) as bar:
        # One line end is added to the 99 bytes.
        for done in (40, 100, 140, 200):
            bar.update(done)
            shown.append((bar._bar.n, bar._bar.desc))
    assert [count for count, _ in shown] == [40, 99, 41, 99]
    assert [name.split(":")[0] for _, name in shown] == ["reading"] * 2 + ["reading again"] * 2


def test_vocab_leaves_an_existing_file_alone_when_it_fails(text, tmp_path):
    output = tmp_path / "v.tsv"
    output.write_text("old\t1\n")
    with pytest.raises(CorpusError):
        run(vocab, text, "-o", output, "--min-count", 50)
    assert output.read_text() == "old\t1\n"
    with pytest.raises(OutputError):
        run(vocab, text, "-o", tmp_path / "missing" / "v.tsv", "--min-count", 1)


def test_vocab_writes_what_a_link_leads_to(text, tmp_path):
    output, link = tmp_path / "v.tsv", tmp_path / "link.tsv"
    output.write_text("old\t1\n")
    link.symlink_to(output)
    run(vocab, text, "-o", link, "--min-count", 1, "--lowercase")
    assert link.is_symlink()
    assert output.read_text().startswith("the\t")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_vocab_checks_its_output_before_it_reads(tmp_path):
    pipe, file = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(pipe)
    file.write_text("")
    refused = {
        pipe: "device or a pipe",
        tmp_path: "is a folder",
        tmp_path / "missing" / "v.tsv": "does not exist",
        file / "v.tsv": "is no folder",
    }
    for output, message in refused.items():
        # The text is missing too: that the output is complained of shows what was looked at first.
        with pytest.raises(OutputError, match=message):
            run(vocab, tmp_path / "no text", "-o", output)
    assert pipe.is_fifo()


def test_vocab_never_writes_over_its_input(text, tmp_path):
    before = text.read_bytes()
    link = tmp_path / "link.tsv"
    link.symlink_to(text)
    for inputs, output in (((text,), text), (("-", text), link), ((tmp_path,), text), ((link,), text)):
        result = CliRunner().invoke(vocab, [*map(str, inputs), "-o", str(output), "--min-count", "1"], input="a b\n")
        assert result.exit_code == 2
        assert "choose another output" in result.stderr
    assert text.read_bytes() == before


def test_an_output_is_refused_only_where_an_input_would_go(text, tmp_path):
    beside = tmp_path / "beside.tsv"
    beside.write_text("old\t1\n")
    for inputs in ([text], ["-"], ["missing"], []):
        refuse_same_file(beside, inputs)
    refuse_same_file(tmp_path / "new", [tmp_path])
    hidden = tmp_path / ".hidden"
    hidden.write_text("")
    refuse_same_file(hidden, [tmp_path])
    with pytest.raises(click.UsageError):
        refuse_same_file(tmp_path, [text])


def test_cache_lists_and_clears(text, cache_folder):
    corpus = encode_corpus([text], CorpusOptions(1))
    listed = run(cache)
    header, row = listed.stdout.splitlines()
    values = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    size = sum(path.stat().st_size for path in corpus.path.iterdir())
    assert values["path"] == str(corpus.path)
    assert values["inputs"] == str(text)
    assert (values["bytes"], values["tokens"], values["words"]) == (str(size), "7", "6")
    assert "1 entry in" in listed.stderr
    (entry,) = json.loads(run(cache, "--json").stdout)
    assert (entry["path"], entry["bytes"], entry["inputs"]) == (str(corpus.path), size, [str(text)])
    cleared = run(cache, "--clear")
    assert f"{size} bytes freed" in cleared.stderr
    assert list(cache_folder.iterdir()) == []
    assert run(cache).stdout.splitlines() == [header]
    assert json.loads(run(cache, "--json").stdout) == []


def test_cache_in_another_folder(text, tmp_path, cache_folder):
    other = tmp_path / "other"
    encode_corpus([text], CorpusOptions(1), cache_dir=other)
    assert str(other) in run(cache, "--cache", other).stdout
    assert not cache_folder.exists()
