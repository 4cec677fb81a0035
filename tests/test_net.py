"""DeconvNet: its layers are those of one size of images; another rule is the same model again."""

import pytest
import torch
from torch import Tensor, nn

from deconvnet import DeconvNet, Preprocessing, Recording, Rectifier, Unit, UntraceableError
from deconvnet.layers import Policies
from deconvnet.projection.check import checked_graphs
from deconvnet.projection.geometry import Geometry
from tests.support.networks import network, noise


def small(channels=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3)
    )


def sizes(layers):
    return {name: layer.size for name, layer in layers.items()}


CALLS = {
    "project": lambda net: net.project(noise(2, 3, 40, 52).float(), layer="3", channel=1),
    "record": lambda net: net.record(noise(1, 3, 64, 64).float()),
    "plan": lambda net: net.plan(noise(1, 3, 33, 33).float(), Unit("0", 1, 2, 2)),
    "layers_at": lambda net: net.layers_at((3, 96, 80)),
    "geometry": lambda net: net.geometry((3, 31, 31)),
    "another rule": lambda net: net.with_rectifier("gradient").layers_at((3, 50, 50)),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("given", [None, (3, 60, 44)])
def test_no_call_changes_the_layers(call, given):
    net = DeconvNet(small(), input_size=given)
    before = net.layers
    rows, columns = given[1:] if given else (224, 224)
    assert before["0"].size == ((rows - 1) // 2, (columns - 1) // 2)
    CALLS[call](net)
    assert net.layers == before
    CALLS[call](DeconvNet(small()))
    untouched = DeconvNet(small(), input_size=given)
    CALLS[call](untouched)
    assert untouched.layers == before, "nor a call before they were asked for"


def test_their_size_is_the_input_size_then_the_preprocessings_then_224():
    assert DeconvNet(small(channels=1)).layers["0"].size == (111, 111)
    model = small()
    model.preprocessing = Preprocessing((41, 61), None)
    assert DeconvNet(model).layers["0"].size == (20, 30)
    assert DeconvNet(model, input_size=(3, 19, 19)).layers["0"].size == (9, 9)
    signals = DeconvNet(nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU()))
    assert signals.layers["0"].size == (222,)


def test_layers_at_another_size_are_those_of_a_net_of_that_size():
    net = DeconvNet(small())
    assert net.layers_at((3, 299, 201)) == DeconvNet(small(), input_size=(3, 299, 201)).layers
    assert sizes(net.layers_at((3, 299, 201))) != sizes(net.layers)
    with pytest.raises(ValueError, match=r"images of shape \(1, 3, 4, 4\).*stopped at 2"):
        net.layers_at((3, 4, 4))


class Fixed(nn.Module):
    """Takes images of 32 x 32 alone."""

    def __init__(self):
        super().__init__()
        self.conv, self.top = nn.Conv2d(3, 2, 3), nn.Linear(2 * 30 * 30, 5)

    def forward(self, x):
        return self.top(self.conv(x).flatten(1))


@pytest.mark.parametrize("model", [Fixed(), nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU())])
def test_where_224_cannot_be_run_the_error_says_what_to_give(model):
    net = DeconvNet(model)
    with pytest.raises(ValueError, match=r"no size of images was given.*input_size=\("):
        _ = net.layers
    size = (3, 32, 32) if isinstance(model, Fixed) else (3, 8, 9, 10)
    assert DeconvNet(model, input_size=size).layers == net.layers_at(size) != {}


def test_nothing_runs_before_it_is_needed():
    ran = []

    class Counted(nn.ReLU):
        __module__ = "torch.nn.own"  # a leaf, as modules of torch are

        def forward(self, x):
            ran.append(type(x))
            return super().forward(x)

    net = DeconvNet(nn.Sequential(nn.Conv2d(3, 4, 3), Counted()), "gradient", input_size=(3, 9, 9))
    net.with_rectifier("guided")
    assert list(net.graph.nodes) == ["input", "0", "1"]
    assert Tensor not in ran
    assert net.layers["1"].size == (7, 7)
    assert ran.count(Tensor) == 1


@pytest.mark.parametrize("rule", ["gradient", "deconvnet", "identity", "rectgrad(80)"])
def test_another_rule_gives_what_a_net_of_that_rule_does(rule):
    model, images = network("resnet18"), noise(2, 3, 48, 48)
    first = DeconvNet(model, "guided")
    before = first.project(images, layer="layer2.0.add", channel=3)
    found = first.with_rectifier(rule).project(images, layer="layer2.0.add", channel=3)
    assert torch.equal(
        found, DeconvNet(model, rule).project(images, layer="layer2.0.add", channel=3)
    )
    assert not torch.equal(found, before)
    assert torch.equal(first.project(images, layer="layer2.0.add", channel=3), before)
    assert first.policies.rectifier.name == "guided"


def test_the_graph_its_check_and_geometries_are_shared(monkeypatch):
    judged, judge = [], checked_graphs.judge

    def noted(graph, images, **how):
        judged.append(graph)
        return judge(graph, images, **how)

    monkeypatch.setattr(checked_graphs, "judge", noted)
    net, images = DeconvNet(small(), fallback="derivative"), noise(2, 3, 30, 30).float()
    net.project(images, layer="3", channel=1)
    other = net.with_rectifier("gradient")
    other.project(images, layer="3", channel=1)
    assert len(judged) == 1
    assert other.graph is net.graph
    assert other.geometry((3, 30, 30)) is net.geometry((3, 30, 30))
    assert other.policies.fallback == "derivative"
    with pytest.raises(ValueError, match="no rectifier is called 'guide'"):
        net.with_rectifier("guide")
    same, recording = net.with_rectifier("deconvnet"), net.record(images, "3")
    shared = same.project(recording, layer="3", channel=1)
    assert torch.equal(shared, net.project(images, layer="3", channel=1))


@pytest.mark.parametrize("size", [(3, 16.0, 17), (3, -16, 17), (3, 0, 9), 224, (), ("3", "9", "9")])
def test_a_size_that_is_none_is_told(size):
    for ask in (
        lambda: DeconvNet(small()).layers_at(size),
        lambda: DeconvNet(small(), input_size=size),
    ):
        with pytest.raises(ValueError, match="the size of an image was .*all positive"):
            ask()


class Branching(nn.Sequential):
    """Only torch.export can follow it."""

    def forward(self, x):
        return x if x.shape[2] > 999 else super().forward(x)


@pytest.mark.parametrize("ask", [lambda net: net.layers, lambda net: net.geometry((3, 20, 20))])
def test_the_graph_is_there_when_layers_were_asked_for(ask):
    net = DeconvNet(Branching(*small()), "gradient")
    with pytest.raises(UntraceableError, match="give input_size="):
        net.graph  # noqa: B018
    ask(net)
    assert [node.kind for node in net.graph][-1] == "Conv2d"


class Powered(Rectifier):
    """A rule with a function that its text does not tell from another."""

    name = "powered"

    def __init__(self, of):
        self.of = of

    def remember(self, z, a, activation):
        return a

    def signal(self, R, kept):
        return R * self.of(kept)


def test_two_instances_of_a_rule_are_two_rules():
    one, other = Powered(lambda a: a), Powered(lambda a: a**3)
    assert str(one) == str(other)
    net, images = DeconvNet(small(), one), noise(2, 3, 30, 30).float()
    found = net.with_rectifier(other).project(images, layer="3", channel=1)
    expected = DeconvNet(net.model, other).project(images, layer="3", channel=1)
    assert torch.equal(found, expected)
    assert net.with_rectifier(one).policies is net.policies


def test_policies_are_no_rectifier():
    """Their fallback would be ignored in silence."""
    with pytest.raises(ValueError, match="no rectifier is called Policies"):
        DeconvNet(small()).with_rectifier(Policies.of("guided", "derivative"))


def tensors(value):
    if isinstance(value, Tensor):
        yield value
    for part in (
        value if isinstance(value, (tuple, list)) else getattr(value, "__dict__", {}).values()
    ):
        yield from tensors(part)


def test_a_geometry_holds_no_policy_and_no_values():
    model, images = network("resnet18"), noise(1, 3, 48, 48)
    net = DeconvNet(model, "gradient")
    geometry, recording = net.geometry((3, 48, 48)), net.record(images, "layer4.1.add")
    assert isinstance(recording, Geometry)
    assert not isinstance(geometry, Recording)
    assert set(vars(geometry)) == {"input", "steps", "sizes", "dtypes"}
    assert {n: s for n, s in geometry.sizes.items() if n in recording.sizes} == recording.sizes
    kept = sum(t.nbytes for step in geometry.steps for t in tensors(step.record))
    switches = recording.switches.values()
    assert kept == sum(each.places.nbytes for each in switches) > 0, "no masks"


def test_a_geometry_refuses_no_activation():
    smooth = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Conv2d(4, 4, 3), nn.Softplus())
    assert DeconvNet(smooth, "deconvnet").layers_at((3, 9, 9))["3"].size == (5, 5)
