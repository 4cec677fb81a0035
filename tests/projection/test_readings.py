"""What is kept of a model between two calls: a change of the model is seen by the second."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from deconvnet import DeconvNet, Unit
from deconvnet.graph.model_state import Look
from deconvnet.projection.check import checked_graphs
from deconvnet.projection.memory import FEW, LATEST, Memory
from deconvnet.projection.readings import Readings
from tests.support.networks import fill, noise

UNIT = Unit("relu_1", 2, 5, 6, image=1)


class Small(nn.Module):
    """Two convolutions with normalisation and a setting of the user's own."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = weight_norm(nn.Conv2d(4, 5, 3, padding=1))
        self.dropout = nn.Dropout(0.5)
        self.factor = 2.0

    def forward(self, x):
        x = self.norm(self.first(x)).relu() * self.factor
        return self.dropout(self.second(x)).relu()


def small():
    torch.manual_seed(0)
    model = Small().double().eval()
    fill(model, torch.Generator().manual_seed(0))
    return model


def replaced(model):
    model.first = nn.Conv2d(3, 4, 3, padding=1).double()


def other_parameter(model):
    model.first.weight = nn.Parameter(torch.randn(4, 3, 3, 3).double())


def written(model):
    with torch.no_grad():
        model.first.weight.mul_(-1)


def of_a_parametrization(model):
    with torch.no_grad():
        model.second.parametrizations.weight.original1.add_(0.5)


def new_data(model):
    model.second.bias.data = torch.randn(5).double()


CHANGES = {
    "a parameter is written into": written,
    "a parameter is another": other_parameter,
    "its data are others": new_data,
    "a part of a parametrization": of_a_parametrization,
    "a module is another": replaced,
    "a buffer": lambda m: m.norm.running_var.fill_(3),
    "a setting of a module of torch": lambda m: setattr(m.norm, "eps", 2.0),
    "a setting that changes sizes": lambda m: setattr(m.first, "padding", (0, 2)),
    "a setting of the model": lambda m: setattr(m, "factor", -3.0),
    "a hook that changes values": lambda m: m.first.register_forward_hook(lambda *a: -a[2]),
    "the class of a module": lambda m: setattr(m, "dropout", nn.Tanh()),
    "a forward of its own": lambda m: setattr(m.dropout, "forward", lambda x: 3 * x),
}  # fmt: skip


@pytest.mark.parametrize("crop", [True, False], ids=["crop", "whole"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_between_two_calls(change, crop):
    model, images = small(), noise(2, 3, 16, 16)
    net = DeconvNet(model, "guided", fallback="derivative")
    for _ in range(3):
        before = net.project(images, units=[UNIT], crop=crop)
    change(model)
    after = net.project(images, units=[UNIT], crop=crop)
    fresh = DeconvNet(model, "guided", fallback="derivative").project(
        images, units=[UNIT], crop=crop
    )
    before, after, fresh = (x[0].pixels if crop else x for x in (before, after, fresh))
    assert torch.equal(after, fresh)
    assert before.shape != after.shape or not torch.equal(before, after)


def test_a_look_that_sees_nothing_would_be_caught(monkeypatch):
    """The planted wrong case: every state is the same."""
    model, images = small(), noise(2, 3, 16, 16)
    net = DeconvNet(model, "guided")
    before = net.project(images, units=[UNIT])
    look = Look.__init__

    def blind(self, model):
        look(self, model)
        self.state = ()

    monkeypatch.setattr(Look, "__init__", blind)
    net.project(images, units=[UNIT])
    other_parameter(model)
    stale = net.project(images, units=[UNIT])
    assert torch.equal(stale, before)
    assert not torch.equal(stale, DeconvNet(model, "guided").project(images, units=[UNIT]))


def test_a_backward_hook_after_the_first_call_is_refused():
    model, images = small(), noise(2, 3, 16, 16)
    net = DeconvNet(model, "guided")
    net.project(images, units=[UNIT])
    handle = model.first.register_full_backward_hook(lambda *a: None)
    with pytest.raises(ValueError, match="a backward hook is registered on first"):
        net.project(images, units=[UNIT])
    handle.remove()
    everywhere = nn.modules.module.register_module_full_backward_hook(lambda *a: None)
    with pytest.raises(ValueError, match="a backward hook is registered on all modules"):
        net.project(images, units=[UNIT])
    everywhere.remove()
    net.project(images, units=[UNIT])


def test_images_of_one_value_prove_nothing_about_others(monkeypatch):
    net, judged = DeconvNet(small(), "guided"), []
    judge = checked_graphs.judge
    monkeypatch.setattr(
        checked_graphs, "judge", lambda *a, **k: judged.append(a[1]) or judge(*a, **k)
    )
    for images in (torch.zeros(2, 3, 16, 16).double(), noise(2, 3, 16, 16), noise(2, 3, 16, 16)):
        net.project(images, units=[UNIT])
    assert [float(images.std()) > 0 for images in judged] == [False, True]


def test_it_is_kept(monkeypatch):
    net, images = DeconvNet(small(), "guided"), noise(2, 3, 16, 16)
    first, asked = net.project(images, units=[UNIT]), []
    named = Readings.named
    monkeypatch.setattr(Readings, "named", lambda *a, **k: asked.append(a) or named(*a, **k))
    assert torch.equal(net.project(images, units=[UNIT]), first)
    assert net.with_rectifier("deconvnet").project(images, units=[UNIT]).shape == first.shape
    assert not asked
    net.project(images[:1], units=[Unit("relu_1", 2, 5, 6)])
    assert len(asked) == 1


OTHER = Unit("relu_1", 3, 0, 15)
QUESTIONS = (
    {"units": [UNIT]},
    {"units": [OTHER]},
    {"units": [OTHER, UNIT]},
    {"units": [UNIT], "strategy": "shared"},
    {"units": [UNIT], "strategy": "cone"},
    {"units": [UNIT], "seed": "map"},
    {"units": [UNIT], "direction": torch.eye(5).double().flip(0)},
    {"units": [UNIT], "through": {"first": [1]}},
)


def answers(net, images):
    found = [net.project(images, **question) for question in QUESTIONS]
    cuts = [net.project(images, crop=True, **QUESTIONS[i]) for i in (0, 1, 2, 6)]
    for crops in cuts:
        found += [crop.pixels for crop in crops]
    return [*found, net.signals(images, [UNIT], at="norm")]


def answered_alike():
    model, images = small(), noise(2, 3, 16, 16)
    nets = [DeconvNet(model, "guided")]
    nets.append(nets[0].with_rectifier("deconvnet"))
    fresh = [answers(DeconvNet(small(), rule), images) for rule in ("guided", "deconvnet")]
    for _ in range(2):
        for net, expected in zip(nets, fresh, strict=True):
            found = answers(net, images)
            for one, other in zip(found, expected, strict=True):
                assert one.shape == other.shape
                assert (one - other).abs().max() <= 1e-12 * other.abs().max()


def test_questions_of_all_kinds_in_turn():
    answered_alike()


def test_a_memory_that_takes_all_questions_for_one_is_caught(monkeypatch):
    """The planted wrong case: the units are no part of the question."""

    class All(dict):
        def get(self, asked):
            return next((known for key, known in self.items() if key[0] == asked[0]), None)

    made = Memory.__init__
    monkeypatch.setattr(Memory, "__init__", lambda self: made(self, answers=All()))
    with pytest.raises((AssertionError, RuntimeError, ValueError, IndexError, KeyError)):
        answered_alike()


def test_the_memory_has_an_end():
    net, images = DeconvNet(small(), "guided"), noise(1, 3, 16, 16)
    for place in range(2 * LATEST):
        net.project(images, units=[Unit("relu_1", place // 16, 5, place % 16)], crop=True)
    many = [Unit("relu_1", 2, 5, place % 16) for place in range(FEW + 1)]
    net.project(images, units=many, crop=True)
    ((_, known),) = net._readings._resolved.values()
    assert len(known.memory.answers) <= LATEST + 4  # and the boxes of the last call
    assert max(len(units) for _, units, *_ in known.memory.answers) <= FEW
