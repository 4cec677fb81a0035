"""Compare the entries of a mined table with the activations of a forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from deconvnet.mining.run.directions import Directed, Source
from deconvnet.mining.topk import Table
from deconvnet.mining.topk.maxima import ranked_by
from deconvnet.store.format import unescape
from deconvnet.store.table import DIRECTIONS, Entries, LayerTable, Lowest, Ranked, Sample


@dataclass(frozen=True)
class Mismatch:
    """One difference between a store and its model or data set.

    Args:
        kind: "store", "model", "data set", "preprocessing", "batch shape", "image", "path",
            "layer", "sample", "activation", "position", "box", "missing", "ties", "counts",
            "graph" or "picture".
        what: the value computed and the value stored, in one line.
    """

    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


def kind_of(table: Entries) -> str:
    """What a table holds: "strongest", "lowest" or "sample"."""
    named = {Lowest: "lowest", Sample: "sample"}
    return named.get(type(table), "strongest")


def source_at(table: LayerTable, layer: str, path: str) -> Source:
    """What the table of a layer that stands at a path is of: a node, or directions."""
    start, _, rest = path.partition("/")
    if start == DIRECTIONS:
        return Directed(layer, unescape(rest.partition("/")[0]))
    own = table.every[path]
    return own.of if isinstance(own, Lowest) else layer


class Comparison:
    """Compares one table of a layer batch by batch, and counts the entries compared.

    Args:
        layer: whose table it is.
        path: where the table stands in the layer's group, see ``LayerTable.every``.
        table: the layer's own.
        rank: what images are ranked by.
        tolerance: how far an activation may be from the stored one, as a share of the layer's
            greatest; 0 for the last bit.
    """

    def __init__(
        self, layer: str, path: str, table: LayerTable, *, rank: str, tolerance: float
    ) -> None:
        self.table, self.source = table.every[path], source_at(table, layer, path)
        self.node = layer if isinstance(self.source, Directed) else self.source
        own, kind = table.every["/".join(path.split("/")[:2])], kind_of(self.table)
        of = str(self.source) if isinstance(self.source, Directed) else layer
        self.name = of if kind == "strongest" else f"{kind} of {of}"
        self._layer, self._kind, self._rank = (
            own if isinstance(own, LayerTable) else table, kind, rank
        )  # fmt: skip
        self._sign = -1 if kind == "lowest" else 1
        every = np.concatenate([each.activation.ravel() for each in self._layer.tables.values()])
        finite = np.abs(every[np.isfinite(every)])
        self.slack = tolerance * float(finite.max(initial=0.0))
        self.checked = self.equal = 0
        self._undecided, self._tied, self._near = np.zeros((3, self.table.channels), dtype=np.int64)

    def compare(
        self, values: Tensor, images: Sequence[int], chosen: Sequence[tuple[int, int]]
    ) -> Iterator[Mismatch]:
        """Compare with values (images, channels, *positions) of these images.

        Chosen entries (channel, slot) whose image is among them must be what it gives; and an image
        that should stand in the table must.
        """
        ranked = ranked_by(self._rank, values, lowest=self._kind == "lowest").cpu().numpy()
        rows = {image: row for row, image in enumerate(images)}
        known = self.table.images
        for at in (place for place in chosen if known[place] in rows):
            row = rows[int(known[at])]
            yield from self._entry(at, float(ranked[row, at[0]]), values[row, at[0]])
        if self._kind == "sample":
            yield from self._sampled(rows, ranked)
        else:
            yield from self._absent(images, ranked)
            self._count_ties(images, ranked)

    def _entry(self, at: tuple[int, int], here: float, values: Tensor) -> Iterator[Mismatch]:
        self.checked += 1
        told = float(self.table.activation[at])
        where = f"{self.name}:{at[0]} of image {self.table.images[at]}"
        if told != here and not abs(told - here) <= self.slack:
            yield Mismatch("activation", f"{where} is {here:.7g}, the store says {told:.7g}")
            return
        self.equal += bool(told == here)
        maps = self._sign * values.detach().float().cpu().numpy().reshape(-1)
        maps = np.where(np.isnan(maps), -np.inf, maps)
        if self.table.size:
            yield from self._position(at, where, maps)
        if self.table.peak is not None:
            peak, most = float(self.table.peak[at]), self._sign * float(maps.max())
            if peak != most and not abs(peak - most) <= self.slack:
                what = f"{where} has its peak at {most:.7g}, the store says {peak:.7g}"
                yield Mismatch("activation", what)

    def _position(
        self, at: tuple[int, int], where: str, maps: NDArray[np.float32]
    ) -> Iterator[Mismatch]:
        told, size = tuple(self.table.positions[at].tolist()), self.table.size
        inside = all(0 <= n < length for n, length in zip(told, size, strict=True))
        place = int(np.ravel_multi_index(told, size)) if inside else -1
        first = int(maps.argmax())
        # where the maximum has other last bits, another place may be the first of those that
        # were equal: then it is enough that the place is as strong as the maximum
        peak = self.table.value[at]
        differs = peak != self._sign * maps[first]
        near = differs and inside and maps[place] >= maps[first] - self.slack
        if not inside or (place != first and not near):
            best = tuple(map(int, np.unravel_index(first, size)))
            yield Mismatch("position", f"{where} is at {best}, the store says {told}")

    def counts(self, counted: Table, images: int) -> Iterator[Mismatch]:
        """Compare the counters with those counted again over all images, given to ``compare``."""
        told, mean, share = self._layer, counted.mean.numpy(), counted.nonzero.numpy()
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

    def ties(self, *, every: bool) -> Iterator[Mismatch]:
        """Compare how many images tie with the last entry with those among the images compared.

        ``every``: they were all images. Where an activation had other last bits here than in the
        store, those as near as that may or may not have tied.
        """
        if not isinstance(self.table, Ranked) or self.table.ties is None:
            return
        told, sure = self.table.ties, self.checked == self.equal
        least = self._tied if sure else np.zeros_like(told)
        most = (self._tied if sure else self._near) if every else np.maximum(told, least)
        odd = np.flatnonzero((told < least) | (told > most))
        for c in odd[:1]:
            few = "" if every else "at least "
            here = f"{few}{least[c]}" if sure else f"{least[c]} to {most[c]}"
            what = f"{self.name}:{c} leaves out {here} images as strong as its last entry, the "
            yield Mismatch(
                "ties", f"{what}store says {told[c]}; the same of {len(odd) - 1} more channels"
            )

    def _count_ties(self, images: Sequence[int], ranked: NDArray[np.float32]) -> None:
        """Count the images that stand in no slot and have the activation of the last entry."""
        last = self.table.activation[:, -1]
        with np.errstate(invalid="ignore"):
            near = (ranked == last) | (np.abs(ranked - last) <= self.slack)
        for number, value, some in zip(images, ranked, near, strict=True):
            if some.any():
                left_out = some & ~(self.table.images == number).any(1)
                self._near += left_out
                self._tied += left_out & (value == last)

    def _absent(self, images: Sequence[int], ranked: NDArray[np.float32]) -> Iterator[Mismatch]:
        """Yield images missing from a channel's table."""
        if self.slack:
            self._undecided += (np.abs(ranked) <= self.slack).sum(0)
        last, last_image = self._sign * self.table.activation[:, -1], self.table.image[:, -1]
        for number, value in zip(images, self._sign * ranked, strict=True):
            # equal ones go by the smaller image; only of zeros is it sure that they were equal
            tie = (value == last) & (number < last_image) & ((last == 0) | (self.slack == 0))
            room = np.isnan(last) & ~np.isnan(value)
            with np.errstate(invalid="ignore"):
                beats = tie | room | (value > last + self.slack)
            beaten = np.flatnonzero(beats & ~(self.table.image == number).any(1))
            if len(beaten):
                one = beaten[0]
                kind = self._kind
                yield Mismatch(
                    "missing",
                    f"image {number} gives {self.name}:{one} {self._sign * value[one]:.7g} and is "
                    f"not among its {self.table.k} {kind}, whose last is "
                    f"{self._sign * last[one]:.7g}; the same of {len(beaten) - 1} more channels",
                )

    def _sampled(self, rows: Mapping[int, int], ranked: NDArray[np.float32]) -> Iterator[Mismatch]:
        """Yield images of the sample that have an activation in other channels than it says."""
        for slot, image in enumerate(self.table.image.tolist()):
            if image not in rows:
                continue
            told, here = self.table.activation[:, slot], ranked[rows[image]]
            odd = np.flatnonzero(np.isnan(told) != np.isnan(here))
            if len(odd):
                what = f"{self.name}:{odd[0]} of image {image} is {here[odd[0]]:.7g}"
                yield Mismatch("missing", f"{what}, the store says {told[odd[0]]:.7g}")
