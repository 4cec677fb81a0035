"""Max pooling keeps the laws, and unpooling puts every value where its maximum stood."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet.layers import TABLE, Switches, unpool
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import (
    Planted,
    call,
    check_call,
    check_module,
    check_windows,
    numbers,
    read_module,
    wider,
)

POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
ADAPTIVE = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}
SIZES = {1: (11,), 2: (11, 12), 3: (5, 6, 7)}
SETTINGS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2},  # overlap, as in AlexNet and ZFNet
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 2, "stride": 3},  # gaps
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 2, "stride": 2, "dilation": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2, "ceil_mode": True},
]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_max_pooling(axes, setting):
    check_call(POOL[axes], numbers(2, 3, *SIZES[axes]), **setting)


@pytest.mark.parametrize("size", [9, 10, 11, 12, 13])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_max_pooling_with_overlap(size, ceil_mode):
    check_call(F.max_pool2d, numbers(2, 2, size, size + 1), 3, 2, ceil_mode=ceil_mode)


def test_every_axis_has_its_own_numbers():
    check_call(F.max_pool2d, numbers(2, 2, 9, 10), (2, 3), (1, 2), (0, 1), (3, 1))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_modules(axes):
    kinds = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
    x = numbers(2, 3, *SIZES[axes])
    check_module(kinds[axes](3, 2, padding=1, ceil_mode=True), x)
    check_module(kinds[axes]([2] * axes), x)
    for function in (torch.max_pool1d, torch.max_pool2d, torch.max_pool3d)[axes - 1 : axes]:
        check_call(function, x, [3] * axes, [2] * axes)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("bins", [1, 2, 3, 5])
def test_adaptive_max_pooling(axes, bins):
    check_call(ADAPTIVE[axes], numbers(2, 3, *SIZES[axes]), bins)


def test_adaptive_modules():
    check_module(nn.AdaptiveMaxPool1d(4), numbers(2, 3, 11))
    check_module(nn.AdaptiveMaxPool2d((None, 3)), numbers(2, 3, 5, 7))
    check_module(nn.AdaptiveMaxPool3d((2, None, 3)), numbers(2, 3, 5, 4, 7))


def test_what_also_gives_its_indices_or_has_no_batch_is_left_to_autograd():
    x = numbers(2, 3, 8, 8)
    assert TABLE[F.max_pool2d](x, 2, return_indices=True) is None
    assert TABLE[F.adaptive_max_pool2d](x, 2, return_indices=True) is None
    assert TABLE[F.max_pool2d](x[0], 2) is None
    assert TABLE[F.adaptive_max_pool2d](x[0], 2) is None


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_windows_are_where_a_switch_may_stand(setting):
    layer, (x,) = call(F.max_pool2d, numbers(1, 2, 6, 7), **setting)
    # a dilated window at the border may begin on a cell of padding: then its range is wider
    check_windows(layer, x, exact=setting.get("dilation", 1) == 1)


@pytest.mark.parametrize("bins", [1, 2, 3, 4])
def test_adaptive_windows_are_the_bins(bins):
    layer, (x,) = call(F.adaptive_max_pool2d, numbers(1, 2, 6, 7), bins)
    check_windows(layer, x)


def test_ties_go_to_the_first_index():
    x = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    for memory in (torch.contiguous_format, torch.channels_last):
        layer, inputs = call(F.max_pool2d, x.contiguous(memory_format=memory), 2)
        assert layer.record(*inputs)[1].places.tolist() == [[[[0, 2], [8, 10]]]]


def test_unpooling_adds_where_windows_share_their_maximum():
    x = torch.zeros(1, 1, 1, 5, dtype=torch.float64)
    x[..., 2] = 1.0  # the maximum of both windows
    layer, inputs = call(F.max_pool2d, x, (1, 3), (1, 2))
    _, record = layer.record(*inputs)
    signal = torch.tensor([[[[2.0, 5.0]]]], dtype=torch.float64)
    assert layer.mirror(signal, record)[0].tolist() == [[[[0, 0, 7, 0, 0]]]]


def overlapping(size=27):
    """A 3x3/2 pool of rectified noise: AlexNet's."""
    layer, inputs = call(F.max_pool2d, numbers(2, 8, size, size).relu(), 3, 2)
    output, record = layer.record(*inputs)
    return layer, inputs, output, record


def test_unpooling_keeps_all_mass_and_max_unpool2d_loses_a_third():
    layer, inputs, output, record = overlapping()
    kept = layer.mirror(output, record)[0].sum() / output.sum()
    assert abs(kept - 1) < 1e-12
    theirs = F.max_unpool2d(output, record.places.long(), 3, 2, output_size=inputs[0].shape)
    assert 0.55 < theirs.sum() / output.sum() < 0.75


def test_the_law_catches_max_unpool2d():
    layer, inputs, _, _ = overlapping(9)

    def overwrites(signal, record):
        places = record.places.long()
        return (F.max_unpool2d(signal, places, 3, 2, output_size=record.size),)

    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(Planted(layer, back=overwrites), *inputs)


def test_the_law_catches_rows_of_another_sample():
    layer, inputs, _, _ = overlapping(9)
    with pytest.raises(LawBroken, match="take law"):
        check_layer(Planted(layer, taken=lambda index: index.flip(0)), *inputs)


def test_the_law_catches_a_window_that_forgets_dilation():
    x = numbers(2, 2, 9, 9)
    layer, _ = call(F.max_pool2d, x, 3, 1, dilation=2)
    forgets = Planted(layer, sees=lambda w: wider(w, 0, -2))
    with pytest.raises(LawBroken, match="window law"):
        check_layer(forgets, x)


@pytest.mark.parametrize("setting", [{"stride": 2}, {"stride": 2, "dilation": 2}], ids=str)
def test_switches_carry_the_size_of_the_input(setting):
    """Where torch's own unpooling must be told it: 27 pools to 13, which unpools to 27 or 28."""
    for size in (27, 28):
        layer, inputs = call(F.max_pool2d, numbers(1, 1, size, size), 3, **setting)
        output, record = layer.record(*inputs)
        assert layer.mirror(output, record)[0].shape == (1, 1, size, size)


def test_a_signal_of_another_shape_is_refused():
    layer, inputs = read_module(nn.MaxPool2d(2), numbers(1, 2, 6, 6))
    _, record = layer.record(*inputs)
    with pytest.raises(ValueError, match=r"\(1, 2, 4, 4\) cannot be unpooled by switches of"):
        layer.mirror(numbers(1, 2, 4, 4), record)


def test_switches_are_small_and_travel_in_rows():
    layer, inputs, _, record = overlapping(9)
    assert isinstance(record, Switches)
    assert record.places.dtype == torch.int32
    rows = record.take(torch.tensor([1, 1, 0]))
    assert rows.size == (3, *inputs[0].shape[1:])
    signal = numbers(3, 8, 4, 4)
    assert torch.equal(unpool(signal, rows)[2], unpool(signal[[2, 2]], record)[0])
