"""What a soak counts: operations, faults and failures, as a log, a table and a record."""

import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

COLUMNS = ("operation", "run", "faults", "survived", "failures", "seconds")


@dataclass
class Row:
    """The counts of one kind of operation."""

    run: int = 0
    faults: int = 0
    survived: int = 0
    failures: int = 0
    seconds: float = 0.0


@dataclass
class Failure:
    """An operation that found something broken: what, in which folder, and the commands that led there."""

    operation: str
    number: int
    message: str
    folder: str
    commands: list[str]


@dataclass
class Ledger:
    """Counts of everything so far; a line of ``log`` for each operation.

    faults: how often each kind of fault was injected; outcomes: how often what happened after one.
    """

    log: Path
    rows: dict[str, Row] = field(default_factory=dict)
    faults: Counter = field(default_factory=Counter)
    outcomes: Counter = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def add(
        self, name: str, number: int, seconds: float, faults: Sequence[str], outcomes: Sequence[str], details: str
    ) -> None:
        """An operation that is done. Of its faults all are survived, or, where it failed, all but the last one."""
        failed = bool(self.failures) and (self.failures[-1].operation, self.failures[-1].number) == (name, number)
        row = self.rows.setdefault(name, Row())
        row.run += 1
        row.seconds += seconds
        row.faults += len(faults)
        row.survived += max(0, len(faults) - failed)
        row.failures += failed
        self.faults.update(faults)
        self.outcomes.update(outcomes)
        cells = (
            time.strftime("%H:%M:%S"), f"{name}:{number}", "FAILED" if failed else "ok", f"{seconds:.1f} s",
            ", ".join(faults) or "-", ", ".join(outcomes) or "-", details,
        )  # fmt: skip
        with self.log.open("a", encoding="utf-8") as log:
            log.write("\t".join(cells) + "\n")

    def total(self) -> Row:
        """The sums."""
        rows = [asdict(row) for row in self.rows.values()]
        return Row(**{name: sum(row[name] for row in rows) for name in asdict(Row())})

    def table(self) -> list[tuple[str, ...]]:
        """A line per operation, and the totals."""
        lines = [*sorted(self.rows.items()), ("total", self.total())]
        return [
            (name, *(str(value) for value in (row.run, row.faults, row.survived, row.failures)), f"{row.seconds:.0f}")
            for name, row in lines
        ]

    def record(self) -> dict[str, object]:
        """Everything for a file of results."""
        return {
            "operations": {name: _rounded(row) for name, row in sorted(self.rows.items())},
            "total": _rounded(self.total()),
            "faults": dict(sorted(self.faults.items())),
            "outcomes": dict(sorted(self.outcomes.items())),
            "failures": [asdict(failure) for failure in self.failures],
        }


def _rounded(row: Row) -> dict[str, object]:
    return {**asdict(row), "seconds": round(row.seconds, 1)}


def write_record(path: Path, record: dict[str, object]) -> None:
    """Write a record as JSON, and what is in it as a page beside it (``.md``)."""
    for target, text in ((path, json.dumps(record, indent=1, ensure_ascii=False)), (_page_path(path), page(record))):
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(target)


def _page_path(path: Path) -> Path:
    return path.with_suffix(".md")


def page(record: dict[str, object]) -> str:
    """The record in Markdown."""
    lines = ["# Soak", "", *(f"- {name}: {value}" for name, value in record["machine"].items()), ""]
    rows = [*record["operations"].items(), ("**total**", record["total"])]
    lines += _markdown(COLUMNS, [(name, *(row[column] for column in COLUMNS[1:])) for name, row in rows])
    lines += ["", "## Faults", "", *_markdown(("fault", "injected"), list(record["faults"].items()))]
    lines += ["", "## What happened", "", *_markdown(("outcome", "times"), list(record["outcomes"].items()))]
    for title, key in (("Fuzzing", "fuzz"), ("Memory over epochs", "memory")):
        part = record.get(key)
        if part:
            lines += ["", f"## {title}", "", "```", *part["printed"].strip().splitlines(), "```"]
    if record["failures"]:
        lines += ["", "## Failures", ""]
        lines += [f"- {one['operation']}:{one['number']}: {one['message']}" for one in record["failures"]]
    return "\n".join(lines)


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    cells = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return ["| " + " | ".join(str(cell) for cell in row) + " |" for row in cells]
