"""Both front ends read the same graph: names, projections and fields are equal."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import UnmirroredError
from deconvnet.graph.errors import NotFollowed
from deconvnet.graph.export import export
from deconvnet.graph.graph import trace
from deconvnet.layers import Policies, rectifier
from deconvnet.projection import receptive_field
from deconvnet.projection.backward import whole
from deconvnet.projection.forward import record
from deconvnet.projection.project import from_recording
from deconvnet.projection.way import Way
from tests.support.networks import live_units, network, noise, pictures
from tests.support.reference import assert_same, projections

RULED = ("alexnet", "resnet18", "googlenet")
OTHERS = ("shufflenet_v2_x1_0", "mobilenet_v3_small")
LARGE = pytest.param("densenet121", marks=pytest.mark.slow)
SIZES_ONLY = {"size", "floordiv", "getattr", "get_attr", "sym_size"}  # no value of the network's
POLICIES = ("gradient", "deconvnet", "guided")


def values(graph):
    """The nodes that compute feature maps, {name: kind}; in-place and out of place are one."""
    kinds = {node.name: node.kind.removeprefix("i") for node in graph}
    sizes = {n for n, kind in kinds.items() if kind in SIZES_ONLY}
    sizes |= {n.name for n in graph if n.sources and set(n.sources) <= sizes and n.kind != "add"}
    return {name: kind for name, kind in kinds.items() if name not in sizes}


def recorded(graph, images, layers, policy):
    policies = Policies(rectifier(policy), fallback="derivative")
    return record(graph, images, layers, policies=policies)


def project(recording, units, *, seed):
    made = {}
    for some in from_recording(recording, units, way=Way((recording.input,), seed)):
        (signals,), (crop,) = some.signals.values(), some.crops.values()
        made |= zip(some.numbers, whole(signals, crop), strict=True)
    return torch.stack([made[number] for number in range(len(units))])


def compare(graphs, images, layers, policies=POLICIES):
    """Activations, projections and fields of two graphs of a model."""
    for policy in policies:
        one, other = (recorded(graph, images, layers, policy) for graph in graphs)
        units = [unit for layer in layers for unit in live_units(one, layer)]
        for layer in layers:
            torch.testing.assert_close(one[layer], other[layer], rtol=1e-10, atol=1e-12)
        found = project(other, units, seed="one")
        assert_same(found, project(one, units, seed="one"))
        assert receptive_field.of_layers(one, layers) == receptive_field.of_layers(other, layers)
        for unit in units:
            where = unit.position or ()
            boxes = [
                receptive_field.box(r, unit.layer, where, channel=unit.channel)
                for r in (one, other)
            ]
            assert boxes[0] == boxes[1], unit
    return units


def probes(graph, images):
    """An early, a middle and a late feature map, and what the model returns."""
    every = recorded(
        graph, images[:1], list(graph.upto(graph.returned)[-1:][0].sources), "identity"
    )
    names = [n for n, size in every.sizes.items() if len(size) == 4 and size[-1] > 1]
    names = [n for n in names if graph.nodes[n].call.op.startswith("call")]
    return [names[len(names) // 6], names[len(names) // 2], names[-1], *graph.returned]


@pytest.mark.parametrize("name", [*RULED, *OTHERS, LARGE])
def test_both_front_ends_read_the_same_network(name):
    model, images = network(name), pictures(name)
    graphs = trace(model), export(model, images)
    expected, found = map(values, graphs)
    assert found.items() >= expected.items() or name == "shufflenet_v2_x1_0"
    kinds = ("Conv2d", "ReLU", "MaxPool2d", "AvgPool2d", "cat", "add", "relu", "BatchNorm2d")
    for kind in kinds:
        names = [[n for n, k in one.items() if k == kind] for one in (expected, found)]
        assert names[0] == names[1], kind
    assert graphs[0].returned == graphs[1].returned
    assert graphs[1].batch is None
    layers = probes(graphs[0], images)
    units = compare(graphs, images, layers)
    if name in RULED:
        for policy in POLICIES:
            made = project(recorded(graphs[1], images, layers, policy), units, seed="one")
            assert_same(made, projections(model, images, units, policy))


def test_the_comparison_catches_another_network():
    model, other, images = network("resnet18"), network("resnet18"), pictures("resnet18")
    other.layer1[0].conv1.dilation, other.layer1[0].conv1.padding = (2, 2), (2, 2)
    graphs = trace(model), export(other, images)
    with pytest.raises(AssertionError):
        compare(graphs, images, ["layer2.0.add"])
    with pytest.raises(AssertionError):
        assert values(graphs[1]).items() >= values(trace(network("alexnet"))).items()


class Spelled(nn.Module):
    """Every way to write an activation or a join that torch.export takes apart or writes in."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1, padding_mode="reflect")
        self.act, self.block = nn.ReLU(inplace=True), nn.Sequential(nn.Conv2d(6, 6, 3), nn.ReLU())
        self.norm, self.plain = nn.LocalResponseNorm(3), torch.full((6, 1, 1), 0.5).double()
        self.register_buffer("mean", torch.full((6, 1, 1), 0.1).double())

    def forward(self, x):
        x = self.act(self.act(self.conv(x)) - self.mean) * self.plain
        x = F.relu(self.norm(F.local_response_norm(x, 5, alpha=0.1)), inplace=True)
        x += F.adaptive_max_pool2d(x, 1) / torch.tensor(2.0)
        a, b = x.split(3, 1)
        x = torch.cat([b[:, :, ::2, 1:], torch.relu(a[..., ::2, 1:] - 0.2)], dim=1)
        x = self.block(self.block(x)).clamp(min=0)
        x[:, 0] = 0
        return F.batch_norm(x, self.mean.flatten(), self.mean.flatten() + 1, eps=0.1)


class Followed(Spelled):
    """The same, without the line that torch.fx cannot follow."""

    def forward(self, x):
        x = self.act(self.act(self.conv(x)) - self.mean) * self.plain
        x = F.relu(self.norm(F.local_response_norm(x, 5, alpha=0.1)), inplace=True)
        x += F.adaptive_max_pool2d(x, 1) / torch.tensor(2.0)
        a, b = x.split(3, 1)
        x = torch.cat([b[:, :, ::2, 1:], torch.relu(a[..., ::2, 1:] - 0.2)], dim=1)
        x = self.block(self.block(x)).clamp(min=0)
        x = torch.cat([torch.zeros_like(x[:, :1]), x[:, 1:]], dim=1)
        return F.batch_norm(x, self.mean.flatten(), self.mean.flatten() + 1, eps=0.1)


def spelled(kind):
    torch.manual_seed(0)
    model = kind().double().eval()
    nn.init.normal_(model.conv.weight)
    nn.init.normal_(model.block[0].weight, std=0.2)
    return model


def test_modules_and_functions_that_are_taken_apart_are_put_together():
    model, images = spelled(Spelled), noise(2, 3, 12, 12)
    graph = export(model, images)
    kinds = {node.name: node.kind for node in graph}
    for name, kind in {
        "conv": "Conv2d", "act": "ReLU", "act_1": "ReLU", "norm": "LocalResponseNorm",
        "local_response_norm": "local_response_norm", "relu": "relu", "cat": "cat", "add": "add",
        "adaptive_max_pool2d": "adaptive_max_pool2d", "block.0_1": "Conv2d", "clamp": "clamp",
    }.items():  # fmt: skip
        assert kinds[name] == kind, name
    assert not [node.name for node in graph if node.mutates and node.module is None]
    assert graph.find(model.conv) == graph.find("conv") == "conv"
    assert graph.find(model.block) == graph.find("block") == "block.1_1"
    assert graph.nodes["block.0"].module is model.block[0]
    for policy in POLICIES:
        one = recorded(graph, images, graph.returned, policy)
        with torch.no_grad():
            torch.testing.assert_close(one[graph.returned[0]], model(images.clone()))
        other = recorded(trace(spelled(Followed)), images, graph.returned, policy)
        units = live_units(one, graph.returned[0], 3)
        assert_same(project(one, units, seed="one"), project(other, units, seed="one"))


def test_the_comparison_catches_what_is_left_in_pieces(monkeypatch):
    """Operation by operation, response normalisation is exact under deconvnet."""
    model, images = spelled(Spelled), noise(2, 3, 12, 12)
    whole = export(model, images)
    monkeypatch.setattr("deconvnet.graph.export.collapse", lambda *_: None)
    pieces = export(model, images)
    units = live_units(recorded(whole, images, whole.returned, "deconvnet"), whole.returned[0], 3)
    found = [
        project(recorded(graph, images, graph.returned, "deconvnet"), units, seed="one")
        for graph in (whole, pieces)
    ]
    with pytest.raises(AssertionError, match="is off by"):
        assert_same(*found)


def test_parameters_and_buffers_are_the_models_own():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.plain = nn.Parameter(torch.ones(3, 1, 1)), torch.ones(3, 1, 1)
            self.register_buffer("mean", torch.zeros(3, 1, 1), persistent=False)
            self.filters = nn.Parameter(torch.ones(2, 3, 1, 1))

        def forward(self, x):
            return F.conv2d((x - self.mean) * self.scale * self.plain, self.filters)

    model = Own()
    graph = export(model, noise(2, 3, 4, 4).float())
    for path in ("scale", "mean", "filters", "plain"):
        assert graph.nodes[path].kind == "get_attr"
        assert graph.attribute(path) is getattr(model, path), path
    assert graph.nodes["conv2d"].kind == "conv2d"


def test_paths_with_an_underscore_are_paths():
    class Private(nn.Module):
        def __init__(self):
            super().__init__()
            self._block = nn.Sequential(nn.Conv2d(3, 2, 1), Swish())

        def forward(self, x):
            return self._block(x).view(x.size(0), -1)

    class Swish(nn.Module):
        def forward(self, x):
            return x * torch.sigmoid(x)

    model = Private()
    graphs = trace(model), export(model, noise(2, 3, 4, 4).float())
    assert {"_block.0", "_block.1.sigmoid", "_block.1.mul", "view"} <= set(graphs[1].nodes)
    assert values(graphs[1]) == values(graphs[0])


class Aliased(nn.Module):
    def forward(self, x):
        y = x * 2
        z = y.flatten(2)
        z.mul_(3)
        return y


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen.add_(1)
        return x * self.seen


def test_writes_that_cannot_be_followed_are_refused():
    with pytest.raises(NotFollowed, match=r"`z.mul_\(3\)` writes into a tensor .* out of place"):
        export(Aliased(), noise(2, 3, 4, 4))


def test_a_buffer_that_forward_writes_into_stays_as_it_was():
    model = Counting()
    graph = export(model, noise(2, 3, 4, 4))
    recording = recorded(graph, noise(2, 3, 4, 4), graph.returned, "gradient")
    assert model.seen == 0
    torch.testing.assert_close(recording["mul"], noise(2, 3, 4, 4))


def test_an_activation_without_a_rule_is_told_by_its_name():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU()).double()
    graph = export(model, noise(2, 3, 8, 8))
    with pytest.raises(UnmirroredError, match="at 1: .* no rule for GELU"):
        record(graph, noise(2, 3, 8, 8), ["1"], policies=Policies(rectifier("guided")))
