"""The strongest exemplars of channels: projections beside patches (Zeiler & Fergus, Fig. 2)."""

import math
from collections.abc import Iterator, Mapping, Sequence

from matplotlib.figure import Figure, SubFigure

from deconvnet.figures.canvas.lettering import fold
from deconvnet.figures.canvas.sheet import BASELINE, LABEL_LINE, Sheet, captioned, snap
from deconvnet.figures.canvas.style import LABEL, PAGE, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import (
    LEAST,
    Picture,
    enlarge,
    gap_for,
    is_zero,
    pad_to,
    pair,
    tile,
)
from deconvnet.units import Exemplar

_INNER = 0.04  # inches between the two blocks of a channel
_GUTTER = 0.14  # between channels: more, so that the two blocks read as one
_BETWEEN_ROWS = 0.07
_COMFORTABLE = 1.5  # width of a channel at which tiles are read without a lens
_LEAST = 1.0  # a narrower channel is not read at all


Blocks = Mapping[int, Sequence[Exemplar]] | Mapping[str, Sequence[Exemplar]]
"""{channel: exemplars} or {label: exemplars}, strongest first, in the order they are drawn."""


@paper()
def figure2(
    channels: Blocks,
    *,
    width: str | float = "cvpr-full",
    columns: int | None = None,
    title: str | None = None,
    caption: str | None = None,
    parent: Figure | SubFigure | None = None,
) -> Figure:
    """For every channel a block of projections beside the block of the patches they explain.

    A block is as near to a square as the most exemplars of a channel allow, without empty rows.
    All tiles of a figure have one scale: crops that the border of their image clipped are padded
    with white, and stand where they stood in the receptive field. A channel without exemplars is
    a pale block that says so. Many channels make the figure longer than a page: see ``pages``.

    Args:
        channels: {channel: exemplars, strongest first}, in the order they are drawn, row by row;
            or {label: exemplars}.
        width: a name in ``WIDTHS``, or a length.
        columns: channels in a row; by default as many as are read without a lens.
        title: in bold above the drawing.
        caption: stands below the drawing; the rule of contrast follows it.
        parent: a figure, or a part of one, to draw into; its width counts then.

    Returns:
        The figure, as wide as asked; its height follows.

    Raises:
        ValueError: no channels, a patch and a projection of different sizes, or more columns than
            the width holds.

    Source: Zeiler & Fergus 2014, section 4 and figure 2.
    """
    plan = _Plan(channels, inches(width, parent), columns=columns)
    total = plan.rows * plan.pitch - _BETWEEN_ROWS
    sheet, start = captioned(plan.full, total, title=title, caption=caption, parent=parent)
    step = (plan.full - plan.cell) / max(plan.columns - 1, 1)
    for place, (channel, those) in enumerate(channels.items()):
        row, column = divmod(place, plan.columns)
        left, top = snap(column * step), snap(start + row * plan.pitch)
        for line in fold(str(channel), plan.cell, size=LABEL):
            sheet.text(line, left, top + BASELINE)
            top += LABEL_LINE
        if not those:
            sheet.blank("never positive", left, top, width=plan.cell, height=plan.height)
            continue
        pairs = [(one, pair(one.patch, one.projection, of=str(one.unit))) for one in those]
        for number, which in enumerate((1, 0)):  # projections first
            crops = [
                enlarge(pad_to(two[which], *plan.canvas, anchor=one.overhang)) for one, two in pairs
            ]
            _block(sheet, crops, plan, corner=(left + number * (plan.side + _INNER), top))
        for place, (_, two) in enumerate(pairs):
            if is_zero(two[1]):
                across, down, wide, high = plan.tile(place)
                sheet.blank("no signal", left + across, top + down, width=wide, height=high)
    return sheet.figure


def tile_places(
    channels: Mapping[int, Sequence[Exemplar]],
    *,
    width: str | float = "cvpr-full",
    columns: int | None = None,
) -> Iterator[tuple[Exemplar, tuple[float, float, float, float]]]:
    """Where ``figure2`` draws the tiles, for links on a page; without title and caption.

    Yields:
        An exemplar, and left, top, width and height of its projection, then of its patch, as
        shares of the figure's width and height.
    """
    plan = _Plan(channels, inches(width), columns=columns)
    step = (plan.full - plan.cell) / max(plan.columns - 1, 1)
    high = snap(plan.rows * plan.pitch - _BETWEEN_ROWS)
    for place, those in enumerate(channels.values()):
        row, column = divmod(place, plan.columns)
        top = (row + 1) * plan.pitch - _BETWEEN_ROWS - plan.height
        for number, one in enumerate(those):
            across, down, wide, tall = plan.tile(number)
            for block in (0.0, plan.side + _INNER):
                left = snap(column * step) + block + across
                yield one, (left / plan.full, (top + down) / high, wide / plan.full, tall / high)


def pages(
    channels: Mapping[int, Sequence[Exemplar]],
    *,
    width: str | float = "cvpr-full",
    rows: int | None = None,
    columns: int | None = None,
    title: str | None = None,
    caption: str | None = None,
) -> list[Figure]:
    """The channels as ``figure2`` draws them, on as many pages as they take.

    Args:
        channels: as for ``figure2``.
        width: as for ``figure2``.
        rows: of channels on a page; by default as many as a letter page's text holds.
        columns: channels in a row; by default as many as are read without a lens.
        title: of every page.
        caption: of every page.

    Raises:
        ValueError: as for ``figure2``.
    """
    plan = _Plan(channels, inches(width), columns=columns)
    most = plan.columns * (rows or max(1, int((PAGE + _BETWEEN_ROWS) / plan.pitch)))
    every = list(channels.items())
    return [
        figure2(
            dict(every[first : first + most]),
            width=width,
            columns=min(plan.columns, len(every)),
            title=title,
            caption=caption,
        )
        for first in range(0, len(every), most)
    ]


class _Plan:
    """Where everything stands, in inches, but for title and caption."""

    def __init__(
        self,
        channels: Blocks,
        full: float,
        *,
        columns: int | None,
    ) -> None:
        if not channels:
            raise ValueError("no channels to draw, expected {channel: exemplars}")
        most = max(map(len, channels.values()))
        self.full = full
        across = math.isqrt(most - 1) + 1 if most else 1
        self.tiles = (-(-most // across) or 1, across)  # rows and columns of a block
        self.canvas = _canvas([one for those in channels.values() for one in those])
        enlarged = -(-LEAST // min(self.canvas))
        self.size = (self.canvas[0] * enlarged, self.canvas[1] * enlarged)
        self.gap = gap_for(*self.size)
        aspect = self.along(0) / self.along(1)
        self.columns = columns or _columns(len(channels), full, aspect)
        self.rows = math.ceil(len(channels) / self.columns)
        self.side = _side(full, self.columns)
        if self.side < 0.1:
            raise ValueError(
                f"{self.columns} columns do not fit in a width of {full:.2f} inches; give at most "
                f"{int((full + _GUTTER) / (_LEAST + _GUTTER)) or 1}"
            )
        self.height = snap(self.side * aspect)
        self.cell = 2 * self.side + _INNER
        labels = max(len(fold(str(channel), self.cell, size=LABEL)) for channel in channels)
        self.pitch = labels * LABEL_LINE + self.height + _BETWEEN_ROWS

    def tile(self, number: int) -> tuple[float, float, float, float]:
        """Left and top of a tile within its block, its width and its height."""
        row, column = divmod(number, self.tiles[1])
        down, across = self.height / self.along(0), self.side / self.along(1)
        return (
            column * (self.size[1] + self.gap) * across,
            row * (self.size[0] + self.gap) * down,
            self.size[1] * across,
            self.size[0] * down,
        )

    def along(self, axis: int) -> int:
        """Pixels of a block from top to bottom (axis 0), or from left to right."""
        return self.tiles[axis] * (self.size[axis] + self.gap) - self.gap


def _block(
    sheet: Sheet, crops: Sequence[Picture], plan: _Plan, *, corner: tuple[float, float]
) -> None:
    """A block of tiles."""
    block = tile(crops, columns=plan.tiles[1], rows=plan.tiles[0])
    sheet.image(block, *corner, width=plan.side, height=plan.height)


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
    most = max(columns, int((full + _GUTTER) / (_LEAST + _GUTTER)))
    while columns < min(channels, most):
        rows = math.ceil(channels / columns)
        if rows * (_side(full, columns) * aspect + LABEL_LINE + _BETWEEN_ROWS) <= PAGE:
            break
        columns += 1
    return math.ceil(channels / math.ceil(channels / columns))


def _side(full: float, columns: int) -> float:
    """Width of one block of tiles."""
    return math.floor(((full - (columns - 1) * _GUTTER) / columns - _INNER) / 2 * 100) / 100
