"""How alike two maps are, how much there is in one, and how far signals have converged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from skimage.feature import hog
from skimage.metrics import structural_similarity

Map = NDArray[np.float64]
NAN = float("nan")
ANY = (-float("inf"), float("inf"))
ALIKE = (-1.0, 1.0)  # what a correlation, a cosine or SSIM can be
WINDOW = 5  # pixels: side of SSIM's window (Adebayo et al. 2018, appendix)
CELL = 16  # pixels: side of a cell of oriented gradients, likewise
BINS = 100  # of the histogram whose entropy is taken (Hedström et al. 2023)
CLIPPED = 99.5  # percentile of the absolute values (Sixt et al. 2020)
_BLOCK = 3  # cells along an axis that scikit-image normalises together


def signed_grey(pixels: NDArray[Any]) -> Map:
    """(channels, height, width) as (height, width): the sum over channels."""
    return np.asarray(np.asarray(pixels, dtype=np.float64).sum(0))


def absolute_grey(pixels: NDArray[Any]) -> Map:
    """(channels, height, width) as (height, width): the sum of absolute values."""
    return np.asarray(np.abs(np.asarray(pixels, dtype=np.float64)).sum(0))


def rank_correlation(one: Map, other: Map) -> float:
    """Spearman's; NaN if either is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return NAN
    return float(stats.spearmanr(one.ravel(), other.ravel())[0])


def unit_range(values: Map) -> Map:
    """Shifted and scaled to [0, 1]; a constant becomes 0."""
    span = np.ptp(values)
    return (values - values.min()) / span if span > 0 else np.zeros_like(values)


def ssim(one: Map, other: Map) -> float:
    """The structural similarity of two maps in [0, 1], in two dimensions, windows of 5 pixels.

    NaN for maps that are smaller than a window.
    """
    if min(one.shape) < WINDOW:
        return NAN
    compare: Any = structural_similarity
    return float(compare(one, other, win_size=WINDOW, data_range=1.0))


def cell_of(size: tuple[int, ...]) -> int:
    """Side of a cell of oriented gradients: 16 pixels, less where three do not fit."""
    return max(1, min(CELL, min(size) // _BLOCK))


def oriented_gradients(values: Map) -> Map:
    """The histograms of oriented gradients of a map, as one vector; zeros where nothing fits."""
    if min(values.shape) < _BLOCK:
        return np.zeros(1)
    side = cell_of(values.shape)
    return np.asarray(hog(values, pixels_per_cell=(side, side)), dtype=np.float64)


def entropy(values: Map, bins: int = BINS) -> float:
    """Of the histogram of a map between its least and greatest value, in nats; 0 of a constant.

    It does not depend on the scale of the map.
    """
    counts, _ = np.histogram(values, bins)
    return float(stats.entropy(counts))


def rise(trained: float, randomised: float) -> float:
    """By what share of itself a complexity has risen; NaN of one that was 0."""
    return (randomised - trained) / trained if trained > 0 else NAN


def ssim_of_either_sign(one: Map, other: Map) -> float:
    """SSIM of two signed maps, or of one and the other's negative, whichever is greater.

    Values are divided by the 99.5th percentile of their absolute values and clipped. NaN if a map
    is zero.

    Source: Sixt et al. 2020, section 4.
    """
    if not one.any() or not other.any():
        return NAN
    first, second = _clipped(one), _clipped(other)
    return max(ssim(first, second), ssim(first, 1 - second))


def _clipped(values: Map) -> Map:
    """In [0, 1], where 0 is at the middle."""
    most = float(np.percentile(np.abs(values), CLIPPED)) or float(np.abs(values).max())
    return (np.clip(values / most, -1, 1) + 1) / 2


def mean_cosine(vectors: NDArray[Any]) -> float:
    """The mean |cosine| over all pairs of (vectors, …); NaN if fewer than two of them are not zero.

    A sign that is all that is left of a direction counts as converged.

    Source: cosine similarity convergence, Sixt et al. 2020, section 4.1.
    """
    flat = np.asarray(vectors, dtype=np.float64).reshape(len(vectors), -1)
    lengths = np.linalg.norm(flat, axis=1)
    directions = flat[lengths > 0] / lengths[lengths > 0, None]
    if len(directions) < 2:
        return NAN
    return float(np.mean([abs(a @ b) for a, b in combinations(directions, 2)]))


MEASURES: Mapping[str, tuple[str, Callable[[Any, Any], float]]] = {
    "spearman": ("signed", rank_correlation),
    "absolute spearman": ("absolute", rank_correlation),
    "ssim": ("scaled", ssim),
    "hog": ("gradients", rank_correlation),
}
"""{measure: which view of two maps it takes (see ``views``), and how it compares them}."""


def views(pixels: NDArray[Any]) -> dict[str, Map]:
    """What the measures compare of a map (channels, height, width)."""
    scaled = unit_range(signed_grey(pixels))
    return {
        "signed": signed_grey(pixels),
        "absolute": absolute_grey(pixels),
        "scaled": scaled,
        "gradients": oriented_gradients(scaled),
    }


def similarities(one: Mapping[str, Map], other: Mapping[str, Map]) -> dict[str, float]:
    """Every measure of two maps, by their views."""
    return {name: compare(one[view], other[view]) for name, (view, compare) in MEASURES.items()}


def mean_and_band(
    values: NDArray[Any], *, level: float = 0.95, within: tuple[float, float] = ANY
) -> tuple[float, float, float]:
    """Mean of the values that are not NaN, and the ends of its confidence interval (Student's t).

    The ends are NaN for fewer than two values. No end lies beyond ``within``, what values can be:
    intervals over few images would otherwise hold correlations above 1.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    if not len(known):
        return NAN, NAN, NAN
    mean = float(known.mean())
    if len(known) < 2:
        return mean, NAN, NAN
    half = float(stats.t.ppf((1 + level) / 2, len(known) - 1)) * float(stats.sem(known))
    return mean, max(within[0], mean - half), min(within[1], mean + half)
