"""How the embedded network starts, learns, and becomes plain convolutions again."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.optim.swa_utils import AveragedModel, update_bn

from deconvnet.zoo.zfnet_mini_network import ZFNetMini

WARM_UP = 0.02  # of the whole training


def prepared(classes: int, dropout: float) -> nn.Module:
    """A network to train: with batch normalisation, dropout, and the paper's start for layer 1.

    Each convolution keeps its name, which now stands for itself and its batch normalisation. The
    paper's standard deviation of 0.01 (Zeiler & Fergus 2014, section 3) lets the 7x7 filters grow
    smooth: from PyTorch's own start they keep its noise.
    """
    model = ZFNetMini(classes)
    for name, child in list(model.named_children()):
        if isinstance(child, nn.Conv2d):
            nn.init.kaiming_normal_(child.weight, nonlinearity="relu")
            nn.init.zeros_(child.bias)
            setattr(model, name, nn.Sequential(child, nn.BatchNorm2d(child.out_channels)))
    nn.init.normal_(model.get_parameter("conv1.0.weight"), std=0.01)
    model.classifier = nn.Sequential(nn.Dropout(dropout), model.classifier)
    return model.to(memory_format=torch.channels_last)


def optimiser(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum; a strong weight decay of layer 1 alone makes it smooth."""
    first = model.get_parameter("conv1.0.weight")
    rest = [p for p in model.parameters() if p is not first]
    groups: list[dict[str, Any]] = [{"params": [first], "weight_decay": 5e-3}, {"params": rest}]
    return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True, weight_decay=5e-4)


def factor(share: float) -> float:
    """The learning rate's factor when a share of the training is done: warm-up, then cosine."""
    warm = min(1.0, (share + 1e-4) / WARM_UP)
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


@torch.no_grad()
def renormalise_filters(model: nn.Module, radius: float) -> None:
    """Rescale, in place, each filter whose root mean square exceeds ``radius`` to that value.

    Keeps a few filters from dominating (Zeiler & Fergus 2014, section 3: radius 0.1). A filter is
    all taps of all its input channels.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.renorm_(2, 0, radius * math.sqrt(module.weight[0].numel()))


def averaged(model: nn.Module) -> AveragedModel:
    """The running average of a network: follows fast at first, by a thousandth a step later."""

    def moved(kept: Tensor, new: Tensor, updates: Tensor | int) -> Tensor:
        return kept.lerp(new, max(0.001, 9 / (9 + int(updates))))

    return AveragedModel(model, avg_fn=moved)


@torch.no_grad()
def plain(average: AveragedModel, batches: Iterable[Any]) -> nn.Module:
    """The network to keep: without batch normalisation and dropout, on the CPU, for evaluation.

    The statistics are measured for the averaged filters; then ``gamma * (w * x + b - mean) / sigma
    + beta`` is one convolution again (Ioffe & Szegedy 2015, section 3.1), computed in float64. The
    batches are images ``(N, 3, 96, 96)`` and labels, which are not used.
    """
    model = copy.deepcopy(average.module)
    update_bn(batches, model, next(model.parameters()).device)
    model = model.cpu().double().eval()
    for name, child in list(model.named_children()):
        if isinstance(child, nn.Sequential) and isinstance(child[0], nn.Conv2d):
            setattr(model, name, fuse_conv_bn_eval(child[0], child[1]))
    model.classifier = model.get_submodule("classifier.1")
    return model.float()
