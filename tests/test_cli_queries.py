"""The commands that read vectors, end to end: info, similar, analogy, eval, convert."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from w2v.cli.analogy import analogy
from w2v.cli.convert import convert
from w2v.cli.eval import evaluate
from w2v.cli.info import info
from w2v.cli.similar import similar
from w2v.errors import EvaluationError, FormatError, OutputError, VocabularyError
from w2v.vectors import KeyedVectors, load_vectors
from w2v.vectors.folder import save_model_folder

WORDS = ["man", "woman", "king", "queen", "apple", "pear"]
ROWS = np.array([[1, 0, 0.1], [0, 1, 0.1], [1, 0, 1], [0, 1, 1], [-1, -1, 0.1], [-1, -0.9, 0]], np.float32)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model"
    save_model_folder(
        path, config={"model": "skipgram", "objective": "ns", "vector_size": 3, "seed": 1}, words=WORDS,
        counts=np.array([60, 50, 40, 30, 20, 10]), input_vectors=ROWS,
        output_parameters={"output_vectors": ROWS}, training={"seconds": {"train": 2.5}, "loss": [1.5, 1.25]},
    )  # fmt: skip
    return path


def runner():
    try:
        return CliRunner(mix_stderr=False)
    except TypeError:  # from click 8.2 on they are always apart
        return CliRunner()


def run(command, *arguments, error=None):
    """The result of a command; an exception other than ``error`` fails the test."""
    result = runner().invoke(command, [str(argument) for argument in arguments])
    if error is None:
        assert result.exception is None, result.output
    else:
        assert isinstance(result.exception, error), result.output
    return result


def table(text):
    return [line.split("\t") for line in text.splitlines()]


def test_similar_prints_a_list_per_word(model):
    rows = table(run(similar, model, "king", "apple", "-n", 2).stdout)
    assert rows[0] == ["word", "neighbour", "similarity"]
    assert [row[:2] for row in rows[1:]] == [
        ["king", "man"],
        ["king", "queen"],
        ["apple", "pear"],
        ["apple", "king"],
    ]
    assert float(rows[1][2]) == pytest.approx(load_vectors(model).similarity("king", "man"), abs=1e-5)
    records = json.loads(run(similar, model, "king", "-n", 1, "--json").stdout)
    assert [(record["word"], record["neighbour"]) for record in records] == [("king", "man")]


def test_similar_answers_many_words_as_it_answers_each(model):
    words = WORDS * 4
    together = table(run(similar, model, *words).stdout)[1:]
    single = [row for word in words for row in table(run(similar, model, word).stdout)[1:]]
    assert [row[:2] for row in together] == [row[:2] for row in single]


def test_similar_answers_what_it_can(model):
    result = run(similar, model, "kingg", "apple", "PEAR", "-n", 1, error=VocabularyError)
    assert table(result.stdout)[1][:2] == ["apple", "pear"]
    assert str(result.exception) == (
        "'kingg' is not in the vocabulary: did you mean king?; 'PEAR' is not in the vocabulary: did you mean pear?"
    )
    result = run(similar, model, "zzzzzz", error=VocabularyError)
    assert result.stdout == ""
    assert str(result.exception) == "'zzzzzz' is not in the vocabulary"
    run(similar, model, "pear", "--limit", 3, error=VocabularyError)


@pytest.mark.parametrize("options", [[], ["--cosmul"]])
def test_analogy(model, options):
    rows = table(run(analogy, model, "man", "king", "woman", "-n", 1, *options).stdout)
    assert rows[0] == ["word", "score" if options else "similarity"]
    assert rows[1][0] == "queen"
    assert json.loads(run(analogy, model, "man", "king", "woman", "--json", *options).stdout)[0]["word"] == "queen"
    result = run(analogy, model, "man", "king", "women", error=VocabularyError)
    assert "did you mean woman" in str(result.exception)


def test_eval(model, tmp_path):
    pairs, questions = tmp_path / "pairs.tsv", tmp_path / "questions.txt"
    pairs.write_text("king\tqueen\t7\nking\tman\t8\napple\tking\t1\napple\tplum\t9\n", "utf-8")
    questions.write_text(": family\nman king woman queen\n: gram1\nman woman king pear\nx y z w\n", "utf-8")
    rows = table(run(evaluate, model, "--pairs", pairs, "--analogies", questions).stdout)
    assert rows == [
        ["file", "measure", "section", "score", "covered", "total"],
        ["pairs.tsv", "spearman", "", "100", "3", "4"],
        ["questions.txt", "analogies", "family", "100", "1", "1"],
        ["questions.txt", "analogies", "gram1", "0", "1", "2"],
        ["questions.txt", "analogies", "semantic", "100", "1", "1"],
        ["questions.txt", "analogies", "syntactic", "0", "1", "2"],
        ["questions.txt", "analogies", "total", "50", "2", "3"],
    ]
    twice = json.loads(run(evaluate, model, "--pairs", pairs, "--pairs", pairs, "--json").stdout)
    assert [(row["score"], row["section"]) for row in twice] == [(pytest.approx(100), None)] * 2
    rows = table(run(evaluate, model, "--analogies", questions, "--restrict", 4).stdout)
    assert rows[-2] == ["questions.txt", "analogies", "syntactic", "", "0", "2"]
    run(evaluate, model, "--analogies", questions, "--restrict", 2, error=EvaluationError)
    run(evaluate, model, "--pairs", tmp_path / "nowhere", error=EvaluationError)
    result = run(evaluate, model, error=SystemExit)
    assert result.exit_code == 2
    assert "give --pairs FILE or --analogies FILE" in result.stderr


def test_info(model, tmp_path):
    rows = dict(table(run(info, model).stdout))
    assert rows["format"] == "model folder"
    assert (rows["words"], rows["dimensions"], rows["counted_words"]) == ("6", "3", "210")
    assert rows["most_frequent"] == "man woman king queen apple pear"
    assert (rows["config.objective"], rows["training.loss"]) == ("ns", "1.5 1.25")
    record = json.loads(run(info, model, "--json").stdout)
    assert record["output_parameters"] == {"output_vectors": [6, 3]}
    assert record["training"]["seconds"] == {"train": 2.5}
    assert record["bytes"] == sum(file.stat().st_size for file in model.iterdir())
    run(convert, model, tmp_path / "v.bin")
    record = json.loads(run(info, tmp_path / "v.bin", "--json").stdout)
    assert (record["format"], record["words"], record["counted_words"]) == ("word2vec binary", 6, None)
    assert record["first_words"] == WORDS


def test_info_lists_devices():
    rows = table(run(info, "--device").stdout)
    assert rows[0] == ["device", "usable", "note"]
    assert ["cpu", "True"] in [row[:2] for row in rows[1:]]
    records = json.loads(run(info, "--device", "--json").stdout)
    assert {"device", "usable", "note"} == set(records[0])


@pytest.mark.parametrize("arguments", [[], ["model", "--device"]])
def test_info_wants_a_model_or_the_devices(arguments):
    result = run(info, *arguments, error=SystemExit)
    assert result.exit_code == 2


@pytest.mark.parametrize("name", ["v.bin", "v.txt", "v.vec.gz", "v.safetensors", "folder"])
def test_convert(model, tmp_path, name):
    if name.endswith("safetensors"):
        pytest.importorskip("safetensors")
    rows = table(run(convert, model, tmp_path / name).stdout)
    assert rows == [["output", "words", "dimensions"], [str(tmp_path / name), "6", "3"]]
    back = tmp_path / "back"
    run(convert, tmp_path / name, back, "--limit", 4)
    loaded = KeyedVectors.load(back)
    assert loaded.index_to_key == WORDS[:4]
    np.testing.assert_array_equal(loaded.vectors, ROWS[:4])


def test_convert_without_a_header(model, tmp_path):
    run(convert, model, tmp_path / "v.txt", "--no-header")
    assert (tmp_path / "v.txt").read_text("utf-8").startswith("man 1 0 0.1")
    assert load_vectors(tmp_path / "v.txt").index_to_key == WORDS
    for target in ("v.bin", "folder"):
        assert run(convert, model, tmp_path / target, "--no-header", error=SystemExit).exit_code == 2


def test_convert_refuses_to_lose_anything(model, tmp_path):
    assert run(convert, model, model, error=SystemExit).exit_code == 2
    assert "output_vectors.npy" in [file.name for file in model.iterdir()]
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "file").write_text("precious", "utf-8")
    run(convert, model, strange, error=OutputError)
    assert (strange / "file").read_text("utf-8") == "precious"


def test_warnings_are_lines_on_stderr(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("3 2\na 1 2\na 3 4\nnew york 1 1\n", "utf-8")
    result = run(convert, path, tmp_path / "out.txt")
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"w2v: warning: {path}: 1 duplicate words")
    assert "U+2581" in lines[1]
    assert table(result.stdout)[1][1:] == ["2", "2"]


@pytest.mark.parametrize("command", [info, similar, analogy, evaluate, convert])
def test_missing_models_are_one_line(command, tmp_path):
    missing = tmp_path / "nowhere"
    pairs = tmp_path / "pairs"
    pairs.write_text("a b 1\n", "utf-8")
    arguments = {similar: ["a"], analogy: ["a", "b", "c"], evaluate: ["--pairs", pairs], convert: [tmp_path / "out"]}
    result = run(command, missing, *arguments.get(command, []), error=FormatError)
    assert str(result.exception) == f"no such file: {missing}"


@pytest.mark.parametrize("command", [info, similar, analogy, evaluate, convert])
def test_help(command):
    text = run(command, "--help").stdout
    assert "MODEL" in text or "IN" in text
    assert "--json" in text
