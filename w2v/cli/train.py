"""``w2v train``: from text to vectors."""

import signal
import sys
from pathlib import Path

import click

from w2v.cli.options import (
    cache_options,
    combine,
    corpus_argument,
    refuse_same_file,
    threads_option,
    vocabulary_options,
)

_Path = click.Path(path_type=Path)

_model_options = combine(
    click.option(
        "--model", type=click.Choice(["skipgram", "cbow"]), default="skipgram", show_default=True,
        help="Predict the context's words from a word, or a word from its context.",
    ),
    click.option(
        "--objective", type=click.Choice(["ns", "hs", "class", "adaptive", "full"]), default="ns", show_default=True,
        help="Negative sampling; hierarchical softmax over the Huffman tree; class-based, adaptive or full softmax.",
    ),
    click.option("--vector-size", "-size", type=int, default=100, show_default=True, help="Dimensions."),
    click.option(
        "--window", "-window", type=int, default=5, show_default=True,
        help="Most context words on either side; each window draws its own width up to this.",
    ),
    click.option("--negative", "-negative", type=int, default=5, show_default=True, help="Noise words (ns)."),
    click.option(
        "--noise-power", type=float, default=0.75, show_default=True, help="Noise is drawn ∝ count^POWER (ns)."
    ),
    click.option(
        "--negatives-per-pair", is_flag=True,
        help="Draw noise for each pair, as word2vec.c does, not once for all the contexts of a window (slower).",
    ),
    click.option("--cbow-sum", is_flag=True, help="Sum the context's vectors in place of their mean (cbow)."),
    click.option(
        "--sample", "-sample", type=float, default=1e-3, show_default=True,
        help="Sub-sample words more frequent than this share of the text; 0 keeps all.",
    ),
)  # fmt: skip

_softmax_options = combine(
    click.option(
        "--cutoffs", default="auto", show_default=True, metavar="auto|N,N,..",
        help="Where the short-list and the clusters end, by rank of frequency (adaptive); auto takes the cheapest "
        "under the cost model.",
    ),
    click.option(
        "--clusters", type=int,
        help="Number of clusters, the head included, for --cutoffs auto.  [default: the best of 2 to 15]",
    ),
    click.option(
        "--div-value", type=float, default=2.0, show_default=True,
        help="By how much each cluster's vectors are shorter than the one's before (adaptive).",
    ),
    click.option("--no-shortlist", is_flag=True, help="Put every word into a cluster (adaptive)."),
    click.option(
        "--cost-model", metavar="FILE",
        help="What `w2v calibrate` wrote.  [default: a built-in one for the kind of device]",
    ),
    click.option("--classes", type=int, help="Number of classes (class).  [default: about the root of the words]"),
    click.option(
        "--batch-pairs", type=int,
        help="Pairs of a step of class, adaptive and full (windows with cbow).  "
        "[default: by the corpus, at most 131072]",
    ),
    click.option(
        "--output-bias", type=click.Choice(["unigram", "none"]), default="unigram", show_default=True,
        help="Fixed biases of the outputs of class, adaptive and full: the log of the frequencies, or none.",
    ),
)  # fmt: skip

_run_options = combine(
    click.option("--epochs", "-iter", type=int, default=5, show_default=True, help="Passes over the text."),
    click.option("--alpha", "-alpha", type=float, help="Learning rate at the start.  [default: by objective]"),
    click.option("--min-alpha", type=float, help="Learning rate at the end.  [default: alpha / 10000]"),
    click.option(
        "--heldout", type=float, default=0.0, show_default=True, metavar="FRACTION",
        help="Keep this share of the sentences from training, and report the loss on them (not for ns).",
    ),
    click.option("--seed", type=int, default=1, show_default=True, help="Of all random numbers."),
    click.option(
        "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
        help="Where to train; auto takes a GPU that works.",
    ),
    click.option(
        "--kernels", type=click.Choice(["raw", "numba"]), default="raw", show_default=True,
        help="On a GPU: CUDA C++, or readable kernels: numba's, and CuPy's for the softmaxes (slower; any size).",
    ),
    threads_option,
)  # fmt: skip


@click.command()
@corpus_argument
@click.option(
    "-o", "--output", "-output", "out", required=True, type=_Path, metavar="OUT",
    help="Model folder; a name ending in .bin, .txt, .vec or .safetensors gets the vectors alone.",
)  # fmt: skip
@_model_options
@_softmax_options
@_run_options
@vocabulary_options
@click.option("--vocab", "vocab_file", type=_Path, metavar="FILE", help="Use this vocabulary (see `w2v vocab`).")
@cache_options
@click.option(
    "--progress/--no-progress", default=None, help="Show a progress bar.  [default: if stderr is a terminal]"
)
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def train(
    corpus: tuple[str, ...],
    out: Path,
    vocab_file: Path | None,
    cache_dir: Path | None,
    no_cache: bool,
    progress: bool | None,
    quiet: bool,
    no_shortlist: bool,
    **hyper_parameters: object,
) -> None:
    """Train word vectors on CORPUS: files, folders or - for standard input.

    One sentence per line, tokens separated by white space; .gz, .bz2, .xz and .zst are read as they are.
    """
    from w2v.config import TrainConfig

    config = TrainConfig(shortlist=not no_shortlist, **hyper_parameters)

    from threadpoolctl import threadpool_limits

    from w2v.backends import auto_hint, choose_device
    from w2v.cli.text_progress import TextBar
    from w2v.corpus import CorpusOptions, encode_corpus
    from w2v.likelihood import heldout_line
    from w2v.training import PhaseClock, train
    from w2v.training.progress import TrainingBar
    from w2v.vectors.files import check_output

    clock = PhaseClock()
    say = (lambda message: None) if quiet else (lambda message: click.echo(message, err=True))
    shown = not quiet and (sys.stderr.isatty() if progress is None else progress)
    refuse_same_file(out, [*corpus, *([vocab_file] if vocab_file else [])])
    check_output(out)
    choose_device(config.device)
    if config.device == "auto" and (hint := auto_hint()):
        say(hint)
    _stop_on_terminate()

    with threadpool_limits(config.threads), TextBar(corpus, shown) as text_bar:
        encoded = encode_corpus(
            list(corpus),
            CorpusOptions(
                min_count=config.min_count,
                max_vocab_size=config.max_vocab_size,
                max_final_vocab=config.max_final_vocab,
                lowercase=config.lowercase,
                vocab_file=vocab_file,
            ),
            threads=config.threads,
            cache_dir=cache_dir,
            use_cache=not no_cache,
            report=text_bar.write if shown else say,
            progress=text_bar.update,
        )
        text_bar.close()
        try:
            bar = TrainingBar(config.epochs, shown)
            try:
                model = train(config, encoded, clock=clock, progress=bar, say=say, epoch_tokens=bar.cover)
            finally:
                bar.close()
            model.save(out)
        finally:
            encoded.close()
    record = model.training
    say(
        f"trained {len(model.words):,} words × {config.vector_size} in {clock.seconds()['train']:.1f} s: "
        f"{record['words_per_second'] / 1e6:.2f} M words/s, loss {record['loss'][-1]:.4f} nats per pair"
    )
    if line := heldout_line(record):
        say(line)
    say(f"saved to {out} ({clock.seconds()['total']:.1f} s in all)")


def _stop_on_terminate() -> None:
    """Let SIGTERM unwind like Ctrl-C, so that temporary files go."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
