"""The strongest exemplars of channels: projections beside patches (Zeiler & Fergus, Fig. 2)."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure, SubFigure

from deconvnet.figures.canvas.lettering import shorten
from deconvnet.figures.canvas.sheet import BASELINE, LABEL_LINE, captioned, snap
from deconvnet.figures.canvas.style import LABEL, PAGE, QUIET, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import BLANK, enlarge, pad_to, pair, tile
from deconvnet.units import Exemplar

_INNER = 0.04  # inches between the two blocks of a channel
_GUTTER = 0.14  # between channels: more, so that the two blocks read as one
_BETWEEN_ROWS = 0.07
_COMFORTABLE = 1.5  # width of a channel at which tiles are read without a lens


@paper()
def figure2(
    channels: Mapping[int, Sequence[Exemplar]],
    *,
    width: str | float = "cvpr-full",
    title: str | None = None,
    caption: str | None = None,
    parent: Figure | SubFigure | None = None,
) -> Figure:
    """For every channel a square of projections beside the square of the patches they explain.

    All tiles of a figure have one scale: crops that the border of their image clipped are padded
    with grey, and stand where they stood in the receptive field. A channel without exemplars is a
    grey block that says so.

    Args:
        channels: {channel: exemplars, strongest first}, in the order they are drawn, row by row.
        width: a name in ``WIDTHS``, or inches.
        title: in bold above the drawing.
        caption: stands below the drawing; the rule of contrast follows it.
        parent: a figure, or a part of one, to draw into; its width counts then.

    Returns:
        The figure, as wide as asked; its height follows.

    Raises:
        ValueError: no channels, or a patch and a projection of different sizes.

    Source: Zeiler & Fergus 2014, section 4 and figure 2.
    """
    if not channels:
        raise ValueError("no channels to draw, expected {channel: exemplars}")
    most = max(map(len, channels.values()))
    tiles = max(1, math.isqrt(most - 1) + 1) if most else 3  # along a side of a block
    canvas = _canvas([one for those in channels.values() for one in those])
    full, aspect = inches(width, parent), canvas[0] / canvas[1]
    columns = _columns(len(channels), full, aspect)
    side = _block(full, columns)
    height, cell = snap(side * aspect), 2 * side + _INNER
    pitch = LABEL_LINE + height + _BETWEEN_ROWS
    rows = math.ceil(len(channels) / columns)
    sheet, start = captioned(
        full, rows * pitch - _BETWEEN_ROWS, title=title, caption=caption, parent=parent
    )
    step = (full - cell) / max(columns - 1, 1)
    for place, (channel, those) in enumerate(channels.items()):
        row, column = divmod(place, columns)
        left, top = snap(column * step), snap(start + row * pitch)
        sheet.text(shorten(str(channel), cell, size=LABEL), left, top + BASELINE)
        top += LABEL_LINE
        if not those:
            sheet.fill(left, top, width=cell, height=height, colour=str(BLANK))
            words, middle = shorten("never positive", cell, size=LABEL), top + height / 2
            sheet.text(words, left + cell / 2, middle, colour=QUIET, align="middle")
            continue
        pairs = [(one, pair(one.patch, one.projection, of=str(one.unit))) for one in those]
        for number, which in enumerate((1, 0)):  # projections first
            crops = [
                enlarge(pad_to(two[which], *canvas, anchor=one.overhang)) for one, two in pairs
            ]
            block = tile(crops, columns=tiles, rows=tiles)
            sheet.image(block, left + number * (side + _INNER), top, width=side, height=height)
    return sheet.figure


def _canvas(exemplars: Sequence[Exemplar]) -> tuple[int, int]:
    """Height and width that hold every crop at its place in its receptive field."""
    sizes = [
        (one.overhang[0] + one.patch.shape[0], one.overhang[1] + one.patch.shape[1])
        for one in exemplars
    ] or [(1, 1)]
    return max(height for height, _ in sizes), max(width for _, width in sizes)


def _columns(channels: int, full: float, aspect: float) -> int:
    """Readable, even rows, and where possible no longer than a page."""
    columns = max(1, int((full + _GUTTER) / (_COMFORTABLE + _GUTTER)))
    while columns < channels:
        rows = math.ceil(channels / columns)
        if rows * (_block(full, columns) * aspect + LABEL_LINE + _BETWEEN_ROWS) <= PAGE:
            break
        columns += 1
    return math.ceil(channels / math.ceil(channels / columns))


def _block(full: float, columns: int) -> float:
    """Width of one square of tiles."""
    return math.floor(((full - (columns - 1) * _GUTTER) / columns - _INNER) / 2 * 100) / 100
