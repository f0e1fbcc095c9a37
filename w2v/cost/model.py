"""What one block of an adaptive softmax costs on a device, as a formula with measured coefficients.

A block is the whole work that a step does on one softmax: logits (B, k) of B inputs on k columns at inner size d,
softmax and gradient, the two products of the gradient, and row-wise Adagrad on the k rows.

Source: Grave, Joulin, Cisse, Grangier, Jegou 2017, "Efficient softmax approximation for GPUs", section 4:
g(k, B) = max(c + λ k0 B0, c + λ k B). Here λ depends on the inner size, as the clusters differ in it, and the
passes over the rows and over the inputs have a term each:

    g(k, B, d) = c + (α + β d) max(k B, k0 B0) + γ k d + δ B d     seconds
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field

import numpy as np

from w2v.atomic import atomic_file
from w2v.errors import ConfigError, FormatError
from w2v.untrusted import read_json, shortened

FORMAT, VERSION = "w2v cost model", 1
FORMULA = "seconds(k, B, d) = c + (alpha + beta d) max(k B, k0 B0) + gamma k d + delta B d"


@dataclass(frozen=True)
class Measurement:
    """Median seconds of one block: ``columns`` k, ``inputs`` B, inner ``size`` d."""

    columns: int
    inputs: int
    size: int
    seconds: float


@dataclass(frozen=True)
class CostModel:
    """The coefficients of g(k, B, d), all non-negative, and where they come from.

    device: "cpu (…)" or "cuda (…)"; c: seconds; alpha, beta: seconds per k·B and per k·B·d; gamma, delta: seconds per
    k·d and per B·d; threshold: the product k0·B0 below which a block gets no cheaper. Only that product can be found
    by timing: ``reference_inputs`` (B0) is the batch at which it is split. reference_size: the size of vectors that
    was calibrated, for ``reference_slope``. error_median, error_p90: of |predicted / measured − 1| over what was
    measured, None where nothing was. versions: of the packages that ran. source: where the figures come from.
    """

    device: str
    c: float
    alpha: float
    beta: float
    gamma: float
    delta: float
    threshold: float
    reference_inputs: int
    reference_size: int
    error_median: float | None
    error_p90: float | None
    created: str
    versions: dict[str, str]
    source: str
    measurements: tuple[Measurement, ...] = field(default=(), repr=False)

    @property
    def device_class(self) -> str:
        """``cpu`` or ``cuda``."""
        return self.device.partition(" ")[0]

    @property
    def reference_columns(self) -> float:
        """The paper's k0: columns at which a block of B0 inputs stops getting cheaper."""
        return self.threshold / self.reference_inputs

    @property
    def reference_slope(self) -> float:
        """The paper's λ: seconds per k·B at the calibrated size of vectors."""
        return self.slope(self.reference_size)

    def slope(self, size: np.ndarray | int) -> np.ndarray | float:
        """λ(d) = α + β d, seconds per k·B."""
        return self.alpha + self.beta * size

    def block_seconds(
        self, columns: np.ndarray | float, inputs: np.ndarray | float, size: np.ndarray | int
    ) -> np.ndarray | float:
        """g(k, B, d), seconds; the arguments broadcast. Rises with each of them."""
        products = np.maximum(columns * inputs, self.threshold)
        rows = (self.gamma * columns + self.delta * inputs) * size
        return self.c + self.slope(size) * products + rows

    def projection_seconds(self, inputs: np.ndarray | float, size: int, outer: int) -> np.ndarray | float:
        """What projecting the inputs of a tail from ``outer`` (D) to ``size`` (d) dims adds to its block, seconds.

        The projection is a product of the shapes of a block (B inputs, D columns, inner size d) and is followed by
        the same two products of its gradient, but by no softmax: β B D d. Its D rows of d floats have an Adagrad
        of their own: γ D d. It adds no second c: that was fitted to whole blocks.
        """
        return (self.beta * inputs + self.gamma) * outer * size

    def to_json(self, path: str | os.PathLike) -> None:
        """Write the model and its measurements, replacing ``path`` whole; raises OutputError."""
        values = asdict(self)
        values["measurements"] = [
            [point.columns, point.inputs, point.size, point.seconds] for point in self.measurements
        ]
        derived = {"lambda": self.reference_slope, "k0": self.reference_columns, "B0": self.reference_inputs}
        document = {"format": FORMAT, "format_version": VERSION, "formula": FORMULA, **derived, **values}
        with atomic_file(path, make_parents=False) as temporary:
            temporary.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")

    @classmethod
    def from_json(cls, path: str | os.PathLike) -> CostModel:
        """Read what ``to_json`` wrote; raises FormatError naming the file where it is not that, or is damaged."""
        try:
            document = read_json(path)
        except OSError as error:
            raise FormatError(f"cannot read the cost model {path}: {error.strerror or error}") from None
        except ValueError:
            raise FormatError(
                f"{path} is no cost model, nor any JSON: write one with `w2v calibrate -o COST.json`"
            ) from None
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise FormatError(f"{path} is no cost model: write one with `w2v calibrate -o COST.json`")
        if document.get("format_version") != VERSION:
            raise FormatError(f"{path} was written by another version of w2v: run `w2v calibrate -o {path}` again")
        try:
            return _parse(document)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else error
            raise FormatError(f"{path} is damaged ({reason}): run `w2v calibrate -o {path}` again") from None


def _parse(document: dict) -> CostModel:
    """The model in a document; KeyError, TypeError or ValueError says what is wrong with it."""
    numbers = {name: _number(name, document[name]) for name in ("c", "alpha", "beta", "gamma", "delta", "threshold")}
    if not any(numbers.values()):
        raise ValueError("all coefficients are zero")
    wholes = {name: _whole(name, document[name]) for name in ("reference_inputs", "reference_size")}
    errors = {
        name: None if document[name] is None else _number(name, document[name])
        for name in ("error_median", "error_p90")
    }
    texts = {name: _text(name, document[name]) for name in ("device", "created", "source")}
    if texts["device"].partition(" ")[0] not in ("cpu", "cuda"):
        raise ValueError(f"device {shortened(texts['device'])} is neither cpu nor cuda")
    if not isinstance(document["versions"], dict):
        raise ValueError(f"versions is {shortened(document['versions'])}")
    versions = {_text("versions", name): _text("versions", value) for name, value in document["versions"].items()}
    measurements = tuple(
        Measurement(_whole("measurements", k), _whole("measurements", b), _whole("measurements", d), _number("s", s))
        for k, b, d, s in document["measurements"]
    )
    return CostModel(**numbers, **wholes, **errors, **texts, versions=versions, measurements=measurements)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} is {shortened(value)}")
    return float(value)


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} is {shortened(value)}")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is {shortened(value)}")
    return value


def builtin(device_class: str) -> CostModel:
    """The cost model that stands in for a calibration: one for ``cpu``, one for ``cuda``."""
    if device_class not in BUILTIN:
        raise ConfigError(f"there is no cost model for {device_class!r}: use cpu or cuda")
    return BUILTIN[device_class]


def load_cost_model(path: str | os.PathLike | None, device_class: str) -> tuple[CostModel, str]:
    """The model of a file, or the built-in one for ``cpu`` or ``cuda``, and one line that says which it is.

    The line also says so where the file was measured on the other class of device. Raises FormatError.
    """
    if path is None:
        model = builtin(device_class)
        return model, (
            f"cost model: the built-in one for {device_class} ({model.source}); "
            "`w2v calibrate -o COST.json` measures this device, --cost-model COST.json uses that"
        )
    model = CostModel.from_json(path)
    if model.device_class == device_class:
        return model, f"cost model: {path}, measured on {model.device}"
    return model, (
        f"cost model: {path} was measured on {model.device}, and this runs on {device_class}: "
        f"`w2v calibrate --device {device_class} -o COST.json` measures it"
    )


BUILTIN = {
    # What `w2v calibrate --vector-size 128` wrote: 105 blocks.
    "cpu": CostModel(
        device="cpu (AMD EPYC, 2 threads)",
        c=2.59e-4, alpha=9.24e-10, beta=3.163e-11, gamma=1.838e-9, delta=1.211e-9, threshold=0.0,
        reference_inputs=500, reference_size=128, error_median=0.110, error_p90=0.249,
        created="2026-11-21", versions={"numpy": "2.4.6", "numba": "0.68.1"},
        source="measured on two cores of an AMD EPYC, Zen 4, AVX-512",
    ),
    # Not measured. β: 6 flop per k·B·d at 500 TFLOP/s (products in bf16). At 80 % of 4.8 TB/s: α from about 20 bytes
    # per logit (written, read, read and written again, read by two products), γ from about 24 bytes per float of a
    # row (operand, gradient and weight, each written and read), δ half of γ. c: a dozen launches and the gaps
    # between them. k0·B0: one tile of 128 × 128 logits for each of 132 multiprocessors.
    "cuda": CostModel(
        device="cuda (NVIDIA H200)",
        c=1e-4, alpha=5.2e-12, beta=1.2e-14, gamma=6.2e-12, delta=3.1e-12, threshold=132 * 128 * 128,
        reference_inputs=4096, reference_size=100, error_median=None, error_p90=None,
        created="2026-11-21", versions={},
        source="an estimate from the published throughput of an NVIDIA H200: it was not measured on any GPU",
    ),
}  # fmt: skip
