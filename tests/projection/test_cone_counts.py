"""Multiply-adds are counted before they are made, and no more are made than were counted."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from deconvnet import DeconvNet, Unit
from tests.support.cones import assert_same, borders, every_unit
from tests.support.networks import network, noise


def test_multiply_adds_are_those_that_are_made():
    net, images = DeconvNet(network("vgg16").float(), "gradient"), noise(6, 3, 128, 128).float()
    units = borders(net, images[:1], "features.15") + borders(net, images, "features.15")
    for way in ("cone", "shared"):
        route = net.route(images, units, way=way)
        assert route.way == way
        with FlopCounterMode(display=False) as counter:
            net.project(images, units=units, way=way)
        made = counter.get_total_flops() / 2
        # the first step down uses one filter of many, which the count leaves out
        assert 0.98 < made / route.multiply_adds[way] <= 1
    assert route.multiply_adds["full"] > route.multiply_adds["shared"]
    chosen = net.route(images, units)
    assert chosen.multiply_adds["taken"] == min(chosen.multiply_adds.values())
    assert chosen.way == "cone"
    many = [unit for unit in every_unit(net, images[:1], "features.15")]
    assert net.route(images[:1], many).way == "shared"


def test_the_cone_of_vgg_16_is_what_the_arithmetic_says():
    net = DeconvNet(network("vgg16").float())
    unit = [Unit("features.15", 0, 28, 28)]
    # rows of a window: 1, 3, 5, pooled 7 -> 14, 16, pooled 18 -> 36, 38
    filters = {1: 9 * 256 * 256, 3: 9 * 256 * 256, 5: 9 * 128 * 256, 14: 9 * 128 * 128}
    filters |= {16: 9 * 64 * 128, 36: 9 * 64 * 64, 38: 9 * 3 * 64}
    expected = 2 * sum(rows**2 * count for rows, count in filters.items())
    image = torch.zeros(1, 3, 224, 224)
    assert net.route(image, unit).multiply_adds["cone"] == expected


def test_the_first_step_uses_one_filter():
    model = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 128, 3))
    net, images = DeconvNet(model.double(), "guided"), noise(2, 3, 24, 24)
    net.project(images, layer="2", channel=5, seed="map")  # it looks at the geometry once
    with FlopCounterMode(display=False) as counter:
        found = net.project(images, layer="2", channel=5, seed="map")
    up = 2 * 24 * 24 * 27 * 64 + 2 * 22 * 22 * 9 * 64 * 128
    down = 2 * 22 * 22 * 9 * 64 + 2 * 24 * 24 * 27 * 64
    assert counter.get_total_flops() / 2 == up + down
    seed = net.record(images, "2")["2"][:, 5]
    x = images.clone().requires_grad_()
    with torch.enable_grad():
        relu = model[0](x)
        first = torch.autograd.grad(model[2](model[1](relu))[:, 5], relu, seed, retain_graph=True)
        (expected,) = torch.autograd.grad(relu, x, first[0].clamp(min=0))
    again = torch.autograd.grad(model[1](relu), relu, torch.ones_like(relu))[0]
    assert torch.equal(first[0] * again, first[0]), "the mask is in the first step"
    assert_same(found, expected)
