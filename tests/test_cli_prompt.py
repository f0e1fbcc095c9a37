"""The prompt of similar and analogy, in a real terminal: editing, completion, history, and how it ends."""

import os
import select
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from w2v.cli.asked import AskedWords, read_sum, split
from w2v.cli.completion import PrefixIndex
from w2v.cli.line_editor import state_folder
from w2v.cli.terminal_text import columns, padded, printable, width
from w2v.vectors import KeyedVectors

WORDS = ["man", "woman", "king", "queen", "apple", "pear", "womanly", "quit", "new york", "\x1b[31mred", "여왕"]
ROWS = [[1, 0, 0.1], [0, 1, 0.1], [1, 0, 1], [0, 1, 1], [-1, -1, 0.1], [-1, -0.9, 0], [0, 0.9, -1], [-1, 0.5, 0]]
CTRL_C, CTRL_D, UP, TAB = "\x03", "\x04", "\x1b[A", "\t"


@pytest.fixture
def vectors():
    rows = np.array([*ROWS, [-0.5, 1, 0.2], [0.3, -1, 0.7], [0.1, 1, 1]], np.float32)
    return KeyedVectors.from_arrays(WORDS, rows)


class Terminal:
    """A command in a terminal of its own: ``type`` keys, and get what appeared up to the next prompt."""

    def __init__(self, folder, arguments, prompt):
        import pty

        self.prompt = prompt
        self._master, slave = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "XDG_STATE_HOME": str(folder), "INPUTRC": os.devnull}
        environment.update(LC_ALL="C.UTF-8", COLUMNS="80", PYTHONPATH=str(Path(__file__).parent.parent))
        command = [sys.executable, "-m", "w2v", *map(str, arguments)]
        self._process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
            preexec_fn=_control_terminal,
        )  # fmt: skip
        os.close(slave)
        self.greeting = self.until(prompt)

    def until(self, ending, seconds=30):
        """What appears until ``ending`` does; without it, until the terminal closes."""
        seen, end = b"", time.monotonic() + seconds
        while time.monotonic() < end:
            if not select.select([self._master], [], [], 0.1)[0]:
                continue
            try:
                part = os.read(self._master, 65536)
            except OSError:  # the terminal is closed
                part = b""
            seen += part
            if not part or (ending is not None and seen.endswith(ending.encode())):
                return seen.decode().replace("\r\n", "\n")
        raise AssertionError(f"waited for {ending!r}, and saw {seen!r}")

    def type(self, keys, ending=""):
        """What appears after ``keys`` until ``ending``, by default the next prompt."""
        os.write(self._master, keys.encode())
        return self.until(ending or self.prompt)

    def type_control_c(self):
        """What appears after Ctrl-C until the next prompt."""
        self._settle()
        return self.type(CTRL_C)

    def _settle(self):
        """Let the reader of keys wait for one: Python hears of a signal from there, or with the next line."""
        time.sleep(0.3)

    def end(self, keys):
        """Type ``keys``, and wait: (exit status, what appeared)."""
        self._settle()
        os.write(self._master, keys.encode())
        seen = self.until(None)
        os.close(self._master)
        return self._process.wait(60), seen


def _control_terminal():
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminal(tmp_path, vectors):
    """Start a command on the vectors, with its history under tmp_path."""
    pytest.importorskip("pty", reason="needs a terminal of Unix")
    pytest.importorskip("readline")
    vectors.save(tmp_path / "model")

    def start(command, *options):
        return Terminal(tmp_path / "state", [command, tmp_path / "model", *options], f"{command}> ")

    return start


def test_a_conversation_about_similar_words(terminal, tmp_path):
    prompt = terminal("similar", "-n", "2")
    assert "11 words" in prompt.greeting
    answers = [line.split() for line in prompt.type("woman\r").splitlines()[1:-1]]
    assert answers == [["new", "york", "0.8936"], ["queen", "0.7740"]]
    assert prompt.type("\r") == "\nsimilar> "
    both = prompt.type("apple queen\r").splitlines()
    assert [line for line in both[1:-1] if line[0] != " "] == ["apple", "queen"]
    assert both[2].split()[0] == "pear"
    sums = prompt.type("king - man +woman\r").splitlines()
    assert (sums[1], sums[2].split()) == ("king + woman - man", ["queen", "0.9597"])
    assert "'kingg' is not in the vocabulary: did you mean king" in prompt.type("kingg\r")
    assert "'kingg' is not in the vocabulary: did you mean king" in prompt.type("man -kingg\r")
    assert "'-man' is not in the vocabulary: a sum takes another word, as in other -man" in prompt.type("-man\r")
    unknown = prompt.type("zzzz apple\r")
    assert "pear" in unknown
    assert "'zzzz' is not in the vocabulary" in unknown
    assert "woman" in prompt.type("womanly\r")
    # Tab: a whole word, a common beginning, and on the second press the candidates, most frequent first.
    assert "apple " in prompt.type("app" + TAB, "apple ")
    prompt.type_control_c()
    prompt.type("w" + TAB, "oman")
    shown = prompt.type(TAB + TAB, "similar> woman")
    assert shown.split("\n")[1].split() == ["woman", "womanly"]
    assert "queen" in prompt.type("\r")
    assert prompt.type("king -app" + TAB, "-apple ").endswith("-apple ")
    assert "king - apple" in prompt.type("\r")
    # History: up once is the line before.
    prompt.type("pear\r")
    assert "pear" in prompt.type(UP + "\r").splitlines()[0]
    # A word of the vocabulary is one, even where it would end the prompt elsewhere; :q ends it.
    assert len(prompt.type("quit\r").splitlines()) == 4
    status, _ = prompt.end(":q\r")
    assert status == 0
    history = tmp_path / "state" / "w2v" / "history-similar"
    assert history.read_text("utf-8").splitlines()[:3] == ["woman", "apple queen", "king - man +woman"]
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.parent.stat().st_mode) == 0o700


def test_history_outlives_the_prompt_and_control_d_ends_it(terminal, tmp_path):
    first = terminal("analogy", "-n", "1")
    answer = first.type("man king woman\r").splitlines()
    assert (answer[1], answer[2].split()[0]) == ("king - man + woman", "queen")
    sums = first.type("king -man +woman\r").splitlines()
    assert (sums[1], sums[2].split()[0]) == ("king + woman - man", "queen")
    assert "three words" in first.type("man king\r")
    assert "did you mean woman" in first.type("man king women\r")
    assert first.end(CTRL_D)[0] == 0
    second = terminal("analogy", "-n", "1", "--cosmul")
    assert "needs a word that is added" in second.type("-man -king\r")
    answer = second.type(UP * 5 + "\r").splitlines()
    assert (answer[-3], answer[-2].split()[0]) == ("king - man + woman", "quit")  # 3CosMul likes what is far from man
    assert second.end(CTRL_D)[0] == 0


def test_a_prompt_in_any_case(terminal):
    prompt = terminal("analogy", "-n", "1", "--ignore-case")
    answer = prompt.type("MAN King woman\r").splitlines()
    assert (answer[1], answer[2].split()[0]) == ("king - man + woman", "queen")
    assert prompt.end(CTRL_D)[0] == 0
    prompt = terminal("similar", "-n", "1", "--ignore-case")
    assert "pear" in prompt.type("Apple\r")
    assert "king + woman - man" in prompt.type("KING -MAN +WOMAN\r")
    assert prompt.end(CTRL_D)[0] == 0


def test_the_greeting_counts_in_thousands(tmp_path, terminal):
    KeyedVectors.from_arrays([f"w{row}" for row in range(1234)], np.ones((1234, 2), np.float32)).save(
        tmp_path / "model"
    )
    prompt = terminal("similar")
    assert "\n1,234 words. Type" in "\n" + prompt.greeting
    assert prompt.end(CTRL_D)[0] == 0


def test_control_c_clears_the_line_and_twice_ends(terminal):
    prompt = terminal("similar")
    prompt.type("half a li", "half a li")
    assert "Ctrl-C again" in prompt.type_control_c()
    assert "pear" in prompt.type("apple\r")
    assert "Ctrl-C again" in prompt.type_control_c()
    status, seen = prompt.end(CTRL_C)
    assert status == 130
    assert "interrupted" in seen
    assert "Traceback" not in seen


def test_json_and_words_that_command_terminals(terminal):
    prompt = terminal("similar", "-n", "20")
    shown = prompt.type("apple\r")
    assert "\x1b[31m" not in shown
    assert "\ufffd[31mred" in shown
    # Numbers stand under one another, behind words of any script.
    (queen,) = [line for line in shown.splitlines() if "여왕" in line]
    (red,) = [line for line in shown.splitlines() if "red" in line]
    assert width(queen) == width(red)
    assert prompt.end("quit\r:q\r")[0] == 0
    prompt = terminal("similar", "-n", "1", "--json")
    assert '"word": "pear"' in prompt.type("apple\r")
    assert prompt.end(CTRL_D)[0] == 0


def test_without_a_place_for_history_it_says_so_and_answers(terminal, tmp_path):
    (tmp_path / "state").write_text("a file", "utf-8")
    prompt = terminal("similar")
    assert "no history is kept" in prompt.greeting
    assert "pear" in prompt.type("apple\r")
    assert prompt.end(CTRL_D)[0] == 0


def sides(words, line, typed):
    """(added, subtracted) words of a sum, None where the line is none."""
    asked = read_sum(words, split(words, line), typed)
    return None if asked is None else (asked.added, asked.subtracted)


@pytest.mark.parametrize("typed", [False, True])
def test_sums(vectors, typed):
    sums = {
        "king -man +woman": (["king", "woman"], ["man"]),
        "king - man + woman": (["king", "woman"], ["man"]),
        "king \u2212man \u2212 apple": (["king"], ["man", "apple"]),
        "-man +king": (["king"], ["man"]),
        "-man -king": ([], ["man", "king"]),
        "king queen -man": (["king", "queen"], ["man"]),
        "king +zzz": (["king", "zzz"], []),
        "king - -man": (["king"], ["-man"]),
    }
    for line, wanted in sums.items():
        assert sides(vectors, line, typed) == wanted, line
    for line in ("king", "king queen", "-man", "- man", "new york", "king -", "+", ""):
        assert sides(vectors, line, typed) is None, line


def test_words_that_begin_with_a_sign(vectors):
    vectors.add_vectors(["-man", "-dash", "-"], np.ones((3, 3)))
    for line, wanted in {"king -man": (["king"], ["man"]), "king - man": (["king"], ["man"])}.items():
        assert sides(vectors, line, typed=True) == wanted
        assert sides(vectors, line, typed=False) is None
    for typed in (False, True):
        assert sides(vectors, "king -dash", typed) is None
        assert sides(vectors, "king -dash -apple", typed) == (["king", "-dash"], ["apple"])
        assert sides(vectors, "-man king", typed) is None


def test_words_in_any_case(vectors):
    vectors.add_vectors(["King", "KING", "Straße"], np.ones((3, 3)))
    words, exact = AskedWords(vectors, ignore_case=True), AskedWords(vectors)
    assert words.found(["KING", "King", "Woman", "STRASSE", "New York"]) == [
        "king", "king", "woman", "Straße", "new york"
    ]  # fmt: skip
    assert exact.found(["KING", "King"]) == ["KING", "King"]
    assert (exact.find("Woman"), words.find("zzz")) == (None, None)
    assert sides(words, "KING -Man", typed=False) == (["KING"], ["Man"])


def test_lines_are_split_as_texts_are(vectors):
    assert split(vectors, "new york") == ["new york"]
    assert split(vectors, " new  york\tking\x0c") == ["new", "york", "king"]
    assert split(vectors, "a\u00a0b c") == ["a\u00a0b", "c"]


def test_completion_agrees_with_a_scan():
    random = np.random.default_rng(0)
    words = list(dict.fromkeys("".join(random.choice(list("abé여"), random.integers(0, 6))) for _ in range(2000)))
    index = PrefixIndex(words)
    for prefix in ("", "a", "ab", "é", "여b", "abab", "zz", "b\U0010ffff"):
        wanted = [word for word in words if word.startswith(prefix)]
        assert index.count(prefix) == len(wanted)
        for limit in (1, 3, 5000):
            assert index.frequent(prefix, limit) == wanted[:limit]
            candidates = index.candidates(prefix, limit)
            assert candidates[:limit] == wanted[:limit]
            assert set(candidates) <= set(wanted)
            assert os.path.commonprefix(candidates) == os.path.commonprefix(wanted)
    assert PrefixIndex([]).candidates("a", 3) == []


def test_text_for_terminals():
    assert width("king") == 4
    assert width("여왕") == 4
    assert width("e\u0301") == 1
    assert padded("여왕", 6) == "여왕  "
    assert columns(["a", "bbb", "cc", "d"], 10) == "a    bbb\ncc   d"
    assert columns(["toolong"], 3) == "toolong"
    assert columns([], 80) == ""
    assert printable("a\x1b[0m\u202eb") == "a\ufffd[0m\ufffdb"


@pytest.mark.parametrize("value", ["", "relative"])
def test_the_state_folder_without_a_usable_choice(monkeypatch, value):
    monkeypatch.setenv("XDG_STATE_HOME", value)
    assert state_folder() == Path(os.path.expanduser("~/.local/state/w2v"))
