"""Grids of pictures as one array: padded, never resampled, except by whole factors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .contrast import signed, three_channels

Picture = npt.NDArray[np.floating[Any]]
"""``(height, width, 3)``, in [0, 1]."""

NEUTRAL = 0.5  # a projection's zero
BLANK = 0.93  # where there is nothing to show
PAPER = 1.0
LEAST = 48  # pixels: some viewers smooth what is smaller, as the figure is enlarged


def as_picture(array: npt.ArrayLike, *, what: str = "a picture") -> Picture:
    """An image as ``(H, W, 3)`` floats in [0, 1].

    Args:
        array: ``(H, W, 3)``, ``(H, W, 1)`` or ``(H, W)``; floats in [0, 1], or uint8.
        what: names the array in the error.

    Raises:
        ValueError: another shape or type, or a value outside [0, 1].
    """
    values = three_channels(array, what=what)
    if values.dtype == np.uint8:
        return values / np.float64(255)
    if not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"{what} of type {values.dtype} is neither uint8 nor float; convert it")
    if not (values.min() >= 0.0 and values.max() <= 1.0):  # so written that NaN is caught
        raise ValueError(
            f"{what} has values from {values.min():g} to {values.max():g}, expected [0, 1]; "
            "undo the preprocessing first, and draw signed values with signed()"
        )
    return values.astype(np.float64)


def pair(image: npt.ArrayLike, projection: npt.ArrayLike, *, of: str) -> tuple[Picture, Picture]:
    """An image, as for ``as_picture``, and its projection, as for ``signed``, as pictures.

    Their sizes must be equal; ``of`` names them in the error.
    """
    picture, shown = as_picture(image, what="an image"), signed(projection)
    if picture.shape != shown.shape:
        raise ValueError(
            f"{of} has a projection of {shown.shape[:2]} pixels beside an image of "
            f"{picture.shape[:2]}; cut both at the same receptive field, or neither"
        )
    return picture, shown


def is_zero(picture: Picture) -> bool:
    """Whether it is the picture of a projection that is zero everywhere."""
    return bool(np.all(picture == NEUTRAL))


def pixels(picture: Picture) -> npt.NDArray[np.uint8]:
    """The picture as ``(H, W, 3)`` bytes, rounded here and not by what writes the file."""
    scaled: Picture = np.clip(picture, 0.0, 1.0) * 255.0
    return np.rint(scaled).astype(np.uint8)


def pad_to(
    picture: Picture, height: int, width: int, *, anchor: Sequence[int] | None = None
) -> Picture:
    """Place a picture on a white canvas, pixel for pixel.

    For a crop at a receptive field that the border of the image has clipped: with ``anchor`` it
    stands where it stood in the whole field. White, since grey is a projection's zero.

    Args:
        picture: ``(h, w, 3)``.
        height: of the canvas, at least ``h`` pixels.
        width: of the canvas, at least ``w`` pixels.
        anchor: rows above and columns left of the picture; by default it stands in the middle.

    Returns:
        ``(height, width, 3)``.

    Raises:
        ValueError: the picture does not fit.
    """
    rows, columns = picture.shape[:2]
    top, left = anchor if anchor is not None else ((height - rows) // 2, (width - columns) // 2)
    if min(top, left) < 0 or top + rows > height or left + columns > width:
        raise ValueError(
            f"a picture of {rows} x {columns} pixels does not fit at row {top}, column {left} of "
            f"a canvas of {height} x {width}; make the canvas larger or crop the picture"
        )
    canvas = np.full((height, width, 3), PAPER)
    canvas[top : top + rows, left : left + columns] = picture
    return canvas


def enlarge(picture: Picture) -> Picture:
    """Repeat the pixels of a small picture until its shorter side has ``LEAST`` of them."""
    factor = max(1, -(-LEAST // min(picture.shape[:2])))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def gap_for(height: int, width: int) -> int:
    """Pixels between tiles of this size: a hairline in print, whatever the resolution."""
    return max(1, round(0.04 * min(height, width)))


def tile(pictures: Sequence[Picture], *, columns: int, rows: int | None = None) -> Picture:
    """Pictures of one size as one array, row by row, a thin gap between them.

    Args:
        pictures: each ``(h, w, 3)``; places left over stay blank.
        columns: tiles in a row.
        rows: rows of tiles; by default as many as are needed.

    Returns:
        ``(rows * h + (rows - 1) * gap, columns * w + (columns - 1) * gap, 3)``.

    Raises:
        ValueError: no pictures, several sizes, or more pictures than places.
    """
    sizes = sorted({picture.shape[:2] for picture in pictures})
    if len(sizes) != 1:
        raise ValueError(f"pictures of sizes {sizes} cannot be tiled; pad_to() one size first")
    rows = -(-len(pictures) // columns) if rows is None else rows
    if len(pictures) > rows * columns:
        raise ValueError(f"{len(pictures)} pictures do not fit in {rows} x {columns} tiles")
    ((height, width),) = sizes
    gap = gap_for(height, width)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), PAPER)
    for place in range(rows * columns):
        top, left = place // columns * (height + gap), place % columns * (width + gap)
        filled = place < len(pictures)
        canvas[top : top + height, left : left + width] = pictures[place] if filled else BLANK
    return canvas
