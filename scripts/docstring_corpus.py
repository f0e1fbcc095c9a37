"""Build a corpus of real English out of the docstrings that every Python installation carries.

``python scripts/docstring_corpus.py OUT`` reads the standard library, the packages installed beside it, and
the language reference in ``pydoc_data.topics``, and writes one sentence per line as lower-case words. Nothing
is downloaded. Source files are parsed, not imported; only the modules of ``COMPILED_MODULES``, which have no
source to parse, are imported and asked for their ``__doc__``.
"""

import ast
import importlib
import inspect
import re
import sysconfig
import tokenize
import warnings
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

# Written in C, so that their docstrings exist only in memory. All of them are safe to import.
COMPILED_MODULES = (  # noqa: SIM905
    "builtins array bisect bz2 cmath collections contextvars datetime decimal errno fcntl functools gc "
    "hashlib io itertools lzma marshal math mmap operator os pickle pyexpat random re resource select "
    "signal socket sqlite3 ssl struct sys termios threading time unicodedata weakref zlib numpy "
    "numpy.linalg numpy.random"
).split()

# Packages live below the standard library's folder, and are read on their own.
SKIPPED_FOLDERS = {"site-packages", "dist-packages"}

# A line of English holds some of these; code, tables and lists of names hold few.
FUNCTION_WORDS = frozenset(
    (  # noqa: SIM905
        "a about after all also an and any are as at be been before both but by can cannot do does each "
        "either for from had has have how if in into is it its may more most must no not of on only or "
        "other otherwise over same should so some such than that the their them then there these they "
        "this those to under until up used was we when where whether which while who will with within "
        "without would you your"
    ).split()
)
SHORTEST_SENTENCE = 3  # words
LEAST_ENGLISH = 0.1  # share of function words

# Boilerplate stands in hundreds of docstrings ("See help(type(self)) for accurate signature."); what is said
# twice is still English.
MOST_REPEATS = 2


def main() -> None:
    """Command line: ``docstring_corpus.py OUT``."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the text file to write")
    parser.add_argument("--most-words", type=int, default=1_000_000, help="stop there (default: %(default)s)")
    arguments = parser.parse_args()
    lines = corpus_lines(installed_texts(), arguments.most_words)
    temporary = arguments.out.with_name(arguments.out.name + ".part")
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    temporary.replace(arguments.out)
    print(f"{sum(map(word_count, lines)):,} words in {len(lines):,} sentences")


def corpus_lines(texts: Iterable[str], most_words: int) -> list[str]:
    """The English sentences of the texts, as lower-case words joined by spaces, in order of appearance.

    A text that comes again is dropped, and so is a sentence after MOST_REPEATS. Reads no further once there are
    ``most_words``: an environment with hundreds of packages gives no larger corpus than a fresh one.
    """
    lines: list[str] = []
    seen: set[str] = set()
    repeats: Counter[str] = Counter()
    words_left = most_words
    for text in texts:
        clean = inspect.cleandoc(text)
        if clean in seen:
            continue
        seen.add(clean)
        for line in map(" ".join, english_sentences(clean)):
            repeats[line] += 1
            if repeats[line] <= MOST_REPEATS:
                lines.append(line)
                words_left -= word_count(line)
        if words_left <= 0:
            break
    return lines


def word_count(line: str) -> int:
    """The number of words in a line of the corpus."""
    return line.count(" ") + 1


# --- where the texts come from ---


def installed_texts() -> Iterator[str]:
    """The documentation strings of this interpreter's standard library, then of the packages beside it."""
    yield from file_texts(Path(sysconfig.get_path("stdlib")))
    yield from compiled_texts(COMPILED_MODULES)
    yield from file_texts(Path(sysconfig.get_path("purelib")))


def file_texts(root: Path) -> Iterator[str]:
    """The documentation strings of every Python file below ``root``, files in sorted order.

    Files that this interpreter cannot decode or parse are skipped: packages ship templates and files for
    other versions of Python, which are not code here.
    """
    for path in sorted(root.rglob("*.py")):
        if SKIPPED_FOLDERS.intersection(path.relative_to(root).parts):
            continue
        try:
            with tokenize.open(path) as file, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # invalid escapes in other people's strings
                tree = ast.parse(file.read())
        except (SyntaxError, ValueError, OSError):
            continue
        yield from source_texts(tree)


def source_texts(tree: ast.AST) -> Iterator[str]:
    """The documentation strings of one parsed file.

    Those are the strings that stand as statements of their own (docstrings, and the notes below attributes),
    the arguments of NumPy's ``add_newdoc``, and the values of the dictionary ``topics`` of ``pydoc_data``.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr):
            yield from expression_texts(node.value)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            if any(isinstance(target, ast.Name) and target.id == "topics" for target in node.targets):
                yield from strings(node.value.values)
        elif not isinstance(node, ast.expr):
            yield from source_texts(node)


def expression_texts(node: ast.expr) -> Iterator[str]:
    """The documentation in an expression that stands as a statement."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "add_newdoc":
        yield from strings(inner for argument in node.args for inner in ast.walk(argument))
    else:
        yield from strings([node])


def strings(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The values of those nodes that are string literals."""
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def compiled_texts(names: Iterable[str]) -> Iterator[str]:
    """The docstrings of the named modules, of what they hold, and of the members of their classes.

    A module that this platform lacks is skipped.
    """
    for name in names:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        yield from docstrings_of(module)
        for _, value in sorted(vars(module).items()):
            yield from docstrings_of(value)
            if isinstance(value, type):
                for _, member in sorted(vars(value).items()):
                    yield from docstrings_of(member)


def docstrings_of(value: object) -> Iterator[str]:
    """The docstring of one object; none where it is only that of the object's class."""
    text = getattr(value, "__doc__", None)
    if isinstance(text, str) and (isinstance(value, type) or text != type(value).__doc__):
        yield text


# --- from a docstring to sentences ---

RULE = re.compile(r"\s*([-=~*^#\"'`+_.])\1{2,}[-=~*^#+|\s]*$")
BULLET = re.compile(r"^\s*(?:[-*+•]|\(?\w{1,2}[.)]|\.\.|:\w[^:]*:(?!`)|@\w+)\s+")
PARAMETER = re.compile(r"\s*[*\w][\w*, .\[\]']*\s:(?:\s|$)")
MARKUP = re.compile(r":[\w:+-]+:(?=`)|[`*|\"]|<[^<> ]*>|\w+://\S+|%\([^)]*\)s|\S+@\S+")
ABBREVIATION = re.compile(r"\b(e\.g|i\.e|etc|vs|cf|resp|approx|no|fig|eq|sec|vol)\.", re.IGNORECASE)
SENTENCE_END = re.compile(r"(?<=[.!?;])[)\]'’”]*\s+(?=[\W_]*[A-Z0-9_])|:\s+(?=[A-Z])|\s--\s|\s[-–—]\s")
WORD = re.compile(r"\w+(?:'[a-z]+)?")


def english_sentences(text: str) -> Iterator[list[str]]:
    """The sentences of a dedented docstring that read as English, each as its words."""
    for paragraph in paragraphs(text):
        for sentence in sentences(paragraph):
            words = sentence_words(sentence)
            if is_english(words):
                yield words


def paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a dedented docstring, one line each, without doctests, code and headings."""
    held: list[str] = []
    in_doctest = False
    literal_indent: int | None = None  # the indentation of the line that announced a literal block with "::"
    for line in [*text.splitlines(), ""]:
        indent = indentation(line)
        if literal_indent is not None:
            if not line.strip() or indent > literal_indent:
                continue
            literal_indent = None
        if RULE.match(line):
            held, line = held[:-1], ""  # the line above a rule is a heading
        in_doctest = bool(line.strip()) and (in_doctest or line.lstrip().startswith((">>>", "$ ")))
        if held and (in_doctest or starts_paragraph(line, held[-1])):
            yield " ".join(part.strip() for part in held)
            held = []
        if line.strip() and not in_doctest:
            held.append(BULLET.sub(" " * indent, line, count=1))
            if line.rstrip().endswith("::"):
                literal_indent = indent


def starts_paragraph(line: str, previous: str) -> bool:
    """Whether ``line`` begins something new after the line ``previous`` (or ends it, being blank)."""
    return (
        not line.strip()
        or bool(BULLET.match(line) or PARAMETER.match(line))
        or indentation(line) < indentation(previous)
        or (indentation(line) > indentation(previous) and bool(PARAMETER.match(previous)))
    )


def indentation(line: str) -> int:
    """The number of leading blanks."""
    return len(line) - len(line.lstrip())


def sentences(paragraph: str) -> list[str]:
    """The sentences of one paragraph, with inline markup removed."""
    plain = ABBREVIATION.sub(lambda found: found[1].replace(".", ""), MARKUP.sub("", paragraph).replace("’", "'"))
    return SENTENCE_END.split(plain)


def sentence_words(sentence: str) -> list[str]:
    """The lower-case words of a sentence: letters, digits and underscores; numbers are left out."""
    return [word for word in WORD.findall(sentence.lower()) if not word.strip("_").isdigit() and word.strip("_")]


def is_english(words: list[str]) -> bool:
    """Whether the words read as a sentence, judged by its length and by its share of function words."""
    if len(words) < SHORTEST_SENTENCE:
        return False
    return sum(word in FUNCTION_WORDS for word in words) >= LEAST_ENGLISH * len(words)


if __name__ == "__main__":
    main()
