"""Where training runs. A backend holds the parameters in its own layout and trains one epoch at a time."""

from w2v.backends.base import Backend, EpochReport
from w2v.backends.devices import auto_hint, choose_device, describe_devices, device_memory_in_use
from w2v.config import TrainConfig
from w2v.objectives import BlockObjective, Objective

__all__ = [
    "Backend",
    "EpochReport",
    "auto_hint",
    "choose_device",
    "describe_devices",
    "device_memory_in_use",
    "make_backend",
]


def make_backend(config: TrainConfig, objective: Objective) -> Backend:
    """The backend for ``config.device``; raises DeviceError where that device is not usable."""
    device = choose_device(config.device)
    if isinstance(objective, BlockObjective):
        from w2v.backends.block import make_block_backend

        return make_block_backend(config, objective, device)
    if device == "cuda":
        from w2v.backends.cuda import CudaBackend

        return CudaBackend(config, objective)
    from w2v.backends.cpu import CpuBackend

    return CpuBackend(config, objective)
