"""Receptive fields: windows composed down the graph, exact by range propagation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deconvnet.layers import Interval, Window
from deconvnet.layers.window import FAR, clipped, union
from deconvnet.units import Box

from .field_probes import Field, Probe, uneven
from .forward import Recording

UNITS = 4096  # carried down at a time


def boxes(
    recording: Recording,
    layer: str,
    positions: Sequence[Sequence[int]] | NDArray[Any],
    *,
    channels: Any = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pixels that units of one layer see, clipped to the image.

    Ranges are carried from the unit down every path of the graph and united where paths meet
    (Araujo 2019 gives the recurrence for one path).

    Args:
        recording: any recording of images of this size up to the layer.
        layer: node name.
        positions: (units, axes) place of each unit; (units, 0) for layers without positions.
        channels: (units,) channel of each unit, where only its own paths count; None for the
            union over all channels.

    Returns:
        starts and stops, each (units, axes of the image).
    """
    axes = len(positions[0]) if len(positions) else max(0, len(recording.sizes[layer]) - 2)
    places = np.asarray(positions, dtype=np.int64).reshape(len(positions), axes)
    channel = Interval.whole() if channels is None else Interval.at(channels)
    window = (Interval.whole(), channel, *(Interval.at(p) for p in places.T))
    seen = _propagate(recording, {layer: window}, clip=True)
    return _on_the_image(seen, len(places), recording)


def box(
    recording: Recording, layer: str, position: Sequence[int], *, channel: int | None = None
) -> Box:
    """The pixels that one unit sees, clipped to the image."""
    channels = None if channel is None else [channel]
    starts, stops = boxes(recording, layer, [position], channels=channels)
    return Box(tuple(starts[0].tolist()), tuple(stops[0].tolist()))


def overhang(
    recording: Recording, layer: str, positions: Sequence[Sequence[int]]
) -> list[tuple[int, ...]]:
    """How far to the inside of a layer's full field the clipped boxes of its units begin.

    To lay clipped crops on one canvas: that of the field where it is smaller than the image, else
    that of the image.

    Returns:
        For each unit the cells before its box, one number an axis of the image.
    """
    starts, _ = boxes(recording, layer, positions)
    lengths, image = field(recording, layer).size, recording.sizes[recording.input][2:]
    found = []
    for position, start in zip(positions, starts.tolist(), strict=True):
        full = _unclipped(recording, layer, position)
        found.append(
            tuple(
                first - int(interval.start) if length < n else first
                for first, interval, length, n in zip(start, full, lengths, image, strict=True)
            )
        )
    return found


def field(recording: Recording, layer: str) -> Field:
    """Size and stride of a layer's receptive field, as if the image had no border."""
    return of_layers(recording, [layer])[layer]


def of_layers(recording: Recording, layers: Sequence[str]) -> dict[str, Field]:
    """The receptive fields of many layers, in few passes down the graph.

    Args:
        recording: any recording of images of this size.
        layers: node names.
    """
    odd = uneven(recording)
    probes = {name: Probe(recording.sizes[name][2:], even=name not in odd) for name in layers}
    found = {}
    for some in _batches(probes):
        count = sum(len(probe.places) for probe in some.values())
        seeds, rows, first = {}, {}, 0
        for layer, probe in some.items():
            rows[layer] = slice(first, first + len(probe.places))
            seeds[layer] = _seed(probe.places, rows[layer], count)
            first += len(probe.places)
        seen = _propagate(recording, seeds, clip=False)[2:]
        starts, stops = (
            np.stack([np.broadcast_to(end, count) for end in ends], axis=1)
            for ends in ([i.start for i in seen], [i.stop for i in seen])
        )
        image = recording.sizes[recording.input][2:]
        for layer, own in rows.items():
            found[layer] = some[layer].field(starts[own], stops[own], image)
    return {layer: found[layer] for layer in layers}


def central_boxes(recording: Recording, layers: Sequence[str]) -> dict[str, Box]:
    """The pixels that the central unit of each of many layers sees, clipped to the image.

    One pass down the graph, like ``of_layers``; the same boxes as ``box`` gives one by one.
    """
    seeds = {}
    for row, layer in enumerate(layers):
        centre = [[n // 2 for n in recording.sizes[layer][2:]]]
        seeds[layer] = _seed(np.asarray(centre, np.int64), slice(row, row + 1), len(layers))
    seen = _propagate(recording, seeds, clip=True)
    starts, stops = _on_the_image(seen, len(layers), recording)
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
    seen: Window, count: int, recording: Recording
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where windows of so many units start and stop, each (units, axes of the image)."""
    starts = np.stack([np.broadcast_to(i.start, count) for i in seen[2:]], axis=1)
    stops = np.stack([np.broadcast_to(i.stop, count) for i in seen[2:]], axis=1)
    lengths = recording.sizes[recording.input][2:]
    starts = np.clip(starts, 0, lengths)
    return starts, np.clip(stops, starts, lengths)  # empty where a unit sees padding alone


def _unclipped(recording: Recording, layer: str, position: Sequence[int]) -> Window:
    window = (Interval.whole(), Interval.whole(), *(Interval.at(p) for p in position))
    return _propagate(recording, {layer: window}, clip=False)[2:]


def _propagate(recording: Recording, seeds: Mapping[str, Window], *, clip: bool) -> Window:
    """Carry windows of layers down to the images."""
    seen: dict[str, Any] = {recording.input: seeds.get(recording.input)}
    for step in reversed(recording.steps):
        above = _joined(seen.pop(step.name, None), seeds.get(step.name), None)
        if above is None:
            continue
        below = step.layer.window(above, step.record)
        blind = _blind(above)
        for source, part in zip(step.sources, below, strict=True):
            if source is not None:
                size = recording.sizes.get(source) if clip else None
                seen[source] = _joined(seen.get(source), _hidden(part, blind), size)
    image = recording.sizes[recording.input]
    nothing = tuple(Interval(np.int64(0), np.int64(0)) for _ in image)
    found: Window | None = seen[recording.input]
    return nothing if found is None else found


def _blind(seen: Any) -> Any:
    """True for the units that see nothing: their window is empty along some axis."""
    if seen is None:
        return np.True_
    parts = list(seen.values()) if isinstance(seen, dict) else list(seen)
    if all(isinstance(part, Interval) for part in parts):
        return np.any(np.stack(np.broadcast_arrays(np.False_, *(i.empty for i in parts))), axis=0)
    return np.all(np.stack(np.broadcast_arrays(*map(_blind, parts))), axis=0)


def _hidden(seen: Any, blind: Any) -> Any:
    """What is seen, but nothing by units that saw nothing above, whatever the layer says."""
    if seen is None or not np.any(blind):
        return seen
    if isinstance(seen, dict):
        return {key: _hidden(part, blind) for key, part in seen.items()}
    if all(isinstance(part, Interval) for part in seen):
        return tuple(Interval(i.start, np.where(blind, i.start, i.stop)) for i in seen)
    return tuple(_hidden(part, blind) for part in seen)


def _joined(one: Any, other: Any, size: Any) -> Any:
    """The union of what two readers of a node see; of a tuple's entries, entry by entry."""
    if one is None or other is None:
        there = other if one is None else one
        return clipped(there, size) if size is not None and there is not None else there
    if isinstance(one, dict):
        return {key: _joined(one[key], other[key], None) for key in one}
    if all(isinstance(i, Interval) for i in (*one, *other)):
        both = union(one, other)
        return clipped(both, size) if size is not None else both
    return tuple(_joined(a, b, None) for a, b in zip(one, other, strict=True))
