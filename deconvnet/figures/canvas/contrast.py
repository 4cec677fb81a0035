"""From a signed projection to a picture: one rule of contrast for every figure."""

from typing import Any

import numpy as np
import numpy.typing as npt

QUANTILE = 0.995

RULE = (
    "Each projection is divided by the 99.5 % quantile of its absolute values inside the receptive "
    "field (the smallest box outside which it is zero) and clipped; zero is mid-grey."
)
"""What ``signed`` does, as a sentence for captions and for the metadata of files."""


def signed(
    projection: npt.ArrayLike, *, quantile: float = QUANTILE
) -> npt.NDArray[np.floating[Any]]:
    """A projection as a picture: zero is mid-grey, the sign is kept, outliers are clipped.

    The values are divided by ``scale``, so projections of different strength look alike:
    brightness cannot be compared between two pictures. A projection that is all zero becomes
    plain grey.

    Args:
        projection: ``(H, W, 3)``, signed; ``(H, W, 1)`` or ``(H, W)`` is drawn as grey.
        quantile: share of the absolute values that is not clipped, above 0 and at most 1.

    Returns:
        ``(H, W, 3)`` in [0, 1], exactly 0.5 where the projection is zero.

    Raises:
        ValueError: another shape, a value that is not finite, or a quantile out of range.
    """
    values = three_channels(projection, what="a projection").astype(np.float64)
    most = scale(values, quantile=quantile)
    if most == 0.0:
        return np.full(values.shape, 0.5)
    # Clipped before it is divided: a value may be so much larger than the scale that it overflows.
    return 0.5 + 0.5 * (np.clip(values, -most, most) / most)


def scale(projection: npt.ArrayLike, *, quantile: float = QUANTILE) -> float:
    """The absolute value that is drawn as black or white: a quantile inside the receptive field.

    The quantile is taken over the smallest box outside which all is zero, so that a projection
    looks the same whether it is cut at its field or stands in a large, empty image. Over the
    whole image most of a small field would be clipped, into pure colours.

    Args:
        projection: ``(…, channels)``, signed, with any number of spatial axes.
        quantile: above 0 and at most 1.

    Returns:
        0 only if the projection is all zero.

    Raises:
        ValueError: a value that is not finite, or a quantile out of range.
    """
    values = np.asarray(projection)
    if not 0.0 < quantile <= 1.0:
        raise ValueError(f"quantile {quantile!r} is not above 0 and at most 1; the default is .995")
    unusable = int(np.count_nonzero(~np.isfinite(values)))
    if unusable:
        raise ValueError(
            f"a projection has {unusable} values that are not finite (of {values.size}); "
            "look for an overflow in the model, or run it in float32"
        )
    places = np.argwhere(values.any(axis=-1))
    if not len(places):
        return 0.0
    box = tuple(map(slice, places.min(axis=0), places.max(axis=0) + 1))
    magnitudes = np.abs(values[box])
    most = float(np.quantile(magnitudes, quantile))
    return most or float(magnitudes.max())  # all but a few values of the box are zero


def three_channels(array: npt.ArrayLike, *, what: str) -> npt.NDArray[Any]:
    """An array ``(H, W, 3)``, ``(H, W, 1)`` or ``(H, W)`` as ``(H, W, 3)``; ``what`` names it."""
    values = np.asarray(array)
    grown = values[:, :, None] if values.ndim == 2 else values
    if grown.ndim != 3 or grown.shape[2] not in (1, 3) or grown.size == 0:
        raise ValueError(
            f"{what} of shape {values.shape} cannot be drawn, expected (height, width, 3) or "
            "(height, width, 1); move the channels last, and of other channels pick three or "
            "draw one at a time"
        )
    return np.broadcast_to(grown, (*grown.shape[:2], 3))
