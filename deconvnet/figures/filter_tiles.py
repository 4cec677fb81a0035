"""The filters of a first layer, in one grid."""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from deconvnet import units
from deconvnet.arguments import listed
from deconvnet.figures.canvas.contrast import signed
from deconvnet.figures.canvas.lettering import measure
from deconvnet.figures.canvas.sheet import Sheet, captioned, snap
from deconvnet.figures.canvas.strips import Curves, Place, film
from deconvnet.figures.canvas.style import QUIET, SMALL, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import Picture, enlarge, tile
from deconvnet.units import check_bands

RULE = "Each filter is divided by its largest absolute weight; zero is mid-grey."
"""How the filters are drawn, as a sentence for captions and for the metadata of files."""

_ROOM = 0.05  # inches between the numbers and the filters
_PAGE_WIDTH = 4.5
_CURVE, _BETWEEN = 0.32, 0.06  # inches: height of a curve, and what is between two
_PANEL = "#f4f4f4"


@paper()
def filters(
    weights: npt.ArrayLike,
    *,
    bands: int | Sequence[int] | None = None,
    width: str | float = "cvpr",
    title: str | None = None,
    caption: str | None = None,
    parent: Figure | SubFigure | None = None,
) -> Figure:
    """All filters of a first layer in one grid, each on a scale of its own.

    The grid is about as high as wide, or in a page's width a third as high. The number at the left
    of a row is the channel of its first filter. Filters of signals are curves, those of videos
    their frames in a row.

    Args:
        weights: ``(C, bands, h, w)``; of signals ``(C, bands, length)``, of videos
            ``(C, bands, frames, h, w)``.
        bands: of filters of more than three bands, the three that are shown as red, green and
            blue, or one, shown as grey, counted from 0; of signals any. By default the first
            three, or the first one of fewer than three; of signals all. The caption tells them.
        width: a name in ``WIDTHS``, or inches.
        title: in bold above the drawing.
        caption: stands below the drawing; the rule of contrast follows it.
        parent: a figure, or a part of one, to draw into; its width counts then.

    Raises:
        ValueError: weights of another shape, or that are not finite; bands that are not there.

    Source: Zeiler & Fergus 2014, figure 6 (b, c).
    """
    values = np.asarray(weights)
    if values.ndim not in (3, 4, 5) or values.size == 0:
        raise ValueError(
            f"weights of shape {values.shape} cannot be drawn as filters, expected (channels, "
            "bands, height, width), or (channels, bands, length), or (channels, bands, frames, "
            "height, width); give those of the first convolution"
        )
    there, axes = values.shape[1], values.ndim - 2
    chosen = check_bands(None if bands is None else listed(bands, Integral), there, axes=axes)
    shown = [units.shown(np.moveaxis(one, 0, -1), chosen) for one in values]
    if caption is not None and len(chosen) < there:
        told = f"{'band' if len(chosen) == 1 else 'bands'} {', '.join(map(str, chosen))}"
        caption = f"{caption}; {told} of {there}"
    full = inches(width, parent)
    columns = _columns(len(values), full, wide=values.shape[2] if axes == 3 else 1)
    rows = math.ceil(len(values) / columns)
    numbers = [str(row * columns) for row in range(rows)]
    left = snap(max(measure(number, SMALL) for number in numbers) + _ROOM)
    pictures = [] if axes == 1 else [enlarge(_picture(one)) for one in shown]
    if axes == 1:
        height = rows * (_CURVE + _BETWEEN) - _BETWEEN
    else:
        grid = tile(pictures, columns=columns, rows=rows)
        height = snap((full - left) * grid.shape[0] / grid.shape[1])
    sheet, top = captioned(full, height, title=title, caption=caption, parent=parent, rule=RULE)
    if axes == 1:
        _curves(sheet, shown, left, top, width=full - left, columns=columns)
    else:
        sheet.image(grid, left, top, width=full - left, height=height)
    for row, number in enumerate(numbers):
        foot = top + (row + 0.5) / rows * height + 0.03
        sheet.text(number, left - _ROOM, foot, size=SMALL, colour=QUIET, align="right")
    return sheet.figure


def _picture(one: NDArray[np.floating[Any]]) -> Picture:
    """A filter (h, w, 3), or (frames, h, w, 3) as its frames in a row, on one scale."""
    drawn = signed(one.reshape(-1, *one.shape[-2:]), quantile=1.0).reshape(one.shape)
    return film(drawn) if one.ndim == 4 else drawn


def _curves(
    sheet: Sheet,
    signals: Sequence[NDArray[np.floating[Any]]],
    left: float,
    top: float,
    *,
    width: float,
    columns: int,
) -> None:
    """Draw filters (length, bands) in a grid, each as high as its largest absolute weight."""
    cell, drawn = (width - (columns - 1) * _BETWEEN) / columns, Curves.of(signals)
    for number, one in enumerate(signals):
        row, column = divmod(number, columns)
        place = Place(
            left + column * (cell + _BETWEEN), top + row * (_CURVE + _BETWEEN), cell, _CURVE
        )
        sheet.fill(place.left, place.top, width=cell, height=_CURVE, colour=_PANEL)
        drawn.projection(sheet, one, place, canvas=one.shape[:1], start=0)


def _columns(filters: int, full: float, *, wide: int = 1) -> int:
    """About square in a column and three times as wide in a page; a divisor where one is near.

    Filters are ``wide`` times as wide as high.
    """
    root = math.sqrt(filters * (1 if full < _PAGE_WIDTH else 3) / wide)
    near = range(max(1, math.ceil(root)), max(1, int(1.6 * root)) + 1)
    columns = next((columns for columns in near if filters % columns == 0), math.ceil(root))
    return min(columns, filters)
