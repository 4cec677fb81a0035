"""What the papers prove or measured of the three methods, on networks small enough to see it."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet, Unit
from tests.support.networks import live_units, network, noise, pictures
from tests.support.reference import assert_same, error

POLICIES = ("gradient", "deconvnet", "guided", "identity", "rectgrad(80)")


def small(*, pool, seed=0):
    """Three convolutions; between them max pooling with overlap, or strides."""
    torch.manual_seed(seed)
    stride = 1 if pool else 2
    parts = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()]
    parts += [nn.MaxPool2d(3, 2)] if pool else [nn.Identity()]
    parts += [nn.Conv2d(8, 8, 3, stride, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.ReLU()]
    return nn.Sequential(*parts).double()


def test_without_pooling_a_deconvnet_projection_does_not_depend_on_the_image():
    """Springenberg 2014: with pooling it is "conditioned on an image"."""
    images = noise(2, 3, 21, 21)
    unit = {"layer": "5", "channel": 2, "position": (3, 4), "seed": "one"}
    for policy, pool, same in (
        ("deconvnet", False, True),
        ("deconvnet", True, False),
        ("guided", False, False),
        ("gradient", False, False),
        ("identity", False, True),
        ("identity", True, False),
    ):
        one, other = DeconvNet(small(pool=pool), policy).project(images, **unit)
        assert one.any(), policy
        assert torch.equal(one, other) == same, (policy, pool)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_seed_is_a_factor(policy):
    """The seeds differ by the value at the unit, for every policy (homogeneity)."""
    net = DeconvNet(small(pool=True), policy)
    recording = net.record(noise(2, 3, 21, 21), "6")
    units = live_units(recording, "6", 3)
    values = [recording["6"][(unit.image, unit.channel, *unit.position)] for unit in units]
    one = net.project(recording, units=units, seed="one")
    scaled = torch.stack([value * signal for value, signal in zip(values, one, strict=True)])
    assert_same(net.project(recording, units=units), scaled)
    with pytest.raises(AssertionError, match="is off by"):
        assert_same(one, scaled)


def test_a_negative_value_is_a_factor_only_where_nothing_rectifies_the_signal():
    """It seeds with another sign, and the positive part of that is another signal."""
    images, layer = noise(1, 3, 21, 21), "5"  # before its rectifier
    maps = DeconvNet(small(pool=True)).record(images, layer)[layer]
    channel, row, col = torch.nonzero(maps[0] < -0.05)[0].tolist()
    units = [Unit(layer, channel, row, col)]
    for policy, factor in (("gradient", True), ("identity", True), ("deconvnet", False)):
        net = DeconvNet(small(pool=True), policy)
        one = net.project(images, units=units, seed="one")
        own = net.project(images, units=units)
        assert (error(own, maps[0, channel, row, col] * one) < 1e-10) == factor, policy


def test_guided_is_deconvnet_under_the_mask_and_gradient_of_the_positive_part():
    """One rectifier deep the three rules are each other's parts."""
    model = nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3)).double()
    image = noise(1, 3, 9, 9)
    unit = {"layer": "1", "channel": 2, "position": (3, 3), "seed": "one"}
    signal = {
        policy: DeconvNet(model, policy).project(image, **unit)
        for policy in ("gradient", "deconvnet", "guided", "identity")
    }
    mask = image > 0
    assert signal["identity"].any()
    assert torch.equal(signal["gradient"], signal["identity"] * mask)
    assert torch.equal(signal["deconvnet"], signal["identity"].clamp(min=0))
    assert torch.equal(signal["guided"], signal["deconvnet"] * mask)
    assert torch.equal(signal["guided"], signal["gradient"].clamp(min=0))
    assert not torch.equal(signal["guided"], signal["deconvnet"])


def test_with_positive_weights_nothing_is_rectified():
    """Then deconvnet is the identity policy, and guided the gradient."""
    model, images = network("resnet18"), pictures("resnet18", 1)
    units = [Unit("layer2.1.add", 3, 2, 2)]

    def found(policy):
        return DeconvNet(model, policy).project(images, units=units, seed="one")

    assert error(found("deconvnet"), found("identity")) > 0.1
    assert error(found("guided"), found("gradient")) > 0.1
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.abs_()
    assert_same(found("deconvnet"), found("identity"))
    assert_same(found("guided"), found("gradient"))
    assert error(found("guided"), found("deconvnet")) > 0.1


def correlation(one, other):
    stacked = torch.stack([one.flatten(), other.flatten()])
    return float(torch.corrcoef(stacked)[0, 1])


NIE = {  # Nie, Zhang, Patel 2018: which methods copy the image under random weights
    (False, "gradient"): False,
    (False, "deconvnet"): False,
    (False, "guided"): True,
    (True, "gradient"): False,
    (True, "deconvnet"): True,
    (True, "guided"): True,
}


@pytest.mark.parametrize(("pool", "policy"), NIE)
def test_random_networks_copy_the_image(pool, policy):
    torch.manual_seed(0)
    channels, side = 64, 22 if pool else 30
    model = nn.Sequential(
        nn.Conv2d(3, channels, 3, bias=False),
        nn.ReLU(),
        nn.MaxPool2d(9, 1) if pool else nn.Identity(),
        nn.Flatten(),
        nn.Linear(channels * side**2, 3),
    )
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    image = F.interpolate(torch.randn(1, 3, 6, 6), size=(32, 32), mode="bicubic")
    image = image - image.mean((2, 3), keepdim=True)
    units = [Unit("4", draw) for draw in range(3)]
    mean = DeconvNet(model, policy).project(image, units=units, seed="one").mean(0)
    r = correlation(mean, image)
    assert (r > 0.4) if NIE[pool, policy] else (abs(r) < 0.15), r
