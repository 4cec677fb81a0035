"""Receptive fields: windows propagated backward through the graph, which is exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils import _pytree as pytree

from deconvnet.layers import Interval, Window
from deconvnet.layers.window import FAR, clipped, union, unseen
from deconvnet.units import Box

from .field_probes import Field, Probe
from .geometry import Geometry

UNITS = 4096  # carried down at a time

Span = tuple[NDArray[np.int64], NDArray[np.int64]]  # starts and stops, (units, axes of the image)


def boxes(
    geometry: Geometry,
    layer: str,
    positions: Sequence[Sequence[int]] | NDArray[Any],
    *,
    channels: Any = None,
    clip: bool = True,
) -> Span:
    """The pixels that units see, clipped to the image.

    Ranges are carried from the unit down every path of the graph and united where paths meet
    (Araujo 2019 gives the recurrence for one path).

    Args:
        geometry: of images of this size up to the layer.
        layer: node name.
        positions: (units, axes) place of each unit; (units, 0) for layers without positions.
        channels: (units,) channel of each unit, where only its own paths count; None for the
            union over all channels.
        clip: False for the pixels of an image without borders.

    Returns:
        starts and stops, each (units, axes of the image).
    """
    return _spans(geometry, {layer: positions}, channels=channels, clip=clip)[layer]


def box(
    geometry: Geometry, layer: str, position: Sequence[int], *, channel: int | None = None
) -> Box:
    """The pixels that one unit sees, clipped to the image."""
    channels = None if channel is None else [channel]
    return boxes_of(geometry, layer, [position], channels=channels)[0]


def boxes_of(
    geometry: Geometry, layer: str, positions: Sequence[Sequence[int]], *, channels: Any = None
) -> list[Box]:
    """``boxes``, as a list."""
    return _boxed(boxes(geometry, layer, positions, channels=channels))


def central_boxes(geometry: Geometry, layers: Sequence[str]) -> dict[str, Box]:
    """The pixels that the central unit of each of many layers sees, clipped to the image."""
    centres = {layer: [[n // 2 for n in geometry.sizes[layer][2:]]] for layer in layers}
    spans = _spans(geometry, centres, clip=True)
    return {layer: _boxed(spans[layer])[0] for layer in layers}


def overhang(
    geometry: Geometry, layer: str, positions: Sequence[Sequence[int]]
) -> list[tuple[int, ...]]:
    """How far to the inside of a layer's full field the clipped boxes of its units begin.

    To lay clipped crops on one canvas: that of the field where it is smaller than the image, else
    that of the image.

    Returns:
        For each unit the cells before its box, one number an axis of the image.
    """
    starts, _ = boxes(geometry, layer, positions)
    full, _ = _spans(geometry, {layer: positions}, clip=False)[layer]
    smaller = np.less(field(geometry, layer).size, geometry.sizes[geometry.input][2:])
    return list(map(tuple, (starts - np.where(smaller, full, 0)).tolist()))


def field(geometry: Geometry, layer: str) -> Field:
    """Size and stride of a layer's receptive field, as if the image had no border."""
    return of_layers(geometry, [layer])[layer]


def of_layers(geometry: Geometry, layers: Sequence[str]) -> dict[str, Field]:
    """The receptive fields of many layers, in few passes down the graph."""
    image = geometry.sizes[geometry.input][2:]
    probes = {name: Probe(geometry.sizes[name][2:]) for name in layers}
    fields: dict[str, Field] = {}
    some: dict[str, Any] = {}
    for layer, probe in probes.items():  # carried down together: not many, and neighbours
        some[layer] = probe.places
        if sum(map(len, some.values())) >= UNITS or layer == [*probes][-1]:
            spans, some = _spans(geometry, some, clip=False), {}
            fields |= {name: probes[name].field(*span, image) for name, span in spans.items()}
    return fields


def _boxed(span: Span) -> list[Box]:
    pairs = zip(span[0].tolist(), span[1].tolist(), strict=True)
    return [Box(tuple(start), tuple(stop)) for start, stop in pairs]


def _spans(
    geometry: Geometry, places: Mapping[str, Any], *, clip: bool, channels: Any = None
) -> dict[str, Span]:
    """What units of some layers, {layer: (units, axes) positions}, see, propagated together.

    ``clip``: every window to its map, and to the image at last. ``channels``: (units,) of all of
    them; None for all channels.
    """
    count = sum(map(len, places.values()))
    seeds, rows, first = {}, {}, 0
    for layer, positions in places.items():
        own = rows[layer] = slice(first, first := first + len(positions))
        axes = len(positions[0]) if len(positions) else max(0, len(geometry.sizes[layer]) - 2)
        at = np.asarray(positions, dtype=np.int64).reshape(len(positions), axes).T
        start, stop = np.zeros((2, 2 + len(at), count), dtype=np.int64)  # the others see nothing
        start[:2, own], stop[:2, own] = -FAR, FAR
        start[2:, own], stop[2:, own] = at, at + 1
        if channels is not None:
            start[1, own], stop[1, own] = channels, np.asarray(channels) + 1
        seeds[layer] = tuple(Interval(a, b) for a, b in zip(start, stop, strict=True))
    seen = _propagate(geometry, seeds, clip=clip)[2:]
    starts = np.stack([np.broadcast_to(i.start, count) for i in seen], axis=1)
    stops = np.stack([np.broadcast_to(i.stop, count) for i in seen], axis=1)
    if clip:
        lengths = geometry.sizes[geometry.input][2:]
        starts = np.clip(starts, 0, lengths)
        stops = np.clip(stops, starts, lengths)  # empty where a unit sees padding alone
    return {layer: (starts[own], stops[own]) for layer, own in rows.items()}


def _propagate(geometry: Geometry, seeds: Mapping[str, Window], *, clip: bool) -> Window:
    """Carry windows of layers down to the images."""
    seen: dict[str, Any] = {geometry.input: seeds.get(geometry.input)}
    for step in reversed(geometry.steps):
        above = _joined(seen.pop(step.name, None), seeds.get(step.name), None)
        if above is None:
            continue
        below = step.layer.window(above, step.record)
        blind = False if all(part is above for part in below) else _blind(above)
        here = geometry.sizes.get(step.name)
        for source, part in zip(step.sources, below, strict=True):
            if source is None or (part and _is_window(part) and unseen(part)):
                continue
            size, other = geometry.sizes.get(source) if clip else None, seen.get(source)
            if part is above and other is None and size == here:
                seen[source] = above  # it looks at the same places, which are on the map
            else:
                seen[source] = _joined(other, _hidden(part, blind), size)
    image = geometry.sizes[geometry.input]
    nothing = tuple(Interval(np.int64(0), np.int64(0)) for _ in image)
    arrived: Window | None = seen.get(geometry.input)
    return nothing if arrived is None else arrived


def _is_window(seen: Any) -> bool:
    """Whether this is one window and no container of some: intervals, or None for nothing."""
    if seen is None or isinstance(seen, dict):
        return seen is None
    return all(isinstance(part, Interval) for part in seen)


def _blind(seen: Any) -> Any:
    """True for units that see nothing: each of their windows is empty along some axis."""
    if isinstance(seen, tuple) and _is_window(seen) and not any([i.some_empty for i in seen]):
        return False
    windows = pytree.tree_leaves(seen, is_leaf=_is_window)
    empty = [_stacked([np.False_, *(i.empty for i in w)]).any(0) for w in windows if w is not None]
    return _stacked([np.True_, *empty]).all(0)


def _stacked(flags: Sequence[Any]) -> NDArray[np.bool_]:
    return np.stack(np.broadcast_arrays(*flags))


def _hidden(seen: Any, blind: Any) -> Any:
    """What is seen, but nothing by units that saw nothing above, whatever the layer says."""

    def hidden(window: Window | None) -> Window | None:
        if window is None:
            return None
        return tuple(Interval(i.start, np.where(blind, i.start, i.stop)) for i in window)

    if blind is False or not np.any(blind):
        return seen
    return pytree.tree_map(hidden, seen, is_leaf=_is_window)


def _joined(one: Any, other: Any, size: Any) -> Any:
    """The union of what two readers of a node see; of a container's entries, entry by entry."""
    if one is None or other is None:
        both = other if one is None else one
    elif _is_window(one):
        both = union(one, other)
    elif isinstance(one, dict):
        both = {key: _joined(one[key], other[key], None) for key in one}
    else:
        both = tuple(_joined(a, b, None) for a, b in zip(one, other, strict=True))
    return clipped(both, size) if size is not None and both is not None else both
