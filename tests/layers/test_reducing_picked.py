"""Values picked along an axis keep the laws, and go back to the place that torch has chosen."""

from dataclasses import replace

import pytest
import torch

from deconvnet.layers import TABLE
from deconvnet.layers.reducing import PICKING as ROWS
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import Planted, call, check_call, in_words, numbers

aten = torch.ops.aten
X = (3, 4, 2, 5)
SPELLINGS = [
    (torch.max, 1), (torch.max, -1, True), (torch.min, 2), ("max", 3, True), ("min", 1),
    ("max", -2), (torch.median, 1), ("median", 3, True), (torch.nanmedian, 1),
    (torch.mode, 1, True), ("mode",), (torch.kthvalue, 2, 1), ("kthvalue", 1, 3, True),
    (torch.topk, 2, 1), ("topk", 3), (torch.sort, 1, True), ("sort",), (torch.cummax, 1),
    (torch.cummin, -1),
    ("cummax", 2), ("cummin", 1), ("nanmedian", 3), (aten.max.dim, 1),
    (aten.min.dim, 2, True), (aten.topk.default, 2, 1),
    (aten.sort.default, 1, True), (aten.median.dim, 1), (aten.nanmedian.dim, 1),
    (aten.mode.default,), (aten.kthvalue.default, 2), (aten.cummax.default, 1),
    (aten.cummin.default, 1),
]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS, ids=in_words)
def test_the_laws(spelling):
    check_call(spelling[0], numbers(*X), *spelling[1:])


@pytest.mark.parametrize("function", [torch.max, torch.min, "max", "min"])
def test_the_laws_by_names(function):
    check_call(function, numbers(*X), dim=1, keepdim=True)
    check_call(function, numbers(*X), 1, keepdim=False)
    check_call(function, numbers(*X), dim=-1)


def test_every_line_is_tried():
    named = {name for _, *names in ROWS for name in names}
    assert {spelling[0] for spelling in SPELLINGS} | {aten.max.other, aten.min.other} == named


def test_of_two_tensors():
    for function in (torch.max, torch.min, "max", aten.min.other):
        check_call(function, numbers(*X), numbers(*X, seed=1))
        check_call(function, numbers(*X), numbers(4, 1, 1, seed=1))


@pytest.mark.parametrize("function", ["max", "min", "median", "mode", "kthvalue"])
@pytest.mark.parametrize("keepdim", [False, True])
def test_among_equal_values_torch_has_chosen(function, keepdim):
    """Whole numbers from 0 to 2: nearly every extreme is there several times."""
    x = numbers(*X).mul(2).round().clamp(0, 2)
    rest = (2, 1, keepdim) if function == "kthvalue" else (1, keepdim)
    layer, _ = call(function, x, *rest)
    output, record = layer.record(x)
    signal = (numbers(*output[0].shape, seed=1), None)
    origin = x.clone().requires_grad_()
    values = getattr(origin, function)(*rest)[0]
    (expected,) = torch.autograd.grad(values, origin, signal[0])
    (found,) = layer.mirror(signal, record)
    assert torch.equal(found, expected)
    (shared,) = torch.autograd.grad(origin.amax(1, keepdim), origin, signal[0])
    assert not torch.equal(found, shared), "amax shares among them: another rule"


def test_of_the_batch_and_of_everything():
    x = numbers(*X)
    layer, inputs = TABLE[torch.max](x, 0)
    assert not layer.record(*inputs)[1].per_sample
    assert TABLE[torch.max](x) is None
    assert TABLE["median"](x) is None
    assert TABLE[torch.max](x, 1, out=(x[:, 0].clone(), x[:, 0].long())) is None


def test_entries_by_name():
    found = torch.max(numbers(*X), 1)
    layer, inputs = TABLE[getattr](found, "values")
    assert layer.record(*inputs)[0] is found.values
    assert TABLE[getattr](found, "indices")[0].key == 1
    assert TABLE[getattr](numbers(*X), "mT") is None
    assert TABLE[getattr]((1, 2), "count") is None


def test_the_laws_catch_a_place_next_to_the_right_one():
    x = numbers(*X)
    layer, _ = call(torch.max, x, 1)

    class Beside(Planted):
        def mirror(self, signal, record):
            return tuple(back.roll(1, 1) for back in self.layer.mirror(signal, record))

    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(Beside(layer), x)


def test_the_laws_catch_an_axis_that_is_not_the_one():
    """Of a square the shapes would do."""
    x = numbers(2, 4, 4)
    layer, other = (call(torch.sort, x, dim)[0] for dim in (1, 2))
    with pytest.raises(LawBroken, match="window law"):
        check_layer(replace(layer, sees=other.sees), x)
