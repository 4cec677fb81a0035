"""Channels over their whole range: a histogram, and exemplars from the lowest to the strongest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure, SubFigure

from deconvnet.arguments import percent
from deconvnet.figures.canvas.lettering import digits
from deconvnet.figures.canvas.sheet import BASELINE, LABEL_LINE, Sheet, captioned, snap
from deconvnet.figures.canvas.style import INK, LABEL, QUIET, SMALL, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import enlarge, is_zero, pad_to, pair
from deconvnet.units import Exemplar

_HISTOGRAM = 1.35  # inches: width of a histogram
_BARS = 24
_GAP, _GUTTER, _BETWEEN = 0.03, 0.16, 0.12
_TICKS = 0.09  # inches below a histogram, for its marks
_BAR, _MARK = "#9a9a9a", "#d55e00"


@dataclass(frozen=True, eq=False)
class SpectrumRow:
    """One channel.

    Args:
        label: stands above its histogram.
        sample: activations of images drawn at random, without NaN.
        zero: the share of them that is 0.
        names: of the exemplars: "lowest", "30 %", "strongest".
        exemplars: with the activations that are marked, ascending.
    """

    label: str
    sample: npt.NDArray[np.floating]
    zero: float
    names: Sequence[str]
    exemplars: Sequence[Exemplar]


@paper()
def spectrum_rows(
    rows: Sequence[SpectrumRow],
    *,
    width: str | float = "cvpr-full",
    title: str | None = None,
    caption: str | None = None,
    parent: Figure | SubFigure | None = None,
) -> Figure:
    """For each channel the histogram of a sample, and patches above projections.

    Activations that are exactly 0 are told in words and are not in the histogram, where they would
    hide all others. Marks below it stand where the exemplars are, in their order.

    Args:
        rows: the channels; all with as many exemplars.
        width: a name in ``WIDTHS``, or inches.
        title: in bold above the drawing.
        caption: stands below the drawing; the rule of contrast follows it.
        parent: a figure, or a part of one, to draw into; its width counts then.

    Raises:
        ValueError: no rows, or rows of different lengths.
    """
    counts = {len(row.exemplars) for row in rows}
    if len(counts) != 1 or counts == {0}:
        raise ValueError(
            f"rows of {sorted(counts)} exemplars were given, expected as many in each, at least one"
        )
    full, across = inches(width, parent), counts.pop()
    shapes = [np.add(e.overhang[-2:], e.patch.shape[:2]) for row in rows for e in row.exemplars]
    canvas = np.max(shapes, axis=0)
    tile = (full - _HISTOGRAM - _GUTTER - (across - 1) * _GAP) / across
    high = snap(tile * canvas[0] / canvas[1])
    pitch = 2 * LABEL_LINE + 2 * high + _GAP + _BETWEEN
    sheet, start = captioned(
        full, len(rows) * pitch - _BETWEEN, title=title, caption=caption, parent=parent
    )
    for number, row in enumerate(rows):
        top = snap(start + number * pitch)
        sheet.text(row.label, 0.0, top + BASELINE, weight="bold")
        body = top + 2 * LABEL_LINE
        _histogram(sheet, row, top + LABEL_LINE, pitch - _BETWEEN - LABEL_LINE)
        for place, (name, one) in enumerate(zip(row.names, row.exemplars, strict=True)):
            left = snap(_HISTOGRAM + _GUTTER + place * (tile + _GAP))
            middle = left + tile / 2
            sheet.text(name, middle, top + BASELINE, size=SMALL, colour=QUIET, align="center")
            value, foot = digits(one.activation), top + LABEL_LINE + BASELINE
            sheet.text(value, middle, foot, size=LABEL, align="center")
            patch, projection = pair(one.patch, one.projection, of=str(one.unit))
            for line, picture in enumerate((patch, projection)):
                down = body + line * (high + _GAP)
                if line and is_zero(projection):
                    sheet.blank("no signal", left, down, width=tile, height=high)
                    continue
                shown = enlarge(pad_to(picture, *map(int, canvas), anchor=one.overhang[-2:]))
                sheet.image(shown, left, down, width=tile, height=high)
    return sheet.figure


def _histogram(sheet: Sheet, row: SpectrumRow, top: float, height: float) -> None:
    """The sample without its zeros, the marks of the exemplars below, and the ends of the axis."""
    marks = [one.activation for one in row.exemplars]
    values = row.sample[row.sample != 0]
    low, top_value = min([*values, *marks]), max([*values, *marks])
    reach = (top_value - low) or 1.0
    foot = top + height - _TICKS - LABEL_LINE
    counts, edges = np.histogram(values, _BARS, (low, low + reach))
    scale, room = _HISTOGRAM / reach, foot - top - LABEL_LINE
    for count, left, right in zip(counts.tolist(), edges, edges[1:], strict=False):
        tall = room * count / max(1, counts.max())
        wide = max((right - left) * scale - 0.005, 0.005)
        sheet.fill((left - low) * scale, foot - tall, width=wide, height=tall, colour=_BAR)
    sheet.fill(0.0, foot, width=_HISTOGRAM, height=0.01, colour=INK)
    for mark in marks:
        sheet.fill((mark - low) * scale - 0.006, foot + 0.012, width=0.012, height=_TICKS - 0.02,
                   colour=_MARK)  # fmt: skip
    if row.zero > 0:
        sheet.text(f"{percent(row.zero)} are 0", 0.0, top + BASELINE, size=SMALL, colour=QUIET)
    down = foot + _TICKS + 0.09
    for value, x, align in ((low, 0.0, "left"), (top_value, _HISTOGRAM, "right")):
        sheet.text(digits(value), x, down, size=SMALL, colour=QUIET, align=align)
