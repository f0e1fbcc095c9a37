"""The report of a comparison: one HTML file that needs nothing else, and PNG files where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from w2v.atomic import atomic_file
from w2v.comparison.report import tables
from w2v.comparison.report.charts import Chart, charts_of
from w2v.comparison.report.figures import remove_figures, write_figures
from w2v.comparison.report.findings import findings, listed, missing_names
from w2v.comparison.report.palette import style_sheet
from w2v.comparison.report.svg import svg_of
from w2v.comparison.report.tables import escape, value_text
from w2v.comparison.report.wording import Record, mapping_of, number, rows_of, seconds_text, size, whole
from w2v.comparison.summary import DEFAULT_TARGET
from w2v.comparison.words import counted
from w2v.errors import MissingExtraError
from w2v.standalone_page import fill_template, page_part, security_policy

PAGE = "report.html"


def write_report(record: dict[str, Any], folder: Path) -> list[str]:
    """Write report.html, and a PNG of each chart where matplotlib is installed, into ``folder``.

    record: what compare.json holds (see ``record``); whatever is missing in it is left out. Returns lines to say.
    Raises OutputError where a file cannot be written.
    """
    charts = charts_of(record)
    with atomic_file(Path(folder) / PAGE) as temporary:
        temporary.write_bytes(build_report(record, charts).encode("utf-8", "replace"))
    try:
        write_figures(charts, machine_line(record), folder)
    except MissingExtraError:
        remove_figures(folder)
        return ["matplotlib is not installed: no PNG plots (report.html has them): pip install 'w2v[plot]'"]
    return []


def build_report(record: Record, charts: Sequence[Chart]) -> str:
    """The page. Its Content-Security-Policy allows its own style sheet, by its SHA-256, and nothing else at all."""
    summary = rows_of(record.get("summary"))
    style = style_sheet() + _part("page.css")
    said = findings(record)
    parts = {
        "policy": escape(security_policy(style)),
        "style": style,
        "title": escape(_title(record)),
        "lead": _paragraph(said[0] if said else "No run has finished: there is nothing to report yet.", "lead"),
        "findings": _list(said[1:]),
        "facts": _facts(record),
        "state": _state(record),
        "sections": "".join(_sections(record, summary, charts)),
    }
    return fill_template(_part("page.html"), parts)


def machine_line(record: Record) -> str:
    """Processor, device and day, for the foot of a figure."""
    machine = mapping_of(record.get("machine"))
    version = mapping_of(machine.get("versions")).get("w2v")
    parts = [machine.get("processor"), machine.get("device"), version and f"w2v {version}", _day(record)]
    return " · ".join(str(part) for part in parts if part)


def _sections(record: Record, summary: Sequence[dict[str, Any]], charts: Sequence[Chart]) -> list[str]:
    drawn = {chart.name: _chart(chart) for chart in charts}
    curves = [drawn.get("time-to-quality"), _reaching(record, summary), drawn.get("epochs-to-quality")]
    points = _details("The numbers behind the curves", tables.points_table(record, summary))
    heldout = drawn.get("heldout", "") if any(curves) else drawn.get("heldout", "") + points
    bars = "".join(drawn.get(name, "") for name in ("words-per-second", "time-split"))
    return [
        _section("summary", "Summary", _summary(record, summary)),
        _section("quality", "Quality against time", *curves, points if any(curves) else ""),
        _section("likelihood", "Likelihood", _likelihood(record, summary, heldout)),
        _section("speed", "Speed", bars and f'<div class="pair">{bars}</div>', _split(record, summary)),
        _section("failures", "Failed runs", tables.failures_table(record)),
        _section("setup", "Setup", _setup(record)),
        _section("notes", "Notes", _list(map(str, record.get("notes") or []))),
    ]


def _section(name: str, title: str, *bodies: str | None) -> str:
    """A section, or nothing where all its parts are empty."""
    body = "".join(body for body in bodies if body)
    return f'<section id="{name}"><h2>{title}</h2>\n{body}</section>\n' if body else ""


def _chart(chart: Chart) -> str:
    drawings = "".join(map(svg_of, chart.drawings))
    caption = f"<figcaption><b>{escape(chart.title)}.</b> {escape(chart.caption)}</figcaption>"
    return f'<figure class="{chart.name}">{caption}<div class="panels">{drawings}</div></figure>\n'


def _summary(record: Record, summary: Sequence[dict[str, Any]]) -> str:
    if not summary:
        return ""
    units = "No evaluation files were given: there are no scores."
    if rows_of(record.get("evaluation")):
        units = (
            "Scores are Spearman × 100 for word pairs and % answered right for analogies, over what the vocabulary "
            "covers: so many of so many stand in the heading."
        )
    return tables.summary_table(record, summary) + _note(f"{tables.seeds_line(summary)} {units} {_memory(summary)}")


def _memory(summary: Sequence[dict[str, Any]]) -> str:
    """What the numbers of memory are: each system's is its own."""
    told = {str(entry.get("system")) for entry in summary if number(entry.get("peak_device_bytes")) is not None}
    said = ["Peak host memory is the largest resident size of a run's process, scoring included."]
    if "w2v" in told:
        said.append(
            "Device memory of w2v is by how much the memory in use on the device had grown at the end of training; "
            "other programs count as well."
        )
    if "torch" in told:
        said.append("Device memory of torch is the most that its allocator had reserved.")
    return " ".join(said)


def _reaching(record: Record, summary: Sequence[dict[str, Any]]) -> str:
    reach, equal = tables.reach_table(record, summary), tables.equal_time_tables(record, summary)
    notes = ""
    if reach:
        given = record.get("targets_given")
        computed = isinstance(given, dict) and set(mapping_of(record.get("targets"))) - set(given)
        chosen = f" A target that was not given is {DEFAULT_TARGET:.0%} of the lowest final mean." if computed else ""
        notes += _note(
            "To a given score: seconds of training at the first scored point at or above it, nothing interpolated."
            + chosen
        )
    if equal:
        notes += _note(
            "At equal time: the last scored point within the seconds in which the fastest of w2v with the same model "
            "was through with all its epochs. “Epochs by then” says which point that is: nothing is interpolated, so "
            "an objective that takes a little longer shows the point before its last. The learning rates of the "
            "others had further to fall by then."
        )
    return f'<div class="beside">{reach}{equal}</div>{notes}' if reach or equal else ""


def _likelihood(record: Record, summary: Sequence[dict[str, Any]], chart: str) -> str:
    likelihood, noise = tables.likelihood_table(record, summary), tables.noise_table(summary)
    body = likelihood and likelihood + _note(
        "Mean −log p over the pairs of held-out sentences, the same ones for every objective of a seed. Skip-gram "
        "and CBOW are asked different questions: compare within a model."
    )
    body += chart
    if noise:
        body += noise + _note(
            "ns tells words from noise and has no probabilities. Its loss, of the pair and its noise words together, "
            "stands alone: it compares with no likelihood, nor with the loss of an ns of other settings."
        )
    return body


def _split(record: Record, summary: Sequence[dict[str, Any]]) -> str:
    split = tables.split_table(summary)
    cached = mapping_of(record.get("corpus")).get("cached")
    return split and split + _note(
        "The text is read and encoded once for all runs, and every run shows these seconds"
        + ("; it was in the cache." if cached else ".")
    )


def _setup(record: Record) -> str:
    machine, corpus = mapping_of(record.get("machine")), mapping_of(record.get("corpus"))
    versions = mapping_of(machine.get("versions"))
    about = {
        "Processor": machine.get("processor"),
        "Cores": machine.get("cores"),
        "Memory": size(number(machine.get("memory_bytes"))) if machine.get("memory_bytes") else None,
        "System": machine.get("system"),
        "Device": machine.get("device"),
        "Driver": machine.get("driver"),
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "Command": record.get("command"),
        "Begun": record.get("created"),
        "Finished": record.get("finished"),
    }
    text = {
        "Files": ", ".join(map(str, corpus.get("inputs") or [])),
        **{
            name: whole(number(corpus.get(key))) if number(corpus.get(key)) is not None else None
            for name, key in (
                ("Tokens read", "raw_tokens"), ("In vocabulary", "tokens"), ("Words", "words"),
                ("Sentences", "sentences"), ("Held-out sentences", "heldout_sentences"),
                ("Held-out tokens", "heldout_tokens"),
            )
        },
        "Reading, encoding": _text_seconds(mapping_of(corpus.get("seconds"))),
        "Fingerprint": corpus.get("fingerprint"),
        "Vocabulary SHA-256": corpus.get("vocabulary_sha256"),
        **_heldout_hashes(corpus),
    }  # fmt: skip
    options = mapping_of(record.get("settings")).items()
    settings = {key: value_text(value) for key, value in options if value is not None}
    lists = _definitions("Machine", about) + _definitions("Corpus", text)
    body = f'<div class="beside">{lists}</div>' if lists else ""
    body += _definitions("Options of all runs", settings, "options")
    body += tables.differences_table(record) + tables.evaluation_table(record)
    return body + _details("Each run", tables.runs_table(record))


def _text_seconds(seconds: Record) -> str | None:
    """What the text took, once for all runs; compiling the encoder is a part of no run's seconds."""
    read, encode, compiling = (number(seconds.get(name)) for name in ("read", "encode", "compile"))
    if read is None or encode is None:
        return None
    more = f" (and {seconds_text(compiling)} s of compiling, which no run shows)" if compiling else ""
    return f"{seconds_text(read)} s, {seconds_text(encode)} s{more}"


def _heldout_hashes(corpus: Record) -> dict[str, object]:
    """One for each seed, which chooses the sentences."""
    seeds = mapping_of(corpus.get("heldout_sha256s"))
    if len(seeds) < 2:
        return {"Held-out SHA-256": corpus.get("heldout_sha256")}
    return {f"Held-out SHA-256, seed {seed}": value for seed, value in seeds.items()}


def _definitions(title: str, pairs: Record, kind: str = "") -> str:
    known = {name: value for name, value in pairs.items() if value not in (None, "")}
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in known.items())
    return f'<div class="facts-list {kind}"><h3>{title}</h3><dl>{rows}</dl></div>' if known else ""


def _title(record: Record) -> str:
    inputs = mapping_of(record.get("corpus")).get("inputs") or []
    some = [*map(str, inputs[:3]), *([f"{len(inputs) - 3} more"] if len(inputs) > 3 else [])]
    return "Objectives compared" + (f" on {listed(some)}" if some else "")


def _facts(record: Record) -> str:
    machine, corpus = mapping_of(record.get("machine")), mapping_of(record.get("corpus"))
    tokens, words = number(corpus.get("tokens")), number(corpus.get("words"))
    facts = [
        _day(record), machine.get("processor"), machine.get("device"),
        tokens and f"{whole(tokens)} tokens", words and f"{whole(words)} words",
    ]  # fmt: skip
    return _paragraph(" · ".join(str(fact) for fact in facts if fact), "facts")


def _state(record: Record) -> str:
    """What a reader must know before the numbers: runs that failed or are missing."""
    failed = [run for run in rows_of(record.get("runs")) if run.get("status") == "failed"]
    missing = missing_names(record)
    lines = []
    if missing:
        said = f"{counted(len(missing), 'run')} {'is' if len(missing) == 1 else 'are'} missing"
        lines.append(f"This comparison is not finished: {said}. Continue it with --resume.")
    if failed:
        lines.append(f"{counted(len(failed), 'run')} failed: see below.")
    return _paragraph(" ".join(lines), "state") if lines else ""


def _day(record: Record) -> str | None:
    created = record.get("finished") or record.get("created")
    return str(created)[:16].replace("T", " ") if created else None


def _paragraph(text: str, kind: str) -> str:
    return f'<p class="{kind}">{escape(text)}</p>\n' if text else ""


def _note(text: str) -> str:
    return _paragraph(text.strip(), "note")


def _list(lines: object) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>\n" if items else ""


def _details(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n{body}</details>\n" if body else ""


def _part(name: str) -> str:
    return page_part("w2v.comparison.report", name)
