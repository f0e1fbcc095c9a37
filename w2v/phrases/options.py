"""What decides which pairs become phrases."""

from __future__ import annotations

import math
from dataclasses import dataclass

from w2v.errors import ConfigError

# The threshold of each way to score where none is given: gensim's, a moderate one (gensim has none for npmi), and
# word2phrase.c's.
THRESHOLDS = {"default": 10.0, "npmi": 0.5, "word2phrase": 100.0}

_MOST = 2**31 - 1


@dataclass(frozen=True)
class PhraseOptions:
    """How phrases are found; names and defaults are those of gensim's ``Phrases``.

    scoring: "default" (Mikolov et al. 2013b as gensim scales it), "npmi" (Bouma 2009) or "word2phrase" (as
    word2phrase.c). threshold: a pair scores more than this (None: THRESHOLDS). min_count: what ``default`` and
    ``word2phrase`` take off the count of a pair, and the least count of a pair for ``npmi``. delimiter: stands
    between the joined words. connector_words: may stand within a phrase, never at its ends, and are not counted.
    max_vocab_size: the most words and pairs held while counting. passes: each one runs over the text that the one
    before wrote. lowercase: ``str.lower`` on the text.

    Raises ConfigError on a value out of range.
    """

    scoring: str = "default"
    threshold: float | None = None
    min_count: int = 5
    delimiter: str = "_"
    connector_words: frozenset[str] = frozenset()
    max_vocab_size: int = 40_000_000
    passes: int = 1
    lowercase: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.scoring not in THRESHOLDS:
            raise ConfigError(f"--scoring {self.scoring} is unknown: use {', '.join(THRESHOLDS)}")
        for name in ("min_count", "max_vocab_size", "passes"):
            value = getattr(self, name)
            if not 1 <= value <= _MOST:
                raise ConfigError(f"--{name.replace('_', '-')} {value} is out of range: use 1 to {_MOST}")
        self._check_threshold()
        self._check_delimiter()

    @property
    def limit(self) -> float:
        """The threshold that applies."""
        return THRESHOLDS[self.scoring] if self.threshold is None else float(self.threshold)

    def _check_threshold(self) -> None:
        if self.scoring == "npmi":
            if not -1 <= self.limit <= 1:
                raise ConfigError(f"--threshold {self.threshold} is out of range: npmi is between -1 and 1")
        elif not (self.limit > 0 and math.isfinite(self.limit)):
            raise ConfigError(f"--threshold {self.threshold} is out of range: use more than 0")

    def _check_delimiter(self) -> None:
        if not self.delimiter:
            raise ConfigError("--delimiter is empty: give the characters that join two words, such as _")
        if any(character.isspace() for character in self.delimiter):
            raise ConfigError(f"--delimiter {self.delimiter!r} holds white space, which separates words: use _, say")
        try:
            self.delimiter.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"--delimiter {self.delimiter!r} is not UTF-8: use _, say") from None
