"""PyTorch's adaptive softmax as a system to compare with: the same pairs, the same cut-offs.

``torch.nn.AdaptiveLogSoftmaxWithLoss`` over a ``torch.nn.Embedding``, trained by ``torch.optim.Adagrad``: what the
library offers for this task, used as its documentation says, with its own initial values for the softmax and no bias.
All of it is float32.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from w2v.comparison.draw import initial_vectors
from w2v.comparison.pair_stream import Pairs
from w2v.comparison.plan import TORCH_NEEDS
from w2v.errors import ConfigError, require
from w2v.objectives.block_softmax import INPUT_DEVIATION, AdaptiveSoftmax

Tensor = Any

# Logits of the head that are held together. Those of a whole batch may be larger than the memory, and nobody can
# interrupt PyTorch inside a product; parts are faster too (measured on a CPU: up to 1.7 times, with a seventh of the
# memory). The gradients of the parts of a batch add up to the batch's.
LOGITS = {"cpu": 1 << 25, "cuda": 1 << 30}


def import_torch() -> ModuleType:
    """PyTorch; raises MissingExtraError where it is not installed.

    Its threads sleep while they wait for one another, unless OMP_WAIT_POLICY says otherwise. Left to spin, as is
    the default, they keep each other from the cores wherever something else runs as well: two threads were measured
    at a tenth of the speed of one. Where nothing else ran, it made no difference that could be told.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    return require("torch", "bench", "--against torch")


class TorchAdaptive:
    """An embedding, an adaptive softmax and their optimizer. device: "cpu" or "cuda"."""

    def __init__(
        self, torch: ModuleType, objective: AdaptiveSoftmax, *, seed: int, threads: int, device: str
    ) -> None:
        """Fresh parameters; raises ConfigError where PyTorch has no such softmax."""
        self.torch, self.device = torch, device
        self.layout = objective.layout
        torch.set_num_threads(threads)
        self.inputs = torch.nn.Embedding(self.layout.words, self.layout.size, device=device)
        self.softmax = make_softmax(torch, objective, device)
        self._bag = "sum" if objective.config.cbow_sum else "mean"
        self._together = max(1, LOGITS[device] // self.layout.columns)
        self.initialise(seed)

    def parameters(self) -> list[Tensor]:
        """All of them."""
        return [*self.inputs.parameters(), *self.softmax.parameters()]

    def initialise(self, seed: int) -> None:
        """Inputs as this project draws them for its adaptive softmax; the softmax as PyTorch does."""
        torch = self.torch
        torch.manual_seed(seed % 2**63)
        self.softmax.reset_parameters()
        values = initial_vectors(self.layout.words, self.layout.size, INPUT_DEVIATION * 3**0.5, seed)
        with torch.no_grad():
            self.inputs.weight.copy_(torch.from_numpy(values))
        self.optimizer = torch.optim.Adagrad(self.parameters())

    def step(self, pairs: Pairs, rate: float, progress: Callable[[int, Tensor], None] = lambda *_: None) -> Tensor:
        """One step of the optimizer at a learning rate; the summed loss, nats, on the device.

        pairs: arrays, or tensors on the device. progress: gets the number of pairs that have been through the softmax
        and their loss.
        """
        loss = self.torch.zeros((), dtype=self.torch.float64, device=self.device)
        self.optimizer.zero_grad()
        for begin, end in _cuts(len(pairs.ranks), self._together):
            nats = -self._log_probabilities(pairs, begin, end).sum()
            # Adagrad does not mind the scale; that of a mean is what everybody gives it.
            (nats / len(pairs.ranks)).backward()
            loss += nats.detach()
            progress(end, loss)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        return loss

    def nll_sum(self, pairs: Pairs, counts: np.ndarray | None = None) -> float:
        """Σ −log p, nats. counts: how often each pair occurs, float64, for skip-gram's distinct pairs by input."""
        with self.torch.no_grad():
            if counts is not None:
                return -sum(self._collapsed(pairs, counts))
            parts = _cuts(len(pairs.ranks), self._together)
            return -sum(self._log_probabilities(pairs, begin, end).double().sum().item() for begin, end in parts)

    def wait(self) -> None:
        """Until the device has finished."""
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def on_device(self, values: np.ndarray | Tensor) -> Tensor:
        """A tensor on the device."""
        return self.torch.as_tensor(values, device=self.device)

    def _log_probabilities(self, pairs: Pairs, begin: int, end: int) -> Tensor:
        """Of the targets of pairs begin … end − 1."""
        return self.softmax(self._hidden(pairs, begin, end), self.on_device(pairs.ranks[begin:end])).output

    def _hidden(self, pairs: Pairs, begin: int, end: int) -> Tensor:
        """The inputs of pairs begin … end − 1, (pairs, D)."""
        if pairs.bag_begins is None:
            return self.inputs(self.on_device(pairs.inputs[begin:end]))
        begins = pairs.bag_begins[begin : end + 1]
        words = self.on_device(pairs.inputs[begins[0] : begins[-1]])
        offsets = self.on_device(begins[:-1] - begins[0])
        return self.torch.nn.functional.embedding_bag(words, self.inputs.weight, offsets, mode=self._bag)

    def _collapsed(self, pairs: Pairs, counts: np.ndarray) -> Iterator[float]:
        """Σ log p · count of stretches of pairs: an input word goes through the softmax once for all its targets."""
        starts = np.flatnonzero(np.append(True, pairs.inputs[1:] != pairs.inputs[:-1]))
        limits = np.append(starts, pairs.inputs.size)
        for first, last in _cuts(starts.size, max(1, LOGITS["cpu"] // self.layout.words)):
            span = slice(int(limits[first]), int(limits[last]))
            rows = np.repeat(np.arange(last - first), np.diff(limits[first : last + 1]))
            found = self.softmax.log_prob(self.inputs(self.on_device(pairs.inputs[starts[first:last]])))
            chosen = found[self.on_device(rows), self.on_device(pairs.ranks[span])]
            yield float(chosen.double().cpu().numpy() @ counts[span])


def make_softmax(torch: ModuleType, objective: AdaptiveSoftmax, device: str) -> Any:
    """PyTorch's module with the cut-offs of ``objective``, and tails of its sizes.

    PyTorch divides the sizes of the tails down to nothing; where this project stops at a smallest one, so does the
    module. Raises ConfigError where there is no short-list or no cut-off: PyTorch's has both.
    """
    layout = objective.layout
    if not (layout.shortlist and layout.tails):
        raise ConfigError(TORCH_NEEDS)
    cutoffs = [layout.shortlist, *(tail.edges[-1] for tail in layout.tails[:-1])]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element tensors", UserWarning)
        softmax = torch.nn.AdaptiveLogSoftmaxWithLoss(
            layout.size, layout.words, cutoffs, div_value=objective.config.div_value, device=device
        )
    for number, tail in enumerate(layout.tails):
        if softmax.tail[number][0].out_features != tail.size:
            sizes = (layout.size, tail.size), (tail.size, tail.words)
            parts = [torch.nn.Linear(*pair, bias=False, device=device) for pair in sizes]
            softmax.tail[number] = torch.nn.Sequential(*parts)
    return softmax


def _cuts(length: int, most: int) -> Iterator[tuple[int, int]]:
    """Stretches of ``most`` places at most."""
    return ((begin, min(begin + most, length)) for begin in range(0, length, most))
