"""Small networks for the adapters, and their maps by autograd alone (see ``reference.py``)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .reference import EveryRelu


class Modules(nn.Module):
    """Two convolutions and two linear layers; its rectifiers are modules."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu1 = nn.Conv2d(2, 6, 3, padding=1), nn.ReLU()
        self.pool = nn.MaxPool2d(3, 2)
        self.conv2, self.relu2 = nn.Conv2d(6, 8, 3), nn.ReLU()
        self.fc1, self.relu3, self.fc2 = nn.Linear(72, 12), nn.ReLU(), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu2(self.conv2(self.pool(self.relu1(self.conv1(x)))))
        return self.fc2(self.relu3(self.fc1(x.flatten(1))))


class Functions(Modules):
    """The same function of the same parameters, whose rectifiers are calls of ``F.relu``."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(self.pool(F.relu(self.conv1(x)))))
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class Scaled(Modules):
    """It takes a factor of its scores beside the images."""

    def forward(self, x: Tensor, factor: Tensor) -> Tensor:
        return super().forward(x) * factor


def seeded(kind: type[nn.Module]) -> nn.Module:
    """In float64, with the same parameters whatever the kind."""
    torch.manual_seed(5)
    return kind().double().eval()


def images(count: int = 3) -> Tensor:
    return torch.rand(
        count, 2, 11, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(6)
    )


def expected(model: nn.Module, given: Tensor, rule: str, start: Tensor) -> Tensor:
    """The map of a signal that starts at the scores, by the papers' rules as autograd functions."""
    leaf = given.detach().clone().requires_grad_()
    with EveryRelu(rule) as met:
        scores = model(leaf)
    assert met.met == 3, "the reference has seen every rectifier"
    (signal,) = torch.autograd.grad(scores, leaf, start)
    return signal


def classes(targets: list[int], count: int = 5) -> Tensor:
    """1 at the class of each image, (images, classes)."""
    return F.one_hot(torch.tensor(targets), count).double()
