"""gensim: ``NAME.bin``, word2vec's binary format, and ``NAME.vocab``, a word, a space and its count per line.

``KeyedVectors.load_word2vec_format(NAME.bin, fvocab=NAME.vocab, binary=True)`` finds vectors and counts; nothing is
pickled. gensim splits the lines of counts at any white space, Unicode's too, so all of it becomes U+2581.
"""

from __future__ import annotations

from pathlib import Path

from w2v.atomic import atomic_file, check_file
from w2v.errors import OutputError
from w2v.export.layout import Layout, Settings, Table, writable
from w2v.vectors.files import warn_unless_finite
from w2v.vectors.word2vec_binary import write_binary


class GensimLayout(Layout):
    """Two files side by side."""

    name = "gensim"

    def outputs(self, path: Path) -> list[Path]:
        """The vectors and the counts; ``path`` with or without ``.bin``."""
        stem = path.with_suffix("") if path.suffix.lower() == ".bin" else path
        return [path if stem != path else path.with_name(f"{path.name}.bin"), stem.with_name(f"{stem.name}.vocab")]

    def check(self, path: Path) -> None:
        """See ``Layout.check``."""
        for output in self.outputs(path):
            check_file(output)

    def write(self, path: Path, table: Table, settings: Settings) -> None:
        """See ``Layout.write``. Without counts there is no second file, and an old one must not stay beside this."""
        binary, vocabulary = self.outputs(path)
        if table.counts is None and vocabulary.exists():
            raise OutputError(f"{vocabulary} belongs to other vectors, and these have no counts: move it away")
        warn_unless_finite(path, table.vectors)
        words = [word.encode("utf-8") for word in writable(table.words, r"\s")]
        if table.counts is None:
            _write_vectors(binary, words, table)
            return
        with atomic_file(vocabulary) as temporary:
            lines = zip(words, table.counts.tolist(), strict=True)
            temporary.write_bytes(b"".join(b"%b %d\n" % line for line in lines))
            _write_vectors(binary, words, table)

    def usage(self, path: Path) -> str:
        """See ``Layout.usage``."""
        binary, vocabulary = self.outputs(path)
        counts = f"fvocab={str(vocabulary)!r}, " if vocabulary.exists() else ""
        return f"gensim.models.KeyedVectors.load_word2vec_format({str(binary)!r}, {counts}binary=True)"


def _write_vectors(path: Path, words: list[bytes], table: Table) -> None:
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        write_binary(stream, words, table.blocks(), table.shape)


LAYOUT = GensimLayout()
