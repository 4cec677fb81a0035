"""The tables of one layer as groups and datasets of the file: written, and read with checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .checked_hdf5 import Room, dataset_in, group_in, lazy_dataset_in, read_attributes
from .format import (
    AXES,
    COUNTERS,
    DEFAULTS,
    MAX,
    MEAN,
    columns,
    escape,
    unescape,
    write_attributes,
)
from .table import Directions, Entries, LayerTable, Lowest, Sample

_GEOMETRY = ("size", "field", "stride")


@dataclass(frozen=True)
class Kept:
    """What a file holds of each layer, as its attributes say."""

    k: int
    lowest: int
    rank: str
    sample: NDArray[np.int64] | None  # the images (n,); None for no sample

    @staticmethod
    def of(root: h5py.File, attributes: Mapping[str, Any], room: Room) -> Kept:
        """Read the images of the sample, if there is one."""
        first = attributes["format_version"] == 1  # which gave these names no meaning
        told = {**DEFAULTS, **attributes, **(DEFAULTS if first else {})}
        images, n = None, told["sample"]
        if n:
            group = group_in(root, "sample")
            images = dataset_in(group, "image", kind="<i8", shape=(n,), room=room)
        return Kept(told["k"], told["lowest"], told["rank"], images)


def kept_in(table: LayerTable) -> dict[str, object]:
    """The attributes of a file that holds this table; those of all its tables must be the same."""
    return {
        "k": table.k,
        "lowest": table.lowest.k if table.lowest is not None else 0,
        "sample": table.sample.k if table.sample is not None else 0,
        "rank": MAX if table.peak is None else MEAN,
    }


def write_layer(group: h5py.Group, table: LayerTable) -> None:
    """Write all tables of a layer, without pictures."""
    geometry = {name: getattr(table, name) for name in _GEOMETRY}
    write_attributes(group.attrs, {"channels": table.channels, **geometry})
    _write(group, table)
    for name in COUNTERS:
        group[name] = getattr(table, name)
    if table.lowest is not None:
        below = group.create_group("lowest")
        write_attributes(below.attrs, {"of": table.lowest.of, "size": table.lowest.size})
        _write(below, table.lowest)
    if table.sample is not None:
        _write(group.create_group("sample"), table.sample)
    for name, directions in table.directions.items():
        below = group.create_group(f"directions/{escape(name)}")
        write_layer(below, directions)
        below["vector"] = directions.vector


def _write(group: h5py.Group, table: Entries) -> None:
    names = ["activation", "image", *AXES, "box", "peak", "ties"]
    if isinstance(table, Sample):
        names.remove("image")  # of all layers, in /sample
    for name in names:
        if getattr(table, name, None) is not None:
            group[name] = getattr(table, name)


def read_layer(group: h5py.Group, kept: Kept, room: Room) -> LayerTable:
    """Read all tables of a layer."""
    parts = _whole(group, kept, room)
    parts |= _ranges(group, kept, parts, room)
    directions = {}
    if group.get("directions", getlink=True) is not None:
        sets = group_in(group, "directions")
        directions = {unescape(n): _directions(sets, n, kept, parts, room) for n in sets}
    return LayerTable(directions=directions, **parts)


def _ranges(group: h5py.Group, kept: Kept, parts: Mapping[str, Any], room: Room) -> dict[str, Any]:
    """The lowest and the sample beside the strongest."""
    found: dict[str, Any] = {}
    if kept.lowest:
        found["lowest"] = _lowest(group_in(group, "lowest"), kept, parts["channels"], room)
    if kept.sample is not None:
        below, shape = group_in(group, "sample"), (parts["channels"], len(kept.sample))
        read = _columns(below, shape, kept.rank, room=room, image=kept.sample)
        found["sample"] = Sample(channels=shape[0], size=parts["size"], **read)
    return found


def _whole(group: h5py.Group, kept: Kept, room: Room) -> dict[str, Any]:
    """The strongest, the counters and the geometry of a layer, by the names of its table."""
    attributes = read_attributes(group.attrs, room)
    channels, geometry = attributes.get("channels"), [attributes.get(name) for name in _GEOMETRY]
    if not isinstance(channels, int) or not all(isinstance(each, tuple) for each in geometry):
        raise ValueError(f"{group.name} lacks channels or one of {', '.join(_GEOMETRY)}")
    parts = dict(zip(_GEOMETRY, geometry, strict=True)) | {"channels": channels}
    parts |= _columns(group, (channels, kept.k), kept.rank, room=room)
    for name, kind in COUNTERS.items():
        parts[name] = dataset_in(group, name, kind=kind, shape=(channels,), room=room)
    return parts


def _lowest(group: h5py.Group, kept: Kept, channels: int, room: Room) -> Lowest:
    attributes = read_attributes(group.attrs, room)
    of, size = attributes.get("of"), attributes.get("size")
    if not isinstance(of, str) or not isinstance(size, tuple):
        raise ValueError(f"{group.name} lacks its attributes `of` or `size`")
    read = _columns(group, (channels, kept.lowest), kept.rank, room=room)
    return Lowest(channels=channels, of=of, size=size, **read)


def _directions(
    sets: h5py.Group, name: str, kept: Kept, layer: Mapping[str, Any], room: Room
) -> Directions:
    group = group_in(sets, name)
    parts = _whole(group, kept, room)
    shape = (parts["channels"], layer["channels"])
    vector = dataset_in(group, "vector", kind="<f4", shape=shape, room=room)
    there = [name for name in ("lowest", "sample") if group.get(name, getlink=True) is not None]
    told = replace(
        kept,
        lowest=kept.lowest if "lowest" in there else 0,
        sample=kept.sample if "sample" in there else None,
    )
    return Directions(vector=vector, **parts, **_ranges(group, told, parts, room))


def _columns(
    group: h5py.Group,
    shape: tuple[int, int],
    rank: str,
    *,
    room: Room,
    image: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """The datasets of a table of shape (channels, k); ``image`` is given where it is shared."""
    box = lazy_dataset_in(group, "box", kind="<i4", shape=(None, None, None), room=room)
    if box.shape[-1] not in range(2, 2 * len(AXES) + 1, 2):
        raise ValueError(f"{box.name} is {box.shape}, expected two columns for each axis")
    wanted = columns(box.shape[-1] // 2, rank)
    if image is not None:
        del wanted["image"]
    read: dict[str, Any] = {
        name: dataset_in(group, name, kind=kind, shape=(*shape, *rest), room=room)
        for name, (kind, rest) in wanted.items()
    }
    if image is not None:
        return {**read, "image": image}
    if group.get("ties", getlink=True) is not None:
        read["ties"] = dataset_in(group, "ties", kind="<i8", shape=shape[:1], room=room)
    return read
