"""Units whose fields tell the size and the stride of their layer's receptive field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deconvnet.layers import Interval
from deconvnet.layers.window import FAR, whole

from .forward import Recording, Step

LINE = 64  # cells along an axis whose fields are compared, in the middle of a map
AWAY = 2**18 * 3**3 * 5 * 7  # cells between two places far outside of a map


@dataclass(frozen=True)
class Field:
    """The receptive field of a layer, before any image border cuts it.

    Args:
        size: pixels along each axis, never more than the image has. After up-sampling, fields of
            neighbouring units differ; this is the largest.
        stride: pixels a cell: by how much the field moves from one unit to the next, on average
            where these steps differ. An int where it is whole; a fraction where the map has more
            cells than the image has pixels.
    """

    size: tuple[int, ...]
    stride: tuple[float, ...]


class Probe:
    """Units whose fields tell the field of their layer.

    Where a layer is even (see ``_is_even``), these are the central one and its neighbours. Where
    it is not, they are those of a line along each axis, in the middle of the map, away from its
    borders; and pairs far outside of it, whose distance in pixels tells the average step.

    Args:
        size: of the layer's maps.
        even: fields of neighbours are of one size, and lie whole pixels apart.
    """

    def __init__(self, size: Sequence[int], *, even: bool) -> None:
        self.axes, self.even = len(size), even
        centre = np.asarray([[n // 2 for n in size]], dtype=np.int64)
        unit = np.eye(self.axes, dtype=np.int64)
        self.distance = 1 if even else AWAY
        pairs = [centre + (k - even) * self.distance * u for u in unit for k in (1, 2)]
        self.lines = [centre] if even or not size else [_along(size, k) for k in range(self.axes)]
        self.places = np.concatenate([*pairs, *self.lines])

    def field(
        self, starts: NDArray[np.int64], stops: NDArray[np.int64], image: Sequence[int]
    ) -> Field:
        """The layer's field, from what the units see, (units, axes of the image) each."""
        first = 2 * self.axes
        bounded = ((starts[first:] > -FAR) & (stops[first:] < FAR)).all(0)
        largest = (stops - starts)[first:].max(0)
        sizes = np.where(bounded, np.minimum(largest, image), image)
        strides = [self._stride(axis, starts, stops, length) for axis, length in enumerate(image)]
        return Field(tuple(sizes.tolist()), tuple(strides))

    def _stride(
        self, axis: int, starts: NDArray[np.int64], stops: NDArray[np.int64], length: int
    ) -> float:
        """Pixels a cell; the image's length where there is nothing to step along."""
        if axis >= self.axes:
            return length
        pair = slice(2 * axis, 2 * axis + 2)
        step = int(stops[pair, axis][1] - stops[pair, axis][0])
        if step > 0 and (starts[pair, axis] < stops[pair, axis]).all():
            return _number(Fraction(step, self.distance).limit_denominator(1000))
        if self.even:
            return length
        first = 2 * self.axes + sum(map(len, self.lines[:axis]))
        line = slice(first, first + len(self.lines[axis]))
        return _number(_average(starts[line, axis] + stops[line, axis]) / 2) or length


def _along(size: Sequence[int], axis: int) -> NDArray[np.int64]:
    """The places of the middle half of an axis, in the middle of the others."""
    n = size[axis]
    length = min(n - 2 * (n // 4), LINE)
    places = np.tile(np.asarray([n // 2 for n in size], dtype=np.int64), (length, 1))
    places[:, axis] = (n - length) // 2 + np.arange(length)
    return places


def _average(ends: NDArray[np.int64]) -> Fraction:
    """The average step of a line of places: over a period, if it shows two or its middle does."""
    some = ends if len(set(ends.tolist())) > 1 else ends[:0]
    while len(some) > 1:
        for period in range(1, len(some) // 2 + 1):
            steps = some[period:] - some[:-period]
            if steps[0] > 0 and (steps == steps[0]).all():
                return Fraction(int(steps[0]), period)
        some = some[1:-1]  # without those that see what a border reflects
    return Fraction(int(ends[-1] - ends[0]), max(1, len(ends) - 1))


def _number(ratio: Fraction) -> float:
    return ratio.numerator if ratio.denominator == 1 else float(ratio)


def uneven(recording: Recording) -> set[str]:
    """The nodes with a step below them, or at them, that is not even."""
    found: set[str] = set()
    for step in recording.steps:
        if not found.isdisjoint(filter(None, step.sources)) or not _is_even(step, recording):
            found.add(step.name)
    return found


def _is_even(step: Step, recording: Recording) -> bool:
    """Whether neighbouring cells see windows of one size, that lie whole cells apart.

    So it is with filters and pools; not with what has more cells than its input has.
    """
    size = recording.sizes.get(step.name, ())
    for axis, length in enumerate(size[2:], start=2):
        line = Interval.at(np.arange(max(2, min(length, 8 * LINE))))
        places = [Interval.at(n // 2) for n in size[2:]]
        places[axis - 2] = line
        windows = step.layer.window((*whole(2), *places), step.record)
        own = [seen for seen, source in zip(windows, step.sources, strict=True) if source]
        if not all(_moves_evenly(seen, axis, len(size)) for seen in own):
            return False
    return len(size) > 2


def _moves_evenly(seen: Any, axis: int, axes: int) -> bool:
    if seen is None or len(seen) != axes or not all(isinstance(part, Interval) for part in seen):
        return False
    start, stop = np.broadcast_arrays(seen[axis].start, seen[axis].stop)
    if start.ndim == 0 or (start <= -FAR).all():  # the same for every cell
        return True
    steps = np.concatenate([np.diff(start), np.diff(stop)])
    return bool((steps == steps[0]).all() and steps[0] > 0)
