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
from deconvnet.store.table import Directions, LayerTable, Lowest, Sample

from .directions import SET, Directed, Source
from .request import Request
from .tables import Tables


class LayerTables(Mapping[str, LayerTable]):
    """{layer: its table}, each made when it is asked for: together they may fill the memory."""

    def __init__(self, request: Request, geometry: Geometry, tables: Tables) -> None:
        self._request, self._geometry, self._tables = request, geometry, tables
        self._fields = receptive_field.of_layers(geometry, list(request.channels))

    def __getitem__(self, name: str) -> LayerTable:
        node, vectors = self._request.lowest_of.get(name), self._request.directions.get(name)
        directions = {}
        if vectors is not None:
            key = Directed(name)
            parts = self._parts(name, key, key if self._request.lowest else None)
            directions[SET] = Directions(vector=vectors.array, **parts)
        return LayerTable(directions=directions, **self._parts(name, name, node))

    def _parts(self, layer: str, of: Source, lowest: Source | None) -> dict[str, Any]:
        """What a table of a layer, or of directions in it, is made of, by its names."""
        field, size = self._fields[layer], self._geometry.sizes[layer][2:]
        top = self._tables.tops[of]
        table = top.table()
        return {
            **self._columns(of, table),
            "ties": table.ties.numpy(),
            "mean": table.mean.numpy(),
            "nonzero": table.nonzero.numpy(),
            "nan": table.nan.numpy(),
            "channels": top.channels,
            "size": tuple(size),
            "field": field.size,
            "stride": field.stride if size else (),  # there is no other unit to step to
            "lowest": None if lowest is None else self._lowest(lowest),
            "sample": self._sample(of) if self._request.sample else None,
        }

    def __iter__(self) -> Iterator[str]:
        return iter(self._request.channels)

    def __len__(self) -> int:
        return len(self._request.channels)

    def _lowest(self, of: Source) -> Lowest:
        table, node = self._tables.lows[of].table(), _layer(of)
        return Lowest(
            **self._columns(of, table),
            ties=table.ties.numpy(),
            channels=len(table.ties),
            size=tuple(self._geometry.sizes[node][2:]),
            of=node,
        )

    def _sample(self, of: Source) -> Sample:
        members, order = self._tables.members, self._tables.members.order()
        images = torch.tensor(members.images)[order]
        drawn = self._tables.tops[of].sample(order)
        columns = self._columns(of, drawn)
        return Sample(
            **{**columns, "image": images.numpy()},
            channels=len(drawn.activation),
            size=tuple(self._geometry.sizes[_layer(of)][2:]),
        )

    def _columns(self, of: Source, table: Ranked | Drawn) -> dict[str, Any]:
        """The columns of a table, by the names of the format."""
        axes = len(self._geometry.sizes[self._geometry.input]) - 2
        place, box = _places(self._geometry, of, table.position)
        columns = {
            "activation": table.activation.numpy(),
            **dict(zip(AXES[-axes:], np.moveaxis(place, -1, 0), strict=True)),
            "box": box,
        }
        assert place.shape == (*table.position.shape, axes)
        if isinstance(table, Ranked):
            columns["image"] = table.image.numpy()
        if self._request.rank == MEAN:
            columns["peak"] = table.peak.numpy()
        return {name: np.ascontiguousarray(column) for name, column in columns.items()}


def _layer(of: Source) -> str:
    return of if isinstance(of, str) else of.layer


def _places(
    geometry: Geometry, of: Source, position: Tensor
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Positions (channels, k, D) and boxes (channels, k, 2·D) of flat ones (channels, k)."""
    node, count = _layer(of), len(position)
    size, axes = geometry.sizes[node], len(geometry.sizes[geometry.input]) - 2
    flat, mapped = position.numpy(), len(size) > 2
    missing = flat < 0
    whole = size[2:] if mapped else (1,) * axes
    place = np.stack(np.unravel_index(np.maximum(flat, 0), whole), -1).astype(np.int32)
    place[missing | (not mapped)] = -1
    each = flat.shape[1] if mapped else 1  # without positions, all of a channel see the same
    at = place.reshape(-1, axes) if mapped else np.zeros((count, 0), np.int32)
    # a channel of a join sees less than the layer; a direction sees all that the layer sees
    channels = np.repeat(np.arange(count), each) if isinstance(of, str) else None
    ends = receptive_field.boxes(geometry, node, at, channels=channels)
    box = np.concatenate(ends, axis=1, dtype=np.int32).reshape(count, -1, 2 * axes)
    box = np.repeat(box, flat.shape[1] // each, axis=1)
    box[missing] = -1
    return place, box
