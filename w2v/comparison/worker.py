"""One run in a fresh process: ``python -m w2v.comparison.worker SPEC.json RESULT.json [--tied]``.

SPEC.json is a ``RunSpec``; RESULT.json gets an entry of "runs" in compare.json. ``--tied``: end with standard input,
so that no process is left behind when the comparison that holds its other end is killed. A run that is ended ends at
once: what it has put down lies in a folder of the comparison's, which removes it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from w2v.comparison.plan import RunSpec

TIED = "--tied"
_SYSTEMS = {
    "w2v": "w2v.comparison.own",
    "gensim": "w2v.comparison.against_gensim",
    "torch": "w2v.comparison.against_torch",
}
_PHASES = ("upload", "compile", "train", "evaluate")


def main(arguments: list[str] | None = None) -> int:
    """Do the run and write its entry; a run that fails is an entry too."""
    spec_file, result_file, *tied = sys.argv[1:] if arguments is None else arguments
    spec = RunSpec.from_json(Path(spec_file).read_text("utf-8"))
    if TIED in tied:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    write_result(Path(result_file), do_run(spec))
    return 0


def do_run(spec: RunSpec) -> dict[str, Any]:
    """The entry of a run, done or failed, in this process."""
    from w2v.errors import W2VError

    started = time.perf_counter()
    entry = blank_entry(spec)
    try:
        found = _run(spec)
    except W2VError as error:
        return {**entry, "status": "failed", "error": str(error)}
    except MemoryError:
        return {**entry, "status": "failed", "error": "out of memory: lower --vector-size or raise --min-count"}
    except Exception as error:  # a defect, of ours or of another library's: the comparison goes on without the run
        traceback.print_exc()
        return {**entry, "status": "failed", "error": f"{type(error).__name__}: {error}".splitlines()[0]}
    return finish_entry(spec, {**entry, **found}, time.perf_counter() - started)


def blank_entry(spec: RunSpec) -> dict[str, Any]:
    """An entry of "runs" that knows its name, and nothing else."""
    unknown = (
        "initial_sha256 vectors_sha256 device threads words_per_second kept_words_per_second pairs_per_second words "
        "kept_words pairs peak_host_bytes peak_device_bytes loss heldout_nll heldout_unigram_nll"
    )
    return {
        "name": spec.name,
        "system": spec.system,
        "model": spec.model,
        "objective": spec.objective,
        "seed": spec.seed,
        "status": "done",
        "error": None,
        "config": spec.config.to_dict(),
        **dict.fromkeys(unknown.split()),
        "seconds": {},
        "points": [],
        "notes": [],
        "versions": {},
    }


def finish_entry(spec: RunSpec, entry: dict[str, Any], elapsed: float) -> dict[str, Any]:
    """Add what is the same for every system. elapsed: seconds of this process."""
    from w2v.comparison.machine import peak_host_bytes

    seconds = {name: float(entry["seconds"].get(name, 0.0)) for name in _PHASES}
    text = {"read": spec.read_seconds, "encode": spec.encode_seconds}
    entry["seconds"] = {**text, **seconds, "total": elapsed + sum(text.values())}
    for name in ("words", "kept_words", "pairs"):
        count = entry[name]
        entry[f"{name}_per_second"] = None if count is None else count / max(seconds["train"], 1e-9)
    entry["peak_host_bytes"] = peak_host_bytes()
    if entry["config"].get("cost_model"):  # folders belong to whoever compared
        entry["config"]["cost_model"] = Path(entry["config"]["cost_model"]).name
    return entry


def write_result(path: Path, entry: dict[str, Any]) -> None:
    """Whole or not at all."""
    from w2v.comparison.record import dump

    temporary = path.with_suffix(".tmp")
    temporary.write_text(dump(entry), "utf-8")
    os.replace(temporary, path)


def _run(spec: RunSpec) -> dict[str, Any]:
    from threadpoolctl import threadpool_limits

    from w2v.comparison.scores import Scorer
    from w2v.corpus import EncodedCorpus

    system = import_module(_SYSTEMS[spec.system])
    with threadpool_limits(spec.config.threads), EncodedCorpus.open(spec.corpus) as corpus:
        return system.run(spec, corpus, Scorer(spec.evaluation, spec.restrict))


def _end_with_stdin() -> None:
    """Wait until nobody can write to standard input any more, and end the process."""
    while os.read(sys.stdin.fileno(), 1):
        continue
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
