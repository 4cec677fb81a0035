"""Padding keeps the laws in every mode."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet.layers import TABLE
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import Planted, call, check_call, check_module, check_windows, numbers

SIZES = {1: (6,), 2: (5, 6), 3: (4, 5, 6)}
AMOUNTS = {1: [(2, 3), (0, 1)], 2: [(1, 2, 3, 0), (4, 4, 1, 1)], 3: [(1, 2, 3, 0, 2, 1)]}
CASES = [(axes, pad) for axes, pads in AMOUNTS.items() for pad in pads]


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize(("axes", "pad"), CASES)
def test_padding(axes, pad, mode):
    check_call(F.pad, numbers(2, 3, *SIZES[axes]), pad, mode)


@pytest.mark.parametrize("value", [None, 0, 2.5])
def test_padding_with_a_constant(value):
    check_call(F.pad, numbers(2, 3, 5, 6), (1, 2), "constant", value, exact=True)
    check_call(F.pad, numbers(2, 3, 5, 6), (-1, 2, 1, -2, 0, 1), "constant", value, exact=True)


@pytest.mark.parametrize(
    ("module", "axes"),
    [
        (nn.ZeroPad1d(2), 1),
        (nn.ZeroPad2d((1, 2, 0, 3)), 2),
        (nn.ZeroPad3d(1), 3),
        (nn.ConstantPad1d(2, 0.5), 1),
        (nn.ConstantPad2d((1, 2, 0, 3), -1.5), 2),
        (nn.ConstantPad3d(1, 0.5), 3),
        (nn.ReflectionPad1d(2), 1),
        (nn.ReflectionPad2d((1, 2, 0, 3)), 2),
        (nn.ReflectionPad3d(1), 3),
        (nn.ReplicationPad1d(2), 1),
        (nn.ReplicationPad2d((1, 2, 0, 3)), 2),
        (nn.ReplicationPad3d(1), 3),
        (nn.CircularPad1d(2), 1),
        (nn.CircularPad2d((1, 2, 0, 3)), 2),
        (nn.CircularPad3d(1), 3),
    ],
    ids=lambda case: type(case).__name__,
)
def test_modules(module, axes):
    check_module(module, numbers(2, 2, *SIZES[axes]))


def test_channels_may_be_padded_but_not_the_batch():
    x = numbers(2, 3, 4)
    check_call(F.pad, x, (0, 0, 1, 2), exact=True)
    assert TABLE[F.pad](x, (0, 0, 0, 0, 1, 0)) is None


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
@pytest.mark.parametrize("pad", [(3, 2), (5, 5), (0, 4)])
def test_windows_are_where_values_are_copied_from(pad, mode):
    layer, (x,) = call(F.pad, numbers(1, 2, 6), pad, mode)
    check_windows(layer, x)


@pytest.mark.parametrize("pad", [(3, 2), (6, 6), (0, 4)])
def test_circular_windows_cover(pad):
    layer, (x,) = call(F.pad, numbers(1, 2, 6), pad, "circular")
    check_windows(layer, x, exact=False)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_the_laws_catch_cropping_where_padding_must_be_folded(mode):
    layer, (x,) = call(F.pad, numbers(2, 3, 6), (2, 2), mode)
    crops = Planted(layer, back=lambda s, record: (s[..., 2:-2],))
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(crops, x)
    moved = Planted(layer, sees=lambda w: (*w[:-1], w[-1].clipped(5)))
    with pytest.raises(AssertionError, match="the window says"):
        check_windows(moved, x, exact=False)


def test_the_law_catches_sides_that_are_exchanged():
    layer, (x,) = call(F.pad, numbers(2, 3, 6), (1, 2))
    wrong = Planted(layer, back=lambda s, record: (s[..., 2:-1],))
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(wrong, x)
    shifted = Planted(layer, sees=lambda w: (*w[:-1], w[-1].shifted(-1)))
    with pytest.raises(LawBroken, match="window law"):
        check_layer(shifted, x)


def test_the_value_plays_no_part_in_the_mirror():
    layer, (x,) = call(F.pad, numbers(1, 1, 3), (1, 1), "constant", 7.0)
    output, record = layer.record(x)
    assert output[0, 0, 0] == 7
    assert torch.equal(layer.mirror(torch.ones_like(output), record)[0], torch.ones_like(x))
