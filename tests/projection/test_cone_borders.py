"""Units at the border among others: their windows cross it, and nothing comes from outside."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet, Rectifier, Unit
from deconvnet.layers import InputSize, Inside, MirroredLayer
from deconvnet.layers.crop import Crop
from deconvnet.layers.functional import Values
from deconvnet.projection.cone import Cone
from tests.support.cones import assert_same, everything, in_cones
from tests.support.networks import noise
from tests.support.reference import projections

IMAGES = noise(2, 3, 40, 44)


class Readers(nn.Module):
    """Values that several layers read over the border, each with other numbers there."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.pooled = nn.Conv2d(6, 6, 3, padding=1)
        self.wide = nn.Conv2d(6, 6, 5, padding=2)
        self.last = nn.Conv2d(6, 5, 3, padding=1)

    def forward(self, x):
        x = self.stem(x)
        most = F.max_pool2d(x, 3, 1, padding=1)  # among minus infinity
        x = F.gelu(x)  # which has no derivative there
        mean = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), value=0.5), 3, 1)
        x = self.pooled(most).relu() + self.wide(x).relu() + mean
        return self.last(F.max_pool2d(x, 3, 2, padding=1)).relu()


def units_of(net, layer):
    """Corners, edges, and some of the middle, of both images."""
    _, channels, rows, cols = net.record(IMAGES, layer)[layer].shape
    places = [
        (r, c) for r in (0, 1, rows // 2, rows - 1) for c in (0, cols // 2, cols - 2, cols - 1)
    ]
    return [Unit(layer, i % channels, *p, image=i % 2) for i, p in enumerate(places)]


def compared(model, layer, policy="gradient", **how):
    net = DeconvNet(model, policy, **how)
    units = units_of(net, layer)
    cones = [part.cone for part in net.plan(IMAGES, units, strategy="cone").parts[layer]]
    assert any(crop.leaves for cone in cones for crop in cone.held.values()), "nothing is tested"
    found = in_cones(net, IMAGES, units, seed="one")
    return net, units, found


@pytest.mark.parametrize("layer", ["max_pool2d", "add", "relu", "add_1", "max_pool2d_1", "relu_2"])
def test_readers_that_fill_the_border_in_turn(layer):
    net, units, found = compared(everything(Readers), layer)
    assert_same(found, projections(net.model, IMAGES, units, "gradient"))
    values = [one.activation for one in net.project(IMAGES, units=units, crop=True)]
    maps = net.record(IMAGES, layer)[layer]
    whole = [float(maps[u.image, u.channel, u.row, u.col]) for u in units]
    assert values == pytest.approx(whole, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("fallback", ["derivative", "rectify"])
@pytest.mark.parametrize("policy", ["deconvnet", "guided", "identity"])
def test_every_rule(policy, fallback):
    net, units, found = compared(everything(Readers), "relu_2", policy, fallback=fallback)
    assert_same(found, net.project(IMAGES, units=units, seed="one", strategy="shared"))


def test_values_from_outside_are_caught(monkeypatch):
    """The planted wrong case: a layer sees what happens to stand outside of the maps."""
    monkeypatch.setattr(Crop, "filled", lambda self, windows, value, in_place: windows)
    net, units, found = compared(everything(), "relu_2", "guided")
    with pytest.raises(AssertionError, match="is off by"):
        assert_same(found, projections(net.model, IMAGES, units, "guided"))


def test_signals_from_outside_are_caught(monkeypatch):
    """The planted wrong case: signals come back from outside of the maps."""
    monkeypatch.setattr(Cone, "looks_around", lambda self, node: False)
    net, units, found = compared(everything(Readers), "relu_2")
    with pytest.raises(AssertionError, match="is off by"):
        assert_same(found, projections(net.model, IMAGES, units, "gradient"))


class Pairs(nn.Module):
    """The sum of two by two cells: a layer of the user's own, without padding."""

    def forward(self, x):
        return 4 * F.avg_pool2d(x, 2)


class PairsMirror(MirroredLayer):
    channelwise = True

    def __init__(self, module):
        self.module = module

    def record(self, input):
        return self.module(input), InputSize(input.shape)

    def mirror(self, signal, record):
        up = signal.repeat_interleave(2, 2).repeat_interleave(2, 3)
        return (F.pad(up, (0, record.size[3] - up.shape[3], 0, record.size[2] - up.shape[2])),)

    def window(self, window, record):
        batch, channel, *cells = window
        return ((batch, channel, *(c.sliding(span=2, stride=2, padding=0) for c in cells)),)

    def inside(self, record):
        return Inside(self)


def test_a_layer_of_the_users_own():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), Pairs(), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()
    ).double()
    net, units, found = compared(model, "4", "guided", mirrors={Pairs: PairsMirror})
    assert_same(found, projections(model, IMAGES, units, "guided"))


def test_a_part_at_the_border_alone_takes_no_more_than_the_map_has():
    """Where all units see less because of the border, windows end there."""
    net = DeconvNet(everything(), "guided")
    units = [Unit("relu_2", channel, 0, 0) for channel in range(3)]
    (part,) = net.plan(IMAGES, units, strategy="cone").parts["relu_2"]
    assert not any(crop.leaves for crop in part.cone.held.values())


def test_windows_of_units_in_one_part_lie_alike():
    """So that what a layer reads is a view of what the layer below has made."""
    net = DeconvNet(everything(), "guided")
    units = units_of(net, "relu_2")
    (part,) = net.plan(IMAGES, units, strategy="cone").parts["relu_2"]
    places = [place for places in part.cone.places.values() for place in places if place]
    assert all(place.at_one_place for place in places)


class Shares(nn.Module):
    """Each value's share of the greatest around it: nothing divided by nothing where all are 0."""

    def forward(self, x, pad=1):
        inner = x if pad else x[..., 1:-1, 1:-1]
        return inner / F.max_pool2d(x.abs(), 3, 1, pad)


class SharesMirror(MirroredLayer):
    """A layer of the user's own that keeps its input, and what it gave."""

    channelwise = True

    def __init__(self, module, pad=1):
        self.module, self.pad = module, pad

    def record(self, input):
        output = self.module(input, self.pad)
        HELD.extend((one, one.clone()) for one in (input, output))
        return output, Values((input,), (True,))

    def mirror(self, signal, record):
        with torch.enable_grad():
            input = record.inputs[0].detach().requires_grad_()
            output = self.module(input, self.pad)
        return torch.autograd.grad(output, input, signal)

    def window(self, window, record):
        return ((*window[:2], *(cells.sliding(3, 1, 1) for cells in window[2:])),)

    def inside(self, record):
        return Inside(SharesMirror(self.module, 0), 0.0)


HELD: list = []


class OfShares(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.shares = Shares()
        self.last = nn.Conv2d(6, 4, 3, padding=1)

    def forward(self, x):
        x = self.first(x).relu()
        return self.last(self.shares(x) + F.max_pool2d(x, 3, 1, padding=1))


def test_a_layer_of_the_users_own_that_keeps_what_it_is_given():
    model = everything(OfShares)
    with torch.no_grad():
        model.first.bias += 0.6  # somewhere on the map there is something
    net = DeconvNet(model, "gradient", mirrors={Shares: SharesMirror})
    units = units_of(net, "last")
    HELD.clear()
    found = in_cones(net, IMAGES, units, seed="one")
    assert all(torch.equal(one, before) for one, before in HELD), "what it held was written over"
    assert_same(found, net.project(IMAGES, units=units, seed="one", strategy="shared"))


class Keeping(Rectifier):
    """A rule of the user's own that holds what was before the rectifier."""

    name = "keeping"
    pointwise = True

    def __init__(self):
        self._held = []

    def remember(self, z, a, activation):
        self._held.append((z, z.clone()))
        return z > 0

    def signal(self, R, kept):
        return R * kept


class ReadAgain(nn.Module):
    """A value that is rectified, and read over the border after that."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.last = nn.Conv2d(6, 4, 3, padding=1)

    def forward(self, x):
        x = self.first(x)
        return self.last(x.relu() + F.max_pool2d(x, 3, 1, padding=1))


def test_what_a_rule_of_the_users_own_holds_stays():
    rule = Keeping()
    net, units, found = compared(everything(ReadAgain), "last", rule)
    assert rule._held
    assert all(torch.equal(z, before) for z, before in rule._held), "what it held was written over"
    assert_same(found, projections(net.model, IMAGES, units, "gradient"))


def test_cells_that_are_filled_where_the_user_holds_them_are_caught(monkeypatch):
    """The planted wrong case: every value may be written into."""

    def filled(self, windows, value, *, in_place, real=Crop.filled):
        return real(self, windows, value, in_place=True)

    monkeypatch.setattr(Crop, "filled", filled)
    with pytest.raises(AssertionError, match="written over"):
        test_what_a_rule_of_the_users_own_holds_stays()


@pytest.mark.parametrize("units", [[(0, 0)], [(0, 0), (1, 1)], [(0, 0), (9, 9)]], ids=str)
def test_units_that_see_padding_alone(units):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1, padding=2))
    net = DeconvNet(model.double(), "gradient")
    asked = [Unit("2", 1, *place) for place in units]
    expected = projections(model, IMAGES, asked, "gradient")
    for strategy in ("cone", "shared"):
        found = net.project(IMAGES, units=asked, seed="one", strategy=strategy)
        assert (found - expected).abs().max() <= 1e-12
