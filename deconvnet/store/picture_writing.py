"""Pictures into a store, a layer at a time: what is large goes through the disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from .checked_hdf5 import Room, read_attributes
from .format import write_attributes

_PIECE = 2**22  # bytes that are copied at a time


class Spool:
    """Arrays of one type, one after the other, in a file without a name.

    How many there will be is not known until all are there, and HDF5 must be told before.
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
    """The projections under one policy of another store; HDF5's own copy gives other bytes."""
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
    """A spool on the disk of the store, which has the room if any disk has."""
    with tempfile.TemporaryFile(dir=folder) as file:
        yield Spool(file, kind)
