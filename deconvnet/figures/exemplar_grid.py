"""The strongest exemplars of channels: projections beside patches (Zeiler & Fergus, Fig. 2)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from deconvnet.figures.canvas.caption import BASELINE, LABEL_LINE, Caption, remark
from deconvnet.figures.canvas.contrast import RULE, signed
from deconvnet.figures.canvas.lettering import measure, shorten
from deconvnet.figures.canvas.sheet import Sheet, snap
from deconvnet.figures.canvas.style import LABEL, PAGE, QUIET, SMALL, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import BLANK, Picture, as_picture, enlarge, pad_to, tile

_INNER = 0.04  # inches between the two blocks of a channel
_GUTTER = 0.14  # between channels: more, so that the two blocks read as one
_BETWEEN_ROWS = 0.07
_COMFORTABLE = 1.5  # width of a channel at which tiles are read without a lens


@dataclass(frozen=True)
class ChannelBlock:
    """What is drawn of one channel.

    Args:
        channel: index of the channel, its label.
        activations: ``(k,)``, strongest first; NaN marks an empty slot, which is not drawn.
        projections: k signed arrays ``(h, w, 3)``, cropped at the receptive field.
        patches: k images of the same sizes, floats in [0, 1] or uint8.
        note: a word beside the label; of a channel without exemplars, the words in its block.
        anchors: k pairs (rows above, columns left) of crops that the border of the image has
            clipped, so that they stand where they stood in the field; by default in the middle.
    """

    channel: int
    activations: npt.ArrayLike
    projections: Sequence[npt.ArrayLike]
    patches: Sequence[npt.ArrayLike]
    note: str | None = None
    anchors: Sequence[tuple[int, int]] | None = None


@paper()
def figure2(
    channels: Sequence[ChannelBlock],
    *,
    columns: int | None = None,
    width: str | float = "cvpr-full",
    title: str | None = None,
    subtitle: str | None = None,
) -> Figure:
    """For every channel a square of projections beside the square of the patches they explain.

    All tiles of a figure have one scale: crops that are smaller, because the border of their
    image clipped them, are padded with grey. A channel without exemplars is a grey block that
    says so.

    Args:
        channels: in the order they are drawn, row by row.
        columns: channels in a row; by default as many as stay readable, more where the figure
            would be longer than a page.
        width: a name in ``WIDTHS``, or inches.
        title: usually the layer; with it comes a line that states the rule of contrast.
        subtitle: stands beside the title.

    Returns:
        The figure, as wide as asked; its height follows.

    Raises:
        ValueError: no channels, or a channel whose lists do not agree.

    Source: Zeiler & Fergus 2014, section 4 and figure 2.
    """
    if not channels:
        raise ValueError("no channels to draw, expected at least one ChannelBlock")
    if columns is not None and columns < 1:
        raise ValueError(f"columns={columns}, expected at least one channel in a row")
    full = inches(width)
    pairs = [_crops(block) for block in channels]
    grid = _Grid.of(pairs)
    caption = Caption(title, remark(subtitle, RULE), full)
    columns = columns or _columns(len(channels), full, grid.aspect)
    rows = math.ceil(len(channels) / columns)
    side = _block(full, columns)
    pitch = LABEL_LINE + snap(side * grid.aspect) + _BETWEEN_ROWS
    sheet = Sheet(full, snap(caption.height + rows * pitch - _BETWEEN_ROWS))
    caption.draw(sheet)
    cell = 2 * side + _INNER
    step = (full - cell) / max(columns - 1, 1)
    for place, (block, pair) in enumerate(zip(channels, pairs, strict=True)):
        row, column = divmod(place, columns)
        left, top = snap(column * step), snap(caption.height + row * pitch)
        _label(sheet, block, left, top, cell=cell)
        _draw(sheet, block, pair, grid, corner=(left, top + LABEL_LINE), side=side)
    return sheet.figure


@dataclass(frozen=True)
class _Grid:
    """The square of tiles that all channels of a figure share."""

    side: int
    height: int
    width: int

    @classmethod
    def of(cls, pairs: Sequence[tuple[list["_Crop"], list["_Crop"]]]) -> "_Grid":
        shapes = [crop.shape for _, patches in pairs for crop in patches] or [(1, 1)]
        most = max(len(patches) for _, patches in pairs)
        return cls(
            max(1, math.isqrt(most - 1) + 1) if most else 3,
            max(height for height, _ in shapes),
            max(width for _, width in shapes),
        )

    @property
    def aspect(self) -> float:
        return self.height / self.width

    def block(self, crops: Sequence["_Crop"]) -> Picture:
        tiles = [
            enlarge(pad_to(crop.picture, self.height, self.width, anchor=crop.anchor))
            for crop in crops
        ]
        return tile(tiles, columns=self.side, rows=self.side)


@dataclass(frozen=True)
class _Crop:
    """A picture, and where it stands in its field if the border of its image clipped it."""

    picture: Picture
    anchor: tuple[int, int] | None

    @property
    def shape(self) -> tuple[int, int]:
        top, left = self.anchor or (0, 0)
        return self.picture.shape[0] + top, self.picture.shape[1] + left


def _crops(block: ChannelBlock) -> tuple[list[_Crop], list[_Crop]]:
    """Projections and patches, empty slots left out."""
    activations = np.asarray(block.activations, dtype=np.float64).ravel()
    counts = (len(activations), len(block.projections), len(block.patches))
    anchors = block.anchors if block.anchors is not None else [None] * counts[0]
    if len({*counts, len(anchors)}) != 1:
        raise ValueError(
            f"channel {block.channel} has {counts[0]} activations, {counts[1]} projections, "
            f"{counts[2]} patches and {len(anchors)} anchors; give one of each per exemplar"
        )
    projections, patches = [], []
    for value, raw, image, anchor in zip(
        activations, block.projections, block.patches, anchors, strict=True
    ):
        if np.isnan(value):
            continue
        projection, patch = signed(raw), as_picture(image, what="a patch")
        if projection.shape != patch.shape:
            raise ValueError(
                f"channel {block.channel} has a projection of {projection.shape[:2]} pixels beside "
                f"a patch of {patch.shape[:2]}; crop both at the same receptive field"
            )
        projections.append(_Crop(projection, anchor))
        patches.append(_Crop(patch, anchor))
    return projections, patches


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


def _label(sheet: Sheet, block: ChannelBlock, left: float, top: float, *, cell: float) -> None:
    number = shorten(str(block.channel), cell, size=LABEL)
    sheet.text(number, left, top + BASELINE)
    if block.note and len(block.patches):
        offset = measure(number, LABEL) + 0.06
        note = shorten(block.note, cell - offset, size=SMALL)
        sheet.text(note, left + offset, top + BASELINE, size=SMALL, colour=QUIET)


def _draw(
    sheet: Sheet,
    block: ChannelBlock,
    pair: tuple[list[_Crop], list[_Crop]],
    grid: _Grid,
    *,
    corner: tuple[float, float],
    side: float,
) -> None:
    left, top = corner
    height = snap(side * grid.aspect)
    if not pair[1]:
        cell = 2 * side + _INNER
        sheet.fill(left, top, width=cell, height=height, colour=str(BLANK))
        words = shorten(block.note or "never positive", cell, size=LABEL)
        sheet.text(words, left + cell / 2, top + height / 2, colour=QUIET, align="middle")
        return
    for number, crops in enumerate(pair):
        start = left + number * (side + _INNER)
        sheet.image(grid.block(crops), start, top, width=side, height=height)
