"""What a user has put into a store beside what is the store's own: found, and carried over.

Only what lies in the file itself is copied, piece by piece: numbers as they are, chunks as they
are compressed. No link is followed; a link is written again as a link.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .checked_hdf5 import Room
from .format import CONTENT

_PIECE = 2**22  # bytes that are copied at a time
_TEXTS = 2**28  # bytes that texts read together may take, if each were as long as the file
_POINTER = 16  # bytes that stand in the place of a text of any length
_ANY = "*"


def additions(path: str | PathLike[str]) -> list[str]:
    """The groups, datasets and links in a store that are not its own; nothing of them is read.

    Attributes are not among them.

    Raises:
        OSError: the file cannot be read.
    """
    found: list[str] = []
    with Path(path).open("rb") as stream, h5py.File(stream, "r") as root:
        left: list[tuple[h5py.Group, Mapping[str, Any]]] = [(root, CONTENT)]
        while left:
            group, known = left.pop()
            for name in group:
                below = known.get(name, known.get(_ANY))
                link = group.get(name, getlink=True)
                if below is None or not isinstance(link, h5py.HardLink):
                    found.append(f"{group.name.rstrip('/')}/{name}")
                elif isinstance(group[name], h5py.Group):
                    left.append((group[name], below))
    return sorted(found)


def check_additions(path: str | PathLike[str]) -> None:
    """See that all that is in a file could be carried over, before long work.

    Raises:
        ValueError: something could not; the message names it.
    """
    with Path(path).open("rb") as stream, h5py.File(stream, "r") as root:
        for thing in _every(root):
            _check(thing)


def carry_over(path: str | PathLike[str], target: h5py.File) -> None:
    """Copy all groups, datasets, links and attributes that a new store does not have itself.

    Args:
        path: the old store.
        target: the new one, whole but for what is copied, and open for writing.

    Raises:
        ValueError: something cannot be carried over, or the file is not what it says.
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb") as stream, h5py.File(stream, "r") as source:
        _Copier(Room(size)).run(source, target)


class _Copier:
    """Copies each object once, whatever number of names it has."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._made: dict[int, Any] = {}  # address in the old file → object in the new one

    def run(self, source: h5py.File, target: h5py.File) -> None:
        """All that is missing; first it is noted what is there, since names may point to it."""
        missing: list[tuple[h5py.Group, str, h5py.Group]] = []
        there = [(source["/"], target["/"])]
        while there:
            old, new = there.pop()
            self._made[_address(old)] = new
            self._attributes(old, new)
            if not isinstance(old, h5py.Group) or not isinstance(new, h5py.Group):
                continue
            for name in old:
                linked = isinstance(old.get(name, getlink=True), h5py.HardLink)
                if linked and new.get(name, getlink=True) is not None:
                    there.append((old[name], new[name]))
                else:
                    missing.append((old, name, new))
        missing.reverse()
        while missing:
            missing += reversed(list(self._copy(*missing.pop())))

    def _copy(
        self, parent: h5py.Group, name: str, target: h5py.Group
    ) -> Iterator[tuple[h5py.Group, str, h5py.Group]]:
        """One thing; of a group, what is in it is still to be copied."""
        link = parent.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            target[name] = link
            return
        old = parent[name]
        new = self._made.get(_address(old))
        if new is not None:
            target[name] = new
            return
        _check(old)
        if isinstance(old, h5py.Datatype):
            target[name] = old.dtype
        elif isinstance(old, h5py.Dataset):
            self._dataset(old, name, target)
        else:
            created = target.create_group(name)
            yield from ((old, below, created) for below in old)
        self._made[_address(old)] = target[name]
        self._attributes(old, target[name])

    def _dataset(self, old: h5py.Dataset, name: str, target: h5py.Group) -> None:
        properties = old.id.get_create_plist()
        properties.set_obj_track_times(False)  # the same content, the same bytes
        kind, space = old.id.get_type().copy(), old.id.get_space()
        new = h5py.Dataset(h5py.h5d.create(target.id, name.encode(), kind, space, properties))
        if old.shape is None or not old.id.get_storage_size():
            return  # declared, and never written
        if old.dtype.hasobject:
            for piece in _pieces(old.shape, _PIECE // self._texts()):
                values = np.asarray(old[piece])
                self._room.take(sum(map(len, values.ravel())), old.name)
                new[piece] = values
        elif old.chunks is not None:
            for number in range(old.id.get_num_chunks()):
                chunk = old.id.get_chunk_info(number)
                self._room.take(chunk.size, old.name)
                mask, data = old.id.read_direct_chunk(chunk.chunk_offset)
                new.id.write_direct_chunk(chunk.chunk_offset, data, mask)
        else:
            self._room.take(math.prod(old.shape) * old.dtype.itemsize, old.name)
            for piece in _pieces(old.shape, old.dtype.itemsize):
                new[piece] = old[piece]

    def _texts(self) -> int:
        """How many texts are read together."""
        return min(4096, max(1, _TEXTS // self._room.size))

    def _attributes(self, old: Any, new: Any) -> None:
        for name in old.attrs:
            if name in new.attrs:
                continue
            found = old.attrs.get_id(name)
            if found.shape is None:
                new.attrs[name] = old.attrs[name]
                continue
            if not found.dtype.hasobject:
                self._room.take(math.prod(found.shape) * found.dtype.itemsize, f"{name!r}")
            value = old.attrs[name]
            if found.dtype.hasobject:
                texts = [value] if isinstance(value, str | bytes) else np.ravel(value).tolist()
                self._room.take(sum(map(len, texts)), f"attribute {name!r} of {old.name}")
            new.attrs.create(name, value, shape=found.shape, dtype=found.dtype)


def _every(root: h5py.Group) -> Iterator[Any]:
    """Every object of a file once; no link is followed."""
    seen, left = set(), [root]
    while left:
        thing = left.pop()
        if _address(thing) in seen:
            continue
        seen.add(_address(thing))
        yield thing
        if isinstance(thing, h5py.Group):
            names = [n for n in thing if isinstance(thing.get(n, getlink=True), h5py.HardLink)]
            left += [thing[name] for name in names]


def _check(thing: Any) -> None:
    """What lies elsewhere, or points to places in this file, cannot be copied to another."""
    kinds = [(f"attribute {name}", thing.attrs.get_id(name)) for name in thing.attrs]
    kinds += [("its values", thing)] if isinstance(thing, h5py.Dataset) else []
    odd = [name for name, kind in kinds if kind.dtype.hasobject and not _is_text(kind.dtype)]
    reason = f"{odd[0]}: references or lists of varying length" if odd else ""
    if isinstance(thing, h5py.Dataset):
        reason = _elsewhere(thing) or reason or _absent(thing)
    if reason:
        raise ValueError(
            f"{thing.name!r} was added to the store and cannot be carried over to a new file "
            f"({reason}); copy it to a file of its own, and delete it from the store"
        )


def _elsewhere(data: h5py.Dataset) -> str:
    return "its values are in another file" if data.is_virtual or data.external else ""


def _absent(data: h5py.Dataset) -> str:
    """A contiguous dataset is written whole, or not at all."""
    count = 0 if data.shape is None else math.prod(data.shape)
    declared = count * (_POINTER if data.dtype.hasobject else data.dtype.itemsize)
    whole = data.chunks is not None or data.id.get_storage_size() in (0, declared)
    return "" if whole else "it declares values that are not in the file"


def _is_text(kind: np.dtype[Any]) -> bool:
    return h5py.check_string_dtype(kind) is not None


def _address(thing: Any) -> int:
    return int(h5py.h5o.get_info(thing.id).addr)


def _pieces(shape: tuple[int, ...], itemsize: int) -> Iterator[tuple[slice, ...]]:
    """Parts of an array, in order, none larger than a piece unless one value is."""
    left = [tuple(slice(0, length) for length in shape)]
    while left:
        part = left.pop()
        lengths = [s.stop - s.start for s in part]
        size = math.prod(lengths) * itemsize
        if size <= _PIECE or max(lengths, default=1) <= 1:
            yield part
            continue
        axis = next(i for i, length in enumerate(lengths) if length > 1)
        step = max(1, lengths[axis] * _PIECE // size)
        first, last = part[axis].start, part[axis].stop
        parts = [slice(a, min(a + step, last)) for a in range(first, last, step)]
        left += [(*part[:axis], cut, *part[axis + 1 :]) for cut in reversed(parts)]
