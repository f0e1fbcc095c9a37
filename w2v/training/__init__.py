"""The driver: epochs, learning-rate schedule, progress, and the record of a run."""

from w2v.training.clock import PhaseClock
from w2v.training.driver import TrainedModel, train
from w2v.training.schedule import LinearDecay

__all__ = ["LinearDecay", "PhaseClock", "TrainedModel", "train"]
