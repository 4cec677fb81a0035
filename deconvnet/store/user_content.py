"""Find what a user has added to a store, and copy it to the file that replaces it.

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
    """The names of groups, datasets and links, not attributes, that are no part of the format."""
    added: list[str] = []
    with Path(path).open("rb") as stream, h5py.File(stream, "r") as root:
        told = {name: root.attrs.get(name) for name in ("lowest", "sample")}
        mine = {name for name, n in told.items() if not isinstance(n, np.integer) or n < 1}
        left: list[tuple[h5py.Group, Mapping[str, Any]]] = [(root, CONTENT)]
        while left:
            group, known = left.pop()
            for name in group:
                below = known.get(name, known.get(_ANY))
                if name in known and name in mine:  # in an older file it had no meaning
                    below = None
                link = group.get(name, getlink=True)
                if below is None or not isinstance(link, h5py.HardLink):
                    added.append(f"{group.name.rstrip('/')}/{name}")
                elif isinstance(group[name], h5py.Group):
                    left.append((group[name], below))
    return sorted(added)


def check_additions(path: str | PathLike[str]) -> None:
    """Check that everything in a file can be carried over, before long work."""
    with Path(path).open("rb") as stream, h5py.File(stream, "r") as root:
        for thing in _every(root):
            _check(thing)


def carry_over(path: str | PathLike[str], target: h5py.File) -> None:
    """Copy from an old store all groups, datasets, links and attributes that the new one lacks."""
    size = Path(path).stat().st_size
    with Path(path).open("rb") as stream, h5py.File(stream, "r") as source:
        _Copier(Room(size)).run(source, target)


class _Copier:
    """Copies each object once, whatever number of names it has."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._made: dict[int, Any] = {}  # address in the old file → object in the new one

    def run(self, source: h5py.File, target: h5py.File) -> None:
        """Copy what is missing; first note what is there, since other names may point to it."""
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
        """Copy one object; of a group, yield what is in it, still to be copied."""
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
            texts = min(4096, max(1, _TEXTS // self._room.size))  # that are read together
            for piece in _pieces(old.shape, _PIECE // texts):
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

    def _attributes(self, old: Any, new: Any) -> None:
        for name in old.attrs:
            if name in new.attrs:
                continue
            kind, where = old.attrs.get_id(name), f"attribute {name!r} of {old.name}"
            if kind.shape is None:
                new.attrs[name] = old.attrs[name]
                continue
            if not kind.dtype.hasobject:
                self._room.take(math.prod(kind.shape) * kind.dtype.itemsize, where)
            value = old.attrs[name]
            if kind.dtype.hasobject:
                texts = [value] if isinstance(value, str | bytes) else np.ravel(value).tolist()
                self._room.take(sum(map(len, texts)), where)
            new.attrs.create(name, value, shape=kind.shape, dtype=kind.dtype)


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
    """Refuse what lies in another file, or holds references: neither can be copied."""
    kinds = [(f"attribute {name}", thing.attrs.get_id(name)) for name in thing.attrs]
    kinds += [("its values", thing)] if isinstance(thing, h5py.Dataset) else []
    reason = ""
    for name, kind in kinds:
        if kind.dtype.hasobject and h5py.check_string_dtype(kind.dtype) is None:
            reason = reason or f"{name}: references or lists of varying length"
    if isinstance(thing, h5py.Dataset):
        itemsize = _POINTER if thing.dtype.hasobject else thing.dtype.itemsize
        declared = 0 if thing.shape is None else math.prod(thing.shape) * itemsize
        # a contiguous dataset is written whole, or not at all
        whole = thing.chunks is not None or thing.id.get_storage_size() in (0, declared)
        if thing.is_virtual or thing.external:
            reason = "its values are in another file"
        elif not whole:
            reason = reason or "it declares values that are not in the file"
    if reason:
        raise ValueError(
            f"{thing.name!r} was added to the store and cannot be carried over to a new file "
            f"({reason}); copy it to a file of its own, and delete it from the store"
        )


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
