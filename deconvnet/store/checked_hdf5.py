"""Reading HDF5 that nobody vouches for: every claim is checked before anything is read.

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
    """How much of a file may be read: all that is there, once.

    Args:
        size: of the file, in bytes.
    """

    def __init__(self, size: int) -> None:
        self.size = self.left = size

    def take(self, count: int, where: str) -> None:
        """Note that so many bytes are read.

        Raises:
            ValueError: by now they are more than there are.
        """
        self.left -= count
        if self.left < 0:
            raise ValueError(
                f"{where} and what was read before are more than the {self.size} bytes of the "
                "file: its parts overlap"
            )


def read_attributes(source: h5py.AttributeManager, room: Room) -> dict[str, Any]:
    """Attributes as Python values: str, int, float, a tuple of numbers; dict for JSON.

    One of another kind is passed over unread, unless the format gives its name a meaning.

    Raises:
        ValueError: an attribute of the format of another kind, or broken JSON.
    """
    readable = (name for name in source if name in NAMED or _is_plain(source.get_id(name)))
    return {name: _attribute(source, name, room) for name in readable}


def _is_plain(found: h5py.h5a.AttrID) -> bool:
    """Whether it is one text, a number or a list of numbers."""
    if h5py.check_string_dtype(found.dtype) is not None:
        return bool(found.shape == ())
    return found.dtype.kind in "iufb" and found.shape is not None and len(found.shape) < 2


def _attribute(source: h5py.AttributeManager, name: str, room: Room) -> object:
    found = source.get_id(name)
    shape, dtype = found.shape, found.dtype
    if h5py.check_string_dtype(dtype) is not None and shape == ():
        text = source[name]
        if isinstance(text, str):
            room.take(len(text.encode("utf-8", "surrogateescape")), f"attribute {name!r}")
            return json.loads(text) if name in JSON else text
    elif dtype.kind in "iufb" and shape is not None and len(shape) < 2:
        room.take(math.prod(shape) * dtype.itemsize, f"attribute {name!r}")
        value = source[name]
        return tuple(value.tolist()) if shape else value.item()
    raise ValueError(f"attribute {name!r} is neither text nor numbers")


def group_in(parent: h5py.Group, name: str) -> h5py.Group:
    """A group that is really inside the file.

    Raises:
        ValueError: there is none, or it is a link to somewhere else.
    """
    return _inside(parent, name, h5py.Group)


def dataset_in(
    parent: h5py.Group, name: str, *, kind: str, shape: tuple[int | None, ...], room: Room
) -> NDArray[Any]:
    """Read a dataset that is really inside the file, after all its claims have been checked.

    Args and errors are those of ``lazy_dataset_in``; what is read is taken from the room.
    """
    data = lazy_dataset_in(parent, name, kind=kind, shape=shape, room=room)
    room.take(math.prod(data.shape) * data.dtype.itemsize, data.name)
    return np.asarray(data[()])


def lazy_dataset_in(
    parent: h5py.Group, name: str, *, kind: str, shape: tuple[int | None, ...], room: Room
) -> h5py.Dataset:
    """A dataset that is really inside the file, checked before any of it is read.

    Args:
        parent: where it is.
        name: its name.
        kind: the NumPy type expected, such as "<f4"; "S" for text of any fixed length.
        shape: the shape expected, None for any length.
        room: what there is.

    Raises:
        ValueError: it is not what was expected, or stored elsewhere, or larger than the file.
    """
    data = _inside(parent, name, h5py.Dataset)
    where = data.name
    if data.is_virtual or data.external:
        raise ValueError(f"{where} is stored in another file, which is not read")
    found = data.shape or ()
    right_kind = data.dtype.kind == "S" if kind == "S" else data.dtype == np.dtype(kind)
    if not right_kind or found != tuple(
        there if expected is None else expected
        for there, expected in zip_longest(found[: len(shape)], shape)
    ):
        wanted = tuple("any" if length is None else length for length in shape)
        raise ValueError(f"{where} is {data.dtype} {data.shape}, expected {kind} {wanted}")
    size = math.prod(found) * data.dtype.itemsize
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
    found = parent[name]
    if not isinstance(found, kind):
        raise ValueError(f"{where} is not a {kind.__name__.lower()}")
    return found
