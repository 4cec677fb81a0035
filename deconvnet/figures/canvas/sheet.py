"""A sheet of paper: pictures, text and boxes placed in inches from the top left corner."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle

from deconvnet.units import Box

from .contrast import RULE
from .lettering import families, fold, measure, printable, shorten
from .style import INK, LABEL, QUIET, SMALL, TITLE
from .tiles import Picture, pixels

LABEL_LINE = 0.135
"""Inches that a line of labels takes, at ``style.LABEL`` points."""
BASELINE = LABEL_LINE - 0.035
"""Inches from the top of that line to the foot of its letters."""
_LINE, _SPACE = 0.13, 0.12  # inches: a line of the caption, and between title and remark
_STEP = 0.01  # inches: whole pixels at 100, 200, 300 or 600 dpi


def snap(inches: float) -> float:
    """The length rounded to whole pixels of the usual resolutions."""
    return round(inches / _STEP) * _STEP


class Sheet:
    """A figure without axes, drawn on in inches.

    One axes covers the whole figure: a hundred axes would take seconds. The pictures keep their
    pixels: with ``interpolation="none"`` matplotlib neither resamples nor composites them. To be
    made and drawn on within ``style.paper()``. Width and height are in inches. In a ``parent`` the
    sheet lies at the top.

    Raises:
        ValueError: the parent is lower than the drawing.
    """

    def __init__(
        self, width: float, height: float, parent: Figure | SubFigure | None = None
    ) -> None:
        self.width, self.height = width, height
        if parent is None:
            parent = Figure(figsize=(width, height))
            parent.set_layout_engine("none")  # every place is given
        share = height / (parent.bbox.height / parent.dpi)
        if share > 1.001:
            raise ValueError(
                f"the parent is {height / share:.2f} inches high, and the drawing "
                f"{height:.2f}; make the parent higher"
            )
        self.figure: Figure = parent.figure
        self._axes = parent.add_axes((0.0, 1.0 - share, 1.0, share))
        self._axes.set_axis_off()
        self._axes.set(xlim=(0.0, width), ylim=(height, 0.0), autoscale_on=False)

    def image(
        self, picture: Picture, left: float, top: float, *, width: float, height: float
    ) -> None:
        """Draw a picture of ``(h, w, 3)`` into a rectangle."""
        self._axes.imshow(
            pixels(picture),
            extent=(left, left + width, top + height, top),
            interpolation="none",
            aspect="auto",
            origin="upper",
        )

    def text(
        self,
        text: str,
        x: float,
        y: float,
        *,
        size: float = LABEL,
        colour: str = INK,
        weight: str = "normal",
        align: str = "left",
        rotation: float = 0.0,
    ) -> None:
        """Draw a line; ``y`` is its baseline, or its middle with ``align="middle"``."""
        middle, shown = align == "middle", printable(text)
        self._axes.text(
            x,
            y,
            shown,
            family=[*families(shown), "sans-serif"],  # the last for readers of an SVG
            fontsize=size,
            color=colour,
            fontweight=weight,
            ha="center" if middle else align,
            va="center" if middle else "baseline",
            rotation=rotation,
            parse_math=False,  # a dollar sign in a file's name is a dollar sign
        )

    def outline(self, box: Box, left: float, top: float, *, scale: float, colour: str) -> None:
        """Outline a box on the picture that was drawn at ``left, top``; it must not be empty.

        ``scale`` is inches per pixel. The line is edged with white to be seen on any picture.
        """
        rows, columns = box.size[-2:]
        if min(rows, columns) <= 0:
            raise ValueError(
                f"box {box.edges} is empty, expected (top, left, bottom, right) in pixels"
            )
        line = min(0.9, max(0.6, 3.0 * scale * max(rows, columns)))  # points; less on small boxes
        for linewidth, shade in ((2 * line, "white"), (line, colour)):
            self._axes.add_patch(
                Rectangle(
                    (left + box.left * scale, top + box.top * scale),
                    columns * scale,
                    rows * scale,
                    fill=False,
                    linewidth=linewidth,
                    edgecolor=shade,
                    joinstyle="miter",
                )
            )

    def axes(self, left: float, top: float, *, width: float, height: float) -> Axes:
        """Axes of their own in a rectangle, for curves."""
        share = (left / self.width, 1 - (top + height) / self.height)
        bounds = (*share, width / self.width, height / self.height)
        return self._axes.inset_axes(bounds)

    def fill(self, left: float, top: float, *, width: float, height: float, colour: str) -> None:
        """Fill a rectangle."""
        self._axes.add_patch(
            Rectangle((left, top), width, height, facecolor=colour, edgecolor="none", linewidth=0)
        )


def captioned(
    width: float,
    height: float,
    *,
    title: str | None,
    caption: str | None,
    parent: Figure | SubFigure | None = None,
    rule: str = RULE,
) -> tuple[Sheet, float]:
    """A sheet with a strip above the drawing: the title in bold, and how the figure was drawn.

    The caption and the rule of contrast stand beside the title, or below it where the figure is
    narrow. Without both there is no strip. ``height`` is that of the drawing alone.

    Returns:
        The sheet, and the inches from its top to the drawing.
    """
    if not title and not caption:
        return Sheet(width, snap(height), parent), 0.0
    remark = f"{caption}. {rule}" if caption else ""
    shown = shorten(title or "", width, size=TITLE, weight="bold")
    beside = measure(shown, TITLE, weight="bold") + _SPACE if title else 0.0
    fits = beside + measure(remark, SMALL) <= width
    below = [] if fits else fold(remark, width, size=SMALL)
    first = 1 if title else 0
    top = max(1, first + len(below)) * _LINE + 0.06
    sheet = Sheet(width, snap(top + height), parent)
    if title:
        sheet.text(shown, 0.0, 0.1, size=TITLE, weight="bold")
    if fits and remark:
        sheet.text(remark, beside, 0.1, size=SMALL, colour=QUIET)
    for number, line in enumerate(below, start=first):
        sheet.text(line, 0.0, 0.1 + number * _LINE, size=SMALL, colour=QUIET)
    return sheet, top
