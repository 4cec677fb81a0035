"""Small networks of images of one to three axes and one to four bands, with their data."""

from dataclasses import dataclass

import torch
from torch import nn

from deconvnet import Preprocessing

LAYER = "4"  # the upper rectifier
_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_POOLINGS = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}


@dataclass(frozen=True, eq=False)
class Case:
    """A model, images for it, and what turns them back into pictures."""

    model: nn.Module
    images: list
    preprocessing: Preprocessing | None


def case(bands, *size, images=12):
    """Of images (bands, *size); no axis is as long as another."""
    axes = len(size)
    convolution, pooling = _CONVOLUTIONS[axes], _POOLINGS[axes]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            convolution(bands, 4, 3, padding=1),
            nn.ReLU(),
            pooling(2),
            convolution(4, 3, 3),
            nn.ReLU(),
        ).eval()
        data = list(torch.rand(images, bands, *size))
    resize = max(size) if axes == 2 else None
    prepared = Preprocessing(size, resize, (0.1,) * bands, (0.5,) * bands)
    return Case(model, [(x - 0.1) / 0.5 for x in data], prepared)


CASES = {
    "signal": lambda: case(1, 30),
    "signal of 3 channels": lambda: case(3, 31),
    "grey": lambda: case(1, 14, 17),
    "two bands": lambda: case(2, 14, 17),
    "colours of 32 pixels": lambda: case(3, 32, 32),
    "four bands": lambda: case(4, 15, 12),
    "video": lambda: case(3, 8, 14, 11),
    "grey video": lambda: case(1, 9, 10, 13),
}
