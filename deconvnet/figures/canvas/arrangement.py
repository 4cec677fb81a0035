"""How images and the panels of their units share a figure's width."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from .lettering import fold
from .style import LABEL, PAGE, POINTS, SMALL

INNER = 0.03  # inches between patch and projection
GUTTER = 0.12  # between units
ABREAST = 0.25  # between images side by side
BETWEEN = 0.1  # between lines of images
INDENT = 0.09  # before a label, for its mark

_BETWEEN_LINES = 0.04
_COMFORTABLE = 0.55  # inches: larger panels are not worth a longer figure
_MOST_ABREAST = 3
_BREAKS = ((1, False), (2, True), (2, False), (3, True), (3, False))  # lines, parted


@dataclass(frozen=True)
class Arrangement:
    """Sizes and places, in inches; a band is an image and its units.

    Args:
        abreast: images side by side.
        lines_of_images: one below the other.
        across: units in one line of a band.
        down: lines of units in a band.
        band: width of a band.
        aspect: height of a panel by its width.
        ratio: height of the image by its width.
        size: of the labels, in points.
        lines: of a label.
        parted: whether the labels are broken before the unit's position.
    """

    abreast: int
    lines_of_images: int
    across: int
    down: int
    band: float
    aspect: float
    ratio: float
    size: float
    lines: int
    parted: bool

    @property
    def panel(self) -> float:
        """Width of a patch, and of a projection."""
        # The image is as high as its units, and takes width in proportion.
        labels = self.down * self.label - self.name
        beside = (labels + (self.down - 1) * _BETWEEN_LINES) / self.ratio
        free = self.band - beside - self.across * (INNER + GUTTER)
        return max(0.05, free / (2 * self.across + self.down * self.aspect / self.ratio))

    @property
    def label(self) -> float:
        """Height of a unit's label."""
        return _label_height(self.size, self.lines)

    @property
    def name(self) -> float:
        """Height of the image's name."""
        return _label_height(self.size, 1)

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
        return self.lines_of_images * (self.height + BETWEEN) - BETWEEN

    def place(self, number: int) -> tuple[float, float]:
        """Left and top of a unit within its band."""
        row, column = divmod(number, self.across)
        pitch = 2 * self.panel + INNER + GUTTER
        line = self.panel * self.aspect + self.label + _BETWEEN_LINES
        return self.band + GUTTER + (column - self.across) * pitch, row * line

    def baseline(self, top: float, line: int) -> float:
        """Foot of the letters in a line of a label that begins at ``top``."""
        return top + _label_height(self.size, line + 1) - 0.035

    def fold(self, label: str) -> list[str]:
        """The label's lines, the position on lines of its own where they are ``parted``."""
        room = 2 * self.panel + INNER - INDENT
        unit, at, rest = label.partition(" @ ")
        parts = [unit, f"@ {rest}"] if self.parted and at else [label]
        return [line for part in parts for line in fold(part, room, size=self.size)]

    def merit(self, labels: Sequence[str]) -> tuple[bool, bool, float, float, bool, float]:
        """Legible labels on one page first, then comfortable panels, then the least height."""
        page = self.total <= PAGE
        return (
            page and all(map(self._holds, labels)),
            page,
            min(self.panel, _COMFORTABLE),
            self.size,
            self.parted or self.lines == 1,
            -self.total,
        )

    def _holds(self, label: str) -> bool:
        """Whether the label fits above its panels, uncut."""
        lines = self.fold(label)
        cut = any(line.startswith("…") and line not in label for line in lines)
        return len(lines) <= self.lines and not cut


def arrange(
    labels: Sequence[Sequence[str]], *, width: float, image: float, panel: float
) -> Arrangement:
    """The arrangement of most merit.

    Args:
        labels: of the units, for every image.
        width: of the figure, in inches.
        image: height of the images by their width.
        panel: height of the panels by their width.
    """
    images, units = len(labels), max(map(len, labels))
    every = sorted({label for those in labels for label in those})
    plans = (
        Arrangement(
            abreast,
            math.ceil(images / abreast),
            across,
            math.ceil(units / across),
            (width - (abreast - 1) * ABREAST) / abreast,
            panel,
            image,
            size,
            *breaks,
        )
        for abreast, across, size, breaks in itertools.product(
            range(1, min(images, _MOST_ABREAST) + 1), range(1, units + 1), (LABEL, SMALL), _BREAKS
        )
    )
    return max(plans, key=lambda plan: plan.merit(every))


def _label_height(size: float, lines: int) -> float:
    return lines * (1.2 * size / POINTS) + 0.02
