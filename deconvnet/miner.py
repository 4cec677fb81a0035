"""Microbatches run through a model's graph; every layer's maxima go into its table."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deconvnet import fields
from deconvnet.feed import Microbatch
from deconvnet.graph import Graph, Node, arguments, run_call
from deconvnet.record import Recording, execute
from deconvnet.store import LayerTable
from deconvnet.topk import TopK


class Miner:
    """Feeds microbatches through the graph and every layer's maxima into its table."""

    def __init__(
        self, graph: Graph, geometry: Recording, names: Sequence[str], *, k: int, nan: str
    ) -> None:
        self.graph, self.geometry, self.nan = graph, geometry, nan
        self.nodes = graph.upto(names)
        self.tops = {name: TopK(geometry.sizes[name][1], k) for name in names}
        self.first_nan: tuple[str, list[int]] | None = None

    def take(self, batch: Microbatch, device: torch.device) -> None:
        """Run one microbatch; rows without an image enter no table."""
        whole = len(batch.rows) == len(batch.images)
        for node, value in execute(self.graph, batch.images.to(device), self.nodes, self._run):
            top = self.tops.get(node.name)
            if top is None:
                continue
            maps = value if whole else value[batch.rows.to(value.device)]
            before = top.nans
            top.update(maps, batch.indices)
            if top.nans > before and self.first_nan is None:
                self._note(node.name, maps, batch.indices)

    def tables(self) -> dict[str, LayerTable]:
        """The table of every layer; says so if activations were NaN."""
        if self.first_nan is not None:
            layer, images = self.first_nan
            count = sum(top.nans for top in self.tops.values())
            warnings.warn(
                f"{count} activations were NaN and were left out, the first of them in {layer}, "
                f"images {images}; see the 'nan' counts in the store",
                stacklevel=3,
            )
        return {name: self._table(name, top) for name, top in self.tops.items()}

    def _run(self, node: Node, values: dict[str, Any], readers: Mapping[str, int]) -> Any:
        return run_call(node, *arguments(node, self.graph.names, values))

    def _note(self, layer: str, maps: Tensor, indices: Tensor) -> None:
        images = indices[maps.isnan().flatten(1).any(1).cpu()].tolist()
        if self.nan == "error":
            raise ValueError(
                f"activations of {layer} are NaN for images {images}; look at these images and "
                "at the weights, or leave such activations out with nan='skip'"
            )
        self.first_nan = (layer, images)

    def _table(self, name: str, top: TopK) -> LayerTable:
        table = top.table()
        size = self.geometry.sizes[name]
        flat = table.position.numpy()
        missing = table.image.numpy() < 0
        width = size[3] if len(size) == 4 else 1
        row = np.where(missing, -1, flat // width) if len(size) == 4 else np.full_like(flat, -1)
        col = np.where(missing, -1, flat % width) if len(size) == 4 else np.full_like(flat, -1)
        field = fields.field(self.geometry, name)
        return LayerTable(
            activation=table.activation.numpy(),
            image=table.image.numpy(),
            row=row.astype(np.int32),
            col=col.astype(np.int32),
            box=self._boxes(name, row, col, missing=missing),
            mean=table.mean.numpy(),
            nonzero=table.nonzero.numpy(),
            nan=table.nan.numpy(),
            channels=size[1],
            size=tuple(size[2:]),
            field=field.size,
            stride=field.stride,
        )

    def _boxes(self, name: str, row: Any, col: Any, *, missing: Any) -> Any:
        """(channels, k, 4) top, left, bottom, right of every entry, -1 for empty slots."""
        channels, k = row.shape
        mapped = len(self.geometry.sizes[name]) == 4
        places = np.stack([row.ravel(), col.ravel()], axis=1) if mapped else np.zeros((row.size, 0))
        own = np.repeat(np.arange(channels), k)
        starts, stops = fields.boxes(self.geometry, name, places, channels=own)
        box = np.concatenate([starts, stops], axis=1).reshape(channels, k, 4)
        box[missing] = -1
        return box.astype(np.int32)
