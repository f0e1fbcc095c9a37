"""The driver: epochs, learning-rate schedule, progress, and the record of a run."""

from w2v.training.callbacks import TrainingCallback
from w2v.training.checkpoints import Checkpoints
from w2v.training.clock import PhaseClock
from w2v.training.driver import TrainedModel, train
from w2v.training.metrics import MetricsFile
from w2v.training.run import TrainingRun
from w2v.training.schedule import LinearDecay
from w2v.training.tensorboard import TensorBoardLog

__all__ = [
    "Checkpoints",
    "LinearDecay",
    "MetricsFile",
    "PhaseClock",
    "TensorBoardLog",
    "TrainedModel",
    "TrainingCallback",
    "TrainingRun",
    "train",
]
