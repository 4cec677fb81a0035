"""Images of any number of bands: NumPy's ``.npy`` and multi-band TIFF files, arrays, PIL images."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from os import PathLike
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deconvnet.arguments import expanded

from .image_files import ImageError, read_image

NPY = ".npy"
"""What the name of a file of an array ends in."""
_ARRAY = b"\x93NUMPY"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_bands(
    file: str | PathLike[str] | BinaryIO, bands: int, *, name: str | None = None
) -> NDArray[Any]:
    """Read an image of so many bands, (height, width, bands), as its file stores them.

    Args:
        file: its path, or the opened file: an array (``.npy``), height x width x bands or bands x
            height x width; a TIFF file, by the package tifffile where it is installed; or an image
            that Pillow opens with so many bands, such as grey with alpha (2) or RGBA (4).
        bands: how many there are.
        name: what to call it in a message; by default its path.

    Raises:
        ImageError: the file cannot be read, or has another number of bands.
    """
    name = name or (os.fspath(file) if isinstance(file, str | PathLike) else "an image")
    try:
        values = _array(file)
        if values is None:
            return np.asarray(read_image(file, name=name, bands=bands))
        return bands_last(values, bands)
    except ImageError:
        raise
    except Exception as error:  # readers raise nearly everything on a broken file
        reason = " ".join((str(error) or type(error).__name__).split())
        raise ImageError(f"{name!r} cannot be used: {reason}") from error


def bands_last(values: NDArray[Any], bands: int) -> NDArray[Any]:
    """An array of an image as (height, width, bands).

    Raises:
        ValueError: no axis has so many bands, or both the first and the last have.
    """
    values = values[..., None] if values.ndim == 2 and bands == 1 else values
    places = {axis for axis in (0, -1) if values.ndim == 3 and values.shape[axis] == bands}
    if len(places) != 1 or values.size == 0:
        why = "both may be bands" if places else f"expected {bands} bands"
        raise ValueError(
            f"it is an array of shape {values.shape}, {why}: (height, width, {bands}) or ({bands}, "
            "height, width)"
        )
    return np.moveaxis(values, places.pop(), -1)


def as_bands(image: Any, bands: int, *, white: int) -> list[Image.Image]:
    """Each band of an image: 8-bit grey, or floats in [0, 1].

    Args:
        image: a PIL image of so many bands, or an array: uint8; uint16, divided by ``white``; or
            floats, taken as they are.
        bands: how many there are.
        white: the value of white in 16 bits; what is brighter is white too.

    Raises:
        TypeError: neither a PIL image nor an array of these types.
        ValueError: another number of bands.
    """
    if isinstance(image, Image.Image):
        image = np.asarray(image)
    if not isinstance(image, np.ndarray):
        raise TypeError(f"a {type(image).__name__} was given, expected a PIL image or an array")
    values = bands_last(image, bands)
    if values.dtype == np.uint16:
        values = np.minimum(values.astype("f4") / np.float32(white), np.float32(1))
    elif np.issubdtype(values.dtype, np.floating):
        values = values.astype("f4")
        if not np.isfinite(values).all():
            raise ValueError("it has values that are not finite; replace them")
    elif values.dtype != np.uint8:
        raise TypeError(
            f"its values are {values.dtype}, expected uint8, uint16 or floats that are scaled to "
            "[0, 1]"
        )
    return [Image.fromarray(np.ascontiguousarray(values[..., band])) for band in range(bands)]


def _array(file: str | PathLike[str] | BinaryIO) -> NDArray[Any] | None:
    """The array of a file; None if Pillow has to read it."""
    start, source = _start(file), expanded(file) if isinstance(file, str | PathLike) else file
    if start.startswith(_ARRAY):
        return np.asarray(np.load(source, allow_pickle=False))
    if start.startswith(_TIFF):
        with suppress(ImportError):
            import tifffile

            return np.asarray(tifffile.imread(source))
    return None


def _start(file: str | PathLike[str] | BinaryIO) -> bytes:
    """The first bytes; none of what is no file, which Pillow's reader refuses."""
    if isinstance(file, str | PathLike):
        if not os.path.isfile(expanded(file)):
            return b""
        with open(expanded(file), "rb") as opened:
            return opened.read(8)
    start = file.read(8)
    file.seek(0, io.SEEK_SET)
    return start
