"""What the nodes of a model are called and how they are found."""

import operator

import pytest
import torch
from torch import nn
from torchvision.models.feature_extraction import get_graph_node_names

from deconvnet import DeconvNet, UntraceableError
from deconvnet.graph.graph import trace
from tests.support.networks import NETWORKS, live_units, network, noise
from tests.support.reference import assert_same, projections

IMAGES = noise(2, 3, 12, 12)


@pytest.mark.filterwarnings("ignore:NOTE:UserWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_nodes_are_called_as_torchvision_calls_them(name):
    model = network(name)
    graph = trace(model)
    for path in get_graph_node_names(model)[1]:
        composite = path in dict(model.named_modules()) and path not in graph.nodes
        assert graph.find(path).startswith(f"{path}.") if composite else path in graph.nodes, path


class Numbered(nn.Module):
    """Names that torchvision would shift: there conv_2 is called conv_1."""

    def __init__(self):
        super().__init__()
        self.conv_1, self.conv_2 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)
        self.relu_1 = nn.ReLU()

    def forward(self, x):
        return torch.relu(self.conv_2(self.relu_1(self.relu_1(self.conv_1(x))) * 1.0))


def test_a_modules_node_has_the_modules_name():
    model = Numbered()
    graph = trace(model)
    assert graph.nodes["conv_1"].module is model.conv_1
    assert graph.nodes["conv_2"].module is model.conv_2
    calls = [node.name for node in graph if node.module is model.relu_1]
    assert calls == ["relu_1", "relu_1_1"]
    assert graph.find(model.conv_2) == "conv_2"


def test_a_layer_is_found_by_name_by_module_and_by_what_contains_it():
    model = network("resnet18")
    graph = trace(model)
    assert graph.find("layer1.0.relu_1") == "layer1.0.relu_1"
    assert graph.find(model.layer1[0].conv2) == "layer1.0.conv2"
    assert graph.find(model.layer2) == graph.find("layer2") == "layer2.1.relu_1"
    assert graph.find(model.fc) == "fc"
    images = noise(1, 3, 40, 40)
    net = DeconvNet(model)
    by_name = net.project(images, layer="layer1.0.conv2", channel=3)
    assert torch.equal(net.project(images, layer=model.layer1[0].conv2, channel=3), by_name)


class Shared(nn.Module):
    """One module under two names."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.second = self.first

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


def test_a_module_under_two_names():
    model = Shared().double()
    net = DeconvNet(model, "gradient")
    (last,) = net.graph.returned
    units = live_units(net.record(IMAGES), last, 3)
    found = net.project(IMAGES, units=units, seed="one")
    assert_same(found, projections(model, IMAGES, units, "autograd"))


class Constants(nn.Module):
    """A buffer, a parameter and tensors made in forward."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1))
        self.scale = nn.Parameter(torch.tensor([2.0, -1.0, 3.0]).view(3, 1, 1))

    def forward(self, x):
        y = (x - self.mean) * self.scale + self.mean * torch.tensor([1.0, 2.0, 3.0])[:, None, None]
        return torch.relu(y) * torch.tensor(0.5)


def test_buffers_parameters_and_constants_are_nodes():
    model = Constants()
    before = set(vars(model))
    net = DeconvNet(model, "gradient")
    assert set(vars(model)) == before, "torch.fx left its constants on the model"
    (last,) = net.graph.returned
    images = noise(1, 3, 4, 4).float()
    units = live_units(net.record(images), last, 3)
    found = net.project(images, units=units, seed="one")
    assert_same(found, projections(model, images, units, "autograd"), tolerance=1e-6)
    torch.testing.assert_close(net.record(images)[last], model(images).detach())


def test_a_model_without_input_is_refused():
    class Nothing(nn.Module):
        def forward(self):
            return torch.ones(1)

    with pytest.raises(UntraceableError, match="Nothing takes no input; give a model of images"):
        trace(Nothing())


def test_only_what_a_layer_needs_is_run():
    graph = trace(network("alexnet"))
    names = [node.name for node in graph.upto(["features.3"])]
    assert names == ["x", "features.0", "features.1", "features.2", "features.3"]
    assert graph.nodes["features.1"].mutates
    assert graph.nodes["features.0"].kind == "Conv2d"
    assert trace(network("resnet18")).nodes["layer1.0.add"].call.target is operator.iadd
