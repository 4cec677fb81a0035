"""Of branches joined along the channels, those that a unit does not see are not run."""

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Unit
from deconvnet.layers import Rectifier
from deconvnet.layers.joining import Concatenation
from deconvnet.layers.window import Interval
from tests.support.cones import assert_same, everything, in_cones
from tests.support.networks import noise
from tests.support.reference import projections

POLICIES = ("gradient", "deconvnet", "guided")


class Branches(nn.Module):
    """Three branches, one of them joined of two, below layers that keep channels apart."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.a = nn.Conv2d(4, 3, 1)
        self.b = nn.Conv2d(4, 2, 3, padding=1)
        self.c = nn.Conv2d(2, 4, 5, padding=2)
        self.norm = nn.BatchNorm2d(13)
        self.grouped = nn.Conv2d(13, 26, 3, padding=1, groups=13)
        self.mixed = nn.Conv2d(26, 5, 3, padding=1)

    def forward(self, x):
        x = self.stem(x).relu()
        b = self.b(x).relu()
        inner = torch.cat([b, self.c(b).relu()], 1)
        joined = torch.cat([self.a(x).relu(), inner, x], 1)
        return self.mixed(self.grouped(self.norm(joined).relu()).relu()).relu()


LAYERS = {"cat_1": range(13), "norm": range(13), "relu_4": range(13), "grouped": range(0, 26, 2)}
OF_BRANCHES = {"a": range(3), "b": [*range(3, 5)], "c": range(5, 9), "x": range(9, 13)}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("layer", LAYERS)
def test_units_of_each_branch(layer, policy):
    model, images = everything(Branches), noise(2, 3, 40, 44)
    net = DeconvNet(model, policy)
    places = [(0, 0), (7, 8), (19, 21)]
    every = [
        Unit(layer, channel, *place, image=channel % 2)
        for channel in LAYERS[layer]
        for place in places
    ]
    expected = projections(model, images, every, policy)
    assert_same(in_cones(net, images, every, seed="one"), expected)
    alone = [in_cones(net, images, [unit], seed="one") for unit in every]
    assert_same(torch.cat(alone), expected)
    recording = net.record(images, layer)
    assert_same(
        torch.cat([net.project(recording, units=[unit], seed="one") for unit in every]), expected
    )
    values = [crop.activation for crop in net.project(images, units=every, crop=True)]
    whole = [float(recording[layer][u.image, u.channel, u.row, u.col]) for u in every]
    assert values == pytest.approx(whole, rel=1e-10, abs=1e-12)


def plan(net, images, channel, layer="relu_4"):
    return net.plan(images, [Unit(layer, channel, 9, 9)], strategy="cone")


def test_a_branch_that_no_unit_sees_costs_nothing():
    net, images = DeconvNet(everything(Branches), "guided"), noise(1, 3, 40, 44)
    left = {name: plan(net, images, channels[0]).parts["relu_4"][0].cone.left
            for name, channels in OF_BRANCHES.items()}  # fmt: skip
    assert {"b", "c", "cat"} <= left["a"]
    assert {"a", "c"} <= left["b"]
    assert "b" not in left["b"]
    assert "a" in left["c"]
    assert not {"b", "c"} & left["c"]
    assert {"a", "b", "c"} <= left["x"]
    cost = {
        name: plan(net, images, some[0]).multiply_adds["cone"] for name, some in OF_BRANCHES.items()
    }
    assert cost["x"] < cost["a"] < cost["b"] < cost["c"]
    mixed = plan(net, images, 0, "relu_6").parts["relu_6"][0].cone
    assert not mixed.left & {"a", "b", "c"}


def test_units_of_deep_and_of_shallow_branches_go_apart(monkeypatch):
    monkeypatch.setattr("deconvnet.projection.plan.OVERHEAD", 0.0)
    net, images = DeconvNet(everything(Branches), "guided"), noise(1, 3, 40, 44)
    units = [Unit("relu_4", channels[0], 0, 0) for channels in OF_BRANCHES.values()] * 3
    alone = sum(net.plan(images, [u], strategy="cone").multiply_adds["cone"] for u in units)
    plan = net.plan(images, units, strategy="cone")
    assert len(plan.parts["relu_4"]) == 3, "the fields of two branches are of one size"
    assert alone <= plan.multiply_adds["cone"] < 1.01 * alone
    assert_same(in_cones(net, images, units), net.project(images, units=units, strategy="shared"))


def test_they_are_not_run():
    model, images = everything(Branches), noise(1, 3, 40, 44)
    net = DeconvNet(model, "guided")
    net.project(images, units=[Unit("relu_4", 0, 9, 9)])
    with torch.no_grad():
        model.c.weight.fill_(float("nan"))
    net = DeconvNet(model, "guided", check=False)
    assert net.project(images, units=[Unit("relu_4", 0, 9, 9)]).isfinite().all()
    assert not net.project(images, units=[Unit("relu_4", 6, 9, 9)]).isfinite().all()


class AcrossChannels(Rectifier):
    """Looks at all channels of a place, which ``pointwise`` allows."""

    name, pointwise = "across", True

    def remember(self, z, a, activation):
        return a / a.amax(1, keepdim=True).clamp(min=1e-12)

    def signal(self, R, kept):
        return R * kept


def test_a_rule_of_ones_own_finds_all_channels():
    net, images = DeconvNet(everything(Branches), AcrossChannels()), noise(1, 3, 40, 44)
    for channel in (0, 4, 7, 11):
        cone = plan(net, images, channel).parts["relu_4"][0].cone
        assert not cone.left & {"a", "b", "c"}
        unit = [Unit("relu_4", channel, 9, 9)]
        (box,) = [one.box for one in net.project(images, units=unit, crop=True)]
        whole = net.project(net.record(images, "relu_4"), units=unit)
        assert torch.allclose(net.project(images, units=unit), whole, rtol=1e-10, atol=1e-14)
        assert box.slices


class Twice(nn.Module):
    """Reads one node twice in a join; a ReLU in place makes of two nodes one."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.b = nn.Conv2d(3, 2, 5, padding=2)
        self.out = nn.Identity()

    def forward(self, x):
        a, b = self.a(x), self.b(x)
        c = nn.functional.relu(a, inplace=True)
        return self.out(torch.cat([c, b, a], 1))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_node_that_is_read_twice(policy):
    model, images = everything(Twice), noise(1, 3, 30, 30)
    units = [Unit("out", channel, 9, 9) for channel in range(10)]
    expected = projections(model, images, units, policy)
    with torch.no_grad():
        values = model(images)[0, :, 9, 9].tolist()
    for unit, value, one in zip(units, values, expected, strict=True):
        net = DeconvNet(model, policy)  # the first call of each, and the second
        for _ in range(2):
            (made,) = net.project(images, units=[unit], crop=True)
            assert made.activation == pytest.approx(value, rel=1e-10, abs=1e-14)
            (cropped,) = net.project(images, units=[unit], crop=True, seed="one")
            assert torch.allclose(cropped.pixels, one[(slice(None), *cropped.box.slices)])


def test_signals_are_taken_and_gated_in_branches_that_no_unit_sees():
    net, images = DeconvNet(everything(Branches), "gradient"), noise(1, 3, 40, 44)
    unit = [Unit("relu_4", 0, 9, 9)]
    for how in ("cone", "shared"):
        there = net.signals(images, unit, at=["a", "c"], strategy=how)
        assert there["a"].any()
        assert there["c"].shape == (1, 4, 20, 22)
        assert not there["c"].any()
        nothing = net.project(images, units=unit, through={"c": [0, 1]}, strategy=how)
        assert not nothing.any()


class Mixed(nn.Module):
    """Two types of number in one join, which becomes the greater."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 2, 3, padding=1)
        self.pool = nn.AvgPool2d(3)

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            joined = torch.cat([self.a(x), x], 1)
        return self.pool(joined)


def test_the_type_of_a_join_is_that_of_all_branches():
    model, images = everything(Mixed).float(), noise(1, 3, 30, 30).float()
    net = DeconvNet(model, "gradient")
    with torch.no_grad():
        whole = model(images)
    assert whole.dtype == torch.float32
    for channel in range(5):
        unit = [Unit("pool", channel, 3, 3)]
        (one,) = net.project(images, units=unit, crop=True, strategy="cone")
        assert one.activation == float(whole[0, channel, 3, 3])


def test_a_join_that_names_the_wrong_branch_is_caught(monkeypatch):
    """The planted wrong case: every part of the channels is said to be the first branch's."""
    model, images = everything(Branches), noise(2, 3, 40, 44)
    units = [Unit("relu_4", 6, 9, 9), Unit("relu_4", 7, 12, 12), Unit("relu_4", 8, 5, 5)]
    expected = projections(model, images, units, "gradient")
    net = DeconvNet(model, "gradient")
    assert_same(in_cones(net, images, units, seed="one"), expected)

    def first(self, window, record):
        nothing = Interval(window[1].start, window[1].start)
        rest = [(window[0], nothing, *window[2:])] * (len(record.sizes) - 1)
        return (window, *rest)

    monkeypatch.setattr(Concatenation, "window", first)
    wrong = DeconvNet(model, "gradient", check=False)
    with pytest.raises(AssertionError, match="off by"):
        assert_same(wrong.project(images, units=units, seed="one"), expected)
