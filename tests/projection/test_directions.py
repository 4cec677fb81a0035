"""A direction in the channels of a layer is one more 1x1 filter behind it."""

import numpy as np
import pytest
import torch
from torch import nn

import deconvnet.projection.project
from deconvnet import DeconvNet, Unit
from deconvnet.projection.seeds import responses, spread
from tests.support.cones import assert_same, everything
from tests.support.networks import network, noise
from tests.support.reference import error

POLICIES = ("gradient", "deconvnet", "guided")
V = noise(3, 8, seed=3)
PLACES = [(0, 0), (5, 3), (2, 6)]


class Filtered(nn.Module):
    """A network with 1x1 filters behind it, which are directions in the channels of its layer."""

    def __init__(self, below):
        super().__init__()
        self.below, self.directions = below, nn.Conv2d(8, len(V), 1, bias=False).double()
        self.directions.weight.data = V[:, :, None, None].clone()

    def forward(self, x):
        return self.directions(self.below(x))


@pytest.fixture(scope="module", params=POLICIES)
def nets(request):
    """The network, and the same with filters behind it."""
    return tuple(DeconvNet(m.eval(), request.param) for m in (everything(), Filtered(everything())))


IMAGES = noise(2, 3, 49, 57)


@pytest.mark.parametrize("seed", ["activation", "one", "map"])
@pytest.mark.parametrize("position", [None, (5, 3)])
def test_it_is_a_filter_behind_the_layer(nets, seed, position):
    net, filtered = nets
    for number, direction in enumerate(V):
        made = net.project(
            IMAGES, layer="max_pool2d", direction=direction, position=position, seed=seed
        )
        expected = filtered.project(
            IMAGES, layer="directions", channel=number, position=position, seed=seed
        )
        assert_same(made, expected)


@pytest.mark.parametrize("strategy", ["cone", "shared"])
def test_many_units_of_many_directions(nets, strategy):
    net, filtered = nets
    units = [
        Unit.at("max_pool2d", number, position=place, image=place[0] % 2)
        for number in range(len(V))
        for place in PLACES
    ]
    expected = filtered.project(IMAGES, units=[u.moved(u.position, "directions") for u in units])
    assert_same(net.project(IMAGES, units=units, direction=V, strategy=strategy), expected)
    recording = net.record(IMAGES, "max_pool2d")
    assert_same(net.project(recording, units=units, direction=V), expected)
    signal = net.signals(IMAGES, units, "add", direction=V, strategy=strategy)
    above = [unit.moved(unit.position, "directions") for unit in units]
    assert_same(signal, filtered.signals(IMAGES, above, "below.add"))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("name", "layer"), [
    ("alexnet", "features.4"), ("resnet18", "layer2.0.add"), ("googlenet", "inception3a.cat"),
    ("alexnet", "classifier.6"),
])  # fmt: skip
def test_one_hot_is_the_channel(name, layer, policy):
    net, images = DeconvNet(network(name), policy), noise(2, 3, 64, 64)
    channels = net.record(images, layer)[layer].shape[1]
    for channel in (0, channels // 2, channels - 1):
        one_hot = torch.eye(channels)[channel]
        made = net.project(images, layer=layer, direction=one_hot)
        expected = net.project(images, layer=layer, channel=channel)
        assert error(made, expected) < 1e-12
        cut = net.project(images, layer=layer, direction=one_hot, crop=True)[0]
        known = net.project(images, layer=layer, channel=channel, crop=True)[0]
        assert cut.activation == known.activation
        assert cut.unit.position == known.unit.position


def test_under_gradient_it_is_linear():
    net = DeconvNet(everything(), "gradient")

    def made(direction):
        return net.project(
            IMAGES, layer="max_pool2d", direction=direction, position=(5, 3), seed="one"
        )

    one, other, both = made(V[0]), made(V[1]), made(2 * V[0] - 3 * V[1])
    assert one.any()
    torch.testing.assert_close(both, 2 * one - 3 * other, rtol=1e-10, atol=1e-12)


def test_a_position_that_is_left_open_is_the_strongest_of_the_response():
    net = DeconvNet(everything(), "guided")
    maps = net.record(IMAGES, "max_pool2d")["max_pool2d"]
    for cut, values in zip(
        net.project(IMAGES, layer="max_pool2d", direction=V[0].numpy(), crop=True),
        maps,
        strict=True,
    ):
        response = sum(float(v) * m for v, m in zip(V[0], values, strict=True))
        assert cut.unit.position == np.unravel_index(int(response.argmax()), response.shape)
        assert cut.activation == pytest.approx(float(response.max()), rel=1e-12)


def test_nothing_is_outside_of_the_crop():
    net = DeconvNet(everything(), "guided")
    for layer, count in (("max_pool2d", 8), ("cat", 12)):
        direction = noise(count, seed=3)
        whole = net.project(IMAGES, layer=layer, direction=direction)
        for cut, pixels in zip(
            net.project(IMAGES, layer=layer, direction=direction, crop=True), whole, strict=True
        ):
            inside = (slice(None), *cut.box.slices)
            torch.testing.assert_close(cut.pixels, pixels[inside])
            pixels[inside] = 0
            assert not pixels.any()


def test_spread_is_the_adjoint_of_responses():
    maps, signal = noise(2, 8, 5, 6), noise(2, 3, 5, 6, seed=2)
    torch.testing.assert_close(
        (responses(maps, V) * signal).sum(), (maps * spread(signal, V)).sum(), rtol=1e-12, atol=0
    )
    flat = responses(maps[:, :, 0, 0], V)
    torch.testing.assert_close(flat, responses(maps, V)[:, :, 0, 0])


@pytest.mark.parametrize("wrong", [
    lambda signal, V: spread(signal, V.abs()),
    lambda signal, V: spread(signal, V / V.norm(dim=1, keepdim=True)),
])  # fmt: skip
def test_the_law_catches_another_direction(wrong, monkeypatch):
    monkeypatch.setattr(deconvnet.projection.project, "spread", wrong)
    net, filtered = (DeconvNet(m, "guided") for m in (everything(), Filtered(everything())))
    made = net.project(IMAGES, layer="max_pool2d", direction=V[0])
    with pytest.raises(AssertionError, match="is off by"):
        assert_same(made, filtered.project(IMAGES, layer="directions", channel=0))


def test_bad_input():
    net = DeconvNet(everything())
    with pytest.raises(ValueError, match=r"shape \(5,\) was given; max_pool2d has 8 channels"):
        net.project(IMAGES, layer="max_pool2d", direction=torch.ones(5))
    with pytest.raises(ValueError, match="not finite"):
        net.project(IMAGES, layer="max_pool2d", direction=V[0] / 0)
    with pytest.raises(ValueError, match="layer= and channel=, or layer= and direction="):
        net.project(IMAGES, layer="max_pool2d", channel=0, direction=V[0])
    with pytest.raises(ValueError, match="layer= and channel=, or layer= and direction="):
        net.project(IMAGES, direction=V[0])
    with pytest.raises(IndexError, match="max_pool2d has no channel 3; its channels are 0 to 2"):
        net.project(IMAGES, units=[Unit("max_pool2d", 3, 1, 1)], direction=V)
    units = [Unit("max_pool2d", 0, 1, 1), Unit("add", 0, 1, 1)]
    with pytest.raises(ValueError, match="one of one layer; units of max_pool2d, add were given"):
        net.project(IMAGES, units=units, direction=V)
