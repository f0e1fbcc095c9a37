"""How many distinct inputs of a batch reach a cluster.

The hidden vector of a skip-gram pair depends on its input word alone, so a step computes each block once per
distinct input that has a target in it. That number takes the place of p·B in the cost of a cluster in Grave et al.
2017 (section 4), where every example has a hidden vector of its own.
"""

from __future__ import annotations

import numpy as np

from w2v.errors import TrainingError

# Shares within one part in a hundred of each other are counted as one: the sum moves by about 1e-5 of itself.
_GROUP_WIDTH = 0.01
# Points of the table, from 1e-12 to 1: linear between them in logarithms is good to about 2e-5.
_POINTS = 2048
_LEAST = 1e-12


def clumping(tokens: float) -> float:
    """κ: how evenly words are spread over a batch of this many kept tokens of running text; infinite is Poisson.

    A gamma mixture of Poisson rates (Church & Gale 1995, "Poisson mixtures") with κ = 0.15 + 0.25 (T / 10,000)^⅓: a
    longer batch spans more texts. Fitted to batches of 1,024 to 131,072 pairs, a sixtieth of the text at most: 17 M,
    1.4 M and 50,000 words of English, 1.6 M, 400,000 and 40,000 of Korean, sub-sampled at 0, 1e-4 and 1e-3, window 5.
    Against the inputs counted, U of the head is 3 % below to 3 % above in batches of 131,072 pairs, 9 % below to 10 %
    above in those of 8,192 to 32,768, and 12 % below to 13 % above in smaller ones, but up to 20 % below in the
    shortest texts at 1e-4. U of a tail that more than 20 inputs reach is 15 % below to 26 % above. Poisson is 14 to
    40 % above for the head. Sentences in random order are spread more evenly: there U is too low.
    """
    return 0.15 + 0.25 * (tokens / 10_000) ** (1 / 3)


class ReachedInputs:
    """U(q): expected distinct inputs of a batch that reach a cluster with a share q of the targets.

    Skip-gram: a batch of N pairs covers T = N / m kept tokens, and each is the input of m pairs; a token has a target
    in the cluster with probability x = 1 − (1 − q)^m. Word w, of share p_w, is then met T p_w x times on average.
    Were that a Poisson number, U(q) were Σ_w 1 − exp(−T p_w x); but words come in clumps, and their number is taken
    as negative binomial with the shape κ of ``clumping``:

        U(q) = Σ_w 1 − (1 + T p_w x / κ)^−κ.

    CBOW: every window is an input of its own, U(q) = N q. U rises with q, and U(q) ≤ T x.
    """

    def __init__(self, shares: np.ndarray, pairs: float, pairs_per_token: float, cbow: bool = False) -> None:
        """Tabulate U. shares: (V,) float64, sums to 1; pairs: N (windows for CBOW); pairs_per_token: m.

        Raises TrainingError where there are no pairs.
        """
        self._pairs, self._per_token, self._cbow = float(pairs), float(pairs_per_token), cbow
        if not (self._pairs > 0 and self._per_token > 0):
            raise TrainingError(
                "the corpus has no pair to learn from: use longer lines, a lower --min-count or --sample 0"
            )
        if cbow:
            return
        tokens = self._pairs / self._per_token
        kappa = clumping(tokens)
        share, words = _grouped(np.asarray(shares, np.float64))
        reach = np.geomspace(_LEAST, 1.0, _POINTS)
        sums = np.array([-words @ np.expm1(-kappa * np.log1p(tokens / kappa * x * share)) for x in reach])
        self._log_reach, self._log_inputs = np.log(reach), np.log(sums)

    def __call__(self, share: np.ndarray | float) -> np.ndarray:
        """U(q) for shares q of 0 … 1, in the shape of ``share``."""
        share = np.clip(np.asarray(share, np.float64), 0.0, 1.0)
        if self._cbow:
            return self._pairs * share
        with np.errstate(divide="ignore"):  # log1p(−1): the head, which every input reaches
            reach = -np.expm1(self._per_token * np.log1p(-share))
        # Below the table U is proportional to x.
        least = np.minimum(reach / _LEAST, 1.0)
        inputs = np.exp(np.interp(np.log(np.maximum(reach, _LEAST)), self._log_reach, self._log_inputs))
        return inputs * least

    @property
    def all(self) -> float:
        """U(1): the inputs of the head."""
        return float(self(1.0))


def _grouped(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean share and number of words of each group of nearly equal shares; words of share 0 are left out."""
    positive = shares[shares > 0]
    group = np.floor(np.log(positive) / _GROUP_WIDTH).astype(np.int64)
    _, which, words = np.unique(group, return_inverse=True, return_counts=True)
    return np.bincount(which, positive) / words, words
