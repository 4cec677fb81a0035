"""One sign of a projection as a picture on black, as Schlüter's notebook draws saliency maps."""

from typing import Any

import numpy as np
import numpy.typing as npt

from .contrast import three_channels

SIGNS = ("all", "positive", "negative", "absolute_value")
"""Which values of a projection are drawn; "all" is by ``contrast.signed``."""


def part(projection: npt.ArrayLike, sign: str) -> npt.NDArray[np.floating[Any]]:
    """The positive values of a projection, the negative ones, or the size of all.

    "positive" is ``max(s, 0) / max(s)`` and "negative" ``max(-s, 0) / max(-s)``, in colour;
    "absolute_value" is the greatest ``|s|`` of the channels of a pixel, divided by its greatest in
    the picture, in grey. Zero is black. Where there is no such value, all is black.

    Args:
        projection: ``(H, W, 3)``, ``(H, W, 1)`` or ``(H, W)``, signed.
        sign: "positive", "negative" or "absolute_value".

    Returns:
        ``(H, W, 3)`` in [0, 1].

    Raises:
        ValueError: another sign or shape.

    Source: Schlüter 2015, "Saliency Maps and Guided Backpropagation" (Lasagne Recipes).
    """
    values = three_channels(projection, what="a projection").astype(np.float64)
    if sign == "absolute_value":
        drawn = np.broadcast_to(np.abs(values).max(axis=2, keepdims=True), values.shape)
    elif sign in ("positive", "negative"):
        drawn = np.maximum(values if sign == "positive" else -values, 0.0)
    else:
        raise ValueError(f"the sign was {sign!r}, expected one of {', '.join(SIGNS[1:])}")
    greatest = float(drawn.max())
    return drawn / greatest if greatest > 0 else np.zeros_like(drawn)
