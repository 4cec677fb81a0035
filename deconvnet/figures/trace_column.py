"""A signal on its way down: a row for each node, with the maps of one channel of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from deconvnet.arguments import Brief
from deconvnet.figures.canvas.contrast import signed
from deconvnet.figures.canvas.lettering import fitting, fold, measure
from deconvnet.figures.canvas.sheet import BASELINE, LABEL_LINE, Sheet, captioned, snap
from deconvnet.figures.canvas.style import LABEL, QUIET, SMALL, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import Picture, enlarge

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

Map = npt.NDArray[Any]
HEADS = ("activation", "signal", "signal, norm over channels", "switches, orange if used")
_NO_SWITCH, _SWITCH, _PASSED = (0.96, 0.96, 0.96), (0.62, 0.62, 0.62), (0.84, 0.37, 0.0)
_GAP = 0.08  # inches between panels
_LARGEST = 0.82  # inches of a panel
_BETWEEN = 0.19  # inches between rows: a line that says what is done there
_COLUMN, _ABREAST, _FEW = 3.2, 0.3, 6  # inches of a column of rows, and between two; rows in one
_HEAD_LINE = 0.11  # inches
_EDGE, _FRAME = "#c8c8c8", 0.01  # around each panel, in inches
_FLAT = 0.25  # height by width of a map of one row
_LEAST = 3  # cells of a map that are shown at least


@dataclass(frozen=True, eq=False)
class TraceRow(Brief):
    """The signal at one node.

    Args:
        name: of the node.
        lines: what it is, beneath the name.
        step: what is done to the signal below it.
        activation: (height, width) values of the forward pass in one channel, signed or not; or a
            picture (height, width, 3) in [0, 1].
        signal: (height, width) or (height, width, 3), signed.
        strength: (height, width), over all channels, not negative.
        switches: (height, width) of the map below: 0, or 1 at a switch, or 2 at one that passes a
            signal.
    """

    name: str
    lines: Sequence[str]
    step: str
    activation: Map
    signal: Map
    strength: Map
    switches: Map | None = None


@paper()
def trace_column(
    rows: Sequence[TraceRow],
    *,
    window: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 1.0),
    width: str | float = "cvpr-full",
    title: str | None = None,
    caption: str | None = None,
    parent: Figure | SubFigure | None = None,
) -> Figure:
    """A row for each node from top to bottom, and between two rows what is done to the signal.

    Args:
        rows: from the unit down to the images.
        window: top, bottom, left and right, as shares of height and width: the maps are cut there,
            but no cell is left out that holds a signal.
        width: a name in ``WIDTHS``, or inches.
        title: stands above the drawing.
        caption: how it was made, beside the title.
        parent: a figure or a part of one to draw into.

    Source: Zeiler & Fergus 2014, figure 1: unpool, rectify, filter.
    """
    full, heads = inches(width, parent), HEADS[: 4 if any(r.switches is not None for r in rows) else 3]
    abreast = 2 if full >= 2 * _COLUMN + _ABREAST and len(rows) > _FEW else 1
    column = (full - (abreast - 1) * _ABREAST) / abreast
    told = max(measure(line, LABEL, weight="bold") for r in rows for line in (r.name, *r.lines))
    label = min(told, 0.4 * column)
    panel = min(_LARGEST, (column - label) / len(heads) - _GAP)
    margin = (column - label - len(heads) * (panel + _GAP)) / 2
    lines = 1 + max(len(row.lines) for row in rows)
    high = max(panel * min(1.0, _aspect(rows[-1].signal, window)), lines * LABEL_LINE)
    titles = [fold(head, panel + _GAP / 2, size=SMALL) for head in heads]
    head_height = _HEAD_LINE * max(map(len, titles)) + 0.04
    many = -(-len(rows) // abreast)
    total = head_height + many * (high + _BETWEEN) - (_BETWEEN if abreast == 1 else 0.0)
    sheet, top = captioned(full, snap(total + 0.02), title=title, caption=caption, parent=parent)
    for number, row in enumerate(rows):
        side, line = divmod(number, many)
        start = side * (column + _ABREAST) + margin
        lefts = [start + label + place * (panel + _GAP) + _GAP for place in range(len(heads))]
        if line == 0:
            _heads(sheet, titles, [left + panel / 2 for left in lefts], top)
        y = top + head_height + line * (high + _BETWEEN)
        _words(sheet, row, (start, y), label, foot=y + high if number + 1 < len(rows) else None)
        for left, picture in zip(lefts, _pictures(row, window), strict=False):
            scale = min(panel / picture.shape[1], high / picture.shape[0])
            wide, tall = picture.shape[1] * scale, picture.shape[0] * scale
            x = left + (panel - wide) / 2
            _frame(sheet, x, y, wide, tall)
            sheet.image(enlarge(picture), x, y, width=wide, height=tall)
    return sheet.figure


def _frame(sheet: Sheet, left: float, top: float, wide: float, tall: float) -> None:
    """A hairline around a panel, most of which may be white."""
    for x in (left - _FRAME, left + wide):
        sheet.fill(x, top - _FRAME, width=_FRAME, height=tall + 2 * _FRAME, colour=_EDGE)
    for y in (top - _FRAME, top + tall):
        sheet.fill(left, y, width=wide, height=_FRAME, colour=_EDGE)


def _heads(
    sheet: Sheet, titles: Sequence[Sequence[str]], centres: Sequence[float], top: float
) -> None:
    """What the panels of a column show."""
    for centre, lines in zip(centres, titles, strict=True):
        for number, words in enumerate(lines, start=1):
            foot = top + _HEAD_LINE * number - 0.02
            sheet.text(words, centre, foot, size=SMALL, colour=QUIET, align="center")


def _words(
    sheet: Sheet, row: TraceRow, corner: tuple[float, float], width: float, *, foot: float | None
) -> None:
    """The name of the node, what it is, and at the foot what is done to the signal below it."""
    left, top = corner
    size = fitting(row.name, width, size=LABEL, weight="bold")
    sheet.text(row.name, left, top + BASELINE, size=size, weight="bold")
    for number, line in enumerate(row.lines, start=1):
        size, down = fitting(line, width, size=LABEL), top + number * LABEL_LINE + BASELINE
        sheet.text(line, left, down, size=size, colour=QUIET)
    if foot is not None and row.step:
        step = f"↓ {row.step}"
        size = fitting(step, sheet.width - left - 0.1, size=SMALL)
        sheet.text(step, left, foot + 0.12, size=size)


def _aspect(signal: Map, window: tuple[float, float, float, float]) -> float:
    """Height by width of the part of an image that is shown."""
    if signal.shape[0] == 1:
        return _FLAT
    rows, columns = _part(signal.shape[:2], window, None)
    return float((rows.stop - rows.start) / (columns.stop - columns.start))


def _part(
    size: tuple[int, ...], window: tuple[float, float, float, float], signal: Map | None
) -> tuple[slice, slice]:
    """The cells of a map that lie in the window or hold a signal."""
    parts = []
    for axis, (start, stop) in enumerate((window[:2], window[2:])):
        first, last = math.floor(start * size[axis] + 1e-6), math.ceil(stop * size[axis] - 1e-6)
        if signal is not None:
            there = np.flatnonzero(signal.any(axis=1 - axis))
            if len(there):
                first, last = min(first, int(there[0])), max(last, int(there[-1]) + 1)
        while last - first < min(_LEAST, size[axis]):
            first, last = max(0, first - 1), min(size[axis], last + 1)
        parts.append(slice(first, last))
    return parts[0], parts[1]


def _pictures(row: TraceRow, window: tuple[float, float, float, float]) -> list[Picture]:
    """Activation, signal, strength, and switches if there are any."""
    part = _part(row.strength.shape, window, row.strength)
    pictures: list[Picture] = [
        row.activation[part] if row.activation.ndim == 3 else _shades(row.activation[part]),
        signed(row.signal[part]),
        _shades(row.strength[part]),
    ]
    if row.switches is not None:
        colours = np.array([_NO_SWITCH, _SWITCH, _PASSED])
        pictures.append(colours[row.switches[_part(row.switches.shape, window, row.switches == 2)]])
    return [_thick(picture) for picture in pictures]


def _thick(picture: Picture) -> Picture:
    """A picture of one row, as of a sound, made high enough to be seen."""
    times = round(_FLAT * picture.shape[1]) if picture.shape[0] == 1 else 1
    return picture.repeat(max(1, times), axis=0)


def _shades(values: Map) -> Picture:
    """Values that are never negative from white to black; others as ``signed`` draws them."""
    if (values < 0).any():
        return signed(values)
    dark = values / max(float(values.max(initial=0.0)), 1e-30)
    return np.repeat(1.0 - dark[..., None].astype(np.float64), 3, axis=2)
