"""At which frequencies the energy of filters lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

EDGES = np.linspace(0.0, 0.75, 13)
"""Of the bands of a spectrum, in cycles per pixel; the frequencies end at sqrt(1 / 2)."""
_POINTS = 64  # of a Fourier transform along an axis, or twice the filter's side if that is more


def spectrum(filters: NDArray[Any]) -> NDArray[np.float64]:
    """The share of the energy of filters in each band of frequencies between ``EDGES``.

    Args:
        filters: (channels, bands, height, width), as they are: with their own strengths.

    Returns:
        (bands of frequencies,), cycles per pixel in any direction; all 0 for filters of zeros.
    """
    power, (down, across) = _power(filters)
    energy, _ = np.histogram(np.hypot(down, across), EDGES, weights=power)
    return np.asarray(energy / (power.sum() or 1.0))


def beyond(filters: NDArray[Any], stride: Sequence[int]) -> float:
    """The share of the energy of filters at frequencies that a stride folds onto lower ones."""
    power, frequencies = _power(filters)
    limits = [0.5 / step for step in stride]
    folded = [abs(f) > limit for f, limit in zip(frequencies, limits, strict=True)]
    return float(power[np.logical_or(*folded)].sum() / (power.sum() or 1.0))


def _power(filters: NDArray[Any]) -> tuple[NDArray[np.float64], tuple[Any, Any]]:
    """The power of filters at each frequency, summed over them, and the frequencies of the axes."""
    values = np.asarray(filters, dtype=np.float64)
    points = [max(_POINTS, 2 * side) for side in values.shape[-2:]]
    power = np.square(np.abs(np.fft.fft2(values, s=points))).sum((0, 1))
    down, across = (np.fft.fftfreq(n) for n in points)
    return power, np.meshgrid(down, across, indexing="ij")
