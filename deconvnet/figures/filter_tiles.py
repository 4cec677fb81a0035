"""The filters of a first layer, in one grid."""

import math

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure, SubFigure

from deconvnet.figures.canvas.contrast import signed
from deconvnet.figures.canvas.lettering import measure
from deconvnet.figures.canvas.sheet import captioned, snap
from deconvnet.figures.canvas.style import QUIET, SMALL, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import enlarge, tile

RULE = "Each filter is divided by its largest absolute weight; zero is mid-grey."
"""How the filters are drawn, as a sentence for captions and for the metadata of files."""

_ROOM = 0.05  # inches between the numbers and the filters
_PAGE_WIDTH = 4.5


@paper()
def filters(
    weights: npt.ArrayLike,
    *,
    width: str | float = "cvpr",
    title: str | None = None,
    caption: str | None = None,
    parent: Figure | SubFigure | None = None,
) -> Figure:
    """All filters of a first layer in one grid, each on a scale of its own.

    The grid is about as high as wide, or in a page's width a third as high. The number at the left
    of a row is the channel of its first filter.

    Args:
        weights: ``(C, 3, h, w)``, or ``(C, 1, h, w)``, drawn as grey.
        width: a name in ``WIDTHS``, or inches.
        title: in bold above the drawing.
        caption: stands below the drawing; the rule of contrast follows it.
        parent: a figure, or a part of one, to draw into; its width counts then.

    Raises:
        ValueError: weights of another shape, or that are not finite.

    Source: Zeiler & Fergus 2014, figure 6 (b, c).
    """
    values = np.asarray(weights)
    if values.ndim != 4 or values.shape[1] not in (1, 3) or values.size == 0:
        raise ValueError(
            f"weights of shape {values.shape} cannot be drawn as colours, expected "
            "(channels, 3, height, width); give those of the first convolution, and project units "
            "of deeper layers instead"
        )
    full = inches(width, parent)
    columns = _columns(len(values), full)
    rows = math.ceil(len(values) / columns)
    pictures = [enlarge(signed(one.transpose(1, 2, 0), quantile=1.0)) for one in values]
    grid = tile(pictures, columns=columns, rows=rows)
    numbers = [str(row * columns) for row in range(rows)]
    left = snap(max(measure(number, SMALL) for number in numbers) + _ROOM)
    height = snap((full - left) * grid.shape[0] / grid.shape[1])
    sheet, top = captioned(full, height, title=title, caption=caption, parent=parent, rule=RULE)
    sheet.image(grid, left, top, width=full - left, height=height)
    for row, number in enumerate(numbers):
        foot = top + (row + 0.5) / rows * height + 0.03
        sheet.text(number, left - _ROOM, foot, size=SMALL, colour=QUIET, align="right")
    return sheet.figure


def _columns(filters: int, full: float) -> int:
    """About square in a column and three times as wide in a page; a divisor where one is near."""
    root = math.sqrt(filters * (1 if full < _PAGE_WIDTH else 3))
    near = range(max(1, math.ceil(root)), max(1, int(1.6 * root)) + 1)
    columns = next((columns for columns in near if filters % columns == 0), math.ceil(root))
    return min(columns, filters)
