"""Whether a store still means what it says: random entries recomputed from model and data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deconvnet import fields
from deconvnet.claims import held_against
from deconvnet.comparing import Comparison, Entry, Mismatch
from deconvnet.evaluating import evaluation
from deconvnet.geometry import geometry_of
from deconvnet.graph import Graph
from deconvnet.graphs import Graphs, blank
from deconvnet.items import checked, first_image, path_of, read_item
from deconvnet.job import threads_of_cpu
from deconvnet.layouts import CONTIGUOUS, laid_out
from deconvnet.mirror import DeconvNet
from deconvnet.ordinary import ordinarily
from deconvnet.record import Recording
from deconvnet.running import execute, plain
from deconvnet.sampling import Chosen, draw_entries, draw_images
from deconvnet.store import Store
from deconvnet.topk import TopK
from deconvnet.verifying_pictures import compare_pictures

TOLERANCE = 1e-4  # of a layer's greatest activation: other processors differ in the last bits
ACROSS = 1e-2  # where a GPU has a part in it: by default it multiplies with 10 bits


MOST_THREADS = 256  # a file may ask for more than the system gives


@dataclass(frozen=True)
class Verification:
    """What was compared, and what was not as the store says.

    Args:
        checked: entries recomputed.
        equal: those of them whose activation is equal bit for bit.
        images: images run through the model.
        pictures: stored patches, and projections, compared with new ones.
        tolerance: how far the others may be off, as a share of the layer's greatest activation.
        seed: which entries were drawn.
        mismatches: empty if all is well.
        unchecked: what could not be compared, in words.
    """

    checked: int
    equal: int
    images: int
    pictures: int
    tolerance: float
    seed: int
    mismatches: tuple[Mismatch, ...]
    unchecked: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the store is what this model and data set give, as far as was looked."""
        return not self.mismatches


@ordinarily
def verify(
    store: Store,
    model: nn.Module | DeconvNet,
    dataset: Any,
    *,
    n: int | None = 100,
    seed: int = 0,
    tolerance: float | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Verification:
    """Recompute random entries of a store, and look for images that are missing from it.

    Fingerprints of model and data set are compared, and what the store says of layers, images
    and preprocessing; of n entries activation, position, box and path; and every image that is
    run, some drawn at random among them, must stand in each table whose last entry it beats.
    Stored pictures of the entries are held against new ones. The counters (mean, nonzero, nan)
    must be possible beside the tables; where all images are run they are counted again. Images
    run in microbatches of the recorded shape: on the machine that mined the store the activations
    are then equal bit for bit.

    Args:
        store: as ``open_store`` gives it.
        model: the model, or its DeconvNet.
        dataset: gives the images by index, as when it was mined.
        n: how many entries; all, if there are no more; None: all, and all images.
        seed: which ones.
        tolerance: how far an activation may be off, as a share of its layer's greatest; 0 for
            the last bit; by default ``TOLERANCE``, ``ACROSS`` where the store was mined, or is
            verified, on a GPU, and more for models in half precision.
        report: called after every microbatch.

    Raises:
        ValueError: n is not positive, or the images do not fit the model.
        TypeError: the items of the data set are no images.
    """
    if n is not None and n < 1:
        raise ValueError(f"n={n} was given, expected at least one entry")
    if seed < 0:
        raise ValueError(f"seed={seed} was given, expected 0 or more")
    graphs = Graphs(model.model if isinstance(model, DeconvNet) else model)
    batch, size = _shape(store, dataset)
    image = blank(graphs.model, size)
    graph, many = graphs.of(image), image.expand(batch, *size)
    tolerance = _tolerance(store, image) if tolerance is None else tolerance
    geometry = geometry_of(graph, image)
    claims = held_against(store, graph, geometry, dataset)
    layers = {
        name: Comparison(name, table, tolerance)
        for name, table in store.items()
        if name not in claims.strange
    }
    entries = sum(int((store[name].image >= 0).sum()) for name in layers)
    chosen = draw_entries(store, list(layers), entries if n is None else n, seed=seed)
    count = len(dataset)
    images = draw_images(store, chosen, count=count, batch=batch, seed=seed)
    if n is None:
        images = sorted(set(range(count)) - {lost.index for lost in store.failed})
    found = [*claims.found, *_boxes(store, geometry, chosen)]
    whole = set(range(count)) <= {*images, *(lost.index for lost in store.failed)}
    tops = {name: TopK(store[name].channels, 1) for name in (layers if whole else ())}
    work = _Work(store, graphs.of(many), layers, chosen, dataset, tops)
    with torch.no_grad(), evaluation(graphs.model), threads_of_cpu(_threads(store)):
        for first in range(0, len(images), batch):
            found += work.run(images[first : first + batch], many)
            if report is not None:
                report(min(first + batch, len(images)), len(images))
    for name, top in tops.items():
        found += layers[name].counts(top.table())
    looked = compare_pictures(store, graphs.model, dataset, chosen=chosen)
    found += [mismatch for mismatch in looked.found if mismatch is not None]
    return Verification(
        checked=sum(layer.checked for layer in layers.values()),
        equal=sum(layer.equal for layer in layers.values()),
        images=len(images),
        pictures=len(looked.found),
        tolerance=tolerance,
        seed=seed,
        mismatches=tuple(found),
        unchecked=(*claims.unchecked, *looked.unchecked),
    )


def _shape(store: Store, dataset: Any) -> tuple[int, tuple[int, ...]]:
    """How many images of which (channels, *size) ran at once."""
    told, size = store.attributes.get("batch_shape"), tuple(first_image(dataset).shape)
    known = isinstance(told, tuple) and told[1:] == size and told[0] <= len(dataset)
    # the format leaves it open whether it is told; what is wrong of it is told by its claims
    return (int(told[0]) if isinstance(told, tuple) and known else 16), size


def _threads(store: Store) -> int | None:
    """Of the CPU, which the last bits of large sums depend on; as many as a machine may have."""
    told = store.attributes.get("threads")
    return told if isinstance(told, int) and 0 < told <= MOST_THREADS else None


def _tolerance(store: Store, image: Tensor) -> float:
    """What machines, or precisions, may differ by."""
    devices = {str(store.attributes.get("device", "cpu")).partition(":")[0], image.device.type}
    usual = TOLERANCE if devices == {"cpu"} else ACROSS
    return max(usual, 8 * torch.finfo(image.dtype).eps)


def _boxes(store: Store, geometry: Recording, chosen: Chosen) -> Iterator[Mismatch]:
    """The boxes of entries whose position exists; of others the position is said to be wrong."""
    for name, places in chosen.items():
        table, size = store[name], geometry.sizes[name][2:]
        there = np.stack([table.row, table.col], -1) if size else np.empty((*table.row.shape, 0))
        inside = [p for p in places if (there[p] >= 0).all() and (there[p] < size).all()]
        at = [there[place] for place in inside]
        starts, stops = fields.boxes(geometry, name, at, channels=[c for c, _ in inside])
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

    def run(self, images: Sequence[int], like: Tensor) -> Iterator[Mismatch]:
        """One microbatch shaped like this one: places without an image are zero."""
        pixels = torch.zeros(like.shape, dtype=like.dtype)
        good: list[int] = []
        for index in images:
            item = self._item(index)
            if isinstance(item, Mismatch):
                yield item
                continue
            pixels[len(good)] = checked(item, index, tuple(like.shape[1:]))
            good.append(index)
            yield from self._path(index)
        nodes = self.graph.upto(self.layers)
        layout = str(self.store.attributes.get("layout", CONTIGUOUS))
        given = laid_out(pixels.to(like.device), layout)
        for node, value in execute(self.graph, given, nodes, plain(self.graph)):
            if node.name in self.layers:
                layer, image = self.layers[node.name], self.store[node.name].image
                places = self.chosen.get(node.name, ())
                here = [Entry(*p, good.index(image[p])) for p in places if image[p] in good]
                yield from layer.entries(value, here)
                yield from layer.absent(value, good)
                if node.name in self.tops:
                    indices = torch.tensor(good, dtype=torch.int64)
                    self.tops[node.name].update(value[: len(good)], indices)

    def _item(self, index: int) -> Any:
        if index >= (count := len(self.dataset)):
            return Mismatch("image", f"{index} is not in the data set, which has {count}")
        item = read_item(self.dataset, index)
        lost = isinstance(item, str)
        return Mismatch("image", f"{index} cannot be read: {item}") if lost else item

    def _path(self, index: int) -> Iterator[Mismatch]:
        here, told = path_of(self.dataset, index), self.store.images.get(index)
        if told is not None and told != here:
            yield Mismatch("image", f"{index} is {here!r}, the store says {told!r}")
