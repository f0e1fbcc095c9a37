"""Points of words on a plane: PCA in NumPy; UMAP and t-SNE by the packages of the extra ``map``."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from w2v.errors import ConfigError, require

METHODS = {"pca": "PCA", "umap": "UMAP", "tsne": "t-SNE"}
_NEIGHBOURS = 15  # of UMAP
_PERPLEXITY = 30.0  # of t-SNE


class Projection(NamedTuple):
    """Points of V words on a plane.

    ``positions`` (V, 2) float32, centred, the farthest at distance 1 along an axis; ``explained`` is the share of the
    variance that the two axes of PCA hold, None for the other methods.
    """

    positions: np.ndarray
    explained: float | None


def check_method(method: str) -> None:
    """Raise MissingExtraError where the package behind ``method`` is missing, ConfigError where it is unknown."""
    if method not in METHODS:
        raise ConfigError(f"the projection {method!r} is unknown: use {', '.join(METHODS)}")
    if method == "umap":
        require("umap", "map", "a map by UMAP")
    if method == "tsne":
        require("sklearn.manifold", "map", "a map by t-SNE")


def project(unit_rows: np.ndarray, method: str = "pca", seed: int = 1) -> Projection:
    """Points of the V ``unit_rows`` (V, D), V at least 3; the same ones for the same arguments.

    UMAP and t-SNE begin at the points of PCA, which keeps what is far apart where it was, and measure cosines.
    Raises what ``check_method`` raises.
    """
    check_method(method)
    first = principal_components(unit_rows)
    if method == "pca":
        return first
    # Both leave their starting points where those coincide; equal words then move apart.
    start = first.positions + np.random.default_rng(seed).normal(0, 1e-4, first.positions.shape).astype(np.float32)
    place = _umap if method == "umap" else _tsne
    return Projection(_scaled(place(unit_rows, start, seed)), None)


def principal_components(unit_rows: np.ndarray) -> Projection:
    """The first two principal components of ``unit_rows`` (V, D), centred (Pearson 1901).

    The eigenvectors' signs are free: each is turned so that its entry of greatest magnitude is positive. Sums are
    float64. A dimension that is missing (D = 1) is a coordinate of zeros.
    """
    centred = np.asarray(unit_rows, np.float64) - np.mean(unit_rows, axis=0, dtype=np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    points = np.zeros((len(unit_rows), 2))
    points[:, : axes.shape[1]] = centred @ axes
    total = float(np.maximum(values, 0).sum())
    explained = float(np.maximum(values[-2:], 0).sum()) / total if total > 0 else 0.0
    return Projection(_scaled(points), explained)


def align(positions: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """``positions`` (V, 2) turned, mirrored and scaled to lie as near to ``reference`` (V, 2) as they can.

    Distances keep their proportions: a map has no direction of its own, so that two maps of the same words can lie
    the same way round. Orthogonal Procrustes (Schönemann 1966).
    """
    points, target = (
        np.asarray(p, np.float64) - np.mean(p, axis=0, dtype=np.float64) for p in (positions, reference)
    )
    left, sizes, right = np.linalg.svd(points.T @ target)
    square = float((points**2).sum())
    scale = sizes.sum() / square if square > 0 and sizes.sum() > 0 else 1.0
    return (points @ (left @ right) * scale).astype(np.float32)


def _umap(unit_rows: np.ndarray, start: np.ndarray, seed: int) -> np.ndarray:
    """McInnes et al. 2018."""
    umap = require("umap", "map", "a map by UMAP")
    mapper = umap.UMAP(
        n_neighbors=min(_NEIGHBOURS, len(unit_rows) - 1), min_dist=0.1, metric="cosine", init=10 * start,
        random_state=seed, n_jobs=1,
    )  # fmt: skip
    with warnings.catch_warnings():  # on its own parameters and those of scikit-learn, which a reader cannot change
        warnings.simplefilter("ignore")
        return mapper.fit_transform(np.asarray(unit_rows, np.float32))


def _tsne(unit_rows: np.ndarray, start: np.ndarray, seed: int) -> np.ndarray:
    """van der Maaten & Hinton 2008. Euclidean distances of unit rows order as their cosines do."""
    manifold = require("sklearn.manifold", "map", "a map by t-SNE")
    perplexity = min(_PERPLEXITY, (len(unit_rows) - 1) / 3)
    # Its authors' advice (Kobak & Berens 2019): begin small, with a standard deviation of 1e-4.
    small = 1e-4 * start / max(float(start[:, 0].std()), 1e-12)
    mapper = manifold.TSNE(perplexity=perplexity, init=small, random_state=seed, learning_rate="auto")
    return mapper.fit_transform(np.asarray(unit_rows, np.float32))


def _scaled(points: np.ndarray) -> np.ndarray:
    points = points - points.mean(axis=0)
    reach = float(np.abs(points).max())
    return (points / (reach if reach > 0 else 1.0)).astype(np.float32)
