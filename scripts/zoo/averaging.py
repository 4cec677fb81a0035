"""The running average of a network in training, and the plain network it becomes."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .folding import fold_batch_norm


class Average:
    """The running average of a network's parameters: steadier than the network while it moves.

    Args:
        model: The network in training; it is copied.

    Attributes:
        model: The averaged network; its batch statistics mean nothing before :meth:`folded`.
        updates: How many networks went into it.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = copy.deepcopy(model)
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards ``model``: fast at first, by a thousandth a step later."""
        self.updates += 1
        share = max(0.001, 9 / (9 + self.updates))
        for kept, new in zip(self.model.parameters(), model.parameters(), strict=True):
            kept.lerp_(new, share)

    @torch.no_grad()
    def folded(self, batches: Iterable[tuple[Tensor, Tensor]]) -> nn.Module:
        """The plain network: statistics measured for the averaged filters, then folded.

        Args:
            batches: Images ``(N, 3, H, W)`` and labels, which are not looked at.

        Returns:
            A network on the CPU, in evaluation mode, without batch normalisation and dropout.
        """
        model = copy.deepcopy(self.model).train()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None  # the mean over all batches
        device = next(model.parameters()).device
        for images, _ in batches:
            model(images.to(device))
        model = fold_batch_norm(model.cpu())
        model.classifier = model.get_submodule("classifier.1")  # without its dropout
        return model
