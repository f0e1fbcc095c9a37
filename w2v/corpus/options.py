"""What decides which tokens become which ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from w2v.errors import ConfigError


@dataclass(frozen=True)
class CorpusOptions:
    """How a vocabulary is chosen.

    min_count: words that occur less often are dropped. max_vocab_size: the most distinct words held while
    counting; where text has more, rare ones are pruned and the text is read twice. max_final_vocab: keep at most
    this many words, the most frequent ones. lowercase: ``str.lower`` on every word. vocab_file: use this saved
    vocabulary, its order and its counts, as it is; the three limits are then not applied.

    Raises ConfigError on a value out of range.
    """

    min_count: int = 5
    max_vocab_size: int | None = None
    max_final_vocab: int | None = None
    lowercase: bool = False
    vocab_file: str | Path | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.min_count < 0:
            raise ConfigError(f"--min-count {self.min_count} is out of range: use 0 or more")
        for name in ("max_vocab_size", "max_final_vocab"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name.replace('_', '-')} {value} is out of range: use 1 or more")
