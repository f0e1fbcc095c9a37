"""How the learning rate falls."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LinearDecay:
    """From alpha to min_alpha along a straight line over all the epochs, as in word2vec.c."""

    alpha: float
    min_alpha: float
    epochs: int

    def __call__(self, epoch: int, fraction: float) -> float:
        """The learning rate at a fraction 0 … 1 of an epoch 0 … epochs − 1."""
        done = min(1.0, (epoch + fraction) / self.epochs)
        return float(self.alpha - (self.alpha - self.min_alpha) * done)
