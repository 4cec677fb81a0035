"""What an atlas holds: its layers, the kinds of sprites, and the names of its files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from deconvnet.store.sources import strongest_slots
from deconvnet.store.store import Store
from deconvnet.store.table import Entries, LayerTable
from deconvnet.studies.spectrum import QUANTILES

from .sprites import Grid

PAGE = 500  # units on a page
CHUNK = 100  # units in a file of numbers
STRONGEST, LOWEST, SPECTRUM = "strongest", "lowest", "spectrum"
PATHS = {STRONGEST: "", LOWEST: "lowest", SPECTRUM: "sample"}
"""Where the table of a kind stands, see ``LayerTable.every``."""
_COLUMNS = 3


@dataclass(frozen=True, eq=False)
class Leaf:
    """One layer of the atlas.

    Args:
        number: among the layers; files are named by it, never by the layer.
        name: of the layer.
        store: that was mined.
        grids: of its sprites, by kind.
        k: strongest images of a channel.
        per_source: of them from one photograph; None for any number.
    """

    number: int
    name: str
    store: Store
    grids: Mapping[str, Grid]
    k: int
    per_source: int | None

    @property
    def table(self) -> LayerTable:
        """The layer's table."""
        return self.store[self.name]

    @property
    def chunks(self) -> list[range]:
        """The channels of each file of numbers."""
        return _cut(self.table.channels, CHUNK)

    @property
    def pages(self) -> list[range]:
        """The channels of each page."""
        return _cut(self.table.channels, PAGE)

    def table_of(self, kind: str) -> Entries | None:
        """The entries of a kind."""
        return self.table.every.get(PATHS[kind])

    def layer_of(self, kind: str) -> str:
        """The layer whose activations stand in the entries of a kind."""
        lowest = self.table.lowest
        return lowest.of if kind == LOWEST and lowest is not None else self.name

    def slots(self, kind: str, channel: int) -> list[int]:
        """The entries of a channel that are shown, in their order; found once."""
        if (kind, channel) not in self._found:
            self._found[kind, channel] = self._slots(kind, channel)
        return self._found[kind, channel]

    @cached_property
    def _found(self) -> dict[tuple[str, int], list[int]]:
        return {}

    def _slots(self, kind: str, channel: int) -> list[int]:
        if kind == STRONGEST:
            return strongest_slots(
                self.store, self.name, channel, k=self.k, per_source=self.per_source
            )
        lowest, sample = self.table.lowest, self.table.sample
        if kind == LOWEST and lowest is not None:
            some: list[int] = np.flatnonzero(lowest.has_picture[channel]).tolist()
            return some[: self.k]
        return sample.at_quantiles(channel, QUANTILES) if sample is not None else []

    def files(self, kind: str, channel: int, rules: Sequence[str]) -> list[str]:
        """The sprites of a channel: its patches, then its projections by each rule."""
        if not self.slots(kind, channel):
            return []
        stem = f"sprites/{self.number}/{channel:05d}-{kind}"
        return [f"{stem}-{number}.webp" for number in range(1 + len(rules))]

    def images(self, channels: Sequence[int]) -> set[int]:
        """The images that are shown of some channels, as indices in the data set."""
        seen: set[int] = set()
        for kind in self.grids:
            table = self.table_of(kind)
            assert table is not None, "there is a grid of what is there"
            for channel in channels:
                seen.update(table.images[channel, self.slots(kind, channel)].tolist())
        return seen


def leaves(
    store: Store,
    layers: Sequence[str],
    *,
    k: int,
    per_source: int | None,
    shows: Callable[[str, str], bool],
) -> list[Leaf]:
    """The layers of an atlas.

    Args:
        store: that was mined.
        layers: its layers that are shown.
        k: strongest images of a channel.
        per_source: of them from one photograph.
        shows: whether there are pictures of a layer's ``LOWEST`` or ``SPECTRUM``.

    Raises:
        ValueError: the store is not of images.
    """
    made = []
    for number, name in enumerate(layers):
        table = store[name]
        if table.axes != 2:
            kinds = {1: "signals", 3: "videos"}
            raise ValueError(
                f"{str(store.path)!r} is of {kinds[table.axes]}, and an atlas shows images; draw "
                f"its units with deconvnet exemplars"
            )
        canvas = _canvas(store, table)
        most = min(k, table.k)
        grids = {STRONGEST: Grid(_COLUMNS, -(-most // _COLUMNS), canvas)}
        if table.lowest is not None and table.lowest.k and shows(name, LOWEST):
            rows = -(-min(k, table.lowest.k) // _COLUMNS)
            grids[LOWEST] = Grid(_COLUMNS, rows, canvas)
        if table.sample is not None and table.sample.k and shows(name, SPECTRUM):
            grids[SPECTRUM] = Grid(len(QUANTILES), 1, canvas)
        made.append(Leaf(number, name, store, grids, most, per_source))
    return made


def image_size(store: Store) -> tuple[int, int]:
    """Height and width of the model's input."""
    size: tuple[int, ...] = store.attributes["input_size"]  # type: ignore[assignment]
    return size[-2], size[-1]


def files(
    leaves: Sequence[Leaf], rules: Sequence[str], photographs: Sequence[int]
) -> Iterator[str]:
    """Every file of the atlas but those that are the same for all."""
    for leaf in leaves:
        for channel in range(leaf.table.channels):
            for kind in leaf.grids:
                yield from leaf.files(kind, channel, rules)
        yield from (data_file(leaf, number) for number in range(len(leaf.chunks)))
        yield from (page_file(leaf.number, number) for number in range(len(leaf.pages)))
    yield from map(photograph_file, photographs)


def data_file(leaf: Leaf, chunk: int) -> str:
    """The numbers of ``CHUNK`` channels."""
    return f"data/{leaf.number}-{chunk}.js"


def page_file(layer: int, page: int) -> str:
    """The page of ``PAGE`` channels of a layer, by the layer's number."""
    return f"layers/{layer}-{page}.html"


def photograph_file(index: int) -> str:
    """An image of the data set."""
    return f"photographs/{index}.webp"


def _canvas(store: Store, table: LayerTable) -> tuple[int, int]:
    """The layer's whole field, which ends where the image does; all of it without a field."""
    height, width = image_size(store)
    if len(table.field) != 2:
        return height, width
    sides = [math.ceil(min(f, n)) for f, n in zip(table.field, (height, width), strict=True)]
    return sides[0], sides[1]


def _cut(channels: int, step: int) -> list[range]:
    return [range(first, min(channels, first + step)) for first in range(0, channels, step)]
