"""Quantus: maps of class scores as its ``explain_func`` (Hedström 2023)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import one_hot

from deconvnet.layers import Policies, Rectifier
from deconvnet.net import DeconvNet

from .signals import signal_of

Explain = Callable[..., NDArray[Any]]


def quantus_explain(rectifier: str | Rectifier | Policies = "deconvnet") -> Explain:
    """A function that Quantus takes as ``explain_func``: maps of class scores under a rule.

    Quantus randomises a model layer by layer and hands over the same, changed module; so the
    model is read anew at each call.

    Args:
        rectifier: as for ``DeconvNet``; ``Policies`` where a fallback is needed.

    Returns:
        ``explain(model, inputs, targets, device=None)``. inputs: (batch, channels, *size);
        targets: (batch,) indices of classes, or one for all. It gives an array shaped like the
        inputs: signed, each map that of its image's class score with ``seed="one"``. It computes
        where the model is: the ``device`` that Quantus hands over moves nothing.

    Raises:
        ValueError: no policy has this name.

    Examples:
        >>> explain = quantus_explain("guided")
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
        >>> explain(model, np.zeros((2, 1, 8, 8), np.float32), np.array([3, 7])).shape
        (2, 1, 8, 8)
    """
    policies = Policies.of(rectifier)

    def explain(model: nn.Module, inputs: Any, targets: Any, device: object = None) -> NDArray[Any]:
        like = next(chain(model.parameters(), model.buffers()), torch.zeros(1))
        images = torch.as_tensor(np.asarray(inputs)).to(like)
        wanted = torch.as_tensor(np.asarray(targets), device=like.device)

        def seed(scores: Tensor) -> Tensor:
            return _of_classes(scores, wanted)

        _, maps = signal_of(DeconvNet(model, policies), images, seed)
        return maps.cpu().numpy()

    return explain


def _of_classes(scores: Tensor, targets: Tensor) -> Tensor:
    """1 at the class of each image, else 0, shaped like the scores (batch, classes).

    Raises:
        ValueError: the scores have another shape, or the targets are no classes of these images.
    """
    whole = not targets.is_floating_point() and not targets.is_complex()
    if scores.ndim != 2 or not whole or targets.numel() not in (1, len(scores)):
        raise ValueError(
            f"targets of {targets.dtype} and shape {tuple(targets.shape)} were given for scores "
            f"of shape {tuple(scores.shape)}; expected one index of a class for each image"
        )
    targets, classes = targets.long().reshape(-1).expand(len(scores)), scores.shape[1]
    if not ((targets >= 0) & (targets < classes)).all():
        raise ValueError(
            f"the targets reach from {int(targets.min())} to {int(targets.max())}; the classes "
            f"are 0 to {classes - 1}"
        )
    return one_hot(targets, classes).to(scores)
