"""Every hyper-parameter, its default and its range, checked in one place."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace

from w2v.errors import ConfigError
from w2v.untrusted import shortened

MODELS = ("skipgram", "cbow")
OBJECTIVES = ("ns", "hs", "class", "adaptive", "full")
DEVICES = ("auto", "cpu", "cuda")
KERNELS = ("raw", "numba")
OUTPUT_BIASES = ("unigram", "none")

# Where the learning rate starts unless --alpha says otherwise, by (objective, model): the best of a sweep on 17
# million words of English (kernels/NOTES.md). Negatives shared by a window's contexts want more than word2vec.c's
# 0.025.
DEFAULT_ALPHA = {
    ("ns", "skipgram"): 0.04,
    ("ns", "cbow"): 0.075,
    ("hs", "skipgram"): 0.0375,
    ("hs", "cbow"): 0.05,
    # Row-wise Adagrad, whose steps do not shrink with the gradient.
    **{(objective, model): 0.2 for objective in ("class", "adaptive", "full") for model in MODELS},
}
# Where word2vec.c stops the linear decay, as a share of the start.
MIN_ALPHA_RATIO = 1e-4

# Options that only some objectives have a use for.
OWN_OPTIONS = {
    ("adaptive",): ("cutoffs", "clusters", "div_value", "shortlist", "cost_model"),
    ("class",): ("classes",),
    ("class", "adaptive", "full"): ("batch_pairs", "output_bias"),
}


@dataclass(frozen=True)
class TrainConfig:
    """Hyper-parameters of one training run; the names are the command line's.

    ``alpha`` and ``min_alpha`` of None mean the objective's default (see ``resolved``). Raises ConfigError on a
    value out of range or on a contradiction; the message names the option and what it takes. ``cutoffs`` is "auto",
    or rising ends of the short-list and of the clusters but the last, as numbers or as a text with commas; no numbers
    leave one group with every word.
    """

    model: str = "skipgram"
    objective: str = "ns"
    vector_size: int = 100
    window: int = 5
    min_count: int = 5
    negative: int = 5
    noise_power: float = 0.75
    sample: float = 1e-3
    epochs: int = 5
    alpha: float | None = None
    min_alpha: float | None = None
    seed: int = 1
    device: str = "auto"
    kernels: str = "raw"
    threads: int | None = None
    max_vocab_size: int | None = None
    max_final_vocab: int | None = None
    lowercase: bool = False
    negatives_per_pair: bool = False
    cbow_sum: bool = False
    shrink_windows: bool = True
    cutoffs: str | tuple[int, ...] = "auto"
    clusters: int | None = None
    div_value: float = 2.0
    shortlist: bool = True
    classes: int | None = None
    batch_pairs: int | None = None
    output_bias: str = "unigram"
    cost_model: str | None = None
    heldout: float = 0.0
    replicas: int | str | None = None
    sync_words: int | None = None

    def __post_init__(self) -> None:
        """Check every field once, at construction."""
        _one_of("model", self.model, MODELS)
        _one_of("objective", self.objective, OBJECTIVES)
        _one_of("device", self.device, DEVICES)
        _one_of("kernels", self.kernels, KERNELS)
        _one_of("output_bias", self.output_bias, OUTPUT_BIASES)
        object.__setattr__(self, "cutoffs", _cutoffs(self.cutoffs))
        for name, least, most in (
            ("vector_size", 1, 65536),
            ("window", 1, 1000),
            ("min_count", 0, 2**62),
            ("negative", 1, 1024),
            ("epochs", 1, 1_000_000),
            ("seed", 0, 2**64 - 1),
            ("threads", 1, 1024),
            ("max_vocab_size", 1, 2**31),
            ("max_final_vocab", 1, 2**31),
            ("clusters", 2, 15),
            ("classes", 1, 2**31),
            ("batch_pairs", 1, 2**31),
            ("sync_words", 1000, 2**62),
        ):
            self._check(name, _integer, least, most)
        for name, lowest, highest in (
            ("div_value", 1.0, 65536.0),
            ("heldout", 0.0, 0.5),
            ("noise_power", -10.0, 10.0),
            ("sample", 0.0, 1.0),
            ("alpha", 0.0, 10.0),
            ("min_alpha", 0.0, 10.0),
        ):
            self._check(name, _number, lowest, highest)
        if self.replicas != "auto":
            self._check("replicas", _integer, 1, 4096)
        if self.negatives_per_pair and self.objective != "ns":
            raise ConfigError(f"--negatives-per-pair is for --objective ns: {self.objective} draws no noise")
        if self.min_alpha is not None:
            start = self.resolved().alpha
            if self.min_alpha > start:
                raise ConfigError(f"--min-alpha {self.min_alpha:g} is above --alpha {start:g}: lower it")

        self._check_softmax_options()

    def _check(self, name: str, kind: Callable[..., int | float], least: float, most: float) -> None:
        """Check a number, unless it is a default of None, and keep it as Python's own: NumPy's would wrap round."""
        value = getattr(self, name)
        if value is not None or getattr(type(self), name) is not None:
            object.__setattr__(self, name, kind(name, value, least, most))

    def _check_softmax_options(self) -> None:
        """Refuse options of another objective, which would have no effect."""
        defaults = {field.name: field.default for field in fields(self)}
        for objectives, names in OWN_OPTIONS.items():
            for name in names:
                if self.objective not in objectives and getattr(self, name) != defaults[name]:
                    option = "--no-shortlist" if name == "shortlist" else _option(name)
                    raise ConfigError(f"{option} is for --objective {' or '.join(objectives)}, not {self.objective}")
        if self.clusters is not None and self.cutoffs != "auto":
            raise ConfigError("--clusters chooses among cut-offs: give it or --cutoffs, not both")

    def resolved(self) -> TrainConfig:
        """The same configuration with ``alpha`` and ``min_alpha`` filled in."""
        alpha = DEFAULT_ALPHA[self.objective, self.model] if self.alpha is None else self.alpha
        min_alpha = alpha * MIN_ALPHA_RATIO if self.min_alpha is None else self.min_alpha
        return replace(self, alpha=alpha, min_alpha=min_alpha) if self._unresolved else self

    @property
    def _unresolved(self) -> bool:
        return self.alpha is None or self.min_alpha is None

    def to_dict(self) -> dict[str, object]:
        """A plain dictionary for ``config.json``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> TrainConfig:
        """The configuration that ``to_dict`` wrote; names that this version does not know are ignored."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{_option(name)} {shortened(value)} is unknown: use one of {', '.join(choices)}")


def _integer(name: str, value: object, low: int, high: int) -> int:
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise ConfigError(f"{_option(name)} takes a whole number, not {shortened(value)}")
    if not low <= number <= high:
        raise ConfigError(f"{_option(name)} {number} is out of range: use {low} to {high}")
    return number


def _number(name: str, value: object, low: float, high: float) -> float:
    try:
        number = None if isinstance(value, (bool, str, bytes)) or getattr(value, "ndim", 0) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None:
        raise ConfigError(f"{_option(name)} takes a number, not {shortened(value)}")
    if not (math.isfinite(number) and low <= number <= high):
        raise ConfigError(f"{_option(name)} {number:g} is out of range: use {low:g} to {high:g}")
    return number


def _cutoffs(value: object) -> str | tuple[int, ...]:
    """Cut-offs as "auto" or rising positive numbers, perhaps none; ConfigError otherwise."""
    if isinstance(value, str) and value == "auto":
        return "auto"
    try:
        parts = value.split(",") if isinstance(value, str) else list(value)
        numbers = tuple(int(part) if isinstance(part, str) else part.__index__() for part in parts)
    except (TypeError, ValueError, AttributeError):
        raise ConfigError(
            f"--cutoffs {shortened(value)} is not understood: use auto or rising numbers such as 2000,10000"
        ) from None
    if numbers and (numbers[0] < 1 or any(a >= b for a, b in zip(numbers, numbers[1:], strict=False))):
        shown = ",".join(map(str, numbers[:6]))
        raise ConfigError(f"--cutoffs {shown} must rise and begin above 0: use numbers such as 2000,10000")
    return numbers
