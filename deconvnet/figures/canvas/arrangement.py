"""How photographs and the panels of their units share a figure's width."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .lettering import fold
from .style import LABEL, PAGE, POINTS, SMALL

INNER = 0.03  # inches between patch and projection
GUTTER = 0.12  # between units
ABREAST = 0.25  # between images side by side
BETWEEN = 0.1  # between lines of images

_BETWEEN_LINES = 0.04
_COMFORTABLE = 0.55  # inches: larger panels are not worth a longer figure
_MOST_ABREAST = 3
_BREAKS = ((1, False), (2, True), (2, False), (3, True), (3, False))  # lines, parted


@dataclass(frozen=True)
class Arrangement:
    """Sizes and places, in inches; an image's band is its photograph and its units.

    Args:
        abreast: images side by side.
        images: lines of images.
        across: units in one line of a band.
        down: lines of units in a band.
        band: width of a band.
        panel: width of a patch, and of a projection.
        aspect: height of a panel by its width.
        ratio: height of the photograph by its width.
        size: of the labels, in points.
        lines: of a label.
        parted: whether the labels are broken before the unit's position.
        indent: before a label, for its mark.
    """

    abreast: int
    images: int
    across: int
    down: int
    band: float
    panel: float
    aspect: float
    ratio: float
    size: float
    lines: int
    parted: bool
    indent: float

    @property
    def pair(self) -> float:
        """Width of a patch and its projection."""
        return 2 * self.panel + INNER

    @property
    def label(self) -> float:
        """Height of a label."""
        return _label_height(self.size, self.lines)

    @property
    def photograph(self) -> tuple[float, float]:
        """Height and width left for the photograph: a band without the line of its name."""
        high = self.height - self.name
        return high, high / self.ratio

    @property
    def name(self) -> float:
        """Height of the photograph's name."""
        return _label_height(self.size, 1)

    @property
    def height(self) -> float:
        """Height of a band."""
        panels = self.down * (self.panel * self.aspect + self.label)
        return panels + (self.down - 1) * _BETWEEN_LINES

    @property
    def total(self) -> float:
        """Height of all bands."""
        return self.images * (self.height + BETWEEN) - BETWEEN

    def place(self, number: int) -> tuple[float, float]:
        """Left and top of a unit within its band."""
        row, column = divmod(number, self.across)
        start = self.band - self.across * (self.pair + GUTTER) + GUTTER
        line = self.panel * self.aspect + self.label + _BETWEEN_LINES
        return start + column * (self.pair + GUTTER), row * line

    def baseline(self, top: float, line: int) -> float:
        """Foot of the letters in a line of a label that begins at ``top``."""
        return top + _label_height(self.size, line + 1) - 0.035

    def fold(self, label: str) -> list[str]:
        """The label's lines, the position on lines of its own where they are ``parted``."""
        room = self.pair - self.indent
        unit, at, rest = label.partition(" @ ")
        parts = [unit, f"@ {rest}"] if self.parted and at else [label]
        return [line for part in parts for line in fold(part, room, size=self.size)]

    def holds(self, label: str) -> bool:
        """Whether the label fits above its panels, uncut."""
        lines = self.fold(label)
        cut = any(line.startswith("…") and line not in label for line in lines)
        return len(lines) <= self.lines and not cut


def arrange(
    labels: Sequence[Sequence[str]],
    *,
    width: float,
    photograph: float,
    panel: float,
    indent: float,
) -> Arrangement:
    """The arrangement with legible labels and comfortable panels that takes the least height.

    Args:
        labels: of the units, for every image.
        width: of the figure, in inches.
        photograph: height of the photographs by their width.
        panel: height of the panels by their width.
        indent: inches before a label.
    """
    most = max(len(image) for image in labels)
    every = sorted({label for image in labels for label in image})
    plans = _candidates(len(labels), most, width, ratio=photograph, aspect=panel, indent=indent)

    def merit(plan: Arrangement) -> tuple[bool, bool, float, float, bool, float]:
        page = plan.total <= PAGE
        return (
            page and all(plan.holds(label) for label in every),
            page,
            min(plan.panel, _COMFORTABLE),
            plan.size,
            plan.parted or plan.lines == 1,
            -plan.total,
        )

    return max(plans, key=merit)


def _candidates(
    images: int, units: int, width: float, *, ratio: float, aspect: float, indent: float
) -> Iterator[Arrangement]:
    for abreast in range(1, min(images, _MOST_ABREAST) + 1):
        band = (width - (abreast - 1) * ABREAST) / abreast
        for across in range(1, units + 1):
            down = math.ceil(units / across)
            for size, (lines, parted) in itertools.product((LABEL, SMALL), _BREAKS):
                # The photograph is as high as its units, and takes width in proportion.
                labels = down * _label_height(size, lines) - _label_height(size, 1)
                beside = (labels + (down - 1) * _BETWEEN_LINES) / ratio
                free = band - beside - across * (INNER + GUTTER)
                panel = max(0.05, free / (2 * across + down * aspect / ratio))
                yield Arrangement(
                    abreast=abreast,
                    images=math.ceil(images / abreast),
                    across=across,
                    down=down,
                    band=band,
                    panel=panel,
                    aspect=aspect,
                    ratio=ratio,
                    size=size,
                    lines=lines,
                    parted=parted,
                    indent=indent,
                )


def _label_height(size: float, lines: int) -> float:
    return lines * (1.2 * size / POINTS) + 0.02
