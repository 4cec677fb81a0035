"""A few numbers on their way up through a rectifier, and on their way down by each rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from deconvnet.arguments import Brief
from deconvnet.figures.canvas.lettering import fold
from deconvnet.figures.canvas.sheet import BASELINE, LABEL_LINE, Sheet, captioned, snap
from deconvnet.figures.canvas.style import LABEL, QUIET, TITLE, paper
from deconvnet.figures.canvas.style import width as inches

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

Numbers = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]

BY_INPUT, BY_SIGNAL = "#9ecae9", "#fdb97d"
"""Fills of a cell where a value is stopped: by the rectifier's input, by the signal's sign."""
_GRID, _OPEN = "#b0b0b0", "#ffffff"
_CELL, _RULE = 0.28, 0.008  # inches: the largest cell, and half the line around it
_SPACE = 0.13  # inches between two columns, at least
_ARROW, _GUTTER, _LEGEND = 0.34, 0.2, 0.24  # inches


@dataclass(frozen=True, eq=False)
class Pass(Brief):
    """One way through the rectifier.

    Args:
        name: such as ``guided``.
        formula: what is done, in a few signs.
        above: (rows, columns) the numbers at the rectifier's output.
        below: those at its input.
        by_input: where a value is stopped because of the rectifier's input.
        by_signal: where it is stopped because of the signal.
        upward: whether the numbers below make those above, or the other way round.
    """

    name: str
    formula: str
    above: Numbers
    below: Numbers
    by_input: Mask
    by_signal: Mask
    upward: bool = False


@paper()
def relu_diagram(
    passes: Sequence[Pass],
    *,
    width: str | float = "cvpr-full",
    title: str | None = None,
    caption: str | None = None,
    parent: Figure | SubFigure | None = None,
) -> Figure:
    """A column for each pass: the numbers above the rectifier, an arrow, the numbers below it.

    Args:
        passes: from left to right.
        width: a name in ``WIDTHS``, or inches.
        title: stands above the drawing.
        caption: how the numbers were made, beside the title.
        parent: a figure or a part of one to draw into.

    Source: Springenberg et al. 2014, figure 1.
    """
    full, (lines, columns) = inches(width), passes[0].above.shape
    pitch = (full - _GUTTER) / len(passes)
    cell = min(_CELL, (pitch - _SPACE) / columns)
    high, wide = lines * cell, columns * cell
    formulas = [fold(one.formula, pitch - 0.04, size=LABEL) for one in passes]
    head = LABEL_LINE * (1 + max(map(len, formulas))) + 0.05
    total = head + 2 * high + _ARROW + _LEGEND
    sheet, top = captioned(
        full, snap(total), title=title, caption=caption, parent=parent, rule="Numbers, not scaled."
    )
    tops = (top + head, top + head + high + _ARROW)
    for place, words in zip(tops, ("output", "input"), strict=True):
        middle = place + high / 2
        sheet.text(words, 0.07, middle, size=LABEL, colour=QUIET, align="middle", rotation=90.0)
    for number, (one, formula) in enumerate(zip(passes, formulas, strict=True)):
        centre = _GUTTER + (number + 0.5) * pitch
        sheet.text(one.name, centre, top + BASELINE, size=TITLE, weight="bold", align="center")
        for line, words in enumerate(formula, start=1):
            sheet.text(words, centre, top + line * LABEL_LINE + BASELINE, align="center")
        made, nothing = (one.by_input, one.by_signal), (np.zeros_like(one.by_input),) * 2
        above, below = (made, nothing) if one.upward else (nothing, made)
        _grid(sheet, one.above, centre - wide / 2, tops[0], cell=cell, stopped=above)
        _grid(sheet, one.below, centre - wide / 2, tops[1], cell=cell, stopped=below)
        arrow = "↑" if one.upward else "↓"
        sheet.text(arrow, centre, tops[1] - _ARROW / 2, size=2 * LABEL, align="middle")
    _legend(sheet, tops[1] + high + 0.1)
    return sheet.figure


def _grid(
    sheet: Sheet,
    numbers: Numbers,
    left: float,
    top: float,
    *,
    cell: float,
    stopped: tuple[Mask, Mask],
) -> None:
    """The numbers in cells; a cell that was stopped for both reasons has both fills."""
    lines, columns = numbers.shape
    sheet.fill(left, top, width=columns * cell, height=lines * cell, colour=_GRID)
    side = cell - 2 * _RULE
    for (line, column), number in np.ndenumerate(numbers):
        x, y = left + column * cell + _RULE, top + line * cell + _RULE
        reasons = zip((BY_INPUT, BY_SIGNAL), stopped, strict=True)
        fills = [colour for colour, mask in reasons if mask[line, column]] or [_OPEN]
        share = side / len(fills)
        for part, colour in enumerate(fills):
            sheet.fill(x + part * share, y, width=share, height=side, colour=colour)
        text = f"{number:g}".replace("-", "−")
        sheet.text(text, x + side / 2, y + side / 2, size=TITLE, align="middle")


def _legend(sheet: Sheet, top: float) -> None:
    """What the fills stand for."""
    left = _GUTTER
    for colour, words in ((BY_INPUT, "stopped: z ≤ 0"), (BY_SIGNAL, "stopped: R ≤ 0")):
        sheet.fill(left, top, width=0.11, height=0.11, colour=colour)
        sheet.text(words, left + 0.16, top + 0.095, size=LABEL, colour=QUIET)
        left += 1.1
