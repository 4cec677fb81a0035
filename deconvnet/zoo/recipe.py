"""How the embedded network starts and how it learns: Zeiler & Fergus' recipe, and what helps it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from .folding import with_batch_norm
from .zfnet_mini_network import ZFNetMini

WARM_UP = 0.02  # of the whole training


def prepared(classes: int, dropout: float) -> nn.Module:
    """A network to train: batch normalisation, dropout, and the paper's start for layer 1.

    The paper's standard deviation of 0.01 (Zeiler & Fergus 2014, section 3) is what lets the 7x7
    filters grow smooth: from PyTorch's own start they keep its noise.
    """
    model = with_batch_norm(ZFNetMini(classes))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.normal_(model.get_parameter("conv1.0.weight"), std=0.01)
    model.classifier = nn.Sequential(nn.Dropout(dropout), model.get_submodule("classifier"))
    return model.to(memory_format=torch.channels_last)


def optimiser(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    """SGD with Nesterov's momentum; a strong decay of layer 1 alone makes its filters smooth."""
    first = model.get_parameter("conv1.0.weight")
    rest = [p for p in model.parameters() if p is not first]
    groups: list[dict[str, Any]] = [{"params": [first], "weight_decay": 5e-3}, {"params": rest}]
    return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True, weight_decay=5e-4)


def factor(share: float) -> float:
    """The learning rate's factor when a share of the training is done: warm-up, then cosine."""
    warm = min(1.0, (share + 1e-4) / WARM_UP)
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
