"""Units, their boxes and exemplars: a position in a feature map, and the pixels it sees."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .arguments import Brief

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Unit:
    """One position of one feature map, of one image of a batch.

    Args:
        layer: node name, as in ``DeconvNet.layers``.
        channel: index of the feature map.
        row: row in the map; None for "the strongest position" and where a layer has no position.
        col: column in the map; None likewise, and for 1-D maps, whose position is ``row`` alone.
        image: index of the image in the batch.
        depth: frame in the map, for 3-D maps.
    """

    layer: str
    channel: int
    row: int | None = None
    col: int | None = None
    image: int = 0
    depth: int | None = None

    @property
    def position(self) -> tuple[int, ...] | None:
        """The position as (row, col), (depth, row, col) or (row,); None if none was given."""
        return tuple(i for i in (self.depth, self.row, self.col) if i is not None) or None

    @staticmethod
    def at(
        layer: str, channel: int, *, position: tuple[int, ...] | None = None, image: int = 0
    ) -> Unit:
        """A unit by its position as a tuple.

        Raises:
            ValueError: the position has more than three numbers.
        """
        if position is None:
            return Unit(layer, channel, image=image)
        if not isinstance(position, (tuple, list)) or not 0 < len(position) <= 3:
            raise ValueError(
                f"the position was {position}; give (row, col) for images, (depth, row, col) for "
                "video, (place,) for 1-D maps"
            )
        depth = position[0] if len(position) == 3 else None
        row, col = (*position[-2:], None)[:2] if len(position) > 1 else (position[0], None)
        return Unit(layer, channel, row, col, image, depth)

    def moved(self, position: tuple[int, ...], layer: str | None = None) -> Unit:
        """The same unit at another position, () for none; or by another name of its layer."""
        return Unit.at(
            layer or self.layer, self.channel, position=position or None, image=self.image
        )

    @staticmethod
    def parse(text: str) -> Unit:
        """Read ``features.28:42`` or ``features.28:42@7,7``.

        >>> Unit.parse("features.28:42@7,7")
        Unit(layer='features.28', channel=42, row=7, col=7, image=0, depth=None)

        Raises:
            ValueError: the text has another form.
        """
        match = re.fullmatch(r"(.+):(\d+)(?:@(\d+(?:,\d+){0,2}))?", text)
        if match is None:
            raise ValueError(
                f"{text!r} is no unit; write layer:channel or layer:channel@row,col, such as "
                "features.28:42@7,7"
            )
        position = tuple(int(n) for n in match[3].split(",")) if match[3] else None
        return Unit.at(match[1], int(match[2]), position=position)

    def __str__(self) -> str:
        place = "@" + ",".join(map(str, self.position)) if self.position else ""
        return f"{self.layer}:{self.channel}{place}"


@dataclass(frozen=True)
class Box:
    """A half-open box of pixels: what a unit sees of an image, clipped to it.

    Args:
        start: first pixel along each spatial axis.
        stop: one past the last.
    """

    start: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def top(self) -> int:
        """First row."""
        return self.start[-2]

    @property
    def left(self) -> int:
        """First column."""
        return self.start[-1]

    @property
    def bottom(self) -> int:
        """One past the last row."""
        return self.stop[-2]

    @property
    def right(self) -> int:
        """One past the last column."""
        return self.stop[-1]

    @property
    def edges(self) -> tuple[int, ...]:
        """The starts, then the stops: top, left, bottom and right of an image, half-open."""
        return (*self.start, *self.stop)

    @property
    def size(self) -> tuple[int, ...]:
        """Length along each axis."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def slices(self) -> tuple[slice, ...]:
        """To cut an image: ``image[(..., *box.slices)]``."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))


@dataclass(frozen=True, eq=False)
class Region(Brief):
    """Some positions of a feature map, whose units are projected together.

    Args:
        layer: node name, as in ``DeconvNet.layers``.
        channel: index of the feature map.
        mask: booleans of the map's size, True at the positions; or a ``Box`` of positions, half
            open: ``Box((2, 3), (5, 7))`` holds the rows 2 to 4 and the columns 3 to 6.
    """

    layer: str
    channel: int
    mask: Any

    def __str__(self) -> str:
        return f"{self.layer}:{self.channel}"


@dataclass(frozen=True, eq=False)
class Exemplar(Brief):
    """One unit in one image: its activation, the pixels it sees and what it responds to in them.

    Args:
        unit: its ``image`` is the index in the data set or in the batch.
        activation: the value of the unit.
        box: receptive field in pixels, clipped to the image.
        overhang: pixels before the box, such as rows above and columns left of it, where the
            receptive field leaves the image; one number for each axis.
        patch: (*box.size, bands) in [0, 1], the image within the box; of a signal, (length,
            bands), its values.
        projection: (*box.size, bands), signed.
    """

    unit: Unit
    activation: float
    box: Box
    overhang: tuple[int, ...]
    patch: NDArray[np.float32]
    projection: NDArray[np.float32]

    @property
    def axes(self) -> int:
        """How many axes the image has: 1 for signals, 2, or 3 for videos."""
        return len(self.box.start)

    def shown(self, bands: Sequence[int] | None = None) -> Exemplar:
        """The exemplar with these bands alone, as ``shown`` takes them."""
        patch, projection = shown(self.patch, bands), shown(self.projection, bands)
        return replace(self, patch=patch, projection=projection)

    def row(self, image: str | int) -> dict[str, object]:
        """A row of a table: the image by this name, the unit, its activation and its box."""
        unit, box = str(self.unit), self.box.edges
        return {"image": image, "unit": unit, "activation": self.activation, "box": box}


def by_layer(units: Sequence[Unit]) -> dict[str, list[int]]:
    """{layer: numbers of its units}, the layers in the order in which they are first named."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, unit in enumerate(units):
        groups[unit.layer].append(number)
    return dict(groups)


def check_bands(
    bands: Sequence[int] | None, there: int, *, axes: int | None = None
) -> tuple[int, ...]:
    """The bands that are shown of an image with so many, counted from 0.

    Args:
        bands: three, shown as red, green and blue, or one, shown as grey; of a signal any number.
            None: the first three bands, or the first one if there are fewer than three; of a
            signal all.
        there: how many bands the image has.
        axes: 1 for a signal.

    Raises:
        ValueError: another number of bands, or one that is not there.
    """
    if bands is None:
        return tuple(range(there)) if axes == 1 else (0, 1, 2) if there >= 3 else (0,)
    chosen = tuple(bands)
    usual = len(chosen) in (1, 3) or (axes == 1 and len(chosen) > 0)
    if not usual or not all(0 <= band < there for band in chosen):
        raise ValueError(
            f"bands={chosen} was given for an image of {there} bands, expected three of 0 to "
            f"{there - 1}, shown as red, green and blue, or one, shown as grey"
        )
    return chosen


def shown(
    values: NDArray[np.floating[Any]], bands: Sequence[int] | None = None
) -> NDArray[np.floating[Any]]:
    """The colours (*size, 3) that are shown of an image or a projection (*size, bands).

    Of a signal, (length, bands), the bands that are named, or all.

    Raises:
        ValueError: as ``check_bands``.
    """
    axes = values.ndim - 1
    picked = values[..., list(check_bands(bands, values.shape[-1], axes=axes))]
    return picked if picked.shape[-1] == 3 or axes == 1 else picked.repeat(3, axis=-1)
