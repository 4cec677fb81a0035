"""The geometry of a model for images of one size: sizes of values, and windows node by node."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property

import torch

from deconvnet.arguments import Brief, brief, by, counted
from deconvnet.graph.node_state import PLAIN, State
from deconvnet.layers import MirroredLayer, Record


@dataclass(frozen=True, eq=False)
class Step(Brief):
    """One node that has run: its layer, what that remembers, where its inputs came from."""

    name: str  # the node; with "<" or "=" behind it for what comes before its hooks
    layer: MirroredLayer
    record: Record  # what ``mirror`` and ``window`` of the layer need
    sources: tuple[str | None, ...]  # the node each input came from; None for parameters
    state: State = PLAIN  # what context managers of the model's had set
    dtypes: tuple[torch.dtype | None, ...] = ()  # of the inputs, where autocast changes them

    @property
    def node(self) -> str:
        """The node it belongs to: hooks that change values make several steps of one node."""
        return self.name.rstrip("<=")

    @property
    def per_sample(self) -> bool:
        """True if the samples stay apart: no signal goes to what all of them share."""
        return self.record.per_sample and not self._shares

    @property
    def apart(self) -> bool:
        """True if the signals of samples stay apart, which may have to be tried."""
        return not self._shares and self.record.apart

    @property
    def _shares(self) -> bool:
        pairs = zip(self.record.shared, self.sources, strict=False)
        return any(own and source for own, source in pairs)


@dataclass(frozen=True, eq=False)
class Geometry(Brief):
    """Sizes and windows of a model for images of one size; it holds no values and no policy.

    Args:
        input: name of the node that is the images.
        steps: the nodes that carry a signal, in forward order; their layers tell the windows.
        sizes: {node: size of its value} for every node whose value is a tensor.
        dtypes: {node: type of its numbers} of the same.
    """

    input: str
    steps: tuple[Step, ...]
    sizes: dict[str, torch.Size]
    dtypes: dict[str, torch.dtype]

    def __repr__(self) -> str:
        return brief(type(self).__name__, self._said, counted(len(self.steps), "step"))

    @property
    def _said(self) -> str:
        count, *size = self.sizes[self.input]
        return f"{counted(count, 'image')} of {by(size)}"

    @property
    def images(self) -> int:
        """How many images the sizes are of."""
        return self.sizes[self.input][0]

    @cached_property
    def per_sample(self) -> bool:
        """True if every node is known to keep the images of the batch apart."""
        return all(step.per_sample for step in self.steps)

    @cached_property
    def apart(self) -> bool:
        """True if signals of an image come back to it alone, so that rows can be taken.

        Operations of which nothing is known are tried for it, once for each size.
        """
        return all(step.apart for step in self.steps)

    def multiply_adds(self, nodes: Container[str]) -> int:
        """Multiply-adds of one whole image through the filters of some nodes, up or down."""
        known = [s for s in self.steps if s.node in nodes and s.name in self.sizes]
        return sum(step.layer.multiply_adds(self.sizes[step.name]) or 0 for step in known)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """The nodes whose layers do not say their multiply-adds, which are left out."""
        some = torch.Size((1, 1, 1, 1))  # of an output of several tensors
        sizes = {step: self.sizes.get(step.name, some) for step in self.steps}
        return tuple(s.name for s, size in sizes.items() if s.layer.multiply_adds(size) is None)
