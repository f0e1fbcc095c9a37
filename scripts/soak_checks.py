"""What must be so after every operation of a soak: models that are equal, folders that are clean."""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from soak_commands import BrokenError

#: What of ``training.json`` does not hang on the clock.
SAME = ("loss", "pairs", "kept_words", "heldout_nll", "heldout_unigram_nll")
#: With more than one thread the updates interleave at will. How far two runs may lie apart: the last epoch's loss as
#: a share of it; the mean cosine of the nearest neighbours; Spearman's correlation × 100.
LOSS_BAND, COSINE_BAND, SCORE_BAND = 0.03, 0.05, 12.0
_FREQUENT = 200


def fingerprint(path: Path) -> dict[str, str]:
    """A hash by the relative name of every file below ``path`` (or of the file itself)."""
    files = [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())
    return {str(file.relative_to(path)): hashlib.blake2b(file.read_bytes()).hexdigest() for file in files}


def require_unchanged(path: Path, before: dict[str, str]) -> None:
    """BrokenError unless ``path`` holds what it did."""
    after = fingerprint(path) if path.exists() else {}
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        raise BrokenError(f"{path} changed: {', '.join(changed[:5])}")


def require_same_model(expected: Path, found: Path) -> None:
    """BrokenError unless two model folders have equal words, parameters (bit by bit) and results of training."""
    names = ({path.name for path in model.glob("*.npy")} | {"vocabulary.tsv"} for model in (expected, found))
    ours, theirs = names
    if ours != theirs:
        raise BrokenError(f"{found} has other files than {expected}: {sorted(ours ^ theirs)}")
    for name in sorted(ours):
        if (expected / name).read_bytes() != (found / name).read_bytes():
            raise BrokenError(f"{found / name} differs from {expected / name}")
    before, after = training(expected), training(found)
    for name in SAME:
        if before.get(name) != after.get(name):
            raise BrokenError(f"{name} of {found} is {after.get(name)}, and of {expected} {before.get(name)}")


def require_like_model(expected: Path, found: Path) -> None:
    """BrokenError unless two runs of the same options with several threads lie within the bands."""
    if (expected / "vocabulary.tsv").read_bytes() != (found / "vocabulary.tsv").read_bytes():
        raise BrokenError(f"{found} has other words than {expected}")
    before, after = training(expected), training(found)
    if len(before["loss"]) != len(after["loss"]):
        raise BrokenError(f"{found} has {len(after['loss'])} epochs, {expected} has {len(before['loss'])}")
    loss, other = before["loss"][-1], after["loss"][-1]
    if not abs(loss - other) <= LOSS_BAND * abs(loss):
        raise BrokenError(f"the loss of {found} is {other}, and of {expected} {loss}")
    cosine, other = nearest_cosine(expected), nearest_cosine(found)
    if not abs(cosine - other) <= COSINE_BAND:
        raise BrokenError(f"the mean cosine of neighbours in {found} is {other:.3f}, in {expected} {cosine:.3f}")


def nearest_cosine(model: Path) -> float:
    """The mean cosine between frequent words and their nearest neighbours among all words."""
    vectors = np.load(model / "input_vectors.npy", allow_pickle=False)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosines = vectors[:_FREQUENT] @ vectors.T
    np.fill_diagonal(cosines, -1)
    return float(cosines.max(axis=1).mean())


def require_sound(model: Path) -> None:
    """BrokenError unless a freshly trained model has finite vectors, and a finite loss for every epoch."""
    record, config = training(model), json.loads((model / "config.json").read_text("utf-8"))
    if len(record["loss"]) != config["epochs"] or not all(map(math.isfinite, record["loss"])):
        raise BrokenError(f"the losses of {model} are {record['loss']}")
    vectors = np.load(model / "input_vectors.npy", allow_pickle=False)
    words = (model / "vocabulary.tsv").read_bytes().count(b"\n")
    if vectors.shape != (words, config["vector_size"]) or not np.isfinite(vectors).all():
        raise BrokenError(f"the vectors of {model} are not all finite, or of shape {vectors.shape} for {words} words")


def training(model: Path) -> dict:
    """The contents of ``training.json``."""
    return json.loads((model / "training.json").read_text("utf-8"))


def require_clean(output: Path, *, finished: bool = True, known: Sequence[str] = ()) -> None:
    """BrokenError where temporary names are beside an output; and after a finished run a folder of checkpoints.

    known: names that may be there.
    """
    left = [name for name in leftovers(output, finished) if name not in known]
    if left:
        raise BrokenError(f"left behind beside {output}: {', '.join(left)}")


def leftovers(output: Path, finished: bool = True) -> list[str]:
    """Names that ``require_clean`` does not let pass."""
    checkpoints = output.with_name(f"{output.name}.checkpoint")
    left = sorted(path.name for path in output.parent.glob(f".{output.name}.*"))
    if checkpoints.exists():
        left += [checkpoints.name] if finished else [path.name for path in checkpoints.glob(".*")]
    return left


def require_clean_folder(folder: Path, pattern: str) -> None:
    """BrokenError where something is left whose name matches ``pattern``."""
    left = sorted(path.name for path in folder.glob(pattern)) if folder.exists() else []
    if left:
        raise BrokenError(f"left behind in {folder}: {', '.join(left[:5])}")


def same_vectors(first: Path, second: Path, *, exactly: bool) -> None:
    """BrokenError unless two sets of vectors in any format have equal words and numbers.

    exactly: bit by bit; else as close as decimals of float32 are.
    """
    from w2v.vectors import load_vectors

    ours, theirs = load_vectors(first), load_vectors(second)
    if list(ours.index_to_key) != list(theirs.index_to_key):
        raise BrokenError(f"{second} has other words than {first}")
    equal = np.array_equal if exactly else lambda a, b: a.shape == b.shape and np.allclose(a, b, rtol=1e-5, atol=1e-7)
    if not equal(ours.vectors, theirs.vectors):
        raise BrokenError(f"{second} has other numbers than {first}")
