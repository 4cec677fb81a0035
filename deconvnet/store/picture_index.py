"""Where the pictures of a layer stand in a store: offsets, which have been checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import h5py
import numpy as np
from numpy.typing import NDArray

from .checked_hdf5 import Room, dataset_in, group_in, lazy_dataset_in, read_attributes
from .format import unescape
from .table import LayerTable


@dataclass(frozen=True, eq=False)
class Patches:
    """Where the patches of a layer stand in its bytes."""

    offset: NDArray[np.int64]
    """(channels, k), -1 where there is none"""
    length: NDArray[np.int32]
    """(channels, k), in bytes"""


@dataclass(frozen=True, eq=False)
class Projections:
    """Where the projections of a layer under one policy stand in its values."""

    offset: NDArray[np.int64]
    """(channels, k), -1 where there is none"""
    scale: NDArray[np.float32]
    """(channels, k): what the values of a projection are multiplied by"""
    channels: int
    """of a pixel"""
    elsewhere: str
    """what happened at activations that the policy has no rule for; empty for an error"""


@dataclass(frozen=True, eq=False)
class Pictures:
    """What is stored of a layer's pictures."""

    overhang: NDArray[np.int32]
    """(channels, k, 2): rows above and columns left of the box, where the image cuts the field"""
    patches: Patches
    projections: Mapping[str, Projections] = field(default_factory=dict)
    """by the name of the policy"""


def read_index(group: h5py.Group, table: LayerTable, room: Room) -> Pictures | None:
    """What a layer's group holds of pictures; None if it holds none.

    Args:
        group: of the layer.
        table: its entries.
        room: what there is to read.

    Raises:
        ValueError: a part is missing, is of other entries than those of a positive activation,
            or points out of what is there.
    """
    if group.get("patch", getlink=True) is None:  # `in` would follow a link out of the file
        return None
    shape, lit = table.image.shape, table.lit
    overhang = dataset_in(group, "overhang", kind="<i4", shape=(*shape, 2), room=room)
    part = group_in(group, "patch")
    offset = dataset_in(part, "offset", kind="<i8", shape=shape, room=room)
    length = dataset_in(part, "length", kind="<i4", shape=shape, room=room)
    stored = lazy_dataset_in(part, "bytes", kind="|u1", shape=(None,), room=room)
    _check(part, offset, length.astype("i8"), lit, stored=len(stored))
    if ((overhang >= 0) != lit[..., None]).any() or (overhang < -1).any():
        raise ValueError(f"{group.name}/overhang is not of the entries of a positive activation")
    projections = {}
    if group.get("projection", getlink=True) is not None:
        policies = group_in(group, "projection")
        for name in policies:
            found = _read_projections(group_in(policies, name), table, room)
            projections[unescape(name)] = found
    return Pictures(overhang, Patches(offset, length), projections)


def _read_projections(part: h5py.Group, table: LayerTable, room: Room) -> Projections:
    box = table.box
    offset = dataset_in(part, "offset", kind="<i8", shape=box.shape[:2], room=room)
    scale = dataset_in(part, "scale", kind="<f4", shape=box.shape[:2], room=room)
    stored = lazy_dataset_in(part, "values", kind="<f2", shape=(None,), room=room)
    how = read_attributes(part.attrs, room)
    channels, elsewhere = how.get("channels"), how.get("elsewhere")
    if not isinstance(channels, int) or not 0 < channels < 2**16 or not isinstance(elsewhere, str):
        raise ValueError(f"{part.name} lacks its channels or what happened elsewhere")
    sides = np.clip(box[..., 2:].astype("i8") - box[..., :2], 0, 2**20)  # a product fits in i8
    length = sides.prod(-1) * channels
    _check(part, offset, length, table.lit, stored=len(stored))
    _check_apart(part, offset, length)
    if not (np.isfinite(scale) & (scale > 0))[offset >= 0].all():
        raise ValueError(f"{part.name} has a scale that is not a positive number")
    return Projections(offset, scale, channels, elsewhere)


def _check(
    part: h5py.Group,
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    lit: NDArray[np.bool_],
    *,
    stored: int,
) -> None:
    """Pictures are inside of what is stored, and of all entries of a positive activation."""
    there = offset >= 0
    known, first = length[there], offset[there]
    if (offset < -1).any() or (known < 1).any() or (first > stored - known).any():
        raise ValueError(f"{part.name} points out of the {stored} values that it holds")
    if (there != lit).any():
        raise ValueError(f"{part.name} is not of the entries of a positive activation")


def _check_apart(part: h5py.Group, offset: NDArray[np.int64], length: NDArray[np.int64]) -> None:
    """No two projections share a value: the file would be smaller than what it holds."""
    there = offset >= 0
    order = np.argsort(offset[there])
    first, last = offset[there][order], (offset + length)[there][order]
    if (first[1:] < last[:-1]).any():
        raise ValueError(f"{part.name} has projections that overlap")
