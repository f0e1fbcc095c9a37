"""What is asked of vectors: words, with or without regard to case, and sums of words."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from w2v.vectors import KeyedVectors

# + adds a word and - or a minus sign (U+2212) subtracts one.
SIGNS = {"+": 0, "-": 1, "\u2212": 1}


class AskedWords:
    """The words of ``vectors`` as they may be asked for; with ``ignore_case`` in any case, as ``w2v eval`` does.

    Of several spellings the first of the vocabulary, the most frequent one, is meant: then even by another spelling
    that is a word itself.
    """

    def __init__(self, vectors: KeyedVectors, ignore_case: bool = False) -> None:
        """With ``ignore_case``, in time and memory that grow with the vocabulary."""
        from w2v.vectors.spellings import Spellings

        self.vectors, self.ignore_case = vectors, ignore_case
        self._spellings = Spellings(vectors.index_to_key, True) if ignore_case else None

    def __contains__(self, word: str) -> bool:
        """Whether ``word`` has a vector."""
        return self.find(word) is not None

    def find(self, word: str) -> str | None:
        """The word of the vocabulary that is meant; None where there is none."""
        if self._spellings is None:
            return word if word in self.vectors else None
        row = self._spellings.row(word)
        return None if row is None else self.vectors.index_to_key[row]

    def found(self, words: Sequence[str]) -> list[str]:
        """The words of the vocabulary that known ``words`` mean."""
        return [self.find(word) for word in words]


class Question(NamedTuple):
    """A word, or a sum of at least two: ``text`` as it is asked."""

    text: str
    added: Sequence[str]
    subtracted: Sequence[str] = ()

    @property
    def words(self) -> list[str]:
        """All words of it."""
        return [*self.added, *self.subtracted]


def split(words: Container[str], line: str) -> list[str]:
    """The words of a line: the whole line where that is one (with spaces, say), else what ASCII space parts."""
    return [line] if line in words else split_at_space(line)


def split_at_space(line: str) -> list[str]:
    """What ASCII space parts."""
    from w2v.vectors.words import ASCII_SPACE

    return [word for word in ASCII_SPACE.split(line) if word]


def read_sum(words: Container[str], tokens: Sequence[str], typed: bool = False) -> Question | None:
    """The sum that ``tokens`` such as ``king -man +woman`` are; None where they are none.

    A sign stands before its word or apart from it; the first word may do without. What is one of the ``words`` itself
    is no sign, so that words that begin with one can be asked about. Where a line is ``typed`` it is one, though,
    behind the first word and before a word that is known, or apart.
    """
    sides: tuple[list[str], list[str]] = ([], [])
    side, signs = None, 0
    for position, token in enumerate(tokens):
        last = position + 1 == len(tokens)
        if side is not None:
            sides[side].append(token)
            side = None
        elif not _signed(words, token, typed and position > 0) or (last and len(token) == 1):
            sides[0].append(token)
        else:
            signs += 1
            if len(token) == 1:
                side = SIGNS[token]
            else:
                sides[SIGNS[token[0]]].append(token[1:])
    added, subtracted = sides
    return Question(" ".join(tokens), added, subtracted) if signs and len(added) + len(subtracted) > 1 else None


def _signed(words: Container[str], token: str, typed: bool) -> bool:
    """Whether ``token`` is a sign, or begins with one."""
    if token[:1] not in SIGNS:
        return False
    return token not in words or (typed and (len(token) == 1 or token[1:] in words))
