"""The numbers of an atlas: strengths, histograms, and the channels that respond alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deconvnet.store.table import LayerTable, Sample
from deconvnet.studies.similarity import standardised

BINS = 24
NEAR, OPPOSITE = 8, 3  # channels that are named
_AT_ONCE = 2**22  # correlations in memory


def strengths(table: LayerTable) -> list[float | None]:
    """The strongest activation of every channel; None where no image excited it."""
    return [float(f"{a:.4g}") if n > 0 and a > 0 else None for a, n in zip(
        table.activation[:, 0].tolist(), table.nonzero.tolist(), strict=True
    )]  # fmt: skip


def histogram(values: NDArray[np.floating[Any]]) -> dict[str, Any] | None:
    """How often values occur: those that are not 0 in bins of equal width, the zeros counted apart.

    A rectifier's zeros would hide all else.

    Returns:
        {"n", "zeros", "low", "high", "bins"}; None without a finite value.
    """
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return None
    shown = finite[finite != 0]
    told: dict[str, Any] = {"n": len(finite), "zeros": len(finite) - len(shown)}
    if not len(shown):
        return {**told, "low": 0.0, "high": 0.0, "bins": []}
    low, high = float(shown.min()), float(shown.max())
    counts, _ = np.histogram(shown, BINS, (low, high)) if high > low else ([len(shown)], None)
    return {**told, "low": low, "high": high, "bins": list(map(int, counts))}


def alike(sample: Sample) -> Iterator[tuple[list[tuple[int, float]], ...]]:
    """For every channel the channels most like it and most opposite, with Pearson's correlation.

    The correlations are those of ``deconvnet.similarity``. A channel that is constant in the sample
    has none.

    Yields:
        (nearest, most opposite), lists of (channel, correlation).
    """
    scaled, varying = standardised(sample)
    step, row = max(1, _AT_ONCE // max(1, len(varying))), 0
    some = scaled[:0]
    for channel in range(len(sample.activation)):
        if row == len(varying) or varying[row] != channel:
            yield [], []
            continue
        if row % step == 0:
            some = np.clip(scaled[row : row + step] @ scaled.T, -1, 1)
        here = some[row % step].copy()
        here[row] = np.nan  # itself; sorted last
        order, back = np.argsort(-here, kind="stable"), np.argsort(here, kind="stable")
        yield (
            [(int(varying[i]), float(here[i])) for i in order[:NEAR] if here[i] > 0],
            [(int(varying[i]), float(here[i])) for i in back[:OPPOSITE] if here[i] < 0],
        )
        row += 1
