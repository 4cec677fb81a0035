"""Windows: the part of an input that a part of an output sees, one interval an axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deconvnet.arguments import Brief

Ints = Any  # an int or an array of ints: many units are carried through the network at once
FAR = 1 << 40  # "the whole axis", before it is clipped to the axis' length
NEAR = 1 << 20  # no filter takes a window from within here to FAR


@dataclass(frozen=True, eq=False)
class Interval(Brief):
    """Half-open ranges ``[start, stop)`` along one axis, one for each of ``n`` units.

    A range that is empty (``stop <= start``) says that the unit sees nothing there.
    """

    start: Ints
    stop: Ints

    @staticmethod
    def whole() -> Interval:
        """The whole axis, however long it is."""
        return _WHOLE

    @staticmethod
    def at(index: Ints) -> Interval:
        """One index of the axis."""
        index = np.asarray(index, dtype=np.int64)
        return Interval(index, index + 1)

    @property
    def empty(self) -> Any:
        """True where nothing is seen."""
        return np.asarray(self.stop) <= self.start

    @cached_property
    def some_empty(self) -> bool:
        """Whether any unit sees nothing."""
        return bool(self.empty.any())

    @cached_property
    def _ordinary(self) -> bool:
        """Whether every unit sees something, and none as much as the whole axis."""
        if not np.size(self.start) or np.min(self.start) <= -NEAR or np.max(self.stop) >= NEAR:
            return False
        return not self.some_empty

    def sliding(self, span: int, stride: int, padding: int) -> Interval:
        """What a sliding window sees of its input (Araujo 2019: ``u <- s u - p``).

        Args:
            span: length of the window, ``dilation (kernel - 1) + 1``.
            stride: its step.
            padding: what was added before the input's first index.
        """
        if span == stride == 1 and padding == 0:
            return self
        start = self.start * stride - padding
        stop = (self.stop - 1) * stride - padding + span
        return self._saturated(start, stop)

    def scattered(self, span: int, stride: int, padding: int) -> Interval:
        """What the transpose of a sliding window sees of its input."""
        start = -((span - 1 - padding - self.start) // stride)
        stop = (self.stop - 1 + padding) // stride + 1
        return self._saturated(start, stop)

    def binned(self, bins: int, length: int) -> Interval:
        """What adaptive pooling to ``bins`` bins sees of an axis of ``length``."""
        start = self.start * length // bins
        stop = -(-self.stop * length // bins)
        return self._saturated(start, stop)

    def regrouped(self, width: int, width_below: int) -> Interval:
        """The groups of ``width_below`` that lie under the groups of ``width`` it touches."""
        start = self.start // width * width_below
        stop = -(-self.stop // width) * width_below
        return self._saturated(start, stop)

    def mapped(self, first: NDArray[Any], last: NDArray[Any], length: int) -> Interval:
        """What cells see where each has a range of its own in an axis of ``length``.

        Args:
            first: (cells,) the first index that each cell sees.
            last: (cells,) the one past its last.
            length: of the axis below; beyond the ends the ranges go on in even steps.
        """
        cells = len(first)
        from_here = np.minimum.accumulate(first[::-1])[::-1]
        up_to_here = np.maximum.accumulate(last)
        begin, end = np.clip(self.start, 0, cells - 1), np.clip(self.stop, 1, cells)
        start = from_here[begin] + (self.start - begin) * length // cells
        stop = up_to_here[end - 1] - (end - self.stop) * length // cells
        return self._saturated(start, stop)

    def shifted(self, by: int) -> Interval:
        """The same ranges, moved."""
        return self._saturated(self.start + by, self.stop + by)

    def clipped(self, length: int) -> Interval:
        """The part that lies on an axis of this length."""
        if self is _WHOLE:
            return _axis(length)
        before, part = self._clipped
        if before != length:
            part = Interval(np.maximum(self.start, 0), np.minimum(self.stop, length))
            vars(self)["_clipped"] = (length, part)
        return part

    def union(self, other: Interval) -> Interval:
        """The hull of both; an empty range adds nothing."""
        if self is other:
            return self
        before, hull = self._united
        if before is not other:
            hull = self._hull(other)
            vars(self)["_united"] = (other, hull)
        return hull

    def _hull(self, other: Interval) -> Interval:
        if not self.some_empty and not other.some_empty:
            start, stop = np.minimum(self.start, other.start), np.maximum(self.stop, other.stop)
            return Interval(start, stop)
        mine, theirs = self.empty, other.empty
        start = np.minimum(np.where(mine, FAR, self.start), np.where(theirs, FAR, other.start))
        stop = np.maximum(np.where(mine, -FAR, self.stop), np.where(theirs, -FAR, other.stop))
        return Interval(start, stop)

    # the latest part and hull: what many nodes read is clipped to one size and met by one window
    @cached_property
    def _clipped(self) -> tuple[int, Interval]:
        return -1, self

    @cached_property
    def _united(self) -> tuple[Interval | None, Interval]:
        return None, self

    def _saturated(self, start: Ints, stop: Ints) -> Interval:
        if self is _WHOLE:
            return self
        if self._ordinary:  # nothing to saturate, as nearly always
            return Interval(start, stop)
        nothing, everything = self.empty, (self.start <= -FAR) & (self.stop >= FAR)
        start = np.where(everything, -FAR, np.clip(start, -FAR, FAR))
        stop = np.where(everything, FAR, np.clip(stop, -FAR, FAR))
        return Interval(start, np.where(nothing, start, stop))


_WHOLE = Interval(np.int64(-FAR), np.int64(FAR))


@lru_cache(maxsize=1024)
def _axis(length: int) -> Interval:
    """All of an axis of this length."""
    return Interval(np.int64(0), np.int64(length))


Window = tuple[Interval, ...]


def whole(axes: int) -> Window:
    """A window that sees everything of a tensor with this many axes."""
    return (Interval.whole(),) * axes


def broadcast_window(window: Window, size: Sequence[int]) -> Window:
    """What an input of this size that is broadcast shows: axes of length one are seen whole."""
    ours = window[len(window) - len(size) :] if size else ()
    if 1 not in size:
        return ours
    return tuple(Interval.whole() if n == 1 else w for w, n in zip(ours, size, strict=True))


def union(one: Window, other: Window) -> Window:
    """The smallest window that holds both; one that is empty along an axis adds nothing."""
    return tuple(a.union(b) for a, b in zip(_blanked(one), _blanked(other), strict=True))


def clipped(window: Window, size: Sequence[int]) -> Window:
    """The part of a window that lies on a tensor of this size."""
    return tuple(i.clipped(n) for i, n in zip(window, size, strict=True))


def unseen(window: Window) -> bool:
    """Whether the window of every unit is empty, along one axis of all."""
    return any([i.some_empty and bool(i.empty.all()) for i in window])


def _blanked(window: Window) -> Window:
    """The window, empty along every axis for units for which it is empty along one."""
    if not any([i.some_empty for i in window]):
        return window
    nothing = np.any(np.stack(np.broadcast_arrays(*(i.empty for i in window))), axis=0)
    return tuple(Interval(i.start, np.where(nothing, i.start, i.stop)) for i in window)
