"""Empty images, recorded for the sizes of values and the fields of units alone."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from deconvnet.graph.frontends import Graphs, blank
from deconvnet.graph.graph import Graph
from deconvnet.graph.hooks import watched, without_onlookers
from deconvnet.graph.model_state import hooks_of
from deconvnet.layers import Policies, rectifier

from .forward import Recording, record

SETTINGS = ("kernel_size", "stride", "padding", "padding_mode", "dilation", "ceil_mode", "groups")


def geometry_of(graph: Graph, image: Tensor, layers: Sequence[str] | None = None) -> Recording:
    """A recording under the one policy that refuses nothing; of all layers, without values.

    Args:
        graph: the model.
        image: (batch, channels, *size), of any content.
        layers: how far up it goes; everywhere by default.
    """
    names = list(graph.nodes) if layers is None else list(layers)
    policies = Policies(rectifier("gradient"))
    return record(graph, image, names, policies=policies, keep=layers is not None)


def settings(model: nn.Module) -> tuple[object, ...]:
    """What of a model decides sizes and fields, and can be set: to see whether it was."""
    found: list[object] = []
    for module in model.modules():
        found += [getattr(module, name, None) for name in SETTINGS]
    found += [parameter.shape for parameter in model.parameters()]
    return tuple(found)


class Geometries:
    """Makes geometries as they are asked for, and remembers the latest one.

    Args:
        graphs: of the model.
    """

    def __init__(self, graphs: Graphs) -> None:
        self._graphs = graphs
        self._latest: tuple[object, Recording] | None = None

    def of(
        self,
        size: Sequence[int],
        layers: Sequence[str] | None = None,
        *,
        images: int = 1,
        like: Tensor | None = None,
    ) -> Recording:
        """Of so many images of this (channels, *size), up to these layers or everywhere."""
        model = self._graphs.model
        empty = blank(model, size, like=like).expand(images, *size)
        graph = self._graphs.of(empty)
        hooks = [hooks_of(module) for module in model.modules()]
        asked = (graph, empty.shape, empty.dtype, layers and tuple(layers), settings(model), hooks)
        if self._latest is None or self._latest[0] != asked or any(map(watched, model.modules())):
            with without_onlookers(model):  # they are not to see empty images
                self._latest = asked, geometry_of(graph, empty, layers)
        return self._latest[1]

    def fit_for(self, images: Tensor, layers: Sequence[str]) -> Recording:
        """Of two images, which shows whether they are kept apart; of as many where it must be.

        Args:
            images: (batch, channels, *size).
            layers: node names.
        """
        size, count = images.shape[1:], len(images)
        if count > 2 and self._graphs.any_size is not None:
            try:
                return self.of(size, layers, images=2, like=images)
            except ValueError:  # a model may take batches of some sizes only
                pass
        return self.of(size, layers, images=count, like=images)
