"""What feeds a unit in each image: its patch, its projection, and those of channels below it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure, SubFigure

from deconvnet.arguments import Brief
from deconvnet.figures.canvas.contrast import signed
from deconvnet.figures.canvas.lettering import fitting, fold
from deconvnet.figures.canvas.sheet import BASELINE, LABEL_LINE, captioned, snap
from deconvnet.figures.canvas.style import LABEL, SMALL, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import Picture, enlarge, is_zero, pad_to, pair
from deconvnet.units import Box, Exemplar

from .pair_rows import GAP, canvas_of

_BETWEEN, _TALLEST = 0.08, 1.3  # inches between rows; of a tile
_FEW, _LARGE = 2, 1.0  # so few rows are broken into two lines where tiles would be smaller


@dataclass(frozen=True, eq=False, repr=False)
class FeedRow(Brief):
    """A unit in one image, and units below it.

    Args:
        label: stands above the row.
        unit: the one that is fed.
        below: the unit of each channel below, which sees a part of what the unit does; None where
            the channel adds nothing in this image.
    """

    label: str
    unit: Exemplar
    below: Sequence[Exemplar | None]


@paper()
def feed_rows(
    rows: Sequence[FeedRow],
    *,
    columns: Sequence[str],
    width: str | float = "cvpr-full",
    title: str | None = None,
    caption: str | None = None,
    parent: Figure | SubFigure | None = None,
) -> Figure:
    """A row for each image: the patch of the unit, its projection, and those of the units below.

    All stand in the receptive field of the unit, and have one scale. The columns of one image or
    two are broken into two lines where that shows more of them.

    Args:
        rows: from top to bottom.
        columns: the heading of every column, in one or several lines: of the patch, of the unit,
            of each channel below.
        width: a name in ``WIDTHS``, or a length.
        title: in bold above the drawing.
        caption: stands below the drawing; the rule of contrast follows it.
        parent: a figure, or a part of one, to draw into; its width counts then.

    Raises:
        ValueError: no rows, or a row that has not one unit below for each of its columns.
    """
    if not rows or any(len(row.below) + 2 != len(columns) for row in rows):
        raise ValueError(
            f"rows of {sorted({len(row.below) for row in rows})} units below were given for the "
            f"columns {list(columns)}; name those of the patch and of the unit too"
        )
    full = inches(width, parent)
    first = np.min([row.unit.overhang[-2:] for row in rows], axis=0)  # a margin of all of them
    canvas = tuple((np.array(canvas_of([row.unit for row in rows])) - first).tolist())
    lines = 2 if len(rows) <= _FEW and len(columns) * _LARGE > full else 1
    across = math.ceil(len(columns) / lines)
    tile = min((full - (across - 1) * GAP) / across, _TALLEST * canvas[1] / canvas[0])
    high = snap(tile * canvas[0] / canvas[1])
    headings = [
        [w for p in name.split("\n") for w in fold(p, tile, size=SMALL)] for name in columns
    ]
    head, pitch = LABEL_LINE * max(map(len, headings)), LABEL_LINE + high + _BETWEEN
    total = lines * (head + len(rows) * pitch) - _BETWEEN
    sheet, top = captioned(full, total, title=title, caption=caption, parent=parent)
    pictures = [_pictures(row) for row in rows]
    for start in range(0, len(columns), across):
        those = range(start, min(start + across, len(columns)))
        lefts = {place: snap((place - start) * (tile + GAP)) for place in those}
        for place, left in lefts.items():
            for number, words in enumerate(headings[place], start=-len(headings[place])):
                foot = top + head + number * LABEL_LINE + BASELINE
                sheet.text(words, left + tile / 2, foot, size=SMALL, align="center")
        top += head
        for row, shown in zip(rows, pictures, strict=True):
            size, y = fitting(row.label, full, size=LABEL), snap(top + LABEL_LINE)
            sheet.text(row.label, 0.0, y - LABEL_LINE + BASELINE, size=size)
            for place, left in lefts.items():
                if place and is_zero(shown[place]):
                    sheet.blank("no signal", left, y, width=tile, height=high)
                    continue
                anchor = np.subtract(row.unit.overhang[-2:], first).tolist()
                padded = enlarge(pad_to(shown[place], *canvas, anchor=anchor))
                sheet.image(padded, left, y, width=tile, height=high)
            top += pitch
    return sheet.figure


def _pictures(row: FeedRow) -> list[Picture]:
    """The patch of the unit, its projection, and those of the units below in its field."""
    one = row.unit
    patch, projection = pair(one.patch, one.projection, of=str(one.unit))
    return [patch, projection, *(signed(placed(each, one.box)) for each in row.below)]


def placed(one: Exemplar | None, box: Box) -> npt.NDArray[np.floating[Any]]:
    """A projection at its place in a box, which may cut it; zero elsewhere, and of None."""
    bands = one.projection.shape[-1] if one is not None else 3
    pixels = np.zeros((*box.size, bands), "f4")
    if one is None:
        return pixels
    starts = [max(a, b) for a, b in zip(one.box.start, box.start, strict=True)]
    stops = [min(a, b) for a, b in zip(one.box.stop, box.stop, strict=True)]

    def within(origin: Sequence[int]) -> tuple[slice, ...]:
        ends = zip(starts, stops, origin, strict=True)
        return tuple(slice(a - first, max(a, b) - first) for a, b, first in ends)

    pixels[within(box.start)] = one.projection[within(one.box.start)]
    return pixels
