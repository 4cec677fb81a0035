"""A tiny network in the place of those that the benchmark measures."""

import pytest
import torch
from torch import nn

from scripts.benchmarks import inputs
from scripts.benchmarks.projections import Projections
from tests.support.benchmarked import noise


@pytest.fixture
def tiny(monkeypatch):
    """Two convolutions with in-place rectifiers, and noise for photographs."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
        nn.Conv2d(6, 8, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(8, 5), nn.ReLU(inplace=True),
    )  # fmt: skip
    model.eval().requires_grad_(False)
    monkeypatch.setattr(inputs, "network", lambda name, weights="": model)
    monkeypatch.setattr(inputs, "pictures", noise)
    return model


@pytest.fixture
def row():
    """Makes a row about units of the tiny network's last maps."""
    return lambda rule="deconvnet", share="a", channels=2, images=3: Projections(
        "tiny", "4", rule, share, channels, images
    )
