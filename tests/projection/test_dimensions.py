"""Sound and video: one and three spatial axes."""

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Unit
from tests.support.networks import live_units, noise
from tests.support.reference import assert_same, projections

SIZES = {1: (41,), 2: (21, 17), 3: (13, 11, 12)}


def model(axes):
    """Two blocks, with batch normalisation, overlapping pools and a linear layer."""
    torch.manual_seed(axes)
    conv, norm, pool, average = (
        getattr(nn, f"{name}{axes}d")
        for name in ("Conv", "BatchNorm", "MaxPool", "AdaptiveAvgPool")
    )
    made = nn.Sequential(
        conv(2, 5, 3, padding=1, bias=False), norm(5), nn.ReLU(inplace=True), pool(3, 2, 1),
        conv(5, 4, 3, stride=2), nn.ReLU(), average(2), nn.Flatten(), nn.Linear(4 * 2**axes, 3),
    )  # fmt: skip
    made[1].running_mean.normal_()
    made[1].running_var.uniform_(0.5, 2)
    return made.double()


@pytest.mark.parametrize("policy", ["gradient", "deconvnet", "guided"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_every_number_of_axes(axes, policy):
    net, images = DeconvNet(model(axes), policy), noise(2, 2, *SIZES[axes])
    layers = ["1", "3", "5", "8"]
    recording = net.record(images, layers)
    units = [unit for layer in layers for unit in live_units(recording, layer)]
    expected = projections(model(axes), images, units, policy)
    alive = expected.flatten(1).any(1)
    assert alive.sum() > len(units) // 2
    found = net.project(recording, units=units, seed="one")
    assert_same(found[alive], expected[alive])
    for pixels, crop in zip(
        found, net.project(recording, units=units, seed="one", crop=True), strict=True
    ):
        assert len(crop.box.size) == axes
        assert torch.equal(pixels[(slice(None), *crop.box.slices)], crop.pixels)
        assert pixels.count_nonzero() == crop.pixels.count_nonzero()


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_layers_and_positions(axes):
    size = SIZES[axes]
    layers = DeconvNet(model(axes), input_size=(2, *size)).layers
    assert layers["0"].size == size
    assert layers["0"].field == (3,) * axes
    assert layers["4"].field == (9,) * axes
    assert layers["4"].stride == (4,) * axes
    assert layers["8"].size == ()
    images, middle = noise(1, 2, *size), tuple(n // 2 for n in size)
    net = DeconvNet(model(axes))
    (crop,) = net.project(images, units=[Unit.at("0", 3, position=middle)], crop=True)
    assert crop.box.size == (3,) * axes
    whole = net.project(images, layer="0", channel=3, position=middle)
    assert torch.equal(whole[0][(slice(None), *crop.box.slices)], crop.pixels)
    with pytest.raises(IndexError, match="has no position"):
        net.project(images, layer="0", channel=3, position=(0,) * (axes % 3 + 1))


def test_a_video_unit_has_a_depth():
    net = DeconvNet(model(3))
    (crop,) = net.project(noise(1, 2, *SIZES[3]), units=[Unit.parse("4:1@1,0,0")], crop=True)
    assert crop.unit == Unit("4", 1, 0, 0, depth=1)
    assert (crop.box.start, crop.box.stop) == ((2, 0, 0), (11, 7, 7))
