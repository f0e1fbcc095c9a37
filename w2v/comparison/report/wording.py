"""Numbers and names of the report as people read them. What is not known is a dash, never a number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from w2v.likelihood import perplexity

NONE = "–"
_SPACE = "\N{NO-BREAK SPACE}"
_MODELS = {"skipgram": "skip-gram", "cbow": "CBOW"}
_EVALUATIONS = {"wordsim353": "WordSim-353", "simlex999": "SimLex-999", "questions-words": "Google analogies"}
_PERPLEXITY_DIGITS = 3

Record = Mapping[str, Any]


def rows_of(value: object) -> list[dict[str, Any]]:
    """A list of mappings out of a record that may lack it."""
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def mapping_of(value: object) -> Mapping[str, Any]:
    """A mapping out of a record that may lack it."""
    return value if isinstance(value, Mapping) else {}


def number(value: object) -> float | None:
    """A finite number, or None for anything else."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if known else None


def mean(statistic: object) -> float | None:
    """The mean of ``{"mean", "sd"}``, where there is one."""
    return number(mapping_of(statistic).get("mean"))


def deviation(statistic: object) -> float | None:
    """The standard deviation of ``{"mean", "sd"}``; None with one seed."""
    return number(mapping_of(statistic).get("sd"))


def model_name(model: object) -> str:
    """skip-gram or CBOW."""
    return _MODELS.get(str(model), str(model))


def short_name(entry: Record) -> str:
    """Of a summary row without its model: ``ns``, ``gensim ns``."""
    system, objective = str(entry.get("system", "w2v")), str(entry.get("objective", NONE))
    return objective if system == "w2v" else f"{system} {objective}"


def full_name(entry: Record) -> str:
    """Of a summary row: ``skip-gram ns``, ``gensim CBOW hs``."""
    system, objective = str(entry.get("system", "w2v")), str(entry.get("objective", NONE))
    own = f"{model_name(entry.get('model'))} {objective}"
    return own if system == "w2v" else f"{system} {own}"


def evaluation_name(name: str) -> str:
    """Of an evaluation set: the public ones by the name that people know."""
    return _EVALUATIONS.get(name.lower(), name)


def score_unit(kind: object) -> str:
    """What a score of this kind of evaluation is."""
    return "% answered right" if kind == "analogies" else "Spearman × 100"


def digits(value: float | None, significant: int = 3) -> str:
    """With so many significant digits, and no fewer digits than stand before the point; thousands marked."""
    if number(value) is None:
        return NONE
    return _signed(f"{value:,.{_decimals(value, significant)}f}")


def fixed(value: float | None, decimals: int) -> str:
    """With so many decimals."""
    return NONE if number(value) is None else _signed(f"{value:,.{decimals}f}")


def spread(statistic: object, *, scale: float = 1.0, decimals: int | None = None) -> str:
    """``mean ± sd`` with the same decimals for both, or the mean alone with one seed."""
    middle, sd = mean(statistic), deviation(statistic)
    if middle is None:
        return NONE
    places = _decimals(middle * scale, 3) if decimals is None else decimals
    if sd is None:
        return fixed(middle * scale, places)
    return f"{fixed(middle * scale, places)}{_SPACE}±{_SPACE}{_small(sd * scale, places)}"


def seconds_text(value: float | None) -> str:
    """Seconds: three digits, and no finer than a hundredth."""
    if number(value) is None:
        return NONE
    return fixed(value, min(2, _decimals(value, 3)))


def target_text(value: float | None) -> str:
    """A target as it was given; three digits of one that was computed."""
    return NONE if number(value) is None else f"{value:.3g}"


def rate(value: float | None, sd: float | None = None) -> str:
    """Per second, with k, M or G: ``4.05 M``, or ``4.05 ± 0.12 M``."""
    if number(value) is None:
        return NONE
    scale, prefix = _prefix(value)
    return spread({"mean": value, "sd": sd}, scale=1 / scale) + prefix


def round_rate(value: float) -> str:
    """The same of a round number, as ticks are."""
    scale, prefix = _prefix(value)
    return f"{value / scale:g}{prefix}"


def size(count: float | None) -> str:
    """Bytes in MB or GB."""
    if number(count) is None:
        return NONE
    return f"{digits(count / 1e9)}{_SPACE}GB" if count >= 1e9 else f"{digits(count / 1e6)}{_SPACE}MB"


def whole(count: float | None) -> str:
    """A count, thousands marked."""
    return NONE if number(count) is None else f"{count:,.0f}"


def perplexity_of(entry: Record) -> str:
    """Of a summary row: as recorded, or exp of its mean nats; whole from 100 on."""
    nats = mean(entry.get("heldout_nll"))
    value = number(entry.get("perplexity"))
    value = perplexity(nats) if value is None and nats is not None else value
    return digits(value, _PERPLEXITY_DIGITS) if value is None or math.isfinite(value) else NONE


def _prefix(value: float) -> tuple[float, str]:
    """What to divide by, and the letter that says so."""
    for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return scale, _SPACE + letter
    return 1.0, ""


def _decimals(value: float, significant: int) -> int:
    if value == 0:
        return 0
    exponent = int(f"{value:.{significant - 1}e}".partition("e")[2])  # of the rounded value: 9.999 is 10.0
    return max(0, significant - 1 - exponent)


def _small(sd: float, places: int) -> str:
    """A spread that rounds to nothing is not said to be nothing."""
    least = 10.0**-places
    return f"<{fixed(least, places)}" if 0 < sd < least / 2 else fixed(sd, places)


def _signed(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
