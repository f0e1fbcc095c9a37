"""The corpus builder of scripts/quickstart: what it reads, what it keeps, how it cuts sentences."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "docstring_corpus.py"


@pytest.fixture(scope="module")
def corpus():
    """The script as a module."""
    specification = importlib.util.spec_from_file_location("docstring_corpus", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def lines_of(corpus, *texts):
    return corpus.corpus_lines(texts, most_words=1000)


def test_a_docstring_becomes_one_lower_case_line_per_sentence(corpus):
    text = """Return the list's first item.  Raises IndexError
    if it is empty (e.g. a new one).

    It's the same as ``items[0]``; see :func:`last` for 2 others!
    """
    assert lines_of(corpus, text) == [
        "return the list's first item",
        "raises indexerror if it is empty eg a new one",
        "it's the same as items see last for others",
    ]


def test_code_tables_and_headings_are_left_out(corpus):
    text = """Add one to the number.

    Parameters
    ----------
    number : int
        The number to which one is added.

    Examples of the use of it
    -------------------------
    >>> add_one(of=the, a=1)
    it is not the output of a test
    and this is not in the text

    What follows is a literal block::

        if this is in the block and not in the text:
            a = the + block

    This is after the block.

    ==== ====
    spam eggs
    ==== ====
    """
    assert lines_of(corpus, text) == [
        "add one to the number",
        "the number to which one is added",
        "what follows is a literal block",
        "this is after the block",
    ]


def test_bullets_and_fields_are_sentences_of_their_own(corpus):
    text = """There are two of them
    - the first of the two
      goes on in this line
    - the second of the two
    :param size: the size of the result
    """
    assert lines_of(corpus, text) == [
        "there are two of them",
        "the first of the two goes on in this line",
        "the second of the two",
        "the size of the result",
    ]


def test_repeats_are_dropped(corpus):
    texts = [f"This is said in each of them. This is number {word}." for word in ("one", "two", "three")]
    lines = lines_of(corpus, *texts, texts[0])
    assert lines.count("this is said in each of them") == corpus.MOST_REPEATS == 2
    assert [line for line in lines if "number" in line] == [
        "this is number one",
        "this is number two",
        "this is number three",
    ]


def test_the_corpus_ends_at_its_bound_and_reads_no_further(corpus):
    def texts():
        yield "This is the first of them."
        yield "This is the second of them."
        raise AssertionError("read past the bound")

    assert corpus.corpus_lines(texts(), most_words=8) == ["this is the first of them", "this is the second of them"]


@pytest.mark.parametrize(
    ("sentence", "is_english"),
    [
        ("return the size of the file", True),
        ("size none", False),
        ("spam eggs bacon ham sausage tomato beans", False),
        ("", False),
    ],
)
def test_english_is_told_by_its_function_words(corpus, sentence, is_english):
    assert corpus.is_english(sentence.split()) is is_english


def test_docstrings_are_read_where_python_has_them_and_no_other_strings(corpus):
    source = '''"""module"""
name = "value"
class Thing:
    """class"""
    size: int = 0
    """attribute"""
    async def method(self, mode="default"):
        """method"""
        try:
            def inner():
                """inner"""
        except ValueError:
            print("argument")
add_newdoc("numpy", "flat", ("base", """added"""))
other_call("""not added""")
topics = {"key": "topic one", "other": "topic two"}
notes = {"key": "not a topic"}
'''
    texts = list(corpus.source_texts(ast.parse(source)))
    assert texts == [
        *("module", "class", "attribute", "method", "inner"),
        *("numpy", "flat", "base", "added", "topic one", "topic two"),
    ]


def test_files_that_are_not_python_are_passed_over_and_nothing_is_imported(corpus, tmp_path):
    (tmp_path / "a.py").write_text('"""first"""\nraise SystemExit("imported")\n')
    (tmp_path / "b.py").write_text("{{ template }} is no python\n")
    (tmp_path / "c.py").write_bytes(b'# coding: utf-8\n"""\xff\xfe"""\n')
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "d.py").write_text('"""elsewhere"""\n')
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "e.py").write_text('"""last"""\n')
    assert list(corpus.file_texts(tmp_path)) == ["first", "last"]


def test_compiled_modules_are_asked_for_their_docstrings(corpus):
    texts = set(corpus.compiled_texts(["math", "builtins", "no_such_module_anywhere"]))
    assert {sys.modules["math"].__doc__, list.__doc__, list.append.__doc__, len.__doc__} <= texts


def test_the_script_writes_the_corpus_and_counts_it(tmp_path):
    out = tmp_path / "corpus.txt"
    done = subprocess.run(
        [sys.executable, SCRIPT, out, "--most-words", "20000"], capture_output=True, text=True, check=True
    )
    lines = out.read_text(encoding="utf-8").splitlines()
    words = sum(len(line.split()) for line in lines)
    assert done.stdout == f"{words:,} words in {len(lines):,} sentences\n"
    assert 20_000 <= words < 40_000
    assert all(line == line.lower() and line == " ".join(line.split()) for line in lines)
    assert list(tmp_path.iterdir()) == [out]
