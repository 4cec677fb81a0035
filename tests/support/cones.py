"""A network with every kind of border, its units, and how they are projected and compared."""

import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import Unit
from tests.support.networks import fill


class Everything(nn.Module):
    """Padding, strides, dilation, groups, ceil_mode, skips and joins, in one small network."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 5, stride=2, padding=2)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)
        self.wide = nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=2)
        self.narrow = nn.Conv2d(6, 6, 1)
        self.uneven = nn.Conv2d(12, 8, (3, 2), padding=(1, 0))
        self.lrn = nn.LocalResponseNorm(3)

    def forward(self, x):
        x = self.pool(self.relu(self.norm(self.stem(x))))
        wide = F.relu(self.wide(x))
        x = torch.cat([wide + self.narrow(x), F.avg_pool2d(x, 3, 1, 1)], 1).relu()
        x = self.lrn(F.pad(x, (1, 0, 0, 1), value=0.5))
        return F.max_pool2d(torch.relu(self.uneven(x)), 3, 2)


def everything(model=Everything):
    torch.manual_seed(0)
    made = model().double().eval()
    fill(made, torch.Generator().manual_seed(0))
    return made


def every_unit(net, images, layer, *, channels=1):
    """All positions of some channels, spread over the images."""
    _, count, rows, cols = net.record(images, layer)[layer].shape
    return [
        Unit(layer, (7 * (r * cols + c) + k) % count, r, c, image=(r + c) % len(images))
        for r in range(rows)
        for c in range(cols)
        for k in range(channels)
    ]


def borders(net, images, layer):
    """Corners, edges and the middle."""
    size = net.record(images, layer)[layer].shape
    height, width = size[2:]
    places = [(0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1)]
    places += [(0, width // 2), (height // 2, 0), (height // 2, width // 2), (1, width - 2)]
    return [
        Unit(layer, 5 * i % size[1], *place, image=i % len(images))
        for i, place in enumerate(places)
    ]


def assert_same(found, expected):
    """Each projection is the expected one; some units are dead, but not many."""
    assert found.shape == expected.shape
    alive = expected.flatten(1).abs().amax(1)
    assert (alive > 0).sum() >= len(alive) / 3, "dead units prove nothing"
    off = (found - expected).flatten(1).abs().amax(1)
    assert (off <= 1e-10 * alive).all(), f"unit {int(off.argmax())} is off by {float(off.max())}"


def in_cones(net, images, units, **how):
    route = net.route(images, units, way="cone")
    assert route.way == "cone", "nothing is tested"
    return net.project(images, units=units, way="cone", **how)
