"""Words that may stand within a phrase, never at its ends."""

from __future__ import annotations

from pathlib import Path

from w2v.errors import CorpusError

# Articles, prepositions and conjunctions; the same fifteen that gensim names for English.
ENGLISH = frozenset(
    ("a", "an", "and", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with", "without")
)


def read_connector_words(name: str) -> frozenset[str]:
    """The connector words called ``none`` or ``english``, or those of a file: separated by white space, UTF-8.

    Raises CorpusError where the file cannot be read, is not UTF-8 or holds no word.
    """
    if name == "none":
        return frozenset()
    if name == "english":
        return ENGLISH
    try:
        words = frozenset(word.decode() for word in Path(name).read_bytes().removeprefix(b"\xef\xbb\xbf").split())
    except UnicodeDecodeError as error:
        raise CorpusError(f"{name} is not UTF-8 ({error.reason}): save the connector words as UTF-8") from None
    except OSError as error:
        raise CorpusError(
            f"cannot read the connector words {name}: {error.strerror or error}: give none, english or a file"
        ) from None
    if not words:
        raise CorpusError(f"{name} holds no connector word: give none, or words separated by white space")
    return words
