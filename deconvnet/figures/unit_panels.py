"""Units in images: their receptive fields, and the patch and the projection of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy.typing as npt
from matplotlib.figure import Figure

from deconvnet.figures.canvas.arrangement import (
    ABREAST,
    BETWEEN,
    INDENT,
    INNER,
    Arrangement,
    arrange,
)
from deconvnet.figures.canvas.lettering import measure, printable, shorten
from deconvnet.figures.canvas.sheet import Sheet, captioned, snap
from deconvnet.figures.canvas.style import QUIET, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import Picture, as_picture, enlarge, pad_to, pair
from deconvnet.units import Exemplar

# Okabe & Ito's colours, told apart by the colour-blind too; the most visible come first.
COLOURS = ("#d55e00", "#0072b2", "#f0e442", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")

_MARK = 0.06  # inches: the square of a unit's colour before its label


@dataclass(frozen=True, eq=False)
class ImageRow:
    """An image and the units looked at in it.

    Args:
        image: (H, W, 3), floats in [0, 1] or uint8.
        units: with their boxes in this image.
        name: stands above the image.
    """

    image: npt.ArrayLike
    units: Sequence[Exemplar]
    name: str = ""


@paper()
def visualization(
    rows: Sequence[ImageRow],
    *,
    width: str | float = "cvpr-full",
    title: str | None = None,
    subtitle: str | None = None,
) -> Figure:
    """Each image with the fields of its units outlined; for each unit, patch and projection.

    A unit's colour is that of its outline and of the mark at its label. The arrangement follows
    from the numbers of images and units: where labels stay legible, several images share a row.

    Args:
        rows: the images, each with at least one unit.
        width: a name in ``WIDTHS``, or inches.
        title: with it comes a line that states the rule of contrast.
        subtitle: stands beside the title.

    Raises:
        ValueError: no rows, a row without units, or pictures whose sizes do not agree.
    """
    if not rows or not all(row.units for row in rows):
        raise ValueError("an image without units cannot be drawn; give each row at least one unit")
    full = inches(width)
    images = [as_picture(row.image, what="an image") for row in rows]
    pairs = [[pair(e.patch, e.projection, of=str(e.unit)) for e in row.units] for row in rows]
    shapes = [picture.shape[:2] for those in pairs for picture, _ in those]
    plan = arrange(
        [[label(one) for one in row.units] for row in rows],
        width=full,
        image=max(image.shape[0] / image.shape[1] for image in images),
        panel=max(height for height, _ in shapes) / max(width for _, width in shapes),
    )
    sheet, start = captioned(full, plan.total, title=title, subtitle=subtitle)
    for place, (row, image, drawn) in enumerate(zip(rows, images, pairs, strict=True)):
        line, column = divmod(place, plan.abreast)
        left = snap(column * (plan.band + ABREAST))
        top = snap(start + line * (plan.height + BETWEEN))
        _image(sheet, row, image, plan, corner=(left, top))
        for number, (one, two) in enumerate(zip(row.units, drawn, strict=True)):
            right, down = plan.place(number)
            corner, colour = (left + right, top + down), COLOURS[number % len(COLOURS)]
            _unit(sheet, one, two, plan, corner=corner, colour=colour)
    return sheet.figure


def label(one: Exemplar) -> str:
    """``features.28:42 @ 7,7 = 13.2``; it is folded at the @."""
    return f"{str(one.unit).replace('@', ' @ ')} = {one.activation:.3g}"


def _image(
    sheet: Sheet, row: ImageRow, image: Picture, plan: Arrangement, *, corner: tuple[float, float]
) -> None:
    """The image, as large as its place allows, with the outlines and its name."""
    left, top = corner[0], corner[1] + plan.name
    scale = min(plan.image[0] / image.shape[0], plan.image[1] / image.shape[1])
    height, width = image.shape[0] * scale, image.shape[1] * scale
    sheet.image(enlarge(image), left, top, width=width, height=height)
    for number, one in enumerate(row.units):
        sheet.outline(one.box, left, top, scale=scale, colour=COLOURS[number % len(COLOURS)])
    name = printable(row.name)  # of a file, so it may hold what no font can draw
    fits = measure(name, plan.size) <= plan.image[1]
    name = shorten(name if fits else Path(name).stem, plan.image[1], size=plan.size)
    sheet.text(name, left, plan.baseline(corner[1], 0), size=plan.size, colour=QUIET)


def _unit(
    sheet: Sheet,
    one: Exemplar,
    pictures: tuple[Picture, Picture],
    plan: Arrangement,
    *,
    corner: tuple[float, float],
    colour: str,
) -> None:
    """The unit's label above its patch and its projection."""
    left, top = corner
    lines = plan.fold(label(one))[-plan.lines :]
    feet = [plan.baseline(top, plan.lines - len(lines) + line) for line in range(len(lines))]
    for foot, words in zip(feet, lines, strict=True):
        sheet.text(words, left + INDENT, foot, size=plan.size)
    sheet.fill(left, feet[0] - _MARK, width=_MARK, height=_MARK, colour=colour)
    wide, high = plan.panel, snap(plan.panel * plan.aspect)
    for number, picture in enumerate(pictures):
        rows, columns = picture.shape[:2]  # on the smallest canvas of the panels' shape
        canvas = max(rows, round(columns * plan.aspect)), max(columns, round(rows / plan.aspect))
        start = left + number * (wide + INNER)
        shown = enlarge(pad_to(picture, *canvas))
        sheet.image(shown, start, top + plan.label, width=wide, height=high)
