"""Whose lowest activations are mined for a layer: its own, or those of what feeds a rectifier."""

from __future__ import annotations

from deconvnet.projection.geometry import Geometry, Step


def lowest_of(geometry: Geometry, layer: str) -> str:
    """The node whose lowest activations stand for those of a layer.

    A rectifier is never negative, nor is the maximum of several of its values: nearly all minima
    would be 0, and tell nothing. So it is the node that feeds the rectifier. A layer with several
    sources (a join of rectified layers) stands for itself; so does one that has no zeros to tie
    (a sigmoid).
    """
    steps: dict[str, list[Step]] = {}
    for step in geometry.steps:
        steps.setdefault(step.node, []).append(step)
    node, best = layer, layer
    while len(steps.get(node, [])) == 1:  # more where hooks of the user change the value
        (step,) = steps[node]
        sources = [source.rstrip("<=") for source in step.sources if source is not None]
        if len(sources) != 1 or not (step.layer.rectifies or step.layer.selects):
            break
        node = sources[0]
        if step.layer.rectifies and _alike(geometry, node, layer):
            best = node
    return best


def _alike(geometry: Geometry, node: str, layer: str) -> bool:
    """Whether a node has feature maps, as many as the layer has."""
    size, of_layer = geometry.sizes.get(node), geometry.sizes[layer]
    return (
        node != geometry.input
        and size is not None
        and len(size) == len(of_layer)
        and size[:2] == of_layer[:2]
    )
