"""Texts for measuring memory, written block by block, and commands whose anonymous memory is watched.

Anonymous memory is what a program allocates: mapped files, which the system can drop and read again, are not in it.
"""

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
_DIGITS = np.frombuffer(b"0123456789abcdefghijklmnopqrstuvwxyz", np.uint8)
# Tokens that are made at once, and how many times before blocks come again.
_BLOCK, _DIFFERENT = 1 << 20, 32
_WATCHED = 0.02  # seconds between two looks


def number_words(numbers: np.ndarray, digits: int) -> np.ndarray:
    """Words of ``digits`` characters and a space after each, uint8 (n, digits + 1): numbers in base 36."""
    out = np.full((numbers.size, digits + 1), 32, np.uint8)
    rest = numbers.astype(np.int64)
    for place in range(digits - 1, -1, -1):
        rest, digit = np.divmod(rest, 36)
        out[:, place] = _DIGITS[digit]
    return out


def write_zipf(path: Path, size: int, words: int = 40_000, line: int = 1000, seed: int = 1) -> int:
    """A text of about ``size`` bytes of words of three characters, frequent ones as in language; returns its tokens.

    A token takes four bytes as text and four as an id; after _DIFFERENT blocks they come again, in any order.
    words: 36³ = 46,656 at most; line: tokens per line.
    """
    rng = np.random.default_rng(seed)
    shares = 1.0 / np.arange(1, words + 1)
    limits = np.cumsum(shares / shares.sum())
    blocks: list[bytes] = []
    left = size // 4
    with open(path, "wb") as file:
        while left > 0:
            if len(blocks) < _DIFFERENT:
                chosen = np.searchsorted(limits, rng.random(min(_BLOCK, size // 4)), side="right")
                text = number_words(np.minimum(chosen, words - 1), 3)
                text[line - 1 :: line, 3] = text[-1, 3] = 10
                blocks.append(text.tobytes())
            block = blocks[rng.integers(len(blocks))][: 4 * left]
            left -= len(block) // 4
            file.write(block)
    return size // 4


def write_distinct(path: Path, words: int, frequent: int, length: int = 7, seed: int = 1) -> int:
    """A text in which ``words`` words occur once and, between them, ``frequent`` ones again and again.

    length: characters of a word, 7 or more. A fifth of the tokens are frequent words. Returns the tokens.
    """
    rng = np.random.default_rng(seed)
    step, tokens = _BLOCK // 5, 0
    with open(path, "wb") as file:
        for begin in range(0, words, 4 * step):
            rare = np.arange(begin, min(begin + 4 * step, words)) + 36
            # The number that is met n-th is spread over the alphabet, so that neighbours share no beginnings.
            rare = rare * 1_000_003 % (36**6 - 5) + 36**6
            numbers = np.concatenate([rare, rng.integers(0, frequent, -(-rare.size // 4))])
            rng.shuffle(numbers)
            text = number_words(numbers, length)
            text[49::50, length] = 10
            text[-1, length] = 10
            file.write(text.tobytes())
            tokens += len(text)
    return tokens


@dataclass
class Watched:
    """A command that has ended: what it printed, seconds, and the most anonymous memory it held, in bytes.

    A returncode below 0 is that of a command that was ended because it went over its limit.
    """

    returncode: int
    stdout: str
    stderr: str
    seconds: float
    peak: int


def watch(command: list[str], limit: int | None = None, nice: int = 0) -> Watched:
    """Run a command to its end, or until it holds more than ``limit`` bytes; nice: added to its niceness."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: os.nice(nice), cwd=ROOT
    )
    peak = [0]

    def look() -> None:
        while process.poll() is None:
            peak[0] = max(peak[0], anonymous_memory(process.pid))
            if limit is not None and peak[0] > limit:
                process.kill()
            time.sleep(_WATCHED)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    stdout, stderr = process.communicate()
    watcher.join()
    return Watched(process.returncode, stdout, stderr, time.perf_counter() - start, peak[0])


def anonymous_memory(pid: int | str = "self") -> int:
    """RssAnon of a process, in bytes; 0 where it has ended. Linux."""
    try:
        with open(f"/proc/{pid}/status") as file:
            return next((int(line.split()[1]) << 10 for line in file if line.startswith("RssAnon")), 0)
    except OSError:
        return 0


if __name__ == "__main__":
    sys.exit("this file is used by scripts/bench_memory and by the tests")
