"""A sheet of paper: pictures, text and boxes placed in inches from the top left corner."""

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .lettering import families, printable
from .style import INK, LABEL
from .tiles import Picture, pixels

_STEP = 0.01  # inches: whole pixels at 100, 200, 300 or 600 dpi


def snap(inches: float) -> float:
    """The length rounded to whole pixels of the usual resolutions."""
    return round(inches / _STEP) * _STEP


class Sheet:
    """A figure without axes, drawn on in inches.

    One axes covers the whole figure: a hundred blocks in a hundred axes would take seconds. The
    pictures keep their pixels: with ``interpolation="none"`` matplotlib neither resamples them nor
    composites several into one.
    To be made and drawn on within ``style.paper()``.

    Args:
        width: in inches.
        height: in inches.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height))
        self.figure.set_layout_engine("none")  # every place is given
        self._axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
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
            family=[
                *families(shown),
                "sans-serif",
            ],  # an SVG may be read where the first is missing
            fontsize=size,
            color=colour,
            fontweight=weight,
            ha="center" if middle else align,
            va="center" if middle else "baseline",
            rotation=rotation,
            parse_math=False,  # a dollar sign in a file's name is a dollar sign
        )

    def outline(
        self, box: tuple[int, int, int, int], left: float, top: float, *, scale: float, colour: str
    ) -> None:
        """Outline a box on the picture that was drawn at ``left, top``.

        Args:
            box: top, left, bottom, right in pixels of the picture, half-open.
            left: of the picture, in inches.
            top: of the picture.
            scale: inches per pixel.
            colour: of the line, edged with white to be seen on any picture.
        """
        rows, columns = box[2] - box[0], box[3] - box[1]
        if min(rows, columns) <= 0:
            raise ValueError(f"box {box} is empty, expected (top, left, bottom, right) in pixels")
        line = min(0.9, max(0.6, 3.0 * scale * max(rows, columns)))  # points; less on small boxes
        for linewidth, shade in ((2 * line, "white"), (line, colour)):
            self._axes.add_patch(
                Rectangle(
                    (left + box[1] * scale, top + box[0] * scale),
                    columns * scale,
                    rows * scale,
                    fill=False,
                    linewidth=linewidth,
                    edgecolor=shade,
                    joinstyle="miter",
                )
            )

    def fill(self, left: float, top: float, *, width: float, height: float, colour: str) -> None:
        """Fill a rectangle."""
        self._axes.add_patch(
            Rectangle((left, top), width, height, facecolor=colour, edgecolor="none", linewidth=0)
        )
