"""The graph is held against the model: a planted wrong graph is caught, whoever read it."""

import copy

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Unit, UntraceableError, mine
from deconvnet.graph import export, graph
from deconvnet.layers import MirroredLayer, Nothing
from deconvnet.projection.check.against_model import compare
from deconvnet.projection.check.checked_graphs import judge
from tests.support.networks import live_units
from tests.support.planted import IMAGES, WRONG, ForExport, made, planted, stale
from tests.support.reference import assert_same, error, projections


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


@pytest.mark.parametrize("call", ["record", "project", "mine"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_graph_of_torch_export_alone_is_one_error(monkeypatch, tmp_path, wrong, call):
    """Where torch.fx cannot follow the model there is nothing to fall back to."""
    plant, where = WRONG[wrong]
    calls = {
        "record": lambda model: DeconvNet(model).record(IMAGES),
        "project": lambda model: DeconvNet(model).project(IMAGES, layer="norm", channel=0),
        "mine": lambda model: mine(model, list(IMAGES), tmp_path / "a.h5", k=1, progress=False),
    }
    right = DeconvNet(made(ForExport), "gradient")
    assert error(right.record(IMAGES)[right.graph.returned[0]], made()(IMAGES).detach()) < 1e-10
    planted(monkeypatch, plant, ["export"])
    if (wrong, call) == ("a branch taken otherwise", "project"):
        assert calls[call](made(ForExport)).any(), "it is above the layer"
        return
    with pytest.raises(UntraceableError, match=f"by torch.export it is another at {where}"):
        calls[call](made(ForExport))
    assert not (tmp_path / "a.h5").exists()


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


READERS = {"torch.fx": graph.trace, "torch.export": lambda model: export.export(model, IMAGES)}


@pytest.mark.parametrize("reader", READERS)
def test_a_wrong_gradient_is_caught_where_all_values_agree(monkeypatch, reader):
    model = made()
    read = READERS[reader](model)
    right = compare(read, IMAGES, {}, seeds=())
    assert not right.wrong
    assert right.rows[-1].difference < 1e-12
    run = nn.Conv2d.forward
    monkeypatch.setattr(
        nn.Conv2d, "forward", lambda self, x: run(self, Halved.apply(x))
    )  # the table still reads the module as the convolution that it is
    found = compare(read, IMAGES, {}, seeds=())
    assert [row.name for row in found.wrong] == ["the gradient at the images"]
    assert compare(read, IMAGES, {}, seeds=None).wrong == []


class Twice(nn.Module):
    """A user's own module."""

    def forward(self, x):
        return 2 * x + 1


class Doubling(MirroredLayer):
    """A user's own mirror of it, no gradient; where ``shift`` is 1 its values are right."""

    shift = 1

    def record(self, input):
        return 2 * input + self.shift, Nothing()

    def mirror(self, signal, record):
        return (7 * signal,)

    def window(self, window, record):
        return (window,)


def test_mirrors_of_a_users_own_are_held_to_their_values_alone(monkeypatch):
    mirrors = {Twice: lambda module, x: (Doubling(), (x,))}
    model = nn.Sequential(nn.Conv2d(3, 4, 3), Twice(), nn.Conv2d(4, 2, 1)).double()
    own, plain = DeconvNet(model, "gradient", mirrors=mirrors), DeconvNet(model, "gradient")
    found, right = (net.project(IMAGES, layer="2", channel=0, seed="one") for net in (own, plain))
    torch.testing.assert_close(found, 3.5 * right)
    monkeypatch.setattr(Doubling, "shift", 2)
    with pytest.raises(UntraceableError, match="another at 1"):
        DeconvNet(copy.deepcopy(model), "gradient", mirrors=mirrors).record(IMAGES)


def test_a_dead_gradient_is_no_proof(monkeypatch):
    """The last layer is zero, as where training begins: the signal starts below it."""
    model = nn.Sequential(made(), nn.Conv2d(4, 2, 1).double())
    nn.init.zeros_(model[1].weight)
    read = graph.trace(model)
    assert not compare(read, IMAGES, {}, seeds=()).alive
    assert judge(read, IMAGES, gradient=True).fine
    run = nn.Conv2d.forward
    monkeypatch.setattr(nn.Conv2d, "forward", lambda self, x: run(self, Halved.apply(x)))
    judgement = judge(read, IMAGES, gradient=True)
    assert judgement.problem is not None
    assert judgement.problem.name == "the gradient at the images"
