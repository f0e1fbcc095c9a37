"""``w2v compare``: objectives side by side on one text."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from w2v.cli.options import (
    cache_options,
    combine,
    corpus_argument,
    print_table,
    vocabulary_options,
)
from w2v.cli.training_options import run_options, softmax_options, window_options
from w2v.config import MODELS, OBJECTIVES
from w2v.errors import MissingExtraError, TrainingError

if TYPE_CHECKING:
    from w2v.comparison.plan import EvaluationFile, Plan
    from w2v.comparison.session import Comparison
    from w2v.corpus import EncodedCorpus

_Path = click.Path(path_type=Path)
#: Share of the sentences that are held out unless --heldout says otherwise: likelihoods are wanted here.
_HELDOUT = 0.005


class _Names(click.ParamType):
    """Names out of a few, separated by commas."""

    name = "names"

    def __init__(self, known: Sequence[str]) -> None:
        self.known = tuple(known)

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The names that a text lists, each once."""
        if isinstance(value, tuple):
            return value
        names = dict.fromkeys(part.strip() for part in str(value).split(","))
        for name in names:
            if name not in self.known:
                self.fail(f"{name!r} is unknown: use some of {', '.join(self.known)}", param, ctx)
        return tuple(names)


def _all_names(ctx: click.Context, param: click.Parameter, value: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The names of an option that may be repeated, each once."""
    return tuple(dict.fromkeys(name for part in value for name in part))


class _Numbers(click.ParamType):
    """Numbers, separated by commas."""

    name = "numbers"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """The numbers that a text lists."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no list of numbers such as 0.5,1,2", param, ctx)


class _Target(click.ParamType):
    """NAME=SCORE."""

    name = "target"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """The name and the number."""
        if isinstance(value, tuple):
            return value
        name, _, score = str(value).rpartition("=")
        try:
            number = float(score)
        except ValueError:
            number = float("nan")
        if not name or not -100 <= number <= 100:
            self.fail(f"{value!r} is not understood: use a score such as wordsim353=60", param, ctx)
        return name, number


_what_options = combine(
    click.option(
        "--objectives", type=_Names(OBJECTIVES), multiple=True, default=[",".join(OBJECTIVES)],
        show_default=",".join(OBJECTIVES), metavar="NAME,..", callback=_all_names, help="What to compare.",
    ),
    click.option(
        "--models", type=_Names(MODELS), multiple=True, default=["skipgram"], show_default="skipgram",
        metavar="NAME,..", callback=_all_names, help="skipgram, cbow, or both.",
    ),
    click.option(
        "--seeds", type=click.IntRange(1, 1000), default=1, show_default=True,
        help="Runs of each: --seed, and the numbers after it.",
    ),
    click.option(
        "--against", type=click.Choice(["gensim", "torch"]), multiple=True,
        help="Run gensim's ns and hs, or torch's adaptive softmax, as well; repeatable (extra: bench).",
    ),
)  # fmt: skip

_score_options = combine(
    click.option("--pairs", multiple=True, type=_Path, metavar="FILE", help="Word pairs with scores; repeatable."),
    click.option("--analogies", multiple=True, type=_Path, metavar="FILE", help="Questions in sections; repeatable."),
    click.option(
        "--evaluation", type=_Path, metavar="DIR",
        help="Word pairs (*.tsv) and analogies (*.txt) of a folder, as scripts/fetch_data fills data/downloads.",
    ),
    click.option(
        "--restrict", type=click.IntRange(min=1), default=30000, show_default=True,
        help="Ask analogies over this many of the most frequent words.",
    ),
    click.option(
        "--points", type=_Numbers(), metavar="N,..",
        help="Epochs after which the vectors are scored, and always at the end.  "
        "[default: 0.25, 0.5, 0.75 and every epoch]",
    ),
    click.option(
        "--target", "targets", type=_Target(), multiple=True, metavar="NAME=SCORE",
        help="Score whose time is wanted, of a file without its ending; repeatable.  "
        "[default: 95% of the lowest final score]",
    ),
)  # fmt: skip


@click.command(context_settings={"default_map": {"heldout": _HELDOUT}})
@corpus_argument
@click.option("-o", "--output", "out", required=True, type=_Path, metavar="DIR", help="Folder for the results.")
@_what_options
@_score_options
@window_options
@softmax_options
@run_options
@vocabulary_options
@click.option("--vocab", "vocab_file", type=_Path, metavar="FILE", help="Use this vocabulary (see `w2v vocab`).")
@cache_options
@click.option("--resume", is_flag=True, help="Continue the comparison in DIR: what is missing or failed is run.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON instead of tables.")
@click.pass_context
def compare(
    context: click.Context,
    corpus: tuple[str, ...],
    out: Path,
    objectives: tuple[str, ...],
    models: tuple[str, ...],
    seeds: int,
    against: tuple[str, ...],
    pairs: tuple[Path, ...],
    analogies: tuple[Path, ...],
    evaluation: Path | None,
    restrict: int,
    points: tuple[float, ...] | None,
    targets: tuple[tuple[str, float], ...],
    vocab_file: Path | None,
    cache_dir: Path | None,
    no_cache: bool,
    resume: bool,
    as_json: bool,
    no_shortlist: bool,
    seed: int,
    **options: object,
) -> None:
    """Compare objectives on CORPUS: speed, memory, held-out likelihood, and scores against seconds and epochs.

    Every objective trains on the same encoded text, vocabulary and held-out sentences, from the same initial draw, in
    a process of its own, one after the other. DIR gets compare.json, compare.csv, points.csv, report.html and plots.
    Options that only some objectives have go to these.
    """
    from w2v.comparison.plan import Plan, check_points, default_points
    from w2v.comparison.record import prepare_folder, valid_text

    epochs = int(options["epochs"])
    plan = Plan(
        objectives=objectives,
        models=models,
        seeds=tuple(range(seed, seed + seeds)),
        points=default_points(epochs) if points is None else check_points(points, epochs),
        options={**options, "shortlist": not no_shortlist},
        against=tuple(dict.fromkeys(against)),
    )
    _refuse_inside(out, corpus)
    old = prepare_folder(out, resume)
    if resume and old is None:
        _say(f"there is nothing to continue in {out}: the comparison begins")
    files = _evaluation_files(pairs, analogies, evaluation)
    named = [file.name for file in files]
    targets = tuple((valid_text(name), score) for name, score in targets)
    for name, _ in targets:
        if name not in named:
            raise click.UsageError(f"--target {name}: no such score: there are {', '.join(named) or 'none'}")
    _check_installed(plan.against)

    from w2v.backends import auto_hint, choose_device
    from w2v.comparison.machine import busy_line
    from w2v.cores import available_cores

    notes: list[str] = []
    device = choose_device(str(options["device"]))
    if options["device"] == "auto" and (hint := auto_hint()):
        _note(hint, notes)
    if old is None and (busy := busy_line()):
        _note(busy, notes)
    if not files:
        _note(
            "no scores without evaluation files: scripts/fetch_data fetches the public ones, and --evaluation "
            "data/downloads takes them (or --pairs FILE, --analogies FILE)",
            notes,
        )
    plan = _with(plan, device=device, threads=options["threads"] or available_cores())
    with _encode(corpus, plan.options, vocab_file, cache_dir, no_cache) as encoded:
        given = context.get_parameter_source("heldout") is click.core.ParameterSource.COMMANDLINE
        plan = _check_against_corpus(plan, encoded, given, notes)
        comparison = _comparison(plan, encoded, files, restrict, dict(targets), device, out, corpus, notes)
        record = comparison.begin(old)
        _run(comparison, record, old is not None)
    _show(record, as_json)


def _run(comparison: Comparison, record: dict, resumed: bool) -> None:
    """Run what is missing; an interrupt leaves what is done, and says so."""
    from w2v.comparison.session import where
    from w2v.comparison.words import counted

    total = len(list(comparison.plan.cases()))
    if resumed:
        done = len(record["runs"])
        rest = "table and report are written anew" if done == total else f"{total - done} to do"
        _say(f"{done} of {counted(total, 'run')} done already: {rest}")
    try:
        comparison.run(record, _say)
        comparison.conclude(record, _say)
    except KeyboardInterrupt:
        _say(where(comparison.folder, record, total))
        raise


def _show(record: Mapping, as_json: bool) -> None:
    """Print the summary, and fail where a run did."""
    from w2v.comparison.record import dump
    from w2v.comparison.tables import people_tables, summary_table
    from w2v.comparison.words import counted

    if as_json:
        click.echo(dump(record["summary"]), nl=False)
    elif record["summary"] and sys.stdout.isatty():
        click.echo(people_tables(record))
    elif record["summary"]:
        print_table(*summary_table(record), as_json=False)
    failed = [run["name"] for run in record["runs"] if run["status"] != "done"]
    if failed:
        raise TrainingError(
            f"{len(failed)} of {counted(len(record['runs']), 'run')} failed ({', '.join(failed)}): see above why; "
            "--resume runs them again with the same settings; for other settings choose another folder"
        )


def _comparison(
    plan: Plan,
    corpus: EncodedCorpus,
    files: Sequence[EvaluationFile],
    restrict: int,
    targets: Mapping[str, float],
    device: str,
    out: Path,
    inputs: Sequence[str],
    notes: list[str],
) -> Comparison:
    from w2v.comparison.scores import Scorer
    from w2v.comparison.session import Comparison

    return Comparison(
        plan=plan,
        corpus=corpus,
        files=files,
        coverage=Scorer(files, restrict).coverage(corpus.vocabulary),
        restrict=restrict,
        targets=targets,
        device=device,
        folder=out,
        command=_command_line(),
        inputs=[Path(name).name for name in inputs],
        notes=notes,
    )


def _evaluation_files(
    pairs: Sequence[Path], analogies: Sequence[Path], folder: Path | None
) -> tuple[EvaluationFile, ...]:
    """The files to score by, each of which can be read."""
    from w2v.comparison.hashes import sha256_of_file
    from w2v.comparison.scores import files_of_folder, name_files

    found = ([], []) if folder is None else files_of_folder(folder)
    files = name_files([*pairs, *found[0]], [*analogies, *found[1]])
    for file in files:
        sha256_of_file(file.path)
    return files


def _check_installed(packages: Sequence[str]) -> None:
    """Said before any work, and without importing what is large."""
    from importlib.util import find_spec

    for name in packages:
        if find_spec(name) is None:
            raise MissingExtraError(f"--against {name} needs the package {name!r}: pip install 'w2v[bench]'")


def _encode(
    corpus: Sequence[str], options: Mapping, vocab_file: Path | None, cache_dir: Path | None, no_cache: bool
) -> EncodedCorpus:
    from w2v.cli.text_progress import TextBar
    from w2v.corpus import CorpusOptions, encode_corpus

    names = ("min_count", "max_vocab_size", "max_final_vocab", "lowercase")
    shown = sys.stderr.isatty()
    with TextBar(corpus, shown) as bar:
        return encode_corpus(
            list(corpus),
            CorpusOptions(**{name: options[name] for name in names}, vocab_file=vocab_file),
            threads=options["threads"],
            cache_dir=cache_dir,
            use_cache=not no_cache,
            report=bar.write if shown else _say,
            progress=bar.update,
        )


def _check_against_corpus(plan: Plan, corpus: EncodedCorpus, heldout_given: bool, notes: list[str]) -> Plan:
    """What only the corpus can tell, before any training: held-out sentences, classes, cut-offs.

    A text that has no sentence to spare, such as one of a single line, goes without held-out sentences unless they
    were asked for.
    """
    from w2v.comparison.check import check_heldout, check_softmaxes

    try:
        check_heldout(plan, corpus)
    except TrainingError as error:
        if heldout_given:
            raise
        _note(f"no likelihoods: {str(error).partition(':')[0]}; --heldout 0 silences this", notes)
        plan = _with(plan, heldout=0.0)
    check_softmaxes(plan, corpus)
    return plan


def _with(plan: Plan, **options: object) -> Plan:
    from dataclasses import replace

    return replace(plan, options={**plan.options, **options})


def _refuse_inside(out: Path, corpus: Sequence[str]) -> None:
    """Results in a folder that is the corpus would be part of it the next time."""
    for name in corpus:
        if os.path.isdir(name) and os.path.realpath(out).startswith(os.path.join(os.path.realpath(name), "")):
            raise click.UsageError(f"{out} is inside the corpus {name}: choose another folder")


def _command_line() -> str:
    """What was asked for. Folders say nothing about a figure, and belong to whoever ran it."""
    return " ".join(["w2v", *(_without_folder(word) for word in sys.argv[1:])])


def _without_folder(word: str) -> str:
    """``--pairs=…/ws.tsv`` of ``--pairs=/home/x/ws.tsv``."""
    option, equals, value = word.rpartition("=") if word.startswith("-") else ("", "", word)
    path = Path(value)
    return option + equals + (f"…/{path.name}" if path.name and len(path.parts) > 1 else path.name or value)


def _note(line: str, notes: list[str]) -> None:
    notes.append(line)
    _say(line)


def _say(line: str) -> None:
    click.echo(line, err=True)
