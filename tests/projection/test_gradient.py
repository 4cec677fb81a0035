"""The law of the whole network: under the policy `gradient` a projection is the gradient."""

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Unit
from tests.support.networks import GIANTS, NETWORKS, live_units, network, noise, pictures, probes
from tests.support.reference import assert_same, laid_out, projections


def check(name):
    model, images = network(name), pictures(name)
    net = DeconvNet(model, "gradient")
    layers = probes(net, images)
    recording = net.record(images, layers)
    units = [unit for layer in layers for unit in live_units(recording, layer)]
    assert {unit.layer for unit in units} == set(layers), "a layer without a live unit"
    found = net.project(recording, units=units, seed="one")
    assert_same(found, projections(model, laid_out(images), units, "autograd"))
    with torch.no_grad():
        torch.testing.assert_close(
            recording[layers[-1]], model(laid_out(images)), rtol=1e-10, atol=0
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_autograds(name):
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", GIANTS)
def test_it_is_autograds_for_giants(name):
    check(name)


def test_the_law_catches_other_policies_and_dead_units():
    model, images = network("resnet18"), pictures("resnet18")
    net = DeconvNet(model, "gradient")
    recording = net.record(images, "layer2.1.relu_1")
    units = live_units(recording, "layer2.1.relu_1")
    expected = projections(model, images, units, "autograd")
    for policy in ("deconvnet", "guided", "identity"):
        wrong = DeconvNet(model, policy).project(images, units=units, seed="one")
        with pytest.raises(AssertionError, match="is off by"):
            assert_same(wrong, expected, tolerance=1e-2)
    with pytest.raises(AssertionError, match="unit 0 is dead"):
        assert_same(torch.zeros_like(expected), torch.zeros_like(expected))


def test_the_law_catches_one_batch_normalisation_left_out():
    model, images = network("resnet18"), pictures("resnet18")
    units = live_units(DeconvNet(model, "gradient").record(images, "layer2.1.add"), "layer2.1.add")
    expected = projections(model, images, units, "autograd")
    model.layer1[0].bn2 = nn.Identity()
    wrong = DeconvNet(model, "gradient").project(images, units=units, seed="one")
    with pytest.raises(AssertionError, match="is off by"):
        assert_same(wrong, expected)


class Attending(nn.Module):
    """Squeeze and excitation, softmax attention, a product, a quotient, a power, a buffer."""

    def __init__(self):
        super().__init__()
        self.filters = nn.Conv2d(3, 6, 3, padding=1)
        self.squeeze = nn.Linear(6, 6)
        self.norm = nn.GroupNorm(2, 6)
        self.register_buffer("shift", noise(6, 1, 1, seed=5))

    def forward(self, x):
        maps = self.norm(self.filters(x)) + self.shift
        gate = torch.sigmoid(self.squeeze(maps.mean((2, 3))))[:, :, None, None]
        queries = maps.flatten(2)
        attention = torch.softmax(queries.transpose(1, 2) @ queries / 6**0.5, -1)
        mixed = (queries @ attention).view_as(maps)
        return torch.relu(maps * gate + mixed) / (1 + maps.abs()) - maps**2


def test_it_is_autograds_for_products_and_attention():
    torch.manual_seed(0)
    model, images = Attending().double(), noise(2, 3, 7, 9)
    net = DeconvNet(model, "gradient")
    recording = net.record(images)
    units = live_units(recording, net.graph.returned[0], 3)
    found = net.project(recording, units=units, seed="one")
    assert_same(found, projections(model, images, units, "autograd"))


def test_in_single_precision_it_is_as_good_as_autograd():
    model, images = network("resnet18"), pictures("resnet18")
    units = live_units(DeconvNet(model, "gradient").record(images, "layer3.0.add"), "layer3.0.add")
    expected = projections(model, images, units, "autograd")
    net = DeconvNet(model.float(), "gradient")
    found = net.project(images, units=units, seed="one")
    assert found.dtype == torch.float32
    assert_same(found.double(), expected, tolerance=1e-4)


@pytest.mark.parametrize("last", [nn.ReLU(), nn.ReLU6()], ids=str)
def test_the_gradient_passes_where_an_image_is_nan(last):
    """As PyTorch's own does, on windows and on whole maps."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), last, nn.Conv2d(6, 4, 3)).double()
    image = noise(1, 3, 30, 33).requires_grad_()
    image.data[0, 0, 5, 6] = torch.nan
    (expected,) = torch.autograd.grad(model(image)[0, 1, 5, 6], image)
    net, units = DeconvNet(model, "gradient"), [Unit("2", 1, 5, 6)]
    for strategy in ("cone", "shared"):
        found = net.project(image.detach(), units=units, seed="one", strategy=strategy)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
