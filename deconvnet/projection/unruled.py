"""Which activations on a layer's way down a policy has no rule for."""

from __future__ import annotations

from deconvnet.layers import Policies, Rectification, UnmirroredError

from .forward import Recording


def activations(recording: Recording) -> dict[str, str]:
    """{node: "ReLU"} of the nodes that are activations."""
    return {
        step.node: step.layer.activation.name
        for step in recording.steps
        if isinstance(step.layer, Rectification)
    }


def unruled(recording: Recording, policies: Policies) -> dict[str, tuple[str, ...]]:
    """What a signal would meet without a rule, from each node of a recording down to the images.

    Nothing is run: a recording under any other policy, such as ``DeconvNet.geometry`` makes,
    tells.

    Args:
        recording: it has the nodes.
        policies: they have the rules.

    Returns:
        {node: nodes of activations without a rule, in forward order}; of every node that carries
        a signal, and empty where it can be projected.
    """
    order = [step.node for step in recording.steps if not _ruled(step.layer, policies)]
    met: dict[str, set[str]] = {recording.input: set()}
    for step in recording.steps:
        below = (met[source] for source in step.sources if source in met)
        met[step.name] = {step.node}.intersection(order).union(*below)
    return {name: tuple(one for one in order if one in met[name]) for name in met}


def _ruled(layer: object, policies: Policies) -> bool:
    if not isinstance(layer, Rectification):
        return True
    try:
        policies.rule(layer.activation)
    except UnmirroredError:
        return False
    return True
