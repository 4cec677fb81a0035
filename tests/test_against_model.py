"""The graph is held against the model: a planted wrong graph is caught, whoever read it."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet, Unit, UntraceableError, mine
from deconvnet.against_model import compare
from deconvnet.reading import exporting, graph, graphs
from tests.networks import live_units, noise
from tests.reference import assert_same, projections

IMAGES = noise(3, 3, 12, 12)


class Model(nn.Module):
    """Two convolutions whose values meet again; ``flip`` is python's to branch on."""

    def __init__(self, *, flip=False):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.flip, self.calls = nn.BatchNorm2d(4), flip, 0

    def forward(self, x):
        self.calls += 1
        x = F.relu(self.one(x))
        x = x + self.norm(self.two(x))
        return -x if self.flip else F.relu(x - 0.1)


def made(**settings):
    return Model(**settings).double().eval()


def dropped(read, name="relu"):
    """A node is left out: who read it reads what it read."""
    (source,) = read.nodes[name].call.all_input_nodes
    read.nodes[name].call.replace_all_uses_with(source)
    model, names, nodes = read.model, read.names, dict(read.nodes)
    for each, node in nodes.items():
        nodes[each] = replace(node, sources=tuple(names[n] for n in node.call.all_input_nodes))
    end = next(iter(read.names)).graph.output_node()
    return graph.Graph(
        model, nodes, names=names, returned=read.returned, constants=read.constants,
        output=end.args[0], reader=read.reader, batch=read.batch,
    )  # fmt: skip


def stale(read):
    """A module has another weight than the model's has now."""
    node = read.nodes["two"]
    old = nn.Conv2d(4, 4, 3, padding=1).double()
    old.load_state_dict(node.module.state_dict())
    old.weight.data[1] *= 1.05
    target = node.call.target
    nodes = {**read.nodes, "two": replace(node, module=old)}
    assert target == "two"
    return graph.Graph(
        read.model, nodes, names=read.names, returned=read.returned, constants=read.constants,
        output=read.output, reader=read.reader, batch=read.batch,
    )  # fmt: skip


@contextmanager
def branched(model):
    """The model is read as if a setting were another."""
    model.flip = not model.flip
    yield
    model.flip = not model.flip


def planted(monkeypatch, wrong, ways):
    """Let these ways of reading a model read it wrongly."""
    read = {"trace": graph.trace, "export": exporting.export}
    for way in ways:

        def reading(model, *args, way=way):
            if wrong is not branched:
                return wrong(read[way](model, *args))
            with branched(model):
                return read[way](model, *args)

        monkeypatch.setattr(graphs, way, reading)


WRONG = {
    "a node dropped": (dropped, "two"),
    "a weight stale": (stale, "two"),
    "a branch taken otherwise": (branched, "the model's output"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_graph_of_torch_fx_is_not_used(monkeypatch, wrong):
    model = made()
    units = live_units(DeconvNet(model, "guided").record(IMAGES), "relu_1")
    planted(monkeypatch, WRONG[wrong][0], ["trace"])
    net = DeconvNet(model, "guided")
    found = net.project(IMAGES, units=units, seed="one")
    assert net.graph.reader == "torch.export"
    assert_same(found, projections(model, IMAGES, units, "guided"))


@pytest.mark.parametrize("call", ["record", "project", "units"])
@pytest.mark.parametrize("wrong", WRONG)
def test_two_wrong_graphs_are_one_error(monkeypatch, wrong, call):
    plant, where = WRONG[wrong]
    planted(monkeypatch, plant, ["trace", "export"])
    net, last = DeconvNet(made()), None
    last = net.graph.returned[0]
    calls = {
        "record": lambda: net.record(IMAGES),
        "project": lambda: net.project(IMAGES, layer=last, channel=0),
        "units": lambda: net.project(IMAGES, units=[Unit(last, 0, 1, 1)], crop=True),
    }
    with pytest.raises(UntraceableError) as caught:
        calls[call]()
    for part in (
        "graph of Model is not the model", f"by torch.fx it is another at {where}",
        f"by torch.export it is another at {where}", "the model gives", "check=False",
    ):  # fmt: skip
        assert part in str(caught.value)
    again = DeconvNet(made(), check=False)
    assert again.record(IMAGES)[again.graph.returned[0]].shape == (3, 4, 12, 12)


def test_layers_below_what_is_wrong_can_be_asked_for(monkeypatch):
    planted(monkeypatch, stale, ["trace", "export"])
    model = made()
    net = DeconvNet(model, "gradient")
    units = [Unit("one", 1, 4, 4), Unit("one", 2, 5, 5, image=1)]
    found = net.project(IMAGES, units=units, seed="one")
    assert_same(found, projections(model, IMAGES, units, "autograd"))
    with pytest.raises(UntraceableError, match="another at two"):
        net.record(IMAGES, "two")
    with pytest.raises(UntraceableError, match="another at two"):
        net.record(IMAGES, "add")


class Halved(torch.autograd.Function):
    """Values that are right, and a gradient that is not."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, signal):
        return signal / 2


def test_a_wrong_gradient_is_caught_where_all_values_agree(monkeypatch):
    model = made()
    read = graph.trace(model)
    right = compare(read, IMAGES, {}, seeds=())
    assert not right.wrong
    assert right.rows[-1].difference < 1e-12
    run = nn.Conv2d.forward
    monkeypatch.setattr(
        nn.Conv2d, "forward", lambda self, x: run(self, Halved.apply(x))
    )  # the table still reads the module as the convolution that it is
    from deconvnet.layers import TABLE

    assert nn.Conv2d in TABLE
    found = compare(read, IMAGES, {}, seeds=())
    assert [row.name for row in found.wrong] == ["the gradient at the images"]
    assert compare(read, IMAGES, {}, seeds=None).wrong == []


class Passes:
    """How often a model is called by its user's door, and how often its convolutions run."""

    def __init__(self, monkeypatch, model):
        self.models, run = 0, type(model).forward

        def forward(module, x):
            self.models += isinstance(x, torch.Tensor)  # not while it is read
            return run(module, x)

        monkeypatch.setattr(type(model), "forward", forward)


def test_the_second_call_pays_nothing(monkeypatch):
    model = made()
    net, other = DeconvNet(model), DeconvNet(model, "guided")
    passes = Passes(monkeypatch, model)
    net.project(IMAGES, layer="two", channel=0)
    assert passes.models == 1
    net.project(IMAGES[:1], layer="relu_1", channel=0)
    net.record(IMAGES + 1)
    other.record(IMAGES)
    assert passes.models == 1, "once for a size, up to whatever layer, for every DeconvNet"
    net.record(noise(1, 3, 9, 9))
    assert passes.models == 2, "another size"
    model.two.weight.data.mul_(1.1)
    model.two.weight.data = model.two.weight.data.clone()
    net.record(IMAGES)
    assert passes.models == 3, "other parameters"
    with torch.no_grad():
        model.one.bias.add_(1)
    net.record(IMAGES)
    assert passes.models == 4, "a parameter was written into"
    model.norm.register_forward_hook(lambda *args: None)
    net.record(IMAGES)
    assert passes.models == 5, "another hook"
    model.float()
    net.record(IMAGES)
    assert passes.models >= 6, "another precision"
    unchecked = DeconvNet(model, check=False)
    before = passes.models
    unchecked.record(noise(1, 3, 7, 7).float())
    assert passes.models == before


def test_mining_compares_values_on_its_first_microbatch(monkeypatch, tmp_path):
    images = [image for image in noise(7, 3, 12, 12)]
    model = made()
    passes = Passes(monkeypatch, model)
    right = mine(model, images, tmp_path / "a.h5", ["two", "relu"], 3, 4)
    assert passes.models == 2, "one image to choose by, one microbatch"
    mine(model, images, tmp_path / "b.h5", ["two", "relu"], 3, 4, check=False)
    assert passes.models == 2
    planted(monkeypatch, stale, ["trace"])
    other = mine(made(), images, tmp_path / "c.h5", ["two", "relu"], 3, 4)
    assert (other["two"].activation == right["two"].activation).all(), "torch.export read it"
    planted(monkeypatch, stale, ["trace", "export"])
    with pytest.raises(UntraceableError, match="another at two"):
        mine(made(), images, tmp_path / "d.h5", ["two", "relu"], 3, 4)
    assert mine(made(), images, tmp_path / "e.h5", ["one"], 3, 4)["one"].channels == 4


INSIDE = []  # holds something while the model itself runs, and not while its graph does


class Flattering(nn.Module):
    """Its graph is right on noise, and another model on bright images."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.one(x)
        INSIDE.append(True)
        x = chosen(x)
        INSIDE.clear()
        return self.two(x)


@torch.fx.wrap
def chosen(x):
    return x * 2 if x.amax() < 50 or INSIDE else x


def test_it_is_the_images_themselves_that_mining_compares(tmp_path):
    dark, bright = ([scale * image for image in noise(4, 3, 12, 12)] for scale in (1, 100))
    assert mine(Flattering().double(), dark, tmp_path / "a.h5", ["two"], 3, 4)["two"].channels == 4
    with pytest.raises(UntraceableError, match="another at two"):
        mine(Flattering().double(), bright, tmp_path / "b.h5", ["two"], 3, 4)


def test_nothing_of_the_comparison_is_left():
    model = made().train()
    model.norm.eval()
    calls, buffers = model.calls, [b.clone() for b in model.buffers()]
    state, images = torch.get_rng_state(), IMAGES.clone()
    DeconvNet(model).record(images)
    assert model.calls == calls
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), buffers, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images, IMAGES)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    assert model.training
    assert not model.norm.training


def test_rounding_is_settled_in_float64(monkeypatch):
    from deconvnet import agreement, checked

    monkeypatch.setitem(agreement.TOLERANCE, torch.float32, 0.0)
    asked = []
    run = checked.compare
    monkeypatch.setattr(
        checked, "compare", lambda g, x, *a, **k: asked.append(x.dtype) or run(g, x, *a, **k)
    )
    DeconvNet(made().float()).record(IMAGES.float())
    assert asked == [torch.float32, torch.float64]


class Rolling(nn.Module):
    """Not the same twice."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return F.dropout(self.one(x), training=True)


def test_two_answers_to_one_input_are_told_as_such():
    net = DeconvNet(Rolling().double())
    with pytest.raises(UntraceableError, match="two answers to one input, first at the model's"):
        net.record(IMAGES)
    assert net.project(IMAGES, layer="one", channel=0).any(), "below there is one answer"
