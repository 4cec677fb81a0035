"""Encode and decode pictures: patches as JPEG or arrays, projections as float16 with a scale."""

from __future__ import annotations

import io
import math
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from .checked_hdf5 import Room, read_attributes
from .format import write_attributes

QUALITY = 92  # with colours at full resolution: crops of photographs come back with 39 dB
ENCODINGS = ("jpeg", "uint8", "float32")
LARGEST = 2**24  # pixels of a patch; no more is decoded, whatever a file says
_PIECE = 2**22  # bytes that are copied at a time
_TOP = 15  # a projection is scaled to stay below 2**15: float16 ends at 65504


def encoding_of(axes: int, channels: int) -> str:
    """How patches of so many axes and channels are encoded, one of ``ENCODINGS``.

    JPEG would lose what is to be seen in other images than photographs.
    """
    if axes == 1:
        return "float32"
    return "jpeg" if (axes, channels) == (2, 3) else "uint8"


def encode(patch: NDArray[np.float32]) -> bytes:
    """Encode a patch (*size, channels), as ``encoding_of`` says; JPEG at full resolution."""
    encoding = encoding_of(patch.ndim - 1, patch.shape[-1])
    if encoding == "float32":
        return patch.astype("<f4").tobytes()
    pixels = np.rint(np.clip(patch, 0, 1) * 255).astype(np.uint8)
    if encoding == "uint8":
        return pixels.tobytes()
    from PIL import Image  # here, since most who open a store do not look at its pictures

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=QUALITY, subsampling=0)
    return stream.getvalue()


def decode(content: bytes, shape: tuple[int, ...], encoding: str = "jpeg") -> NDArray[np.float32]:
    """Decode a patch of this shape (*size, channels), in one of ``ENCODINGS``.

    Raises:
        ValueError: it is not of this shape.
    """
    if encoding == "jpeg":
        return _decode_jpeg(content, shape[:2])
    values = np.frombuffer(content, {"uint8": "|u1", "float32": "<f4"}[encoding])
    if values.size != math.prod(shape):
        raise ValueError(f"it holds {values.size} values, expected those of {shape}")
    scale = np.float32(255 if encoding == "uint8" else 1)
    return (values.reshape(shape) / scale).astype(np.float32)


def _decode_jpeg(content: bytes, size: tuple[int, ...]) -> NDArray[np.float32]:
    """Decode a JPEG in three colours of this (height, width), to [0, 1]; no other is decoded."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pictures too large, which are refused here
            with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
                actual = (image.height, image.width)
                fits = actual == tuple(size) and 0 < math.prod(actual) <= LARGEST
                if not fits or image.mode != "RGB":
                    raise ValueError(f"it is {image.mode} of {actual} pixels, its box {size}")
                pixels = np.asarray(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    return (pixels / np.float32(255)).astype(np.float32)


def halves(projection: NDArray[np.float32]) -> tuple[NDArray[np.float16], float]:
    """Encode a projection as float16 and a scale: a power of two, so that only rounding is lost.

    The greatest value comes to lie just below the end of float16: values down to a
    hundred-millionth of it keep 11 bits, an error below a thousandth of each of them.
    """
    height = float(np.abs(projection).max(initial=0.0))
    if not math.isfinite(height):
        raise ValueError(
            "a projection has values that are not finite; look for an overflow in the model"
        )
    scale = 2.0 ** max(math.frexp(height)[1] - _TOP, -126) if height else 1.0
    return (projection.astype(np.float64) / scale).astype("<f2"), scale


def wholes(
    values: NDArray[np.float16], scale: float, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Decode a projection, (*size, channels)."""
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite")
    return (values.astype(np.float64) * scale).astype(np.float32).reshape(shape)


class Spool:
    """Arrays of one type, one after the other, in a temporary file.

    HDF5 must be told the length of a dataset before anything is written, and it is known last.
    """

    def __init__(self, file: BinaryIO, kind: str) -> None:
        self._file, self._kind = file, np.dtype(kind)
        self._count = 0

    def add(self, values: NDArray[np.generic] | bytes) -> int:
        """Append, and return the place of the first value."""
        data = values if isinstance(values, bytes) else values.astype(self._kind).tobytes()
        self._file.write(data)
        first, self._count = self._count, self._count + len(data) // self._kind.itemsize
        return first

    def into(self, group: h5py.Group, name: str) -> None:
        """Write all of it as one contiguous dataset."""
        target = group.create_dataset(name, shape=(self._count,), dtype=self._kind)
        self._file.seek(0)
        step = _PIECE // self._kind.itemsize
        for first in range(0, self._count, step):
            data = self._file.read(step * self._kind.itemsize)
            piece = np.frombuffer(data, dtype=self._kind)
            target[first : first + len(piece)] = piece


def copy_values(source: h5py.Group, target: h5py.Group) -> None:
    """Copy the projections under one policy of another store; HDF5's own copy gives other bytes."""
    for name in ("offset", "scale"):
        target[name] = source[name][()]
    values = source["values"]
    copy = target.create_dataset("values", shape=values.shape, dtype=values.dtype)
    step = _PIECE // values.dtype.itemsize
    for first in range(0, len(values), step):
        copy[first : first + step] = values[first : first + step]
    room = Room(source.file.id.get_filesize())
    write_attributes(target.attrs, read_attributes(source.attrs, room))


@contextmanager
def spooled(folder: Path, kind: str) -> Iterator[Spool]:
    """A spool on the disk of the store."""
    with tempfile.TemporaryFile(dir=folder) as file:
        yield Spool(file, kind)
