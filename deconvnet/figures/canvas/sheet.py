"""A sheet of paper: pictures, text and boxes placed in inches from the top left corner."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle

from deconvnet.units import Box

from .contrast import RULE
from .exact_image import ExactImage
from .figure import PaperFigure
from .lettering import families, fold, measure, printable
from .style import INK, LABEL, POINTS, QUIET, SMALL, TITLE
from .tiles import BLANK, Picture, pixels

LABEL_LINE = 0.135
"""Inches that a line of labels takes, at ``style.LABEL`` points."""
BASELINE = LABEL_LINE - 0.035
"""Inches from the top of that line to the foot of its letters."""
_LINE, _ROOM = 0.13, 0.06  # inches: a line of title or caption, and between it and the drawing
_STEP = 0.01  # inches: whole pixels at 100, 200, 300 or 600 dpi


def snap(inches: float) -> float:
    """The length rounded to whole pixels of the usual resolutions."""
    return round(inches / _STEP) * _STEP


class Sheet:
    """A figure, or a part of one, that is drawn on in inches.

    One axes covers it: a hundred axes would take seconds. To be made and drawn on within
    ``style.paper()``.

    Args:
        width: in inches.
        height: in inches.
        parent: a figure, or a part of one, to draw into, at its top.

    Raises:
        ValueError: the parent is lower than the drawing.
    """

    def __init__(
        self, width: float, height: float, parent: Figure | SubFigure | None = None
    ) -> None:
        self.width, self.height = width, height
        whole = PaperFigure(width, height) if parent is None else parent
        share = height / (whole.bbox.height / whole.dpi)
        if share > 1.001:
            raise ValueError(
                f"the drawing is {height:.2f} inches high at this width of {width:.2f}, and the "
                f"parent {height / share:.2f}; make the parent at least {height:.2f} inches high, "
                "or draw less in it"
            )
        self.figure: Figure = whole.figure
        self._axes = whole.add_axes((0.0, 1.0 - share, 1.0, share))
        self._axes.set_axis_off()
        self._axes.set(xlim=(0.0, width), ylim=(height, 0.0), autoscale_on=False)

    def image(
        self, picture: Picture, left: float, top: float, *, width: float, height: float
    ) -> None:
        """Draw a picture of ``(h, w, 3)`` into a rectangle."""
        extent = (left, left + width, top + height, top)
        drawn = ExactImage(self._axes, extent=extent, origin="upper")
        drawn.set_data(pixels(picture))
        drawn.set_clip_path(self._axes.patch)
        self._axes.add_image(drawn)

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

    def blank(self, words: str, left: float, top: float, *, width: float, height: float) -> None:
        """A pale rectangle in the place of a picture, with words that say why it is empty."""
        self._axes.add_patch(
            Rectangle((left, top), width, height, facecolor=str(BLANK), edgecolor="none")
        )
        size = min(SMALL, SMALL * width / max(measure(word, SMALL) for word in words.split()))
        lines = fold(words, width * 1.001, size=size)
        size = min(size, height * POINTS / (1.2 * len(lines)))
        for number, line in enumerate(lines):
            middle = top + height / 2 + (number - (len(lines) - 1) / 2) * 1.2 * size / POINTS
            self.text(line, left + width / 2, middle, size=size, colour=QUIET, align="middle")

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

    def curve(
        self, xs: Sequence[float], ys: Sequence[float], *, colour: str, line: float = 0.6
    ) -> None:
        """Draw a line through points; its width ``line`` is in points."""
        self._axes.plot(xs, ys, color=colour, linewidth=line, solid_joinstyle="round")

    def area(self, xs: Sequence[float], ys: Sequence[float], base: float, *, colour: str) -> None:
        """Fill what lies between a line through points and the height ``base``."""
        self._axes.fill_between(xs, ys, base, color=colour, linewidth=0)

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
    title: str | None = None,
    caption: str | None = None,
    rule: str = RULE,
    parent: Figure | SubFigure | None = None,
) -> tuple[Sheet, float]:
    """A sheet with a title in bold above the drawing and a caption below it, both if asked for.

    ``height`` is that of the drawing alone. After the caption stands the rule of contrast.

    Returns:
        The sheet, and the inches from its top to the drawing.
    """
    above = fold(title, width, size=TITLE, weight="bold") if title else []
    below = fold(f"{caption.rstrip('.')}. {rule}", width, size=SMALL) if caption else []
    top = len(above) * _LINE + (_ROOM if above else 0.0)
    bottom = len(below) * _LINE + (_ROOM if below else 0.0)
    sheet = Sheet(width, snap(top + height + bottom), parent)
    for number, line in enumerate(above):
        sheet.text(line, 0.0, 0.1 + number * _LINE, size=TITLE, weight="bold")
    for number, line in enumerate(below):
        foot = top + height + _ROOM + 0.1 + number * _LINE
        sheet.text(line, 0.0, foot, size=SMALL, colour=QUIET)
    if isinstance(sheet.figure, PaperFigure):
        sheet.figure.provenance.setdefault("contrast", rule)
    return sheet, top
