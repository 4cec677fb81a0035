"""Functions torch.fx does not look into may write: where nobody sees it, or they are refused."""

import pytest
import torch
from torch import fx, nn

from deconvnet import DeconvNet
from tests.support.networks import noise
from tests.support.reference import error


def shortcut(x, y):
    x[:, 1:] += y[:, 1:]
    return x


def last_but_one(x, places):
    places[0] -= 1
    return x[:, places[0]] * 2


fx.wrap("shortcut")
fx.wrap("last_but_one")


class Used(nn.Module):
    """What the function returns is used, as ``x = shortcut(x, y)``."""

    def forward(self, x):
        return shortcut(x * 2, x.exp()).sin()


class Past(nn.Module):
    """What it returns is thrown away and its input read on, as torchvision's mvit_v2_s does."""

    def forward(self, x):
        y = x * 2
        shortcut(y, x.exp())
        return y.sin()


class Counting(nn.Module):
    """Writes into a list that forward makes anew every time."""

    def forward(self, x):
        return last_but_one(x.sin(), [2, 7])


@pytest.mark.parametrize("make", [Used, Counting])
def test_what_is_written_where_nobody_sees_it_is_right(make):
    images = noise(2, 3, 4, 4).requires_grad_()
    (expected,) = torch.autograd.grad(make()(images * 1).flatten(1)[:, 5].sum(), images)
    net = DeconvNet(make(), "gradient")
    for _ in range(2):  # the list is as it was
        recording = net.record(images)
        (layer,) = recording.activations
        size = recording[layer].shape[1:]
        channel, *position = (int(i) for i in torch.unravel_index(torch.tensor(5), size))
        found = net.project(
            recording, layer=layer, channel=channel, position=tuple(position), seed="one"
        )
        assert expected.abs().max() > 0
        assert error(found, expected) < 1e-12


def test_a_write_that_others_read_is_refused():
    with pytest.raises(ValueError, match=r"shortcut.*writes into mul, which is read later.*new"):
        DeconvNet(Past(), "gradient", check=False).record(noise(2, 3, 4, 4))


def test_torch_export_reads_the_write_that_torch_fx_does_not():
    net, images = DeconvNet(Past(), "gradient"), noise(2, 3, 4, 4).requires_grad_()
    value = Past()(images)
    (expected,) = torch.autograd.grad(value[:, 1, 2, 3].sum(), images)
    recording = net.record(images)
    (layer,) = recording.activations
    assert error(recording[layer], value.detach()) < 1e-12
    found = net.project(recording, layer=layer, channel=1, position=(2, 3), seed="one")
    assert error(found, expected) < 1e-12
