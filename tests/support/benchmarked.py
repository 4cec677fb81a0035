"""What the benchmark is tested with: noise for photographs, and a peer that is right."""

import torch

from deconvnet import DeconvNet


def noise(count, side=20):
    """So many images."""
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def whole(row, model, images, units):
    """A peer that is right."""
    return DeconvNet(model, row.rule).project(images, units=units, seed="one")
