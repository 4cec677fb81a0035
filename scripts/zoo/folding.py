"""Batch normalisation for training, folded away afterwards into the convolutions before it."""

from __future__ import annotations

import copy

import torch
from torch import nn


def with_batch_norm(model: nn.Module) -> nn.Module:
    """Put a batch normalisation behind every convolution of a network's first level.

    The network trains far better so, and :func:`fold_batch_norm` takes it back. Each convolution
    keeps its name, which now stands for the pair.

    Args:
        model: A network whose convolutions are its own attributes, such as ``ZFNetMini``.

    Returns:
        A copy; ``model`` is left as it was.
    """
    model = copy.deepcopy(model)
    for name, child in list(model.named_children()):
        if isinstance(child, nn.Conv2d):
            setattr(model, name, nn.Sequential(child, nn.BatchNorm2d(child.out_channels)))
    return model


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Fold every pair that :func:`with_batch_norm` made into one convolution with a bias.

    At evaluation a batch normalisation is a scale and a shift for each channel, so that
    ``gamma * (w * x + b - mean) / sigma + beta`` is one convolution again (Ioffe & Szegedy 2015,
    section 3.1). The products are taken in float64.

    Args:
        model: A network with such pairs.

    Returns:
        A copy in evaluation mode that computes what ``model.eval()`` computes.
    """
    model = copy.deepcopy(model).eval()
    for name, child in list(model.named_children()):
        if isinstance(child, nn.Sequential) and len(child) == 2:
            convolution, norm = child[0], child[1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(model, name, _folded(convolution, norm))
    return model


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    weight = convolution.weight.double()
    bias = torch.zeros_like(scale) if convolution.bias is None else convolution.bias.double()
    shifted = (bias - norm.running_mean.double()) * scale + norm.bias.double()
    folded = copy.deepcopy(convolution)
    folded.weight = nn.Parameter((weight * scale[:, None, None, None]).to(norm.weight.dtype))
    folded.bias = nn.Parameter(shifted.to(norm.weight.dtype))
    return folded


@torch.no_grad()
def renormalise_filters(model: nn.Module, radius: float = 0.1) -> None:
    """Rescale, in place, every filter whose root mean square exceeds a radius to that radius.

    Keeps a few filters from dominating, the first layer's above all (Zeiler & Fergus 2014,
    section 3: radius 0.1). A filter is all taps of all its input channels.

    Args:
        model: Its convolutions, at any depth, are rescaled.
        radius: The largest root mean square a filter may keep.

    Raises:
        ValueError: If ``radius`` is not positive.
    """
    if radius <= 0:
        raise ValueError(f"radius is {radius}: filters can only be rescaled to a positive one")
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            size = module.weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
            module.weight.mul_((radius / size.clamp_min(1e-12)).clamp_max(1.0))
