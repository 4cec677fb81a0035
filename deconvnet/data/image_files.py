"""Read image files as 8-bit RGB by documented rules, or raise an error that names the file.

Pillow opens more than it converts well: a 16-bit grey PNG saturates, a float TIFF turns black,
transparent pixels show the colours that were hidden. Every such case is ruled here: converted
as one would expect, or refused.
"""

import functools
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from os import PathLike
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from deconvnet.arguments import expanded

WHITE = 65535
"""The value of white in 16-bit grey."""
_LONGEST = 100
"""The largest ratio of the sides: scaled to a common short side, a longer one fills the memory."""
_KINDS = {b"avif": "AVIF"} | dict.fromkeys(
    (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"), "HEIF"
)
"""What stands in a file after ``ftyp``: Pillow's name for the format."""
_PACKAGES = {
    "AVIF": (("pillow_avif", "pillow-avif-plugin"),),
    "HEIF": (("pillow_heif", "pillow-heif"), ("pi_heif", "pi-heif")),
}
"""The modules that add a format, and the names to install them by."""
_WITH_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")


class ImageError(ValueError):
    """An image file that cannot be used; the message names the file and the reason."""


def check_readable(file: str | PathLike[str]) -> None:
    """Check that there is a file that can be opened; what is in it is seen when it is read.

    Raises:
        ImageError: there is none.
    """
    try:
        with open(expanded(file), "rb"):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ImageError(f"{os.fspath(file)!r} cannot be used: {reason}") from error


def read_image(
    file: str | PathLike[str] | BinaryIO,
    *,
    name: str | None = None,
    orient: Callable[[Image.Image], Image.Image] | None = None,
    white: int = WHITE,
    bands: int = 3,
) -> Image.Image:
    """Read an image file as 8-bit RGB, or with as many other bands as it has.

    The first frame of several; a broken colour profile is ignored, and so is the EXIF
    orientation, as in the training code behind published weights. See ``to_rgb`` for colours.

    Args:
        file: its path, or the opened file.
        name: what to call it in a message; by default its path.
        orient: applied before conversion, such as ``PIL.ImageOps.exif_transpose``.
        white: the value of white in 16-bit grey, see ``to_rgb``.
        bands: 3 for RGB; any other number must be the file's, whose bands are left as they are.

    Raises:
        ImageError: the file cannot be decoded completely (empty, truncated even by the two bytes
            that end a JPEG, no image), has more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``, sides
            of a ratio above 100, colours that ``to_rgb`` refuses, or another number of bands.
    """
    file = expanded(file) if isinstance(file, str | PathLike) else file
    name = name or (os.fspath(file) if isinstance(file, str | PathLike) else "an image")
    try:
        with warnings.catch_warnings(), _never_cut_short():
            warnings.simplefilter("ignore")  # what Pillow warns of is ruled here
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if isinstance(file, str) and not (os.path.isfile(file) or os.path.isdir(file)):
                os.stat(file)  # raises what Pillow would, if it does not exist
                raise ImageError("it is no file but a pipe, a socket or a device")  # may not end
            with _opened(file) as image:
                if image.format == "EPS":  # and it would be run by another program
                    raise ImageError("it is a program in PostScript; convert it")
                width, height = image.size
                if max(image.size) > _LONGEST * min(image.size):
                    sides = f"it is {width} pixels wide and {height} high"
                    raise ImageError(f"{sides}, a ratio above {_LONGEST}; crop it")
                several = image.format != "MPO" and getattr(image, "is_animated", False)
                image.load()
                cmyk = image.mode == "CMYK" and bands == 3
                greatest = _greatest(image)
                turned = orient(image) if orient else image
                made = _converted(turned, white) if bands == 3 else _as_stored(turned, bands)
    except Exception as error:  # Pillow raises nearly everything on a broken file
        reason = " ".join(_reason(error, file).split())
        raise ImageError(f"{name!r} cannot be used: {reason}") from error
    if several:
        _warn_once("an image of several frames was read, only the first is used")
    _check_range(greatest, white)
    if cmyk:
        _warn_once("a CMYK image was converted to RGB without its colour profile")
    return made


def _as_stored(image: Image.Image, bands: int) -> Image.Image:
    there = image.getbands()
    if len(there) != bands:
        raise ImageError(f"it has {len(there)} bands ({', '.join(there)}), expected {bands}")
    return image.copy()


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
    """Warn if an image of 16-bit grey comes out nearly black."""
    if white == WHITE and 0 < greatest <= WHITE // 4:
        bits = max(8, greatest.bit_length())
        _warn_once(
            f"a 16-bit grey image was read whose greatest value is {greatest}, so that it is "
            f"nearly black; if {bits} bits are used, give the value of white, {2**bits - 1}: "
            "Preprocessing(white=...), on the command line --white"
        )


@contextmanager
def _never_cut_short() -> Iterator[None]:
    """Refuse truncated files, also where a library has told Pillow to fill them with grey."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _reason(error: Exception, file: str | PathLike[str] | BinaryIO) -> str:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"it has too many pixels ({error}); scale it down"
    if isinstance(error, UnidentifiedImageError):
        start = _start(file)
        kind = lacking(start)
        known = (
            advice(kind) if kind else f"it is no image that Pillow knows (it starts with {start!r})"
        )
        return known if start else "it is empty"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _opened(file: str | PathLike[str] | BinaryIO) -> Image.Image:
    """``Image.open``, which registers a plugin for the format first if that is needed."""
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


def lacking(start: bytes) -> str:
    """The format of a file, by its first 12 bytes, if Pillow needs a plugin for it; else empty."""
    kind = _KINDS.get(start[8:12], "") if start[4:8] == b"ftyp" else ""
    return kind if kind and kind not in Image.ID else ""


def taught(kind: str) -> bool:
    """Register a plugin for a format; whether one is installed."""
    for module, _ in _PACKAGES[kind]:
        try:
            plugin = import_module(module)
        except ImportError:
            continue
        register = getattr(plugin, f"register_{kind.lower()}_opener", None)
        if register is not None:  # others do it when they are imported
            register()
        if kind in Image.ID:
            return True
    return False


def advice(kind: str) -> str:
    """Advice to install a plugin for a format."""
    package = _PACKAGES[kind][0][1]
    return f"this format needs the package {package}; install it: pip install {package}"


@functools.cache
def _warn_once(text: str) -> None:
    warnings.warn(f"{text} (said once)", stacklevel=3)
