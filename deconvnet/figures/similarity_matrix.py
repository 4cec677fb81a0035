"""A matrix of correlations, the pairs that stand out in it, and how all are distributed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure, SubFigure

from deconvnet.figures.canvas.lettering import digits, measure
from deconvnet.figures.canvas.sheet import BASELINE, LABEL_LINE, Sheet, captioned, snap
from deconvnet.figures.canvas.style import INK, LABEL, QUIET, SMALL, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import Picture, enlarge

RULE = "Blue is −1, white 0, red 1."
"""What the colours are, as a sentence for captions and for the metadata of files."""

_SHARE = 0.55  # of the width, for the matrix and its ticks
_MOST = 4.5  # inches: larger matrices show no more
_GUTTER = 0.18
_BAR = 0.09  # inches: width of the scale of colours
_TICK, _APART = 0.04, 0.13  # inches: length of a tick, and between two numbers at least
_LOW, _HIGH = 0.7, 1.3  # inches: the height that a histogram needs, and takes
_SCALE_ROOM = 0.52  # inches right of the matrix, for the scale and its numbers
_INDENT = 0.1  # inches left of its axis, for half of the first number
_BELOW = 0.3  # inches below a histogram, for the numbers and the name of its axis


@paper()
def similarity_matrix(
    correlation: npt.ArrayLike,
    pairs: Mapping[str, Sequence[tuple[int, int, float]]],
    *,
    channels: Sequence[int] | None = None,
    width: str | float = "cvpr-full",
    title: str | None = None,
    caption: str | None = None,
    parent: Figure | SubFigure | None = None,
) -> Figure:
    """A matrix of correlations in colours; beside it lists of pairs, and a histogram of all pairs.

    The histogram stands below the lists, where they leave room for it; in the width of a column
    of text, both stand below the matrix.

    Args:
        correlation: (channels, channels) in [-1, 1], in the order they are drawn.
        pairs: {heading: (channel, channel, correlation) of each pair}, a column each.
        channels: numbers of the rows; as many of them as are legible stand at the matrix. By
            default 0, 1, ….
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
    full, numbers = inches(width, parent), list(channels or range(len(values)))
    margin = max(measure(str(one), SMALL) for one in numbers) + 2 * _TICK
    side = snap(min(_SHARE * full, _MOST) - margin)
    left = margin + side + _SCALE_ROOM
    lists = LABEL_LINE * (1 + max((len(some) for some in pairs.values()), default=0))
    below = full - left < _needed(pairs)
    if below:  # the width of a column of text
        side, left = snap(full - margin - _SCALE_ROOM), 0.0
    room = _HIGH if below else side - lists - LABEL_LINE - _BELOW
    shown = room >= _LOW and len(values) > 2
    under = side + margin + 0.08 if below else 0.0
    parts = lists + (LABEL_LINE + min(room, _HIGH) + _BELOW + 0.1) * (shown and below)
    sheet, top = captioned(
        full, max(side + margin, under + parts), title=title, caption=caption, parent=parent,
        rule=RULE,
    )  # fmt: skip
    sheet.image(enlarge(_coloured(values)), margin, top, width=side, height=side)
    _ticks(sheet, numbers, margin, top, side)
    _scale(sheet, margin + side + 0.08, top, side)
    _lists(sheet, pairs, left, top + under, full - left)
    if shown:
        high = min(room, _HIGH)
        head = under + lists + LABEL_LINE + 0.1 if below else side - high
        _histogram(sheet, values, (left, top + head, full - left - _GUTTER, high))
    return sheet.figure


def _needed(pairs: Mapping[str, Sequence[tuple[int, int, float]]]) -> float:
    """The width that the lists take side by side."""
    lines = [
        f"{one}, {other} {digits(r, sign=True)}" for p in pairs.values() for one, other, r in p
    ]
    heads = [measure(heading, LABEL, weight="bold") for heading in pairs]
    widest = max([*heads, *(measure(line, LABEL) for line in lines)], default=0.0)
    return len(pairs) * (widest + _GUTTER + 0.08)


def _lists(
    sheet: Sheet,
    pairs: Mapping[str, Sequence[tuple[int, int, float]]],
    left: float,
    top: float,
    room: float,
) -> None:
    """The pairs of each heading below each other, the headings side by side."""
    column = room / max(1, len(pairs))
    for number, (heading, some) in enumerate(pairs.items()):
        x = left + number * column
        sheet.text(heading, x, top + BASELINE, weight="bold")
        for line, (one, other, value) in enumerate(some, start=1):
            foot, right = top + line * LABEL_LINE + BASELINE, x + column - _GUTTER
            sheet.text(f"{one}, {other}", x, foot)
            sheet.text(digits(value, sign=True), right, foot, colour=QUIET, align="right")


def _coloured(values: npt.NDArray[np.float64]) -> Picture:
    """Values from -1 to 1 in colours, (height, width, 3)."""
    return np.asarray(matplotlib.colormaps["RdBu_r"]((values + 1) / 2)[..., :3], np.float64)


def _ticks(sheet: Sheet, numbers: Sequence[int], left: float, top: float, side: float) -> None:
    """The numbers of every so many rows at the left, and of the columns below."""
    cell = side / len(numbers)
    step = math.ceil(_APART / cell)
    for place in range(step // 2, len(numbers), step):
        words, middle = str(numbers[place]), (place + 0.5) * cell
        sheet.fill(left - _TICK, top + middle, width=_TICK, height=0.006, colour=INK)
        sheet.fill(left + middle, top + side, width=0.006, height=_TICK, colour=INK)
        half = measure(words, SMALL) / 2
        x, y = left - 1.6 * _TICK - half, top + side + 1.6 * _TICK + half
        sheet.text(words, x, top + middle, size=SMALL, colour=QUIET, align="middle")
        sheet.text(words, left + middle, y, size=SMALL, colour=QUIET, align="middle", rotation=90)


def _scale(sheet: Sheet, left: float, top: float, height: float) -> None:
    """The scale of the colours, from 1 at its top to -1."""
    shades = _coloured(np.linspace(1, -1, 256)[:, None].repeat(16, axis=1))
    sheet.image(shades, left, top, width=_BAR, height=height)
    for words, share in (("1", 0.0), ("0", 0.5), ("−1", 1.0)):
        foot = top + min(max(share * height + 0.03, 0.07), height)
        sheet.text(words, left + _BAR + 0.04, foot, size=SMALL, colour=QUIET)


def _histogram(
    sheet: Sheet, values: npt.NDArray[np.float64], place: tuple[float, float, float, float]
) -> None:
    """The correlations of all pairs, each once; ``place`` is left, top, width and height."""
    left, top, wide, high = place
    every = values[np.triu_indices(len(values), 1)]
    words = f"all {len(every):,} pairs".replace(",", " ")
    sheet.text(words, left, top - LABEL_LINE + BASELINE, weight="bold")
    axes = sheet.axes(left + _INDENT, top, width=wide - _INDENT, height=high)
    axes.hist(every, 40, range=(-1, 1), color="#9a9a9a")
    axes.set(xlim=(-1, 1), xticks=(-1, -0.5, 0, 0.5, 1), yticks=())
    axes.tick_params(labelsize=SMALL, length=2, pad=1.5, width=0.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel("correlation", fontsize=SMALL, labelpad=1)
