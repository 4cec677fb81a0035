"""Every way of writing a rectifier or a sum, in place or not, becomes the same graph."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet
from tests.support.networks import live_units, noise
from tests.support.reference import assert_same, projections

IMAGES = noise(2, 3, 12, 12)


class Model(nn.Module):
    """Two convolutions and a linear layer; a subclass says what happens between them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.bn, self.top = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)
        self.relu, self.in_place = nn.ReLU(), nn.ReLU(inplace=True)
        for norm in (self.bn.running_mean, self.bn.running_var):
            norm.uniform_(0.5, 1)

    def forward(self, x):
        return self.top(self.between(self.one(x)))


class Modules(Model):
    def between(self, x):
        return self.relu(self.two(self.relu(x)))


class InPlaceModules(Model):
    def between(self, x):
        return self.in_place(self.two(self.in_place(x)))


class Functions(Model):
    def between(self, x):
        return torch.relu(self.two(F.relu(x)))


class Methods(Model):
    def between(self, x):
        return self.two(x.relu()).clamp(min=0)


class InPlaceFunctions(Model):
    def between(self, x):
        x = F.relu(x, inplace=True)
        return F.relu_(self.two(x))


class ForgottenResults(Model):
    """What an in-place call returns is not used: the tensor itself has changed."""

    def between(self, x):
        x.relu_()
        x = self.two(x)
        torch.relu_(x)
        return x


class Thresholds(Model):
    def between(self, x):
        return F.threshold(self.two(x.clamp_(min=0)), 0.0, 0.0)


SPELLINGS = [
    Modules, InPlaceModules, Functions, Methods, InPlaceFunctions, ForgottenResults, Thresholds,
]  # fmt: skip


@pytest.mark.parametrize("policy", ["gradient", "deconvnet", "guided"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_rectifier(spelling, policy):
    same, model = Modules().double(), spelling().double()
    units = live_units(DeconvNet(same).record(IMAGES, "top"), "top", 3)
    expected = projections(same, IMAGES, units, policy)
    assert_same(DeconvNet(model, policy).project(IMAGES, units=units, seed="one"), expected)
    with pytest.raises(AssertionError, match="is off by"):
        assert_same(DeconvNet(model, "identity").project(IMAGES, units=units, seed="one"), expected)


class PreActivation(Model):
    """The input of a rectifier also goes around it (He 2016)."""

    def between(self, x):
        return x + self.two(self.relu(self.bn(x))) + self.relu(x)


class InPlaceSkip(Model):
    """The rectifier writes into what goes around it: the skip carries the rectified values."""

    def between(self, x):
        skip = x
        y = self.two(self.in_place(x))
        y += skip
        return self.in_place(y)


class InPlaceSkipWritten(Model):
    """The same without in-place calls."""

    def between(self, x):
        x = self.relu(x)
        return self.relu(self.two(x) + x)


class Arithmetic(Model):
    def between(self, x):
        y = self.two(x)
        y *= 2
        y -= x / 4
        y.add_(x, alpha=0.5).mul_(torch.sigmoid(x))
        return F.relu(y)


@pytest.mark.parametrize("policy", ["gradient", "deconvnet", "guided"])
@pytest.mark.parametrize("block", [PreActivation, InPlaceSkip, InPlaceSkipWritten, Arithmetic])
def test_blocks_with_skips(block, policy):
    model = block().double()
    elsewhere = "derivative" if block is Arithmetic else None
    net = DeconvNet(model, policy, elsewhere=elsewhere)
    units = live_units(net.record(IMAGES, "top"), "top", 3)
    expected = projections(model, IMAGES, units, policy)
    assert_same(net.project(IMAGES, units=units, seed="one"), expected)


def test_in_place_is_the_same_as_written_out():
    units = live_units(DeconvNet(InPlaceSkip().double()).record(IMAGES, "top"), "top", 3)
    one, other = (
        DeconvNet(block().double()).project(IMAGES, units=units, seed="one")
        for block in (InPlaceSkip, InPlaceSkipWritten)
    )
    assert_same(one, other)


def test_the_value_before_an_in_place_call_is_still_that_layers():
    model = InPlaceModules().double()
    recording = DeconvNet(model, "gradient").record(IMAGES, ["one", "in_place"])
    torch.testing.assert_close(recording["one"], model.one(IMAGES).detach(), rtol=0, atol=1e-13)
    assert (recording["one"] < 0).any()
    assert torch.equal(recording["in_place"], recording["one"].clamp(min=0))
    assert torch.equal(IMAGES, noise(2, 3, 12, 12)), "the images were written into"


def test_an_in_place_call_on_the_images_leaves_them_alone():
    images = IMAGES.clone()
    net = DeconvNet(nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 2, 3)).double(), "guided")
    assert net.project(images, layer="1", channel=0).any()
    assert torch.equal(images, IMAGES)


class OtherName(Model):
    """Who holds a tensor under another name sees what is written into it."""

    def between(self, x):
        y = self.two(x)
        z = y
        y += x
        w = y
        w *= torch.sigmoid(x)
        return z + y + 2 * w


def test_a_tensor_under_another_name():
    model = OtherName().double()
    net = DeconvNet(model, "gradient")
    recording = net.record(IMAGES)
    units = live_units(recording, "top", 3)
    images = IMAGES.clone().requires_grad_()
    maps = model(images)
    torch.testing.assert_close(recording["top"], maps.detach())
    for unit, found in zip(units, net.project(recording, units=units, seed="one"), strict=True):
        value = maps[(unit.image, unit.channel, *unit.position)]
        (expected,) = torch.autograd.grad(value, images, retain_graph=True)
        assert_same(found[None], expected[unit.image][None])


class Numbers(Model):
    """Sizes are changed in place too; they are numbers, which nobody else holds."""

    def between(self, x):
        rows = x.shape[2]
        half = rows
        half //= 2
        rows *= x.size(3)
        rows -= half
        rows += half
        return self.two(x.reshape(-1, 4, rows // 12, half * 2))


def test_numbers_that_are_changed_in_place():
    model = Numbers().double()
    recording = DeconvNet(model, "gradient").record(IMAGES)
    torch.testing.assert_close(recording["top"], model(IMAGES).detach())


class Aliased(Model):
    def between(self, x):
        half = x[:, :2]
        x.relu_()
        return torch.cat([half, x[:, 2:]], 1)


def test_an_in_place_call_under_a_view_is_refused():
    with pytest.raises(ValueError, match=r"relu_ writes in place into .* getitem is a view"):
        DeconvNet(Aliased().double()).record(IMAGES)
