"""The figures of signals and videos: curves and films below each other, where images are tiled."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure, SubFigure

from deconvnet.figures.canvas.lettering import fitting
from deconvnet.figures.canvas.sheet import BASELINE, LABEL_LINE, Sheet, captioned
from deconvnet.figures.canvas.strips import COLOURS, Curves, Film, Place
from deconvnet.figures.canvas.style import LABEL, QUIET, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import BLANK
from deconvnet.units import Exemplar

from .exemplar_grid import Blocks
from .method_comparison import ComparisonRow
from .unit_panels import ImageRow, label

_GUTTER, _BETWEEN = 0.2, 0.05  # inches between columns, between rows
_MARK, _INDENT = 0.06, 0.09  # inches: the square of a unit's colour before its label
_GROUP = 0.1  # inches between images
_HIGHER = 1.6  # a whole signal is drawn so much higher than a patch
_MOST = 4  # columns


@paper()
def exemplar_rows(
    channels: Blocks,
    *,
    width: str | float = "cvpr-full",
    title: str | None = None,
    caption: str | None = None,
    parent: Figure | SubFigure | None = None,
) -> Figure:
    """For every channel its exemplars below each other: projection, and patch beside it.

    The arguments are those of ``figure2``; patches are signals (length, channels) or videos
    (frames, height, width, 3). All panels have one scale, the receptive field's.

    Raises:
        ValueError: no channels.
    """
    if not channels:
        raise ValueError("no channels to draw, expected {channel: exemplars}")
    every = [one for those in channels.values() for one in those]
    drawn, canvas = strips_of([one.patch for one in every]), strip_canvas(every)
    full = inches(width, parent)
    columns = _columns(full, len(channels), 2 * drawn.least(canvas) + drawn.inner)
    cell = (full - (columns - 1) * _GUTTER) / columns
    panel = (cell - drawn.inner) / 2
    height, most = drawn.height(panel, canvas), max(1, *map(len, channels.values()), 1)
    pitch = LABEL_LINE + most * (height + _BETWEEN) + _GROUP
    rows = math.ceil(len(channels) / columns)
    sheet, start = captioned(
        full, rows * pitch - _GROUP, title=title, caption=caption, parent=parent, rule=drawn.rule
    )
    for number, (channel, those) in enumerate(channels.items()):
        row, column = divmod(number, columns)
        left, top = column * (cell + _GUTTER), start + row * pitch
        size = fitting(str(channel), cell, size=LABEL)
        sheet.text(str(channel), left, top + BASELINE, size=size)
        top += LABEL_LINE
        if not those:
            sheet.fill(left, top, width=cell, height=height, colour=str(BLANK))
            sheet.text(
                "never positive", left + cell / 2, top + height / 2, colour=QUIET, align="middle"
            )
        for one in those:
            strip_pair(
                sheet, drawn, one, canvas, Place(left, top, panel, height), first="projection"
            )
            top += height + _BETWEEN
    return sheet.figure


@paper()
def unit_rows(
    rows: Sequence[ImageRow],
    *,
    width: str | float = "cvpr-full",
    title: str | None = None,
    caption: str | None = None,
    parent: Figure | SubFigure | None = None,
) -> Figure:
    """Each signal or video with the fields of its units marked; below it patches and projections.

    The arguments are those of ``visualization``.

    Raises:
        ValueError: no rows, or a row without units.
    """
    if not rows or not all(row.units for row in rows):
        raise ValueError("an image without units cannot be drawn; give each row at least one unit")
    wholes = [np.asarray(row.image) for row in rows]
    canvas = strip_canvas([one for row in rows for one in row.units])
    drawn, full = strips_of(wholes), inches(width, parent)
    columns = _columns(
        full, max(len(row.units) for row in rows), 2 * drawn.least(canvas) + drawn.inner
    )
    cell = (full - (columns - 1) * _GUTTER) / columns
    panel = (cell - drawn.inner) / 2
    height = drawn.height(panel, canvas)
    line = LABEL_LINE + height + _BETWEEN
    highs = [_whole_height(drawn, full, whole) for whole in wholes]
    bands = [
        LABEL_LINE + high + drawn.room(len(row.units)) + _BETWEEN
        + math.ceil(len(row.units) / columns) * line + _GROUP
        for row, high in zip(rows, highs, strict=True)
    ]  # fmt: skip
    sheet, top = captioned(
        full, sum(bands) - _GROUP, title=title, caption=caption, parent=parent, rule=drawn.rule
    )
    for row, whole, high, band in zip(rows, wholes, highs, bands, strict=True):
        size = fitting(row.name, full, size=LABEL)
        sheet.text(row.name, 0.0, top + BASELINE, size=size, colour=QUIET)
        place = Place(0.0, top + LABEL_LINE, full, high)
        _whole(sheet, drawn, whole, place)
        drawn.marks(sheet, [one.box for one in row.units], place, canvas=whole.shape[:-1])
        below = place.top + high + drawn.room(len(row.units)) + _BETWEEN
        for number, one in enumerate(row.units):
            colour = COLOURS[number % len(COLOURS)]
            down, across = divmod(number, columns)
            left = across * (cell + _GUTTER)
            start = below + down * line
            foot = start + BASELINE
            sheet.fill(left, foot - _MARK, width=_MARK, height=_MARK, colour=colour)
            name = label(one)
            sheet.text(name, left + _INDENT, foot, size=fitting(name, cell - _INDENT, size=LABEL))
            corner = Place(left, start + LABEL_LINE, panel, height)
            strip_pair(sheet, drawn, one, canvas, corner, first="patch")
        top += band
    return sheet.figure


@paper()
def comparison_rows(
    rows: Sequence[ComparisonRow],
    *,
    columns: Sequence[str],
    width: str | float = "cvpr-full",
    title: str | None = None,
    caption: str | None = None,
    parent: Figure | SubFigure | None = None,
) -> Figure:
    """Each signal or video, and below it its projections by several methods.

    The arguments are those of ``comparison``; the first of the ``columns`` is the image's.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("no rows to compare, expected at least one ComparisonRow")
    full = inches(width, parent)
    wholes = [np.asarray(row.image) for row in rows]
    drawn = strips_of(wholes)
    highs = [_whole_height(drawn, full, whole) for whole in wholes]
    line = [LABEL_LINE + high for high in highs]
    marked = sum(drawn.room(1) for row in rows if row.box is not None)
    total = sum(len(columns) * each + _GROUP for each in line) - _GROUP + marked
    sheet, top = captioned(
        full, total, title=title, caption=caption, parent=parent, rule=drawn.rule
    )
    for row, whole, high in zip(rows, wholes, highs, strict=True):
        sheet.text(row.label, 0.0, top + BASELINE, size=fitting(row.label, full, size=LABEL))
        place = Place(0.0, top + LABEL_LINE, full, high)
        _whole(sheet, drawn, whole, place)
        if row.box is not None:
            drawn.marks(sheet, [row.box], place, canvas=whole.shape[:-1])
            top += drawn.room(1)
        for heading, projection in zip(columns[1:], row.projections, strict=True):
            top += LABEL_LINE + high
            sheet.text(heading, 0.0, top + BASELINE, size=fitting(heading, full, size=LABEL))
            place = Place(0.0, top + LABEL_LINE, full, high)
            values = _PARTS[row.sign](np.asarray(projection))
            start: Any = 0 if values.ndim == 2 else (0, 0, 0)
            drawn.projection(sheet, values, place, canvas=values.shape[:-1], start=start)
        top += LABEL_LINE + high + _GROUP
    return sheet.figure


_PARTS: dict[str, Callable[[Any], Any]] = {
    "all": lambda values: values,
    "positive": lambda values: np.maximum(values, 0),
    "negative": lambda values: np.minimum(values, 0),
    "absolute_value": np.abs,
}


def strips_of(values: Sequence[Any]) -> Curves | Film:
    """What draws signals or videos."""
    return (Curves if all(one.ndim == 2 for one in values) else Film).of(values)


def _whole_height(drawn: Curves | Film, full: float, whole: Any) -> float:
    high = drawn.height(full, whole.shape[:-1])
    return _HIGHER * high if isinstance(drawn, Curves) else high


def _whole(sheet: Sheet, drawn: Curves | Film, whole: Any, place: Place) -> None:
    start: Any = 0 if whole.ndim == 2 else (0, 0, 0)
    drawn.values(sheet, whole, place, canvas=whole.shape[:-1], start=start)


def strip_pair(
    sheet: Sheet,
    drawn: Curves | Film,
    one: Exemplar,
    canvas: tuple[int, ...],
    corner: Place,
    *,
    first: str,
) -> None:
    """Patch and projection of an exemplar, side by side; ``corner`` is the place of the first."""
    start: Any = one.overhang[0] if len(canvas) == 1 else one.overhang
    right = Place(corner.left + corner.width + drawn.inner, corner.top, corner.width, corner.height)
    places = (corner, right) if first == "patch" else (right, corner)
    drawn.values(sheet, one.patch, places[0], canvas=canvas, start=start)
    drawn.projection(sheet, one.projection, places[1], canvas=canvas, start=start)


def strip_canvas(exemplars: Sequence[Exemplar]) -> tuple[int, ...]:
    """The size that holds every crop at its place in its receptive field."""
    sizes = [np.add(one.overhang, one.patch.shape[:-1]) for one in exemplars]
    return tuple(np.max(sizes, axis=0).tolist()) if sizes else (1,)


def _columns(full: float, most: int, least: float) -> int:
    """How many cells, which need this width, stand side by side."""
    fitting = int((full + _GUTTER) / (least + _GUTTER))
    return max(1, min(fitting, most, _MOST))
