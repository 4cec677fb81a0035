"""Batch normalisation folded into the convolution before it: the maps are passed once, not twice.

Only on the way of signals that are asked for at the images alone: nobody sees the value between
the two. Nothing that was folded outlives a call, since weights may be written into between two.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import torch
from torch import Tensor

from deconvnet.graph.graph import Graph
from deconvnet.graph.kept_parameters import writes
from deconvnet.graph.node import Node, arguments
from deconvnet.layers import MirroredLayer, Policies
from deconvnet.layers.convolution import Convolution
from deconvnet.layers.normalization import BatchNormalization

from .binding import Bindings, bind
from .geometry import Geometry

EXACT = (torch.float32, torch.float64)  # narrower numbers would lose by it
_FOLDED = (Convolution, BatchNormalization)


class Folding:
    """What one call folds, of the nodes up to one layer.

    Args:
        graph: the model.
        geometry: of its images.
        layer: whose value is asked for, with those of no other node but the images.
        policies: of the call.
        bound: as for ``forward.record``.

    Attributes:
        behind: {a convolution: the batch normalisation that is the only reader of its value}.
        once: the nodes whose value is read once, but those with a mirror of the user's own, who may
            hold it.
    """

    def __init__(
        self,
        graph: Graph,
        geometry: Geometry,
        layer: str,
        *,
        policies: Policies,
        bound: Bindings,
    ) -> None:
        nodes = graph.upto([layer])
        self._graph, self._geometry, self._bound, self._policies = graph, geometry, bound, policies
        self._made: dict[str, tuple[tuple[Tensor, ...], Convolution]] = {}
        reads = Counter(source for node in nodes for source in node.sources)
        self.once = {
            node.name
            for node in nodes
            if reads[node.name] == 1 and node.name != layer
            and not graph.mirrors.is_own(node.module, node.call.target)
        }  # fmt: skip
        self.behind: dict[str, Node] = {}
        if writes(graph.model):  # it runs on other copies each time
            return
        kinds = {step.name: type(step.layer) for step in geometry.steps}
        calls = {node.name: node for node in nodes if kinds.get(node.name) in _FOLDED}
        for name, node in calls.items():
            if kinds[name] is BatchNormalization:
                before = calls.get(node.sources[0])
                if before is not None and kinds[before.name] is Convolution:
                    if before.name in self.once and self._alike(before) and self._alike(node):
                        self.behind[before.name] = node

    def _alike(self, node: Node) -> bool:
        """Whether it is a module, which is the same layer for all images."""
        return node.module is not None and self._graph.binds_alike(node)

    def of(self, name: str, layer: MirroredLayer) -> Convolution | None:
        """A node's convolution and the normalisation behind it in one; None where there is none."""
        if name not in self.behind or type(layer) is not Convolution:
            return None
        behind = self._normalization(name, layer.weight)
        if type(behind) is not BatchNormalization:
            return None
        norm = (behind.mean, behind.variance, behind.weight, behind.bias)
        parts = [part for part in (layer.weight, layer.bias, *norm) if part is not None]
        if layer.weight.dtype not in EXACT or len({(p.dtype, p.device) for p in parts}) != 1:
            return None
        known, made = self._made.get(name, ((), layer))
        if len(known) != len(parts) or any(a is not b for a, b in zip(known, parts, strict=True)):
            made = layer.affine(*behind.affine)
            self._made[name] = tuple(parts), made
        return replace(layer, weight=made.weight, bias=made.bias)

    def _normalization(self, name: str, like: Tensor) -> MirroredLayer | None:
        """The layer of the node behind a convolution, for numbers like its filters'."""
        node = self.behind[name]
        known = self._bound.get((node.name, self._policies))
        if known is None:
            value = {name: like.new_empty((0, *self._geometry.sizes[name][1:]))}
            read = bind(self._graph, node, arguments(node, self._graph.names, value), value)
            if read is None:
                return None
            known = self._bound[node.name, self._policies] = read[0]
        return known
