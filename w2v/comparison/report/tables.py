"""The report's tables as HTML. Every string of the record is escaped here, and nowhere else."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from w2v.comparison.report.charts import is_likelihood, unigram_nats
from w2v.comparison.report.drawing import Mark
from w2v.comparison.report.findings import missing_names, reached_part
from w2v.comparison.report.palette import PHASES, style_of
from w2v.comparison.report.svg import mark_svg
from w2v.comparison.report.wording import (
    NONE,
    Record,
    deviation,
    digits,
    evaluation_name,
    fixed,
    full_name,
    mapping_of,
    mean,
    model_name,
    number,
    perplexity_of,
    rate,
    rows_of,
    score_unit,
    seconds_text,
    size,
    spread,
    target_text,
    whole,
)
from w2v.comparison.words import epochs_span, without_empty
from w2v.likelihood import format_perplexity

_HASH_DIGITS = 12
_CASE = ("model", "objective", "seed")


def escape(text: object) -> str:
    """As text of an element or an attribute."""
    return html.escape(str(text))


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, words: bool = False) -> str:
    """A table that scrolls inside itself. Heads and cells are HTML; the first cell of a row is its heading.

    words: cells are text, aligned to the left; otherwise numbers, to the right.
    """
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>\n' for row in rows
    )
    kind = ' class="words"' if words else ""
    label = escape(caption)
    return (
        f'<div class="scroll" role="region" aria-label="{label}" tabindex="0"><table{kind}>'
        f"<caption>{label}</caption><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>\n"
    )


def named(entry: Record) -> str:
    """A summary row's name behind its mark of the charts."""
    style = style_of(str(entry.get("system", "w2v")), str(entry.get("objective")))
    mark = mark_svg(Mark(6, 6, style.mark, style.colour, style.hollow))
    return f'<svg class="key" viewBox="0 0 12 12" aria-hidden="true">{mark}</svg>{escape(full_name(entry))}'


def summary_table(record: Record, summary: Sequence[dict[str, Any]]) -> str:
    """Speed, memory and final scores, one row per system, model and objective."""
    evaluations = rows_of(record.get("evaluation"))
    heads = ["", "training<br>s", "words/s", "kept<br>words/s", "pairs/s", "peak host<br>memory"]
    heads += ["peak device<br>memory", *map(_evaluation_head, evaluations)]
    rows = []
    for entry in summary:
        speeds = (entry.get(key) for key in ("words_per_second", "kept_words_per_second", "pairs_per_second"))
        scores = mapping_of(entry.get("scores"))
        cells = [spread(entry.get("train_seconds")), *(rate(mean(speed), deviation(speed)) for speed in speeds)]
        cells += [size(entry.get("peak_host_bytes")), size(entry.get("peak_device_bytes"))]
        cells += [spread(scores.get(row.get("name")), decimals=1) for row in evaluations]
        rows.append([named(entry), *map(escape, cells)])
    caption = "Speed, memory and final scores" if evaluations else "Speed and memory"
    # Nothing is known of a GPU's memory in a run without one.
    return table(caption, *without_empty(heads, rows, NONE))


def _evaluation_head(row: Record) -> str:
    covered = f"{whole(row.get('covered'))} of {whole(row.get('total'))}"
    # In a narrow heading a name may break at its spaces alone.
    name = escape(evaluation_name(str(row.get("name")))).replace("-", "\N{NON-BREAKING HYPHEN}")
    return f"{name}<br><small>{escape(covered)}</small>"


def seeds_line(summary: Sequence[dict[str, Any]]) -> str:
    """What ± means here."""
    seeds = sorted({int(entry["seeds"]) for entry in summary if number(entry.get("seeds")) is not None})
    if not seeds:
        return ""
    if seeds == [1]:
        return "One seed each: nothing is known of the spread."
    return f"Mean ± standard deviation over {'–'.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))} seeds."


def likelihood_table(record: Record, summary: Sequence[dict[str, Any]]) -> str:
    """Held-out nats per pair and perplexity of the normalised objectives; empty where there are none."""
    known = [entry for entry in summary if is_likelihood(entry) and mean(entry.get("heldout_nll")) is not None]
    rows = []
    for model in dict.fromkeys(entry.get("model") for entry in known):
        own = [entry for entry in known if entry.get("model") == model]
        rows += [[named(e), escape(spread(e["heldout_nll"], decimals=3)), escape(perplexity_of(e))] for e in own]
        unigram = unigram_nats(record, model)
        if unigram is not None:
            name = f"{escape(model_name(model))} unigram"
            rows.append([f'<span class="plain">{name}</span>', fixed(unigram, 3), format_perplexity(unigram)])
    heads = ["", "nats per pair", "perplexity"]
    return table("Normalised objectives on held-out sentences", heads, rows) if rows else ""


def noise_table(summary: Sequence[dict[str, Any]]) -> str:
    """The training loss of ns in the last epoch, which is no likelihood; empty where no run tells."""
    told = [entry for entry in summary if mean(entry.get("ns_loss")) is not None]
    rows = [[named(entry), escape(spread(entry["ns_loss"], decimals=3))] for entry in told]
    return table("The training loss of ns, apart", ["", "nats, last epoch"], rows) if rows else ""


def reach_table(record: Record, summary: Sequence[dict[str, Any]]) -> str:
    """Training seconds to each target; empty where there are no targets."""
    names = _evaluated(record, [mapping_of(entry.get("seconds_to")) for entry in summary])
    heads = [""]
    for name in names:
        targets = (mapping_of(mapping_of(entry.get("seconds_to")).get(name)).get("target") for entry in summary)
        target = next((number(t) for t in targets if number(t) is not None), None)
        heads.append(f"{escape(evaluation_name(name))}<br>{target_text(target)}")
    rows = []
    for entry in summary:
        tolds = [mapping_of(mapping_of(entry.get("seconds_to")).get(name)) for name in names]
        rows.append([named(entry), *(escape(_reached(entry, told)) for told in tolds)])
    return table("Seconds of training to a given score", heads, rows) if names and rows else ""


def _reached(entry: Record, told: Record) -> str:
    seconds = number(told.get("mean"))
    if seconds is not None:
        return f"{seconds_text(seconds)}\N{NO-BREAK SPACE}s{reached_part(entry, told)}"
    return "not reached" if told.get("reached") == 0 else NONE


def equal_time_tables(record: Record, summary: Sequence[dict[str, Any]]) -> str:
    """Scores after the same seconds of training, a table for each model; empty where there are none."""
    models = list(dict.fromkeys(entry.get("model") for entry in summary))
    found = ""
    for model in models:
        of = f", {model_name(model)}" if len(models) > 1 else ""
        found += _equal_time_table(record, [entry for entry in summary if entry.get("model") == model], of)
    return found


def _equal_time_table(record: Record, entries: Sequence[dict[str, Any]], of: str) -> str:
    told = [mapping_of(entry.get("score_at")) for entry in entries]
    names = _evaluated(record, [mapping_of(one.get("scores")) for one in told])
    seconds = next((number(one.get("seconds")) for one in told if number(one.get("seconds")) is not None), None)
    if not names or seconds is None:
        return ""
    rows = []
    for entry, one in zip(entries, told, strict=True):
        scores = [mapping_of(mapping_of(one.get("scores")).get(name)) for name in names]
        cells = [spread(score, decimals=1) for score in scores]
        cells = ["not scored yet" if cell == NONE else cell for cell in cells]
        rows.append([named(entry), *map(escape, [_epochs_of(scores), *cells])])
    heads = ["", "epochs<br>by then", *map(escape, map(evaluation_name, names))]
    return table(f"Score after {seconds_text(seconds)} s of training{of}", heads, rows)


def _epochs_of(scores: Sequence[Record]) -> str:
    """After how many epochs the seeds had them; one point has all scores."""
    told = (score.get("epochs") for score in scores)
    return epochs_span(next((epochs for epochs in told if isinstance(epochs, list)), [])) or NONE


def split_table(summary: Sequence[dict[str, Any]]) -> str:
    """Mean seconds by phase."""
    columns = (*PHASES, "total")
    rows = []
    for entry in summary:
        seconds = mapping_of(entry.get("seconds"))
        rows.append([named(entry), *(escape(seconds_text(number(seconds.get(column)))) for column in columns)])
    return table("Seconds by phase, mean over seeds", ["", *columns], rows) if rows else ""


def points_table(record: Record, summary: Sequence[dict[str, Any]]) -> str:
    """Every scored point: the numbers behind the curves."""
    evaluations = [str(row.get("name")) for row in rows_of(record.get("evaluation"))]
    rows = []
    for entry in summary:
        for point in rows_of(entry.get("points")):
            scores = mapping_of(point.get("scores"))
            cells = [digits(number(point.get("epochs"))), spread(point.get("seconds"))]
            cells += [spread(scores.get(name), decimals=1) for name in evaluations]
            # The column of nats is for likelihoods alone.
            cells += [spread(point.get("heldout_nll"), decimals=3) if is_likelihood(entry) else NONE]
            rows.append([named(entry), *map(escape, cells)])
    heads = ["", "epochs", "training s", *map(escape, map(evaluation_name, evaluations)), "held-out<br>nats per pair"]
    return table("Scored points", heads, rows) if rows else ""


def runs_table(record: Record) -> str:
    """Each run by itself, with the hashes of what it began from and what came of it."""
    runs = rows_of(record.get("runs"))
    heads = ["run", "state", "training s", "device", "threads", "first vectors", "final vectors"]
    rows = []
    for run in runs:
        cells = [run.get("status", NONE), seconds_text(number(mapping_of(run.get("seconds")).get("train")))]
        cells += [run.get("device") or NONE, whole(number(run.get("threads")))]
        hashes = [_short_hash(run.get(key)) for key in ("initial_sha256", "vectors_sha256")]
        rows.append([escape(run.get("name", NONE)), *map(escape, cells), *hashes])
    rows += [[escape(name), "missing", *[NONE] * 5] for name in missing_names(record)]
    return table("Runs", heads, rows, words=True) if rows else ""


def failures_table(record: Record) -> str:
    """The runs that failed, with what they said; empty where none did."""
    failed = [run for run in rows_of(record.get("runs")) if run.get("status") == "failed"]
    rows = [[escape(run.get("name", NONE)), escape(run.get("error") or "no message")] for run in failed]
    return table("Failed runs", ["run", "error"], rows, words=True) if rows else ""


def differences_table(record: Record) -> str:
    """The options in which the runs differ by objective; empty where there are none."""
    configs: dict[str, Record] = {}
    for run in rows_of(record.get("runs")):
        configs.setdefault(full_name(run), mapping_of(run.get("config")))
    keys = dict.fromkeys(key for config in configs.values() for key in config if key not in _CASE)
    own = [key for key in keys if len({repr(config.get(key)) for config in configs.values()}) > 1]
    rows = [[escape(name), *(escape(value_text(config.get(key))) for key in own)] for name, config in configs.items()]
    return table("Options that differ", ["", *map(escape, own)], rows, words=True) if own else ""


def value_text(value: object) -> str:
    """An option's value: lists by commas, none as a dash."""
    if value is None or value == []:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(value_text, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def evaluation_table(record: Record) -> str:
    """The evaluation sets: what a score of them is, how much of them is covered, and their hashes."""
    rows = [
        [
            escape(evaluation_name(str(row.get("name")))), escape(score_unit(row.get("kind"))),
            escape(f"{whole(row.get('covered'))} of {whole(row.get('total'))}"),
            escape(row.get("file", NONE)), _short_hash(row.get("sha256")),
        ]
        for row in rows_of(record.get("evaluation"))
    ]  # fmt: skip
    return table("Evaluation sets", ["", "score", "covered", "file", "SHA-256"], rows, words=True) if rows else ""


def _short_hash(value: object) -> str:
    """The first digits; compare.json has them all."""
    return f"<code>{escape(str(value)[:_HASH_DIGITS])}</code>" if value else NONE


def _evaluated(record: Record, told: Sequence[Record]) -> list[str]:
    """Names of the evaluation sets that any of ``told`` has, in the record's order."""
    names = [str(row.get("name")) for row in rows_of(record.get("evaluation"))]
    return [name for name in names if any(name in one for one in told)]
