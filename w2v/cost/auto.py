"""The cost of a training run's steps, from its configuration and the counts of its corpus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from w2v.config import TrainConfig
from w2v.cost.cutoffs import Choice, StepCosts
from w2v.cost.model import CostModel, load_cost_model
from w2v.objectives.batching import CorpusShape, default_batch_pairs, pairs_per_token
from w2v.objectives.block_softmax import stream_shares


@dataclass(frozen=True)
class Step:
    """What the cost of a step depends on, but for the device.

    shares: (V,) float64 of the sub-sampled stream by falling frequency; the rest as for ``choose_cutoffs``.
    """

    shares: np.ndarray
    pairs: float
    pairs_per_token: float
    size: int
    div_value: float
    shortlist: bool
    cbow: bool

    @classmethod
    def of(cls, config: TrainConfig, shape: CorpusShape) -> Step:
        """The step of a run on a corpus of this shape."""
        return cls(
            shares=stream_shares(np.sort(shape.counts)[::-1], config.sample),
            pairs=config.batch_pairs or default_batch_pairs(config, shape),
            pairs_per_token=pairs_per_token(config, shape)[1],
            size=config.vector_size,
            div_value=config.div_value,
            shortlist=config.shortlist,
            cbow=config.model == "cbow",
        )

    def costs(self, model: CostModel) -> StepCosts:
        """Predicted seconds of any layout."""
        return StepCosts(
            self.shares, self.pairs, self.pairs_per_token, self.size, self.div_value, model, self.shortlist, self.cbow
        )

    def choose(self, model: CostModel, cutoffs: str | Sequence[int] = "auto", clusters: int | None = None) -> Choice:
        """The cheapest cut-offs for "auto", and otherwise what the given ones cost; raises ConfigError."""
        costs = self.costs(model)
        return costs.choose(clusters) if cutoffs == "auto" else costs.price(tuple(cutoffs))


def resolve_cutoffs(
    config: TrainConfig, shape: CorpusShape, device: str, say: Callable[[str], None] = lambda message: None
) -> TrainConfig:
    """``config`` with ``--cutoffs auto`` replaced by the cheapest ones for a corpus; given ones stay.

    device: "cpu" or "cuda"; say: gets lines about the cost model and the choice.
    Raises FormatError (cost model), ConfigError (too many clusters for the vocabulary).
    """
    if config.cutoffs != "auto":
        return config
    model, note = load_cost_model(config.cost_model, device)
    choice = Step.of(config, shape).choose(model, clusters=config.clusters)
    say(note)
    say(choice.summary())
    return replace(config, cutoffs=choice.cutoffs, clusters=None)
