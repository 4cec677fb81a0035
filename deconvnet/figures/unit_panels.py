"""Units in photographs: where they look, what is there, and what of it they respond to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy.typing as npt
from matplotlib.figure import Figure

from deconvnet.figures.canvas.arrangement import ABREAST, BETWEEN, INNER, Arrangement, arrange
from deconvnet.figures.canvas.caption import Caption, remark
from deconvnet.figures.canvas.contrast import RULE, signed
from deconvnet.figures.canvas.lettering import measure, printable, shorten
from deconvnet.figures.canvas.sheet import Sheet, snap
from deconvnet.figures.canvas.style import QUIET, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import Picture, as_picture, enlarge, pad_to

# Okabe & Ito's colours, told apart by the colour-blind too; the most visible come first.
COLOURS = ("#d55e00", "#0072b2", "#f0e442", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")

_MARK = 0.06  # inches: the square of a unit's colour before its label
_INDENT = 0.09


@dataclass(frozen=True)
class UnitView:
    """One unit in one photograph.

    Args:
        label: ``features.28:42 @ 7,7 = 13.2``.
        box: receptive field as top, left, bottom, right in pixels of the photograph, half-open.
        patch: the photograph within the box, ``(h, w, 3)``, floats in [0, 1] or uint8.
        projection: signed, ``(h, w, 3)``.
    """

    label: str
    box: tuple[int, int, int, int]
    patch: npt.ArrayLike
    projection: npt.ArrayLike


@dataclass(frozen=True)
class ImageRow:
    """A photograph ``(H, W, 3)`` and the units looked at in it; the name stands above it."""

    photograph: npt.ArrayLike
    views: Sequence[UnitView]
    name: str = ""


@paper()
def visualization(
    rows: Sequence[ImageRow],
    *,
    width: str | float = "cvpr-full",
    title: str | None = None,
    subtitle: str | None = None,
) -> Figure:
    """Each photograph with the fields of its units outlined; for each unit, patch and projection.

    A unit's colour is that of its outline and of the mark at its label. The arrangement follows
    from the numbers of images and units: where labels stay legible, several images share a row.

    Args:
        rows: the photographs, each with at least one unit.
        width: a name in ``WIDTHS``, or inches.
        title: with it comes a line that states the rule of contrast.
        subtitle: stands beside the title.

    Raises:
        ValueError: no rows, a row without units, or pictures whose sizes do not agree.
    """
    if not rows or not all(row.views for row in rows):
        raise ValueError("an image without units cannot be drawn; give each row at least one view")
    full = inches(width)
    photographs = [as_picture(row.photograph, what="a photograph") for row in rows]
    pairs = [[_pictures(view) for view in row.views] for row in rows]
    shapes = [picture.shape[:2] for pair in pairs for picture, _ in pair]
    caption = Caption(title, remark(subtitle, RULE), full)
    plan = arrange(
        [[view.label for view in row.views] for row in rows],
        width=full,
        photograph=max(photo.shape[0] / photo.shape[1] for photo in photographs),
        panel=max(height for height, _ in shapes) / max(width for _, width in shapes),
        indent=_INDENT,
    )
    sheet = Sheet(full, snap(caption.height + plan.total))
    caption.draw(sheet)
    for place, (row, photo, drawn) in enumerate(zip(rows, photographs, pairs, strict=True)):
        line, column = divmod(place, plan.abreast)
        left = snap(column * (plan.band + ABREAST))
        top = snap(caption.height + line * (plan.height + BETWEEN))
        _photograph(sheet, row, photo, plan, corner=(left, top))
        for number, (view, pair) in enumerate(zip(row.views, drawn, strict=True)):
            right, down = plan.place(number)
            _view(sheet, view, pair, plan, corner=(left + right, top + down), number=number)
    return sheet.figure


def _pictures(view: UnitView) -> tuple[Picture, Picture]:
    patch, projection = as_picture(view.patch, what="a patch"), signed(view.projection)
    if patch.shape != projection.shape:
        raise ValueError(
            f"{view.label!r} has a projection of {projection.shape[:2]} pixels beside a patch of "
            f"{patch.shape[:2]}; crop both at the same receptive field"
        )
    return patch, projection


def _photograph(
    sheet: Sheet, row: ImageRow, photo: Picture, plan: Arrangement, *, corner: tuple[float, float]
) -> None:
    """The photograph, as large as its place allows, with the outlines and its name."""
    left, top = corner[0], corner[1] + plan.name
    scale = min(plan.photograph[0] / photo.shape[0], plan.photograph[1] / photo.shape[1])
    height, width = photo.shape[0] * scale, photo.shape[1] * scale
    sheet.image(enlarge(photo), left, top, width=width, height=height)
    for number, view in enumerate(row.views):
        colour = COLOURS[number % len(COLOURS)]
        sheet.outline(view.box, left, top, scale=scale, colour=colour)
    name = printable(row.name)  # of a file, so it may hold what no font can draw
    fits = measure(name, plan.size) <= plan.photograph[1]
    name = shorten(name if fits else Path(name).stem, plan.photograph[1], size=plan.size)
    sheet.text(name, left, plan.baseline(corner[1], 0), size=plan.size, colour=QUIET)


def _view(
    sheet: Sheet,
    view: UnitView,
    pair: tuple[Picture, Picture],
    plan: Arrangement,
    *,
    corner: tuple[float, float],
    number: int,
) -> None:
    """The unit's label above its patch and its projection."""
    left, top = corner
    wide, high = plan.panel, snap(plan.panel * plan.aspect)
    colour = COLOURS[number % len(COLOURS)]
    lines = plan.fold(view.label)[-plan.lines :]
    feet = [plan.baseline(top, plan.lines - len(lines) + line) for line in range(len(lines))]
    for foot, words in zip(feet, lines, strict=True):
        sheet.text(words, left + _INDENT, foot, size=plan.size)
    if feet:
        sheet.fill(left, feet[0] - _MARK, width=_MARK, height=_MARK, colour=colour)
    for panel, picture in enumerate(pair):
        start = left + panel * (wide + INNER)
        canvas = _framed(picture, plan.aspect)
        sheet.image(enlarge(canvas), start, top + plan.label, width=wide, height=high)


def _framed(picture: Picture, aspect: float) -> Picture:
    """The picture on the smallest canvas of the panels' shape."""
    height, width = picture.shape[:2]
    return pad_to(picture, max(height, round(width * aspect)), max(width, round(height / aspect)))
