"""Projecting inside the cone is projecting on whole maps: at every position, whatever the graph."""

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Unit
from deconvnet.layers import Inside, Rectifier, Switches
from deconvnet.layers.convolution import Convolution
from tests.support.cones import assert_same, borders, every_unit, everything, in_cones
from tests.support.networks import network, noise
from tests.support.reference import error, projections

POLICIES = ("gradient", "deconvnet", "guided")
NETWORKS = {  # a layer whose units see less than these images, at every border
    "alexnet": ("features.4", 160),
    "vgg16": ("features.15", 96),
    "vgg11_bn": ("features.9", 72),
    "resnet18": ("layer2.1.relu_1", 128),
    "resnet50": ("layer2.1.relu_2", 112),
    "squeezenet1_1": ("features.7.cat", 96),
    "googlenet": ("inception3b.cat", 112),
    "inception_v3": ("Mixed_5b.cat", 128),
    "densenet121": ("features.denseblock1.cat", 96),
    "mobilenet_v2": ("features.6.add", 96),
    "mnasnet1_0": ("layers.9.1.layers.2", 112),
    "resnext50_32x4d": ("layer1.2.relu_2", 96),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("layer", ["max_pool2d", "lrn", "relu_2", "add", "pool"])
def test_every_position_of_a_network_of_everything(policy, layer):
    model, images = everything(), noise(2, 3, 49, 57)
    net = DeconvNet(model, policy, normalization="exact")
    units = every_unit(net, images, layer)
    found = in_cones(net, images, units, seed="one")
    assert_same(found, projections(model, images, units, policy))
    assert_same(net.project(images, units=units, strategy="shared", seed="one"), found)
    recording = net.record(images, layer)
    assert_same(net.project(recording, units=units, seed="one"), found)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_torchvisions_networks(name, policy):
    layer, side = NETWORKS[name]
    model, images = network(name), noise(2, 3, side, side + 5)
    net = DeconvNet(model, policy)
    layer = net.graph.find(layer)
    units = borders(net, images, layer)
    found = in_cones(net, images, units, seed="one")
    assert_same(found, projections(model, images, units, policy))
    parts = net.plan(images, units, strategy="cone").parts[layer]
    assert all(len(part.cone.seen) > 4 for part in parts)


def test_crops_are_the_boxes_of_whole_projections_and_nothing_is_outside():
    net, images = DeconvNet(network("vgg16"), "guided"), noise(2, 3, 96, 96)
    units = borders(net, images, "features.15")
    whole = in_cones(net, images, units)
    recording = net.record(images, "features.15")
    for strategy in ("cone", "shared"):
        cuts = net.project(images, units=units, crop=True, strategy=strategy)
        for unit, cut, pixels in zip(units, cuts, whole, strict=True):
            assert cut.unit == unit
            inside = pixels[(slice(None), *cut.box.slices)]
            torch.testing.assert_close(cut.pixels, inside, rtol=1e-10, atol=1e-16)
            value = recording["features.15"][unit.image, unit.channel, unit.row, unit.col]
            assert cut.activation == pytest.approx(float(value), rel=1e-12)
            outside = pixels.clone()
            outside[(slice(None), *cut.box.slices)] = 0
            assert not outside.any()


def test_parts_are_the_whole(monkeypatch):
    net, images = DeconvNet(everything(), "guided"), noise(3, 3, 49, 57)
    units = every_unit(net, images, "max_pool2d")
    whole = in_cones(net, images, units)
    monkeypatch.setattr("deconvnet.projection.plan.NEAR", 100_000)
    assert_same(in_cones(net, images, units[::-1]), whole.flip(0))
    monkeypatch.setattr("deconvnet.projection.plan.RECORDED", 1)
    assert_same(net.project(images, units=units, strategy="shared"), whole)


def test_units_of_unlike_windows_go_apart_where_that_is_cheaper(monkeypatch):
    net, images = DeconvNet(network("vgg16"), "guided"), noise(2, 3, 96, 96)
    units = borders(net, images, "features.15")
    whole = net.project(images, units=units, strategy="shared")
    alone = sum(net.plan(images, [unit]).multiply_adds["cone"] for unit in units)
    costs, counts = [], []
    for overhead in (float("inf"), 0.0):
        monkeypatch.setattr("deconvnet.projection.plan.OVERHEAD", overhead)
        net = DeconvNet(net.model, "guided")  # plans are remembered
        assert_same(in_cones(net, images, units), whole)
        plan = net.plan(images, units, strategy="cone")
        costs.append(plan.multiply_adds["cone"])
        counts.append(len(plan.parts["features.15"]))
    assert counts[0] == 1 < counts[1]
    assert costs[0] > 1.2 * alone
    assert costs[1] == alone


class Sizes(nn.Module):
    """Reads the size of a value that carries a signal, and makes use of it."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        x = torch.relu(self.one(x))
        return torch.relu(self.two(x * x.shape[-1] / 7))


def test_what_reads_the_size_of_a_value_finds_it_whole():
    model, images = everything(Sizes), noise(2, 3, 30, 30)
    net = DeconvNet(model, "guided")
    units = every_unit(net, images, "relu_1")
    assert_same(
        in_cones(net, images, units, seed="one"), projections(model, images, units, "guided")
    )


def test_other_parameters_are_used_at_once():
    model, images = everything(), noise(2, 3, 49, 57)
    net = DeconvNet(model, "guided")
    units = every_unit(net, images, "max_pool2d")
    before = in_cones(net, images, units)
    model.wide.weight = nn.Parameter(model.wide.weight.detach() * 2)
    after = in_cones(net, images, units)
    assert error(after, before) > 1e-3
    assert_same(after, DeconvNet(model, "guided").project(images, units=units, strategy="shared"))


@pytest.mark.parametrize(("conv", "pool", "size"), [
    (nn.Conv1d, nn.MaxPool1d, (60,)),
    (nn.Conv3d, nn.MaxPool3d, (20, 22, 24)),
])  # fmt: skip
def test_signals_and_videos(conv, pool, size):
    layers = [conv(2, 4, 3, padding=1), nn.ReLU(), pool(3, 2), conv(4, 5, 3, padding=1), nn.ReLU()]
    model, images = nn.Sequential(*layers).double(), noise(2, 2, *size)
    net = DeconvNet(model, "guided")
    maps = net.record(images, "4")["4"].shape[2:]
    places = [tuple(0 for _ in maps), tuple(n - 1 for n in maps), tuple(n // 2 for n in maps)]
    units = [Unit.at("4", i, position=p, image=i % 2) for i, p in enumerate(places)]
    assert_same(
        in_cones(net, images, units, seed="one"), projections(model, images, units, "guided")
    )


class Halved(Rectifier):
    """A policy of a user's own, who has said nothing about places."""

    name = "halved"

    def remember(self, z, a, activation):
        return None

    def signal(self, R, kept):
        return R - R.mean((2, 3), keepdim=True)


@pytest.mark.parametrize("policy", ["rectgrad(90)", Halved()])
def test_a_policy_that_looks_around_gets_whole_maps(policy):
    net, images = DeconvNet(everything(), policy), noise(2, 3, 49, 57)
    units = every_unit(net, images, "relu_2")[:5]
    assert net.plan(images, units, strategy="cone").strategy == "shared"
    alone = [net.project(images[u.image : u.image + 1], layer="relu_2", channel=u.channel,
                         position=u.position) for u in units]  # fmt: skip
    assert_same(net.project(images, units=units), torch.cat(alone))


def test_bad_input():
    net, images = DeconvNet(everything()), noise(2, 3, 49, 57)
    with pytest.raises(ValueError, match=r"the strategy was 'fast'; use one of cone, shared"):
        net.project(images, units=[Unit("pool", 0, 1, 1)], strategy="fast")
    with pytest.raises(IndexError, match=r"pool has no position \(99, 1\); its maps are 13 x 15"):
        net.project(images, units=[Unit("pool", 0, 99, 1)])
    with pytest.raises(IndexError, match="there is no image 2; the batch has 0 to 1"):
        net.project(images, units=[Unit("pool", 0, 1, 1, image=2)])
    with pytest.raises(ValueError, match="the seed was 'two'"):
        net.project(images, units=[Unit("pool", 0, 1, 1)], seed="two")


PLANTED = {
    "the border is not what the padding was": (
        Convolution, "inside", lambda self, record, was: Inside(was(self, record).layer, 1.0)
    ),
    "switches count the cells of the map": (
        Switches, "within", lambda self, output, inputs, was: Switches(
            output.of(self.places).remainder(inputs[0].size[0] * inputs[0].size[1]),
            inputs[0].sized(self.size),
        )
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", PLANTED)
def test_faults_are_seen(fault, monkeypatch):
    cls, method, wrong = PLANTED[fault]
    was = getattr(cls, method)
    monkeypatch.setattr(cls, method, lambda *args: wrong(*args, was))
    model, images = everything(), noise(2, 3, 49, 57)
    net = DeconvNet(model, "guided")
    units = every_unit(net, images, "max_pool2d")
    expected = projections(model, images, units, "guided")
    both = [net.project(images, units=units, strategy=s, seed="one") for s in ("cone", "shared")]
    assert max(error(found, expected) for found in both) > 1e-3
