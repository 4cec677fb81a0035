"""Batch normalisation goes with the convolution before it."""

import pytest
import torch
from torch import nn
from torchvision import transforms

from deconvnet import DeconvNet, Rectifier, Unit
from deconvnet.layers.convolution import Convolution
from deconvnet.layers.normalization import BatchNormalization
from deconvnet.projection import folding
from tests.support.blocks import IMAGES, Blocks, compared
from tests.support.cones import assert_same, borders, everything, in_cones
from tests.support.reference import projections

POLICIES = ("gradient", "deconvnet", "guided")
LAYERS = ("bn", "grouped", "bare", "relu_1", "add", "relu_2", "read_twice")
LAYERS += ("after", "add_1", "relu_4", "first", "down", "short", "mul", "relu_5", "add_2", "add_3")


@pytest.fixture
def calls(monkeypatch):
    """How often a normalisation has run on its own."""
    seen = []

    def record(self, input, real=BatchNormalization.record):
        seen.append(len(self.mean))
        return real(self, input)

    monkeypatch.setattr(BatchNormalization, "record", record)
    return seen


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("layer", LAYERS)
def test_units_of_every_layer(layer, policy):
    model = everything(Blocks)
    net = DeconvNet(model, policy)
    units, found = compared(net, layer)
    again = in_cones(net, IMAGES, units, seed="one")
    assert torch.equal(again, found), "the second call gives other bits than the first"
    values = [one.activation for one in net.project(IMAGES, units=units, crop=True)]
    maps = net.record(IMAGES, layer)[layer]
    whole = [float(maps[u.image, u.channel, u.row, u.col]) for u in units]
    assert values == pytest.approx(whole, rel=1e-10, abs=1e-12)
    signals = net.project(net.record(IMAGES, layer), units=units, seed="one")
    assert_same(signals, projections(model, IMAGES, units, policy))


def test_normalisations_run_with_their_convolutions(calls):
    net = DeconvNet(everything(Blocks), "guided")
    units = [Unit("add_2", 3, 4, 5)]
    net.plan(IMAGES, units)
    net.project(IMAGES, units=units)
    calls.clear()
    net.project(IMAGES, units=units)
    assert len(calls) == 2, "those behind a value that is read twice, and behind no convolution"
    calls.clear()
    net.signals(IMAGES, units=units, at="grouped")
    assert len(calls) >= 7, "values between the two are asked for"


def test_the_layer_of_the_units_keeps_its_own_value(calls):
    net = DeconvNet(everything(Blocks), "guided")
    (one,) = net.project(IMAGES[:1], units=[Unit("strided", 2, 1, 2)], crop=True)
    value = net.record(IMAGES[:1], "strided")["strided"][0, 2, 1, 2]
    assert one.activation == pytest.approx(float(value), rel=1e-12)


WRITTEN = {
    "filters": lambda model: model.strided.weight.data.mul_(-1),
    "running variance": lambda model: model.last.running_var.data.mul_(9),
    "running mean": lambda model: model.last.running_mean.data.add_(1),
    "one filter": lambda model: model.stem.weight.data[2].zero_(),
}


def change_between_two_calls(change):
    net = DeconvNet(everything(Blocks), "guided")
    compared(net, "add_2")
    with torch.no_grad():
        change(net.model)
    compared(net, "add_2")


@pytest.mark.parametrize("change", WRITTEN.values(), ids=list(WRITTEN))
def test_what_is_written_behind_autograds_back_counts(change):
    change_between_two_calls(change)


def test_filters_that_outlive_a_call_are_caught(monkeypatch):
    """The planted wrong case: what was folded once is folded for ever."""
    kept = {}

    def of(self, name, layer, real=folding.Folding.of):
        return kept.setdefault(
            (name, type(layer), getattr(layer, "sides", 0)), real(self, name, layer)
        )

    monkeypatch.setattr(folding.Folding, "of", of)
    with pytest.raises(AssertionError, match="is off by"):
        change_between_two_calls(WRITTEN["filters"])


def test_a_forgotten_scale_is_caught(monkeypatch):
    """The planted wrong case: the shift alone."""

    def affine(self, scale, shift, real=Convolution.affine):
        return real(self, torch.ones_like(scale), shift)

    monkeypatch.setattr(Convolution, "affine", affine)
    with pytest.raises(AssertionError, match="is off by"):
        compared(DeconvNet(everything(Blocks), "gradient"), "relu_5")


def test_hooks_and_mirrors_of_the_users_own_stay_between():
    class Louder(BatchNormalization):
        def mirror(self, signal, record):
            return (7 * signal,)

    def mirror(module, x):
        norm = (module.running_mean, module.running_var, module.weight, module.bias, module.eps)
        return Louder(*norm), (x,)

    unit = [Unit("relu_1", 3, 4, 5)]
    own = DeconvNet(everything(Blocks), "identity", mirrors={nn.BatchNorm2d: mirror})
    whole = own.project(IMAGES, units=unit, seed="one", strategy="shared")
    assert_same(in_cones(own, IMAGES, unit, seed="one"), whole)
    hooked = DeconvNet(everything(Blocks), "gradient")
    handle = hooked.model.stem.register_forward_pre_hook(
        lambda module, _: setattr(module, "weight", module.weight)
    )
    try:
        compared_with_autograd(hooked, unit[0])
    finally:
        handle.remove()


def compared_with_autograd(net, unit):
    leaf = IMAGES.clone().requires_grad_()
    maps = nn.Sequential(net.model.stem, net.model.bn, net.model.relu)(leaf)
    value = net.model.bare(net.model.grouped(maps))[0, unit.channel, unit.row, unit.col]
    (gradient,) = torch.autograd.grad(value, leaf)
    found = net.project(IMAGES, units=[Unit("bare", unit.channel, unit.row, unit.col)], seed="one")
    assert_same(found, gradient[:1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_numbers_are_not_folded(dtype, calls):
    net = DeconvNet(everything(Blocks).to(dtype), "guided")
    net.project(IMAGES.to(dtype), units=[Unit("relu_1", 3, 4, 5)], strategy="cone")
    assert len(calls) >= 2


def test_a_rule_of_the_users_own_sees_what_was_before_the_rectifier():
    class Before(Rectifier):
        name = "before"
        pointwise = True

        def remember(self, z, a, activation):
            return z

        def signal(self, R, kept):
            return R * kept

    model = everything(Blocks)
    units = borders(DeconvNet(model, "gradient"), IMAGES, "relu_5")
    net = DeconvNet(model, Before())
    found = in_cones(net, IMAGES, units, seed="one")
    assert_same(found, net.project(IMAGES, units=units, seed="one", strategy="shared"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_preprocessing_behind_a_convolution(dtype):
    torch.manual_seed(0)
    normal = transforms.Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.4])
    model = nn.Sequential(nn.Conv2d(3, 3, 1), normal, nn.Conv2d(3, 6, 3, padding=1)).to(dtype)
    net, images = DeconvNet(model, "gradient"), IMAGES.to(dtype)
    units = borders(net, images, "2")
    for _ in range(2):
        found = in_cones(net, images, units, seed="one")
        expected = net.project(images, units=units, seed="one", strategy="shared")
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
