"""A patch as a JPEG, a projection as float16 with a scale; and back, whatever a file claims."""

from __future__ import annotations

import io
import math
import warnings

import numpy as np
from numpy.typing import NDArray

QUALITY = 92  # with colours at full resolution: crops of photographs come back with 39 dB
LARGEST = 2**24  # pixels of a patch; no more is decoded, whatever a file says
_TOP = 15  # a projection is scaled to stay below 2**15: float16 ends at 65504


def encode(patch: NDArray[np.float32]) -> bytes:
    """A patch (height, width, 3) in [0, 1] as a JPEG, colours at full resolution."""
    from PIL import Image  # here, since most who open a store do not look at its pictures

    stream = io.BytesIO()
    pixels = np.rint(np.clip(patch, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(stream, "JPEG", quality=QUALITY, subsampling=0)
    return stream.getvalue()


def decode(content: bytes, size: tuple[int, int]) -> NDArray[np.float32]:
    """The patch again, (height, width, 3) in [0, 1]; it is decoded only if it has this size.

    Raises:
        ValueError: it is no JPEG of this (height, width) in three colours, or is cut short.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pictures too large, which are refused here
            with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
                found = (image.height, image.width)
                fits = found == tuple(size) and 0 < math.prod(found) <= LARGEST
                if not fits or image.mode != "RGB":
                    raise ValueError(f"it is {image.mode} of {found} pixels, its box {size}")
                pixels = np.asarray(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    return (pixels / np.float32(255)).astype(np.float32)


def halves(projection: NDArray[np.float32]) -> tuple[NDArray[np.float16], float]:
    """A projection as float16, and its scale: a power of two, so that only rounding is lost.

    The greatest value comes to lie just below the end of float16: values down to a
    hundred-millionth of it keep 11 bits, an error below a thousandth of each of them.

    Raises:
        ValueError: a value is not finite.
    """
    height = float(np.abs(projection).max(initial=0.0))
    if not math.isfinite(height):
        raise ValueError(
            "a projection has values that are not finite; look for an overflow in the model"
        )
    scale = 2.0 ** max(math.frexp(height)[1] - _TOP, -126) if height else 1.0
    return (projection.astype(np.float64) / scale).astype("<f2"), scale


def wholes(
    values: NDArray[np.float16], scale: float, shape: tuple[int, int, int]
) -> NDArray[np.float32]:
    """The projection again, shaped (height, width, channels).

    Raises:
        ValueError: a value is not finite.
    """
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite")
    return (values.astype(np.float64) * scale).astype(np.float32).reshape(shape)
