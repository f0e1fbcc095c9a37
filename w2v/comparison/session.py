"""A comparison from its first run to its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from w2v.comparison.hashes import sha256_of_array, sha256_of_vocabulary
from w2v.comparison.launch import clear_leftovers, launch
from w2v.comparison.machine import describe_machine
from w2v.comparison.plan import EvaluationFile, Plan, RunSpec, case_name, run_name
from w2v.comparison.record import FORMAT, NAME, VERSION, check_same, finite, save_record
from w2v.comparison.report import PAGE, write_report
from w2v.comparison.summary import DEFAULT_TARGET, default_targets, finished, summarise
from w2v.comparison.tables import POINTS, RUNS, run_line, write_tables
from w2v.comparison.words import counted
from w2v.corpus import EncodedCorpus
from w2v.corpus.heldout import split_heldout

Say = Callable[[str], None]


@dataclass(frozen=True)
class Comparison:
    """Everything that is decided before the first run.

    coverage: the entries of "evaluation"; targets: those that were given; device: ``cpu`` or ``cuda``; inputs: names
    of the corpus; notes: lines that were said so far.
    """

    plan: Plan
    corpus: EncodedCorpus
    files: Sequence[EvaluationFile]
    coverage: list[dict[str, Any]]
    restrict: int
    targets: Mapping[str, float]
    device: str
    folder: Path
    command: str
    inputs: Sequence[str]
    notes: list[str] = field(default_factory=list)

    def begin(self, old: dict[str, Any] | None) -> dict[str, Any]:
        """The record to begin with, or to go on with; raises OutputError where ``old`` is of other settings."""
        new = finite(self._blank())  # what is in memory is what is in the file
        if old is None:
            return new
        check_same(old, new)
        old["runs"] = finished(old["runs"])
        old["targets_given"] = {**old["targets_given"], **self.targets}
        for line in self.notes:
            add_note(old, line)
        if changes := _changes(old["machine"]["versions"], new["machine"]["versions"]):
            add_note(old, f"continued with other versions: {changes}")
            old["machine"]["versions"].update(new["machine"]["versions"])
        for name in ("driver", "system"):
            before, now = old["machine"][name], new["machine"][name]
            if before != now:
                add_note(old, f"continued with another {name}: {before or 'none'} → {now or 'none'}")
                old["machine"][name] = now
        return old

    def run(self, record: dict[str, Any], say: Say) -> None:
        """Do the runs that are missing from the record, which is saved after each."""
        save_record(record, self.folder)
        clear_leftovers(self.folder)
        done = {run["name"] for run in record["runs"]}
        missing = [spec for spec in self.specs(record) if spec.name not in done]
        if missing:
            record["finished"] = None
        for spec in missing:
            entry = launch(spec, self.folder)
            entry["heldout_sha256"] = record["corpus"]["heldout_sha256s"][str(spec.seed)]
            record["runs"].append(entry)
            for note in entry["notes"]:
                add_note(record, note)
            record["machine"]["versions"].update(entry.pop("versions", {}))
            self._digest(record)
            save_record(record, self.folder)
            say(f"{spec.label}: {run_line(entry)}")

    def conclude(self, record: dict[str, Any], say: Say) -> None:
        """Bring the summary up to date, and write tables and report."""
        self._digest(record)
        for line in differing_draws(record["runs"]):
            add_note(record, line, say)
        record["finished"] = record["finished"] or _now()
        save_record(record, self.folder)
        write_tables(record, self.folder)
        for line in write_report(record, self.folder):
            say(line)
        charts = len(list(self.folder.glob("*.png")))
        drawn = f" and {counted(charts, 'chart')} as PNG" if charts else ""
        say(f"written to {self.folder}: {NAME}, {RUNS}, {POINTS}, {PAGE}{drawn}")

    def specs(self, record: Mapping[str, Any]) -> list[RunSpec]:
        """All runs, in order, with the seconds that the corpus took when the record was begun."""
        cases, seconds = list(self.plan.cases()), record["corpus"]["seconds"]
        return [
            RunSpec(
                system=system,
                model=model,
                objective=objective,
                seed=seed,
                config=self.plan.config(model, objective, seed),
                points=self.plan.points,
                corpus=self.corpus.path,
                evaluation=tuple(self.files),
                restrict=self.restrict,
                number=number,
                total=len(cases),
                read_seconds=seconds["read"],
                encode_seconds=seconds["encode"],
            )
            for number, (system, model, objective, seed) in enumerate(cases, 1)
        ]

    def _blank(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "format": FORMAT,
            "version": VERSION,
            "created": _now(),
            "finished": None,
            "command": self.command,
            "machine": describe_machine(self.device, plan.against),
            "corpus": self._describe_corpus(),
            "settings": {**plan.options, "cost_model": _file_name(plan.options), "restrict": self.restrict},
            "models": list(plan.models),
            "objectives": list(plan.objectives),
            "seeds": list(plan.seeds),
            "points": list(plan.points),
            "against": list(plan.against),
            "targets": {},
            "targets_given": dict(self.targets),
            "evaluation": self.coverage,
            "notes": list(self.notes),
            "runs": [],
            "summary": [],
        }

    def _describe_corpus(self) -> dict[str, Any]:
        corpus, fraction = self.corpus, self.plan.options.get("heldout", 0.0)
        hashes, sizes = {}, {}
        for seed in self.plan.seeds:
            heldout = split_heldout(corpus.ids, fraction, seed)[1]
            hashes[str(seed)] = sha256_of_array(heldout, "<i4") if heldout.size else None
            sentences = int((heldout < 0).sum())
            sizes[seed] = heldout.size - sentences, sentences
        first = self.plan.seeds[0]
        return {
            "inputs": list(self.inputs),
            "fingerprint": corpus.fingerprint,
            "vocabulary_sha256": sha256_of_vocabulary(corpus.vocabulary),
            "heldout_sha256": hashes[str(first)],
            "heldout_sha256s": hashes,
            "tokens": corpus.tokens,
            "raw_tokens": corpus.raw_tokens,
            "sentences": corpus.sentences,
            "words": len(corpus.vocabulary),
            "heldout_tokens": sizes[first][0],
            "heldout_sentences": sizes[first][1],
            "seconds": dict(corpus.seconds),
            "cached": corpus.from_cache,
        }

    def _digest(self, record: dict[str, Any]) -> None:
        """Order the runs, and add targets and summary."""
        order = [run_name(*case) for case in self.plan.cases()]
        record["runs"].sort(key=lambda run: order.index(run["name"]))
        self._choose_targets(record)
        record["summary"] = summarise(record["runs"], record["targets"])

    def _choose_targets(self, record: dict[str, Any]) -> None:
        """Given targets, and defaults for the other scores."""
        names = [item["name"] for item in record["evaluation"]]
        chosen = {**default_targets(record["runs"], names), **record["targets_given"]}
        record["targets"] = {name: chosen[name] for name in names if name in chosen}
        record["notes"] = [line for line in record["notes"] if not line.startswith(_TARGETS)]
        defaults = [name for name in record["targets"] if name not in record["targets_given"]]
        if defaults:
            add_note(record, f"{_TARGETS} {', '.join(defaults)}: {DEFAULT_TARGET:.0%} of the lowest final mean")


_TARGETS = "targets of"


def add_note(record: dict[str, Any], line: str, say: Say = lambda line: None) -> None:
    """Keep a line once, and say it."""
    if line not in record["notes"]:
        record["notes"].append(line)
        say(line)


def differing_draws(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each seed whose w2v runs did not begin from the same draw."""
    lines = []
    own = [run for run in finished(runs) if run["system"] == "w2v"]
    for seed in sorted({run["seed"] for run in own}):
        draws = {run["initial_sha256"]: case_name(run["system"], run["model"], run["objective"])
                 for run in own if run["seed"] == seed}  # fmt: skip
        if len(draws) > 1:
            lines.append(
                f"seed {seed}: {' and '.join(draws.values())} began from different vectors, which is a defect"
            )
    return lines


def where(folder: Path, record: Mapping[str, Any], total: int) -> str:
    """What an interrupted comparison leaves, and how it goes on."""
    done = len(finished(record["runs"]))
    return f"{done} of {counted(total, 'run')} done, in {folder / NAME}: continue with --resume"


def _file_name(options: Mapping[str, object]) -> str | None:
    """Of the cost model: folders belong to whoever compared."""
    path = options.get("cost_model")
    return None if path is None else Path(str(path)).name


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Versions that are not what they were."""
    return ", ".join(f"{name} {before.get(name, 'none')} → {now}" for name, now in after.items()
                     if before.get(name) != now)  # fmt: skip


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
