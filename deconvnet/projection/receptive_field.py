"""Receptive fields: windows composed down the graph, exact by range propagation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils import _pytree as pytree

from deconvnet.layers import Interval, Window
from deconvnet.layers.window import FAR, clipped, union
from deconvnet.units import Box, Unit, by_layer

from .field_probes import Field, Probe, uneven
from .geometry import Geometry

UNITS = 4096  # carried down at a time


def boxes(
    geometry: Geometry,
    layer: str,
    positions: Sequence[Sequence[int]] | NDArray[Any],
    *,
    channels: Any = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pixels that units of one layer see, clipped to the image.

    Ranges are carried from the unit down every path of the graph and united where paths meet
    (Araujo 2019 gives the recurrence for one path).

    Args:
        geometry: of images of this size up to the layer.
        layer: node name.
        positions: (units, axes) place of each unit; (units, 0) for layers without positions.
        channels: (units,) channel of each unit, where only its own paths count; None for the
            union over all channels.

    Returns:
        starts and stops, each (units, axes of the image).
    """
    axes = len(positions[0]) if len(positions) else max(0, len(geometry.sizes[layer]) - 2)
    places = np.asarray(positions, dtype=np.int64).reshape(len(positions), axes)
    channel = Interval.whole() if channels is None else Interval.at(channels)
    window = (Interval.whole(), channel, *(Interval.at(p) for p in places.T))
    seen = _propagate(geometry, {layer: window}, clip=True)
    return _on_the_image(seen, len(places), geometry)


def box(
    geometry: Geometry, layer: str, position: Sequence[int], *, channel: int | None = None
) -> Box:
    """The pixels that one unit sees, clipped to the image."""
    channels = None if channel is None else [channel]
    starts, stops = boxes(geometry, layer, [position], channels=channels)
    return Box(tuple(starts[0].tolist()), tuple(stops[0].tolist()))


def unit_boxes(geometry: Geometry, units: Sequence[Unit]) -> list[Box]:
    """The pixels that units see, clipped to the image.

    Args:
        geometry: of images of this size up to their layers.
        units: of any layers, with their positions.
    """
    seen: dict[int, Box] = {}
    for layer, members in by_layer(units).items():
        places = [units[i].position or () for i in members]
        channels = [units[i].channel for i in members]
        starts, stops = boxes(geometry, layer, places, channels=channels)
        for i, start, stop in zip(members, starts.tolist(), stops.tolist(), strict=True):
            seen[i] = Box(tuple(start), tuple(stop))
    return [seen[i] for i in range(len(units))]


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
    lengths, image = field(geometry, layer).size, geometry.sizes[geometry.input][2:]
    found = []
    for position, start in zip(positions, starts.tolist(), strict=True):
        full = _unclipped(geometry, layer, position)
        found.append(
            tuple(
                first - int(interval.start) if length < n else first
                for first, interval, length, n in zip(start, full, lengths, image, strict=True)
            )
        )
    return found


def field(geometry: Geometry, layer: str) -> Field:
    """Size and stride of a layer's receptive field, as if the image had no border."""
    return of_layers(geometry, [layer])[layer]


def of_layers(geometry: Geometry, layers: Sequence[str]) -> dict[str, Field]:
    """The receptive fields of many layers, in few passes down the graph.

    Args:
        geometry: of images of this size.
        layers: node names.
    """
    odd = uneven(geometry)
    probes = {name: Probe(geometry.sizes[name][2:], even=name not in odd) for name in layers}
    found = {}
    for some in _batches(probes):
        count = sum(len(probe.places) for probe in some.values())
        seeds, rows, first = {}, {}, 0
        for layer, probe in some.items():
            rows[layer] = slice(first, first + len(probe.places))
            seeds[layer] = _seed(probe.places, rows[layer], count)
            first += len(probe.places)
        seen = _propagate(geometry, seeds, clip=False)[2:]
        starts, stops = (
            np.stack([np.broadcast_to(end, count) for end in ends], axis=1)
            for ends in ([i.start for i in seen], [i.stop for i in seen])
        )
        image = geometry.sizes[geometry.input][2:]
        for layer, own in rows.items():
            found[layer] = some[layer].field(starts[own], stops[own], image)
    return {layer: found[layer] for layer in layers}


def central_boxes(geometry: Geometry, layers: Sequence[str]) -> dict[str, Box]:
    """The pixels that the central unit of each of many layers sees, clipped to the image.

    One pass down the graph, like ``of_layers``; the same boxes as ``box`` gives one by one.
    """
    seeds = {}
    for row, layer in enumerate(layers):
        centre = [[n // 2 for n in geometry.sizes[layer][2:]]]
        seeds[layer] = _seed(np.asarray(centre, np.int64), slice(row, row + 1), len(layers))
    seen = _propagate(geometry, seeds, clip=True)
    starts, stops = _on_the_image(seen, len(layers), geometry)
    rows = zip(layers, starts.tolist(), stops.tolist(), strict=True)
    return {layer: Box(tuple(start), tuple(stop)) for layer, start, stop in rows}


def _batches(probes: Mapping[str, Probe]) -> Iterator[dict[str, Probe]]:
    """Layers that are carried down together: not many units, and neighbours in the network."""
    some: dict[str, Probe] = {}
    for layer, probe in probes.items():
        some[layer] = probe
        if sum(len(one.places) for one in some.values()) >= UNITS:
            yield some
            some = {}
    if some:
        yield some


def _seed(positions: NDArray[np.int64], rows: slice, count: int) -> Window:
    """The window of some of ``count`` units; the others have none here."""
    start, stop = np.zeros((2, 2 + positions.shape[1], count), dtype=np.int64)
    start[:2, rows], stop[:2, rows] = -FAR, FAR
    start[2:, rows], stop[2:, rows] = positions.T, positions.T + 1
    return tuple(Interval(a, b) for a, b in zip(start, stop, strict=True))


def _on_the_image(
    seen: Window, count: int, geometry: Geometry
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where windows of so many units start and stop, each (units, axes of the image)."""
    starts = np.stack([np.broadcast_to(i.start, count) for i in seen[2:]], axis=1)
    stops = np.stack([np.broadcast_to(i.stop, count) for i in seen[2:]], axis=1)
    lengths = geometry.sizes[geometry.input][2:]
    starts = np.clip(starts, 0, lengths)
    return starts, np.clip(stops, starts, lengths)  # empty where a unit sees padding alone


def _unclipped(geometry: Geometry, layer: str, position: Sequence[int]) -> Window:
    window = (Interval.whole(), Interval.whole(), *(Interval.at(p) for p in position))
    return _propagate(geometry, {layer: window}, clip=False)[2:]


def _propagate(geometry: Geometry, seeds: Mapping[str, Window], *, clip: bool) -> Window:
    """Carry windows of layers down to the images."""
    seen: dict[str, Any] = {geometry.input: seeds.get(geometry.input)}
    for step in reversed(geometry.steps):
        above = _joined(seen.pop(step.name, None), seeds.get(step.name), None)
        if above is None:
            continue
        below = step.layer.window(above, step.record)
        blind = _blind(above)
        for source, part in zip(step.sources, below, strict=True):
            if source is not None:
                size = geometry.sizes.get(source) if clip else None
                seen[source] = _joined(seen.get(source), _hidden(part, blind), size)
    image = geometry.sizes[geometry.input]
    nothing = tuple(Interval(np.int64(0), np.int64(0)) for _ in image)
    found: Window | None = seen[geometry.input]
    return nothing if found is None else found


def _is_window(seen: Any) -> bool:
    """Whether this is one window and no container of some: intervals, or None for nothing."""
    if seen is None or isinstance(seen, dict):
        return seen is None
    return all(isinstance(part, Interval) for part in seen)


def _blind(seen: Any) -> Any:
    """True for the units that see nothing: their windows are all empty along some axis."""
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

    return pytree.tree_map(hidden, seen, is_leaf=_is_window) if np.any(blind) else seen


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
