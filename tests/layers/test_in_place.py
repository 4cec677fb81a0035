"""Steps that write over their input give what the others give, bit for bit, and only of old."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from deconvnet.layers import Policies, in_place, reader_for, rectifier
from deconvnet.layers.joining import Combination
from deconvnet.layers.policies import RECTIFIERS, DeconvNetRule
from deconvnet.layers.rectification import Active, Kept, Rectification
from tests.support.layer_laws import numbers

X = 3 * numbers(2, 3, 4, 5)
MODULES = [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.LeakyReLU(0.1), nn.SiLU(), nn.GELU()]
MODULES += [nn.Threshold(0.5, 0), nn.Hardtanh(0, 2)]


HALF = (torch.bfloat16, torch.float32)  # the input's type, and the parameters'


def bound(module, rule, packed=True):
    layer = reader_for(module)(module, X)[0].under(Policies(rectifier(rule), "derivative"))
    return replace(layer, packed=packed)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("rule", RECTIFIERS)
@pytest.mark.parametrize("module", MODULES, ids=str)
def test_rectification(module, rule, packed):
    layer, given = bound(module, rule, packed), X.clone()
    output, kept = layer.record(X)
    over, kept_over = in_place.recorded(layer, [given])
    assert torch.equal(over, output)
    for one, other in zip(parts(kept.kept), parts(kept_over.kept), strict=True):
        assert torch.equal(one, other)
    signal = numbers(2, 3, 4, 5) - 0.5
    (below,) = layer.mirror(signal, kept)
    assert torch.equal(layer.mirror(signal, kept_over)[0], below)
    (below_over,) = in_place.mirrored(layer, signal.clone(), kept_over)
    assert torch.equal(below_over, below)
    if in_place.is_new(layer):
        held = {one.data_ptr() for one in parts(kept.kept)}
        assert output.data_ptr() not in {*held, X.data_ptr()}
    if in_place.sends_new(layer, own=False):
        assert below.data_ptr() != signal.data_ptr()


def parts(kept):
    return [] if kept is None else list(kept) if isinstance(kept, tuple) else [kept]


@pytest.mark.parametrize("rule", ["gradient", "deconvnet", "guided"])
def test_what_a_relu_writes_over(rule):
    """That it is done at all: both ways pass through memory once less."""
    layer, given, signal = bound(nn.ReLU(), rule), X.clone(), numbers(2, 3, 4, 5)
    output, kept = in_place.recorded(layer, [given])
    assert output.data_ptr() == given.data_ptr()
    assert in_place.mirrored(layer, signal, kept)[0].data_ptr() == signal.data_ptr()


@pytest.mark.parametrize("rule", ["gradient", "guided"])
def test_a_signal_of_another_type_passes_where_a_relu_is_active(rule):
    layer = bound(nn.ReLU(), rule, packed=False)
    output, kept = in_place.recorded(layer, [X.clone()])
    assert isinstance(kept, Active)
    signal = numbers(2, 3, 4, 5).float() - 0.5
    (below,) = in_place.mirrored(layer, signal.clone(), kept)
    assert torch.equal(below, layer.mirror(signal, Kept(output > 0))[0])


@pytest.mark.parametrize("module", [nn.GELU(), nn.SiLU(inplace=True), nn.LeakyReLU(0.1)], ids=str)
def test_a_slope_is_taken_before_the_function(module):
    layer, given = bound(module, "gradient"), X.clone()
    in_place.recorded(layer, [given])
    assert torch.equal(given, X)


@pytest.mark.parametrize("unpooling", ["switches", "centre", "uniform"])
def test_unpooling_sends_a_new_tensor(unpooling):
    layer = replace(reader_for(nn.MaxPool2d(1))(nn.MaxPool2d(1), X)[0], unpooling=unpooling)
    _, kept = layer.record(X)
    signal = numbers(2, 3, 4, 5)
    for given in (signal, signal.contiguous(memory_format=torch.channels_last)):
        (below,) = layer.mirror(given, kept)
        assert in_place.sends_new(layer, own=False)
        assert below.data_ptr() != given.data_ptr()


@torch.no_grad()
@pytest.mark.parametrize("settings", [{}, {"affine": False}, {"eps": 0.1}], ids=str)
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 3, 7), (2, 3), (2, 3, 2, 2, 3), (0, 3, 4, 5)])
@pytest.mark.parametrize("kinds", [(torch.float64,) * 2, (torch.float32,) * 2, HALF], ids=str)
def test_batch_normalization(kinds, size, settings):
    module = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[len(size)]
    norm = module(3, **settings).eval()
    norm.load_state_dict({k: 1 + torch.rand(v.shape) for k, v in norm.state_dict().items()})
    x, signal = (numbers(*size, seed=seed).to(kinds[0]) for seed in (0, 1))
    layer, _ = reader_for(norm.to(kinds[1]))(norm, x)
    output, record = layer.record(x)
    views = [x.clone(), torch.stack([x, x], 2)[:, :, 0]]
    if x.ndim == 4:
        views.append(x.contiguous(memory_format=torch.channels_last))
    for given in views:
        before = torch.empty_strided(given.shape, given.stride(), dtype=x.dtype).copy_(given)
        over, same = in_place.recorded(layer, [given])
        assert torch.equal(over, layer.record(before)[0])
        assert type(same) is type(record)
        if x.numel():
            assert (over is given) == (kinds is not HALF and given is not views[1])
    over = signal.clone()
    assert torch.equal(in_place.mirrored(layer, over, record)[0], layer.mirror(signal, record)[0])


def test_sums():
    one, other = X.clone(), numbers(2, 3, 4, 5)
    expected = X + other
    output, record = in_place.recorded(Combination((1, 1)), [one, other])
    assert torch.equal(output, expected)
    assert output.data_ptr() == one.data_ptr()
    assert record.inputs == (X.shape, X.shape)
    twice, _ = in_place.recorded(Combination((1, 1)), [one, one])
    assert torch.equal(twice, 2 * expected)


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (Combination((1, -1)), (X, X + 1)),
        (Combination((1, 1), 2), (X, X + 1)),
        (Combination((2,)), (X,)),
        (Combination((1, 1)), (X[:1], X)),
        (Combination((1, 1)), (X.float(), X)),
        (Combination((1, 1)), (X, X.float())),
    ],
)
def test_other_sums_are_made_as_ever(layer, inputs):
    given = [x.clone() for x in inputs]
    output, record = in_place.recorded(layer, given)
    expected, known = layer.record(*inputs)
    assert torch.equal(output, expected)
    assert output.dtype == expected.dtype
    assert record.inputs == known.inputs


def test_subclasses_and_rules_of_the_users_own_are_asked_themselves():
    class Own(Rectification):
        def record(self, input):
            return super().record(input * 2)

        def mirror(self, signal, record):
            return (signal * 3,)

    class Louder(DeconvNetRule):
        def signal(self, R, kept):
            return 5 * R

    layer, given = Own(bound(nn.ReLU(), "deconvnet").activation, DeconvNetRule()), X.clone()
    assert torch.equal(in_place.recorded(layer, [given])[0], (2 * X).relu())
    assert torch.equal(given, X)
    assert torch.equal(in_place.mirrored(layer, given, None)[0], 3 * X)
    assert not in_place.is_new(layer)
    assert not in_place.sends_new(layer, own=True)
    loud = bound(nn.ReLU(), Louder())
    output, kept = in_place.recorded(loud, [given])
    assert torch.equal(given, X)
    assert torch.equal(in_place.mirrored(loud, given, kept)[0], 5 * X)
    assert not in_place.is_new(loud)
    assert not in_place.sends_new(loud, own=True)
    assert torch.equal(output, X.relu())
