"""Activations in every spelling: by their derivative under the gradient, else as policies rule."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet.layers import TABLE, Policies, UnmirroredError, reader_for, rectifier
from deconvnet.layers.rectification import INFINITY
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import (
    Planted,
    call,
    check_call,
    check_module,
    in_words,
    numbers,
    read_module,
)

X = 3 * numbers(2, 3, 4, 5)
RECTIFIERS = [nn.ReLU(), nn.ReLU6(), nn.Hardtanh(0, 2), nn.Threshold(0.5, 0), nn.LeakyReLU(0)]
OTHERS = [nn.LeakyReLU(0.1), nn.PReLU(), nn.PReLU(3), nn.RReLU(), nn.ELU(), nn.SELU(), nn.CELU()]
OTHERS += [nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.Mish(), nn.Hardswish(), nn.Hardsigmoid()]
OTHERS += [nn.Softplus(), nn.Softsign(), nn.Sigmoid(), nn.LogSigmoid(), nn.Tanh(), nn.Tanhshrink()]
OTHERS += [nn.Hardshrink(), nn.Softshrink(), nn.Hardtanh(), nn.Hardtanh(-1, 6), nn.Threshold(-1, 0)]
OTHERS += [nn.Threshold(1, 0.5)]
RECTIFYING = [
    (F.relu, ()),
    (torch.relu, ()),
    ("relu", ()),
    (F.relu6, ()),
    (F.hardtanh, (0, 6)),
    (F.threshold, (0, 0)),
    (torch.threshold, (0.5, 0)),
    (torch.clamp, (0,)),
    (torch.clamp, (0, 6)),
    ("clamp", (0,)),
    (torch.clip, (0,)),
    ("clip", (0, 2)),
    ("clamp_min", (0,)),
    (torch.clamp_min, (0,)),
]
OTHER_CALLS = [
    (F.leaky_relu, (0.1,)),
    (F.prelu, (torch.tensor([0.2], dtype=torch.float64),)),
    ("prelu", (torch.tensor([0.2, 0.3, 0.4], dtype=torch.float64),)),
    (F.rrelu, (0.1, 0.3, False)),
    (torch.rrelu, (0.1, 0.3)),
    (F.elu, (0.5,)),
    (F.selu, ()),
    (torch.selu, ()),
    (F.celu, (0.5,)),
    (torch.celu, ()),
    (F.silu, ()),
    (F.gelu, ()),
    (F.mish, ()),
    (F.hardswish, ()),
    (F.hardsigmoid, ()),
    (F.softplus, (2.0,)),
    (F.softsign, ()),
    (F.logsigmoid, ()),
    (F.tanhshrink, ()),
    (F.hardshrink, (0.3,)),
    (torch.hardshrink, ()),
    (F.softshrink, (0.3,)),
    (F.sigmoid, ()),
    (torch.sigmoid, ()),
    ("sigmoid", ()),
    (F.tanh, ()),
    (torch.tanh, ()),
    ("tanh", ()),
    (F.hardtanh, ()),
    (F.threshold, (-1, 0)),
    (torch.clamp, (-1, 1)),
    ("clamp_max", (1,)),
    (torch.clamp_max, (1,)),
]
IN_PLACE = [F.relu_, torch.relu_, "relu_", F.leaky_relu_, F.elu_, F.selu_, torch.selu_, F.celu_]
IN_PLACE += [torch.celu_, F.rrelu_, torch.rrelu_, torch.sigmoid_, "sigmoid_", torch.tanh_, "tanh_"]
IN_PLACE += [F.hardtanh_]
BOUNDED = [F.threshold_, torch.clamp_, "clamp_", torch.clip_, "clip_", torch.clamp_min_]
BOUNDED += ["clamp_min_", torch.clamp_max_, "clamp_max_"]


@pytest.mark.parametrize("module", RECTIFIERS + OTHERS, ids=str)
def test_modules_by_their_derivative(module):
    check_module(module, X)


@pytest.mark.parametrize(("function", "args"), RECTIFYING + OTHER_CALLS, ids=in_words)
def test_calls_by_their_derivative(function, args):
    check_call(function, X, *args)


@pytest.mark.parametrize("function", IN_PLACE + BOUNDED, ids=in_words)
def test_in_place_spellings_leave_the_input_alone(function):
    args = {F.threshold_: (0.5, 0)}.get(function, (1,) if function in BOUNDED else ())
    run = getattr(torch.Tensor, function) if isinstance(function, str) else function
    layer, inputs = call(function, X.clone(), *args)
    check_layer(layer, *inputs, forward=lambda x: run(x.clone(), *args))


@pytest.mark.parametrize(
    "read",
    [
        lambda x: TABLE[F.relu](x, True),
        lambda x: TABLE[F.relu](x, inplace=True),
        lambda x: TABLE[F.leaky_relu](x, 0.1, True),
        lambda x: TABLE[F.hardtanh](x, 0, 6, True),
        lambda x: TABLE[F.threshold](x, 0, 0, True),
        lambda x: TABLE[F.silu](x, inplace=True),
        lambda x: reader_for(nn.ReLU(True))(nn.ReLU(True), x),
        lambda x: reader_for(nn.ELU(0.5, True))(nn.ELU(0.5, True), x),
        lambda x: reader_for(nn.Hardswish(True))(nn.Hardswish(True), x),
    ],
)
def test_inplace_arguments_leave_the_input_alone(read):
    layer, inputs = read(X.clone())
    check_layer(layer, *inputs)


def test_modules_stay_as_they_are():
    module = nn.LeakyReLU(0.1, inplace=True)
    before = copy.deepcopy(vars(module))
    layer, inputs = read_module(module, X)
    layer.record(*inputs)
    assert vars(module) == before


@pytest.mark.parametrize(("function", "args"), RECTIFYING, ids=in_words)
@pytest.mark.parametrize("policy", ["deconvnet", "guided", "rectgrad"])
def test_what_rectifies_is_ruled_in_every_spelling(function, args, policy):
    layer, inputs = TABLE[function](X, *args)
    layer.under(Policies(rectifier(policy))).record(*inputs)


@pytest.mark.parametrize("module", RECTIFIERS, ids=str)
def test_modules_that_rectify_are_ruled(module):
    layer, _ = reader_for(module)(module, X)
    assert layer.activation.rectifies
    layer.under(Policies(rectifier("deconvnet")))


@pytest.mark.parametrize("module", OTHERS, ids=str)
@pytest.mark.parametrize("policy", ["deconvnet", "guided", "rectgrad"])
def test_other_modules_are_never_mirrored_by_silence(module, policy):
    layer, _ = reader_for(module)(module, X)
    with pytest.raises(UnmirroredError, match=f"no rule for {type(module).__name__}; choose"):
        layer.under(Policies(rectifier(policy)))
    assert layer.under(Policies(rectifier(policy), "derivative")).rectifier.name == "gradient"
    assert layer.under(Policies(rectifier(policy), "rectify")).rectifier.name == "deconvnet"


@pytest.mark.parametrize(("function", "args"), OTHER_CALLS, ids=in_words)
def test_other_calls_are_never_mirrored_by_silence(function, args):
    layer, _ = TABLE[function](X, *args)
    with pytest.raises(UnmirroredError, match="no rule for"):
        layer.under(Policies(rectifier("deconvnet")))


def test_every_activation_of_torch_is_in_the_table():
    """One that is not would be left to autograd, and pass any policy by its derivative."""
    mixing = {"GLU", "MultiheadAttention", "Softmin", "Softmax", "Softmax2d", "LogSoftmax"}
    names = set(nn.modules.activation.__all__) - mixing
    assert [name for name in sorted(names) if getattr(nn, name) not in TABLE] == []
    functions = {name.lower() for name in names - {"LeakyReLU"}} | {"leaky_relu"}
    spelled = [
        getattr(place, name + end)
        for place in (torch, F)
        for name in sorted(functions)
        for end in ("", "_")
        if hasattr(place, name + end)
    ]
    assert len(spelled) > 40
    assert [f for f in spelled if f not in TABLE] == []
    methods = [n + e for n in functions for e in ("", "_") if hasattr(torch.Tensor, n + e)]
    assert len(methods) >= 8
    assert [name for name in methods if name not in TABLE] == []


@pytest.mark.parametrize(
    ("module", "ceiling"),
    [(nn.ReLU(), INFINITY), (nn.ReLU6(), 6.0), (nn.Hardtanh(0, 2), 2.0), (nn.Hardtanh(), None)],
    ids=str,
)
def test_ceilings(module, ceiling):
    assert read_module(module, X)[0].activation.ceiling == ceiling


def test_masks_are_bools():
    for module in (nn.ReLU(), nn.ReLU6()):
        layer, inputs = read_module(module, X)
        assert layer.record(*inputs)[1].kept.dtype == torch.bool


def test_clamps_by_tensors_are_left_to_autograd():
    assert TABLE[torch.clamp](X, torch.zeros(())) is None
    assert TABLE["clamp"](X, max=torch.ones(())) is None


def test_an_activation_is_not_run_without_a_policy():
    layer, inputs = TABLE[F.relu](X)
    with pytest.raises(ValueError, match="ReLU was run without a rectifier; call"):
        layer.record(*inputs)


def test_the_law_catches_the_activation_in_place_of_its_mask():
    """As one public package multiplies: by the value where 1 belongs."""
    layer, inputs = call(F.relu, X)
    wrong = Planted(layer, back=lambda s, record: (s * X.relu(),))
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(wrong, *inputs)


def test_the_law_catches_a_ceiling_without_its_mask():
    layer, inputs = call(F.relu6, X)
    assert (X > 6).any()
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(Planted(layer, back=lambda s, record: (s * (X > 0),)), *inputs)


def test_the_law_catches_the_mask_of_another_sample():
    layer, inputs = call(F.relu, X)
    with pytest.raises(LawBroken, match="take law"):
        check_layer(Planted(layer, taken=lambda index: (index + 1) % 2), *inputs)
