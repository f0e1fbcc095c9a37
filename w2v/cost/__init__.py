"""The measured cost of an adaptive softmax, and the cut-offs that are cheapest under it.

timings of blocks -> fit -> CostModel -> choose_cutoffs -> Choice
"""

from w2v.cost.auto import Step, resolve_cutoffs
from w2v.cost.cutoffs import Block, Choice, StepCosts, choose_cutoffs, head_floor
from w2v.cost.fit import fit
from w2v.cost.measure import BlockTimer, measure
from w2v.cost.model import CostModel, Measurement, builtin, load_cost_model

__all__ = [
    "Block",
    "BlockTimer",
    "Choice",
    "CostModel",
    "Measurement",
    "Step",
    "StepCosts",
    "builtin",
    "choose_cutoffs",
    "fit",
    "head_floor",
    "load_cost_model",
    "measure",
    "resolve_cutoffs",
]
