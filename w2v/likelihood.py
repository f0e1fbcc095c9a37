"""Held-out likelihood for people: nats per pair and perplexity, beside the unigram's."""

from __future__ import annotations

import math
from collections.abc import Mapping


def perplexity(nll: float) -> float:
    """exp of nats per pair: among how many equally likely words the choice is; infinite past the largest float."""
    return math.exp(nll) if nll < 709 else math.inf


def format_perplexity(nll: float) -> str:
    """Whole and with thousands marked from 100 on, three digits below."""
    value = perplexity(nll)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def heldout_line(training: Mapping[str, object]) -> str | None:
    """One line on what the record of a run (``training.json``) says of held-out sentences; None where none were."""
    sentences = training["corpus"]["heldout_sentences"]
    if not sentences:
        return None
    nll, unigram = training["heldout_nll"], training["heldout_unigram_nll"]
    if nll is None:
        return f"{sentences:,} sentences were held out; ns has no likelihood, so there is none to report on them"
    return (
        f"held-out sentences: {nll:.3f} nats per pair, perplexity {format_perplexity(nll)} "
        f"(unigram: {unigram:.3f}, {format_perplexity(unigram)})"
    )
