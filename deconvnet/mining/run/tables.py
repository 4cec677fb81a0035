"""All tables of a run: of each layer the strongest, the lowest and the sample."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from deconvnet.mining.topk import Lowest, Members, TopK
from deconvnet.store.format import MEAN

from .directions import Source
from .request import Request

_MEMBERS, _LOWEST = "sample", "lowest "


class Tables:
    """The tables of what a request asks for, filled batch by batch.

    Attributes:
        tops: by layer, or directions in one: the strongest, and the activations in the sample.
        lows: by node, or directions; layers that are fed by the same node share its lowest.
        members: the images of the sample, the same for all layers.
    """

    def __init__(self, request: Request) -> None:
        by_mean, sample = request.rank == MEAN, request.sample
        self.tops: dict[Source, TopK] = {
            name: TopK(channels, request.k, by_mean=by_mean, sample=sample)
            for name, channels in request.tops.items()
        }
        self.lows: dict[Source, Lowest] = {
            node: Lowest(channels, request.lowest, mean=by_mean)
            for node, channels in request.lows.items()
        }
        self.members = Members(sample, request.random_state)

    @property
    def nodes(self) -> list[str]:
        """The nodes whose activations are asked for."""
        return [name for name in dict.fromkeys([*self.tops, *self.lows]) if isinstance(name, str)]

    @property
    def layers(self) -> dict[str, TopK]:
        """``tops`` of the layers alone."""
        return {name: top for name, top in self.tops.items() if isinstance(name, str)}

    def admit(self, images: Tensor) -> tuple[list[int], list[int]]:
        """Offer the images of a batch to the sample; for ``update`` of each of its nodes."""
        return self.members.admit(images.tolist())

    def update(
        self, node: Source, maps: Tensor, images: Tensor, drawn: tuple[list[int], list[int]]
    ) -> None:
        """Take in the activations of one source for a batch, of which ``drawn`` were admitted."""
        if node in self.tops:
            self.tops[node].update(maps, images, drawn=drawn)
        if node in self.lows:
            self.lows[node].update(maps, images)

    def merge(self, other: Tables) -> None:
        """Take in the tables of other images; in whatever order, to the same bits."""
        slots = other.members.images
        there = [slot for slot, image in enumerate(slots) if image >= 0]
        chosen, places = self.members.admit([slots[slot] for slot in there])
        rows = [there[number] for number in chosen]
        for name, top in self.tops.items():
            top.merge(other.tops[name])
            if rows:
                top.sampled.take(other.tops[name].sampled, rows, places)
        for node, low in self.lows.items():
            low.merge(other.lows[node])

    def kept(self) -> set[int]:
        """The images that stand in any table, or in the sample."""
        tops = (top.kept() for top in self.tops.values())
        lows = (low.kept() for low in self.lows.values())
        return set().union(*tops, *lows, self.members.images) - {-1}

    def state(self) -> dict[str, Tensor]:
        """Everything, as tensors on the CPU by unique names, for ``load``."""
        tensors = {_MEMBERS: torch.tensor(self.members.images, dtype=torch.int64)}
        for number, top in enumerate(self.tops.values()):
            tensors |= {f"{number}/{name}": tensor for name, tensor in top.state().items()}
        for number, low in enumerate(self.lows.values()):
            tensors |= {f"{_LOWEST}{number}/{name}": t for name, t in low.state().items()}
        return tensors

    @staticmethod
    def of_state(request: Request, tensors: Mapping[str, Tensor]) -> Tables:
        """The tables that ``state`` was of; a ValueError if they are not of this request."""
        for name, (layer, shape) in _shapes(request).items():
            given = tensors.get(name)
            if given is None or given.shape != shape:  # nothing larger than the file is made
                part = name.partition("/")[2] or name
                raise ValueError(f"the table of {layer} lacks {part}, or has another shape")
        tables = Tables(request)
        for number, (layer, top) in enumerate(tables.tops.items()):
            state = _like(top.state(), tensors, f"{number}/", layer)
            tables.tops[layer] = TopK.from_state(state)
        for number, (node, low) in enumerate(tables.lows.items()):
            low.load(_like(low.state(), tensors, f"{_LOWEST}{number}/", node))
        tables.members.load(tensors[_MEMBERS].tolist())
        return tables


def _shapes(request: Request) -> dict[str, tuple[Source, tuple[int, ...]]]:
    """Of all tensors whose size depends on a request: {name: (layer, shape)}."""
    shapes: dict[str, tuple[Source, tuple[int, ...]]] = {
        _MEMBERS: ("the sample", (request.sample,))
    }
    for number, (layer, channels) in enumerate(request.tops.items()):
        shapes[f"{number}/keys"] = layer, (channels, request.k)
        shapes[f"{number}/sampled"] = layer, (channels, request.sample)
    for number, (node, channels) in enumerate(request.lows.items()):
        shapes[f"{_LOWEST}{number}/keys"] = node, (channels, request.lowest)
    return shapes


def _like(
    expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], start: str, layer: Source
) -> dict[str, Tensor]:
    """The tensors of one table, which must be like the expected ones."""
    state = {}
    for name, one in expected.items():
        tensor = tensors.get(start + name)
        if tensor is None or (tensor.shape, tensor.dtype) != (one.shape, one.dtype):
            raise ValueError(f"the table of {layer} lacks {name}, or has another shape")
        state[name] = tensor
    return state
