"""What keeps a view from being easy: something in front of the object, a lens out of focus."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

NARROWEST, WIDEST = 0.2, 0.5  # sides of what stands in front, in sides of the view
SHARPEST, SOFTEST = 0.6, 2.0  # standard deviations of the blur, pixels
REACH = 5  # taps to each side: 2.5 standard deviations of the softest


def occluded(images: Tensor, covers: Tensor, *, share: float, generator: torch.Generator) -> Tensor:
    """Cover a rectangle of some images by the same rectangle of other pictures.

    Each side of a rectangle is a fifth to a half of the image's; its centre lies anywhere in the
    middle half, where objects are (Zeiler & Fergus 2014, section 4.2, cover objects to see what a
    network looks at; here a network learns not to depend on one part).

    Args:
        images: ``(N, C, H, W)``.
        covers: What is shown inside the rectangles, ``(N, C, H, W)``.
        share: How many of the images are covered, in [0, 1].
        generator: Decides which ones, and where; always advanced by the same number of draws.

    Returns:
        New images ``(N, C, H, W)``.
    """
    count, _, height, width = images.shape
    draws = torch.rand(count, 5, generator=generator, dtype=torch.float32)
    sides = NARROWEST + (WIDEST - NARROWEST) * draws[:, 1:3]
    centres = 0.25 + 0.5 * draws[:, 3:5]
    down = _within(height, centres[:, 0], sides[:, 0])
    across = _within(width, centres[:, 1], sides[:, 1])
    chosen = draws[:, 0] < share
    inside = down[:, :, None] & across[:, None, :] & chosen[:, None, None]
    return torch.where(inside[:, None], covers, images)


def blurred(images: Tensor, *, share: float, generator: torch.Generator) -> Tensor:
    """Blur some images by a Gaussian of 0.6 to 2 pixels; the border is repeated outwards.

    Args:
        images: ``(N, C, H, W)``.
        share: How many of the images are blurred, in [0, 1].
        generator: Decides which ones, and how much; always advanced by the same number of draws.

    Returns:
        New images ``(N, C, H, W)``, each with the sum of its weights kept at one.
    """
    draws = torch.rand(len(images), 2, generator=generator, dtype=torch.float32)
    which = (draws[:, 0] < share).nonzero().flatten()
    images = images.clone()
    if len(which) == 0:
        return images
    widths = SHARPEST + (SOFTEST - SHARPEST) * draws[which, 1]
    steps = torch.arange(-REACH, REACH + 1, dtype=torch.float32)
    taps = torch.exp(-0.5 * (steps / widths[:, None]).square())
    taps = taps / taps.sum(dim=1, keepdim=True)
    chosen = images[which]
    _, channels, height, width = chosen.shape
    # one group a plane, so that every image meets its own Gaussian in a single convolution
    planes = F.pad(chosen, (REACH,) * 4, mode="replicate").flatten(0, 1)[None]
    lines = taps.repeat_interleave(channels, dim=0)[:, None]
    planes = F.conv2d(planes, lines[:, :, :, None], groups=len(lines))
    planes = F.conv2d(planes, lines[:, :, None, :], groups=len(lines))
    images[which] = planes.view(-1, channels, height, width)
    return images


def _within(length: int, centre: Tensor, side: Tensor) -> Tensor:
    """Which of ``length`` pixels lie within each side around each centre, ``(N, length)``."""
    places = (torch.arange(length, dtype=torch.float32) + 0.5) / length
    return (places - centre[:, None]).abs() < side[:, None] / 2
