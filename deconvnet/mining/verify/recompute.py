"""Entries of a store computed again, in the batch shape and the rows in which they were mined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from deconvnet.data.samples import path_of
from deconvnet.graph.frontends import Graphs, blank
from deconvnet.graph.graph import Graph
from deconvnet.graph.modes import evaluation, threads_of_cpu
from deconvnet.mining.run.memory_format import CONTIGUOUS, laid_out
from deconvnet.mining.run.microbatches import Microbatch, by_row, groups_of, microbatches
from deconvnet.mining.topk import TopK
from deconvnet.projection import receptive_field
from deconvnet.projection.check.against_model import alongside
from deconvnet.projection.check.checked_graphs import differs
from deconvnet.projection.forward import Recording
from deconvnet.store.store import Store

from .compare import Comparison, Entry, Mismatch
from .sampling import Chosen, draw_entries, draw_images

MOST_THREADS = 256  # a file may ask for more than the system gives
_USUAL = 16  # images at once, where a store does not say how many


@dataclass(frozen=True)
class Recomputed:
    """What came of it.

    Args:
        chosen: the entries.
        images: how many were run.
        checked: entries compared.
        equal: those of them whose activation is equal bit for bit.
        mismatches: what is not as the store says.
        unchecked: what could not be compared, in words.
    """

    chosen: Chosen
    images: int
    checked: int
    equal: int
    mismatches: tuple[Mismatch, ...]
    unchecked: tuple[str, ...]


def recomputed(
    store: Store,
    graphs: Graphs,
    geometry: Recording,
    dataset: Any,
    *,
    layers: Sequence[str],
    n: int | None,
    seed: int,
    tolerance: float,
    report: Callable[[int, int], None] | None = None,
) -> Recomputed:
    """Run the images of random entries, and some others, and compare.

    The graph, by which stores are mined, runs beside the model itself: a part of it that was at
    rest on the images that it was compared on may be another than the model's.

    Args:
        store: whose entries.
        graphs: of the model.
        geometry: sizes and fields of its nodes, for images of this data set.
        dataset: gives the images by index.
        layers: those of the store that the model has.
        n: how many entries; None: all, and all images.
        seed: which ones.
        tolerance: how far an activation may be off, as a share of its layer's greatest.
        report: called after every microbatch.
    """
    count, size = len(dataset), tuple(geometry.sizes[geometry.input][1:])
    told = store.attributes.get("batch_shape")
    batch = told[0] if isinstance(told, tuple) and told[1:] == size and told[0] <= count else _USUAL
    own = {name: Comparison(name, store[name], tolerance) for name in layers}
    entries = sum(int((store[name].image >= 0).sum()) for name in layers)
    chosen = draw_entries(store, layers, entries if n is None else n, seed=seed)
    images = draw_images(store, chosen, count=count, batch=batch, seed=seed)
    lost = {failed.index for failed in store.failed}
    whole = n is None or set(range(count)) <= {*images, *lost}
    groups = by_row((i for i in images if i < count), batch)
    if whole:  # in the data set's own microbatches, since sums are rounded once for each
        every = groups_of(range(-(-count // batch)), batch, count)
        groups = list(filter(None, ([i for i in group if i not in lost] for group in every)))
    tops = {name: TopK(store[name].channels, 1) for name in (layers if whole else ())}
    one = blank(graphs.model, size)
    work = _Work(store, graphs.of(one.expand(batch, *size)), own, chosen, dataset, tops)
    found = [_gone(i, count) for i in images if i >= count]
    found += _boxes(store, geometry, chosen)
    done, total = 0, sum(map(len, groups))
    with torch.no_grad(), evaluation(graphs.model), threads_of_cpu(_threads(store)):
        for part in microbatches(dataset, batch, size=size, dtype=one.dtype, groups=groups):
            found += work.run(part, one.device)
            done += len(part.indices) + len(part.failed)
            if report is not None:
                report(done, total)
    for name, top in tops.items():
        found += own[name].counts(top.table(), top.images)
    checked_, equal = (sum(getattr(c, n) for c in own.values()) for n in ("checked", "equal"))
    return Recomputed(
        chosen, total, checked_, equal, tuple(found), tuple(dict.fromkeys(work.unchecked))
    )


def _gone(index: int, count: int) -> Mismatch:
    return Mismatch("image", f"{index} is not in the data set, which has {count}")


def _threads(store: Store) -> int | None:
    """Of the CPU, which the last bits of large sums depend on; as many as a machine may have."""
    told = store.attributes.get("threads")
    return told if isinstance(told, int) and 0 < told <= MOST_THREADS else None


def _boxes(store: Store, geometry: Recording, chosen: Chosen) -> Iterator[Mismatch]:
    """The boxes of entries whose position exists; of others the position is said to be wrong."""
    for name, places in chosen.items():
        table, size = store[name], geometry.sizes[name][2:]
        there = np.stack([table.row, table.col], -1) if size else np.empty((*table.row.shape, 0))
        inside = [p for p in places if (there[p] >= 0).all() and (there[p] < size).all()]
        at = [there[place] for place in inside]
        starts, stops = receptive_field.boxes(geometry, name, at, channels=[c for c, _ in inside])
        for place, box in zip(inside, np.concatenate([starts, stops], 1).tolist(), strict=True):
            if box != (told := table.box[place].tolist()):
                where = f"{name}:{place[0]} of image {table.image[place]}"
                yield Mismatch("box", f"{where} sees {box}, the store says {told}")


@dataclass(frozen=True, eq=False)
class _Work:
    """Runs microbatches and holds every layer against its table."""

    store: Store
    graph: Graph
    layers: Mapping[str, Comparison]
    chosen: Chosen
    dataset: Any
    tops: Mapping[str, TopK]
    unchecked: list[str] = field(default_factory=list)

    def run(self, batch: Microbatch, device: torch.device) -> Iterator[Mismatch]:
        """One microbatch against every table."""
        for index, reason in batch.failed.items():
            yield Mismatch("image", f"{index} cannot be read: {reason}")
        good = batch.indices.tolist()
        for index in good:
            yield from self._path(index)
        layout = str(self.store.attributes.get("layout", CONTIGUOUS))
        images, found = laid_out(batch.images.to(device), layout), list[Mismatch]()

        def compare(name: str, value: Any) -> None:
            maps, layer, image = batch.of_images(value), self.layers[name], self.store[name].image
            places = self.chosen.get(name, ())
            here = [Entry(*p, good.index(image[p])) for p in places if image[p] in good]
            found.extend(layer.entries(maps, here))
            found.extend(layer.absent(maps, good))
            if name in self.tops:
                self.tops[name].update(maps, batch.indices)

        ran = alongside(self.graph, images, list(self.layers), compare)
        if ran.stopped is not None:
            raise ValueError(ran.stopped)
        yield from found
        if ran.error is not None:
            self.unchecked.append(f"the model itself, which cannot be called: {ran.error}")
        row = differs(self.graph, images, list(self.layers), ran) if ran.wrong else None
        if row is not None:
            yield Mismatch(
                "graph",
                f"of images {good}, {row.name} is {row.found}, and the model itself gives "
                f"{row.expected}: the graph by which stores are mined is not the model there",
            )

    def _path(self, index: int) -> Iterator[Mismatch]:
        here, told = path_of(self.dataset, index), self.store.images.get(index)
        if told is not None and told != here:
            yield Mismatch("path", f"image {index} is {here!r}, the store says {told!r}")
