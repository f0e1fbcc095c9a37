"""The short ``README.md`` that explains a model folder to whoever finds it."""

from __future__ import annotations

from collections.abc import Mapping

from w2v.config import OWN_OPTIONS
from w2v.likelihood import format_perplexity

_OPTIONS = {**OWN_OPTIONS, ("ns",): ("negative", "noise_power", "negatives_per_pair")}

_CARD = """\
# Word vectors

{count} word vectors of {size} dimensions{how}, written by w2v.

## How to load them

On the command line `w2v similar FOLDER WORD`, in Python:

```python
from w2v import KeyedVectors

vectors = KeyedVectors.load("FOLDER")
vectors.most_similar("WORD")
```

`input_vectors.npy` is a plain NumPy array (float32, one row per line of `vocabulary.tsv`); nothing is
pickled.

## Settings

{settings}{results}
## Counts

`vocabulary.tsv` holds each word, a tab, and {counts}.
"""
_COUNTED = """how often it occurs in the training text, before sub-sampling,
most frequent first; words of equal count are in the order of their UTF-8 bytes"""
_RANKED = """a rank in place of a count (the number of words that follow it,
plus one): the source of these vectors told the order of the words but no counts"""


def model_card(
    count: int, size: int, config: Mapping[str, object], training: Mapping[str, object], counted: bool
) -> str:
    """The text of the card, from the values that ``config.json`` and ``training.json`` hold."""
    method = [str(config[name]) for name in ("model", "objective") if config.get(name)]
    return _CARD.format(
        count=f"{count:,}",
        size=size,
        how=f", trained with {', '.join(method)}" if method else "",
        settings=_table(config) or "These vectors were not trained here: no settings are known.\n",
        results=_results(training),
        counts=_COUNTED if counted else _RANKED,
    )


def _table(values: Mapping[str, object]) -> str:
    """A table of the plain values that the objective has a use for; nested ones are left to the JSON files."""
    foreign = {
        name for objectives, names in _OPTIONS.items() if values.get("objective") not in objectives for name in names
    }
    plain = {
        name: ", ".join(map(str, value)) if isinstance(value, tuple) else value
        for name, value in values.items()
        if not (value is None or isinstance(value, (dict, list)) or name in foreign)
    }
    if not plain:
        return ""
    rows = "".join(f"| {name} | {_cell(value)} |\n" for name, value in plain.items())
    return f"| setting | value |\n|---|---|\n{rows}"


def _results(training: Mapping[str, object]) -> str:
    seconds, loss = training.get("seconds"), training.get("loss")
    values = {
        "words per second": training.get("words_per_second"),
        "training seconds": seconds.get("train") if isinstance(seconds, Mapping) else None,
        "loss per pair, last epoch": loss[-1] if isinstance(loss, list) and loss else None,
        **_heldout(training),
        "device": training.get("device"),
    }
    rows = "".join(f"| {name} | {_cell(value)} |\n" for name, value in values.items() if value is not None)
    return f"\n## Training\n\n| measure | value |\n|---|---|\n{rows}" if rows else ""


def _heldout(training: Mapping[str, object]) -> dict[str, object]:
    """Nats per pair and perplexity of the model and of the unigram, where they are known."""
    values: dict[str, object] = {}
    for name, whose in (("heldout_nll", ""), ("heldout_unigram_nll", " of the unigram")):
        nll = training.get(name)
        if isinstance(nll, (int, float)):
            values[f"held-out nats per pair{whose}"] = nll
            values[f"held-out perplexity{whose}"] = format_perplexity(nll)
    return values


def _cell(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
