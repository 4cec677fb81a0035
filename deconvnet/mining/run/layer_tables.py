"""The tables of a store from those of a run: positions and boxes of every entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deconvnet.mining.topk import Drawn, Ranked
from deconvnet.projection import receptive_field
from deconvnet.projection.geometry import Geometry
from deconvnet.store.format import AXES, MEAN
from deconvnet.store.table import LayerTable, Lowest, Sample

from .request import Request
from .tables import Tables


class LayerTables(Mapping[str, LayerTable]):
    """{layer: its table}, each made when it is asked for: together they may fill the memory."""

    def __init__(self, request: Request, geometry: Geometry, tables: Tables) -> None:
        self._request, self._geometry, self._tables = request, geometry, tables
        self._fields = receptive_field.of_layers(geometry, list(request.channels))

    def __getitem__(self, name: str) -> LayerTable:
        top, field = self._tables.tops[name], self._fields[name]
        table, size = top.table(), self._geometry.sizes[name][2:]
        return LayerTable(
            **self._columns(name, table),
            ties=table.ties.numpy(),
            mean=table.mean.numpy(),
            nonzero=table.nonzero.numpy(),
            nan=table.nan.numpy(),
            channels=top.channels,
            size=tuple(size),
            field=field.size,
            stride=field.stride if size else (),  # there is no other unit to step to
            lowest=self._lowest(name),
            sample=self._sample(name),
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._request.channels)

    def __len__(self) -> int:
        return len(self._request.channels)

    def _lowest(self, name: str) -> Lowest | None:
        node = self._request.lowest_of.get(name)
        if node is None:
            return None
        table = self._tables.lows[node].table()
        return Lowest(
            **self._columns(node, table),
            ties=table.ties.numpy(),
            channels=len(table.ties),
            size=tuple(self._geometry.sizes[node][2:]),
            of=node,
        )

    def _sample(self, name: str) -> Sample | None:
        if not self._request.sample:
            return None
        members, order = self._tables.members, self._tables.members.order()
        images = torch.tensor(members.images)[order]
        drawn = self._tables.tops[name].sample(order)
        columns = self._columns(name, drawn)
        return Sample(
            **{**columns, "image": images.numpy()},
            channels=len(drawn.activation),
            size=tuple(self._geometry.sizes[name][2:]),
        )

    def _columns(self, node: str, table: Ranked | Drawn) -> dict[str, Any]:
        """The columns of a table of a node, by the names of the format."""
        size, axes = self._geometry.sizes[node], len(self._geometry.sizes[self._geometry.input]) - 2
        place, box = _places(self._geometry, node, table.position)
        columns = {
            "activation": table.activation.numpy(),
            **dict(zip(AXES[-axes:], np.moveaxis(place, -1, 0), strict=True)),
            "box": box,
        }
        assert place.shape == (size[1], table.position.shape[1], axes)
        if isinstance(table, Ranked):
            columns["image"] = table.image.numpy()
        if self._request.rank == MEAN:
            columns["peak"] = table.peak.numpy()
        return {name: np.ascontiguousarray(column) for name, column in columns.items()}


def _places(
    geometry: Geometry, node: str, position: Tensor
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Positions (channels, k, D) and boxes (channels, k, 2·D) of flat ones (channels, k)."""
    size, axes = geometry.sizes[node], len(geometry.sizes[geometry.input]) - 2
    flat, mapped = position.numpy(), len(size) > 2
    missing = flat < 0
    whole = size[2:] if mapped else (1,) * axes
    place = np.stack(np.unravel_index(np.maximum(flat, 0), whole), -1).astype(np.int32)
    place[missing | (not mapped)] = -1
    each = flat.shape[1] if mapped else 1  # without positions, all of a channel see the same
    at = place.reshape(-1, axes) if mapped else np.zeros((size[1], 0), np.int32)
    channels = np.repeat(np.arange(size[1]), each)
    ends = receptive_field.boxes(geometry, node, at, channels=channels)
    box = np.concatenate(ends, axis=1, dtype=np.int32).reshape(size[1], -1, 2 * axes)
    box = np.repeat(box, flat.shape[1] // each, axis=1)
    box[missing] = -1
    return place, box
