"""Hyper-parameters that `train` and `compare` take; TrainConfig checks them."""

import click

from w2v.cli.options import combine, threads_option


class ReplicasType(click.ParamType):
    """A number, or auto; TrainConfig checks its range."""

    name = "number"

    def convert(self, value: object, parameter: click.Parameter | None, context: click.Context | None) -> int | str:
        """An int, or "auto"."""
        if value == "auto" or isinstance(value, int):
            return value
        try:
            return int(str(value))
        except ValueError:
            self.fail(f"{value!r} is neither auto nor a whole number.", parameter, context)


window_options = combine(
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

softmax_options = combine(
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

run_options = combine(
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

replica_options = combine(
    click.option(
        "--replicas", type=ReplicasType(), metavar="N|auto",
        help="Train with so many processes on Ray, one GPU each where there are GPUs, which average their vectors as "
        "they go; auto takes one per GPU, or per computer. --threads are those of all together (extra: ray).",
    ),
    click.option(
        "--sync-words", type=int,
        help="Words that each replica trains between two averagings; by default 640,000 with two replicas on CPUs, "
        "50,000 with four, and 2,000,000 on GPUs.",
    ),
    click.option(
        "--ray-address", default="auto", show_default=True, metavar="auto|local|ADDRESS",
        help="Where replicas run: in the Ray cluster at HOST:PORT or ray://HOST:PORT, here alone (local), "
        "or in the cluster of this computer where there is one (auto).",
    ),
)  # fmt: skip
