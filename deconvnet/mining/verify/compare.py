"""Entries of a mined table held against the activations of a forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from deconvnet.mining.topk import Table
from deconvnet.mining.topk.maxima import strongest
from deconvnet.store.table import LayerTable


@dataclass(frozen=True)
class Mismatch:
    """One thing that is not what the store says.

    Args:
        kind: "store", "model", "data set", "preprocessing", "batch shape", "image", "path",
            "layer", "activation", "position", "box", "missing", "counts", "graph" or "picture".
        what: what was found, and what the store says, in one line.
    """

    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


@dataclass(frozen=True)
class Entry:
    """A place of a table: the slot of a channel, and the row of its image in the batch."""

    channel: int
    slot: int
    row: int


class Comparison:
    """Compares one layer, batch by batch, and keeps count.

    Args:
        name: of the layer.
        table: what the store says.
        tolerance: how far an activation may be from the stored one, as a share of the layer's
            greatest; 0 for the last bit.
    """

    def __init__(self, name: str, table: LayerTable, tolerance: float) -> None:
        self.name, self.table = name, table
        finite = np.abs(table.activation[np.isfinite(table.activation)])
        self.slack = tolerance * float(finite.max(initial=0.0))
        self.checked = self.equal = 0
        self._undecided = np.zeros(table.channels, dtype=np.int64)

    def entries(self, values: Tensor, entries: Sequence[Entry]) -> Iterator[Mismatch]:
        """Entries against the values (images, channels, *positions) of the images they name."""
        for entry in entries:
            self.checked += 1
            maps = values[entry.row, entry.channel].detach().float().cpu().numpy().reshape(-1)
            maps = np.where(np.isnan(maps), -np.inf, maps) if not np.isnan(maps).all() else maps
            yield from self._entry(entry, maps, width=values.shape[-1] if values.ndim > 2 else 1)

    def _entry(self, entry: Entry, maps: NDArray[np.float32], *, width: int) -> Iterator[Mismatch]:
        at = (entry.channel, entry.slot)
        told, found = self.table.activation[at], maps.max()
        where = f"{self.name}:{entry.channel} of image {self.table.image[at]}"
        if told != found and not abs(float(told) - float(found)) <= self.slack:
            yield Mismatch("activation", f"{where} is {found:.7g}, the store says {told:.7g}")
            return
        self.equal += bool(told == found)
        if not self.table.size:
            return
        row, col = int(self.table.row[at]), int(self.table.col[at])
        place, first = row * width + col, int(maps.argmax())
        inside = 0 <= col < width and 0 <= place < len(maps)
        # where the maximum has other last bits, another place may be the first of those that
        # were equal: then it is enough that the place is as strong as the maximum
        near = told != found and inside and maps[place] >= found - self.slack
        if not inside or (place != first and not near):
            best = divmod(first, width)
            yield Mismatch("position", f"{where} is at {best}, the store says {(row, col)}")

    def counts(self, found: Table, images: int) -> Iterator[Mismatch]:
        """Counters over the whole data set, all of whose images were given to ``absent``.

        Args:
            found: counted again.
            images: how many they are.
        """
        told, mean, share = self.table, found.mean.numpy(), found.nonzero.numpy()
        # where another machine may give the other sign, an image may count or not
        allowed = self._undecided / max(1, images) + 1e-12
        with np.errstate(invalid="ignore"):
            near = (told.mean == mean) | (np.abs(told.mean - mean) <= self.slack)
            alike = np.abs(told.nonzero - share) <= allowed
        near |= np.isnan(told.mean) & np.isnan(mean)
        alike |= np.isnan(told.nonzero) & np.isnan(share)
        odd = np.flatnonzero(~near | ~alike | (told.nan != found.nan.numpy()))
        for c in odd[:1]:
            here = f"mean {float(mean[c])!r}, nonzero {float(share[c])!r}, nan {found.nan[c]}"
            says = f"{float(told.mean[c])!r}, {float(told.nonzero[c])!r}, {told.nan[c]}"
            what = f"{self.name}:{c} has {here}, the store says {says}"
            yield Mismatch("counts", f"{what}; the same of {len(odd) - 1} more channels")

    def absent(self, values: Tensor, images: Sequence[int]) -> Iterator[Mismatch]:
        """Images that are stronger than the last entry of a channel, and stand in no slot.

        Args:
            values: (images, channels, *positions).
            images: their indices.
        """
        maxima = strongest(values).numpy()
        if self.slack:
            self._undecided += (np.abs(maxima) <= self.slack).sum(0)
        last, last_image = self.table.activation[:, -1], self.table.image[:, -1]
        for number, maximum in zip(images, maxima, strict=True):
            # equal ones go by the smaller image; only of zeros is it sure that they were equal
            tie = (maximum == last) & (number < last_image) & ((last == 0) | (self.slack == 0))
            room = np.isnan(last) & ~np.isnan(maximum)
            with np.errstate(invalid="ignore"):
                beats = tie | room | (maximum > last + self.slack)
            beaten = np.flatnonzero(beats & ~(self.table.image == number).any(1))
            if len(beaten):
                one = beaten[0]
                yield Mismatch(
                    "missing",
                    f"image {number} gives {self.name}:{one} {maximum[one]:.7g} and is not among "
                    f"its {self.table.k} strongest, whose last is {last[one]:.7g}; the same of "
                    f"{len(beaten) - 1} more channels",
                )
