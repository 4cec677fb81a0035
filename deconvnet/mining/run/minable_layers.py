"""Choose the layers of a model that are mined, and check that their values are feature maps."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from deconvnet.arguments import listed
from deconvnet.graph.frontends import Graphs, blank
from deconvnet.graph.graph import Graph
from deconvnet.projection.check.checked_graphs import settled
from deconvnet.projection.forward import geometry_of
from deconvnet.projection.geometry import Geometry

_AXES = ("frames", "rows", "cols")


def minable(model: nn.Module, size: Sequence[int]) -> list[str]:
    """The layers that ``mine`` takes by default, for images of (channels, *size)."""
    image = blank(model, size)
    graph = settled(Graphs(model), image)
    return chosen(graph, geometry_of(graph, image), None)


def chosen(
    graph: Graph,
    geometry: Geometry,
    layers: str | nn.Module | Sequence[str | nn.Module] | None,
) -> list[str]:
    """The names of the layers to mine; each must have feature maps."""
    nodes, sizes = {step.node for step in geometry.steps}, geometry.sizes
    last, ranks = _channels_last(geometry), (2, len(sizes[geometry.input]))
    shapes = f"(batch, channels, {', '.join(_AXES[-(ranks[1] - 2) :])}) or (batch, channels)"
    if layers is not None:
        names = list(dict.fromkeys(graph.find(layer) for layer in listed(layers, str, nn.Module)))
    else:
        if graph.stopped is not None:
            raise graph.stopped
        usual = list(dict.fromkeys(s.node for s in geometry.steps if s.layer.mined))
        names = [n for n in usual if len(sizes[n]) in ranks and n not in last]
        if usual and not names:
            raise ValueError(
                f"no layer of this model can be mined: a layer's value must be {shapes}, and that "
                f"of {usual[0]} is {tuple(sizes[usual[0]])}"
            )
    for name in names:
        size = sizes.get(name)
        if name not in nodes or size is None or len(size) not in ranks:
            has = "no tensor that depends on the image" if size is None else str(tuple(size))
            raise ValueError(
                f"{name} cannot be mined: its value is {has}; choose a layer whose value is "
                f"{shapes}"
            )
        if size[0] != 1 or name in last:
            raise ValueError(
                f"{name} cannot be mined: for one image its value is {tuple(size)}, and that is "
                f"not {shapes.partition(' or ')[0]}; choose a layer before or after it"
            )
    if not names:
        raise ValueError("the model has no convolution, linear layer or activation; name layers=")
    return names


def _channels_last(geometry: Geometry) -> set[str]:
    """Linear layers on maps, whose values are (batch, rows, cols, channels), as in ConvNeXt."""
    last: set[str] = set()
    for step in geometry.steps:
        rank = len(geometry.sizes.get(step.node, ()))
        maps = rank > 2 and step.layer.channel_axis % rank != 1
        if maps or (step.layer.channelwise and step.sources[0] in last):
            last.add(step.node)
    return last
