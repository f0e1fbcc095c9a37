"""Text to ids: sources, tokenizer, vocabulary, encoded corpus. Nothing here imports numba before text is read."""

from w2v.corpus.cache import CorpusCache, default_cache_dir
from w2v.corpus.encode import count_words, encode_corpus
from w2v.corpus.encoded import EncodedCorpus
from w2v.corpus.options import CorpusOptions
from w2v.corpus.sentences import encode_sentences
from w2v.corpus.vocabulary import Vocabulary

__all__ = [
    "CorpusCache",
    "CorpusOptions",
    "EncodedCorpus",
    "Vocabulary",
    "count_words",
    "default_cache_dir",
    "encode_corpus",
    "encode_sentences",
]
