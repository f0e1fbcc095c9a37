"""What is learned: tables, parameter shapes and float64 references. No device code, no files.

Row-wise family: every objective lists a few (output row, label) pairs per predicted word. Adding one means a file
here, its entry in ``ROW_WISE`` and an overload in ``kernels/targets_cpu.py``. Block-softmax family: a distribution
made of softmax blocks. Adding one means a layout of its blocks and its entry in ``BLOCK``.
"""

from collections.abc import Callable

import numpy as np

from w2v.config import TrainConfig
from w2v.objectives.base import RowWiseObjective
from w2v.objectives.batching import CorpusShape
from w2v.objectives.block_softmax import AdaptiveSoftmax, BlockObjective, ClassSoftmax, FullSoftmax
from w2v.objectives.hierarchical_softmax import HierarchicalSoftmax
from w2v.objectives.negative_sampling import NegativeSampling

__all__ = [
    "AdaptiveSoftmax",
    "BlockObjective",
    "ClassSoftmax",
    "CorpusShape",
    "FullSoftmax",
    "HierarchicalSoftmax",
    "NegativeSampling",
    "Objective",
    "RowWiseObjective",
    "make_objective",
    "resolve_for_corpus",
]

ROW_WISE: dict[str, type[RowWiseObjective]] = {
    objective.name: objective for objective in (NegativeSampling, HierarchicalSoftmax)
}
BLOCK: dict[str, type[BlockObjective]] = {
    objective.name: objective for objective in (FullSoftmax, ClassSoftmax, AdaptiveSoftmax)
}

Objective = RowWiseObjective | BlockObjective


def resolve_for_corpus(
    config: TrainConfig, shape: CorpusShape, device: str, say: Callable[[str], None] = lambda message: None
) -> TrainConfig:
    """``config.resolved()`` with what the objective derives from the corpus and the device filled in.

    device: "cpu" or "cuda"; say: gets lines for people about what was chosen.
    """
    config = config.resolved()
    return (ROW_WISE | BLOCK)[config.objective].resolve(config, shape, device, say)


def make_objective(config: TrainConfig, counts: np.ndarray) -> Objective:
    """The objective that ``config`` names, with its tables built from the word counts, (V,) int64."""
    return (ROW_WISE | BLOCK)[config.objective](counts, config)
