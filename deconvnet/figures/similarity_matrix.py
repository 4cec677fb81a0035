"""A matrix of correlations, and the pairs that stand out in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure, SubFigure

from deconvnet.figures.canvas.sheet import BASELINE, LABEL_LINE, Sheet, captioned, snap
from deconvnet.figures.canvas.style import QUIET, SMALL, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import Picture, enlarge

RULE = "Blue is −1, white 0, red 1."
"""What the colours are, as a sentence for captions and for the metadata of files."""

_SHARE = 0.55  # of the width, for the matrix
_MOST = 4.5  # inches: larger matrices show no more
_GUTTER = 0.18
_BAR = 0.09  # inches: width of the scale of colours


@paper()
def similarity_matrix(
    correlation: npt.ArrayLike,
    pairs: Mapping[str, Sequence[tuple[int, int, float]]],
    *,
    width: str | float = "cvpr-full",
    title: str | None = None,
    caption: str | None = None,
    parent: Figure | SubFigure | None = None,
) -> Figure:
    """A matrix of correlations in colours, and lists of pairs beside it.

    Args:
        correlation: (channels, channels) in [-1, 1], in the order they are drawn.
        pairs: {heading: (channel, channel, correlation) of each pair}, a column each.
        width: a name in ``WIDTHS``, or inches.
        title: in bold above the drawing.
        caption: stands below the drawing; the rule of the colours follows it.
        parent: a figure, or a part of one, to draw into; its width counts then.

    Raises:
        ValueError: the matrix is not square, or holds values outside [-1, 1].
    """
    values = np.asarray(correlation, np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or not (abs(values) <= 1).all():
        raise ValueError(
            f"correlations of shape {values.shape} were given, expected a square matrix of values "
            "from -1 to 1"
        )
    full = inches(width, parent)
    side = snap(min(_SHARE * full, _MOST))
    lines = 1 + max((len(some) for some in pairs.values()), default=0)
    height = max(side, lines * LABEL_LINE)
    sheet, top = captioned(full, height, title=title, caption=caption, parent=parent, rule=RULE)
    sheet.image(enlarge(_coloured(values)), 0.0, top, width=side, height=side)
    _scale(sheet, side + 0.08, top, side)
    left = side + 0.08 + _BAR + 0.35
    column = (full - left) / max(1, len(pairs))
    for number, (heading, some) in enumerate(pairs.items()):
        x = left + number * column
        sheet.text(heading, x, top + BASELINE, weight="bold")
        for line, (one, other, value) in enumerate(some, start=1):
            foot = top + line * LABEL_LINE + BASELINE
            sheet.text(f"{one}, {other}", x, foot)
            words = f"{value:+.2f}".replace("-", "−")
            sheet.text(words, x + column - _GUTTER, foot, colour=QUIET, align="right")
    return sheet.figure


def _coloured(values: npt.NDArray[np.float64]) -> Picture:
    """Values from -1 to 1 in colours, (height, width, 3)."""
    return np.asarray(matplotlib.colormaps["RdBu_r"]((values + 1) / 2)[..., :3], np.float64)


def _scale(sheet: Sheet, left: float, top: float, height: float) -> None:
    """The scale of the colours, from 1 at its top to -1."""
    shades = _coloured(np.linspace(1, -1, 256)[:, None].repeat(16, axis=1))
    sheet.image(shades, left, top, width=_BAR, height=height)
    for words, share in (("1", 0.0), ("0", 0.5), ("−1", 1.0)):
        foot = top + min(max(share * height + 0.03, 0.07), height)
        sheet.text(words, left + _BAR + 0.04, foot, size=SMALL, colour=QUIET)
