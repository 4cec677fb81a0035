"""Recompute entries of a store, in the batch shape and the rows in which they were mined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from deconvnet.data.samples import path_of
from deconvnet.graph.frontends import Graphs, blank
from deconvnet.graph.graph import Graph
from deconvnet.graph.modes import evaluation, threads_of_cpu
from deconvnet.mining.run.microbatches import (
    CONTIGUOUS,
    Microbatch,
    by_row,
    groups_of,
    laid_out,
    microbatches,
)
from deconvnet.mining.topk import TopK
from deconvnet.projection import receptive_field
from deconvnet.projection.check.against_model import alongside
from deconvnet.projection.check.checked_graphs import differs
from deconvnet.projection.geometry import Geometry
from deconvnet.store.store import Store

from .compare import Comparison, Mismatch

Chosen = Mapping[str, Sequence[tuple[int, int]]]
"""{layer: [(channel, slot)]}"""
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
        chosen: the entries.
        images: how many are run.
        layers: {layer: Comparison}, which count the entries compared.
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
        seed: int,
        tolerance: float,
    ) -> None:
        self._store, self._graphs, self._geometry, self._dataset = store, graphs, geometry, dataset
        self.layers = {name: Comparison(name, store[name], tolerance) for name in layers}
        count, size = len(dataset), tuple(geometry.sizes[geometry.input][1:])
        told: Any = store.attributes.get("batch_shape")
        fits = isinstance(told, tuple) and told[1:] == size and told[0] <= count
        self._shape: tuple[int, ...] = told if fits else (_USUAL, *size)
        batch = self._shape[0]
        entries = sum(int((store[name].image >= 0).sum()) for name in layers)
        self.chosen = draw_entries(store, layers, entries if n is None else n, seed=seed)
        images = draw_images(store, self.chosen, count=count, batch=batch, seed=seed)
        self._gone = [image for image in images if image >= count]
        lost = {failed.index for failed in store.failed}
        if n is None or set(range(count)) <= {*images, *lost}:
            # in the data set's own microbatches, since sums are rounded once for each
            every = groups_of(range(-(-count // batch)), batch, count)
            kept = ([image for image in group if image not in lost] for group in every)
            self._groups, counted = list(filter(None, kept)), layers
        else:
            self._groups, counted = by_row((i for i in images if i < count), batch), ()
        self._tops = {name: TopK(store[name].channels, 1) for name in counted}
        self.images = sum(map(len, self._groups))

    def mismatches(self, report: Callable[[int, int], None] | None = None) -> list[Mismatch | str]:
        """Run the images, and compare; as text, what could not be compared.

        Not a generator, which would hold the modes of PyTorch.
        """
        count, size, done = len(self._dataset), self._shape[1:], 0
        gone = f"is not in the data set, which has {count}"
        differ = list[Mismatch | str]()
        differ += [Mismatch("image", f"{image} {gone}") for image in self._gone]
        differ += _boxes(self._store, self._geometry, self.chosen)
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
        for name, top in self._tops.items():
            differ += self.layers[name].counts(top.table(), top.images)
        return differ

    def _run(
        self, graph: Graph, images: torch.Tensor, batch: Microbatch
    ) -> Iterator[Mismatch | str]:
        """Run the graph, and the model beside it: compare with the tables, and with each other.

        A part of the graph that was at rest on the images on which it was checked may be another
        than the model's; a store that was mined by it would be wrong, and agree with it.
        """
        layers, differ = list(self.layers), list[Mismatch]()

        def compare(name: str, value: Any) -> None:
            differ.extend(self._compare(name, batch.of_images(value), batch))

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

    def _compare(self, name: str, maps: torch.Tensor, batch: Microbatch) -> Iterator[Mismatch]:
        """Compare a layer's maps of one microbatch with its table."""
        rows = {image: row for row, image in enumerate(batch.indices.tolist())}
        image = self._store[name].image
        here = [(p, rows[image[p]]) for p in self.chosen.get(name, ()) if image[p] in rows]
        yield from self.layers[name].entries(maps, here)
        yield from self.layers[name].absent(maps, list(rows))
        if name in self._tops:
            self._tops[name].update(maps, batch.indices)

    def _read(self, batch: Microbatch) -> Iterator[Mismatch]:
        """Check that the images of a microbatch can be read, and have the recorded paths."""
        for index, reason in batch.failed.items():
            yield Mismatch("image", f"{index} cannot be read: {reason}")
        for index in batch.indices.tolist():
            here, told = path_of(self._dataset, index), self._store.images.get(index)
            if told is not None and told != here:
                yield Mismatch("path", f"image {index} is {here!r}, the store says {told!r}")


def _boxes(store: Store, geometry: Geometry, chosen: Chosen) -> Iterator[Mismatch]:
    """Compare the boxes of entries whose position exists; of others the position is a mismatch."""
    for name, places in chosen.items():
        table, size = store[name], geometry.sizes[name][2:]
        there = table.positions[..., : len(size)]
        inside = [p for p in places if (there[p] >= 0).all() and (there[p] < size).all()]
        at = [there[place] for place in inside]
        starts, stops = receptive_field.boxes(geometry, name, at, channels=[c for c, _ in inside])
        for place, box in zip(inside, np.concatenate([starts, stops], 1).tolist(), strict=True):
            if box != (told := table.box[place].tolist()):
                where = f"{name}:{place[0]} of image {table.image[place]}"
                yield Mismatch("box", f"{where} sees {box}, the store says {told}")


def draw_entries(store: Store, layers: Sequence[str], n: int, *, seed: int) -> Chosen:
    """Entries of these layers, n or all: each full slot is equally likely, none is drawn twice."""
    full = {name: np.argwhere(store[name].image >= 0).tolist() for name in layers}
    slots = [(name, *place) for name, places in full.items() for place in places]
    drawn = np.random.default_rng(seed).choice(len(slots), min(n, len(slots)), replace=False)
    chosen: dict[str, list[tuple[int, int]]] = {}
    for number in sorted(drawn.tolist()):
        name, channel, slot = slots[number]
        chosen.setdefault(name, []).append((channel, slot))
    return chosen


def draw_images(store: Store, chosen: Chosen, *, count: int, batch: int, seed: int) -> list[int]:
    """The images of chosen entries, and random others of ``count``, that fill whole microbatches.

    Every image runs in the row that it was mined in, so the chosen ones may be spread over as many
    microbatches as there are images of one row; others take the rows left free, at least
    ``STRANGERS`` where the data set has them.
    """
    named = {int(store[name].image[place]) for name, places in chosen.items() for place in places}
    known = np.array([*named, *(lost.index for lost in store.failed)], dtype=np.int64)
    others = np.random.default_rng([seed, 1]).permutation(np.setdiff1d(np.arange(count), known))
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
