"""Channels over their whole range: a histogram, and exemplars from the lowest to the strongest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure, SubFigure

from deconvnet.arguments import Brief, percent
from deconvnet.figures.canvas.lettering import digits, measure
from deconvnet.figures.canvas.sheet import BASELINE, LABEL_LINE, Sheet, captioned, snap
from deconvnet.figures.canvas.strips import Place
from deconvnet.figures.canvas.style import INK, LABEL, QUIET, SMALL, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.units import Exemplar

from .pair_rows import GAP, canvas_of, draw_pairs, pitch
from .strip_rows import strip_canvas, strip_pair, strips_of

_HISTOGRAM = 1.35  # inches: width of a histogram
_BARS = 24
_GUTTER, _BETWEEN = 0.16, 0.12
_APART, _TALLEST = 0.05, 1.6  # inches between two strips; of a histogram beside strips
_TICKS = 0.09  # inches below a histogram, for its marks
_BAR, _MARK = "#9a9a9a", "#d55e00"


@dataclass(frozen=True, eq=False)
class SpectrumRow(Brief):
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

    Patches of signals and videos stand below each other, beside their projections.

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
    every = [one for row in rows for one in row.exemplars]
    if any(one.axes != 2 for one in every):
        return _strips(rows, full, title=title, caption=caption, parent=parent)
    canvas = canvas_of(every)
    tile = (full - _HISTOGRAM - _GUTTER - (across - 1) * GAP) / across
    high = 2 * LABEL_LINE + 2 * pitch(tile, canvas) - GAP + _BETWEEN
    sheet, start = captioned(
        full, len(rows) * high - _BETWEEN, title=title, caption=caption, parent=parent
    )
    for number, row in enumerate(rows):
        top = snap(start + number * high)
        sheet.text(row.label, 0.0, top + BASELINE, weight="bold")
        _histogram(sheet, row, top + LABEL_LINE, high - _BETWEEN - LABEL_LINE)
        left = _HISTOGRAM + _GUTTER
        for place, (name, one) in enumerate(zip(row.names, row.exemplars, strict=True)):
            middle = left + place * (tile + GAP) + tile / 2
            sheet.text(name, middle, top + BASELINE, size=SMALL, colour=QUIET, align="center")
            foot = top + LABEL_LINE + BASELINE
            sheet.text(digits(one.activation), middle, foot, size=LABEL, align="center")
        down = top + 2 * LABEL_LINE
        draw_pairs(sheet, row.exemplars, left, down, tile=tile, canvas=canvas)
    return sheet.figure


def _strips(
    rows: Sequence[SpectrumRow],
    full: float,
    *,
    title: str | None,
    caption: str | None,
    parent: Figure | SubFigure | None,
) -> Figure:
    """Of signals and videos: beside the histogram, exemplars below each other."""
    every = [one for row in rows for one in row.exemplars]
    drawn, canvas = strips_of([one.patch for one in every]), strip_canvas(every)
    names = max(measure(name, SMALL) for row in rows for name in row.names) + 0.08
    values = max(measure(digits(one.activation), LABEL) for one in every) + 0.08
    left = _HISTOGRAM + _GUTTER + names + values
    panel = (full - left - drawn.inner) / 2
    line = drawn.height(panel, canvas) + _APART
    high = LABEL_LINE + max(len(rows[0].exemplars) * line, 0.9) + _BETWEEN
    sheet, start = captioned(
        full, len(rows) * high - _BETWEEN, title=title, caption=caption, parent=parent,
        rule=drawn.rule,
    )  # fmt: skip
    for number, row in enumerate(rows):
        top = start + number * high
        sheet.text(row.label, 0.0, top + BASELINE, weight="bold")
        _histogram(sheet, row, top + LABEL_LINE, min(high - _BETWEEN - LABEL_LINE, _TALLEST))
        for place, (name, one) in enumerate(zip(row.names, row.exemplars, strict=True)):
            y = top + LABEL_LINE + place * line
            foot = y + (line - _APART) / 2 + 0.03
            sheet.text(name, _HISTOGRAM + _GUTTER, foot, size=SMALL, colour=QUIET)
            sheet.text(digits(one.activation), left - 0.08, foot, size=LABEL, align="right")
            corner = Place(left, y, panel, line - _APART)
            strip_pair(sheet, drawn, one, canvas, corner, first="patch")
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
        x = min(max((mark - low) * scale - 0.006, 0.0), _HISTOGRAM - 0.012)
        sheet.fill(x, foot + 0.012, width=0.012, height=_TICKS - 0.02,
                   colour=_MARK)  # fmt: skip
    if row.zero > 0:
        sheet.text(f"{percent(row.zero)} are 0", 0.0, top + BASELINE, size=SMALL, colour=QUIET)
    down = foot + _TICKS + 0.09
    for value, x, align in ((low, 0.0, "left"), (top_value, _HISTOGRAM, "right")):
        sheet.text(digits(value), x, down, size=SMALL, colour=QUIET, align=align)
