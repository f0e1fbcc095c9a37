"""Phrases in plain Python, from the formulas: dictionaries of strings, no limit of memory."""

from math import inf, log

import numpy as np


def count(sentences, delimiter, connectors):
    """Counts of words and joined pairs, and the number of words read."""
    counts, tokens = {}, 0
    for sentence in sentences:
        parts = []
        for word in sentence:
            tokens += 1
            if word in connectors:
                parts += [word] if parts else []
                continue
            for entry in [word] + [delimiter.join([*parts, word])] * bool(parts):
                counts[entry] = counts.get(entry, 0) + 1
            parts = [word]
    return counts, tokens


def score(scoring, left, right, pair, min_count, entries, tokens):
    """The formulas of ``score_pair``."""
    if not (left and right and pair):
        return -inf
    if scoring == "default":
        return (pair - min_count) / float(left * right) * entries
    if scoring == "npmi":
        if pair < min_count or pair >= tokens:
            return -inf
        return log(pair / tokens / (left / tokens * (right / tokens))) / -log(pair / tokens)
    if min(left, right, pair) < min_count:
        return -inf
    real = np.float32
    return float(real(pair - min_count) / real(left) / real(right) * real(tokens))


def join(sentences, options):
    """Sentences with phrases joined, and (count, score) of each phrase, for one pass of ``options``."""
    counts, tokens = count(sentences, options.delimiter, options.connector_words)
    found = {}

    def scored(parts):
        joined = options.delimiter.join(parts)
        numbers = [counts.get(entry, 0) for entry in (parts[0], parts[-1], joined)]
        value = score(options.scoring, *numbers, options.min_count, len(counts), tokens)
        if value > options.limit:
            found[joined] = numbers[2], value
            return joined
        return None

    result = []
    for sentence in sentences:
        done, parts = [], []
        for word in sentence:
            if word in options.connector_words:
                (parts or done).append(word)
                continue
            phrase = scored([*parts, word]) if parts else None
            done += [phrase] if phrase else parts
            parts = [] if phrase else [word]
        result.append(done + parts)
    return result, found
