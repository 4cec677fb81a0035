"""Operations that are not looked into: a policy is never left out in silence."""

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn

from deconvnet import DeconvNet, UnmirroredError
from tests.support.everywhere import expected
from tests.support.networks import live_units, noise
from tests.support.reference import assert_same, error

IMAGES = noise(2, 3, 6, 6)


@fx.wrap
def closed(x, y):
    """Written by a user, and decides by values."""
    x = F.relu(x) if x.mean() > 100 else (x - y).relu_()
    return x * F.relu(x + y, inplace=True)


class Closed(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 3)
        self.top = nn.Conv2d(4, 2, 3)

    def forward(self, x):
        return self.top(closed(self.one(x)[:, :, 1:-1, 1:-1], self.two(x)))


@pytest.mark.parametrize("policy", ["gradient", "deconvnet", "guided"])
def test_activations_inside_follow_the_policy(policy):
    model = Closed().double()
    net = DeconvNet(model, policy)
    recording = net.record(IMAGES)
    units = live_units(recording, "top")
    right, _ = expected(model, net, IMAGES, units, policy)
    found = net.project(recording, units=units, seed="one")
    assert_same(found, right)
    if policy != "gradient":
        gradient, _ = expected(model, net, IMAGES, units, "autograd")
        assert error(gradient, right) > 0.1, "the plain gradient would pass"


class Encoder(nn.Module):
    """A module of torch that torch.fx takes as one: attention, and an activation inside."""

    def __init__(self, activation):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.TransformerEncoderLayer(
            8, 2, 16, dropout=0.0, activation=activation, batch_first=True
        )

    def forward(self, x):
        return self.layer(x.flatten(2).transpose(1, 2))


def test_a_module_of_torch_with_a_rectifier_inside():
    model, tokens = Encoder("relu").double().eval(), noise(2, 8, 2, 3)
    for policy in ("gradient", "deconvnet", "guided"):
        net = DeconvNet(model, policy)
        units = live_units(net.record(tokens), "layer")
        right, _ = expected(model, net, tokens, units, policy)
        assert_same(net.project(tokens, units=units, seed="one"), right)


def test_one_without_a_rule_is_told():
    model, tokens = Encoder("gelu").double().eval(), noise(2, 8, 2, 3)
    with pytest.raises(UnmirroredError, match="at layer: .*'guided' has no rule for GELU"):
        DeconvNet(model, "guided").record(tokens)
    net = DeconvNet(model, "guided", elsewhere="derivative")
    units = live_units(net.record(tokens), "layer")
    right, _ = expected(model, net, tokens, units, "autograd")
    assert_same(net.project(tokens, units=units, seed="one"), right)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells = nn.GRU(8, 4, batch_first=True)

    def forward(self, x):
        return self.cells(x.flatten(2).transpose(1, 2))[0]


def test_cells_cannot_be_ruled():
    model, tokens = Recurrent().double(), noise(2, 8, 2, 3)
    with pytest.raises(UnmirroredError, match="at cells: .*no rule for GRU"):
        DeconvNet(model).record(tokens)
    with pytest.raises(UnmirroredError, match="cannot be applied inside GRU"):
        DeconvNet(model, elsewhere="rectify").record(tokens)
    for arguments in ({"rectifier": "gradient"}, {"elsewhere": "derivative"}):
        net = DeconvNet(model, **arguments)
        units = live_units(net.record(tokens), net.graph.returned[0])
        right, _ = expected(model, net, tokens, units, "autograd")
        assert_same(net.project(tokens, units=units, seed="one"), right)
