"""Where the pictures of a layer stand in a store: the offsets, checked against the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce

import h5py
import numpy as np
from numpy.typing import NDArray

from deconvnet.arguments import Brief

from .checked_hdf5 import Room, dataset_in, group_in, lazy_dataset_in, read_attributes
from .format import unescape
from .picture_codec import ENCODINGS
from .table import Entries, LayerTable


@dataclass(frozen=True, eq=False)
class Patches(Brief):
    """Where the patches of a layer stand in its bytes."""

    offset: NDArray[np.int64]
    """(channels, k), -1 where there is none"""
    length: NDArray[np.int32]
    """(channels, k), in bytes"""
    channels: int = 3
    """of a pixel"""
    encoding: str = "jpeg"
    """one of ``picture_codec.ENCODINGS``"""


@dataclass(frozen=True, eq=False)
class Projections(Brief):
    """Where the projections of a layer under one policy stand in its values."""

    offset: NDArray[np.int64]
    """(channels, k), -1 where there is none"""
    scale: NDArray[np.float32]
    """(channels, k): what the values of a projection are multiplied by"""
    channels: int
    """of a pixel"""
    fallback: str
    """what happened at activations that the policy has no rule for; empty for an error"""


@dataclass(frozen=True, eq=False)
class PictureIndex(Brief):
    """What is stored of a layer's pictures."""

    overhang: NDArray[np.int32]
    """(channels, k, D): pixels before the box where the image cuts the field: rows above"""
    patches: Patches
    projections: Mapping[str, Projections] = field(default_factory=dict)
    """by the name of the policy"""
    others: Mapping[str, PictureIndex] = field(default_factory=dict)
    """of the layer's other tables, by where they stand, see ``LayerTable.every``"""

    def at(self, path: str) -> PictureIndex | None:
        """Of one of the layer's tables, by where it stands; None if there are no pictures of it."""
        return self.others.get(path) if path else self


def read_pictures(group: h5py.Group, table: LayerTable, room: Room) -> PictureIndex | None:
    """Read where the pictures of all tables of a layer stand; None if its group holds none."""
    own = read_index(group, table, room)
    if own is None:
        return None
    others = {
        path: index
        for path, each in table.every.items()
        if path and (index := read_index(group_at(group, path), each, room))
    }
    return replace(own, others=others)


def group_at(group: h5py.Group, path: str) -> h5py.Group:
    """The group at a path of several names, "" for itself; no link out of the file is followed."""
    return reduce(group_in, path.split("/"), group) if path else group


def read_index(group: h5py.Group, table: Entries, room: Room) -> PictureIndex | None:
    """Read where the pictures of a table stand; None if its group holds none."""
    if group.get("patch", getlink=True) is None:  # `in` would follow a link out of the file
        return None
    shape, shown = table.box.shape[:2], table.has_picture
    overhang = dataset_in(group, "overhang", kind="<i4", shape=(*shape, table.axes), room=room)
    part = group_in(group, "patch")
    offset = dataset_in(part, "offset", kind="<i8", shape=shape, room=room)
    length = dataset_in(part, "length", kind="<i4", shape=shape, room=room)
    stored = lazy_dataset_in(part, "bytes", kind="|u1", shape=(None,), room=room)
    _check(part, offset, length.astype("i8"), shown, stored=len(stored))
    if ((overhang >= 0) != shown[..., None]).any() or (overhang < -1).any():
        raise ValueError(f"{group.name}/overhang is not of the entries that have pictures")
    projections = {}
    if group.get("projection", getlink=True) is not None:
        policies = group_in(group, "projection")
        for name in policies:
            part = group_in(policies, name)
            projections[unescape(name)] = _read_projections(part, table, room)
    how = read_attributes(group_in(group, "patch").attrs, room)
    channels, encoding = how.get("channels", 3), how.get("encoding", "jpeg")
    if not _is_count(channels) or encoding not in ENCODINGS:
        raise ValueError(f"{group.name}/patch has channels={channels!r}, encoding={encoding!r}")
    patches = Patches(offset, length, int(str(channels)), str(encoding))
    return PictureIndex(overhang, patches, projections)


def _is_count(channels: object) -> bool:
    return isinstance(channels, int) and 0 < channels < 2**16


def _read_projections(part: h5py.Group, table: Entries, room: Room) -> Projections:
    box = table.box
    offset = dataset_in(part, "offset", kind="<i8", shape=box.shape[:2], room=room)
    scale = dataset_in(part, "scale", kind="<f4", shape=box.shape[:2], room=room)
    stored = lazy_dataset_in(part, "values", kind="<f2", shape=(None,), room=room)
    how = read_attributes(part.attrs, room)
    channels, fallback = how.get("channels"), how.get("elsewhere")
    if not (isinstance(channels, int) and _is_count(channels) and isinstance(fallback, str)):
        raise ValueError(f"{part.name} lacks its attributes `channels` or `elsewhere` (fallback)")
    starts, ends = np.split(box.astype("i8"), 2, axis=-1)
    sides = np.clip(ends - starts, 0, 2**20)  # a product fits in i8
    length = sides.prod(-1) * channels
    _check(part, offset, length, table.has_picture, stored=len(stored))
    there = offset >= 0
    order = np.argsort(offset[there])
    first, last = offset[there][order], (offset + length)[there][order]
    if (first[1:] < last[:-1]).any():  # the file would be smaller than what it holds
        raise ValueError(f"{part.name} has projections that overlap")
    if not (np.isfinite(scale) & (scale > 0))[there].all():
        raise ValueError(f"{part.name} has a scale that is not a positive number")
    return Projections(offset, scale, channels, fallback)


def _check(
    part: h5py.Group,
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    shown: NDArray[np.bool_],
    *,
    stored: int,
) -> None:
    """Check that pictures lie inside of what is stored, one for each entry that has one."""
    there = offset >= 0
    known, first = length[there], offset[there]
    if (offset < -1).any() or (known < 1).any() or (first > stored - known).any():
        raise ValueError(f"{part.name} points out of the {stored} values that it holds")
    if (there != shown).any():
        raise ValueError(f"{part.name} is not of the entries that have pictures")
