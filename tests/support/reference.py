"""An independent, slow DeconvNet: the papers' rules as autograd functions in place of every relu.

It shares nothing with the toolkit. The model runs as it is written, under a torch-function
override that sees every spelling of relu (``nn.ReLU`` calls ``F.relu``), and autograd does the
rest: it transposes filters and routes switches on its own.
"""

from __future__ import annotations

import math
from contextlib import nullcontext

import torch
import torch.nn.functional as F
import torchvision
from torch import fx
from torch.overrides import TorchFunctionMode
from torchvision.models.feature_extraction import NodePathTracer

from deconvnet.units import Unit


class Backprop(torch.autograd.Function):
    """R_below = 1(f > 0) R (Simonyan 2013)."""

    @staticmethod
    def forward(ctx, f):
        ctx.save_for_backward(f > 0)
        return f.clamp(min=0)

    @staticmethod
    def backward(ctx, R):
        (active,) = ctx.saved_tensors
        return torch.where(active, R, torch.zeros_like(R))


class Deconv(torch.autograd.Function):
    """R_below = 1(R > 0) R (Zeiler & Fergus 2014)."""

    @staticmethod
    def forward(ctx, f):
        return f.clamp(min=0)

    @staticmethod
    def backward(ctx, R):
        return torch.where(R > 0, R, torch.zeros_like(R))


class GuidedBackprop(torch.autograd.Function):
    """R_below = 1(f > 0) 1(R > 0) R (Springenberg 2014)."""

    @staticmethod
    def forward(ctx, f):
        ctx.save_for_backward(f > 0)
        return f.clamp(min=0)

    @staticmethod
    def backward(ctx, R):
        (active,) = ctx.saved_tensors
        return torch.where(active & (R > 0), R, torch.zeros_like(R))


class Clipped(torch.autograd.Function):
    """ReLU6: R clipped at 0, times the derivative where the rule has a mask."""

    @staticmethod
    def forward(ctx, f, masked, rectified):
        ctx.save_for_backward((f > 0) & (f < 6))
        ctx.masked, ctx.rectified = masked, rectified
        return f.clamp(0, 6)

    @staticmethod
    def backward(ctx, R):
        (slope,) = ctx.saved_tensors
        G = torch.where(R > 0, R, torch.zeros_like(R)) if ctx.rectified else R
        return (G * slope if ctx.masked else G), None, None


RULES = {"gradient": Backprop, "deconvnet": Deconv, "guided": GuidedBackprop}
RELU = {F.relu, F.relu_, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_}
RELU6 = {F.relu6, F.hardtanh, F.hardtanh_, torch.Tensor.clamp}


class EveryRelu(TorchFunctionMode):
    """Replaces every spelling of relu, in place or not, by a rule."""

    def __init__(self, policy):
        super().__init__()
        self.policy = policy
        self.met = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in RELU:
            self.met += 1
            return _written(function, args, kwargs, RULES[self.policy].apply(args[0]))
        if function in (F.relu6, F.hardtanh, F.hardtanh_):
            limits = (args[1:3] or (0.0, 6.0)) if function is not F.relu6 else (0.0, 6.0)
            assert tuple(map(float, limits)) == (0.0, 6.0), limits
            self.met += 1
            masked, rectified = self.policy != "deconvnet", self.policy != "gradient"
            return _written(function, args, kwargs, Clipped.apply(args[0], masked, rectified))
        return function(*args, **(kwargs or {}))


def _written(function, args, kwargs, result):
    """The result, written into the input if the call was in place: others may hold it."""
    asked = (kwargs or {}).get("inplace", args[-1] is True)
    return args[0].copy_(result) if asked or function.__name__.endswith("_") else result


def upto(model, name, at=None):
    """The model cut after a node, which becomes its output; with ``at``, a pair of two nodes."""
    tracer = NodePathTracer(
        autowrap_modules=(math, torchvision.ops), leaf_modules=[torchvision.ops.StochasticDepth]
    )
    graph = tracer.trace(model.eval())
    wanted = next(node for node, path in tracer.node_to_qualname.items() if path == name)
    for node in reversed(list(graph.nodes)):
        if node is wanted:
            break
        graph.erase_node(node)
    if at is None:
        graph.output(wanted)
    else:
        lower = next(node for node, path in tracer.node_to_qualname.items() if path == at)
        with graph.inserting_after(lower):  # which a later node may write into
            copy = graph.call_method("clone", (lower,))
        lower.replace_all_uses_with(copy, lambda user: user is not copy)
        graph.output((copy if wanted is lower else wanted, lower))
    return fx.GraphModule(model, graph).eval()


def laid_out(images):
    """A copy as a recording lays images out, on a CPU, for models that run so.

    Some networks of random weights make a thousandth of the last bits that layouts differ by.
    """
    return images.detach().clone(
        memory_format=torch.channels_last if images.ndim == 4 else torch.preserve_format
    )


def signals(model, images, units, policy, at, seed=1.0):
    """The signal at the output of a node for units of one layer, (units, channels, *size)."""
    images, cut = images.detach().clone().requires_grad_(), upto(model, units[0].layer, at)
    with nullcontext() if policy == "autograd" else EveryRelu(policy):
        maps, lower = cut(images)
    made = []
    for unit in units:
        start = torch.zeros_like(maps)
        start[(unit.image, unit.channel, *(unit.position or ()))] = seed
        (signal,) = torch.autograd.grad(maps, lower, start, retain_graph=True)
        made.append(signal[unit.image])
    return torch.stack(made)


def projections(model, images, units, policy, seed=1.0):
    """The signal at the pixels for several units, (units, channels, *size).

    One forward pass a layer, since a later layer may write in place into an earlier one.
    ``units`` have ``layer``, ``channel``, ``position`` and ``image``; ``policy`` is one of RULES,
    or "autograd" for plain autograd without any override.
    """
    images = images.detach().clone().requires_grad_()
    found = [None] * len(units)
    for layer in dict.fromkeys(unit.layer for unit in units):
        cut = upto(model, layer)
        with nullcontext() if policy == "autograd" else EveryRelu(policy):
            maps = cut(images)
        for place, unit in enumerate(units):
            if unit.layer == layer:
                start = torch.zeros_like(maps)
                start[(unit.image, unit.channel, *(unit.position or ()))] = seed
                (signal,) = torch.autograd.grad(maps, images, start, retain_graph=True)
                found[place] = signal[unit.image]
    return torch.stack(found)


def projection(model, images, node, unit, policy, seed=1.0):
    """The signal at the pixels for one unit (channel, *position) of each image."""
    channel, *position = unit
    units = [
        Unit.at(node, channel, position=tuple(position) or None, image=i)
        for i in range(len(images))
    ]
    return projections(model, images, units, policy, seed)


def error(found, expected):
    """Greatest difference, relative to the greatest value expected."""
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-300))


def assert_same(found, expected, *, tolerance=1e-10):
    """Each projection is the expected one; a dead unit, whose signal is zero, proves nothing."""
    assert found.shape == expected.shape, f"{tuple(found.shape)} is not {tuple(expected.shape)}"
    for i, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert other.abs().max() > 0, f"unit {i} is dead: choose one that is alive"
        assert error(one, other) <= tolerance, f"unit {i} is off by {error(one, other):.2g}"
