"""Averages and sums keep the laws."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet.layers import TABLE
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import Planted, call, check_call, check_module, check_windows, numbers

POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
ADAPTIVE = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
SIZES = {1: (11,), 2: (8, 9), 3: (5, 6, 4)}
SETTINGS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": True},
]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_average_pooling(axes, setting):
    check_call(POOL[axes], numbers(2, 3, *SIZES[axes]), exact=True, **setting)


def test_average_pooling_with_a_divisor_of_its_own():
    check_call(F.avg_pool2d, numbers(2, 3, 8, 9), (2, 3), (1, 2), (1, 0), divisor_override=7)
    check_module(nn.AvgPool3d(2, divisor_override=3), numbers(2, 3, 5, 6, 4))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_modules(axes):
    kinds = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
    x = numbers(2, 3, *SIZES[axes])
    check_module(kinds[axes](3, 2, 1, True, False), x, exact=True)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("bins", [1, 2, 3, 12])
def test_adaptive_average_pooling(axes, bins):
    check_call(ADAPTIVE[axes], numbers(2, 3, *SIZES[axes]), bins, exact=True)


def test_adaptive_modules():
    check_module(nn.AdaptiveAvgPool1d(4), numbers(2, 3, 11), exact=True)
    check_module(nn.AdaptiveAvgPool2d((None, 3)), numbers(2, 3, 5, 7), exact=True)
    check_module(nn.AdaptiveAvgPool3d((2, None, 3)), numbers(2, 3, 5, 4, 7), exact=True)


def test_a_sample_without_a_batch_is_left_to_autograd():
    assert TABLE[F.avg_pool2d](numbers(3, 8, 8), 2) is None
    assert TABLE[F.adaptive_avg_pool2d](numbers(3, 8, 8), 2) is None


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_windows_are_what_is_seen(setting):
    layer, (x,) = call(F.avg_pool2d, numbers(1, 2, 6, 7), **setting)
    check_windows(layer, x)


@pytest.mark.parametrize("bins", [1, 4, 5])
def test_adaptive_windows_are_the_bins(bins):
    layer, (x,) = call(F.adaptive_avg_pool2d, numbers(1, 2, 6, 7), bins)
    check_windows(layer, x)


@pytest.mark.parametrize("function", [torch.mean, torch.sum, "mean", "sum"])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", [(2, 3), [-1, -2], -1, 1, (3, 1)])
def test_reductions(function, dim, keepdim):
    check_call(function, numbers(3, 4, 5, 6), dim, keepdim=keepdim, exact=True)


@pytest.mark.parametrize("function", [torch.mean, "sum"])
@pytest.mark.parametrize("setting", [{}, {"dim": None}, {"dim": 0}, {"dim": (0, 2)}], ids=str)
def test_reductions_over_the_batch_mix_the_samples(function, setting):
    check_call(function, numbers(3, 4, 5), exact=True, separable=False, **setting)


def test_reduction_of_axes_that_lie_like_the_batch():
    """Three samples, three channels, three rows: what is taken must be the batch alone."""
    check_call(torch.mean, numbers(3, 3, 3, 3), (1, 2), exact=True)


def test_the_law_catches_a_mean_that_is_not_divided():
    layer, inputs = call(torch.mean, numbers(2, 3, 4, 4), (2, 3))
    sums = Planted(layer, back=lambda s, r: (s[..., None, None].expand(r.size),))
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(sums, *inputs)


def test_the_law_catches_padding_that_counts():
    layer, (x,) = call(F.avg_pool2d, numbers(2, 3, 6, 6), 3, 2, 1, count_include_pad=False)
    counts, _ = call(F.avg_pool2d, x, 3, 2, 1)
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(Planted(layer, back=counts.mirror), x)


def test_the_law_catches_a_window_of_one_bin():
    layer, (x,) = call(F.adaptive_avg_pool2d, numbers(2, 3, 7, 7), 3)
    with pytest.raises(LawBroken, match="window law"):  # bins of 7 / 3 overlap: 3, not 2, wide
        check_layer(Planted(layer, sees=lambda w: _bins(w, 7 // 3)), x)


def _bins(window, width):
    parts = list(window)
    parts[-1] = type(parts[-1])(parts[-1].start, parts[-1].start + width)
    return tuple(parts)
