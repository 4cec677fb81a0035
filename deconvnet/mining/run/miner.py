"""Microbatches run through a model's graph; every layer's maxima go into its table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from deconvnet.graph.graph import Graph
from deconvnet.graph.interpreter import execute, plain
from deconvnet.mining.topk import TopK
from deconvnet.projection.check.checked_graphs import Checked
from deconvnet.projection.forward import Recording

from .memory_format import laid_out
from .microbatches import Microbatch
from .part import FirstNaN


def activations(
    graph: Graph, batch: Microbatch, layers: Sequence[str], *, layout: str, device: torch.device
) -> Iterator[tuple[str, Tensor]]:
    """Run a microbatch up to some layers.

    Args:
        graph: the model.
        batch: its images.
        layers: node names.
        layout: of the images in memory, see ``layout_for``.
        device: of the model.

    Yields:
        (layer, values): (images, channels, *positions) without the rows that hold no image.
    """
    images, wanted = laid_out(batch.images.to(device), layout), set(layers)
    for node, value in execute(graph, images, graph.upto(layers), plain(graph)):
        if node.name in wanted:
            yield node.name, batch.of_images(value)


class Miner:
    """Feeds microbatches through the graph and every layer's maxima into its table.

    Attributes:
        tops: {layer: table}, of all microbatches taken so far.
        done: their numbers.
        failed: {index: reason} of the images among them that could not be read.
        first_nan: where NaN was met first.
    """

    def __init__(
        self,
        graph: Graph,
        geometry: Recording,
        names: Sequence[str],
        *,
        k: int,
        nan: str,
        layout: str,
        checked: Checked | None = None,
    ) -> None:
        self.checked = checked
        self.graph, self.nan, self.layout = graph, nan, layout
        self.tops = {name: TopK(geometry.sizes[name][1], k) for name in names}
        self.done: list[int] = []
        self.failed: dict[int, str] = {}
        self.first_nan: FirstNaN | None = None

    def take(self, batch: Microbatch, device: torch.device) -> None:
        """Run one microbatch; rows without an image enter no table."""
        if self.checked is not None:
            images = laid_out(batch.images.to(device), self.layout)
            self.graph = self.checked.of(images, list(self.tops), gradient=False)
            self.checked = None
        for name, maps in activations(
            self.graph, batch, list(self.tops), layout=self.layout, device=device
        ):
            top = self.tops[name]
            before = top.nans
            top.update(maps, batch.indices)
            if top.nans > before and self.first_nan is None:
                self._note(name, maps, batch)
        self.failed.update(batch.failed)
        self.done.append(batch.number)

    def kept(self) -> set[int]:
        """The images that stand in a table."""
        return set().union(*(top.kept() for top in self.tops.values()))

    def _note(self, layer: str, maps: Tensor, batch: Microbatch) -> None:
        images = batch.indices[maps.isnan().flatten(1).any(1).cpu()].tolist()
        if self.nan == "error":
            spoiled = batch.images[batch.rows].isnan().flatten(1).any(1)
            own = set(batch.indices[spoiled].tolist())
            cause = f"; the pixels of {sorted(own)} are NaN" if own else ", whose pixels are not"
            raise ValueError(
                f"activations of {layer} are NaN for images {images}{cause}; look at these images "
                "and at the weights, or leave such activations out with nan='skip'"
            )
        self.first_nan = FirstNaN(batch.number, layer, tuple(images))
