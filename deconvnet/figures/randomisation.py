"""Maps of a net as its weights are drawn anew, and curves of how alike they stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from deconvnet.arguments import Brief
from deconvnet.figures.canvas.contrast import signed
from deconvnet.figures.canvas.lettering import fitting, fold, measure
from deconvnet.figures.canvas.sheet import BASELINE, LABEL_LINE, Sheet, captioned, snap
from deconvnet.figures.canvas.style import LABEL, QUIET, SMALL, paper
from deconvnet.figures.canvas.style import width as inches
from deconvnet.figures.canvas.tiles import as_picture, enlarge, is_zero

Numbers = npt.NDArray[np.float64]
Band = tuple[float, float, float]  # mean, and both ends of its interval

RULE = (
    "Each map is divided by the 99.5 % quantile of its absolute values (inside the smallest box "
    "outside which it is zero) and clipped; zero is mid-grey."
)
"""How maps are drawn, as a sentence for captions and for the metadata of files."""

_RULES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_CONTROL = "#7a7a7a"
_BAND, _FAINT = "95 % confidence", 0.18  # what bands are, in the legend; their opacity
_CONTROLS = (("s", (4.0, 1.5)), ("^", (1.0, 1.2)), ("D", (4.0, 1.2, 1.0, 1.2)))  # mark, dashes
_GAP, _GUTTER, _BETWEEN = 0.04, 0.16, 0.16  # inches
_AXIS, _FOOT, _APART = 0.32, 0.3, 0.16  # left of a plot, below it, and between plots
_TILE = 1.1  # inches: maps of few stages are not blown up
_PLOT = 1.15  # inches: the least width of a plot
_HIGH = 1.05  # inches: its height
_WORDS = {"spearman": "Spearman, signed", "absolute spearman": "Spearman, absolute values",
          "ssim": "SSIM", "hog": "HOG"}  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Plot(Brief):
    label: str
    curves: Mapping[str, Numbers]  # {row: (3, points)}; of one point a dot with its interval
    x_label: str


@paper()
def randomisation(
    pictures: npt.ArrayLike,
    maps: Mapping[str, npt.ArrayLike],
    stages: Sequence[str],
    curves: Mapping[str, Mapping[str, Numbers]],
    *,
    complexity: Mapping[str, Band],
    logit: Mapping[str, Band],
    convergence: Mapping[str, Numbers],
    controls: Sequence[str],
    together: bool = True,
    width: str | float = "cvpr-full",
    title: str | None = None,
    caption: str | None = None,
    parent: Figure | SubFigure | None = None,
) -> Figure:
    """Rows of maps, one a rule and image, a column a stage; below them a plot for each measure.

    Args:
        pictures: (images, H, W, 3) in [0, 1].
        maps: {rule: (1 + stages, images, H, W, channels)}, signed: first as trained.
        stages: names of what was drawn anew.
        curves: {measure: {rule or control: (3, stages)}} mean and ends of an interval.
        complexity: {rule or control: the rise of entropy, with its interval}.
        logit: {rule or control: similarity to the map of another class, with its interval}.
        convergence: {rule: (3, places)} cosine of signals from top to bottom.
        controls: which rows are controls; they are grey.
        together: stages add up; else each was drawn alone.
        width: a name in ``WIDTHS``, or inches.
        title: in bold above the drawing.
        caption: stands below the drawing; ``RULE`` follows it.
        parent: a figure, or a part of one, to draw into; its width counts then.

    Source: Adebayo et al. 2018, figures 2 and 4.
    """
    full = inches(width, parent)
    shown = _Strip(np.asarray(pictures), {k: np.asarray(v) for k, v in maps.items()}, stages, full)
    plots = _plots(curves, complexity, logit, convergence, together=together)
    across = max(1, min(4, int((full + _APART) / (_PLOT + _AXIS + _APART))))
    wide = (full - (across - 1) * _APART) / across - _AXIS
    pitch = LABEL_LINE + _HIGH + _FOOT + _BETWEEN / 2
    lines = -(-len(plots) // across)
    rows = [*maps, *controls]
    legend = _legend([*rows, _BAND], controls, full)
    total = shown.height + _BETWEEN + len(legend) * LABEL_LINE + lines * pitch
    sheet, top = captioned(full, total, title=title, caption=caption, rule=RULE, parent=parent)
    shown.draw(sheet, top)
    top += shown.height + _BETWEEN
    for line in legend:
        for row, left in line:
            _key(sheet, row, left, top, controls=controls, rows=rows)
        top += LABEL_LINE
    for number, plot in enumerate(plots):
        row_of, column = divmod(number, across)
        left = _AXIS + column * (wide + _AXIS + _APART)
        _draw(sheet, plot, (left, top + row_of * pitch, wide), controls=controls, rows=rows)
    return sheet.figure


class _Strip:
    """The maps, laid out in inches."""

    def __init__(
        self,
        pictures: npt.NDArray[np.floating],
        maps: Mapping[str, npt.NDArray[np.floating]],
        stages: Sequence[str],
        full: float,
    ) -> None:
        self.pictures, self.maps = pictures, maps
        columns = len(stages) + 2
        self.tile = min(_TILE, (full - _GUTTER - (columns - 1) * _GAP) / columns)
        self.high = snap(self.tile * pictures.shape[1] / pictures.shape[2])
        numbered = [f"{number} {name}" for number, name in enumerate(stages, start=1)]
        names = ["image", "0 trained", *numbered]
        words = [word for name in names for word in name.split()]
        self.size = max(5.0, min(fitting(word, self.tile, size=LABEL) for word in words))
        self.headings = [fold(name, self.tile, size=self.size) for name in names]
        self.above = LABEL_LINE * max(map(len, self.headings))

    @property
    def height(self) -> float:
        """Of headings and rows."""
        rows = len(self.pictures) * len(self.maps)
        return self.above + rows * (self.high + _GAP) - _GAP

    def draw(self, sheet: Sheet, top: float) -> None:
        """Headings, then the rules of each image."""
        lefts = [_GUTTER + place * (self.tile + _GAP) for place in range(len(self.headings))]
        for left, lines in zip(lefts, self.headings, strict=True):
            for number, words in enumerate(lines):
                foot = top + self.above - LABEL_LINE * (len(lines) - number) + BASELINE
                sheet.text(words, left + self.tile / 2, foot, size=self.size, align="center")
        size = min(fitting(rule, self.high, size=LABEL) for rule in self.maps)
        down = top + self.above
        for image, picture in enumerate(self.pictures):
            shown = enlarge(as_picture(picture, what="an image"))
            sheet.image(shown, lefts[0], down, width=self.tile, height=self.high)
            for rule, states in self.maps.items():
                middle = down + self.high / 2
                sheet.text(rule, _GUTTER / 2, middle, size=size, align="middle", rotation=90.0)
                for left, state in zip(lefts[1:], states[:, image], strict=True):
                    self._map(sheet, state, left, down)
                down += self.high + _GAP

    def _map(self, sheet: Sheet, state: npt.NDArray[np.floating], left: float, top: float) -> None:
        if state.shape[-1] not in (1, 3):
            state = state.sum(-1, keepdims=True)
        picture = signed(state)
        if is_zero(picture):
            sheet.blank("zero", left, top, width=self.tile, height=self.high)
            return
        sheet.image(enlarge(picture), left, top, width=self.tile, height=self.high)


def _plots(
    curves: Mapping[str, Mapping[str, Numbers]],
    complexity: Mapping[str, Band],
    logit: Mapping[str, Band],
    convergence: Mapping[str, Numbers],
    *,
    together: bool,
) -> list[_Plot]:
    below = "stages drawn anew" if together else "the stage drawn anew"
    plots = [_Plot(_WORDS.get(name, name), rows, below) for name, rows in curves.items()]
    dots = ("Random logit (SSIM)", logit), ("Rise of entropy (eMPRT)", complexity)
    if convergence and next(iter(convergence.values())).shape[1]:
        below = "stages passed, from the target down"
        plots.append(_Plot("Convergence (|cosine|)", convergence, below))
    for label, bands in dots:
        points = {row: np.array(band)[:, None] for row, band in bands.items()}
        plots.append(_Plot(label, points, ""))
    return plots


def _legend(
    rows: Sequence[str], controls: Sequence[str], full: float
) -> list[list[tuple[str, float]]]:
    """Lines of rows with the place of each."""
    lines: list[list[tuple[str, float]]] = [[]]
    left = 0.0
    for row in rows:
        wide = 0.3 + measure(_called(row, controls), LABEL)
        if lines[-1] and left + wide > full:
            lines.append([])
            left = 0.0
        lines[-1].append((row, left))
        left += wide + 0.16
    return lines


def _called(row: str, controls: Sequence[str]) -> str:
    return f"control: {row}" if row in controls else row


def _key(
    sheet: Sheet,
    row: str,
    left: float,
    top: float,
    *,
    controls: Sequence[str],
    rows: Sequence[str],
) -> None:
    axes = sheet.axes(left, top, width=0.24, height=LABEL_LINE - 0.03)
    axes.set_axis_off()
    if row == _BAND:
        axes.fill_between([0, 1], 0, 1, color=_CONTROL, alpha=_FAINT, linewidth=0)
    else:
        axes.plot([0, 0.5, 1], [0, 0, 0], markevery=[1], **_style(row, controls, rows))
    sheet.text(_called(row, controls), left + 0.28, top + BASELINE - 0.01)


def _style(row: str, controls: Sequence[str], rows: Sequence[str]) -> dict[str, Any]:
    """How a row's lines and dots look: rules by colour, controls by mark and dashes."""
    if row not in controls:
        rules = [one for one in rows if one not in controls]
        colour = _RULES[rules.index(row) % len(_RULES)]
        return {"color": colour, "linewidth": 1.2, "marker": "o", "markersize": 2.2}
    mark, dashes = _CONTROLS[list(controls).index(row) % len(_CONTROLS)]
    look = {"color": _CONTROL, "linewidth": 0.9, "marker": mark, "markersize": 2.6}
    return {**look, "markeredgewidth": 0.0, "dashes": dashes}


def _draw(
    sheet: Sheet,
    plot: _Plot,
    place: tuple[float, float, float],
    *,
    controls: Sequence[str],
    rows: Sequence[str],
) -> None:
    left, top, wide = place
    sheet.text(plot.label, left, top + BASELINE, size=fitting(plot.label, wide, size=LABEL))
    axes = sheet.axes(left, top + LABEL_LINE, width=wide, height=_HIGH)
    some = [row for row in rows if row in plot.curves]
    dots = not plot.x_label
    for number, row in enumerate(some):
        if dots:
            _dot(axes, number, plot.curves[row][:, 0], _style(row, controls, rows))
        else:
            _curve(axes, plot.curves[row], _style(row, controls, rows))
    axes.tick_params(labelsize=SMALL, length=2, pad=1.5, width=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.locator_params(nbins=5, axis="y")
    if dots:
        axes.set_xticks([])
        axes.set_xlim(-0.6, len(some) - 0.4)
        return
    longest = max(curve.shape[1] for curve in plot.curves.values())
    axes.set_xticks(range(1, longest + 1))
    axes.set_xlim(0.8, longest + 0.2)
    foot = top + LABEL_LINE + _HIGH + 0.25
    size = fitting(plot.x_label, wide + _AXIS, size=SMALL)
    sheet.text(plot.x_label, left + wide / 2, foot, size=size, colour=QUIET, align="center")


def _curve(axes: Axes, band: Numbers, style: Mapping[str, Any]) -> None:
    """A mean with its interval."""
    x, (mean, low, high) = np.arange(1, band.shape[1] + 1), band
    axes.plot(x, mean, **style)
    axes.fill_between(x, low, high, color=style["color"], alpha=_FAINT, linewidth=0)


def _dot(axes: Axes, x: int, band: Numbers, style: Mapping[str, Any]) -> None:
    mean, low, high = band
    axes.plot([x, x], [low, high], color=style["color"], linewidth=1.0)
    look = {**style, "markersize": style["markersize"] + 1.0, "linewidth": 0.0}
    look.pop("dashes", None)
    axes.plot([x], [mean], **look)
