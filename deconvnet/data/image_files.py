"""Image files to 8-bit RGB, by stated policies, or an error that names the file.

Pillow opens more than it converts well: a 16-bit grey PNG saturates, a float TIFF turns black,
transparent pixels show the colours that were hidden. Every such case is ruled here: converted
as one would expect, or refused.
"""

import functools
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from deconvnet.arguments import expanded

from .pillow_plugins import advice, lacking, taught

WHITE = 65535
"""The value of white in 16-bit grey."""
_LONGEST = 100
"""The largest ratio of the sides: scaled to a common short side, a longer one fills the memory."""
_WITH_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")


class ImageError(ValueError):
    """An image file that cannot be used; the message names the file and the reason."""


def read_image(
    file: str | PathLike[str] | BinaryIO,
    *,
    name: str | None = None,
    orient: Callable[[Image.Image], Image.Image] | None = None,
    white: int = WHITE,
) -> Image.Image:
    """Read an image file as 8-bit RGB.

    The first frame of several; a broken colour profile is ignored, and so is the EXIF
    orientation, as in the training code behind published weights. See ``to_rgb`` for colours.

    Args:
        file: its path, or the opened file.
        name: what to call it in a message; by default its path.
        orient: what to do with the image before it is converted; ``PIL.ImageOps.exif_transpose``
            turns photographs the way they were taken.
        white: the value of white in 16-bit grey, see ``to_rgb``.

    Raises:
        ImageError: the file cannot be read, is no image, is cut short (be it by the two bytes
            that end a JPEG, after which all pixels are there), has more pixels than
            ``PIL.Image.MAX_IMAGE_PIXELS``, sides of a ratio above 100, or colours that
            ``to_rgb`` refuses.
    """
    file = expanded(file) if isinstance(file, str | PathLike) else file
    name = name or (os.fspath(file) if isinstance(file, str | PathLike) else "an image")
    try:
        with warnings.catch_warnings(), _never_cut_short():
            warnings.simplefilter("ignore")  # what Pillow warns of is ruled here
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            _check_kind(file)
            with _opened(file) as image:
                if image.format == "EPS":  # and it would be run by another program
                    raise ImageError("it is a program in PostScript; convert it")
                _check_size(image)
                several = image.format != "MPO" and getattr(image, "is_animated", False)
                image.load()
                cmyk = image.mode == "CMYK"
                greatest = _greatest(image)
                rgb = _converted(orient(image) if orient else image, white)
    except Exception as error:  # Pillow raises nearly everything on a broken file
        reason = " ".join(_reason(error, file).split())
        raise ImageError(f"{name!r} cannot be used: {reason}") from error
    if several:
        _warn_once("an image of several frames was read, only the first is used")
    _check_range(greatest, white)
    if cmyk:
        _warn_once("a CMYK image was converted to RGB without its colour profile")
    return rgb


def to_rgb(image: Image.Image, *, white: int = WHITE) -> Image.Image:
    """Convert to 8-bit RGB.

    16-bit grey is scaled so that ``white`` becomes 255, and what is brighter too; transparency is
    laid on white, grey is repeated, palettes and CMYK are converted.

    Args:
        image: in any mode.
        white: the value of white in 16-bit grey: 65535, or 4095 where 12 bits of 16 are used, as
            cameras and scanners do. It is one for a whole data set: a guess from the greatest
            value of each image would make dark images bright.

    Raises:
        ImageError: 32-bit integers or floats, whose range nobody knows; or a colour space that
            Pillow cannot convert.
    """
    _check_range(_greatest(image), white)
    return _converted(image, white)


def _converted(image: Image.Image, white: int) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image.copy()
    if _is_16_bit(image):
        values = np.asarray(image).astype(np.int64)
        grey = ((2 * 255 * values + white) // (2 * white)).clip(0, 255)
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        kind = "32-bit integer" if image.mode == "I" else "floating point"
        raise ImageError(f"its pixels are {kind} of unknown range; scale them to 8 bits and save")
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(paper, image).convert("RGB")
    try:
        return image.convert("RGB")
    except ValueError as error:
        raise ImageError(f"its colours ({image.mode}) cannot be converted to RGB") from error


def _is_16_bit(image: Image.Image) -> bool:
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")


def _greatest(image: Image.Image) -> int:
    """The greatest value of 16-bit grey; 0 of other images."""
    return int(np.asarray(image).max()) if _is_16_bit(image) else 0


def _check_range(greatest: int, white: int) -> None:
    """Say it if an image of 16-bit grey comes out nearly black."""
    if white == WHITE and 0 < greatest <= WHITE // 4:
        bits = max(8, greatest.bit_length())
        _warn_once(
            f"a 16-bit grey image was read whose greatest value is {greatest}, so that it is "
            f"nearly black; if {bits} bits are used, give the value of white, {2**bits - 1}: "
            "Preprocessing(white=...), on the command line --white"
        )


@contextmanager
def _never_cut_short() -> Iterator[None]:
    """Some libraries have Pillow fill up what is missing of a file with grey, for everyone."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _check_kind(file: str | PathLike[str] | BinaryIO) -> None:
    """Nobody may ever write into a pipe: opening it would wait for ever."""
    if isinstance(file, str | PathLike):
        mode = os.stat(file).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise ImageError("it is no file but a pipe, a socket or a device")


def _check_size(image: Image.Image) -> None:
    if max(image.size) > _LONGEST * min(image.size):
        width, height = image.size
        raise ImageError(
            f"it is {width} pixels wide and {height} high, a ratio above {_LONGEST}; crop it"
        )


def _reason(error: Exception, file: str | PathLike[str] | BinaryIO) -> str:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"it has too many pixels ({error}); scale it down"
    if isinstance(error, UnidentifiedImageError):
        return _unknown(file)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _opened(file: str | PathLike[str] | BinaryIO) -> Image.Image:
    """As ``Image.open``; a package that reads the file is registered if it has not been."""
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        kind = lacking(_start(file))
        if not kind or not taught(kind):
            raise
    if not isinstance(file, str | PathLike):
        file.seek(0)
    return Image.open(file)


def _start(file: str | PathLike[str] | BinaryIO) -> bytes:
    if isinstance(file, str | PathLike):
        with open(file, "rb") as opened:
            return opened.read(12)
    file.seek(0)
    return file.read(12)


def _unknown(file: str | PathLike[str] | BinaryIO) -> str:
    start = _start(file)
    if not start:
        return "it is empty"
    kind = lacking(start)
    return advice(kind) if kind else f"it is no image that Pillow knows (it starts with {start!r})"


@functools.cache
def _warn_once(text: str) -> None:
    warnings.warn(f"{text} (said once)", stacklevel=3)
