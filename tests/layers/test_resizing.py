"""Interpolation keeps the laws, and its windows are the cells that have a weight."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet.layers import TABLE, LinearMap
from deconvnet.net import DeconvNet
from deconvnet.projection import receptive_field
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import (
    Planted,
    call,
    check_call,
    check_module,
    check_windows,
    numbers,
    wider,
)

X = (2, 3, 5, 4)
CALLS = [
    {"size": (7, 9)},
    {"size": 3},
    {"scale_factor": 2.0},
    {"scale_factor": (1.5, 0.6)},
    {"scale_factor": 1.7, "recompute_scale_factor": True},
    {"size": (10, 8), "mode": "bilinear"},
    {"size": (8, 3), "mode": "bilinear", "align_corners": True},
    {"scale_factor": (0.7, 2.3), "mode": "bilinear", "align_corners": False},
    {"size": (3, 2), "mode": "bilinear", "antialias": True},
    {"size": (3, 7), "mode": "nearest-exact"},
    {"size": (3, 7), "mode": "area"},
]


@pytest.mark.parametrize("arguments", CALLS, ids=str)
def test_two_axes(arguments):
    check_call(F.interpolate, numbers(*X), **arguments, exact=True)


@pytest.mark.parametrize("arguments", [{"size": (7, 9)}, {"size": (3, 4), "align_corners": True}])
def test_bicubic(arguments):
    """Its windows cover the cells, since the weights of some lie between cells without one."""
    check_call(F.interpolate, numbers(*X), mode="bicubic", **arguments)


def test_one_axis_and_three():
    check_call(F.interpolate, numbers(2, 3, 7), 5, mode="linear", exact=True)
    check_call(F.interpolate, numbers(2, 3, 7), scale_factor=3.0, exact=True)
    x = numbers(2, 2, 3, 2, 4)
    check_call(F.interpolate, x, scale_factor=(2.0, 1.5, 2.0), mode="trilinear", exact=True)


def test_modules_and_the_old_name():
    check_module(nn.Upsample(scale_factor=2), numbers(*X), exact=True)
    check_module(nn.Upsample((6, 7), mode="bilinear", align_corners=True), numbers(*X), exact=True)
    check_module(nn.UpsamplingNearest2d(scale_factor=2), numbers(*X), exact=True)
    check_module(nn.UpsamplingBilinear2d(size=(3, 9)), numbers(*X), exact=True)
    layer, inputs = TABLE[F.upsample](numbers(*X), scale_factor=2)
    check_layer(layer, *inputs, exact_window=True)


def test_by_force():
    layer, (x,) = call(F.interpolate, numbers(1, 1, 5, 4), size=(3, 7), mode="bilinear")
    check_windows(layer, x)


def test_fields_go_on_beyond_the_border_in_even_steps():
    """A field has no border: padding above an upsampling is looked through."""
    model = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 9, padding=4))
    for size, place in ((40, 20), (8, 8), (12, 0)):
        field = receptive_field.field(DeconvNet(model.double()).geometry((1, size, size)), "1")
        assert field.size == (min(5, size),) * 2, (size, place)


def test_the_law_catches_the_wrong_corners():
    x = numbers(*X)
    layer, _ = call(F.interpolate, x, size=(8, 7), mode="bilinear", align_corners=True)
    wrong, _ = call(F.interpolate, x, size=(8, 7), mode="bilinear", align_corners=False)
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(Planted(layer, back=wrong.mirror), x)
    with pytest.raises(LawBroken, match="forward law"):
        check_layer(LinearMap(wrong.function, wrong.sees), x, forward=layer.function)


@pytest.mark.parametrize(("before", "after"), [(1, 0), (0, 1), (-1, 0), (0, -1)])
def test_the_law_catches_windows_that_are_off_by_one(before, after):
    layer, (x,) = call(F.interpolate, numbers(*X), scale_factor=2.0, mode="bilinear")
    planted = Planted(layer, sees=lambda w: wider(w, before, after))
    with pytest.raises(LawBroken, match="window law"):
        check_layer(planted, x, exact_window=True)
    check_layer(layer, torch.clone(x), exact_window=True)
