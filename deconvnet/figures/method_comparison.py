"""Methods side by side: a row for each image, a column for each rectifier."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy.typing as npt
from matplotlib.figure import Figure, SubFigure

from deconvnet.figures.canvas.lettering import shorten
from deconvnet.figures.canvas.parts import part
from deconvnet.figures.canvas.sheet import BASELINE, LABEL_LINE, captioned, snap
from deconvnet.figures.canvas.style import LABEL, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import Picture, as_picture, enlarge, pair
from deconvnet.units import Box

_GAP = 0.04  # inches
_OUTLINE = "#d55e00"


@dataclass(frozen=True, eq=False)
class ComparisonRow:
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
        caption: stands beside the title; the rule of contrast follows it.
        parent: a figure, or a part of one, to draw into; its width counts then.

    Raises:
        ValueError: no rows, or a row that has not one projection for each method, of its size.

    Source: Springenberg et al. 2014, figures 4 to 6; Mahendran & Vedaldi 2016, figure 1.
    """
    if not rows:
        raise ValueError("no rows to compare, expected at least one ComparisonRow")
    full = inches(width, parent)
    pictures = [_pictures(row, columns) for row in rows]
    gutter = 0.15 if any(row.label for row in rows) else 0.0  # room for the upright labels
    panel = (full - gutter - (len(columns) - 1) * _GAP) / len(columns)
    heights = [snap(panel * image.shape[0] / image.shape[1]) for image, *_ in pictures]
    total = LABEL_LINE + sum(heights) + (len(rows) - 1) * _GAP
    sheet, top = captioned(full, total, title=title, caption=caption, parent=parent)
    lefts = [gutter + number * (panel + _GAP) for number in range(len(columns))]
    for left, heading in zip(lefts, columns, strict=True):
        words = shorten(heading, panel, size=LABEL)
        sheet.text(words, left + panel / 2, top + BASELINE, align="center")
    top += LABEL_LINE
    for row, drawn, height in zip(rows, pictures, heights, strict=True):
        words = shorten(row.label, height - _GAP, size=LABEL)
        sheet.text(words, 0.06, top + height / 2, align="middle", rotation=90.0)
        skipped = 1 if row.repeated else 0
        for left, picture in zip(lefts[skipped:], drawn[skipped:], strict=True):
            sheet.image(enlarge(picture), left, top, width=panel, height=height)
        if row.box is not None and not row.repeated:
            scale = panel / drawn[0].shape[1]
            sheet.outline(row.box, gutter, top, scale=scale, colour=_OUTLINE)
        top += height + _GAP
    return sheet.figure


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
