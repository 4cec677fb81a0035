"""Methods side by side: a row for each image, a column for each rectifier."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy.typing as npt
from matplotlib.figure import Figure, SubFigure

from deconvnet.arguments import Brief
from deconvnet.figures.canvas.lettering import fold, measure
from deconvnet.figures.canvas.parts import part
from deconvnet.figures.canvas.sheet import BASELINE, LABEL_LINE, captioned, snap
from deconvnet.figures.canvas.style import LABEL, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import Picture, as_picture, enlarge, is_zero, pair
from deconvnet.units import Box

_GAP = 0.04  # inches
_UPRIGHT = 0.12  # across a line of upright letters
_OUTLINE = "#d55e00"


@dataclass(frozen=True, eq=False)
class ComparisonRow(Brief):
    """One image and its projections.

    Args:
        image: (H, W, 3), floats in [0, 1] or uint8.
        projections: signed arrays (H, W, 3), one per method.
        label: stands at the left of the row, upright; may be empty.
        box: receptive field in pixels, which is outlined.
        sign: which values are drawn, see ``part``: "all", "positive", "negative" or
            "absolute_value".
        repeated: the image stands in the row above: it is left out.
    """

    image: npt.ArrayLike
    projections: Sequence[npt.ArrayLike]
    label: str = ""
    box: Box | None = None
    sign: str = "all"
    repeated: bool = False


@paper()
def comparison(
    rows: Sequence[ComparisonRow],
    *,
    columns: Sequence[str],
    width: str | float = "cvpr-full",
    title: str | None = None,
    caption: str | None = None,
    parent: Figure | SubFigure | None = None,
) -> Figure:
    """A row for each image: the image, then its projections by several methods.

    Args:
        rows: from top to bottom.
        columns: the heading of every column, the image's first:
            ``["image", "gradient", "deconvnet", "guided"]``.
        width: a name in ``WIDTHS``, or inches.
        title: in bold above the drawing.
        caption: stands below the drawing; the rule of contrast follows it.
        parent: a figure, or a part of one, to draw into; its width counts then.

    Raises:
        ValueError: no rows, or a row that has not one projection for each method, of its size.

    Source: Springenberg et al. 2014, figures 4 to 6; Mahendran & Vedaldi 2016, figure 1.
    """
    if not rows:
        raise ValueError("no rows to compare, expected at least one ComparisonRow")
    full = inches(width, parent)
    pictures = [_pictures(row, columns) for row in rows]
    gutter, panel = _panel(rows, pictures, full=full, columns=len(columns))
    heights = [snap(panel * image.shape[0] / image.shape[1]) for image, *_ in pictures]
    headings = [fold(heading, panel, size=LABEL) for heading in columns]
    strip = LABEL_LINE * max(map(len, headings))
    pitches = [_pitch(row.label, height) + _GAP for row, height in zip(rows, heights, strict=True)]
    total = strip + sum(pitches) - _GAP
    sheet, top = captioned(full, total, title=title, caption=caption, parent=parent)
    lefts = [gutter + number * (panel + _GAP) for number in range(len(columns))]
    for left, lines in zip(lefts, headings, strict=True):
        for number, line in enumerate(lines):
            foot = top + strip - LABEL_LINE * (len(lines) - number) + BASELINE
            sheet.text(line, left + panel / 2, foot, align="center")
    top += strip
    for row, drawn, height, pitch in zip(rows, pictures, heights, pitches, strict=True):
        for number, line in enumerate(fold(row.label, pitch - _GAP, size=LABEL)):
            across = _UPRIGHT * (number + 0.5)
            sheet.text(line, across, top + (pitch - _GAP) / 2, align="middle", rotation=90.0)
        for place, (left, picture) in enumerate(zip(lefts, drawn, strict=True)):
            if not place and row.repeated:
                continue
            if place and is_zero(picture):
                sheet.blank("no signal", left, top, width=panel, height=height)
            else:
                sheet.image(enlarge(picture), left, top, width=panel, height=height)
        if row.box is not None and not row.repeated:
            size = panel / drawn[0].shape[1]
            sheet.outline(row.box, gutter, top, scale=size, colour=_OUTLINE)
        top += pitch
    return sheet.figure


def _panel(
    rows: Sequence[ComparisonRow],
    pictures: Sequence[Sequence[Picture]],
    *,
    full: float,
    columns: int,
) -> tuple[float, float]:
    """Width of the strip of upright labels, and of a picture: labels are folded, never cut."""
    for lines in itertools.count(1 if any(row.label for row in rows) else 0):
        gutter = lines * _UPRIGHT + (_GAP if lines else 0.0)
        panel = (full - gutter - (columns - 1) * _GAP) / columns
        heights = [snap(panel * image.shape[0] / image.shape[1]) for image, *_ in pictures]
        rooms = zip((row.label for row in rows), heights, strict=True)
        if all(len(fold(one, _pitch(one, high), size=LABEL)) <= lines for one, high in rooms):
            break
    return gutter, panel


def _pitch(label: str, height: float) -> float:
    """Height of a row: that of its picture, or of a low one what three lines of label take."""
    return max(height, min(measure(label, LABEL), measure(label, LABEL) / 3 + 0.2))


def _pictures(row: ComparisonRow, columns: Sequence[str]) -> list[Picture]:
    """The image and its projections, ready to be drawn."""
    if len(row.projections) + 1 != len(columns):
        raise ValueError(
            f"row {row.label!r} has an image and {len(row.projections)} projections for the "
            f"columns {list(columns)}; name the image's column too, and give one projection for "
            "each of the others"
        )
    image = as_picture(row.image, what="an image")
    drawn = [pair(image, one, of=f"row {row.label!r}")[1] for one in row.projections]
    if row.sign != "all":
        drawn = [part(one, row.sign) for one in row.projections]
    return [image, *drawn]
