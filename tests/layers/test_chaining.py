"""Pixel and channel shuffles keep the laws."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet.layers import Interval
from deconvnet.layers.chaining import Chain
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import TABLE, call, check_call, check_module, check_windows, numbers


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_pixel_shuffle(factor):
    x = numbers(2, 2 * factor**2, 3, 2)
    check_call(F.pixel_shuffle, x, factor)
    check_module(nn.PixelShuffle(factor), x)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_pixel_unshuffle(factor):
    x = numbers(2, 2, 2 * factor, 3 * factor)
    check_call(F.pixel_unshuffle, x, factor)
    check_module(nn.PixelUnshuffle(factor), x)


@pytest.mark.parametrize("size", [(2, 6), (2, 6, 3), (2, 6, 2, 3)])
def test_channel_shuffle(size):
    if len(size) > 2:
        check_call(F.channel_shuffle, numbers(*size), 3)
        check_module(nn.ChannelShuffle(2), numbers(*size))
    else:
        assert TABLE[F.channel_shuffle](numbers(*size), 3) is None


@pytest.mark.parametrize(
    ("function", "size", "number"),
    [(F.pixel_shuffle, (1, 4, 2, 3), 2), (F.pixel_unshuffle, (1, 2, 2, 4), 2)],
)
def test_single_places_by_force(function, size, number):
    """Of a range of places the window is the hull of more than is seen; of one it is exact."""
    layer, (x,) = call(function, numbers(*size), number)
    check_windows(layer, x, exact=False)
    output, record = layer.record(torch.arange(x.numel(), dtype=torch.double).view(size))
    for place in torch.cartesian_prod(*map(torch.arange, output.shape)).tolist():
        (seen,) = layer.window(tuple(map(Interval.at, place)), record)
        assert all(int(i.stop) == int(i.start) + 1 for i in seen)
        index = torch.tensor([int(i.start) for i in seen])
        strides = torch.tensor(x.stride())
        assert int((index * strides).sum()) == int(output[tuple(place)])


def test_a_sample_without_a_batch_is_left_to_autograd():
    assert TABLE[F.pixel_shuffle](numbers(4, 2, 2), 2) is None
    assert TABLE[F.pixel_unshuffle](numbers(1, 2, 2), 2) is None


def test_the_law_catches_links_in_another_order():
    layer, (x,) = call(F.channel_shuffle, numbers(2, 6, 3), 3)

    class Forgotten(Chain):
        def mirror(self, signal, record):
            return (signal,)

    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(Forgotten(layer.layers), x)
