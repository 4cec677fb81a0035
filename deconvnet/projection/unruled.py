"""The activations between a layer and the images for which a policy has no rule."""

from __future__ import annotations

from deconvnet.layers import MirroredLayer, Policies, UnmirroredError

from .geometry import Geometry


def activations(geometry: Geometry) -> dict[str, str]:
    """{node: "ReLU"} of the nodes that are activations."""
    names = {step.node: step.layer.activation_name for step in geometry.steps}
    return {node: name for node, name in names.items() if name is not None}


def unruled(geometry: Geometry, policies: Policies) -> dict[str, tuple[str, ...]]:
    """The activations without a rule on the way from each node down to the images.

    Returns:
        {node: nodes of activations without a rule, in forward order}; of every node that carries
        a signal, and empty where it can be projected.
    """
    order = [step.node for step in geometry.steps if not _ruled(step.layer, policies)]
    met: dict[str, set[str]] = {geometry.input: set()}
    for step in geometry.steps:
        below = (met[source] for source in step.sources if source in met)
        met[step.name] = {step.node}.intersection(order).union(*below)
    return {name: tuple(one for one in order if one in met[name]) for name in met}


def _ruled(layer: MirroredLayer, policies: Policies) -> bool:
    try:
        layer.under(policies)
    except UnmirroredError:
        return False
    return True
