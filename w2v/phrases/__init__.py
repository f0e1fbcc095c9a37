"""Phrases: pairs of words that occur together more often than by chance, joined into one token.

Nothing here imports numba before text is read.
"""

from w2v.phrases.join import Phrase, PhraseTotals, join_phrases
from w2v.phrases.options import PhraseOptions

__all__ = ["Phrase", "PhraseOptions", "PhraseTotals", "join_phrases"]
