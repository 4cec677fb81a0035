"""Convolution and transposed convolution keep the laws in 1-D, 2-D and 3-D."""

from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet.layers import TABLE, convolution, reordered
from deconvnet.layers.convolution import _transposed
from deconvnet.layers.reordered import FEW, MANY, in_blocks
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import (
    Planted,
    call,
    check_call,
    check_module,
    check_windows,
    numbers,
    positive,
    wider,
)

# torch says that it copies the input; what the laws are about is that we put the odd cell right
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
SIZES = {1: (9,), 2: (7, 8), 3: (5, 4, 6)}
SETTINGS = [
    {},
    {"stride": 2},
    {"stride": 3, "padding": 2},
    {"padding": 1, "dilation": 2},
    {"padding": "same"},
    {"padding": "same", "dilation": 2},
    {"padding": "valid", "stride": 2},
    {"groups": 2, "stride": 2, "padding": 1},
    {"groups": 4},
]
MODES = ["zeros", "reflect", "replicate", "circular"]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_convolution(axes, kernel, setting):
    weight = numbers(8, 4 // setting.get("groups", 1), *[kernel] * axes, seed=1)
    check_call(CONVOLVE[axes], numbers(2, 4, *SIZES[axes]), weight, numbers(8, seed=2), **setting)


LAYOUTS = {
    "contiguous": lambda x: x,
    "channels last": lambda x: (
        x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
    ),
    "other axes": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
}


@pytest.mark.parametrize("below", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("above", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("setting", [{}, {"stride": 2}, {"groups": 2}, {"padding": 1}], ids=str)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_windows_no_larger_than_the_filter(axes, setting, above, below):
    size = [2, 3, 1][:axes]
    x, function = below(numbers(3, 4, *size)), partial(CONVOLVE[axes], **setting)
    weight = above(numbers(6, 4 // setting.get("groups", 1), *size, seed=1))
    for bias in (None, numbers(6, seed=2)):
        layer = replace(call(CONVOLVE[axes], x, weight, bias, **setting)[0], any_order=True)
        check_layer(layer, x, forward=lambda x, bias=bias: function(x, weight, bias))


@pytest.fixture
def every_filter_is_heavy(monkeypatch):
    monkeypatch.setattr(reordered, "HEAVY", 0)


@pytest.mark.usefixtures("every_filter_is_heavy")
@pytest.mark.parametrize("together", [1, 800, reordered.TOGETHER])
@pytest.mark.parametrize("below", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("stride", [1, 2, (2, 1), 3])
@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (3, 3), (1, 2)])
def test_windows_on_which_a_convolution_is_a_product(kernel, stride, below, together, monkeypatch):
    monkeypatch.setattr(reordered, "TOGETHER", together)
    x, weight, bias = below(numbers(5, 4, 5, 7)), numbers(6, 4, *kernel, seed=1), numbers(6, seed=2)
    layer = replace(call(F.conv2d, x, weight, bias, stride)[0], any_order=True)
    assert reordered.down(x, weight, bias, layer.stride) is not None
    check_layer(layer, x, forward=lambda x: F.conv2d(x, weight, bias, stride))


@pytest.mark.parametrize(
    ("samples", "size", "heavy"), [(5, 7, True), (1, 7, False), (5, 9, False)], ids=str
)
def test_products_are_of_small_maps_of_several_samples(samples, size, heavy, monkeypatch):
    x, weight = numbers(samples, 4, size, size), numbers(6, 4, 2, 2)
    monkeypatch.setattr(reordered, "HEAVY", weight.numel())
    assert (reordered.down(x, weight, None, (1, 1)) is not None) == heavy
    monkeypatch.setattr(reordered, "HEAVY", weight.numel() + 1)
    assert reordered.down(x, weight, None, (1, 1)) is None


def test_whole_maps_are_convolved_as_the_model_does():
    """To the last bit: a network may make ten million of one."""
    torch.manual_seed(0)
    for kernel in (1, 3):
        x, weight = torch.randn(2, 300, kernel, kernel), torch.randn(40, 300, kernel, kernel)
        assert torch.equal(call(F.conv2d, x, weight)[0].record(x)[0], F.conv2d(x, weight))


@pytest.mark.parametrize("size", [6, 7, 8, 9, 10, 11])
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_sizes_that_the_stride_does_not_divide(size, stride):
    check_call(F.conv2d, numbers(2, 1, size, size + 1), numbers(1, 1, 3, 2), stride=stride)


def test_every_axis_has_its_own_numbers():
    x, weight = numbers(2, 2, 9, 8), numbers(3, 2, 3, 4)
    check_call(F.conv2d, x, weight, None, (2, 3), (0, 2), (2, 1))
    check_call(F.conv_transpose2d, x, numbers(2, 3, 3, 4), None, (2, 3), (0, 2), (1, 2), 1, (2, 1))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", [2, (1, 2), "same"])
def test_modules_with_padding_modes(mode, padding):
    torch.manual_seed(0)
    check_module(nn.Conv2d(3, 4, (3, 4), padding=padding, padding_mode=mode), numbers(2, 3, 6, 5))


@pytest.mark.parametrize("module", [nn.Conv1d, nn.Conv2d, nn.Conv3d])
def test_modules(module):
    torch.manual_seed(0)
    axes = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}[module]
    x = numbers(2, 4, *SIZES[axes])
    check_module(module(4, 6, 3, stride=2, padding=1, dilation=1, groups=2), x)
    check_module(module(4, 6, 3, bias=False, padding="same", padding_mode="circular"), x)


@pytest.mark.parametrize("output_padding", [0, 1, 2])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_transposed_convolution(axes, groups, output_padding):
    weight = numbers(4, 3, *[3] * axes, seed=1)
    setting = {"stride": 3, "padding": 1, "output_padding": output_padding, "groups": groups}
    x = numbers(2, 4, *[n // 2 + 1 for n in SIZES[axes]])
    check_call(TRANSPOSE[axes], x, weight, numbers(3 * groups, seed=2), **setting)


def test_output_padding_beyond_the_stride():
    setting = {"stride": 1, "dilation": 3, "output_padding": 2}
    check_call(F.conv_transpose2d, numbers(2, 2, 5, 4), numbers(2, 3, 2, 2), **setting)


def test_a_product_where_there_is_padding_is_caught(monkeypatch):
    """The planted wrong case: a filter as large as its input, but with padding around that."""
    x, weight = numbers(2, 3, 3, 3), numbers(4, 3, 3, 3, seed=1)
    monkeypatch.setattr(convolution, "_in_any_order", lambda layer, padding, like: True)
    with pytest.raises(LawBroken):
        check_call(F.conv2d, x, weight, padding=1)


@pytest.mark.parametrize("size", [None, (9, 10), (10, 9)])
def test_transposed_modules_with_an_output_size(size):
    torch.manual_seed(0)
    module = nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1).double()
    x = numbers(2, 3, 5, 5)
    layer, inputs = type(call(F.conv_transpose2d, x, module.weight)[0]).of_module(module, x, size)
    check_layer(layer, *inputs, forward=lambda x: module(x, size))


@pytest.mark.parametrize("module", [nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d])
def test_transposed_modules(module):
    torch.manual_seed(0)
    axes = {nn.ConvTranspose1d: 1, nn.ConvTranspose2d: 2, nn.ConvTranspose3d: 3}[module]
    check_module(module(4, 4, 2, stride=2, dilation=2, groups=2), numbers(2, 4, *SIZES[axes]))


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"stride": 2},
        {"stride": 4},  # windows with gaps between them
        {"padding": 2},
        {"stride": 2, "padding": 1},
        {"dilation": 2},
        {"padding": "same"},
        {"groups": 2, "padding": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("kernel", [(2, 3), (3, 2)])
def test_windows_are_what_is_seen(kernel, setting):
    weight = positive(4, 4 // setting.get("groups", 1), *kernel)
    check_windows(call(F.conv2d, x := numbers(2, 4, 5, 7), weight, **setting)[0], x)


@pytest.mark.parametrize("mode", MODES)
def test_windows_with_padding_modes(mode):
    module = nn.Conv1d(2, 2, 3, padding=2, padding_mode=mode).double()
    module.weight.data = positive(2, 2, 3)
    layer = check_module(module, numbers(2, 2, 6))
    # "circular" shows the far end too, and then everything between as far as a window can tell
    check_windows(layer, numbers(2, 2, 6), exact=mode != "circular")


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"stride": 2},
        {"stride": 4},  # output places that no filter reaches
        {"stride": 2, "padding": 1, "output_padding": 1},
        {"groups": 2, "stride": 3, "padding": 2},
    ],
    ids=str,
)
def test_transposed_windows_are_what_is_seen(setting):
    weight = positive(4, 2, 3, 2)
    layer, _ = call(F.conv_transpose2d, x := numbers(1, 4, 4, 5), weight, **setting)
    check_windows(layer, x)


@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (3, 3), (5, 4), (7, 7), (11, 11)])
@pytest.mark.parametrize(("padding", "more"), [(0, 0), (1, 0), (2, 1), (0, 2)])
def test_blocks_of_few_channels_are_torchs_transposed_convolution(stride, kernel, padding, more):
    more, padding = min(more, stride - 1), min(padding, kernel[0] - 1, kernel[1] - 1)
    signal, filters = numbers(2, 5, 4, 3), numbers(5, FEW, *kernel)
    right = F.conv_transpose2d(signal, filters, None, stride, padding, more)
    found = in_blocks(signal, filters, stride, (padding,) * 2, (more,) * 2)
    torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("setting", [{"stride": 2}, {"stride": 2, "padding": 1}, {"stride": 4}])
def test_convolutions_of_images_keep_the_laws(setting):
    layer, inputs = call(F.conv2d, numbers(2, 3, 9, 8), numbers(MANY, 3, 4, 3), **setting)
    check_layer(layer, *inputs)


def test_a_sample_without_a_batch_is_left_to_autograd():
    assert TABLE[F.conv2d](numbers(3, 6, 6), numbers(2, 3, 3, 3)) is None
    assert TABLE[F.conv_transpose1d](numbers(3, 6), numbers(3, 2, 3)) is None


def strided(size=8):
    return call(F.conv2d, numbers(2, 3, size, size), positive(4, 3, 3, 3), stride=2)


def test_the_law_catches_a_forgotten_output_padding():
    layer, inputs = strided()
    forgotten = Planted(layer, back=lambda s, record: (_transposed(layer, s, (0, 0), (0, 0)),))
    with pytest.raises(LawBroken, match=r"mirror law: .*found shape \(2, 3, 7, 7\)"):
        check_layer(forgotten, *inputs)


def test_the_law_catches_filters_that_are_not_flipped():
    layer, inputs = call(F.conv2d, numbers(2, 3, 5, 5), numbers(3, 3, 3, 3), padding=1)
    turned = layer.weight.transpose(0, 1)  # the channels are exchanged, but nothing is flipped
    wrong = Planted(layer, back=lambda s, record: (F.conv2d(s, turned, padding=1),))
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(wrong, *inputs)


def test_the_law_catches_a_bias_on_the_way_back():
    layer, inputs = call(F.conv_transpose2d, numbers(2, 3, 4, 4), numbers(3, 3, 3, 3))
    bias = torch.full((3,), 0.01, dtype=torch.float64)
    wrong = Planted(layer, back=lambda s, record: (F.conv2d(s, layer.weight, bias),))
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(wrong, *inputs)


@pytest.mark.parametrize(("before", "after"), [(-1, 0), (0, -1)])
def test_the_laws_catch_a_window_one_too_small(before, after):
    layer, inputs = strided()
    small = Planted(layer, sees=lambda w: wider(w, before, after))
    with pytest.raises(LawBroken, match="window law"):
        check_layer(small, *inputs)
    with pytest.raises(AssertionError, match="the window says"):
        check_windows(small, numbers(1, 3, 5, 5), exact=False)


@pytest.mark.parametrize(("before", "after"), [(1, 0), (0, 1)])
def test_the_laws_catch_a_window_one_too_large(before, after):
    layer, inputs = strided()
    large = Planted(layer, sees=lambda w: wider(w, before, after))
    check_layer(large, *inputs)  # it covers, which is all that is asked
    with pytest.raises(LawBroken, match="window law"):
        check_layer(large, *inputs, exact_window=True)
    with pytest.raises(AssertionError, match="the window says"):
        check_windows(large, numbers(1, 3, 5, 5))
