"""Models that the toolkit refuses, or refuses in part, and the remedies it names."""

import re

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Unit, UnmirroredError, UntraceableError
from tests.support.networks import noise
from tests.support.reference import assert_same, projections

IMAGES = noise(2, 3, 12, 12)


@pytest.mark.parametrize("smooth", [nn.GELU, nn.SiLU, nn.Tanh, nn.LeakyReLU, nn.Softplus])
@pytest.mark.parametrize("policy", ["deconvnet", "guided", "rectgrad"])
def test_an_activation_without_a_rule(smooth, policy):
    torch.manual_seed(1)
    broken = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), smooth()).double()
    net = DeconvNet(broken, policy)
    with pytest.raises(UnmirroredError) as caught:
        net.project(IMAGES, layer="3", channel=1)
    for part in (
        "at 3:",
        f"'{policy}'",
        f"no rule for {smooth.__name__}",
        "elsewhere='derivative'",
    ):
        assert part in str(caught.value)
    assert net.project(IMAGES, layer="2", channel=1).any(), "below it there is nothing to rule"
    for remedy in re.findall(r"elsewhere='(\w+)'", str(caught.value)):
        assert (
            DeconvNet(broken, policy, elsewhere=remedy).project(IMAGES, layer="3", channel=1).any()
        )
    units = [Unit("3", 1, 4, 4)]
    found = DeconvNet(broken, "gradient").project(IMAGES, units=units, seed="one")
    assert_same(found, projections(broken, IMAGES, units, "autograd"))


class Branching(nn.Module):
    def forward(self, x):
        if x.sum() > 0:  # the line that stops the tracing
            return x
        return -x


class Counting(nn.Module):
    def forward(self, x):
        return x * int(x.max())


class Numpy(nn.Module):
    def forward(self, x):
        return x + torch.from_numpy(x.numpy())


@pytest.mark.parametrize(
    ("broken", "line"),
    [(Branching, "if x.sum() > 0"), (Counting, "int(x.max())"), (Numpy, "x.numpy()")],
)
def test_a_model_that_cannot_be_traced(broken, line):
    with pytest.raises(UntraceableError) as caught:
        DeconvNet(broken(), input_size=(3, 12, 12))
    for part in (
        broken.__name__, "cannot be traced", "test_bad_models.py:", line, "torch.fx says",
        "torch.export says", "torch.fx.wrap",
    ):  # fmt: skip
        assert part in str(caught.value)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.filters = nn.Conv2d(3, 2, 3)

    def forward(self, x, mask):
        return self.filters(x) * mask


class Optional(TwoInputs):
    def forward(self, x, mask=2.0):
        return self.filters(x) * mask


def test_a_model_of_two_inputs():
    net = DeconvNet(TwoInputs().double())
    with pytest.raises(ValueError, match="takes a second input, 'mask'; wrap it in a module"):
        net.record(IMAGES)
    with pytest.raises(ValueError, match="takes a second input, 'mask'"):
        net.record(IMAGES, "filters")
    net = DeconvNet(TwoInputs().double(), check=False)
    assert net.project(IMAGES, layer="filters", channel=0).any(), "below it, there is one input"
    optional = Optional().double()
    recording = DeconvNet(optional, "gradient").record(IMAGES)
    torch.testing.assert_close(recording["mul"], optional(IMAGES).detach())


def test_a_layer_without_feature_maps():
    class Sizes(nn.Module):
        def forward(self, x):
            return x.chunk(3, 1)[0] + x.argmax(1, keepdim=True)

    net = DeconvNet(Sizes())
    for layer, found in (("chunk", "tuple"), ("argmax", r"shape \(2, 1, 12, 12\)")):
        with pytest.raises(
            ValueError, match=f"{layer} .* has no feature maps: its value is {found}"
        ):
            net.record(IMAGES, layer)


def test_a_module_that_runs_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x):
            return self.act(self.act(x) - 1)

    net = DeconvNet(Twice())
    with pytest.raises(KeyError, match="the module ReLU runs 2 times; say which call: act, act_1"):
        net.record(IMAGES, net.model.act)
    assert net.record(IMAGES, "act_1").activations.keys() == {"act_1"}
