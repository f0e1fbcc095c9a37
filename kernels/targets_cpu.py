"""What a window predicts: the (output row, label) pairs of its centre, one rule per objective of the row-wise family.

An objective hands the kernels a named tuple of tables; ``list_targets`` is chosen by its type at compile time, so
a new objective adds a tuple and an overload and touches no kernel.
"""

from collections import namedtuple

from numba import types
from numba.extending import overload

from .random import alias_draw

NoiseTables = namedtuple("NoiseTables", "buckets negative")
NoiseTables.__doc__ = """Negative sampling: buckets (V,) uint64 of the noise's alias table (``random.alias_draw``),
and ``negative``, the number of noise words."""

PathTables = namedtuple("PathTables", "offsets nodes codes longest")
PathTables.__doc__ = """Hierarchical softmax: word w's path is nodes[offsets[w]:offsets[w+1]] (int32 rows of the
output vectors) with the branch taken at each in codes (int8); offsets (V+1,) int64; ``longest`` path."""


def list_targets(tables, word, key, first_draw, rows, signs):
    """Write the output rows (int32) and signs (+1 label one, −1 label zero, float32) of a word; return how many.

    key: the window's uint64 key; first_draw: number of the first draw to use, two per noise word.
    """
    raise NotImplementedError("called from compiled code only")


def target_capacity(tables) -> int:
    """The largest number of rows that ``list_targets`` writes for these tables."""
    return tables.negative + 1 if isinstance(tables, NoiseTables) else tables.longest


@overload(list_targets, inline="never")
def _list_targets(tables, word, key, first_draw, rows, signs):
    if not isinstance(tables, types.NamedTuple):
        return None
    if tables.instance_class is NoiseTables:

        def noise(tables, word, key, first_draw, rows, signs):
            rows[0] = word
            signs[0] = 1.0
            count = 1
            for j in range(tables.negative):
                row = alias_draw(key, first_draw + j, tables.buckets)
                if row != word:  # word2vec.c: a draw of the target itself is skipped, not drawn again
                    rows[count] = row
                    signs[count] = -1.0
                    count += 1
            return count

        return noise

    if tables.instance_class is PathTables:

        def path(tables, word, key, first_draw, rows, signs):
            begin = tables.offsets[word]
            count = tables.offsets[word + 1] - begin
            for j in range(count):
                rows[j] = tables.nodes[begin + j]
                signs[j] = 1.0 - 2.0 * tables.codes[begin + j]  # code 0 is label one, as in word2vec.c
            return count

        return path
    return None
