"""One empty image, recorded for the sizes of values and the fields of units alone."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from deconvnet.graph import Graph
from deconvnet.layers import Policies, rectifier
from deconvnet.record import Recording, record


def geometry_of(graph: Graph, image: Tensor, layers: Sequence[str] | None = None) -> Recording:
    """A recording without values, under the one policy that refuses nothing.

    Args:
        graph: the model.
        image: (1, channels, *size), of any content.
        layers: how far up it goes; everywhere by default.
    """
    names = list(graph.nodes) if layers is None else list(layers)
    return record(graph, image, names, policies=Policies(rectifier("gradient")), keep=False)
