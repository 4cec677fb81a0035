"""Paths: only what passes some channels of a layer goes on, and nothing that goes round it."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

import deconvnet.projection.backward
from deconvnet import DeconvNet, Unit
from tests.support.cones import assert_same, every_unit, everything
from tests.support.networks import live_units, network, noise
from tests.support.reference import EveryRelu, projections, upto

POLICIES = ("gradient", "deconvnet", "guided")


def passing(model, images, units, policy, at, channels):
    """The signals of units of one layer at the pixels, by autograd in two steps, cut at ``at``."""
    images, cut = images.detach().clone().requires_grad_(), upto(model, units[0].layer, at)
    with nullcontext() if policy == "gradient" else EveryRelu(policy):
        maps, lower = cut(images)
    made = []
    for unit in units:
        start = torch.zeros_like(maps)
        start[(unit.image, unit.channel, *unit.position)] = 1
        (signal,) = torch.autograd.grad(maps, lower, start, retain_graph=True)
        passed = torch.zeros_like(signal)
        passed[:, list(channels)] = signal[:, list(channels)]
        (signal,) = torch.autograd.grad(lower, images, passed, retain_graph=True)
        made.append(signal[unit.image])
    return torch.stack(made)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("name", "layer", "at"), [
    ("alexnet", "features.7", "features.4"),
    ("resnet18", "layer2.0.add", "layer2.0.relu"),
    ("googlenet", "inception3b.cat", "inception3a.cat"),
])  # fmt: skip
def test_it_is_the_references_in_torchvisions_networks(name, layer, at, policy):
    model, images = network(name), noise(2, 3, 64, 64)
    net = DeconvNet(model, policy)
    units = live_units(net.record(images, layer), layer)
    channels = list(range(0, net.layers_at((3, 64, 64))[at].channels, 3))
    expected = passing(model, images, units, policy, at, channels)
    for strategy in ("cone", "shared"):
        made = net.project(
            images, units=units, through={at: channels}, seed="one", strategy=strategy
        )
        assert_same(made, expected)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("at", ["relu", "stem", "relu_1", "cat", "lrn", "narrow"])
def test_cones_and_whole_maps_and_recordings_are_equal(policy, at):
    model, images = everything(), noise(2, 3, 49, 57)
    net = DeconvNet(model, policy, normalization="exact")
    units, through = every_unit(net, images, "max_pool2d")[::5], {at: [0, 2, 5]}
    expected = passing(model, images, units, policy, at, [0, 2, 5])
    for given in (images, net.record(images, "max_pool2d")):
        for strategy in ("cone", "shared"):
            made = net.project(given, units=units, through=through, seed="one", strategy=strategy)
            assert_same(made, expected)


class Around(nn.Module):
    """Two values are summed, and both are read beside the sum too."""

    def __init__(self):
        super().__init__()
        self.one, self.two = (nn.Conv2d(3, 6, 3, padding=1) for _ in range(2))
        self.sum = nn.Identity()
        self.last = nn.ModuleList(nn.Conv2d(6, 4, 3, padding=1) for _ in range(3))

    def forward(self, x):
        x, y = torch.relu(self.one(x)), torch.relu(self.two(x))
        return self.last[0](self.sum(x + y)) + self.last[1](x) + self.last[2](y)


@pytest.mark.parametrize("strategy", ["cone", "shared"])
@pytest.mark.parametrize("policy", POLICIES)
def test_what_goes_round_is_dropped_and_what_is_shared_is_not_written_over(policy, strategy):
    model, images = everything(Around), noise(2, 3, 16, 17)
    net = DeconvNet(model, policy)
    units = [Unit("add_2", 0, 5, 6, image=0), Unit("add_2", 2, 9, 6, image=1)]
    made = net.project(
        images, units=units, through={"sum": range(6)}, seed="one", strategy=strategy
    )
    for last in model.last[1:]:
        last.weight.data.zero_()
    assert_same(made, projections(model, images, units, policy))


def parts(net, images, unit, at, channels):
    """The projection through each of some groups of channels, summed; and the whole."""
    groups = range(0, channels, 4)
    one_by_one = [
        net.project(images, units=unit, through={at: range(first, min(first + 4, channels))})
        for first in groups
    ]
    return sum(one_by_one), net.project(images, units=unit)


@pytest.mark.parametrize(("name", "layer", "at"), [
    ("alexnet", "features.7", "features.4"),
    ("vgg11_bn", "features.10", "features.6"),
    ("resnet18", "layer2.0.add", "layer1.1.relu_1"),  # every path crosses the end of a block
])  # fmt: skip
def test_under_gradient_the_parts_sum_to_the_whole(name, layer, at):
    net, images = DeconvNet(network(name), "gradient"), noise(1, 3, 64, 64)
    (unit, *_) = live_units(net.record(images, layer), layer)
    made, whole = parts(net, images, unit, at, net.layers_at((3, 64, 64))[at].channels)
    assert_same(made, whole)


def test_what_goes_round_the_layer_is_in_no_part():
    """In a residual block, where the sum of the parts lacks what the skip connection carries."""
    model, images = network("resnet18"), noise(1, 3, 64, 64)
    net, layer, at = DeconvNet(model, "gradient"), "layer1.0.add", "layer1.0.relu"
    (unit, *_) = live_units(net.record(images, layer), layer)
    made, whole = parts(net, images, unit, at, 64)
    pixels = images.clone().requires_grad_()
    maps, lower = upto(model, layer, at)(pixels)
    value = maps[(0, unit.channel, *unit.position)]
    (down,) = torch.autograd.grad(value, lower, retain_graph=True)
    (crossing,) = torch.autograd.grad(lower, pixels, down, retain_graph=True)
    (everywhere,) = torch.autograd.grad(value, pixels)
    assert_same(made, crossing * value.detach())
    assert_same(whole - made, (everywhere - crossing) * value.detach())
    assert (whole - made).abs().max() > 0.1 * whole.abs().max()


def test_layers_are_crossed_in_turn():
    model, images = network("alexnet"), noise(1, 3, 64, 64)
    net = DeconvNet(model, "gradient")
    (unit, *_) = live_units(net.record(images, "features.9"), "features.9")
    crossed = {"features.4": [1, 2, 3, 50], "features.7": list(range(100))}
    pixels = images.clone().requires_grad_()
    low = model.features[:5](pixels)
    middle = model.features[5:8](low)
    value = model.features[8:10](middle)[(0, unit.channel, *unit.position)]
    signal = value.detach()
    for upper, lower, at in ((value, middle, "features.7"), (middle, low, "features.4")):
        (down,) = torch.autograd.grad(upper, lower, signal, retain_graph=True)
        signal = torch.zeros_like(down)
        signal[:, crossed[at]] = down[:, crossed[at]]
    (expected,) = torch.autograd.grad(low, pixels, signal)
    assert_same(net.project(images, units=unit, through=crossed), expected)
    turned = dict(reversed(crossed.items()))
    assert_same(net.project(images, units=unit, through=turned), expected)


def test_the_law_catches_what_goes_round(monkeypatch):
    """Planted: the other channels are shut, and the skip connection stays open."""
    model, images = network("resnet18"), noise(2, 3, 64, 64)
    net = DeconvNet(model, "guided")
    units = live_units(net.record(images, "layer1.0.add"), "layer1.0.add")
    through = {"layer1.0.relu": range(32)}
    expected = passing(model, images, units, "guided", "layer1.0.relu", range(32))
    assert_same(net.project(images, units=units, through=through, seed="one"), expected)

    class Open(dict):
        def clear(self):
            pass

    monkeypatch.setattr(deconvnet.projection.backward, "dict", Open, raising=False)
    made = net.project(images, units=units, through=through, seed="one")
    with pytest.raises(AssertionError, match="is off by"):
        assert_same(made, expected)


def test_bad_input():
    net, images = DeconvNet(network("resnet18")), noise(1, 3, 64, 64)

    def ask(through, layer="layer2.0.add"):
        net.project(images, layer=layer, channel=0, through=through)

    with pytest.raises(
        IndexError, match=r"pass the channels \[64\] of layer1.0.conv1; give some of 0 to 63"
    ):
        ask({"layer1.0.conv1": [64]})
    with pytest.raises(IndexError, match=r"the channels \[\] of maxpool; give some of 0 to 63"):
        ask({"maxpool": []})
    with pytest.raises(ValueError, match="layer2.1.conv1 is not below layer2.0.add"):
        ask({"layer2.1.conv1": [3]})
    with pytest.raises(ValueError, match="pass channels of layer2.0.add; choose a layer between"):
        ask({"layer2.0.add": [3]})
    with pytest.raises(ValueError, match="pass channels of x; choose a layer between"):
        ask({"x": [0]})
    with pytest.raises(ValueError, match="layer2.0.conv1 is not below layer2.0.downsample.0"):
        ask({"layer2.0.conv1": [0], "layer2.0.downsample.0": [0]})
    with pytest.raises(KeyError, match="no layer is called 'relu9'"):
        ask({"relu9": [3]})
    with pytest.raises(TypeError, match=r"through was \['maxpool'\]; give \{layer: channels\}"):
        ask(["maxpool"])
    units = [Unit("layer2.0.add", 0, 1, 1), Unit("maxpool", 0, 1, 1)]
    with pytest.raises(ValueError, match="layer1.0.add is not below maxpool"):
        net.project(images, units=units, through={"layer1.0.add": 3})
