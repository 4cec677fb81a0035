"""Sprites: the pictures of one unit and kind in one WebP file, cell beside cell."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from deconvnet.figures.canvas.tiles import Picture, pixels
from deconvnet.units import Exemplar

LARGEST = 112  # pixels: a longer side of a cell is reduced to this
LOSSLESS = 32  # pixels: smaller cells keep every bit
_QUALITY = 85


@dataclass(frozen=True)
class Grid:
    """Where the cells of a sprite stand: row by row, without gaps.

    Args:
        columns: cells in a row.
        rows: rows of cells.
        canvas: height and width of the whole receptive field, in pixels of the model's input; a
            crop that the border of its image clips stands where it stood in the field.
    """

    columns: int
    rows: int
    canvas: tuple[int, int]

    @property
    def cell(self) -> tuple[int, int]:
        """Height and width of a cell: the canvas, reduced where a side is above ``LARGEST``."""
        height, width = self.canvas
        share = min(1.0, LARGEST / max(height, width))
        return max(1, round(height * share)), max(1, round(width * share))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a sprite, in pixels."""
        return self.rows * self.cell[0], self.columns * self.cell[1]

    @property
    def lossless(self) -> bool:
        """Whether a sprite keeps every bit of the pictures."""
        return max(self.canvas) <= LOSSLESS

    def place(self, number: int) -> tuple[int, int]:
        """Top and left of a cell in its sprite."""
        row, column = divmod(number, self.columns)
        return row * self.cell[0], column * self.cell[1]


def sprite(grid: Grid, exemplars: Sequence[Exemplar], pictures: Sequence[Picture]) -> bytes:
    """A sprite as a WebP file; what lies outside of an image is transparent.

    Args:
        grid: of the sprite.
        exemplars: at most as many as it has cells, in their order.
        pictures: (height, width, 3) in [0, 1], of each its patch or its projection.

    Raises:
        ValueError: more pictures than cells, or one that reaches out of the canvas.
    """
    if len(pictures) > grid.rows * grid.columns:
        raise ValueError(f"{len(pictures)} pictures do not fit in {grid.rows} x {grid.columns}")
    height, width = grid.size
    whole = Image.new("RGBA", (width, height))
    for number, (one, picture) in enumerate(zip(exemplars, pictures, strict=True)):
        top, left = grid.place(number)
        whole.paste(_cell(grid, one, picture), (left, top))
    memory = io.BytesIO()
    opaque = whole.getchannel("A").getextrema()[0] == 255
    (whole.convert("RGB") if opaque else whole).save(
        memory, "WEBP", lossless=grid.lossless, exact=grid.lossless, quality=_QUALITY, method=3,
        use_sharp_yuv=True,
    )  # fmt: skip
    return memory.getvalue()


def photograph(picture: Picture) -> bytes:
    """A picture (height, width, 3) in [0, 1] as a WebP file of the same size."""
    memory = io.BytesIO()
    Image.fromarray(pixels(picture)).save(memory, "WEBP", quality=_QUALITY, method=3)
    return memory.getvalue()


def _cell(grid: Grid, one: Exemplar, picture: Picture) -> Image.Image:
    """A picture on the canvas of its field, reduced to the size of a cell."""
    rows, columns = picture.shape[:2]
    top, left = one.overhang
    if top + rows > grid.canvas[0] or left + columns > grid.canvas[1]:
        raise ValueError(
            f"{one.unit} of image {one.unit.image} has a crop of {rows} x {columns} pixels at row "
            f"{top}, column {left} of a field of {grid.canvas[0]} x {grid.canvas[1]}; mine again"
        )
    canvas = np.zeros((*grid.canvas, 4), np.uint8)
    canvas[top : top + rows, left : left + columns, :3] = pixels(picture)
    canvas[top : top + rows, left : left + columns, 3] = 255
    cell = Image.fromarray(canvas)
    height, width = grid.cell
    return cell if grid.cell == grid.canvas else cell.resize((width, height), Image.Resampling.BOX)
