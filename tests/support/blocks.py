"""Residual blocks of every kind of convolution and normalisation, compared with a reference."""

import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from tests.support.cones import assert_same, borders, in_cones
from tests.support.networks import noise
from tests.support.reference import projections

IMAGES = noise(2, 3, 30, 33)


class Blocks(nn.Module):
    """Residual blocks: every kind of convolution, with and without a normalisation of its own."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 5, stride=2, padding=2, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.bare = nn.BatchNorm2d(8, affine=False)
        self.dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2, padding_mode="replicate")
        self.frozen = FrozenBatchNorm2d(8)
        self.read_twice = nn.Conv2d(8, 8, 1)
        self.after = nn.BatchNorm2d(8)
        self.first = nn.BatchNorm2d(8)  # of no convolution
        self.down = nn.Conv2d(8, 9, 1, stride=2)
        self.short = nn.BatchNorm2d(9)
        self.strided = nn.Conv2d(8, 9, 3, stride=2, padding=1)
        self.last = nn.BatchNorm2d(9)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout()

    def forward(self, x):
        x = self.relu(self.bn(self.stem(x)))
        y = self.relu(self.bare(self.grouped(x)))
        y = self.frozen(self.dilated(y)) + x
        x = torch.relu(y)
        y = self.read_twice(x)
        x = (y + self.relu(self.after(y))).relu()
        x = self.first(x)
        y = self.short(self.down(x))
        y += self.last(self.strided(x))
        kept = self.dropout(y)  # the same tensor, or a view of it
        return y.relu() + kept * 2


def compared(net, layer, **how):
    """Units at the borders of a layer and their projections, which must be the reference's."""
    units = borders(net, IMAGES, layer)
    found = in_cones(net, IMAGES, units, seed="one", **how)
    assert_same(found, projections(net.model, IMAGES, units, str(net.policies)))
    return units, found
