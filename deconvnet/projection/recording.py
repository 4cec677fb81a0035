"""The record of a forward pass, from which signals are carried backward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from deconvnet.layers import Policies, Switches

from .geometry import Geometry


@dataclass(frozen=True, eq=False)
class Recording(Geometry):
    """The record of a forward pass of a batch of images: their geometry, and values.

    Args:
        input: name of the node that is the images.
        steps: the nodes that carry a signal, in forward order, with what their mirrors need.
        sizes: {node: size of its value} for every node whose value is a tensor.
        activations: {layer: (batch, channels, ...)} the values of the recorded layers.
        policies: under which it was made; they decided what is remembered.
        empty: a number of the images' type, on their device.
        blocks: the nodes that read what carries a signal and give tensors that carry none.
        weights: which parameters and buffers it was made with (``model_state.weights_of``); empty
            for recordings that live no longer than a call.
        hooks: the model's then, and which may change values (``observed_hooks.hooks_in``).
    """

    activations: dict[str, Tensor]
    policies: Policies
    empty: Tensor
    blocks: tuple[str, ...] = ()
    weights: tuple[tuple[str, object], ...] = ()
    hooks: Mapping[tuple[str, int], bool] = field(default_factory=dict)

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
