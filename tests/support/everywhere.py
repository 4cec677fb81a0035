"""The law of the whole network for any model, against autograd on the model as it is written.

Unlike ``tests.support.reference`` nothing here is traced: values are taken out of the running
model, so that models whose graph only the toolkit can read are checked too.
"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext

import torch
from torch import nn
from torch.utils import _pytree as pytree

from deconvnet import DeconvNet, Recording
from deconvnet.layers import Rectification
from tests.support.networks import live_units
from tests.support.reference import EveryRelu, assert_same, error, laid_out


def probes(net: DeconvNet, images: torch.Tensor) -> list[str]:
    """An early, a middle and the last module with feature maps, and what the model returns."""
    sizes = net.geometry(images.shape[1:]).sizes
    graph = net._readings.graphs.of(images)  # net.graph may have to wait for images
    calls = Counter(id(node.module) for node in graph)
    modules = [n.name for n in graph if n.module is not None and calls[id(n.module)] == 1]
    maps = [n for n in modules if len(sizes.get(n, ())) >= 3 and max(sizes[n][2:]) > 1]
    chosen = [maps[len(maps) // 6], maps[len(maps) // 2], maps[-1], *graph.returned]
    return [name for name in dict.fromkeys(chosen) if len(sizes.get(name, ())) >= 2]


def running(
    model: nn.Module, net: DeconvNet, images: torch.Tensor, layers: list[str], policy: str
) -> dict[str, torch.Tensor]:
    """The values of layers in a forward pass of the model itself, with autograd's graph."""
    found, handles = {}, []
    for name in layers:
        module = net.graph.nodes[name].module
        if name not in net.graph.returned:

            def keep(_, __, output, name=name):
                found[name] = output
                return output.clone()  # what is written in place later is another tensor

            handles.append(module.register_forward_hook(keep))
    try:
        with nullcontext() if policy == "autograd" else EveryRelu(policy):
            output = model(images)
    finally:
        for handle in handles:
            handle.remove()
    tensors = [x for x in pytree.tree_leaves(output) if isinstance(x, torch.Tensor)]
    returned = zip(net.graph.returned, tensors, strict=True)
    return {**found, **{name: value for name, value in returned if name in layers}}


def expected(model, net, images, units, policy):
    """The signal at the pixels for each unit, by autograd through the running model."""
    images = laid_out(images).requires_grad_()
    maps = running(model, net, images, list(dict.fromkeys(u.layer for u in units)), policy)
    found = []
    for unit in units:
        value = maps[unit.layer][(unit.image, unit.channel, *(unit.position or ()))]
        (signal,) = torch.autograd.grad(value, images, retain_graph=True)
        found.append(signal[unit.image])
    return torch.stack(found), {name: value.detach() for name, value in maps.items()}


def rectifies(recording: Recording) -> bool:
    """Whether an activation on the way has a rule under every policy."""
    layers = [s.layer for s in recording.steps if isinstance(s.layer, Rectification)]
    return any(layer.activation.rectifies for layer in layers)


def check_network(model: nn.Module, images: torch.Tensor, *, tolerance: float = 1e-10) -> None:
    """Gradient is autograd's, deconvnet and guided are the reference's, at four depths.

    Activations without a rule are carried by their derivative, in both; where there are no others
    the policies are all the gradient.
    """
    net = DeconvNet(model, "gradient")
    layers = probes(net, images)
    recording = net.record(images, layers)
    units = [unit for layer in layers for unit in live_units(recording, layer, 1)]
    assert {unit.layer for unit in units} == set(layers), "a layer without a live unit"
    gradients, values = expected(model, net, images, units, "autograd")
    for name, value in values.items():
        assert error(recording[name], value) <= tolerance, f"the forward pass is off at {name}"
    found = net.project(recording, units=units, seed="one")
    lit = gradients.flatten(1).any(1)
    assert lit.sum() >= 2 * len(units) // 3, "most units are dead"
    assert not found[~lit].any(), "a signal where there should be none"
    assert_same(found[lit], gradients[lit], tolerance=tolerance)
    for policy in ("deconvnet", "guided") if rectifies(recording) else ():
        ruled = DeconvNet(model, policy, fallback="derivative")
        found = ruled.project(images, units=units, seed="one")
        right, _ = expected(model, ruled, images, units, policy)
        lit = right.flatten(1).any(1)
        assert lit.sum() >= len(units) // 2, f"most units are dead under {policy}"
        assert not found[~lit].any(), f"a signal under {policy} where there should be none"
        assert_same(found[lit], right[lit], tolerance=tolerance)
