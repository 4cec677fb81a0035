"""Units in images: their receptive fields, and the patch and the projection of each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy.typing as npt
from matplotlib.figure import Figure, SubFigure

from deconvnet.arguments import Brief
from deconvnet.figures.canvas.lettering import digits, fold
from deconvnet.figures.canvas.sheet import Sheet, captioned, snap
from deconvnet.figures.canvas.style import LABEL, PAGE, POINTS, QUIET, SMALL, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import Picture, as_picture, enlarge, is_zero, pad_to, pair
from deconvnet.units import Exemplar

# Okabe & Ito's colours, told apart by the colour-blind too; the most visible come first.
COLOURS = ("#d55e00", "#0072b2", "#f0e442", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")

_INNER = 0.03  # inches between patch and projection
_GUTTER = 0.12  # between units
_ABREAST = 0.25  # between images side by side
_BETWEEN = 0.1  # between lines of images
_INDENT = 0.09  # before a label, for its mark

_BETWEEN_LINES = 0.04
_COMFORTABLE = 0.55  # inches: larger panels are not worth a longer figure
_MOST_ABREAST = 3
_BREAKS = ((1, False), *((lines, parted) for lines in (2, 3, 5, 8) for parted in (True, False)))
"""Lines of a label, and whether it is broken before the unit's position."""
_MARK = 0.06  # inches: the square of a unit's colour before its label


@dataclass(frozen=True, eq=False)
class ImageRow(Brief):
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
    caption: str | None = None,
    parent: Figure | SubFigure | None = None,
) -> Figure:
    """Each image with the fields of its units outlined; for each unit, patch and projection.

    A unit's colour is that of its outline and of the mark at its label. The arrangement follows
    from the numbers of images and units: where labels stay legible, several images share a row.

    Args:
        rows: the images, each with at least one unit.
        width: a name in ``WIDTHS``, or inches.
        title: in bold above the drawing.
        caption: stands below the drawing; the rule of contrast follows it.
        parent: a figure, or a part of one, to draw into; its width counts then.

    Raises:
        ValueError: no rows, a row without units, or pictures whose sizes do not agree.
    """
    if not rows or not all(row.units for row in rows):
        raise ValueError("an image without units cannot be drawn; give each row at least one unit")
    full = inches(width, parent)
    images = [as_picture(row.image, what="an image") for row in rows]
    pairs = [[pair(e.patch, e.projection, of=str(e.unit)) for e in row.units] for row in rows]
    shapes = [picture.shape[:2] for those in pairs for picture, _ in those]
    plan = _arrange(
        [[label(one) for one in row.units] for row in rows],
        [row.name for row in rows],
        width=full,
        image=max(image.shape[0] / image.shape[1] for image in images),
        panel=max(height for height, _ in shapes) / max(width for _, width in shapes),
    )
    sheet, start = captioned(full, plan.total, title=title, caption=caption, parent=parent)
    for place, (row, image, drawn) in enumerate(zip(rows, images, pairs, strict=True)):
        line, column = divmod(place, plan.abreast)
        left = snap(column * (plan.band + _ABREAST))
        top = snap(start + line * (plan.height + _BETWEEN))
        _image(sheet, row, image, plan, corner=(left, top))
        for number, (one, two) in enumerate(zip(row.units, drawn, strict=True)):
            right, down = plan.place(number)
            corner, colour = (left + right, top + down), COLOURS[number % len(COLOURS)]
            _unit(sheet, one, two, plan, corner=corner, colour=colour)
    return sheet.figure


def label(one: Exemplar) -> str:
    """``features.28:42@7,7 = 13.2``; it is folded at the @."""
    return f"{one.unit} = {digits(one.activation)}"


def _image(
    sheet: Sheet, row: ImageRow, image: Picture, plan: _Arrangement, *, corner: tuple[float, float]
) -> None:
    """The image, as large as its place allows, with the outlines and its name."""
    left, top = corner[0], corner[1] + plan.name
    scale = min(plan.image[0] / image.shape[0], plan.image[1] / image.shape[1])
    height, width = image.shape[0] * scale, image.shape[1] * scale
    sheet.image(enlarge(image), left, top, width=width, height=height)
    for number, one in enumerate(row.units):
        sheet.outline(one.box, left, top, scale=scale, colour=COLOURS[number % len(COLOURS)])
    lines = fold(row.name, plan.image[1], size=plan.size)
    for number, line in enumerate(lines, start=plan.lines - len(lines)):
        sheet.text(line, left, plan.baseline(corner[1], number), size=plan.size, colour=QUIET)


def _unit(
    sheet: Sheet,
    one: Exemplar,
    pictures: tuple[Picture, Picture],
    plan: _Arrangement,
    *,
    corner: tuple[float, float],
    colour: str,
) -> None:
    """The unit's label above its patch and its projection."""
    left, top = corner
    lines = plan.fold(label(one))
    feet = [plan.baseline(top, plan.lines - len(lines) + line) for line in range(len(lines))]
    for foot, words in zip(feet, lines, strict=True):
        sheet.text(words, left + _INDENT, foot, size=plan.size)
    sheet.fill(left, feet[0] - _MARK, width=_MARK, height=_MARK, colour=colour)
    wide, high = plan.panel, snap(plan.panel * plan.aspect)
    for number, picture in enumerate(pictures):
        rows, columns = picture.shape[:2]  # on the smallest canvas of the panels' shape
        canvas = max(rows, round(columns * plan.aspect)), max(columns, round(rows / plan.aspect))
        start = left + number * (wide + _INNER)
        if number and is_zero(picture):
            words = "no signal" if one.activation > 0 else "at rest"
            sheet.blank(words, start, top + plan.label, width=wide, height=high)
            continue
        shown = enlarge(pad_to(picture, *canvas))
        sheet.image(shown, start, top + plan.label, width=wide, height=high)


@dataclass(frozen=True)
class _Arrangement:
    """A layout in inches; a band is an image and its units."""

    abreast: int  # images side by side
    lines_of_images: int  # one below the other
    across: int  # units in one line of a band
    down: int  # lines of units in a band
    band: float  # width
    aspect: float  # height of a panel by its width
    ratio: float  # height of the image by its width
    size: float  # of the labels, in points
    lines: int  # of a label
    parted: bool  # whether labels are broken before the unit's position

    @property
    def panel(self) -> float:
        """Width of a patch, and of a projection."""
        # The image is as high as its units, and takes width in proportion.
        labels = self.down * self.label - self.name
        beside = (labels + (self.down - 1) * _BETWEEN_LINES) / self.ratio
        free = self.band - beside - self.across * (_INNER + _GUTTER)
        return max(0.05, free / (2 * self.across + self.down * self.aspect / self.ratio))

    @property
    def label(self) -> float:
        """Height of a unit's label."""
        return _label_height(self.size, self.lines)

    @property
    def name(self) -> float:
        """Height of the image's name: it has the lines of a label, to stand level with them."""
        return self.label

    @property
    def image(self) -> tuple[float, float]:
        """Height and width left for the image: a band without the line of its name."""
        return self.height - self.name, (self.height - self.name) / self.ratio

    @property
    def height(self) -> float:
        """Height of a band."""
        panels = self.down * (self.panel * self.aspect + self.label)
        return panels + (self.down - 1) * _BETWEEN_LINES

    @property
    def total(self) -> float:
        """Height of all bands."""
        return self.lines_of_images * (self.height + _BETWEEN) - _BETWEEN

    def place(self, number: int) -> tuple[float, float]:
        """Left and top of a unit within its band."""
        row, column = divmod(number, self.across)
        pitch = 2 * self.panel + _INNER + _GUTTER
        line = self.panel * self.aspect + self.label + _BETWEEN_LINES
        return self.band + _GUTTER + (column - self.across) * pitch, row * line

    def baseline(self, top: float, line: int) -> float:
        """Foot of the letters in a line of a label that begins at ``top``."""
        return top + _label_height(self.size, line + 1) - 0.035

    def fold(self, label: str) -> list[str]:
        """The label's lines, the position on lines of its own where they are ``parted``."""
        room = 2 * self.panel + _INNER - _INDENT
        unit, at, rest = label.partition("@")
        parts = [unit, f"@{rest}"] if self.parted and at else [label]
        return [line for part in parts for line in fold(part, room, size=self.size)]

    def merit(
        self, labels: Sequence[str], names: Sequence[str]
    ) -> tuple[bool, bool, float, float, bool, float]:
        """Compare layouts: whole labels, on one page, then comfortable panels, then height."""
        return (
            self._holds(labels, names),
            self.total <= PAGE,
            min(self.panel, _COMFORTABLE),
            self.size,
            self.parted or self.lines == 1,
            -self.total,
        )

    def _holds(self, labels: Sequence[str], names: Sequence[str]) -> bool:
        """Whether the labels fit above their panels, and the names above their images."""
        room = self.image[1]
        return (
            room > 0
            and all(len(self.fold(label)) <= self.lines for label in labels)
            and all(len(fold(name, room, size=self.size)) <= self.lines for name in names)
        )


def _arrange(
    labels: Sequence[Sequence[str]],
    names: Sequence[str],
    *,
    width: float,
    image: float,
    panel: float,
) -> _Arrangement:
    """The best of all layouts, by ``merit``, for the labels of the units of every image.

    ``width`` is in inches; ``image`` and ``panel`` are heights divided by widths.
    """
    images, units = len(labels), max(map(len, labels))
    every = sorted({label for those in labels for label in those})
    plans = (
        _Arrangement(
            abreast,
            math.ceil(images / abreast),
            across,
            math.ceil(units / across),
            (width - (abreast - 1) * _ABREAST) / abreast,
            panel,
            image,
            size,
            *breaks,
        )
        for abreast, across, size, breaks in itertools.product(
            range(1, min(images, _MOST_ABREAST) + 1), range(1, units + 1), (LABEL, SMALL), _BREAKS
        )
    )
    return max(plans, key=lambda plan: plan.merit(every, sorted(set(names))))


def _label_height(size: float, lines: int) -> float:
    return lines * (1.2 * size / POINTS) + 0.02
