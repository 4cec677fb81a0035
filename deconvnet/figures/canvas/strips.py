"""Strips: signals as curves, and videos as their frames in a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deconvnet.units import Box

from .contrast import RULE, signed
from .sheet import Sheet, snap
from .style import INK
from .tiles import NEUTRAL, PAPER, Picture, as_picture, enlarge, gap_for

# Okabe & Ito's colours, of the channels of a signal; the first stands for what is positive in a
# projection of one channel, the second for what is negative
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#f0e442", "#000000")
_ZERO, _SHADE = "#bdbdbd", "#f4f4f4"
_HIGH = 0.28  # inches: a curve
_BAR = 0.04  # inches: a mark below a signal, with what is between two
_FRAME = 0.22  # inches: a frame is worth no less

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Place:
    """A rectangle on a sheet, in inches."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Curves:
    """Signals, (length, channels), drawn as curves, each channel in a colour of its own."""

    low: float
    """the value at the foot of a panel of a signal"""
    high: float

    inner = 0.06
    """inches between a patch and its projection"""
    rule = (
        "All signals have one scale; each projection is divided by its largest absolute value. The "
        "grey line is zero."
    )
    """How curves are drawn, as a sentence for captions."""

    @classmethod
    def of(cls, signals: Iterable[Values]) -> Curves:
        """On the scale that all these signals have in common."""
        ends = [(float(one.min()), float(one.max())) for one in signals if one.size]
        low, high = min((a for a, _ in ends), default=0), max((b for _, b in ends), default=1)
        room = 0.06 * (high - low) or 0.5
        return cls(low - room, high + room)

    def height(self, width: float, canvas: Sequence[int]) -> float:
        """Of a panel as wide as this, in inches."""
        return _HIGH

    def least(self, canvas: Sequence[int]) -> float:
        """The width, in inches, that a panel needs."""
        return 0.7

    def values(
        self, sheet: Sheet, signal: Values, place: Place, *, canvas: Sequence[int], start: int
    ) -> None:
        """Draw a signal that begins ``start`` places after the panel does."""
        self._panel(sheet, signal, place, canvas[0], start, self.low, self.high)

    def projection(
        self, sheet: Sheet, signal: Values, place: Place, *, canvas: Sequence[int], start: int
    ) -> None:
        """Draw the projection on a signal, likewise; zero is the middle of the panel."""
        _finite(signal)
        most = float(np.abs(signal).max(initial=0.0)) * 1.08 or 1.0
        if signal.shape[1] == 1:
            xs, ys = _points(signal[:, 0], place, canvas[0], start, -most, most)
            middle = place.top + place.height / 2
            for sign, colour in zip((1, -1), COLOURS, strict=False):
                part = np.where(sign * signal[:, 0] > 0, ys, middle)
                sheet.area(xs, part.tolist(), middle, colour=colour)
        self._panel(sheet, signal, place, canvas[0], start, -most, most)

    def marks(
        self, sheet: Sheet, boxes: Sequence[Box], place: Place, *, canvas: Sequence[int]
    ) -> None:
        """A bar below a signal that fills the panel, for what each box holds of it."""
        scale, foot = place.width / canvas[0], place.top + place.height
        for number, box in enumerate(boxes):
            left, top = place.left + box.start[0] * scale, foot + number * _BAR
            colour = COLOURS[number % len(COLOURS)]
            wide = box.size[0] * scale
            sheet.fill(left, top, width=wide, height=0.6 * _BAR, colour=colour)

    def room(self, boxes: int) -> float:
        """Inches below the panel for the marks of so many boxes."""
        return boxes * _BAR

    def _panel(
        self,
        sheet: Sheet,
        signal: Values,
        place: Place,
        length: int,
        start: int,
        low: float,
        high: float,
    ) -> None:
        if low < 0 < high:
            zero = place.top + place.height * high / (high - low)
            ends = [place.left, place.left + place.width]
            sheet.curve(ends, [zero, zero], colour=_ZERO, line=0.4)
        for number, channel in enumerate(signal.T):
            xs, ys = _points(channel, place, length, start, low, high)
            alone = signal.shape[1] == 1
            colour = INK if alone else COLOURS[number % len(COLOURS)]
            sheet.curve(xs, ys.tolist(), colour=colour)


@dataclass(frozen=True)
class Film:
    """Videos, (frames, height, width, 3), drawn as their frames in a row."""

    inner = 0.22
    rule = RULE

    @classmethod
    def of(cls, videos: Iterable[Values]) -> Film:
        """For any videos."""
        return cls()

    def height(self, width: float, canvas: Sequence[int]) -> float:
        """Of a panel as wide as this, in inches."""
        frames, rows, columns = canvas
        gap = gap_for(rows, columns)
        return snap(width * rows / (frames * (columns + gap) - gap))

    def least(self, canvas: Sequence[int]) -> float:
        """The width, in inches, that a panel needs."""
        return canvas[0] * _FRAME

    def values(
        self, sheet: Sheet, video: Values, place: Place, *, canvas: Sequence[int], start: Any
    ) -> None:
        """Draw a video that begins ``start`` frames, rows and columns after the panel does."""
        shown = as_picture(video.reshape(-1, *video.shape[2:]), what="a video")
        self._frames(sheet, shown.reshape(video.shape), place, canvas, start)

    def projection(
        self, sheet: Sheet, video: Values, place: Place, *, canvas: Sequence[int], start: Any
    ) -> None:
        """Draw the projection on a video, likewise, by one scale for all its frames."""
        shown = signed(video.reshape(-1, *video.shape[2:]))
        self._frames(sheet, shown.reshape(video.shape), place, canvas, start)

    def marks(
        self, sheet: Sheet, boxes: Sequence[Box], place: Place, *, canvas: Sequence[int]
    ) -> None:
        """Outline each box in each of its frames, of a video that fills the panel."""
        scale = place.height / canvas[1]
        step = (canvas[2] + gap_for(*canvas[1:])) * scale
        for number, box in enumerate(boxes):
            flat, colour = Box(box.start[1:], box.stop[1:]), COLOURS[number % len(COLOURS)]
            for frame in range(box.start[0], box.stop[0]):
                left = place.left + frame * step
                sheet.outline(flat, left, place.top, scale=scale, colour=colour)

    def room(self, boxes: int) -> float:
        """Inches below the panel for the marks of so many boxes: they stand in it."""
        return 0.0

    def _frames(
        self,
        sheet: Sheet,
        shown: Values,
        place: Place,
        canvas: Sequence[int],
        start: Sequence[int],
    ) -> None:
        whole = np.full((*canvas, 3), NEUTRAL)
        inside = tuple(slice(a, a + n) for a, n in zip(start, shown.shape, strict=False))
        whole[inside] = shown
        picture = enlarge(film(whole))
        sheet.image(picture, place.left, place.top, width=place.width, height=place.height)


def film(frames: Values) -> Picture:
    """The frames (frames, height, width, 3) in a row, a thin gap between them."""
    _, rows, columns, _ = frames.shape
    gap = np.full((rows, gap_for(rows, columns), 3), PAPER)
    parts = [part for frame in frames for part in (frame, gap)]
    return np.concatenate(parts[:-1], axis=1)


def _points(
    channel: Values, place: Place, length: int, start: int, low: float, high: float
) -> tuple[list[float], NDArray[np.float64]]:
    """Where the values of a channel stand on the sheet."""
    step = place.width / length
    xs = place.left + (start + np.arange(len(channel)) + 0.5) * step
    ys = place.top + place.height * (high - channel.astype(np.float64)) / (high - low)
    return xs.tolist(), ys


def _finite(values: Values) -> None:
    unusable = int(np.count_nonzero(~np.isfinite(values)))
    if unusable:
        raise ValueError(
            f"a projection has {unusable} values that are not finite (of {values.size}); "
            "look for an overflow in the model, or run it in float32"
        )
