"""When replicas synchronise, and which rows they exchange then.

Hot rows are exchanged most often (Ji et al. 2016, *Parallelizing Word2Vec in Shared and Distributed Memory*, §3.2;
pWord2Vec): the k-th round of an epoch covers the min(2^ctz(k) · 1024, V) most used rows of every matrix, so that half
of the rounds cover 1024 rows, a quarter 2048, and so on. The last round of an epoch covers all.
"""

from __future__ import annotations

import math

#: Rows of the smallest round.
FEWEST_ROWS = 1024
# What a replica does not see between two rounds grows with the others' number, and so does its learning rate: on
# CPUs quality held with 50,000 words for four replicas, and fell with 100,000; with 640,000 and late sums for two:
# the power is the one between these. (data/results/replicas-quality.json, replicas-intervals.json)
_CPU_WORDS, _FEWEST_CPU_WORDS, _POWER = 12_800_000, 10_000, 4
#: Where sums overlap with training, how much later than it begins a round ends, as a share of the way to the next:
#: so much may members differ in speed without waiting for one another.
LATE = 0.25
# Replicas whose sums do: with four it cost a point, even with 40,000 words.
_MOST_LATE = 2
# A GPU trains them in milliseconds, a round takes as long as a fraction of one (scripts/simulate_scaling).
_GPU_WORDS = 2_000_000


def sums_overlap(replicas: int) -> bool:
    """Whether replicas on CPUs train on while their rows are added up."""
    return replicas <= _MOST_LATE


def default_sync_words(replicas: int, device: str) -> int:
    """Words that a replica trains between two rounds where nothing else is asked for; device: "cpu" or "cuda"."""
    if device == "cuda":
        return _GPU_WORDS
    unseen = 1 + LATE * sums_overlap(replicas)
    return max(_FEWEST_CPU_WORDS, round(_CPU_WORDS / unseen / replicas**_POWER))


def rounds_per_epoch(words: int, replicas: int, sync_words: int) -> int:
    """Number of rounds of an epoch over ``words`` words, of which a replica trains ``sync_words`` between two."""
    return max(1, math.ceil(words / replicas / sync_words))


def rows_of_round(number: int, rounds: int, rows: int) -> int:
    """How many of a matrix's ``rows`` rows round 1 … rounds of an epoch covers."""
    if number == rounds:
        return rows
    return min((number & -number) * FEWEST_ROWS, rows)
