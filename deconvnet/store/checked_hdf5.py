"""Read untrusted HDF5: type, shape, size and storage are checked before anything is read.

An untrusted file may name a password file as its storage, declare terabytes, or let a thousand
names point to the same megabytes.
"""

from __future__ import annotations

import json
import math
from itertools import zip_longest
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .format import JSON, NAMED


class Room:
    """The bytes of a file of this size that may still be read: each of them once."""

    def __init__(self, size: int) -> None:
        self.size = self.left = size

    def take(self, count: int, where: str) -> None:
        """Deduct bytes that are read; ValueError if more are read than the file has."""
        self.left -= count
        if self.left < 0:
            raise ValueError(
                f"{where} and what was read before are more than the {self.size} bytes of the "
                "file: its parts overlap"
            )


def read_attributes(source: h5py.AttributeManager, room: Room) -> dict[str, Any]:
    """Attributes as Python values: str, int, float, a tuple of numbers; dict for JSON.

    One of another kind is passed over unread; an error if the format gives its name a meaning.
    """
    attributes: dict[str, Any] = {}
    for name in source:
        shape, dtype = source.get_id(name).shape, source.get_id(name).dtype
        text = h5py.check_string_dtype(dtype)
        if text is not None and text.length is None and shape == ():
            value = source[name]
            room.take(len(value.encode("utf-8", "surrogateescape")), f"attribute {name!r}")
            attributes[name] = json.loads(value) if name in JSON else value
        elif dtype.kind in "iufb" and shape is not None and len(shape) < 2:
            room.take(math.prod(shape) * dtype.itemsize, f"attribute {name!r}")
            value = source[name]
            attributes[name] = tuple(value.tolist()) if shape else value.item()
        elif name in NAMED:
            raise ValueError(f"attribute {name!r} is neither text nor numbers")
    return attributes


def group_in(parent: h5py.Group, name: str) -> h5py.Group:
    """Open a group, which must be inside the file."""
    return _inside(parent, name, h5py.Group)


def dataset_in(
    parent: h5py.Group, name: str, *, kind: str, shape: tuple[int | None, ...], room: Room
) -> NDArray[Any]:
    """Read a dataset, checked as by ``lazy_dataset_in``, and take its bytes from the room."""
    data = lazy_dataset_in(parent, name, kind=kind, shape=shape, room=room)
    room.take(math.prod(data.shape) * data.dtype.itemsize, data.name)
    return np.asarray(data[()])


def lazy_dataset_in(
    parent: h5py.Group, name: str, *, kind: str, shape: tuple[int | None, ...], room: Room
) -> h5py.Dataset:
    """Open a dataset after a check of its type, shape, size and storage, without reading it.

    Args:
        parent: where it is.
        name: its name.
        kind: the NumPy type expected, such as "<f4"; "S" for text of any fixed length.
        shape: the shape expected, None for any length.
        room: which must be as large as the dataset says that it is.
    """
    data = _inside(parent, name, h5py.Dataset)
    where = data.name
    if data.is_virtual or data.external:
        raise ValueError(f"{where} is stored in another file, which is not read")
    actual = data.shape or ()
    right_kind = data.dtype.kind == "S" if kind == "S" else data.dtype == np.dtype(kind)
    if not right_kind or actual != tuple(
        there if expected is None else expected
        for there, expected in zip_longest(actual[: len(shape)], shape)
    ):
        wanted = tuple("any" if length is None else length for length in shape)
        raise ValueError(f"{where} is {data.dtype} {data.shape}, expected {kind} {wanted}")
    size = math.prod(actual) * data.dtype.itemsize
    if data.chunks or data.id.get_storage_size() != size or size > room.size:
        raise ValueError(f"{where} declares {size} bytes that are not in the file as they are")
    return data


def _inside(parent: h5py.Group, name: str, kind: type) -> Any:
    link = parent.get(name, getlink=True)
    where = f"{parent.name.rstrip('/')}/{name}"
    if link is None:
        raise ValueError(f"{where} is missing")
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{where} is a link to somewhere else, which is not followed")
    thing = parent[name]
    if not isinstance(thing, kind):
        raise ValueError(f"{where} is not a {kind.__name__.lower()}")
    return thing
