"""Which charts a comparison gives: what each shows, out of the record's summary alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from w2v.comparison.report.bars import BarRow, SplitRow, draw_bars, draw_splits
from w2v.comparison.report.curves import Curve, CurvePoint, Panel, draw_panels
from w2v.comparison.report.drawing import Drawing
from w2v.comparison.report.palette import PHASES, Style, style_of
from w2v.comparison.report.wording import (
    Record,
    deviation,
    evaluation_name,
    fixed,
    full_name,
    mapping_of,
    mean,
    model_name,
    number,
    rate,
    rows_of,
    score_unit,
    seconds_text,
    short_name,
    spread,
    target_text,
)
from w2v.comparison.words import epochs_text

NAMES = ("time-to-quality", "epochs-to-quality", "heldout", "words-per-second", "time-split")
_PANELS_A_LINE = 3
_SEEN = 0.001


@dataclass(frozen=True)
class Chart:
    """A chart of one or more drawings, ``columns`` of them a line; ``caption`` says how to read it."""

    name: str
    title: str
    caption: str
    drawings: list[Drawing]
    columns: int


def charts_of(record: Record) -> list[Chart]:
    """The charts that the record has figures for, in the order of NAMES."""
    summary = rows_of(record.get("summary"))
    charts = [
        _scores(record, summary, "time-to-quality"),
        _scores(record, summary, "epochs-to-quality"),
        _heldout(record, summary),
        _speeds(summary),
        _splits(summary),
    ]
    return [chart for chart in charts if chart is not None]


def is_likelihood(entry: Record) -> bool:
    """Whether the nats of a summary row are a likelihood that compares: never those of ns."""
    return bool(entry.get("normalised")) and entry.get("objective") != "ns"


def _scores(record: Record, summary: Sequence[dict[str, Any]], name: str) -> Chart | None:
    timed = name == "time-to-quality"
    evaluations = {str(row.get("name")): row.get("kind") for row in rows_of(record.get("evaluation"))}
    models = _models(summary)
    panels = []
    for model in models:
        for evaluation, kind in evaluations.items():
            title = evaluation_name(evaluation) + (f", {model_name(model)}" if len(models) > 1 else "")
            target = number(mapping_of(record.get("targets")).get(evaluation))
            curves = _curves(summary, model, timed, lambda p, e=evaluation: mapping_of(p.get("scores")).get(e), 1)
            level = None if target is None else (target, f"target {target_text(target)}")
            if curves:
                panels.append(Panel(title, evaluation, score_unit(kind), curves, level))
    if not panels:
        return None
    x_label = "seconds of training" if timed else "epochs"
    title = "Score against seconds of training" if timed else "Score against epochs"
    caption = "Higher and further left is better." if timed else "What a pass over the text is worth."
    drawings = draw_panels(panels, x_label, log_allowed=timed)
    return Chart(name, title, caption, drawings, min(len(evaluations), _PANELS_A_LINE))


def _heldout(record: Record, summary: Sequence[dict[str, Any]]) -> Chart | None:
    likelihoods = [entry for entry in summary if is_likelihood(entry)]
    models = _models(likelihoods)
    panels = []
    for model in models:
        curves = _curves(likelihoods, model, True, lambda point: point.get("heldout_nll"), 3)
        unigram = unigram_nats(record, model)
        level = None if unigram is None else (unigram, f"unigram {fixed(unigram, 3)}")
        # Pairs of skip-gram and windows of CBOW are different questions: their nats share no axis.
        if curves:
            title = "Held-out sentences" + (f", {model_name(model)}" if len(models) > 1 else "")
            panels.append(Panel(title, f"nats {model}", "nats per pair", curves, level))
    if not panels:
        return None
    caption = "Lower is better. Normalised objectives only: ns has no likelihood."
    drawings = draw_panels(panels, "seconds of training", log_allowed=True)
    return Chart("heldout", "Held-out nats per pair against seconds of training", caption, drawings, len(drawings))


def _speeds(summary: Sequence[dict[str, Any]]) -> Chart | None:
    rows = []
    for entry in summary:
        speed = mean(entry.get("words_per_second"))
        if speed is not None and speed > 0:
            sd = deviation(entry.get("words_per_second"))
            rows.append(BarRow(full_name(entry), _style(entry), speed, sd, rate(speed, sd)))
    if not rows:
        return None
    title = "Words per second of training"
    caption = "In-vocabulary words before sub-sampling, times epochs, over the seconds of training."
    return Chart("words-per-second", title, caption, [draw_bars(title, "words/s", rows)], 1)


def _splits(summary: Sequence[dict[str, Any]]) -> Chart | None:
    rows = []
    for entry in summary:
        seconds = mapping_of(entry.get("seconds"))
        parts = {phase: number(seconds.get(phase)) or 0.0 for phase in PHASES}
        if sum(parts.values()) > 0:
            rows.append(SplitRow(full_name(entry), parts, f"{seconds_text(sum(parts.values()))} s"))
    if not rows:
        return None
    # The key has what can be seen: a hair of the longest bar.
    phases = [phase for phase in PHASES if any(row.parts[phase] >= _SEEN * sum(row.parts.values()) for row in rows)]
    title = "Where the time of a run goes"
    caption = (
        "Each bar is one run, the mean over its seeds; its seconds stand behind it. Scoring is no part of training."
    )
    return Chart("time-split", title, caption, [draw_splits(title, phases, rows)], 1)


def _curves(
    summary: Sequence[dict[str, Any]], model: object, timed: bool, pick: Callable[[Record], object], decimals: int
) -> tuple[Curve, ...]:
    """Of every summary row of ``model`` that has points, the curve of what ``pick`` takes out of a point."""
    curves = []
    for entry in summary:
        points = [_point(point, timed, pick(point), decimals) for point in rows_of(entry.get("points"))]
        known = tuple(sorted((point for point in points if point is not None), key=lambda point: point.x))
        if entry.get("model") == model and known:
            curves.append(Curve(short_name(entry), _style(entry), known))
    return tuple(curves)


def _point(point: Record, timed: bool, statistic: object, decimals: int) -> CurvePoint | None:
    """None where the point has no time, or was not scored."""
    epochs, seconds, y = number(point.get("epochs")), mean(point.get("seconds")), mean(statistic)
    x = seconds if timed else epochs
    if x is None or y is None:
        return None
    said = [f"{spread(statistic, decimals=decimals)}"]
    said += [] if epochs is None else [f"after {epochs_text(epochs)}"]
    said += [] if seconds is None else [f"{seconds_text(seconds)} s"]
    return CurvePoint(x, y, deviation(statistic), ", ".join(said))


def unigram_nats(record: Record, model: object) -> float | None:
    """Nats per pair of the unigram on the held-out sentences: the mean over the runs of ``model`` that tell."""
    told = [
        number(run.get("heldout_unigram_nll")) for run in rows_of(record.get("runs")) if run.get("model") == model
    ]
    known = [value for value in told if value is not None]
    return sum(known) / len(known) if known else None


def _models(summary: Sequence[dict[str, Any]]) -> list[object]:
    return list(dict.fromkeys(entry.get("model") for entry in summary))


def _style(entry: Record) -> Style:
    return style_of(str(entry.get("system", "w2v")), str(entry.get("objective")))
