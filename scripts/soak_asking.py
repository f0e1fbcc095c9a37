"""Operations of a soak that ask a finished model, and write it in other formats."""

import json
import subprocess
from pathlib import Path

import numpy as np
from soak_checks import same_vectors
from soak_commands import BrokenError
from soak_place import Operation

_FORMATS = ("", ".bin", ".txt", ".vec", ".safetensors", ".txt.gz", ".bin.xz", ".txt.bz2")


def ask(work: Operation) -> None:
    """Questions have the same answers each time, whatever happened between."""
    words = work.random.sample(work.place.words, 3)
    count = work.random.choice((1, 5, 10_000))
    arguments = work.random.choice(
        (
            ["similar", "MODEL", *words, "-n", count, "--json"],
            ["similar", "MODEL", "--", words[0], f"-{words[1]}", f"+{words[2]}"],
            ["analogy", "MODEL", *words, "-n", count],
            ["analogy", "MODEL", *words, "--cosmul", "--json"],
            ["classes", "MODEL", "-n", 5, "--json"],
            ["info", "MODEL", "--json"],
            ["eval", "MODEL", "--pairs", _pairs(work), "--json"],
        )
    )
    model = work.random.choice([path for path in work.place.good_files if path.name != "good-hs"])
    arguments = [model if word == "MODEL" else word for word in arguments]
    first, second = (work.run(*arguments).check(0) for _ in range(2))
    if not first.stdout.strip() or first.stdout != second.stdout:
        raise BrokenError(f"two answers differ, or are empty: {first}")
    if "--json" in arguments:
        json.loads(first.stdout)


def _pairs(work: Operation) -> Path:
    path = work.folder / "pairs.tsv"
    pairs = zip(work.place.words[:20], work.place.words[9:29], strict=True)
    path.write_text("".join(f"{first}\t{second}\t{score}\n" for score, (first, second) in enumerate(pairs)))
    return path


def ask_wrongly(work: Operation) -> None:
    """Questions that have no answer: an error of a line."""
    missing = work.folder / "missing"
    directory = work.folder / "holds-nothing"
    directory.mkdir()
    arguments, codes = work.random.choice(
        (
            (["similar", work.place.good, "no-such-word-at-all"], (1,)),
            (["analogy", work.place.good, work.place.words[0], "no-such-word", "none"], (1,)),
            (["similar", missing, "the"], (1,)),
            (["info", directory], (1,)),
            (["info", work.place.small], (1,)),
            (["convert", work.place.good, work.folder / "x.bin.zip.gz"], (1,)),
            (["convert", missing, work.folder / "x.bin"], (1,)),
            (["classes", work.place.good, "-n", 10**9], (1, 2)),
            (["eval", work.place.good, "--pairs", missing], (1, 2)),
            (["train", missing, "-o", work.output], (1,)),
            (["train", work.place.small, "-o", work.output, "--epochs", 0], (2,)),
            (["train", work.place.small, "-o", work.place.small], (1, 2)),
            (["similar", work.place.good, "-n", 0, "the"], (2,)),
        )
    )
    work.fault("impossible question", str(arguments[0]))
    work.run(*arguments).check(*codes)


def convert(work: Operation) -> None:
    """Round trips through any formats keep words and numbers."""
    exactly, path = True, work.place.good
    for step in range(work.random.randint(1, 4)):
        suffix = work.random.choice(_FORMATS)
        exactly = exactly and not suffix.startswith((".txt", ".vec"))
        target = work.folder / f"step-{step}{suffix}"
        work.run("convert", path, target).check(0)
        path = target
    same_vectors(work.place.good, path, exactly=exactly)


def export(work: Operation) -> None:
    """Exports hold the words and the numbers of the model."""
    layout = work.random.choice(("gensim", "numpy", "safetensors", "model2vec", "projector"))
    target = work.folder / ("exported.safetensors" if layout == "safetensors" else "exported")
    work.run("export", work.place.good, "--to", layout, "-o", target).check(0)
    if layout == "gensim":
        same_vectors(work.place.good, target.with_name("exported.bin"), exactly=True)
    elif layout == "safetensors":
        same_vectors(work.place.good, target, exactly=True)
    elif layout == "numpy":
        found = np.load(target / "vectors.npy", allow_pickle=False)
        if not np.array_equal(found, np.load(work.place.good / "input_vectors.npy", allow_pickle=False)):
            raise BrokenError(f"{target} has other numbers than the model")
    elif not any(target.iterdir()):
        raise BrokenError(f"{target} is empty")
    work.run("export", work.place.good, "--to", layout, "-o", target).check(0)


def explore(work: Operation) -> None:
    """A page of one model, or of two."""
    models = work.random.choice(([work.place.good], [work.place.good, work.folder.parent / "good-hs"]))
    page = work.folder / "page.html"
    work.run("explore", *models, "-o", page, "--words", work.random.choice((3, 50, 500))).check(0)
    if not page.read_text("utf-8").rstrip().endswith("</html>"):
        raise BrokenError(f"{page} is not a whole page")


def reader_leaves(work: Operation) -> None:
    """A reader that goes away before the end: no word about it."""
    work.fault("reader goes away")
    program = [*work.commands.program, "similar", str(work.place.good), *work.place.words[:60], "-n", "500"]
    work.commands.note("w2v similar … | head -1")
    environment = {"PATH": "/usr/bin:/bin", **work.commands.variables}
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read().decode("utf-8", "replace")
    if process.returncode not in (0, 1) or said.strip():
        raise BrokenError(f"w2v similar … | head -1 exited {process.returncode}: {said[-500:]}")


def phrases(work: Operation) -> None:
    """Joined phrases are a text that can be trained on."""
    joined = work.folder / "phrases.txt"
    work.run("phrases", work.place.small, "-o", joined).check(0)
    if joined.read_bytes().count(b"\n") != work.place.small.read_bytes().count(b"\n"):
        raise BrokenError(f"{joined} has another number of lines than the text")
    work.run("train", joined, "-o", work.output, "--epochs", 1, "--vector-size", 8).check(0)
