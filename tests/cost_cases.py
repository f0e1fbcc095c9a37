"""Cost models with known coefficients, and a timer that obeys one."""

import itertools

import numpy as np

from w2v.cost import CostModel, Measurement


def known_model(device="cpu (known)", **changes):
    """A cost model whose coefficients all matter."""
    values = {
        "c": 2e-5, "alpha": 2e-9, "beta": 4e-11, "gamma": 1e-9, "delta": 2e-9, "threshold": 30_000.0,
        "reference_inputs": 256, "reference_size": 100, "error_median": None, "error_p90": None,
        "created": "2026-11-01", "versions": {}, "source": "made up",
    }  # fmt: skip
    return CostModel(device=device, **{**values, **changes})


def timings(model, sizes=(16, 25, 100), noise=0.0, seed=1):
    """Blocks of a grid as a model times them, each off by a factor of about exp(± noise)."""
    rng = np.random.default_rng(seed)
    grid = itertools.product((16, 64, 256, 1024, 4096, 16384), (16, 64, 256, 1024, 4096), sizes)
    return [
        Measurement(k, b, d, float(model.block_seconds(k, b, d) * np.exp(noise * rng.standard_normal())))
        for k, b, d in grid
    ]


class KnownTimer:
    """A block timer without a clock."""

    def __init__(self, model):
        self.model, self.device, self.asked = model, model.device, []

    def block_seconds(self, columns, inputs, size):
        self.asked.append((columns, inputs, size))
        return float(self.model.block_seconds(columns, inputs, size))
