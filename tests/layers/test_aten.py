"""ATen overloads: each is read as the function it stands for, and no activation is missing."""

import inspect
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules import activation as activations

from deconvnet import DeconvNet, UnmirroredError
from deconvnet.graph.errors import NotFollowed
from deconvnet.layers import TABLE, Rectification
from deconvnet.layers.aten import ATEN
from deconvnet.layers.table_of_activations import ACTIVATIONS
from tests.support.layer_laws import check_call, numbers
from tests.support.networks import live_units
from tests.support.reference import assert_same, projections

aten = torch.ops.aten
MIXING = {"GLU", "LogSoftmax", "MultiheadAttention", "Softmax", "Softmax2d", "Softmin"}
ARGUMENTS = {"Threshold": (0.1, 0.0)}
CLIPPED = {"ReLU", "ReLU6", "Threshold"}  # the activations that the papers' rules are for
MODULES = {
    name: kind
    for name, kind in vars(activations).items()
    if inspect.isclass(kind) and kind.__module__ == activations.__name__ and name not in MIXING
}
SMOOTH = sorted(set(MODULES) - CLIPPED)


def plain(name):
    return name.lower().replace("_", "")


def spellings(name):
    """Every function and method of torch with the name of an activation, in place ones too."""
    found = [
        (f"{place.__name__}.{word}", getattr(place, word))
        for place in (F, torch, torch.Tensor)
        for word in dir(place)
        if plain(word) == plain(name) and callable(getattr(place, word))
    ]
    return [(spelled, f) for spelled, f in found if not inspect.isclass(f)]


FUNCTIONS = [(n, spelled, f) for n in sorted(MODULES) for spelled, f in spellings(n)]


class Alone(nn.Module):
    """Filters, then an activation."""

    def __init__(self, function):
        super().__init__()
        self.filters, self.function = nn.Conv2d(3, 4, 3), function

    def forward(self, x):
        return self.function(self.filters(x))


def arguments(name):
    weight = (torch.tensor([0.25]).double(),) if name == "PReLU" else ()
    return ARGUMENTS.get(name, weight)


def alone(name, function):
    rest = arguments(name)
    model = Alone(lambda z: function(z, *rest)).double().eval()
    nn.init.normal_(model.filters.weight, generator=torch.Generator().manual_seed(0))
    return model


@pytest.fixture(autouse=True)
def by_export(monkeypatch):
    """Everything is read by torch.export, also what torch.fx can follow."""

    def refuse(model, *inputs):
        raise NotFollowed(model, "refused by the test")

    monkeypatch.setattr("deconvnet.graph.frontends.trace", refuse)


def test_the_enumeration_finds_them():
    assert {"ReLU", "GELU", "Softsign", "Tanhshrink", "Hardswish"} <= set(MODULES)
    words = {spelled for _, spelled, _ in FUNCTIONS}
    assert {"torch.nn.functional.relu_", "torch.relu", "Tensor.sigmoid_"} <= words
    assert len(FUNCTIONS) > 50


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_module_of_an_activation_is_mirrored_without_a_word(name):
    model = Alone(MODULES[name](*ARGUMENTS.get(name, ()))).double()
    net = DeconvNet(model, "gradient")
    recording = net.record(numbers(2, 3, 6, 6), "function")
    assert isinstance(recording.steps[-1].layer, Rectification)
    assert net.graph.nodes["function"].kind == name


@pytest.mark.parametrize(
    ("name", "function"), [(n, f) for n, _, f in FUNCTIONS], ids=[s for _, s, _ in FUNCTIONS]
)
def test_no_function_of_an_activation_is_mirrored_without_a_word(name, function):
    model, images = alone(name, function), numbers(2, 3, 6, 6)
    net = DeconvNet(model, "guided", elsewhere="derivative")
    recording = net.record(images)
    (step,) = [s for s in recording.steps if s.name != "filters"]
    assert isinstance(step.layer, Rectification)
    assert step.layer.activation.name == name
    torch.testing.assert_close(recording[step.name], model(images).detach())
    if name in SMOOTH and name != "Hardtanh":
        with pytest.raises(UnmirroredError, match=f"no rule for {name}"):
            DeconvNet(model, "deconvnet").record(images)
    else:
        assert step.layer.activation.rectifies == (name in CLIPPED)


@pytest.mark.parametrize("name", ["relu", "softsign", "hardshrink"])
def test_an_activation_that_is_missing_is_told(name, monkeypatch):
    """Planted: a table without it, and a graph in which it is left in pieces."""
    model = alone(name, getattr(F, name))
    monkeypatch.setattr("deconvnet.graph.export.collapse", lambda *_: None)
    overload = getattr(getattr(aten, name, None), "default", None)
    monkeypatch.delitem(TABLE, overload, raising=False)
    recording = DeconvNet(model, "gradient").record(numbers(2, 3, 6, 6))
    assert not any(isinstance(step.layer, Rectification) for step in recording.steps)


def test_the_papers_rules_are_for_rectifiers():
    for function in (F.relu, torch.relu, lambda z: z.relu_(), lambda z: z.clamp(min=0)):
        model, images = alone("ReLU", function), numbers(2, 3, 6, 6)
        for policy in ("gradient", "deconvnet", "guided"):
            net = DeconvNet(model, policy)
            recording = net.record(images)
            units = live_units(recording, *recording.activations)
            found = net.project(recording, units=units, seed="one")
            twins = [replace(unit, layer="relu") for unit in units]
            assert_same(found, projections(alone("ReLU", F.relu), images, twins, policy))


def test_every_overload_of_an_activation_is_in_the_table():
    read = {f.activation.name for f in _rectifications()}
    assert read >= set(MODULES) - {"Softsign", "Tanhshrink"}  # these two are functions again
    assert {F.softsign, F.tanhshrink} <= set(ACTIVATIONS)
    for key in ATEN:
        assert isinstance(key, torch._ops.OpOverload), key
        assert not key.overloadpacket.__name__.endswith("_"), "there are no writes to read"


def _rectifications():
    for overload, reader in ATEN.items():
        rest = {
            aten.prelu.default: (torch.tensor([0.25]),),
            aten.threshold.default: (0.1, 0.0),
        }.get(overload, ())
        try:
            found = reader(torch.zeros(1, 1, 4, 4), *rest)
        except (TypeError, AttributeError, IndexError):  # takes other arguments
            continue
        if found is not None and isinstance(found[0], Rectification):
            yield found[0]


X, ONE = numbers(2, 4, 6, 6), numbers(4)
DOUBLED = ([12, 12], True, None)
CALLS = [
    (aten.conv2d.default, X, numbers(6, 2, 3, 3), None, [2, 2], [1, 1], [1, 1], 2),
    (aten.conv2d.padding, X, numbers(3, 4, 3, 3), None, [1, 1], "same"),
    (aten.conv_transpose2d.input, X, numbers(4, 3, 3, 3), None, [2, 2], [1, 1], [1, 1]),
    (aten.linear.default, X, numbers(3, 6)),
    (aten.max_pool2d.default, X, [3, 3], [2, 2], [1, 1]),
    (aten.max_pool2d.default, X, [2, 2]),
    (aten.avg_pool2d.default, X, [3, 3], [2, 2], [1, 1], True, False),
    (aten.adaptive_avg_pool2d.default, X, [2, 3]),
    (aten.mean.dim, X, [2, 3], True),
    (aten.mean.dim, X, [-1]),
    (aten.sum.dim_IntList, X, [1]),
    (aten.batch_norm.default, X, ONE, None, ONE, ONE**2, False, 0.1, 1e-3, True),
    (aten.group_norm.default, X, 2, ONE, ONE, 1e-3, False),
    (aten.layer_norm.default, X, [6], numbers(6), None, 1e-3, False),
    (aten.clamp.default, X, 0),
    (aten.hardtanh.default, X, 0.0, 1.0),
    (aten.add.Tensor, X, numbers(2, 4, 1, 1)),
    (aten.sub.Tensor, X, numbers(2, 4, 6, 6, seed=1)),
    (aten.rsub.Scalar, X, 2),
    (aten.mul.Tensor, X, numbers(2, 4, 1, 1)),
    (aten.div.Tensor, X, 2.0),
    (aten.neg.default, X),
    (aten.cat.default, [X, numbers(2, 1, 6, 6)], 1),
    (aten.stack.default, [X, numbers(2, 4, 6, 6, seed=1)], 2),
    (aten.dropout.default, X, 0.5, False),
    (aten.flatten.using_ints, X, 1),
    (aten.view.default, X, [2, 2, 2, 6, 6]),
    (aten.reshape.default, X, [2, -1]),
    (aten.unsqueeze.default, X, 1),
    (aten.permute.default, X, [0, 2, 3, 1]),
    (aten.transpose.int, X, 1, 2),
    (aten.expand.default, numbers(2, 4, 1, 1), [-1, -1, 3, 3]),
    (aten.slice.Tensor, X, 1, 1, 2**63 - 1, 2),
    (aten.slice.Tensor, X, -1, 1, -1),
    (aten.slice.Tensor, X, 0, 0, 2**63 - 1),
    (aten.narrow.default, X, 2, 1, 3),
    (aten.narrow.default, X, 2, -2, 2),
    (aten.select.int, X, 1, -1),
    (aten.index.Tensor, X, [None, torch.tensor([2, 0, 2])]),
    (aten.pad.default, X, [1, 2, 0, 1], "reflect"),
    (aten.constant_pad_nd.default, X, [1, 2], 0.5),
    (aten.softmax.int, X, 1),
    (aten.exp.default, X),
    (aten.pow.Tensor_Scalar, X, 2),
    (aten.upsample_nearest2d.vec, X, None, [2.0, 2.0]),
    (aten.upsample_bilinear2d.vec, X, [9, 9], True, None),
    (aten.to.dtype, X, torch.float64),
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS, ids=[str(call[0]) for call in CALLS])
def test_the_laws(call):
    """Forward as the overload itself, mirror its adjoint, window what it sees."""
    if call[0] in (aten.clamp.default, aten.hardtanh.default):
        layer, inputs = TABLE[call[0]](*call[1:])
        assert layer.activation.rectifies
        assert torch.equal(layer.activation.function(*inputs), call[0](*call[1:]))
    else:
        check_call(*call)


@pytest.mark.parametrize(
    ("overload", "twin", "rest"),
    [
        (aten.slice.Tensor, aten.slice.Tensor, ((2, 1, 5), (1, 1, 5))),
        (aten.select.int, aten.select.int, ((1, 1), (2, 1))),
        (aten.constant_pad_nd.default, aten.constant_pad_nd.default, (([1, 2],), ([2, 1],))),
        (aten.upsample_nearest2d.vec, aten.upsample_bilinear2d.vec, ((None, [2.0, 2.0]), DOUBLED)),
    ],
)  # fmt: skip
def test_the_laws_catch_an_overload_that_is_read_as_another(overload, twin, rest, monkeypatch):
    read = TABLE[twin]
    monkeypatch.setitem(TABLE, overload, lambda x, *_: read(x, *rest[1]))
    with pytest.raises(AssertionError):
        check_call(overload, X, *rest[0])


def test_what_mixes_a_batch_is_told():
    """A slice of the batch, and normalisation by the statistics of the batch itself."""
    layer, inputs = TABLE[aten.slice.Tensor](X, 0, 0, 1)
    assert not layer.record(*inputs)[1].separable
    mixed = TABLE[aten.batch_norm.default](X, None, None, None, None, True, 0.1, 1e-5, True)
    assert mixed is None
