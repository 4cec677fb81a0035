"""Values and signals that nothing reads again are written over, and no others."""

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Unit
from deconvnet.layers import Activation, Rectification, in_place
from deconvnet.projection import folding, forward
from tests.support.blocks import IMAGES, Blocks, compared
from tests.support.cones import assert_same, borders, everything, in_cones


class All(set):
    def __contains__(self, name):
        return True


def read_once(monkeypatch, names):
    """Plant a wrong set of the values that are read once, made of the right one."""

    def init(self, *args, real=folding.Folding.__init__, **kwargs):
        real(self, *args, **kwargs)
        self.once = names(self.once)

    monkeypatch.setattr(folding.Folding, "__init__", init)


def test_a_value_that_is_still_read_is_not_written_over(monkeypatch):
    """The planted wrong case: every value is taken for one that is read once."""
    read_once(monkeypatch, All)
    with pytest.raises((AssertionError, ValueError)):  # another value, or what shares memory
        compared(DeconvNet(everything(Blocks), "guided"), "add_3")
    with pytest.raises(AssertionError, match="is off by"):
        compared(DeconvNet(everything(Gated), "guided", check=False), "last")


def test_a_signal_that_is_still_read_is_not_written_over(monkeypatch):
    """The planted wrong case: the signal of a sum, which goes two ways, is taken for a new one."""
    monkeypatch.setattr(in_place, "sends_new", lambda layer, own: True)
    with pytest.raises(AssertionError, match="is off by"):
        compared(DeconvNet(everything(Blocks), "gradient", check=False), "add_2")


class Normalised(nn.Module):
    """Maps are normalised, and read once more after that."""

    def __init__(self):
        super().__init__()
        self.first, self.pool = nn.Conv2d(3, 6, 3, padding=1), nn.MaxPool2d(2)
        self.norm, self.last = nn.BatchNorm2d(6), nn.Conv2d(6, 4, 3, padding=1)

    def forward(self, x):
        x = self.pool(self.first(x))
        return self.last(torch.relu(self.norm(x) * 2 + x))


def test_maps_that_are_normalised_and_read_again():
    compared(DeconvNet(everything(Normalised), "guided"), "last")


def test_a_normalisation_over_what_is_still_read_is_caught(monkeypatch):
    """The planted wrong case: the maps are taken for a value that is read once."""
    read_once(monkeypatch, lambda names: names | {"pool"})
    with pytest.raises(AssertionError, match="is off by"):
        test_maps_that_are_normalised_and_read_again()


class Added(nn.Module):
    """A rectifier's output is read once, by a sum that could be written over it."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.Conv2d(3, 6, 3, padding=1) for _ in range(2))
        self.last = nn.Conv2d(6, 4, 3, padding=1)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)) + self.second(x))


@pytest.mark.parametrize("rule", ["gradient", "guided"])
def test_what_a_rectifier_remembers_is_not_written_over(rule):
    compared(DeconvNet(everything(Added), rule), "last")


def test_a_sum_over_what_a_rectifier_remembers_is_caught(monkeypatch):
    """The planted wrong case: its output is taken for one that no record holds."""
    monkeypatch.setattr(forward, "Active", type("Nobody", (), {}))
    with pytest.raises(AssertionError, match="is off by"):
        test_what_a_rectifier_remembers_is_not_written_over("gradient")


class WritesWithoutGradient(nn.Module):
    """What a rectifier gave is written into, where no gradient is taken."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Conv2d(6, 4, 3, padding=1)

    def forward(self, x):
        x = torch.relu(self.first(x))
        y = self.second(x)
        with torch.no_grad():
            x.mul_(-1)
        return self.last(x + y)


@pytest.mark.parametrize("rule", ["gradient", "guided"])
def test_what_is_written_into_without_a_gradient(rule):
    net = DeconvNet(everything(WritesWithoutGradient), rule)
    units = [Unit("last", 0, 5, 6), Unit("last", 2, 20, 9, image=1)]
    expected = net.project(IMAGES, units=units, seed="one", strategy="shared")
    assert_same(in_cones(net, IMAGES, units, seed="one"), expected)
    compared(DeconvNet(everything(Added), rule), "last")  # others are written over as ever


def test_the_images_and_the_model_are_not_written_into():
    net, images = DeconvNet(everything(Blocks), "deconvnet"), IMAGES.clone()
    before = {name: value.clone() for name, value in net.model.state_dict().items()}
    compared(net, "add_2")
    assert torch.equal(images, IMAGES)
    assert all(torch.equal(before[name], now) for name, now in net.model.state_dict().items())


class Gate(nn.Module):
    """Gives back what it is given."""

    def forward(self, x):
        return x


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.gate = Gate()
        self.last = nn.Conv2d(6, 4, 3, padding=1)

    def forward(self, x):
        x = self.first(x)
        y = torch.relu(self.gate(x))
        return self.last(torch.max_pool2d(-x, 3, 1, 1) + y)


@pytest.mark.parametrize("rule", ["identity", "deconvnet", "guided"])
def test_a_function_of_the_users_own_may_give_back_its_argument(rule):
    def mirror(module, x):
        return Rectification(Activation("Gate", module.forward)), (x,)

    fallback = None if rule == "identity" else "rectify"
    net = DeconvNet(everything(Gated), rule, fallback=fallback, mirrors={Gate: mirror})
    images = IMAGES.clone()
    for units in borders(net, IMAGES, "last"), [Unit("last", 1, 15, 15)]:  # one: what is a view
        found = in_cones(net, images, units, seed="one")
        assert_same(found, net.project(images, units=units, seed="one", strategy="shared"))
    assert torch.equal(images, IMAGES)


def test_a_function_of_the_users_own_that_is_taken_for_a_new_value_is_caught(monkeypatch):
    """The planted wrong case: what it gives back is written over, though others read it too."""
    read_once(monkeypatch, All)
    with pytest.raises(AssertionError, match="is off by"):
        test_a_function_of_the_users_own_may_give_back_its_argument("identity")
