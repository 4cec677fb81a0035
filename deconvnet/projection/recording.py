"""What a forward pass leaves behind for the mirror."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deconvnet.graph.node_state import PLAIN, State
from deconvnet.layers import MirroredLayer, Policies, Record, Switches


@dataclass(frozen=True, eq=False)
class Step:
    """One node of a recording: its layer, what it remembers, where its inputs came from.

    Args:
        name: the node; with "<" or "=" behind it for what comes before its hooks.
        layer: its mirrored layer.
        record: what the mirror needs.
        sources: the node each of the layer's inputs came from; None for parameters.
        state: what context managers of the model's had set.
        dtypes: of the inputs, where autocast changes them.
    """

    name: str
    layer: MirroredLayer
    record: Record
    sources: tuple[str | None, ...]
    state: State = PLAIN
    dtypes: tuple[torch.dtype | None, ...] = ()

    @property
    def node(self) -> str:
        """The node it belongs to: hooks that change values make several steps of one node."""
        return self.name.rstrip("<=")

    @property
    def separable(self) -> bool:
        """True if the samples stay apart: no signal goes to what all of them share."""
        return self.record.separable and not self._shares

    @property
    def apart(self) -> bool:
        """True if their signals do, which may have to be tried."""
        return not self._shares and self.record.apart

    @property
    def _shares(self) -> bool:
        pairs = zip(self.record.shared, self.sources, strict=False)
        return any(own and source for own, source in pairs)


@dataclass(frozen=True, eq=False)
class Recording:
    """What a forward pass of a batch of images left behind.

    Args:
        input: name of the node that is the images.
        steps: the nodes that carry a signal, in forward order.
        activations: {layer: (batch, channels, ...)} the values of the recorded layers.
        sizes: {node: size of its value} for every node whose value is a tensor.
        policies: under which it was made; they decided what is remembered.
        empty: a number of the images' type, on their device.
        blocks: the nodes that read what carries a signal and give tensors that carry none.
        weights: which parameters and buffers it was made with (``versions.weights_of``); empty
            for recordings that live no longer than a call.
    """

    input: str
    steps: tuple[Step, ...]
    activations: dict[str, Tensor]
    sizes: dict[str, torch.Size]
    policies: Policies
    empty: Tensor
    blocks: tuple[str, ...] = ()
    weights: tuple[tuple[str, object], ...] = ()

    @property
    def images(self) -> int:
        """How many images were recorded."""
        return self.sizes[self.input][0]

    @property
    def separable(self) -> bool:
        """True if every node is known to keep the images of the batch apart."""
        return all(step.separable for step in self.steps)

    @property
    def apart(self) -> bool:
        """True if signals of an image come back to it alone, so that rows can be taken.

        Operations of which nothing is known are tried for it, once for each size.
        """
        return all(step.apart for step in self.steps)

    @property
    def switches(self) -> dict[str, Switches]:
        """{node: switches} of every max pooling."""
        return {s.node: s.record for s in self.steps if isinstance(s.record, Switches)}

    def __getitem__(self, layer: str) -> Tensor:
        """The activations of a recorded layer, (batch, channels, ...)."""
        if layer not in self.activations:
            names = ", ".join(self.activations)
            raise KeyError(f"{layer!r} was not recorded; this recording holds {names}")
        return self.activations[layer]
