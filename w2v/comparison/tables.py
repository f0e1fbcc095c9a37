"""A comparison as tables: aligned for people, tab-separated for programs, and CSV files.

The loss of ns is no −log p: it has a column of its own everywhere, and none of the columns of likelihood.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from w2v.atomic import atomic_file
from w2v.cli.terminal_text import padded, printable, width
from w2v.comparison.report.wording import seconds_text
from w2v.comparison.summary import DEFAULT_TARGET, finished, seconds_to
from w2v.comparison.words import epochs_span, epochs_text, without_empty
from w2v.likelihood import format_perplexity, perplexity

RUNS, POINTS = "compare.csv", "points.csv"
PHASES = ("read", "encode", "upload", "compile", "train", "evaluate", "total")
Table = tuple[Sequence[str], list[list[object]]]
Record = Mapping[str, Any]


def run_line(run: Record) -> str:
    """What there is to say of a run when it is over."""
    if run["status"] != "done":
        return f"failed: {run['error']}"
    parts = [f"{_millions(run['words_per_second'])} M words/s, {seconds_text(run['seconds']['train'])} s of training"]
    if run["points"] and run["points"][-1]["scores"]:
        parts.append(", ".join(f"{name} {_number(score)}" for name, score in run["points"][-1]["scores"].items()))
    if run["heldout_nll"] is not None:
        parts.append(f"{run['heldout_nll']:.3f} nats per held-out pair")
    return "; ".join(parts)


def write_tables(record: Record, folder: Path) -> None:
    """Write compare.csv, a line for each run, and points.csv, a line for each scored point."""
    for name, (header, rows) in ((RUNS, runs_table(record)), (POINTS, points_table(record))):
        with atomic_file(folder / name) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([header, *rows])


def runs_table(record: Record) -> Table:
    """Header and rows of compare.csv; what is not known is None, an empty cell."""
    names = score_names(record)
    plain = ("name", "system", "model", "objective", "seed", "status", "error", "device", "threads")
    figures = (
        "words_per_second", "kept_words_per_second", "pairs_per_second", "words", "kept_words", "pairs",
        "peak_host_bytes", "peak_device_bytes", "heldout_nll", "heldout_unigram_nll",
    )  # fmt: skip
    header = [
        *plain, "alpha", *(f"{phase}_seconds" for phase in PHASES), *figures, "perplexity", "loss", "ns_loss", *names,
        *(f"seconds_to_{name}" for name in names),
    ]  # fmt: skip
    rows = []
    for run in record["runs"]:
        scores = run["points"][-1]["scores"] if run["points"] else {}
        loss = run["loss"][-1] if run["loss"] else None
        of_ns = run["objective"] == "ns"
        rows.append(
            [
                *(run[name] for name in plain),
                run["config"].get("alpha"),
                *(run["seconds"].get(phase) for phase in PHASES),
                *(run[name] for name in figures),
                None if run["heldout_nll"] is None else perplexity(run["heldout_nll"]),
                *((None, loss) if of_ns else (loss, None)),
                *(scores.get(name) for name in names),
                *(_run_seconds_to(run, name, record["targets"]) for name in names),
            ]
        )
    return header, rows


def points_table(record: Record) -> Table:
    """Header and rows of points.csv."""
    names = score_names(record)
    header = ["name", "system", "model", "objective", "seed", "epochs", "words", "seconds", *names, "heldout_nll"]
    rows = [
        [
            *(run[name] for name in header[:5]),
            *(point[name] for name in ("epochs", "words", "seconds")),
            *(point["scores"].get(name) for name in names),
            point["heldout_nll"],
        ]
        for run in finished(record["runs"])
        for point in run["points"]
    ]
    return header, rows


def summary_table(record: Record) -> Table:
    """Header and rows for programs: a row for each system, model and objective, numbers in full."""
    covered = _headings(record)
    header = ["case", "seeds"]
    for name in ("train_seconds", "words_per_second", "kept_words_per_second", "pairs_per_second"):
        header += [name, f"{name} sd"]
    header += ["peak_host_bytes", "peak_device_bytes", "nats_per_pair", "nats_per_pair sd", "perplexity", "ns_loss"]
    for name in score_names(record):
        header += [covered[name], f"{name} sd", f"seconds to {name}", f"seeds that reached {name}"]
    return header, [_summary_row(case, score_names(record)) for case in record["summary"]]


def people_tables(record: Record) -> str:
    """Aligned tables under headings, as a terminal shows them."""
    cached = " (the text was encoded before, and came from the cache)" if record["corpus"]["cached"] else ""
    parts = [("Speed of training", _speed(record)), (f"Seconds{cached}", _phases(record))]
    if score_names(record) or any(case["heldout_nll"] for case in record["summary"]):
        parts.append((f"Quality after {epochs_text(max(record['points']))}", _quality(record)))
    if record["targets"]:
        by_default = set(record["targets"]) - set(record["targets_given"])
        rule = f" ({DEFAULT_TARGET:.0%} of the lowest final mean; --target chooses another)" if by_default else ""
        parts.append((f"Seconds of training to reach a score{rule}", _times(record)))
    parts += _equal_times(record) if score_names(record) else []
    return "\n\n".join(f"{title}\n{align(*table)}" for title, table in parts)


def align(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns of text under a header, the first to the left and the others to the right."""
    lines = [list(header), *(["" if cell is None else str(cell) for cell in row] for row in rows)]
    lines = [list(map(printable, line)) for line in lines]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([padded(line[0], widths[0]), *map(_to_the_right, line[1:], widths[1:])]).rstrip() for line in lines
    )


def score_names(record: Record) -> list[str]:
    """Names of the scores, in the order of the evaluation files."""
    return [item["name"] for item in record["evaluation"]]


def _headings(record: Record) -> dict[str, str]:
    """``wordsim353 (350 of 353)`` by name: a score means little without what it covers."""
    return {
        item["name"]: f"{item['name']} ({item['covered']:,} of {item['total']:,})" for item in record["evaluation"]
    }


def _summary_row(case: Record, names: Sequence[str]) -> list[object]:
    row: list[object] = [case["name"], case["seeds"]]
    for name in ("train_seconds", "words_per_second", "kept_words_per_second", "pairs_per_second"):
        row += _pair(case[name])
    row += [case["peak_host_bytes"], case["peak_device_bytes"], *_pair(case["heldout_nll"]), case["perplexity"]]
    row.append(_pair(case["ns_loss"])[0])
    for name in names:
        told = case["seconds_to"].get(name, {})
        row += [*_pair(case["scores"].get(name)), told.get("mean"), told.get("reached")]
    return row


def _pair(value: Mapping[str, float | None] | None) -> list[float | None]:
    return [None, None] if value is None else [value["mean"], value["sd"]]


def _speed(record: Record) -> Table:
    header = ["", "M words/s", "M kept words/s", "M pairs/s", "seconds", "host MB", "device MB"]
    rows = [
        [
            _title(case, record),
            *(_rate(case[name]) for name in ("words_per_second", "kept_words_per_second", "pairs_per_second")),
            _seconds(case["train_seconds"]),
            _megabytes(case["peak_host_bytes"]),
            _megabytes(case["peak_device_bytes"]),
        ]
        for case in record["summary"]
    ]
    return without_empty(header, rows)


def _phases(record: Record) -> Table:
    rows = [
        [_title(case, record), *(seconds_text(case["seconds"][phase]) for phase in PHASES)]
        for case in record["summary"]
    ]
    return ["", *PHASES], rows


def _quality(record: Record) -> Table:
    headings = _headings(record)
    header = ["", *headings.values(), "nats/pair", "perplexity", "ns loss"]
    rows = [
        [
            _title(case, record),
            *(_spread(case["scores"].get(name), _number) for name in headings),
            _spread(case["heldout_nll"], "{:.3f}".format),
            case["heldout_nll"] and format_perplexity(case["heldout_nll"]["mean"]),
            _spread(case["ns_loss"], "{:.3f}".format),
        ]
        for case in record["summary"]
    ]
    for model in record["models"]:
        means = [case["heldout_unigram_nll"] for case in record["summary"] if case["model"] == model]
        if known := [mean["mean"] for mean in means if mean]:
            title = "unigram" if len(record["models"]) == 1 else f"{model} unigram"
            rows.append([title, *[None] * len(headings), f"{known[0]:.3f}", format_perplexity(known[0]), None])
    return without_empty(header, rows)


def _times(record: Record) -> Table:
    targets = record["targets"]
    rows = []
    for case in record["summary"]:
        cells = []
        for name in targets:
            found = case["seconds_to"].get(name)
            some = found and 0 < found["reached"] < case["seeds"]
            share = f" ({found['reached']} of {case['seeds']} seeds)" if some else ""
            cells.append("never" if not found or found["mean"] is None else f"{seconds_text(found['mean'])}{share}")
        rows.append([_title(case, record), *cells])
    return ["", *(f"{name} ≥ {target:.3g}" for name, target in targets.items())], rows


def _equal_times(record: Record) -> list[tuple[str, Table]]:
    """A heading and a table for each model."""
    models = list(dict.fromkeys(case["model"] for case in record["summary"]))
    found = []
    for model in models:
        cases = [case for case in record["summary"] if case["model"] == model and case["score_at"]]
        if cases:
            of = f" of {model}" if len(models) > 1 else ""
            seconds = seconds_text(cases[0]["score_at"]["seconds"])
            title = f"Scores after {seconds} s of training, the time of the fastest{of}"
            found.append((title, _equal_time(record, cases)))
    return found


def _equal_time(record: Record, cases: Sequence[Record]) -> Table:
    names = score_names(record)
    rows = []
    for case in cases:
        scores = [case["score_at"]["scores"].get(name) for name in names]
        epochs = next((score["epochs"] for score in scores if score), [])
        rows.append([_title(case, record), epochs_span(epochs), *(_spread(s, _number) or "none yet" for s in scores)])
    return ["", "epochs by then", *names], rows


def _title(case: Record, record: Record) -> str:
    """The name of a case, with the seeds where some are missing."""
    missing = case["seeds"] < len(record["seeds"])
    return f"{case['name']} ({case['seeds']} of {len(record['seeds'])} seeds)" if missing else case["name"]


def _spread(value: Mapping[str, float | None] | None, show: Callable[[float], str]) -> str | None:
    """``62.2 ± 1.1``."""
    if value is None:
        return None
    return show(value["mean"]) + ("" if value["sd"] is None else f" ± {show(value['sd'])}")


def _run_seconds_to(run: Record, name: str, targets: Mapping[str, float]) -> float | None:
    return seconds_to([run], name, targets[name])["mean"] if name in targets else None


def _millions(value: float | None) -> str:
    return "?" if value is None else f"{value / 1e6:.3g}"


def _rate(value: Mapping[str, float | None] | None) -> str | None:
    """Millions, both numbers to the third digit of the mean."""
    if value is None:
        return None
    digits = max(0, 2 - math.floor(math.log10(max(value["mean"], 1) / 1e6)))
    return _spread(value, lambda number: f"{number / 1e6:.{digits}f}")


def _seconds(value: Mapping[str, float | None] | None) -> str | None:
    """Three digits of the mean, no finer than a hundredth, and the deviation to the same digit."""
    if value is None:
        return None
    digits = 2 if value["mean"] < 10 else 1 if value["mean"] < 100 else 0
    return _spread(value, lambda number: f"{number:,.{digits}f}")


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"


def _megabytes(value: int | None) -> str | None:
    return None if value is None else f"{value / 1e6:,.0f}"


def _to_the_right(text: str, columns: int) -> str:
    return " " * (columns - width(text)) + text
