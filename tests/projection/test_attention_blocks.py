"""Attention blocks over channels and places: exact, and never one unit at a time."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet
from tests.support.networks import fill, live_units, noise
from tests.support.reference import assert_same, error, projections


class CBAM(nn.Module):
    """Woo 2018: channels by their mean and maximum, then places by theirs.

    Args:
        spelling: how the maximum over the channels is written.
    """

    def __init__(self, spelling):
        super().__init__()
        self.spelling = spelling
        self.squeeze = nn.Sequential(nn.Conv2d(8, 2, 1), nn.ReLU(), nn.Conv2d(2, 8, 1))
        self.places = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x):
        mean, most = x.mean((2, 3), keepdim=True), F.adaptive_max_pool2d(x, 1)
        x = x * torch.sigmoid(self.squeeze(mean) + self.squeeze(most))
        both = torch.cat([x.mean(1, keepdim=True), self.spelling(x)], 1)
        return x * torch.sigmoid(self.places(both))


def unpacked(x):
    values, _ = x.max(1)
    return values.unsqueeze(1)


SPELLINGS = {
    "torch.max(x, 1)[0]": lambda x: torch.max(x, 1)[0].unsqueeze(1),
    "torch.max, keepdim": lambda x: torch.max(x, dim=1, keepdim=True)[0],
    ".max(...).values": lambda x: x.max(dim=1, keepdim=True).values,
    "unpacked": unpacked,
    "min": lambda x: -torch.min(-x, 1, True)[0],
    "amax": lambda x: x.amax(1, keepdim=True),
    "amin": lambda x: -torch.amin(-x, 1, True),
    "topk": lambda x: x.topk(1, dim=1)[0],
    "by hand, of maps": lambda x: x.flatten(2).max(2).values[:, :1, None, None] + x[:, :1],
}


class SE(nn.Module):
    """Hu 2018, with fully connected layers."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(8, 2), nn.ReLU(), nn.Linear(2, 8), nn.Sigmoid())

    def forward(self, x):
        n, c, _, _ = x.shape
        return x * self.gate(F.adaptive_avg_pool2d(x, 1).view(n, c)).view(n, c, 1, 1).expand_as(x)


class ECA(nn.Module):
    """Wang 2020: a filter along the channels."""

    def __init__(self):
        super().__init__()
        self.filter = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x):
        y = F.adaptive_avg_pool2d(x, 1)
        y = self.filter(y.squeeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1)
        return x * torch.sigmoid(y)


class SK(nn.Module):
    """Li 2019: a softmax chooses between two sizes of filters, channel by channel."""

    def __init__(self):
        super().__init__()
        self.small = nn.Conv2d(8, 8, 3, padding=1)
        self.large = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.squeeze, self.choose = nn.Linear(8, 4), nn.Linear(4, 16)

    def forward(self, x):
        paths = torch.stack([torch.relu(self.small(x)), torch.relu(self.large(x))], 1)
        squeezed = torch.relu(self.squeeze(paths.sum(1).mean((2, 3))))
        shares = torch.softmax(self.choose(squeezed).view(x.shape[0], 2, 8), 1)
        return (paths * shares[..., None, None]).sum(1)


BLOCKS = {
    **{f"CBAM, {name}": lambda how=how: CBAM(how) for name, how in SPELLINGS.items()},
    "SE": SE,
    "ECA": ECA,
    "SK": SK,
}


class Net(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.one, self.block, self.two = nn.Conv2d(3, 8, 3), block, nn.Conv2d(8, 6, 3, 2)

    def forward(self, x):
        return torch.relu(self.two(self.block(torch.relu(self.one(x)))))


def asked(block, policy):
    """A network with a block, images, units of the last layer, and the right projections.

    Sigmoid gates have no rule in the papers: they are passed by their derivative, which is what
    autograd does in the reference.
    """
    torch.manual_seed(0)
    model, images = Net(BLOCKS[block]()).double().eval(), noise(4, 3, 13, 11)
    fill(model, torch.Generator().manual_seed(0))
    net = DeconvNet(model, policy, elsewhere=None if policy == "gradient" else "derivative")
    units = live_units(net.record(images), "relu_1", 3)
    rule = "autograd" if policy == "gradient" else policy
    return net, images, units, projections(model, images, units, rule)


@pytest.mark.parametrize("policy", ["gradient", "deconvnet", "guided"])
@pytest.mark.parametrize("block", BLOCKS)
def test_they_are_exact(block, policy):
    net, images, units, right = asked(block, policy)
    assert_same(net.project(images, units=units, seed="one"), right)
    assert_same(net.project(net.record(images), units=units, seed="one"), right)


@pytest.mark.parametrize("block", BLOCKS)
def test_no_unit_travels_alone(block):
    net, images, units, _ = asked(block, "gradient")
    recording = net.record(images)
    assert recording.separable, [step.name for step in recording.steps if not step.separable]
    assert set(net.route(images, units).ways.values()) <= {"cone", "shared"}


def test_a_maximum_that_sends_its_signal_elsewhere_shows(monkeypatch):
    """Planted: to the first channel, whichever was the greatest."""
    net, images, units, right = asked("CBAM, torch.max(x, 1)[0]", "guided")
    first = "deconvnet.layers.picking.Pick.mirror"

    def mirror(self, signal, record):
        values = signal[0] if record.kept else signal[0].unsqueeze(record.axis)
        to = torch.zeros_like(record.places)
        return (values.new_zeros(record.size).scatter_add(record.axis, to, values),)

    monkeypatch.setattr(first, mirror)
    assert error(net.project(images, units=units, seed="one"), right) > 0.01
