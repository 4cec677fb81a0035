"""Receptive fields: windows composed down the graph, exact by range propagation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deconvnet.layers import Interval, Window
from deconvnet.layers.window import FAR, clipped, union
from deconvnet.record import Recording
from deconvnet.units import Box


@dataclass(frozen=True)
class Field:
    """The receptive field of a layer, before any image border cuts it.

    Args:
        size: pixels along each axis, never more than the image has.
        stride: pixels between the fields of neighbouring units.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]


def boxes(
    recording: Recording, layer: str, positions: Sequence[Sequence[int]], *, channels: Any = None
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
    places = np.asarray(positions, dtype=np.int64).reshape(len(positions), -1)
    channel = Interval.whole() if channels is None else Interval.at(channels)
    window = (Interval.whole(), channel, *(Interval.at(p) for p in places.T))
    seen = _propagate(recording, layer, window, clip=True)
    count = len(places)
    starts = [np.broadcast_to(i.start, count) for i in seen[2:]]
    stops = [np.broadcast_to(i.stop, count) for i in seen[2:]]
    return np.stack(starts, axis=1), np.stack(stops, axis=1)


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
    image = recording.sizes[recording.input][2:]
    size = recording.sizes[layer]
    centre = [n // 2 for n in size[2:]]
    here = _unclipped(recording, layer, centre)
    sizes = [
        int(min(n, i.stop - i.start)) if i.stop < FAR and i.start > -FAR else int(n)
        for i, n in zip(here, image, strict=True)
    ]
    strides = []
    for axis, length in enumerate(image):
        if axis >= len(centre):  # nothing to step along
            strides.append(int(length))
            continue
        beside = [c + (i == axis) for i, c in enumerate(centre)]
        there = _unclipped(recording, layer, beside)
        step = int(there[axis].stop - here[axis].stop)
        strides.append(step if step > 0 else int(length))
    return Field(tuple(sizes), tuple(strides))


def _unclipped(recording: Recording, layer: str, position: Sequence[int]) -> Window:
    window = (Interval.whole(), Interval.whole(), *(Interval.at(p) for p in position))
    return _propagate(recording, layer, window, clip=False)[2:]


def _propagate(recording: Recording, layer: str, window: Window, *, clip: bool) -> Window:
    """Carry a window of a layer down to the images."""
    seen: dict[str, Any] = {layer: window}
    for step in reversed(recording.steps):
        above = seen.pop(step.name, None)
        if above is None:
            continue
        below = step.layer.window(above, step.record)
        for source, part in zip(step.sources, below, strict=True):
            if source is not None:
                size = recording.sizes.get(source) if clip else None
                seen[source] = _joined(seen.get(source), part, size)
    image = recording.sizes[recording.input]
    nothing = tuple(Interval(np.int64(0), np.int64(0)) for _ in image)
    found: Window = seen.get(recording.input, nothing)
    return found


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
