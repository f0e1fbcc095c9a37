"""The report's sentences: what the comparison found, each out of recorded numbers alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from w2v.comparison.plan import planned_cases, run_name
from w2v.comparison.report.charts import is_likelihood, unigram_nats
from w2v.comparison.report.wording import (
    Record,
    digits,
    evaluation_name,
    fixed,
    full_name,
    mapping_of,
    mean,
    model_name,
    number,
    rate,
    rows_of,
    seconds_text,
    short_name,
    spread,
    target_text,
)


def findings(record: Record) -> list[str]:
    """Sentences, the most telling first; none where nothing is finished."""
    summary = rows_of(record.get("summary"))
    return [*_reaching(record, summary), *_fastest(summary), *_best(record, summary), *_likeliest(record, summary)]


def planned_names(record: Record) -> list[str]:
    """Names of all runs that were planned, in the order of running."""
    parts = [record.get(key) for key in ("objectives", "models", "seeds", "against")]
    objectives, models, seeds, against = (part if isinstance(part, list) else [] for part in parts)
    return [run_name(*case) for case in planned_cases(objectives, models, seeds, against)]


def missing_names(record: Record) -> list[str]:
    """Those of them that the record has no result of, neither done nor failed."""
    there = {run.get("name") for run in rows_of(record.get("runs"))}
    return [name for name in planned_names(record) if name not in there]


def _reaching(record: Record, summary: Sequence[dict[str, Any]]) -> list[str]:
    """How long each took to reach the target, of the first evaluation set where any did; one sentence per model."""
    for name in (str(row.get("name")) for row in rows_of(record.get("evaluation"))):
        told = [(entry, mapping_of(mapping_of(entry.get("seconds_to")).get(name))) for entry in summary]
        told = [(entry, to) for entry, to in told if number(to.get("target")) is not None]
        if any(number(to.get("mean")) is not None for _, to in told):
            models = dict.fromkeys(entry.get("model") for entry, _ in told)
            return [
                _reach_sentence(name, [pair for pair in told if pair[0].get("model") == model]) for model in models
            ]
    return []


def _reach_sentence(name: str, told: Sequence[tuple[dict[str, Any], Record]]) -> str:
    target = f"{evaluation_name(name)} {target_text(told[0][1]['target'])}"
    reached = sorted(((to["mean"], entry, to) for entry, to in told if number(to.get("mean")) is not None),
                     key=lambda found: found[0])  # fmt: skip
    never = [short_name(entry) for entry, to in told if number(to.get("mean")) is None]
    model = model_name(told[0][0].get("model"))
    if not reached:
        return f"{_capital(model)}: nothing reached {target}."
    times = [
        f"{short_name(entry)} in {seconds_text(seconds)}\N{NO-BREAK SPACE}s{reached_part(entry, to)}"
        for seconds, entry, to in reached
    ]
    end = f"; {listed(never)} did not reach it" if never else ""
    return f"{_capital(model)} reached {target} with {listed(times)}{end}."


def reached_part(entry: Record, to: Record) -> str:
    """`` (2 of 3 seeds)`` where not every seed reached the target."""
    reached, seeds = to.get("reached"), entry.get("seeds")
    if number(reached) is None or number(seeds) is None or reached >= seeds:
        return ""
    return f" ({reached} of {seeds} seeds)"


def _fastest(summary: Sequence[dict[str, Any]]) -> list[str]:
    speeds = [(mean(entry.get("words_per_second")), entry) for entry in summary]
    known = sorted(((speed, entry) for speed, entry in speeds if speed), key=lambda pair: -pair[0])
    if len(known) < 2:
        return [f"{_capital(full_name(entry))} trained {rate(speed)} words/s." for speed, entry in known]
    (most, first), (least, last) = known[0], known[-1]
    return [
        f"{_capital(full_name(first))} was the fastest with {rate(most)} words/s, {digits(most / least)} times as "
        f"fast as the slowest, {full_name(last)}, with {rate(least)}."
    ]


def _best(record: Record, summary: Sequence[dict[str, Any]]) -> list[str]:
    """Who has the highest final score on which evaluation sets."""
    best: dict[str, list[str]] = {}
    for name in (str(row.get("name")) for row in rows_of(record.get("evaluation"))):
        scores = [(mapping_of(entry.get("scores")).get(name), entry) for entry in summary]
        known = [(score, entry) for score, entry in scores if mean(score) is not None]
        if len(known) > 1:
            score, entry = max(known, key=lambda found: mean(found[0]))
            won = f"{spread(score, decimals=1)} on {evaluation_name(name)}"
            best.setdefault(full_name(entry), []).append(won)
    sentences = [f"{name} with {listed(won)}" for name, won in best.items()]
    return [f"Highest final scores: {'; '.join(sentences)}."] if sentences else []


def _likeliest(record: Record, summary: Sequence[dict[str, Any]]) -> list[str]:
    """One sentence per model: pairs of skip-gram and windows of CBOW are different questions."""
    sentences = []
    likelihoods = [entry for entry in summary if is_likelihood(entry) and mean(entry.get("heldout_nll")) is not None]
    for model in dict.fromkeys(entry.get("model") for entry in likelihoods):
        own = [entry for entry in likelihoods if entry.get("model") == model]
        best = min(own, key=lambda entry: mean(entry["heldout_nll"]))
        unigram = unigram_nats(record, model)
        beside = "" if unigram is None else f"; the unigram has {fixed(unigram, 3)}"
        if len(own) > 1:
            sentences.append(
                f"Of {model_name(model)}'s normalised objectives {short_name(best)} has the lowest held-out nats per "
                f"pair: {spread(best['heldout_nll'], decimals=3)}{beside}."
            )
    return sentences


def listed(parts: Sequence[str]) -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
