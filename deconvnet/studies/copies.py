"""A net whose weights may be written into: over a copy of the model, or over copied memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from deconvnet.net import DeconvNet

from .randomised import weights_below


@contextmanager
def kept(model: nn.Module) -> Iterator[None]:
    """Let a model's weights be written into: it gets its own memory back at the end.

    What is written within are copies, so that the model is restored bit for bit whatever happens.
    """
    tensors = [*model.parameters(), *model.buffers()]
    own = [one.data for one in tensors]
    held = [(m, dict(m._parameters), dict(m._buffers)) for m in model.modules()]
    try:
        for tensor in tensors:
            tensor.data = tensor.data.clone()
        yield
    finally:
        for tensor, data in zip(tensors, own, strict=True):
            tensor.data = data
        for module, parameters, buffers in held:  # which a reset may have replaced by others
            module._parameters.update(parameters)
            module._buffers.update(buffers)


def copied(net: DeconvNet, images: Tensor, layer: str) -> DeconvNet | None:
    """The net over a copy of its model; None where no copy is one.

    Args:
        net: of the model.
        images: a few, by which both are compared.
        layer: up to which.
    """
    readings = net._readings
    graphs = readings.graphs
    try:
        model = copy.deepcopy(net.model)
        other = DeconvNet(
            model, net.policies, inputs=graphs.inputs, mirrors=graphs.mirrors.named,
            preprocessing=net.preprocessing,
        )  # fmt: skip
        made, own = (one.record(images, layer)[layer] for one in (other, net))
    except Exception:  # whatever a class does when it is copied
        return None
    ours, theirs = ({t.data_ptr() for t in m.parameters()} for m in (model, net.model))
    names = [[w.name for w in weights_below(one.graph, layer)] for one in (other, net)]
    same = names[0] == names[1] and torch.allclose(made, own, rtol=1e-4, atol=1e-6, equal_nan=True)
    return other if same and ours.isdisjoint(theirs - {0}) else None


def trusted(net: DeconvNet) -> DeconvNet:
    """The net with graphs that are no longer compared with the model, whose weights will change.

    Images were recorded before, so that the graph has been compared once.
    """
    other, readings = copy.copy(net), copy.copy(net._readings)
    readings._checked = None
    other._readings = readings
    return other
