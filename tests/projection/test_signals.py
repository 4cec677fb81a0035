"""The signal at a layer on its way down: the gradient by its values, or the papers' rules."""

import pytest
import torch
from torch import fx, nn

import deconvnet.projection.backward
from deconvnet import DeconvNet, Unit
from tests.support.cones import assert_same, borders, every_unit, everything
from tests.support.networks import live_units, network, noise
from tests.support.reference import signals

POLICIES = ("gradient", "deconvnet", "guided")
NETWORKS = {  # a layer, and layers below it
    "alexnet": ("classifier.6", ["features.7", "features.5", "features.0", "classifier.1"]),
    "vgg11_bn": ("features.14", ["features.4", "features.7", "features.9"]),
    "resnet18": ("layer3.0.add", ["layer1.1.relu_1", "layer2.0.add", "maxpool", "layer2.0.bn1"]),
    "squeezenet1_1": ("features.7.cat", ["features.4.cat", "features.2"]),
    "googlenet": ("inception3b.cat", ["inception3a.cat", "maxpool2", "inception3a.branch1.conv"]),
    "densenet121": ("features.denseblock2.cat", ["features.denseblock1.cat", "features.pool0"]),
}


def differentiated(policy):
    """The rule of the reference: autograd's own under "gradient"."""
    return "autograd" if policy == "gradient" else policy


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_the_references_in_torchvisions_networks(name, policy):
    layer, lower = NETWORKS[name]
    model, images = network(name), noise(2, 3, 64, 64)
    net = DeconvNet(model, policy)
    units = live_units(net.record(images, net.graph.find(layer)), net.graph.find(layer))
    made = net.signals(images, units, at=lower, seed="one")
    assert list(made) == [net.graph.find(at) for at in lower]
    for at, signal in made.items():
        assert_same(signal, signals(model, images, units, differentiated(policy), at))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("at", ["relu", "stem", "relu_1", "cat", "add", "lrn", "avg_pool2d"])
def test_cones_and_whole_maps_and_recordings_are_equal(policy, at):
    model, images = everything(), noise(2, 3, 49, 57)
    net = DeconvNet(model, policy, normalization="exact")
    units = every_unit(net, images, "max_pool2d")[::3]
    expected = signals(model, images, units, differentiated(policy), at)
    for strategy in ("cone", "shared"):
        assert_same(net.signals(images, units, at, seed="one", strategy=strategy), expected)
    recording = net.record(images, "max_pool2d")
    assert_same(net.signals(recording, units, at, seed="one"), expected)


def test_at_the_images_it_is_the_projection():
    net, images = DeconvNet(network("resnet18"), "guided"), noise(2, 3, 64, 64)
    units = borders(net, images, "layer2.0.add")
    assert torch.equal(net.signals(images, units, "x"), net.project(images, units=units))


def test_at_the_layer_itself_it_is_the_seed():
    net, images = DeconvNet(network("alexnet"), "guided"), noise(1, 3, 64, 64)
    values = net.record(images, "features.4")["features.4"]
    signal = net.signals(images, Unit("features.4", 3, 1, 1), "features.4")
    assert float(signal[0, 3, 1, 1]) == pytest.approx(float(values[0, 3, 1, 1]), rel=1e-12)
    signal[0, 3, 1, 1] = 0
    assert not signal.any()


def test_every_node_from_top_to_bottom():
    net, images = DeconvNet(network("resnet18"), "deconvnet"), noise(1, 3, 64, 64)
    unit = Unit("layer2.0.add", 3, 2, 2)
    made = net.signals(images, unit)
    assert [*made][0] == "layer2.0.add"
    assert [*made][-1] == "x"
    assert {"layer2.0.downsample.0", "layer2.0.conv1", "maxpool", "conv1"} <= set(made)
    assert "layer2.0.relu_1" not in made
    order = list(net.graph.nodes)
    assert [*made] == sorted(made, key=order.index, reverse=True)
    for at in ("layer2.0.bn1", "layer1.0.add"):
        assert torch.equal(made[at], net.signals(images, unit, at))


def test_it_goes_down_no_further_than_it_must(monkeypatch):
    net, images = DeconvNet(network("vgg11_bn"), check=False), noise(1, 3, 64, 64)
    mirrored, was = [], deconvnet.projection.backward._mirror
    monkeypatch.setattr(
        deconvnet.projection.backward, "_mirror",
        lambda step, *rest, **how: mirrored.append(step.name) or was(step, *rest, **how),
    )  # fmt: skip
    net.signals(images, [Unit("features.14", 0, 1, 1)], ["features.12", "features.10"])
    assert set(mirrored) == {"features.14", "features.13", "features.12", "features.11"}


class Plain(nn.Module):
    """Three convolutions without biases, and maybe a path round the one in the middle."""

    def __init__(self, *, skip):
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Conv2d(3, 5, 3, padding=1, bias=False)
        self.two = nn.Conv2d(5, 5, 3, padding=1, bias=False)
        self.three = nn.Conv2d(5, 6, 3, padding=1, bias=False)
        self.pool, self.skip = nn.MaxPool2d(3, 2), skip

    def forward(self, x):
        low = self.pool(torch.relu(self.one(x)))
        middle = torch.relu(self.two(low))
        return torch.relu(self.three(middle + low if self.skip else middle))


def contributions(model, at):
    """Of live units: signal times activation, summed; and the units' activations."""
    net, images = DeconvNet(model.double(), "gradient"), noise(2, 3, 16, 16)
    recording = net.record(images, ["relu_2", at])
    units = live_units(recording, "relu_2", 3)
    signal = net.signals(recording, units, at, seed="one")
    lower = recording[at][[unit.image for unit in units]]
    values = torch.stack([recording["relu_2"][(u.image, u.channel, *u.position)] for u in units])
    return (signal * lower).flatten(1).sum(1), values


@pytest.mark.parametrize("at", ["relu_1", "two", "pool", "relu", "one", "x"])
def test_signal_times_activation_sums_to_the_unit(at):
    made, values = contributions(Plain(skip=False), at)
    torch.testing.assert_close(made, values, rtol=1e-10, atol=0)


def test_where_a_path_goes_round_it_does_not():
    made, values = contributions(Plain(skip=True), "relu_1")
    assert ((made - values).abs() > 1e-3 * values).all()
    made, values = contributions(Plain(skip=True), "add")
    torch.testing.assert_close(made, values, rtol=1e-10, atol=0)


def test_the_law_catches_the_signal_of_a_rectifiers_input(monkeypatch):
    """Planted: what is taken has already passed the rectifier of the layer."""
    model, images = network("alexnet"), noise(2, 3, 64, 64)
    net = DeconvNet(model, "guided")
    units = live_units(net.record(images, "features.7"), "features.7")
    expected = signals(model, images, units, "guided", "features.4")
    wrong = net.signals(images, units, "features.3", seed="one")
    with pytest.raises(AssertionError, match="off by"):
        assert_same(wrong, expected)


def test_bad_input():
    net, images = DeconvNet(network("resnet18")), noise(2, 3, 64, 64)
    unit = Unit("layer1.1.conv1", 0, 1, 1)
    with pytest.raises(ValueError, match=r"layer2.0.conv1 is not below layer1.1.conv1, or no"):
        net.signals(images, unit, "layer2.0.conv1")
    with pytest.raises(ValueError, match="layer1.1.conv1 is not below layer1.0.add"):
        net.signals(images, [unit, Unit("layer1.0.add", 0, 1, 1)], "layer1.1.conv1")
    with pytest.raises(KeyError, match="no layer is called 'layer9'"):
        net.signals(images, unit, "layer9")
    with pytest.raises(ValueError, match="no units were given"):
        net.signals(images, [], "layer1.0.add")


class Chunked(nn.Module):
    def forward(self, x):
        one, other = torch.relu(x).chunk(2, 1)
        return one * 2 + other


def test_a_tuple_has_no_maps():
    net, images = DeconvNet(Chunked()), noise(2, 4, 8, 8)
    with pytest.raises(ValueError, match="chunk has no maps of its own for each image"):
        net.signals(images, Unit("add", 0, 1, 1), "chunk")
    assert [*net.signals(images, Unit("add", 0, 1, 1))][-2:] == ["relu", "x"]


class Folded(nn.Module):
    """The images of the batch change places below a layer, whose rows are others then."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 4, 3)

    def forward(self, x):
        turned = self.one(x).transpose(0, 1)
        return self.two(torch.relu(turned.transpose(0, 1)))


def test_rows_that_are_not_the_images_are_refused():
    net, images = DeconvNet(Folded().double(), "gradient"), noise(3, 3, 8, 8)
    unit = Unit("two", 1, 1, 1, image=2)
    with pytest.raises(ValueError, match="transpose has no maps of its own for each image"):
        net.signals(images, unit, "transpose")
    found = net.signals(images, [unit], "one", seed="one")
    assert_same(found, signals(net.model, images, [unit], "autograd", "one"))


@fx.wrap
def double(one, other):
    return one * 2


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)

    def forward(self, x):
        return double(self.one(x), self.two(x)) + 1


def test_where_no_signal_arrives_it_is_told():
    net, images, unit = DeconvNet(Unused().double()), noise(1, 3, 12, 12), Unit("add", 0, 1, 1)
    with pytest.raises(ValueError, match="no signal reaches two from add: the path ends at "):
        net.signals(images, unit, "two")
    assert [*net.signals(images, unit)] == ["add", "double", "one", "x"]
