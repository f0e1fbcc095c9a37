"""The commands that read vectors, end to end: info, similar, analogy, eval, convert."""

import json
import sys

import numpy as np
import pytest
from commands import run

from w2v.cli.analogy import analogy
from w2v.cli.convert import convert
from w2v.cli.eval import evaluate
from w2v.cli.info import info
from w2v.cli.similar import similar
from w2v.errors import CorpusError, EvaluationError, FormatError, MissingExtraError, OutputError, VocabularyError
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
        "not in the vocabulary: 'kingg' (did you mean king?), 'PEAR' (did you mean pear?); "
        "--ignore-case finds words in any case"
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


QUESTIONS = ": family\n# a comment\n\nman king woman queen\nman woman king\r\nman king women\n"


@pytest.mark.parametrize("options", [[], ["--device", "auto"], ["--limit", 6]])
def test_files_of_words_are_answered_as_words_are(model, tmp_path, options):
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_bytes("\ufeffking apple\r\n\n".encode() + b"PEAR \xff\n")
    second.write_text("man\n" * 30 + "kingg", "utf-8")
    files = ["--file", first, "--file", second]
    result = run(similar, model, *files, "-n", 2, *options, error=VocabularyError)
    wanted = run(similar, model, "king", "apple", *["man"] * 30, "-n", 2).stdout
    assert result.stdout == wanted
    assert str(result.exception) == (
        "not in the vocabulary: 'PEAR' (did you mean pear?), '\ufffd', 'kingg' (did you mean king?); "
        "--ignore-case finds words in any case"
    )


def test_words_come_through_a_pipe(model):
    wanted = run(similar, model, "king", "pear", "--json").stdout
    assert run(similar, model, "--json", stdin="king\npear\n").stdout == wanted
    assert run(similar, model, "--json", "--file", "-", stdin="king\npear\n").stdout == wanted
    assert run(similar, model, stdin="").stdout == "word\tneighbour\tsimilarity\n"
    assert json.loads(run(similar, model, "--json", stdin="").stdout) == []


def test_a_few_unknown_words_of_many_are_named(model):
    text = "".join(f"zz{number}\n" for number in range(12)) + "zz11\nzz3\nking\n"
    result = run(similar, model, "-n", 1, stdin=text, error=VocabularyError)
    assert table(result.stdout)[1][0] == "king"
    named = ", ".join(repr(f"zz{number}") for number in range(10))
    assert str(result.exception) == f"not in the vocabulary: {named}; and 3 times another unknown word"
    many = "".join(f"zz{number}\n" for number in range(1300))
    result = run(similar, model, "-n", 1, stdin=many, error=VocabularyError)
    assert str(result.exception) == f"not in the vocabulary: {named}; and 1,290 times another unknown word"
    result = run(similar, model, *many.split(), "king", error=VocabularyError)
    assert len(str(result.exception)) < 200


SUM = ["king -man +woman", "king\t- man  + woman", "-man +king woman", "king \u2212man +woman"]


def test_files_of_sums_are_answered(model, tmp_path):
    path = tmp_path / "sums.txt"
    path.write_text("apple\n" + "\n".join(SUM) + "\nking pear\n", "utf-8")
    rows = table(run(similar, model, "--file", path, "-n", 2).stdout)
    wanted = table(run(analogy, model, "man", "king", "woman", "-n", 2).stdout)[1:]
    words = {word: table(run(similar, model, word, "-n", 2).stdout)[1:] for word in ("apple", "king", "pear")}
    sums = [[" ".join(line.split()), *pair] for line in SUM for pair in wanted]
    assert rows[1:] == [*words["apple"], *sums, *words["king"], *words["pear"]]
    assert table(run(similar, model, "-n", 2, stdin="king -man +woman\n").stdout)[1:] == sums[:2]
    line = table(run(similar, model, "-n", 2, "--", "king", "-man", "+woman").stdout)[1:]
    assert line == sums[:2]


def test_unknown_words_of_sums_are_named_without_their_signs(model):
    text = "king -women\n-man\nking +zzzz -man\npear\n"
    result = run(similar, model, "-n", 1, stdin=text, error=VocabularyError)
    assert [row[0] for row in table(result.stdout)[1:]] == ["pear"]
    assert str(result.exception) == (
        "not in the vocabulary: 'women' (did you mean woman?), "
        "'-man' (a sum takes another word, as in other -man), 'zzzz'"
    )
    result = run(similar, model, "--", "king", "-women", error=VocabularyError)
    assert str(result.exception) == "'women' is not in the vocabulary: did you mean woman?"
    assert result.stdout == ""


def test_words_that_begin_with_a_sign_or_mark_are_words_in_files(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("4 2\nking 1 0\n-man 1 1\n#tag 0 1\n: -1 0\n", "utf-8")
    rows = table(run(similar, path, "-n", 1, stdin="king -man\n#tag\n:\n").stdout)
    assert [row[0] for row in rows[1:]] == ["king", "-man", "#tag", ":"]


def test_words_in_any_case(model, tmp_path):
    path = tmp_path / "questions.txt"
    path.write_text(": family\nMan KING Woman Queen\nMan king zzzz\n", "utf-8")
    result = run(analogy, model, "--file", path, "-n", 1, "--ignore-case", error=VocabularyError)
    assert [row[:4] for row in table(result.stdout)[1:]] == [["Man", "KING", "Woman", "queen"]]
    assert str(result.exception) == "'zzzz' is not in the vocabulary"
    assert table(run(analogy, model, "MAN", "King", "woman", "--ignore-case").stdout)[1][0] == "queen"
    wanted = table(run(similar, model, "king", "pear", "-n", 1).stdout)[1:]
    for result in (
        run(similar, model, "KING", "Pear", "-n", 1, "--ignore-case"),
        run(similar, model, "-n", 1, "--ignore-case", stdin="KING\nPear\n"),
    ):
        assert table(result.stdout)[1:] == [
            [name, *row[1:]] for name, row in zip(["KING", "Pear"], wanted, strict=True)
        ]


def test_of_several_spellings_the_first_is_meant_as_in_eval(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("4 2\nApple 1 0\nios 1 0.1\napple 0 1\npear 0.1 1\n", "utf-8")
    for word in ("apple", "APPLE", "Apple"):
        (row,) = table(run(similar, path, word, "-n", 1, "--ignore-case").stdout)[1:]
        assert row[:2] == [word, "ios"]
    assert table(run(similar, path, "apple", "-n", 1).stdout)[1][1] == "pear"


def test_a_model_of_one_word_has_no_neighbours(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("1 2\nonly 1 0\n", "utf-8")
    result = run(similar, path, "only")
    assert result.stdout == "word\tneighbour\tsimilarity\n"
    assert result.stderr == "'only' is the only word: there are no others to find\n"


def test_blocks_of_questions_make_one_table(model, monkeypatch):
    text = "\n".join(WORDS * 5)
    wanted = run(similar, model, "-n", 2, stdin=text).stdout
    monkeypatch.setattr("w2v.cli.batch._ANSWERS_AT_ONCE", 5)
    rows = table(run(similar, model, "-n", 2, stdin=text).stdout)
    assert [row[:2] for row in rows] == [row[:2] for row in table(wanted)]  # their last digits may differ


@pytest.mark.parametrize("options", [[], ["--cosmul"]])
@pytest.mark.parametrize("times", [1, 20])
def test_files_of_analogies(model, tmp_path, options, times):
    path = tmp_path / "questions.txt"
    path.write_text(QUESTIONS * times, "utf-8")
    result = run(analogy, model, "--file", path, "-n", 2, *options, error=VocabularyError)
    rows = table(result.stdout)
    assert rows[0] == ["a", "b", "c", "word", "score" if options else "similarity"]
    wanted = []
    for question in (["man", "king", "woman"], ["man", "woman", "king"]):
        answers = table(run(analogy, model, *question, "-n", 2, *options).stdout)[1:]
        wanted += [[*question, word, float(score)] for word, score in answers]
    assert [row[:4] for row in rows[1:]] == [row[:4] for row in wanted] * times
    assert [float(row[4]) for row in rows[1:]] == pytest.approx([row[4] for row in wanted] * times, rel=1e-4)
    assert str(result.exception) == "'women' is not in the vocabulary: did you mean woman?"


@pytest.mark.parametrize("line", ["man king", "man", "man king woman queen pear"])
def test_a_malformed_question_is_named_by_its_line(model, line):
    result = run(analogy, model, stdin=f"man king woman\n\n{line}\n", error=CorpusError)
    assert str(result.exception).startswith("standard input, line 3: expected three words")
    assert "\n" not in str(result.exception)


def test_files_that_cannot_be_read_are_one_line(model, tmp_path):
    for command in (similar, analogy):
        result = run(command, tmp_path / "no model either", "--file", tmp_path / "nowhere", error=CorpusError)
        assert str(result.exception) == f"no such file: {tmp_path / 'nowhere'}"
        result = run(command, model, "--file", tmp_path, error=CorpusError)
        assert str(result.exception) == f"cannot read {tmp_path}: Is a directory"


CONTRADICTIONS = {
    "words and a file": (similar, ["king", "--file", "-"], "not both"),
    "an approximate search on a GPU": (similar, ["king", "--ann", "--device", "cuda"], "on the CPU"),
    "a recall of an exact search": (analogy, ["--ann-recall", "0.9"], "--ann-recall is for --ann"),
    "a recall above one": (similar, ["king", "--ann", "--ann-recall", "1.5"], "--ann-recall"),
    "3CosMul approximately": (analogy, ["man", "king", "woman", "--ann", "--cosmul"], "exact search"),
    "a sum without dashes": (similar, ["king", "-man", "+woman"], "similar MODEL -- king -man +woman"),
    "two words": (analogy, ["man", "king"], "three words"),
    "four words": (analogy, ["man", "king", "woman", "queen"], "three words"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradictions_are_errors_of_usage(model, case):
    command, arguments, message = CONTRADICTIONS[case]
    result = run(command, model, *arguments, error=SystemExit)
    assert result.exit_code == 2
    assert message in result.stderr


def test_approximate_answers(model):
    pytest.importorskip("faiss")
    exact = ["--ann", "--ann-recall", "1"]
    for command, arguments in ((similar, ["king", "apple"]), (analogy, ["man", "king", "woman"])):
        wanted, result = run(command, model, *arguments), run(command, model, *arguments, *exact)
        assert [row[:-1] for row in table(result.stdout)] == [row[:-1] for row in table(wanted.stdout)]
        assert "recall@5 1.000 against exact search on" in result.stderr
    piped = run(analogy, model, "--ann", "-n", 1, stdin="man king woman\n")
    assert table(piped.stdout)[1][:4] == ["man", "king", "woman", "queen"]


def test_an_approximate_search_without_its_extra(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    result = run(similar, model, "king", "--ann", error=MissingExtraError)
    assert str(result.exception) == "approximate search needs the package 'faiss': pip install 'w2v[ann]'"
    assert result.stdout == ""


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
