"""Recompute entries of a store, in the batch shape and the rows in which they were mined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from deconvnet.data.samples import path_of
from deconvnet.graph.frontends import Graphs, blank
from deconvnet.graph.graph import Graph
from deconvnet.graph.modes import evaluation, threads_of_cpu
from deconvnet.mining.run.directions import Directed, Source
from deconvnet.mining.run.microbatches import (
    CONTIGUOUS,
    Microbatch,
    by_row,
    directed,
    groups_of,
    laid_out,
    microbatches,
)
from deconvnet.mining.topk import TopK
from deconvnet.projection import receptive_field
from deconvnet.projection.check.against_model import alongside
from deconvnet.projection.check.checked_graphs import differs
from deconvnet.projection.geometry import Geometry
from deconvnet.store.format import DEFAULTS
from deconvnet.store.store import Store
from deconvnet.store.table import Entries, LayerTable, Lowest

from .compare import Comparison, Mismatch

Key = tuple[str, str]
"""A layer, and where one of its tables stands in its group: see ``LayerTable.every``."""
Chosen = Mapping[Key, Sequence[tuple[int, int]]]
"""{table: [(channel, slot)]}"""
K = TypeVar("K")
TOLERANCE = 1e-4  # of a layer's greatest activation: other processors differ in the last bits
ACROSS = 1e-2  # where a GPU has a part in it: by default it multiplies with 10 bits
MOST_THREADS = 256  # a file may ask for more than the system gives
_USUAL = 16  # images at once, where a store does not say how many
STRANGERS = 8  # at least as many images that no chosen entry names


class Recomputation:
    """Random entries of a store, and the images to run for them.

    The graph, by which stores are mined, runs beside the model itself: a part of it that was at
    rest on the images that it was compared on may be another than the model's.

    The arguments are those of ``verify``; ``layers`` are those of the store that the model has.

    Attributes:
        drawn: the entries, by layer and table.
        images: how many are run.
        tables: {(layer, path): Comparison}, which count the entries compared.
    """

    def __init__(
        self,
        store: Store,
        graphs: Graphs,
        geometry: Geometry,
        dataset: Any,
        *,
        layers: Sequence[str],
        n: int | None,
        random_state: int,
        tolerance: float,
    ) -> None:
        self._store, self._graphs, self._geometry, self._dataset = store, graphs, geometry, dataset
        rank = str({**DEFAULTS, **store.attributes}["rank"])
        self.tables = {
            (name, path): Comparison(name, path, store[name], rank=rank, tolerance=tolerance)
            for name in layers
            for path, table in store[name].every.items()
            if not isinstance(table, Lowest) or table.of in geometry.sizes
        }
        count, size = len(dataset), tuple(geometry.sizes[geometry.input][1:])
        told: Any = store.attributes.get("batch_shape")
        fits = isinstance(told, tuple) and told[1:] == size and told[0] <= count
        self._shape: tuple[int, ...] = told if fits else (_USUAL, *size)
        batch = self._shape[0]
        tables = {key: each.table for key, each in self.tables.items()}
        self.drawn = draw_entries(tables, n, random_state=random_state)
        images = draw_images(
            store, tables, self.drawn, count=count, batch=batch, random_state=random_state
        )
        self._gone = [image for image in images if image >= count]
        lost = {failed.index for failed in store.failed}
        if n is None or set(range(count)) <= {*images, *lost}:
            # in the data set's own microbatches, since sums are rounded once for each
            every = groups_of(range(-(-count // batch)), batch, count)
            kept = ([image for image in group if image not in lost] for group in every)
            self._groups, self._every = list(filter(None, kept)), True
        else:
            self._groups, self._every = by_row((i for i in images if i < count), batch), False
        self._tops = {
            key: TopK(each.table.channels, 1)
            for key, each in self.tables.items()
            if self._every and isinstance(each.table, LayerTable)
        }
        self._vectors = {
            Directed(name, own): torch.from_numpy(each.vector)
            for name in layers
            for own, each in store[name].directions.items()
        }
        self.images = sum(map(len, self._groups))

    def mismatches(self, report: Callable[[int, int], None] | None = None) -> list[Mismatch | str]:
        """Run the images, and compare; as text, what could not be compared.

        Not a generator, which would hold the modes of PyTorch.
        """
        count, size, done = len(self._dataset), self._shape[1:], 0
        gone = f"is not in the data set, which has {count}"
        differ = list[Mismatch | str]()
        differ += [Mismatch("image", f"{image} {gone}") for image in self._gone]
        for key, each in self.tables.items():
            differ += _boxes(self._geometry, each, self.drawn.get(key, ()))
        like = blank(self._graphs.model, size).expand(*self._shape)
        graph, told = self._graphs.of(like), self._store.attributes
        asked, layout = told.get("threads"), str(told.get("layout", CONTIGUOUS))
        threads = asked if isinstance(asked, int) and 0 < asked <= MOST_THREADS else None
        with torch.no_grad(), evaluation(graph.model), threads_of_cpu(threads):
            for batch in microbatches(
                self._dataset, self._shape[0], size=size, dtype=like.dtype, groups=self._groups
            ):
                differ += self._read(batch)
                images = laid_out(batch.images.to(like.device), layout)
                differ += self._run(graph, images, batch)
                done += len(batch.indices) + len(batch.failed)
                if report is not None:
                    report(done, self.images)
        for key, top in self._tops.items():
            differ += self.tables[key].counts(top.table(), top.images)
        for each in self.tables.values():
            differ += each.ties(every=self._every)
        return differ

    def _run(
        self, graph: Graph, images: torch.Tensor, batch: Microbatch
    ) -> Iterator[Mismatch | str]:
        """Run the graph, and the model beside it: compare with the tables, and with each other.

        A part of the graph that was at rest on the images on which it was checked may be another
        than the model's; a store that was mined by it would be wrong, and agree with it.
        """
        layers = list(dict.fromkeys(each.node for each in self.tables.values()))
        differ = list[Mismatch]()

        def compare(name: str, value: Any) -> None:
            differ.extend(self._compare(name, batch.of_images(value), batch))
            for source, those in directed(name, value, batch, self._vectors):
                differ.extend(self._compare(source, those, batch))

        ran = alongside(graph, images, layers, compare)
        if ran.stopped is not None:
            raise ValueError(ran.stopped)
        yield from differ
        if ran.error is not None:
            yield f"the model itself, which cannot be called: {ran.error}"
        row = differs(graph, images, layers, ran) if ran.wrong else None
        if row is not None:
            yield Mismatch(
                "graph",
                f"on images {batch.indices.tolist()}, {row.name} is {row.actual} by the graph with "
                f"which stores are mined, and the model itself gives {row.expected}",
            )

    def _compare(self, source: Source, maps: torch.Tensor, batch: Microbatch) -> Iterator[Mismatch]:
        """Compare the maps of a node, or directions, of one microbatch with the tables of it."""
        for key, each in self.tables.items():
            if each.source == source:
                yield from each.compare(maps, batch.indices.tolist(), self.drawn.get(key, ()))
                if key in self._tops:
                    self._tops[key].update(maps, batch.indices)

    def _read(self, batch: Microbatch) -> Iterator[Mismatch]:
        """Check that the images of a microbatch can be read, and have the recorded paths."""
        for index, reason in batch.failed.items():
            yield Mismatch("image", f"{index} cannot be read: {reason}")
        for index in batch.indices.tolist():
            here, told = path_of(self._dataset, index), self._store.images.get(index)
            if told is not None and told != here:
                yield Mismatch("path", f"image {index} is {here!r}, the store says {told!r}")


def _boxes(
    geometry: Geometry, compared: Comparison, places: Sequence[tuple[int, int]]
) -> Iterator[Mismatch]:
    """Compare the boxes of entries whose position exists; of others the position is a mismatch."""
    table, size = compared.table, geometry.sizes[compared.node][2:]
    there = table.positions[..., : len(size)]
    inside = [p for p in places if (there[p] >= 0).all() and (there[p] < size).all()]
    at = [there[place] for place in inside]
    channels = None if isinstance(compared.source, Directed) else [c for c, _ in inside]
    starts, stops = receptive_field.boxes(geometry, compared.node, at, channels=channels)
    for place, box in zip(inside, np.concatenate([starts, stops], 1).tolist(), strict=True):
        if box != (told := table.box[place].tolist()):
            where = f"{compared.name}:{place[0]} of image {table.images[place]}"
            yield Mismatch("box", f"{where} sees {box}, the store says {told}")


def draw_entries(
    tables: Mapping[K, Entries], n: int | None, *, random_state: int
) -> dict[K, list[tuple[int, int]]]:
    """Entries of these tables, n or all: each full slot is equally likely, none is drawn twice."""
    full = {key: np.argwhere(table.images >= 0) for key, table in tables.items()}
    ends = np.cumsum([0, *map(len, full.values())])
    total = int(ends[-1])
    count = total if n is None else min(n, total)
    drawn = np.sort(np.random.default_rng(random_state).choice(total, count, replace=False))
    chosen = {}
    for (key, places), first, last in zip(full.items(), ends[:-1], ends[1:], strict=True):
        some = places[drawn[(drawn >= first) & (drawn < last)] - first].tolist()
        if some:
            chosen[key] = [(channel, slot) for channel, slot in some]
    return chosen


def draw_images(
    store: Store,
    tables: Mapping[Key, Entries],
    drawn: Mapping[Key, Sequence[tuple[int, int]]],
    *,
    count: int,
    batch: int,
    random_state: int,
) -> list[int]:
    """The images of chosen entries, and random others of ``count``, that fill whole microbatches.

    Every image runs in the row that it was mined in, so the chosen ones may be spread over as many
    microbatches as there are images of one row; others take the rows left free, at least
    ``STRANGERS`` where the data set has them.
    """
    named = {int(tables[key].images[place]) for key, some in drawn.items() for place in some}
    known = np.array([*named, *(lost.index for lost in store.failed)], dtype=np.int64)
    others = np.random.default_rng([random_state, 1]).permutation(
        np.setdiff1d(np.arange(count), known)
    )
    used = np.bincount(np.array(sorted(named), dtype=np.int64) % batch, minlength=batch)
    rows = others % batch
    order = np.argsort(rows, kind="stable")
    nth = np.empty_like(rows)  # which of the others of its row each one is
    nth[order] = np.arange(len(rows)) - np.searchsorted(rows[order], rows[order])
    place = used[rows] + nth  # the microbatch that each could be in
    wanted = -(-(len(named) + STRANGERS) // batch) * batch - len(named)
    enough = np.sort(place)[:STRANGERS]
    most = max([1, int(used.max()), *(enough[-1:] + 1).tolist()])
    return sorted(named | set(others[place < most][:wanted].tolist()))
