"""Brute force on every kind of graph: with positive weights a projection fills its box."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.densenet import DenseNet
from torchvision.models.regnet import BlockParams, RegNet
from torchvision.ops import SqueezeExcitation

from deconvnet import DeconvNet, Unit
from deconvnet.projection import receptive_field
from tests.projection.test_receptive_field import averaging, cut_short, hull, outside, positive
from tests.support.networks import fill, network, noise

SIZE = (79, 101)  # odd, and not square


def regnet():
    """RegNetX: grouped filters, strided shortcuts."""
    sizes = BlockParams([1, 2, 1, 1], [16, 24, 32, 40], [8, 8, 8, 8], [1.0] * 4, [2, 2, 2, 2])
    return filled(RegNet(sizes, num_classes=4))


def densenet():
    """Three dense blocks of few channels, with average-pooled transitions."""
    return filled(DenseNet(4, (2, 2, 2), num_init_features=8, num_classes=4))


def filled(model):
    model = model.double().eval()
    fill(model, torch.Generator().manual_seed(0))
    return model


class UNet(nn.Module):
    """Down, and up again by interpolation and by transposed filters, with what passed by."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.three = nn.Conv2d(6, 8, 3, 2, 1, groups=2)
        self.up, self.mix = nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.Conv2d(10, 2, 3, padding=2)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x):
        low = F.relu(self.one(x))
        mid = F.relu(self.two(F.avg_pool2d(low, 2, ceil_mode=True)))
        high = F.relu(self.up(self.three(mid)))
        mid = torch.cat([F.interpolate(high, mid.shape[2:], mode="bilinear"), mid], 1)
        mid = F.interpolate(self.mix(mid), scale_factor=2.0, mode="nearest")
        fine = self.shuffle(self.three(low[:, :1].expand(-1, 6, -1, -1)))
        low = F.interpolate(fine, low.shape[2:], mode="bilinear", align_corners=True) + low[:, 1:2]
        return F.pad(low, (1, 2, 0, 1)) + F.interpolate(mid, (SIZE[0] + 1, SIZE[1] + 3))


class Excited(nn.Module):
    """Squeeze and excitation: from there on every unit sees the whole image."""

    def __init__(self):
        super().__init__()
        self.filters, self.top = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)
        self.gate = SqueezeExcitation(4, 2)

    def forward(self, x):
        return self.top(self.gate(torch.relu(self.filters(x))))


CASES = {
    "alexnet": lambda: network("alexnet"),
    "resnet18": lambda: network("resnet18"),
    "resnet50": lambda: network("resnet50"),
    "googlenet": lambda: network("googlenet"),
    "inception_v3": lambda: network("inception_v3"),
    "shufflenet_v2_x0_5": lambda: network("shufflenet_v2_x0_5"),
    "mobilenet_v2": lambda: network("mobilenet_v2"),
    "mnasnet0_5": lambda: network("mnasnet0_5"),
    "squeezenet1_1": lambda: network("squeezenet1_1"),
    "densenet": densenet,
    "regnet": regnet,
    "unet": UNet,
    "excited": Excited,
}


def layers_of(net, recording, count=8):
    """So many layers, spread over the network, whose fields are not yet the whole image."""
    maps = [s.name for s in recording.steps if len(recording.sizes.get(s.name, ())) == 4]
    found = receptive_field.of_layers(recording, maps)
    small = [name for name in maps if min(found[name].size) < min(SIZE) // 2]
    chosen = small[:: max(1, len(small) // (count - 2))][: count - 2]
    return list(dict.fromkeys([*chosen, small[-1], maps[-1]]))


@pytest.mark.parametrize("name", CASES)
def test_the_support_is_the_box(name):
    net = DeconvNet(positive(averaging(CASES[name]().double().eval())), "identity")
    image = noise(1, 3, *SIZE).abs()
    layers = layers_of(net, net.geometry(image.shape[1:]))
    recording = net.record(image, layers)
    smaller = 0
    for layer in layers:
        _, channels, *size = recording.sizes[layer]
        places = itertools.product(*(sorted({0, n // 2, n - 1}) for n in size))
        units = [Unit(layer, 7 * i % channels, *place) for i, place in enumerate(places)]
        full = net.project(recording, units=units, seed="one")
        crops = net.project(recording, units=units, seed="one", crop=True)
        for pixels, crop in zip(full, crops, strict=True):
            assert hull(pixels) == (crop.box.start, crop.box.stop), crop.unit
            assert outside(pixels, cut_short(crop.box)).any()
            smaller += crop.box.size != SIZE
    assert smaller >= 9


def test_everything_is_seen_where_an_operation_sees_everything():
    recording = DeconvNet(Excited()).geometry((3, *SIZE))
    assert receptive_field.box(recording, "filters", (5, 6)).size == (3, 3)
    assert receptive_field.box(recording, "gate.avgpool", (0, 0)).size == SIZE
    for layer in ("gate.mul", "top"):
        assert receptive_field.box(recording, layer, (5, 6)).size == SIZE


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "unet"])
def test_a_box_of_another_layer_is_caught(name):
    """The planted wrong case: boxes of the layer before."""
    net = DeconvNet(positive(averaging(CASES[name]().double().eval())), "identity")
    recording = net.record(noise(1, 3, *SIZE), names := {
        "resnet18": ["layer1.0.conv2", "layer1.1.conv1"],
        "googlenet": ["conv3.conv", "inception3a.cat"],
        "unet": ["two", "three"],
    }[name])  # fmt: skip
    place = tuple(n // 2 for n in recording.sizes[names[1]][2:])
    (pixels,) = net.project(recording, units=[Unit(names[1], 0, *place)], seed="one")
    right, wrong = (
        receptive_field.box(recording, layer, place, channel=0) for layer in reversed(names)
    )
    assert hull(pixels) == (right.start, right.stop)
    assert hull(pixels) != (wrong.start, wrong.stop)
