"""The contract between the driver and a backend."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

#: Of the device: NumPy's or CuPy's.
Array = Any


@dataclass
class EpochReport:
    """Sums over an epoch, or over what is done of it.

    loss: nats, float64; pairs: (input, predicted word) pairs, windows for CBOW; kept_words: tokens left after
    sub-sampling; words: tokens before it; learning_rate: the latest one; position: the number of ids of the corpus
    that are done, where training stands still; else about that. Of replicas, parts: the position of each in its
    part of the corpus; rounds: how many they have held.
    """

    loss: float = 0.0
    pairs: int = 0
    kept_words: int = 0
    words: int = 0
    learning_rate: float = 0.0
    position: int = 0
    parts: tuple[int, ...] = ()
    rounds: int = 0

    @property
    def mean_loss(self) -> float:
        """Nats per pair; 0 where there was no pair."""
        return self.loss / self.pairs if self.pairs else 0.0


@dataclass(frozen=True)
class Pauses:
    """Where in an epoch training stands still, so that its parameters can be looked at.

    due: whether to pause once a share 0 … 1 of the epoch is done; asked often, perhaps from several threads. hook:
    called in the calling thread with the sums so far, while nothing trains and the device has finished; it may call
    everything of the backend that reads. Training then goes on as if nothing had been: pausing changes no result.
    The report that the hook gets, with the parameters of that moment, is all that a later ``train_epoch`` needs to go
    on from there: every random number is a function of the seed, the epoch and the position.
    """

    due: Callable[[float], bool]
    hook: Callable[[EpochReport], None]


#: An epoch in one go.
NO_PAUSES = Pauses(lambda share: False, lambda report: None)


class Backend(Protocol):
    """Parameters on a device, and the steps that train them."""

    device: str
    #: Lines for people about how the training runs.
    notes: list[str]

    def initialise(self) -> None:
        """Draw the initial parameters: inputs uniform in ±0.5/D, outputs zero, as word2vec.c does."""

    def compile(self) -> None:
        """Compile, or load from a cache, what ``train_epoch`` will run, and ``heldout_nll`` where the config asks."""

    def upload(self, ids: np.ndarray) -> None:
        """Bring to the device what fits of a corpus, (N,) int32; ``train_epoch`` does so if it was not done."""

    def train_epoch(
        self,
        ids: np.ndarray,
        epoch: int,
        schedule: Callable[[float], float],
        progress: Callable[[EpochReport], None],
        pauses: Pauses = NO_PAUSES,
        start: EpochReport | None = None,
    ) -> EpochReport:
        """Train one pass over ids, (N,) int32 with −1 after each sentence.

        schedule: the learning rate at a fraction 0 … 1 of this epoch; progress: called now and then from the
        calling thread; pauses: looked at between steps, as far apart as suits the backend, and not at the end;
        start: what a hook of ``pauses`` got in an earlier pass, to go on from there, with its sums.
        Raises KeyboardInterrupt promptly when interrupted; the parameters stay usable.
        """

    def parameters(self) -> dict[str, np.ndarray]:
        """``input_vectors`` (V, D) and ``output_vectors`` (rows, D), float32: views where the layout allows."""

    def unsound_parameters(self) -> list[str]:
        """Names of the parameters that hold something not finite, or so large that its square is not."""

    def heldout_nll(self, ids: np.ndarray) -> float | None:
        """Mean −log p of held-out ids, nats per pair (per window for CBOW); None where no probability is learned.

        ids: (N,) int32 with −1 after each sentence, met as ``objectives/heldout_pairs.py`` says. Raises
        TrainingError where they hold no pair.
        """

    def shared(self) -> dict[str, Array]:
        """The parameters themselves by name, (n, d) or (n,) float32 on the device, perhaps padded: to write to.

        Only inside ``sharing``, while nothing trains.
        """

    def sharing(self) -> AbstractContextManager:
        """What has to surround the use of ``shared``; afterwards the backend goes on with what was written."""

    def as_parameters(self, shared: Mapping[str, Array]) -> dict[str, np.ndarray]:
        """Copies on the host of arrays like ``shared``, shaped and named as ``parameters`` returns them."""

    def pause_after(self, ids: int) -> None:
        """Make it possible to pause every so many ids; before ``upload``."""

    def load_parameters(self, parameters: dict[str, np.ndarray]) -> None:
        """Continue from given parameters, shaped as ``parameters`` returns them."""
