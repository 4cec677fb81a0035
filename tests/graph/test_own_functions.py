"""A user's own autograd functions keep their own backward, and have no rule."""

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, UnmirroredError
from tests.support.beside import IMAGES, right
from tests.support.networks import live_units
from tests.support.reference import assert_same


class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(ctx, signal):
        (x,) = ctx.saved_tensors
        return signal * (x.abs() < 1)


class Scaled(torch.autograd.Function):
    """With the new way of keeping things, two inputs and two outputs."""

    @staticmethod
    def forward(x, factor, weight):
        return x * factor, x + weight

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx, one, other):
        return one * ctx.factor * 2 + other, None, None


sign = Sign.apply  # an alias, as PyTorch's own documents have it


class Stretching(nn.Module):
    def __init__(self, act):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.weight = nn.Parameter(torch.randn(4, 1, 1))
        self.act = act

    def forward(self, x):
        return self.two(self.act(self, self.one(x)))


ACTS = {
    "apply": lambda m, x: Sign.apply(x),
    "alias": lambda m, x: sign(x),
    "two": lambda m, x: sum(Scaled.apply(x, 2.0, m.weight)),
    "one of two": lambda m, x: Scaled.apply(x, 2.0, m.weight)[0],
}


@pytest.mark.parametrize("act", ACTS)
def test_autograd_functions(act):
    right(Stretching(ACTS[act]).double(), IMAGES)


@pytest.mark.parametrize("act", ["apply", "alias", "opaque"])
@pytest.mark.parametrize("policy", ["deconvnet", "guided"])
def test_autograd_functions_have_no_rule(act, policy):
    model = Stretching({**ACTS, "opaque": lambda m, x: opaque(x)}[act]).double()
    with pytest.raises(UnmirroredError, match="at .*no rule for Sign.*elsewhere='derivative'"):
        DeconvNet(model, policy).record(IMAGES)
    by_derivative = DeconvNet(model, policy, elsewhere="derivative")
    units = live_units(by_derivative.record(IMAGES), "two", 2)
    found = by_derivative.project(IMAGES, units=units, seed="one")
    plain = DeconvNet(model, "gradient").project(IMAGES, units=units, seed="one")
    assert_same(found, plain)


@torch.fx.wrap
def opaque(x):
    return Sign.apply(x) if x.mean() < 100 else x


def test_an_autograd_function_is_rectified_where_that_is_asked_for():
    model = Stretching(ACTS["apply"]).double()
    net = DeconvNet(model, "guided", elsewhere="rectify")
    units = live_units(net.record(IMAGES), "two", 2)
    leaf = IMAGES.clone().requires_grad_()
    low = model.one(leaf)
    top = model.two(low.detach().sign().requires_grad_())
    seen = low.detach().sign().requires_grad_()
    top = model.two(seen)
    expected = []
    for unit in units:
        value = top[(unit.image, unit.channel, *unit.position)]
        (signal,) = torch.autograd.grad(value, seen, retain_graph=True)
        (below,) = torch.autograd.grad(low, leaf, signal.clamp(min=0), retain_graph=True)
        expected.append(below[unit.image])
    assert_same(net.project(IMAGES, units=units, seed="one"), torch.stack(expected))
