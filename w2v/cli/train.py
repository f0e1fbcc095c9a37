"""``w2v train``: from text to vectors."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from w2v.cli.interruptions import HeldInterruptions
from w2v.cli.options import (
    cache_options,
    combine,
    corpus_argument,
    refuse_inside,
    refuse_same_file,
    vocabulary_options,
)
from w2v.cli.training_options import replica_options, run_options, softmax_options, window_options

if TYPE_CHECKING:
    from w2v.config import TrainConfig
    from w2v.distributed.cluster import Cluster
    from w2v.training import PhaseClock

_Path = click.Path(path_type=Path)
# Seconds of compiling that explain why a run took so much longer than its training.
_WORTH_SAYING = 2.0

_objective_options = combine(
    click.option(
        "--model", type=click.Choice(["skipgram", "cbow"]), default="skipgram", show_default=True,
        help="Predict the context's words from a word, or a word from its context.",
    ),
    click.option(
        "--objective", type=click.Choice(["ns", "hs", "class", "adaptive", "full"]), default="ns", show_default=True,
        help="Negative sampling; hierarchical softmax over the Huffman tree; class-based, adaptive or full softmax.",
    ),
)  # fmt: skip


def _warn(line: str) -> None:
    click.echo(f"w2v: warning: {line}", err=True)


@contextmanager
def _cluster(config: "TrainConfig", address: str, clock: "PhaseClock") -> Iterator["Cluster | None"]:
    """Ray, for the encoding and the training, where replicas were asked for."""
    from w2v.distributed.cluster import cluster_if_asked

    with ExitStack() as held:
        with clock.phase("compile"):
            cluster = held.enter_context(cluster_if_asked(address, config))
        yield cluster


@click.command()
@corpus_argument
@click.option(
    "-o", "--output", "-output", "out", required=True, type=_Path, metavar="OUT",
    help="Model folder; a name ending in .bin, .txt, .vec or .safetensors gets the vectors alone.",
)  # fmt: skip
@_objective_options
@window_options
@softmax_options
@run_options
@vocabulary_options
@click.option("--vocab", "vocab_file", type=_Path, metavar="FILE", help="Use this vocabulary (see `w2v vocab`).")
@cache_options
@click.option(
    "--progress/--no-progress", default=None, help="Show a progress bar.  [default: if stderr is a terminal]"
)
@click.option(
    "--metrics-jsonl", type=_Path, metavar="FILE", help="Write loss, learning rate and words/s, one line per second."
)
@click.option(
    "--tensorboard", type=_Path, metavar="DIR", help="Write event files for TensorBoard (extra: tensorboard)."
)
@click.option(
    "--checkpoint-minutes", type=float, default=10.0, show_default=True, metavar="MINUTES",
    help="Save the run this often in OUT.checkpoint, and on Ctrl-C and SIGTERM.",
)  # fmt: skip
@replica_options
@click.option("--resume", is_flag=True, help="Go on from the checkpoint of an earlier run with the same options.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def train(
    corpus: tuple[str, ...],
    out: Path,
    vocab_file: Path | None,
    cache_dir: Path | None,
    no_cache: bool,
    progress: bool | None,
    metrics_jsonl: Path | None,
    tensorboard: Path | None,
    checkpoint_minutes: float,
    resume: bool,
    ray_address: str,
    quiet: bool,
    no_shortlist: bool,
    **hyper_parameters: object,
) -> None:
    """Train word vectors on CORPUS: files, folders, addresses (s3://…, gs://…; extra: io) or - for standard input.

    One sentence per line, tokens separated by white space; .gz, .bz2, .xz and .zst are read as they are.
    """
    from w2v.config import TrainConfig

    config = TrainConfig(shortlist=not no_shortlist, **hyper_parameters)

    from threadpoolctl import threadpool_limits

    from w2v.backends import auto_hint, choose_device
    from w2v.cli.text_progress import TextBar
    from w2v.corpus import CorpusOptions, encode_corpus
    from w2v.distributed.encoding import encode_corpus_sharded, require_shardable
    from w2v.likelihood import heldout_line
    from w2v.training import Checkpoints, MetricsFile, PhaseClock, TensorBoardLog, train
    from w2v.training.checkpoints import checkpoint_path
    from w2v.training.finished import finished_run
    from w2v.training.progress import TrainingBar
    from w2v.vectors.files import check_output

    clock = PhaseClock()
    say = (lambda message: None) if quiet else (lambda message: click.echo(message, err=True))
    shown = not quiet and (sys.stderr.isatty() if progress is None else progress)
    for written in filter(None, (out, metrics_jsonl)):
        refuse_same_file(written, [*corpus, *([vocab_file] if vocab_file else [])])
    for log in filter(None, (metrics_jsonl, tensorboard)):
        refuse_inside(log, [out, checkpoint_path(out), *corpus])
    check_output(out)
    logs = []
    if metrics_jsonl is not None:
        logs.append(MetricsFile(metrics_jsonl, say=_warn))
    if tensorboard is not None:
        logs.append(TensorBoardLog(tensorboard))
    if config.replicas is None:  # their devices may be elsewhere
        choose_device(config.device)
        if config.device == "auto" and (hint := auto_hint()):
            say(hint)

    options = CorpusOptions(
        min_count=config.min_count,
        max_vocab_size=config.max_vocab_size,
        max_final_vocab=config.max_final_vocab,
        lowercase=config.lowercase,
        vocab_file=vocab_file,
    )
    if config.replicas is not None:
        require_shardable(corpus, options)
    checkpoints = Checkpoints(
        out, checkpoint_minutes, resume=resume, interruptions=HeldInterruptions(), say=say, warn=_warn
    )
    with (
        threadpool_limits(config.threads),
        checkpoints,
        TextBar(corpus, shown) as text_bar,
        _cluster(config, ray_address, clock) as cluster,
    ):
        checkpoints.require_same_options(config)
        nothing_left = resume and checkpoints.found is None and not checkpoints.begun_before
        finished = finished_run(out, config) if nothing_left else None
        encode = partial(encode_corpus, threads=config.threads)
        if cluster is not None:
            encode = partial(encode_corpus_sharded, ray=cluster.ray, workers=cluster.encoders(config))
        encoded = encode(
            list(corpus),
            options,
            cache_dir=cache_dir,
            use_cache=not no_cache,
            report=text_bar.write if shown else say,
            progress=text_bar.update,
        )
        text_bar.close()
        try:
            if finished is not None:
                finished.require_same_corpus(encoded)
                say(str(finished))
                return
            bar = TrainingBar(config.epochs, shown)
            try:
                model = train(
                    config,
                    encoded,
                    clock=clock,
                    callbacks=[bar, *logs],
                    checkpoints=checkpoints,
                    cluster=cluster,
                    say=say,
                )
            finally:
                for shown_to in (bar, *logs):
                    shown_to.close()
            with checkpoints.uninterrupted():  # the run is done: what is left is to write it
                model.save(out)
                checkpoints.remove()
        finally:
            encoded.close()
    record = model.training
    say(
        f"trained {len(model.words):,} words × {config.vector_size} in {clock.seconds()['train']:.1f} s: "
        f"{record['words_per_second'] / 1e6:.2f} M words/s, loss {record['loss'][-1]:.4f} nats per pair"
    )
    if line := heldout_line(record):
        say(line)
    seconds = clock.seconds()
    compiled = f", {seconds['compile']:.1f} s of them compiling, once" if seconds["compile"] >= _WORTH_SAYING else ""
    say(f"saved to {out} ({seconds['total']:.1f} s in all{compiled})")
