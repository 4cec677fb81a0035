"""Normalisation keeps the laws at evaluation."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from deconvnet.layers import TABLE, Policies, reader_for, rectifier
from deconvnet.layers.base import Nothing
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import (
    Planted,
    call,
    check_call,
    check_module,
    check_windows,
    numbers,
    positive,
)

SIZES = {1: (5,), 2: (4, 5), 3: (2, 3, 4)}


def trained(module):
    """With parameters and running statistics that are not those of the first day."""
    for n, (_, value) in enumerate([*module.named_parameters(), *module.named_buffers()]):
        if value.is_floating_point():
            value.data = positive(*value.shape, seed=n)
    return module


@pytest.mark.parametrize(
    ("module", "size"),
    [
        (nn.BatchNorm1d(4), ()),
        (nn.BatchNorm1d(4), (5,)),
        (nn.BatchNorm2d(4), (4, 5)),
        (nn.BatchNorm2d(4, affine=False), (4, 5)),
        (nn.BatchNorm3d(4, eps=0.1), (2, 3, 4)),
        (FrozenBatchNorm2d(4), (4, 5)),
    ],
    ids=str,
)
def test_batch_normalization_is_a_scale(module, size):
    layer = check_module(trained(module), numbers(3, 4, *size), exact=True)
    assert isinstance(layer.record(numbers(3, 4, *size))[1], Nothing)


def test_batch_normalization_of_calls():
    mean, variance, x = numbers(4), positive(4), numbers(3, 4, 5)
    check_call(F.batch_norm, x, mean, variance, numbers(4, seed=1), numbers(4, seed=2), exact=True)
    check_call(F.batch_norm, x, mean, variance, None, None, False, 0.1, 0.5, exact=True)


def test_statistics_of_the_batch_itself_are_left_to_autograd():
    x = numbers(3, 4, 5, 5)
    assert TABLE[F.batch_norm](x, None, None, training=True) is None
    assert TABLE[F.batch_norm](x, numbers(4), positive(4), training=True) is None
    module = nn.BatchNorm2d(4, track_running_stats=False)
    assert reader_for(module)(module, x) is None


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("running", [False, True])
def test_instance_normalization(axes, running):
    kinds = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
    module = trained(kinds[axes](4, affine=True, track_running_stats=running))
    check_module(module, numbers(3, 4, *SIZES[axes]), exact=not running)


def test_an_instance_without_a_batch_is_left_to_autograd():
    module = nn.InstanceNorm2d(4)
    assert reader_for(module)(module, numbers(4, 5, 5)) is None


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_group_normalization(axes, groups):
    x = numbers(3, 4, *SIZES[axes])
    check_module(trained(nn.GroupNorm(groups, 4)), x, exact=True)
    check_call(F.group_norm, x, groups, exact=True)


@pytest.mark.parametrize("shape", [(5,), (4, 5), (6, 4, 5)], ids=str)
def test_layer_normalization(shape):
    x = numbers(3, 6, 4, 5)
    check_module(trained(nn.LayerNorm(shape)), x, exact=True)
    check_call(F.layer_norm, x, shape, exact=True)


def test_layer_normalization_over_the_batch_is_left_to_autograd():
    assert TABLE[F.layer_norm](numbers(3, 4), (3, 4)) is None


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("axes", [1, 2])
def test_response_normalization_by_its_derivative(axes, size):
    x = positive(2, 7, *SIZES[axes])
    module = nn.LocalResponseNorm(size, alpha=0.5, beta=0.75, k=2.0)
    check_module(module, x, exact=True)
    check_call(F.local_response_norm, x, size, alpha=0.3, exact=True)


def test_response_windows_are_neighbouring_channels():
    layer, (x,) = call(F.local_response_norm, positive(1, 6, 2), 4, 1.0)
    check_windows(layer, x)


@pytest.mark.parametrize("policy", ["deconvnet", "guided"])
def test_response_normalization_is_passed_by(policy):
    layer, (x,) = TABLE[F.local_response_norm](positive(2, 6, 4, 4), 5, 1.0)
    layer = layer.under(Policies(rectifier(policy)))
    output, record = layer.record(x)
    assert torch.equal(output, F.local_response_norm(x, 5, 1.0))
    assert isinstance(record, Nothing)
    signal = numbers(2, 6, 4, 4)
    assert layer.mirror(signal, record)[0] is signal
    with pytest.raises(LawBroken, match="mirror law"):  # which is not its derivative
        check_layer(layer, x, policies=Policies(rectifier(policy)), forward=layer.function)


@pytest.mark.parametrize("policy", ["deconvnet", "gradient"])
@pytest.mark.parametrize("choice", ["exact", "identity"])
def test_an_argument_says_otherwise(policy, choice):
    layer, _ = TABLE[F.local_response_norm](positive(2, 6, 4, 4), 5)
    assert layer.under(Policies(rectifier(policy), None, choice)).exact == (choice == "exact")


def test_the_law_catches_a_scale_without_eps():
    layer, (x,) = call(F.batch_norm, numbers(3, 4, 5), numbers(4), positive(4), eps=1e-3)
    wrong = Planted(layer, back=lambda s, r: (s * layer.variance.rsqrt().view(1, -1, 1),))
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(wrong, x)


def test_the_law_catches_a_response_window_that_lies_one_channel_off():
    layer, (x,) = call(F.local_response_norm, positive(2, 7, 3), 4, 1.0)
    mirrored = Planted(layer, sees=lambda w: (w[0], w[1].shifted(1), *w[2:]))
    with pytest.raises(LawBroken, match="window law"):
        check_layer(mirrored, x)


def test_the_law_catches_groups_that_are_taken_for_channels():
    layer, (x,) = call(F.group_norm, numbers(3, 4, 5), 2)

    class Channels(Planted):
        def window(self, window, record):
            batch, channel, place = self.layer.window(window, record)[0]
            return ((batch, window[1], place),)

    with pytest.raises(LawBroken, match="window law"):
        check_layer(Channels(layer), x)
