"""Rows of panels: pictures, maps of numbers with their scale, and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure, SubFigure

from deconvnet.arguments import Brief
from deconvnet.figures.canvas.contrast import RULE
from deconvnet.figures.canvas.lettering import digits, fitting, fold, measure
from deconvnet.figures.canvas.sheet import BASELINE, LABEL_LINE, Sheet, captioned, snap
from deconvnet.figures.canvas.style import INK, LABEL, QUIET, SMALL, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import BLANK, Picture, as_picture, enlarge
from deconvnet.units import Box

from .unit_panels import COLOURS

_GAP, _BETWEEN = 0.08, 0.1  # inches between panels, and between rows
_LINE = 0.115  # inches: a line of a note or a legend
_NUMBERS = 0.3  # inches: of a vertical axis
_SCALE = 0.05  # inches: the height of a colour scale
_TALLEST = 1.9  # inches: a row of few panels is not blown up
_MAP = "viridis"


@dataclass(frozen=True, eq=False)
class Panel(Brief):
    """A picture.

    Args:
        picture: (H, W, 3), floats in [0, 1] or uint8.
        label: stands above it.
        note: stands below it, in grey, in one or several lines.
        outlines: boxes in its pixels, with the colour of each.
        legend: (colour, name) lines below it.
    """

    picture: npt.ArrayLike
    label: str = ""
    note: str = ""
    outlines: Sequence[tuple[Box, str]] = ()
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, eq=False)
class HeatPanel(Brief):
    """A map of numbers in colours, with its scale below.

    Args:
        values: (H, W); where they are not finite the map is blank.
        label: stands above it.
        note: stands below the scale.
        low: the number of the darkest colour; by default the least value.
        high: of the brightest; by default the greatest.
        outlines: boxes in cells of the map, with the colour of each.
        marked: a number to be marked on the scale, with its word.
    """

    values: npt.ArrayLike
    label: str = ""
    note: str = ""
    low: float | None = None
    high: float | None = None
    outlines: Sequence[tuple[Box, str]] = ()
    marked: tuple[float, str] | None = None

    @property
    def limits(self) -> tuple[float, float]:
        """The numbers at both ends of the scale."""
        values = np.asarray(self.values, dtype=np.float64)
        finite = values[np.isfinite(values)]
        low = float(finite.min(initial=np.inf)) if self.low is None else self.low
        high = float(finite.max(initial=-np.inf)) if self.high is None else self.high
        return (low, high) if finite.size else (0.0, 0.0)

    @property
    def word(self) -> str:
        """What stands at the mark of the scale, on a line of its own; empty without one."""
        low, high = self.limits
        return f"{self.marked[1]} {digits(self.marked[0])}" if self.marked and high > low else ""

    @property
    def picture(self) -> Picture:
        """(H, W, 3) in [0, 1]."""
        values, (low, high) = np.asarray(self.values, dtype=np.float64), self.limits
        share = (values - low) / (high - low) if high > low else np.zeros_like(values)
        shown = matplotlib.colormaps[_MAP](np.clip(np.nan_to_num(share), 0, 1))[..., :3]
        shown[~np.isfinite(values)] = BLANK
        return np.asarray(shown)


@dataclass(frozen=True, eq=False)
class CurvePanel(Brief):
    """Curves over one axis.

    Args:
        x: (points,) numbers of the horizontal axis.
        curves: {name: (points,)}; NaN leaves a gap.
        label: stands above them.
        x_label: stands below the axis.
        y_label: stands upright at its left, where ``label`` is not the name of that axis.
        legend: whether the names of the curves stand below.
        low: the least number of the vertical axis; by default of the curves.
        high: the greatest.
        aspect: height by width.
        log: a logarithmic vertical axis.
    """

    x: npt.ArrayLike
    curves: Mapping[str, npt.ArrayLike]
    label: str = ""
    x_label: str = ""
    legend: bool = False
    low: float | None = None
    high: float | None = None
    aspect: float = 0.75
    log: bool = False
    y_label: str = ""
    note: str = field(default="", init=False)


AnyPanel = Panel | HeatPanel | CurvePanel


@paper()
def panels(
    rows: Sequence[Sequence[AnyPanel]],
    *,
    names: Sequence[str] = (),
    width: str | float = "cvpr-full",
    title: str | None = None,
    caption: str | None = None,
    rule: str = RULE,
    parent: Figure | SubFigure | None = None,
) -> Figure:
    """Panels side by side, row below row; all panels of a row are of one height.

    Args:
        rows: from top to bottom.
        names: of the rows, upright at their left.
        width: a name in ``WIDTHS``, or inches.
        title: in bold above the drawing.
        caption: says how it was made; the rule follows it.
        rule: how the pictures were scaled, as a sentence.
        parent: a figure, or a part of one, to draw into; its width counts then.

    Raises:
        ValueError: no rows, or one without panels.
    """
    if not rows or not all(rows):
        raise ValueError("a row without panels cannot be drawn; give each at least one")
    full = inches(width, parent)
    gutter = 0.15 if any(names) else 0.0
    lines = [_Line(row, full - gutter) for row in rows]
    total = sum(line.total for line in lines) + (len(lines) - 1) * _BETWEEN
    sheet, top = captioned(full, total, title=title, caption=caption, parent=parent, rule=rule)
    for number, line in enumerate(lines):
        if names:
            size = fitting(names[number], line.height, size=LABEL)
            foot = top + line.above + line.height / 2
            sheet.text(names[number], 0.06, foot, size=size, align="middle", rotation=90.0)
        line.draw(sheet, gutter, top)
        top += line.total + _BETWEEN
    return sheet.figure


class _Line:
    """One row of panels, laid out in inches."""

    def __init__(self, row: Sequence[AnyPanel], room: float) -> None:
        self.row = row
        ratios = [_aspect(panel) for panel in row]
        free = room - (len(row) - 1) * _GAP - sum(_left(panel) for panel in row)
        self.height = snap(min(_TALLEST, free / sum(1 / ratio for ratio in ratios)))
        self.widths = [self.height / ratio for ratio in ratios]
        self.labels = [fold(panel.label, w, size=LABEL) for panel, w in self._pairs]
        self.notes = [
            [line for part in panel.note.splitlines() for line in fold(part, w, size=SMALL)]
            for panel, w in self._pairs
        ]
        self.above = max(map(len, self.labels)) * LABEL_LINE
        self.below = max(map(self._below, range(len(row))))

    @property
    def _pairs(self) -> list[tuple[AnyPanel, float]]:
        return list(zip(self.row, self.widths, strict=True))

    @property
    def total(self) -> float:
        """Height with labels, scales and notes."""
        return self.above + self.height + self.below

    def _below(self, number: int) -> float:
        panel, notes = self.row[number], len(self.notes[number])
        if isinstance(panel, CurvePanel):
            return 0.14 + _LINE * (bool(panel.x_label) + (len(panel.curves) if panel.legend else 0))
        scale = 0.0
        if isinstance(panel, HeatPanel):
            scale = _SCALE + 0.04 + _LINE * (1 + bool(panel.word))
        lines = notes + len(getattr(panel, "legend", ()))
        return scale + _LINE * lines + (0.03 if lines else 0.0)

    def draw(self, sheet: Sheet, left: float, top: float) -> None:
        """Draw every panel with what stands above and below it."""
        for number, (panel, wide) in enumerate(self._pairs):
            left += _left(panel)
            labels = self.labels[number]
            for line, words in enumerate(
                labels, start=round(self.above / LABEL_LINE) - len(labels)
            ):
                foot = top + line * LABEL_LINE + BASELINE
                sheet.text(words, left + wide / 2, foot, align="center")
            place = (left, top + self.above, wide, self.height)
            if isinstance(panel, CurvePanel):
                _curves(sheet, panel, place)
            else:
                _picture(sheet, panel, place, self.notes[number])
            left += wide + _GAP


def _aspect(panel: AnyPanel) -> float:
    if isinstance(panel, CurvePanel):
        return panel.aspect
    shape = np.shape(panel.values if isinstance(panel, HeatPanel) else panel.picture)
    return float(shape[0] / shape[1])


def _left(panel: AnyPanel) -> float:
    """Inches left of a panel, for the numbers of its axis and the axis' name."""
    return (_NUMBERS + _LINE * bool(panel.y_label)) if isinstance(panel, CurvePanel) else 0.0


Place = tuple[float, float, float, float]  # left, top, width, height, in inches


def _picture(sheet: Sheet, panel: Panel | HeatPanel, place: Place, notes: Sequence[str]) -> None:
    left, top, wide, high = place
    picture = as_picture(panel.picture, what="a picture")
    sheet.image(enlarge(picture), left, top, width=wide, height=high)
    for box, colour in panel.outlines:
        sheet.outline(box, left, top, scale=wide / picture.shape[1], colour=colour)
    foot = top + high
    if isinstance(panel, HeatPanel):
        foot = _scale(sheet, panel, left, foot + 0.04, wide)
    else:
        for colour, name in panel.legend:
            foot += _LINE
            sheet.fill(left, foot - 0.065, width=0.07, height=0.07, colour=colour)
            sheet.text(name, left + 0.1, foot, size=fitting(name, wide - 0.1, size=SMALL))
    for words in notes:
        foot += _LINE
        sheet.text(words, left + wide / 2, foot, size=SMALL, colour=QUIET, align="center")


def _scale(sheet: Sheet, panel: HeatPanel, left: float, top: float, wide: float) -> float:
    """The scale of a map below it, with its least and its greatest number; returns its foot."""
    ramp = matplotlib.colormaps[_MAP](np.linspace(0, 1, 128))[None, :, :3].repeat(2, axis=0)
    sheet.image(np.asarray(ramp), left, top, width=wide, height=_SCALE)
    (low, high), foot = panel.limits, top + _SCALE + _LINE - 0.02
    sheet.text(digits(low), left, foot, size=SMALL, colour=QUIET)
    sheet.text(digits(high), left + wide, foot, size=SMALL, colour=QUIET, align="right")
    if panel.marked and panel.word:
        share = (panel.marked[0] - low) / (high - low)
        x, foot = left + wide * min(1.0, max(0.0, share)), foot + _LINE
        sheet.fill(x - 0.008, top - 0.02, width=0.016, height=_SCALE + 0.04, colour=INK)
        size = fitting(panel.word, wide, size=SMALL)
        half = measure(panel.word, size) / 2
        middle = min(max(x, left + half), left + wide - half)
        sheet.text(panel.word, middle, foot, size=size, align="center")
    return foot + 0.02


def _curves(sheet: Sheet, panel: CurvePanel, place: Place) -> None:
    """The curves in axes of their own, and their names below."""
    left, top, wide, high = place
    axes, x = sheet.axes(left, top, width=wide, height=high), np.asarray(panel.x)
    for (name, y), colour in zip(panel.curves.items(), _cycle(len(panel.curves)), strict=True):
        axes.plot(x, np.asarray(y), color=colour, linewidth=1.0, label=name)
    axes.set_ylim(panel.low, panel.high)
    if panel.log:
        axes.set_yscale("log")
    axes.tick_params(labelsize=SMALL, length=2, pad=1.5, width=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.locator_params(nbins=5, axis="x")
    if not panel.log:
        axes.locator_params(nbins=4, axis="y")
    if panel.y_label:
        size, middle = fitting(panel.y_label, high, size=SMALL), left - _NUMBERS - _LINE / 2
        sheet.text(panel.y_label, middle, top + high / 2, size=size, align="middle", rotation=90.0)
    foot = top + high + 0.14
    if panel.x_label:
        foot += _LINE
        sheet.text(panel.x_label, left + wide / 2, foot - 0.03, size=SMALL, align="center")
    if panel.legend:
        for name, colour in zip(panel.curves, _cycle(len(panel.curves)), strict=True):
            foot += _LINE
            sheet.fill(left, foot - 0.065, width=0.12, height=0.02, colour=colour)
            size = fitting(name, wide - 0.16, size=SMALL)
            sheet.text(name, left + 0.16, foot - 0.03, size=size)


def _cycle(count: int) -> list[str]:
    """As many colours, told apart by the colour-blind; yellow, which is pale as a line, last."""
    order = [*(c for c in COLOURS if c != "#f0e442"), "#f0e442"]
    return [order[number % len(order)] for number in range(count)]
