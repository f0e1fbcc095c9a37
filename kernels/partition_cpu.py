"""Words shared out by their hashes, on the CPU: so that several processes can add up counts. numba, without the GIL.

Reference: a word's part depends on its bytes and the secrets alone.
"""

import numpy as np

from .jit import kernel
from .text_cpu import hash_inline, hash_long

_U16, _U32 = np.uint64(16), np.uint64(32)


@kernel
def word_parts(entries, arena, secrets, parts, out):
    """The part, 0 … ``parts`` − 1, of each word of a word table (see ``tokenizer.py``).

    entries: uint64 (rows, 4), at least as many rows as ``out``; arena: uint8. secrets: uint64 (3,), odd, the same
    wherever parts are to agree. parts: below 2^31. out: int64 (words,), receives them.
    """
    for word in range(out.shape[0]):
        row = np.uint64(word)
        length = entries[row, 2]
        if length <= _U16:
            key = hash_inline(entries[row, 0], entries[row, 1], length, secrets)
        else:
            key = hash_long(arena, entries[row, 1], length, secrets)[0]
        out[word] = np.int64(((key >> _U32) * np.uint64(parts)) >> _U32)
