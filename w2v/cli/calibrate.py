"""``w2v calibrate``: what a softmax block costs on this device, and the cut-offs that follow from it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from w2v.cli.options import (
    cache_options,
    combine,
    json_option,
    print_table,
    refuse_same_file,
    threads_option,
    vocabulary_options,
)
from w2v.errors import require

if TYPE_CHECKING:
    from w2v.config import TrainConfig
    from w2v.corpus import EncodedCorpus
    from w2v.cost import Choice, CostModel, Step

_Path = click.Path(path_type=Path)
# Words of the vocabulary that is drawn where no corpus is given, and pairs of its step.
_DRAWN_WORDS, _DRAWN_PAIRS = 80_000, 131_072
# A median error of the fit above this is worth a word: it is below 0.1 on an idle machine.
_POOR_FIT = 0.2

# As for `w2v train`: what --explain prices is the step of that run.
_step_options = combine(
    click.option(
        "--model", type=click.Choice(["skipgram", "cbow"]), default="skipgram", show_default=True,
        help="Predict the context's words from a word, or a word from its context.",
    ),
    click.option("--vector-size", "-size", type=int, default=100, show_default=True, help="Dimensions."),
    click.option(
        "--window", "-window", type=int, default=5, show_default=True, help="Most context words on either side."
    ),
    click.option(
        "--sample", "-sample", type=float, default=1e-3, show_default=True,
        help="Sub-sample words more frequent than this share of the text; 0 keeps all.",
    ),
    click.option(
        "--cutoffs", default="auto", show_default=True, metavar="auto|N,N,..", help="What --explain prices."
    ),
    click.option(
        "--clusters", type=int, help="Number of clusters for --cutoffs auto.  [default: the best of 2 to 15]"
    ),
    click.option(
        "--div-value", type=float, default=2.0, show_default=True,
        help="By how much each cluster's vectors are shorter than the one's before.",
    ),
    click.option("--no-shortlist", is_flag=True, help="Put every word into a cluster."),
    click.option(
        "--batch-pairs", type=int, help="Pairs of a step (windows with cbow).  [default: by the corpus]"
    ),
)  # fmt: skip


@click.command()
@click.option("-o", "--output", "out", type=_Path, metavar="COST.json", help="Measure, and write the cost model.")
@click.option("--cost-model", type=_Path, metavar="FILE", help="Measure nothing: use what an earlier run wrote.")
@click.option(
    "--explain",
    "corpus",
    multiple=True,
    metavar="CORPUS",
    help="Print the clusters for this text, and what they cost; repeat it for several files.",
)
@click.option("--plots", type=_Path, metavar="DIR", help="Draw the costs as PNG into this folder.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="The device that will train.",
)
@threads_option
@_step_options
@vocabulary_options
@cache_options
@json_option
def calibrate(
    out: Path | None,
    cost_model: Path | None,
    corpus: tuple[str, ...],
    plots: Path | None,
    cache_dir: Path | None,
    no_cache: bool,
    no_shortlist: bool,
    as_json: bool,
    **hyper_parameters: object,
) -> None:
    """Measure what the blocks of adaptive softmax cost on a device, for `w2v train --cost-model`.

    Takes a minute or two; let the machine do nothing else. Prints the fitted coefficients of seconds(k, B, d) =
    c + (alpha + beta d) max(k B, k0 B0) + gamma k d + delta B d for k columns, B inputs and d dimensions. With
    --explain it prints the clusters of a corpus instead, with predicted and measured milliseconds of a step.
    """
    from w2v.config import TrainConfig

    config = TrainConfig(
        objective="adaptive",
        shortlist=not no_shortlist,
        cost_model=None if cost_model is None else str(cost_model),
        **hyper_parameters,
    )
    _check_usage(out, cost_model, corpus, config)
    if plots is not None:
        require("matplotlib", "plot", "--plots")

    from threadpoolctl import threadpool_limits

    from w2v.backends import choose_device

    config = replace(config, device=choose_device(config.device))
    with threadpool_limits(config.threads), ExitStack() as stack:
        # The text first: what is wrong with it should not come out after minutes of measuring.
        encoded = stack.enter_context(_encode(corpus, config, cache_dir, no_cache)) if corpus else None
        model = _measured(config, out) if cost_model is None else _loaded(cost_model, config.device)
        if encoded is None:
            step, named = _drawn_step(config), f"{_DRAWN_WORDS:,} words after Zipf's law"
            print_table(("quantity", "value", "unit"), _coefficients(model), as_json)
        else:
            step, named = _step(config, encoded), f"{len(encoded.vocabulary):,} words of the corpus"
            _explain(config, encoded, step, model, as_json)
    if plots is not None:
        _draw(model, step, named, plots)


def _check_usage(out: Path | None, cost_model: Path | None, corpus: tuple[str, ...], config: TrainConfig) -> None:
    """Refuse combinations that would ignore an option, and an output that cannot be written."""
    from w2v.atomic import check_file

    if (out is None) == (cost_model is None):
        raise click.UsageError("give -o COST.json to measure, or --cost-model FILE to use an earlier measurement")
    if not corpus and (config.cutoffs != "auto" or config.clusters is not None):
        raise click.UsageError("--cutoffs and --clusters are for --explain CORPUS")
    if out is not None:
        refuse_same_file(out, corpus)
        check_file(out, make_parents=False)


def _measured(config: TrainConfig, out: Path) -> CostModel:
    """Time blocks on the device, fit the model and save it."""
    from tqdm import tqdm

    from w2v.backends.block_timing import make_block_timer
    from w2v.cost import fit, measure

    timer = make_block_timer(config.device, config.threads)
    with tqdm(unit="block", desc="timing", disable=not sys.stderr.isatty(), dynamic_ncols=True, leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        measurements = measure(timer, config.vector_size, progress=show)
    model = fit(
        measurements, device=timer.device, versions=_versions(config.device), reference_size=config.vector_size
    )
    model.to_json(out)
    click.echo(
        f"{len(measurements)} blocks timed on {model.device}; the fit misses them by {model.error_median:.1%} "
        f"(median), {model.error_p90:.1%} (90 of 100); saved to {out}",
        err=True,
    )
    if model.error_median > _POOR_FIT:
        click.echo("the timings fit badly: let nothing else run, and calibrate again", err=True)
    return model


def _versions(device: str) -> dict[str, str]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from w2v import __version__

    found = {"w2v": __version__, "python": platform.python_version()}
    names = ("numpy", "numba", *(("cupy-cuda12x", "cupy-cuda13x", "numba-cuda") if device == "cuda" else ()))
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # only one CuPy is installed, under one of its names
            continue
    return found


def _loaded(path: Path, device: str) -> CostModel:
    from w2v.cost import load_cost_model

    model, note = load_cost_model(path, device)
    click.echo(note, err=True)
    return model


def _coefficients(model: CostModel) -> list[tuple[str, object, str]]:
    """What was fitted, as rows of a table."""
    dims = f"at {model.reference_size} dimensions"
    return [
        ("c", model.c, "seconds per block"),
        ("lambda", model.reference_slope, f"seconds per k B {dims}"),
        ("k0", model.reference_columns, "columns (k0 B0 is what timing can tell; B0 is chosen)"),
        ("B0", model.reference_inputs, "inputs"),
        ("alpha", model.alpha, "seconds per k B"),
        ("beta", model.beta, "seconds per k B d"),
        ("gamma", model.gamma, "seconds per k d"),
        ("delta", model.delta, "seconds per B d"),
        ("error_median", model.error_median, "of predicted / measured - 1"),
        ("error_p90", model.error_p90, "of predicted / measured - 1"),
        ("blocks", len(model.measurements), "timed"),
        ("device", model.device, ""),
    ]


def _encode(corpus: tuple[str, ...], config: TrainConfig, cache_dir: Path | None, no_cache: bool) -> EncodedCorpus:
    from w2v.cli.text_progress import TextBar
    from w2v.corpus import CorpusOptions, encode_corpus

    shown = sys.stderr.isatty()
    with TextBar(corpus, shown) as bar:
        return encode_corpus(
            list(corpus),
            CorpusOptions(config.min_count, config.max_vocab_size, config.max_final_vocab, config.lowercase),
            threads=config.threads,
            cache_dir=cache_dir,
            use_cache=not no_cache,
            report=bar.write if shown else lambda message: click.echo(message, err=True),
            progress=bar.update,
        )


def _step(config: TrainConfig, corpus: EncodedCorpus) -> Step:
    from w2v.cost import Step
    from w2v.objectives import CorpusShape

    return Step.of(config, CorpusShape(corpus.vocabulary.counts, corpus.tokens, corpus.sentences))


def _drawn_step(config: TrainConfig) -> Step:
    """The step that is drawn without a corpus: sentences without end, over words after Zipf's law."""
    from w2v.cost import Step
    from w2v.cost.zipf import zipf_shares

    return Step(
        shares=zipf_shares(_DRAWN_WORDS),
        pairs=config.batch_pairs or _DRAWN_PAIRS,
        pairs_per_token=config.window + 1.0,
        size=config.vector_size,
        div_value=config.div_value,
        shortlist=config.shortlist,
        cbow=config.model == "cbow",
    )


def _explain(config: TrainConfig, corpus: EncodedCorpus, step: Step, model: CostModel, as_json: bool) -> None:
    """Print the clusters of a corpus with what they are predicted to cost, and what they do on its batches."""
    from w2v.backends.block_timing import explain_timings

    choice = step.choose(model, config.cutoffs, config.clusters)
    chosen = replace(config, cutoffs=choice.cutoffs, clusters=None, batch_pairs=int(step.pairs))
    measured = explain_timings(chosen, corpus)
    header = ("block", "first", "last", "columns", "share", "inputs", "dims", "predicted_ms", "measured_ms")
    print_table(header, _rows(choice, measured), as_json)
    for line in _summary(choice, step, model, measured):
        click.echo(line, err=True)


def _rows(choice: Choice, measured: Sequence[float] | None) -> list[tuple[object, ...]]:
    """A row per block and one of sums; ranks count from 1. measured: seconds per block, or None."""
    times = [None] * len(choice.blocks) if measured is None else [1e3 * float(seconds) for seconds in measured]
    rows: list[tuple[object, ...]] = []
    for block, time in zip(choice.blocks, times, strict=True):
        first, last = (block.begin + 1, block.end) if block.end > block.begin else (None, None)
        rows.append(
            (block.name, first, last, block.columns, block.share, block.inputs, block.size, 1e3 * block.seconds, time)
        )
    total = None if measured is None else sum(times)
    return [*rows, ("total", 1, choice.blocks[-1].end, None, None, None, None, 1e3 * choice.seconds, total)]


def _summary(choice: Choice, step: Step, model: CostModel, measured: Sequence[float] | None) -> list[str]:
    """What to say about a layout, a line each."""
    from w2v.cost.cutoffs import HEAD_COVERAGE, HEAD_MOST_OF_VOCABULARY, head_floor

    lines = [f"{choice.summary()} ({step.pairs:,.0f} {'windows' if step.cbow else 'pairs'} a step)"]
    holder = "head" if step.shortlist else "first tail"
    lines.append(
        f"for quality the {holder} of --cutoffs auto has {head_floor(step.shares):,} words at least: those that are "
        f"{HEAD_COVERAGE:.0%} of the sub-sampled text, or {HEAD_MOST_OF_VOCABULARY:.0%} of all words if fewer"
    )
    if measured is not None:
        lines.append(f"predicted / measured: {choice.seconds / sum(measured):.2f}")
    return lines


def _draw(model: CostModel, step: Step, named: str, folder: Path) -> None:
    from w2v.cost.figures import draw_all

    title = f"{named}, {step.pairs:,.0f} {'windows' if step.cbow else 'pairs'} a step, D = {step.size}"
    for path in draw_all(model, step, title, folder):
        click.echo(f"drawn: {path}", err=True)
