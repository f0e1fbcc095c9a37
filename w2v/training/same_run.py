"""Whether two runs are the same one: what differs between their options and their texts, by name."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from w2v.config import TrainConfig

if TYPE_CHECKING:
    from w2v.corpus import EncodedCorpus

# Where and how fast a run trains, not what.
MAY_CHANGE = ("threads", "device", "kernels")


def corpus_facts(corpus: EncodedCorpus) -> dict[str, object]:
    """What tells a corpus and its vocabulary from others."""
    return {
        "fingerprint": corpus.fingerprint,
        "vocabulary": corpus.vocabulary.fingerprint,
        "words": len(corpus.vocabulary),
        "tokens": corpus.tokens,
        "sentences": corpus.sentences,
    }


def different_options(before: TrainConfig, now: TrainConfig) -> list[str]:
    """A phrase for each option that differs, such as "--epochs was 5 and is 10"."""
    found = []
    for name in (field.name for field in fields(TrainConfig) if field.name not in MAY_CHANGE):
        was, now_is = getattr(before, name), getattr(now, name)
        if name == "shortlist":
            was, now_is = not was, not now_is
        if was != now_is:
            found.append(f"{_option(name)} was {_shown(was)} and is {_shown(now_is)}")
    return found


def different_corpora(before: dict[str, object], now: dict[str, object]) -> list[str]:
    """A phrase for the vocabulary and one for the text, where they differ. Both as ``corpus_facts`` gives them."""
    found = []
    if before.get("vocabulary") != now["vocabulary"]:
        found.append(f"the vocabulary differs{_numbers(before, now, 'words')}")
    if before.get("fingerprint") != now["fingerprint"]:
        found.append(f"the corpus differs{_numbers(before, now, 'tokens')}")
    return found


def _numbers(before: dict[str, object], now: dict[str, object], name: str) -> str:
    was = before.get(name)
    if not isinstance(was, int) or was == now[name]:
        return ""
    return f" (it had {was:,} {name} and has {now[name]:,})"


def _option(name: str) -> str:
    if name == "shortlist":
        return "--no-shortlist"
    return "--" + name.replace("_", "-")


def _shown(value: object) -> str:
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)
