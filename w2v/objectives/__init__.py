"""What is learned: tables, parameter shapes and float64 references. No device code, no files.

Row-wise family: every objective lists a few (output row, label) pairs per predicted word. Adding one means a file
here, its entry in ``ROW_WISE`` and an overload in ``kernels/targets_cpu.py``.
"""

import numpy as np

from w2v.config import TrainConfig
from w2v.objectives.base import RowWiseObjective
from w2v.objectives.hierarchical_softmax import HierarchicalSoftmax
from w2v.objectives.negative_sampling import NegativeSampling

__all__ = ["HierarchicalSoftmax", "NegativeSampling", "RowWiseObjective", "make_objective"]

ROW_WISE: dict[str, type[RowWiseObjective]] = {
    objective.name: objective for objective in (NegativeSampling, HierarchicalSoftmax)
}


def make_objective(config: TrainConfig, counts: np.ndarray) -> RowWiseObjective:
    """The objective that ``config`` names, with its tables built from the word counts, (V,) int64."""
    return ROW_WISE[config.objective](counts, config)
