"""How many pairs a corpus gives, and how many of them make a batch of block softmax."""

from dataclasses import dataclass

import numpy as np

from w2v.config import TrainConfig
from w2v.kernels.stream_cpu import keep_thresholds

# A batch by default: the larger, the fewer distinct inputs per pair …
MOST_BATCH_PAIRS = 131_072
# … but a short corpus needs steps to learn from: Adagrad moves by steps, not by pairs.
STEPS_PER_EPOCH = 500
FEWEST_BATCH_PAIRS = 1024
# Words of a batch at most, however few of them sub-sampling keeps: what a batch is made of takes memory per word, and
# its places are 32-bit.
MOST_BATCH_TOKENS = 1 << 28


@dataclass(frozen=True)
class CorpusShape:
    """What a batch is planned by. counts: (V,) int64; tokens: words of the corpus; sentences: number of them."""

    counts: np.ndarray
    tokens: int
    sentences: int


def pairs_per_token(config: TrainConfig, shape: CorpusShape) -> tuple[float, float]:
    """Expected (share of the tokens that sub-sampling keeps, pairs per kept token; 1 for windows of CBOW).

    A pair at distance d is in a window with probability (W − d + 1) / W where windows shrink, and a sentence of n
    kept tokens has 2 (n − d) of them. Lengths are taken as geometric around their mean ñ, so that the mean of
    (n − d)₊ is ñ q^d with q = ñ / (1 + ñ): above 0 for short sentences too.
    """
    thresholds = keep_thresholds(shape.counts, config.sample).astype(np.float64)
    kept = float((shape.counts * thresholds).sum() / (2**32 - 1) / max(1.0, shape.counts.sum(dtype=np.float64)))
    if config.model == "cbow":
        return kept, 1.0
    length = kept * shape.tokens / max(1, shape.sentences)
    distance = np.arange(1, config.window + 1)
    reached = (config.window - distance + 1) / config.window if config.shrink_windows else np.ones(config.window)
    return kept, float((reached * 2 * (length / (1 + length)) ** distance).sum())


def default_batch_pairs(config: TrainConfig, shape: CorpusShape) -> int:
    """About STEPS_PER_EPOCH batches an epoch, within bounds."""
    kept, pairs = pairs_per_token(config, shape)
    return int(min(MOST_BATCH_PAIRS, max(FEWEST_BATCH_PAIRS, kept * shape.tokens * pairs / STEPS_PER_EPOCH)))


def tokens_per_batch(config: TrainConfig, shape: CorpusShape) -> int:
    """Words of the corpus, before sub-sampling, that give about ``config.batch_pairs`` pairs."""
    kept, pairs = pairs_per_token(config, shape)
    return min(MOST_BATCH_TOKENS, max(1, round(config.batch_pairs / max(1e-9, kept * pairs))))
