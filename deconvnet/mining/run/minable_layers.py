"""Which layers of a model are mined, and what is known of them before any image is seen."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from deconvnet.arguments import listed
from deconvnet.graph.frontends import Graphs, blank
from deconvnet.graph.graph import Graph
from deconvnet.layers import Rectification
from deconvnet.layers.convolution import Convolution, TransposedConvolution
from deconvnet.layers.joining import Combination, Concatenation
from deconvnet.layers.linear import Linear
from deconvnet.projection.check.checked_graphs import settled
from deconvnet.projection.forward import Recording
from deconvnet.projection.geometry import geometry_of

MINED = (Convolution, TransposedConvolution, Linear, Rectification, Concatenation)


def minable(model: nn.Module, size: Sequence[int]) -> list[str]:
    """The layers that ``mine`` takes by default, for images of (channels, height, width)."""
    image = blank(model, size)
    graph = settled(Graphs(model), image)
    return chosen(graph, geometry_of(graph, image), None)


def chosen(
    graph: Graph,
    geometry: Recording,
    layers: str | nn.Module | Sequence[str | nn.Module] | None,
) -> list[str]:
    """The names of the layers to mine; each must have feature maps."""
    if layers is not None:
        names = list(dict.fromkeys(graph.find(layer) for layer in listed(layers, str, nn.Module)))
    else:
        if graph.stopped is not None:
            raise graph.stopped
        names = [
            step.node
            for step in geometry.steps
            if isinstance(step.layer, MINED)
            or (isinstance(step.layer, Combination) and len(step.layer.factors) > 1)
        ]
        last = _channels_last(geometry)
        names = [n for n in names if len(geometry.sizes[n]) in (2, 4) and n not in last]
    carried = {step.node for step in geometry.steps}
    for name in names:
        size = geometry.sizes.get(name)
        if name not in carried or size is None or len(size) not in (2, 4):
            found = "no tensor that depends on the image" if size is None else str(tuple(size))
            raise ValueError(
                f"{name} cannot be mined: its value is {found}; choose a layer whose value is "
                "(batch, channels, rows, cols) or (batch, channels)"
            )
        if size[0] != 1 or name in _channels_last(geometry):
            raise ValueError(
                f"{name} cannot be mined: for one image its value is {tuple(size)}, and that is "
                "not (batch, channels, rows, cols); choose a layer before or after it"
            )
    if not names:
        others = [step.node for step in geometry.steps if isinstance(step.layer, MINED)]
        if others:
            found = f"that of {others[0]} is {tuple(geometry.sizes[others[0]])}"
            raise ValueError(
                "no layer of this model can be mined: a layer's value must be (batch, channels, "
                f"rows, cols) or (batch, channels), and {found}"
            )
        raise ValueError("the model has no convolution, linear layer or activation; name layers=")
    return names


def _channels_last(geometry: Recording) -> set[str]:
    """Fully connected layers on maps: theirs are (batch, rows, cols, channels), as in ConvNeXt."""
    found: set[str] = set()
    for step in geometry.steps:
        maps = isinstance(step.layer, Linear) and len(geometry.sizes[step.node]) > 2
        if maps or (isinstance(step.layer, Rectification) and step.sources[0] in found):
            found.add(step.node)
    return found
