"""Recipe of the embedded network: learning rate, filters, average, and what is folded."""

import pytest
import torch
from torch import nn

from deconvnet.zoo.zfnet_mini_network import ZFNetMini
from scripts.zoo.recipe import averaged, factor, plain, prepared, renormalise_filters


@pytest.fixture
def normalised():
    """A network in training whose batch normalisations are away from their defaults."""
    torch.manual_seed(0)
    model = prepared(3, 0.5).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return model


@pytest.fixture
def images():
    return torch.randn(8, 3, 96, 96, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_the_plain_network_is_the_average_with_measured_statistics(normalised, images):
    average = averaged(normalised)
    average.update_parameters(normalised)
    kept = plain(average, [(images, torch.zeros(8))])
    ZFNetMini(3).load_state_dict(kept.state_dict())
    assert [name for name, _ in kept.named_children()] == [
        name for name, _ in ZFNetMini(3).named_children()
    ]
    maps, expected = kept.conv1(images), average.module.conv1.train()(images)
    size = maps.abs().max()
    assert (maps - expected).abs().max() < 1e-4 * size
    for forgotten in ("weight", "bias"):
        norm = average.module.conv1[1]
        before = getattr(norm, forgotten).clone()
        getattr(norm, forgotten).fill_(1.0 if forgotten == "weight" else 0.0)
        assert (plain(average, [(images,)]).conv1(images) - expected).abs().max() > 0.01 * size
        getattr(norm, forgotten).copy_(before)


def test_an_average_lags_behind():
    model = nn.Linear(1, 1, bias=False)
    average = averaged(model)
    average.update_parameters(model)
    start = model.weight.item()
    with torch.no_grad():
        model.weight.add_(1)
    average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(start + 0.9)
    for _ in range(20):
        average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(start + 1, abs=1e-2)


def test_renormalisation_shrinks_large_filters_and_leaves_small_ones():
    model = nn.Sequential(nn.Conv2d(3, 2, 3))
    with torch.no_grad():
        model[0].weight[0] = 0.3
        model[0].weight[1] = -0.05
    renormalise_filters(model, 0.1)
    sizes = model[0].weight.square().mean(dim=(1, 2, 3)).sqrt()
    assert torch.allclose(sizes, torch.tensor([0.1, 0.05]))
    assert torch.allclose(model[0].weight[0], torch.tensor(0.1))


def test_the_rate_warms_up_and_ends_at_nothing():
    assert factor(0) < 0.01 < 0.9 < factor(0.03)
    assert factor(0.5) == pytest.approx(0.5)
    assert factor(1) == pytest.approx(0, abs=1e-9)
