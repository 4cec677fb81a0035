"""Compare the entries of a mined table with the activations of a forward pass."""

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
    """One difference between a store and its model or data set.

    Args:
        kind: "store", "model", "data set", "preprocessing", "batch shape", "image", "path",
            "layer", "activation", "position", "box", "missing", "counts", "graph" or "picture".
        what: the value computed and the value stored, in one line.
    """

    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


class Comparison:
    """Compares one layer batch by batch, and counts the entries compared.

    The tolerance says how far an activation may be from the stored one, as a share of the layer's
    greatest; 0 for the last bit.
    """

    def __init__(self, name: str, table: LayerTable, tolerance: float) -> None:
        self.name, self.table = name, table
        finite = np.abs(table.activation[np.isfinite(table.activation)])
        self.slack = tolerance * float(finite.max(initial=0.0))
        self.checked = self.equal = 0
        self._undecided = np.zeros(table.channels, dtype=np.int64)

    def entries(
        self, values: Tensor, entries: Sequence[tuple[tuple[int, int], int]]
    ) -> Iterator[Mismatch]:
        """Compare entries ((channel, slot), row) with values (rows, channels, *positions)."""
        for at, row in entries:
            self.checked += 1
            maps = values[row, at[0]].detach().float().cpu().numpy().reshape(-1)
            maps = np.where(np.isnan(maps), -np.inf, maps) if not np.isnan(maps).all() else maps
            told, here = self.table.activation[at], maps.max()
            where = f"{self.name}:{at[0]} of image {self.table.image[at]}"
            if told != here and not abs(float(told) - float(here)) <= self.slack:
                yield Mismatch("activation", f"{where} is {here:.7g}, the store says {told:.7g}")
                continue
            self.equal += bool(told == here)
            if self.table.size:
                yield from self._position(at, where, maps)

    def _position(
        self, at: tuple[int, int], where: str, maps: NDArray[np.float32]
    ) -> Iterator[Mismatch]:
        told, size = tuple(self.table.positions[at].tolist()), self.table.size
        inside = all(0 <= n < length for n, length in zip(told, size, strict=True))
        place = int(np.ravel_multi_index(told, size)) if inside else -1
        first = int(maps.argmax())
        # where the maximum has other last bits, another place may be the first of those that
        # were equal: then it is enough that the place is as strong as the maximum
        differs = self.table.activation[at] != maps[first]
        near = differs and inside and maps[place] >= maps[first] - self.slack
        if not inside or (place != first and not near):
            best = tuple(map(int, np.unravel_index(first, size)))
            yield Mismatch("position", f"{where} is at {best}, the store says {told}")

    def counts(self, counted: Table, images: int) -> Iterator[Mismatch]:
        """Compare the counters with those counted again over all images, given to ``absent``."""
        told, mean, share = self.table, counted.mean.numpy(), counted.nonzero.numpy()
        # where another machine may give the other sign, an image may count or not
        allowed = self._undecided / max(1, images) + 1e-12
        alike = np.isclose(told.mean, mean, rtol=0, atol=self.slack, equal_nan=True)
        neither = np.isnan(told.nonzero) & np.isnan(share)
        with np.errstate(invalid="ignore"):
            alike &= neither | (np.abs(told.nonzero - share) <= allowed)
        odd = np.flatnonzero(~alike | (told.nan != counted.nan.numpy()))
        for c in odd[:1]:
            here = f"mean {float(mean[c])!r}, nonzero {float(share[c])!r}, nan {counted.nan[c]}"
            says = f"{float(told.mean[c])!r}, {float(told.nonzero[c])!r}, {told.nan[c]}"
            what = f"{self.name}:{c} has {here}, the store says {says}"
            yield Mismatch("counts", f"{what}; the same of {len(odd) - 1} more channels")

    def absent(self, values: Tensor, images: Sequence[int]) -> Iterator[Mismatch]:
        """Yield images missing from a channel's table, by values (images, channels, *positions)."""
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
