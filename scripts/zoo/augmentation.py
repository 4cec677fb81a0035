"""Random views of a pasted object, by ``torchvision.transforms.v2``."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from deconvnet.data import IMAGENET_MEAN, IMAGENET_STD
from deconvnet.zoo import SIDES

SIDE = SIDES["zfnet_mini"]
SHIFT = 33  # pixels to each side, a third of a view

# an object 0.45 to 1.25 times as large as the view, turned by up to 26 degrees, shifted
_PLACE = v2.Compose([
    v2.RandomHorizontalFlip(),
    v2.RandomResize(43, 121),
    v2.RandomRotation(26, InterpolationMode.BILINEAR, expand=True),
    v2.CenterCrop(SIDE + 2 * SHIFT),
    v2.RandomCrop(SIDE),
])  # fmt: skip
_CROP = v2.Compose([v2.RandomCrop(SIDE), v2.RandomHorizontalFlip()])
# without colour in three of ten views, edges and shapes must tell objects apart
_LIGHT = v2.Compose([v2.ColorJitter(brightness=0.3), v2.RandomGrayscale(0.3)])
_COVER = v2.RandomErasing(0.25, scale=(0.04, 0.25), ratio=(0.4, 2.5), value=0)
_BLUR = v2.RandomApply([v2.GaussianBlur(11, (0.6, 2.0))], 0.25)
normalised = v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)  # what the network takes


def pasted(cutout: Tensor, photograph: Tensor) -> Tensor:
    """Paste an object on a random crop of a photograph; (3, 96, 96) float32 in [0, 1].

    The cutout is (4, height, width) uint8: colours multiplied by their opacity, and the opacity.
    The photograph is (3, height, width) uint8, at least as large as a view.
    """
    placed, behind = _PLACE(cutout).float() / 255, _CROP(photograph).float() / 255
    return _LIGHT(placed[:3] * _tint() + behind * _tint() * (1 - placed[3:])).clamp(0, 1)


def _tint() -> Tensor:
    """A random factor for each colour channel, (3, 1, 1)."""
    return 0.8 + 0.4 * torch.rand(3, 1, 1, dtype=torch.float32)


def disturbed(view: Tensor, photograph: Tensor) -> Tensor:
    """Cover a rectangle of every fourth view by another photograph, and blur every fourth view.

    Zeiler & Fergus 2014, section 4.2, cover objects to see what a network looks at; here a network
    learns not to depend on one part of an object.
    """
    seen = _COVER(torch.ones_like(view))
    front = _CROP(photograph).float() / 255
    return _BLUR(view * seen + front * (1 - seen))
