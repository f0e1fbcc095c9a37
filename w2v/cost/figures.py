"""The pictures of Grave et al. 2017, figures 1 and 2, and of section 4.3, drawn from a measured cost model as PNG."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from w2v.atomic import atomic_file
from w2v.cost.auto import Step
from w2v.cost.cutoffs import Choice, StepCosts
from w2v.cost.model import CostModel
from w2v.errors import require

_COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#8d5fd3", "#c77f1a", "#4a4a4a")
_GREY = "#777777"


@contextmanager
def _figure(path: str | os.PathLike, title: str) -> Iterator[Any]:
    """Axes to draw on; what was drawn is written to ``path``. Raises MissingExtraError, OutputError."""
    require("matplotlib", "plot", "drawing figures")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # No pyplot: nothing of the caller's figures or of a display is touched.
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", fontsize=11)
    yield axes
    with atomic_file(path, make_parents=True) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def draw_block_seconds(model: CostModel, path: str | os.PathLike) -> None:
    """Figure 1: milliseconds of a block against its columns k, for several B, at the calibrated size of vectors.

    Lines are the model, dots what was measured (a built-in model has none).
    """
    size = model.reference_size
    points = [point for point in model.measurements if point.size == size]
    batches = sorted({point.inputs for point in points} or {64, 512, 4096})
    columns = np.geomspace(16, max([point.columns for point in points], default=65536), 200)
    with _figure(path, f"Cost of one softmax block, d = {size}, {model.device}") as axes:
        for inputs, colour in zip(batches[::-1], _COLOURS, strict=False):
            seconds = model.block_seconds(columns, inputs, size)
            axes.plot(columns, 1e3 * seconds, color=colour, linewidth=1.6, label=f"B = {inputs:,} inputs")
            dots = [(point.columns, 1e3 * point.seconds) for point in points if point.inputs == inputs]
            if dots:
                axes.plot(*zip(*dots, strict=True), "o", color=colour, markersize=4.5)
        axes.set(xscale="log", yscale="log", xlabel="columns k", ylabel="milliseconds")
        axes.legend(
            frameon=False, fontsize=9, title="dots: measured" if points else "the model alone", title_fontsize=9
        )


def draw_head_size(costs: StepCosts, vocabulary: str, path: str | os.PathLike) -> None:
    """Figure 2: milliseconds of a step with a short-list and one tail against the words of the short-list.

    vocabulary: what it is of, for the title. The floor for quality is drawn, and does not bound the picture.
    """
    words = np.unique(np.geomspace(1, costs.words - 1, 400).round().astype(np.int64))
    head, tail = costs.head(words, 1), costs.tail(1, words, np.array(costs.words))
    total = head + tail
    best = int(total.argmin())
    with _figure(path, f"Two clusters: cost against the size of the head\n{vocabulary}") as axes:
        axes.axhline(1e3 * costs.full_seconds(), color=_GREY, linestyle="--", linewidth=1.2, label="full softmax")
        axes.plot(words, 1e3 * head, color=_COLOURS[2], linewidth=1.2, label="head")
        axes.plot(words, 1e3 * tail, color=_COLOURS[1], linewidth=1.2, label="tail")
        axes.plot(words, 1e3 * total, color=_COLOURS[0], linewidth=2.2, label="both")
        label = f"least: {words[best]:,} words"
        axes.plot(words[best], 1e3 * total[best], "o", color=_COLOURS[0], markersize=7, label=label)
        axes.axvline(
            costs.floor,
            color="black",
            linestyle=":",
            linewidth=1.2,
            label=f"floor for quality: {costs.floor:,} words",
        )
        axes.set(xscale="log", xlabel="words in the head", ylabel="milliseconds per step", ylim=(0, None))
        axes.legend(frameon=False, fontsize=9)


def draw_clusters(choice: Choice, vocabulary: str, path: str | os.PathLike) -> None:
    """Section 4.3: milliseconds of a step with the best cut-offs against the number of clusters."""
    number = sorted(choice.seconds_by_clusters)
    seconds = np.array([choice.seconds_by_clusters[count] for count in number])
    best = int(seconds.argmin())
    with _figure(path, f"Cost against the number of clusters, each with its best cut-offs\n{vocabulary}") as axes:
        axes.axhline(1e3 * choice.full_seconds, color=_GREY, linestyle="--", linewidth=1.2, label="full softmax")
        axes.plot(
            number, 1e3 * seconds, "o-", color=_COLOURS[0], linewidth=1.6, markersize=5, label="adaptive softmax"
        )
        label = f"least: {number[best]} clusters, {1e3 * seconds[best]:.3g} ms"
        axes.plot(number[best], 1e3 * seconds[best], "o", color=_COLOURS[1], markersize=8, label=label)
        axes.set(xlabel="clusters", ylabel="milliseconds per step", ylim=(0, None), xticks=number)
        axes.legend(frameon=False, fontsize=9)


def draw_all(model: CostModel, step: Step, vocabulary: str, folder: str | os.PathLike) -> list[str]:
    """The three pictures in ``folder``, which is made where it is missing; returns their paths.

    vocabulary: what the shares of ``step`` are of, for the titles. The second picture is of a step with a short-list.
    """
    paths = [os.path.join(folder, name) for name in ("block_cost.png", "head_size.png", "clusters.png")]
    draw_block_seconds(model, paths[0])
    draw_head_size(replace(step, shortlist=True).costs(model), vocabulary, paths[1])
    draw_clusters(step.choose(model), vocabulary, paths[2])
    return paths
