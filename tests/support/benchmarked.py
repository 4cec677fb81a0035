"""The benchmark's modules, and a tiny network in the place of those that it measures."""

from pathlib import Path

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet

ROOT = Path(__file__).parents[2]
with pytest.MonkeyPatch.context() as path:
    path.syspath_prepend(ROOT / "scripts")  # the folder of a program that is run
    import benchmark
    import benchmark_cases as cases
    import benchmark_memory as memory
    import benchmark_mining as mining
    import benchmark_mining_peers as peers
    import benchmark_results as results
    import benchmark_rows as rows
    import benchmark_runners as runners
    import benchmark_table as table
    import benchmark_timing as timing

__all__ = ["benchmark", "cases", "memory", "mining", "peers", "results", "rows", "runners"]
__all__ += ["table", "timing"]


def put_tiny(monkeypatch):
    """Measure a network of two convolutions with in-place rectifiers; it is returned."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
        nn.Conv2d(6, 8, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(8, 5), nn.ReLU(inplace=True),
    )  # fmt: skip
    model.eval().requires_grad_(False)
    monkeypatch.setattr(cases, "LAYERS", {"tiny": {"4": "4"}})
    monkeypatch.setattr(cases, "network", lambda name, weights="": model)
    return model


def case(rule="deconvnet", share="a", channels=2, images=3):
    """Units of its last maps."""
    return cases.Case("tiny", "4", rule, share, channels, images)


def noise(count, side=20):
    """So many images."""
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def whole(case, model, images, units):
    """A peer that is right."""
    return DeconvNet(model, case.rule).project(images, units=units, seed="one")
