"""When replicas synchronise, and which rows they exchange then.

Hot rows are exchanged most often (Ji et al. 2016, *Parallelizing Word2Vec in Shared and Distributed Memory*, §3.2;
pWord2Vec): the k-th round of an epoch covers the min(2^ctz(k) · 1024, V) most used rows of every matrix, so that half
of the rounds cover 1024 rows, a quarter 2048, and so on. The last round of an epoch covers all.
"""

from __future__ import annotations

import math

#: Rows of the smallest round.
FEWEST_ROWS = 1024


def rounds_per_epoch(words: int, replicas: int, sync_words: int) -> int:
    """Number of rounds of an epoch over ``words`` words, of which a replica trains ``sync_words`` between two."""
    return max(1, math.ceil(words / replicas / sync_words))


def rows_of_round(number: int, rounds: int, rows: int) -> int:
    """How many of a matrix's ``rows`` rows round 1 … rounds of an epoch covers."""
    if number == rounds:
        return rows
    return min((number & -number) * FEWEST_ROWS, rows)
