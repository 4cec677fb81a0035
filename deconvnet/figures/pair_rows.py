"""Groups of exemplars, a line each: patches in a row, and below each its projection."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure, SubFigure

from deconvnet.figures.canvas.lettering import fold
from deconvnet.figures.canvas.sheet import BASELINE, LABEL_LINE, Sheet, captioned, snap
from deconvnet.figures.canvas.style import LABEL, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import enlarge, is_zero, pad_to, pair
from deconvnet.units import Exemplar

GAP = 0.03
"""Inches between two exemplars, and between a patch and the projection below it."""
_BETWEEN, _LEAST, _FEW = 0.12, 0.6, 9  # inches between lines; of a tile; tiles in a line at least


@paper()
def pair_rows(
    groups: Mapping[str, Sequence[Exemplar]],
    *,
    width: str | float = "cvpr-full",
    title: str | None = None,
    caption: str | None = None,
    parent: Figure | SubFigure | None = None,
) -> Figure:
    """For every group its label and its exemplars, however many each has.

    All tiles have one scale; what does not fit beside each other is continued below.

    Args:
        groups: {label: exemplars}, in the order they are drawn.
        width: a name in ``WIDTHS``, or a length.
        title: in bold above the drawing.
        caption: stands below the drawing; the rule of contrast follows it.
        parent: a figure, or a part of one, to draw into; its width counts then.

    Raises:
        ValueError: no exemplars.
    """
    every = [one for those in groups.values() for one in those]
    if not every:
        raise ValueError("no exemplars to draw, expected {label: exemplars}")
    full, canvas = inches(width, parent), canvas_of(every)
    fitting = max(1, int((full + GAP) / (_LEAST + GAP)))
    across = min(fitting, max(_FEW, *map(len, groups.values())))
    tile = (full - (across - 1) * GAP) / across
    line = 2 * pitch(tile, canvas)
    labels = {label: fold(label, full, size=LABEL) for label in groups}
    heights = [
        len(labels[label]) * LABEL_LINE + math.ceil(len(those) / across) * (line + _BETWEEN)
        for label, those in groups.items()
    ]
    sheet, top = captioned(
        full, sum(heights) - _BETWEEN, title=title, caption=caption, parent=parent
    )
    for (label, those), height in zip(groups.items(), heights, strict=True):
        start = snap(top)
        for number, words in enumerate(labels[label]):
            sheet.text(words, 0.0, start + number * LABEL_LINE + BASELINE)
        start += len(labels[label]) * LABEL_LINE
        for first in range(0, len(those), across):
            draw_pairs(sheet, those[first : first + across], 0.0, start, tile=tile, canvas=canvas)
            start += line + _BETWEEN
        top += height
    return sheet.figure


def draw_pairs(
    sheet: Sheet,
    exemplars: Sequence[Exemplar],
    left: float,
    top: float,
    *,
    tile: float,
    canvas: tuple[int, int],
) -> None:
    """Patches from left to right, each ``tile`` inches wide, and their projections below."""
    step = pitch(tile, canvas)
    for place, one in enumerate(exemplars):
        x = snap(left + place * (tile + GAP))
        patch, projection = pair(one.patch, one.projection, of=str(one.unit))
        for line, picture in enumerate((patch, projection)):
            y, high = top + line * step, step - GAP
            if line and is_zero(projection):
                sheet.blank("no signal", x, y, width=tile, height=high)
            else:
                shown = enlarge(pad_to(picture, *canvas, anchor=one.overhang[-2:]))
                sheet.image(shown, x, y, width=tile, height=high)


def pitch(tile: float, canvas: tuple[int, int]) -> float:
    """From the top of a patch to that of the projection below it, in inches."""
    return snap(tile * canvas[0] / canvas[1]) + GAP


def canvas_of(exemplars: Sequence[Exemplar]) -> tuple[int, int]:
    """Height and width that hold every crop at its place in its receptive field."""
    sizes = [np.add(one.overhang[-2:], one.patch.shape[:2]) for one in exemplars]
    height, width = np.max(sizes, axis=0).tolist()
    return height, width
