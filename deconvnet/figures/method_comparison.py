"""Methods side by side: photographs in rows, one projection a column."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy.typing as npt
from matplotlib.figure import Figure

from deconvnet.figures.canvas.caption import BASELINE, LABEL_LINE, Caption, remark
from deconvnet.figures.canvas.contrast import RULE, signed
from deconvnet.figures.canvas.lettering import shorten
from deconvnet.figures.canvas.sheet import Sheet, snap
from deconvnet.figures.canvas.style import LABEL, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import Picture, as_picture, enlarge

_GAP = 0.04  # inches
_OUTLINE = "#d55e00"


@dataclass(frozen=True)
class ComparisonRow:
    """One photograph and what the methods make of it.

    Args:
        photograph: ``(H, W, 3)``, floats in [0, 1] or uint8.
        projections: signed arrays ``(H, W, 3)``, one per method.
        label: stands at the left of the row, upright; may be empty.
        box: receptive field as top, left, bottom, right in pixels, half-open; outlined.
    """

    photograph: npt.ArrayLike
    projections: Sequence[npt.ArrayLike]
    label: str = ""
    box: tuple[int, int, int, int] | None = None


@paper()
def comparison(
    rows: Sequence[ComparisonRow],
    *,
    columns: Sequence[str],
    width: str | float = "cvpr-full",
    title: str | None = None,
    subtitle: str | None = None,
) -> Figure:
    """A row for each photograph: the photograph, then its projections by several methods.

    Args:
        rows: from top to bottom.
        columns: the heading of every column, the photograph's first:
            ``["photograph", "gradient", "deconvnet", "guided"]``.
        width: a name in ``WIDTHS``, or inches.
        title: with it comes a line that states the rule of contrast.
        subtitle: stands beside the title.

    Raises:
        ValueError: no rows, or a row that has not one projection for each method, of its size.

    Source: Springenberg et al. 2014, figures 4 to 6; Mahendran & Vedaldi 2016, figure 1.
    """
    if not rows:
        raise ValueError("no rows to compare, expected at least one ComparisonRow")
    full = inches(width)
    pictures = [_pictures(row, columns) for row in rows]
    caption = Caption(title, remark(subtitle, RULE), full)
    gutter = _gutter(rows)
    panel = (full - gutter - (len(columns) - 1) * _GAP) / len(columns)
    heights = [snap(panel * photo.shape[0] / photo.shape[1]) for photo, *_ in pictures]
    top = caption.height + LABEL_LINE
    sheet = Sheet(full, snap(top + sum(heights) + (len(rows) - 1) * _GAP))
    caption.draw(sheet)
    lefts = [gutter + number * (panel + _GAP) for number in range(len(columns))]
    for left, heading in zip(lefts, columns, strict=True):
        words = shorten(heading, panel, size=LABEL)
        middle = left + panel / 2
        sheet.text(words, middle, top - LABEL_LINE + BASELINE, align="center")
    for row, drawn, height in zip(rows, pictures, heights, strict=True):
        _label(sheet, row.label, top, height=height)
        for left, picture in zip(lefts, drawn, strict=True):
            sheet.image(enlarge(picture), left, top, width=panel, height=height)
        if row.box is not None:
            scale = panel / drawn[0].shape[1]
            sheet.outline(row.box, gutter, top, scale=scale, colour=_OUTLINE)
        top += height + _GAP
    return sheet.figure


def _pictures(row: ComparisonRow, columns: Sequence[str]) -> list[Picture]:
    """The photograph and the projections, ready to be drawn."""
    if len(row.projections) + 1 != len(columns):
        raise ValueError(
            f"row {row.label!r} has a photograph and {len(row.projections)} projections for the "
            f"columns {list(columns)}; name the photograph's column too, and give one projection "
            "for each of the others"
        )
    drawn = [as_picture(row.photograph, what="a photograph"), *map(signed, row.projections)]
    for picture in drawn[1:]:
        if picture.shape != drawn[0].shape:
            raise ValueError(
                f"row {row.label!r} has a projection of {picture.shape[:2]} pixels beside a "
                f"photograph of {drawn[0].shape[:2]}; give the image as the model took it"
            )
    return drawn


def _gutter(rows: Sequence[ComparisonRow]) -> float:
    """Room for the upright labels: none, if there are none."""
    return 0.15 if any(row.label for row in rows) else 0.0


def _label(sheet: Sheet, label: str, top: float, *, height: float) -> None:
    words = shorten(label, height - _GAP, size=LABEL)
    sheet.text(words, 0.06, top + height / 2, align="middle", rotation=90.0)
