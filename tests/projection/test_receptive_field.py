"""A unit's projection lies in its receptive field, and fills it where nothing can cancel."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet, Unit
from deconvnet.projection import receptive_field
from tests.support.networks import network, noise

SIZE = (75, 101)  # odd, and not square
# Layers low enough that a box is smaller than the image; the last ones have several paths.
CASES = {
    "alexnet": ("features.4", "features.6"),
    "vgg11_bn": ("features.3", "features.10"),
    "resnet18": ("layer1.1.add", "layer2.0.relu_1"),
    "squeezenet1_1": ("features.3.cat", "features.4.expand3x3"),
    "googlenet": ("inception3a.cat", "inception3b.branch3.1.relu"),
    "shufflenet_v2_x1_0": ("stage2.1.cat", "stage2.2.view_1"),
    "mobilenet_v2": ("features.2.conv.3", "features.3.add"),
    "densenet121": (
        "features.denseblock1.denselayer2.cat",
        "features.denseblock1.denselayer3.conv2",
    ),
}


def places(size):
    """The corners, the middle of every border, and the centre of a map."""
    return itertools.product(*((0, n // 2, n - 1) for n in size))


def units_of(recording, layer):
    """At every such place a unit of another channel, from the first to the last."""
    channels = recording.sizes[layer][1]
    positions = list(places(recording.sizes[layer][2:]))
    steps = [i * (channels - 1) // (len(positions) - 1) for i in range(len(positions))]
    return [Unit(layer, c, *p) for c, p in zip(steps, positions, strict=True)]


def outside(pixels, box):
    """What is left of a projection when its box is blanked."""
    rest = pixels.clone()
    rest[(slice(None), *box.slices)] = 0
    return rest


def cut_short(box):
    """The planted wrong box: one row too few."""
    return type(box)(box.start, (box.stop[0] - 1, *box.stop[1:]))


@pytest.mark.parametrize("policy", ["gradient", "deconvnet", "identity"])
@pytest.mark.parametrize("name", CASES)
def test_nothing_lies_outside_the_box(name, policy):
    net = DeconvNet(network(name), policy)
    recording = net.record(noise(1, 3, *SIZE), CASES[name])
    for layer in CASES[name]:
        units = units_of(recording, layer)
        full = net.project(recording, units=units, seed="one")
        crops = net.project(recording, units=units, seed="one", crop=True)
        assert any(crop.box.size < SIZE for crop in crops)
        for pixels, crop in zip(full, crops, strict=True):
            assert not outside(pixels, crop.box).any(), f"{crop.unit} leaves {crop.box}"
            assert torch.equal(pixels[(slice(None), *crop.box.slices)], crop.pixels)
        assert sum(bool(crop.pixels.any()) for crop in crops) >= 2, "too many dead units"


def averaging(model):
    """Every max pooling becomes the average of the same windows, so that each place counts."""
    for module in list(model.modules()):
        for name, pool in module.named_children():
            if isinstance(pool, nn.MaxPool2d):
                average = nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)
                setattr(module, name, average)
    return model


@torch.no_grad()
def positive(model):
    """All weights above zero, so that no two paths cancel."""
    for parameter in model.parameters():
        parameter.abs_().add_(0.01)
    return model


def hull(pixels):
    """The smallest box around everything that is not zero."""
    lit = pixels.abs().sum(0)
    rows, cols = torch.nonzero(lit.sum(1)).flatten(), torch.nonzero(lit.sum(0)).flatten()
    return (int(rows[0]), int(cols[0])), (int(rows[-1]) + 1, int(cols[-1]) + 1)


@pytest.mark.parametrize("name", CASES)
def test_with_positive_weights_the_support_is_the_box(name):
    net = DeconvNet(positive(averaging(network(name))), "identity")
    recording = net.record(noise(1, 3, *SIZE), CASES[name])
    for layer in CASES[name]:
        units = units_of(recording, layer)
        full = net.project(recording, units=units, seed="one")
        for pixels, crop in zip(full, net.project(recording, units=units, crop=True), strict=True):
            assert hull(pixels) == (crop.box.start, crop.box.stop), crop.unit
            assert hull(pixels) != (cut_short(crop.box).start, cut_short(crop.box).stop)
            assert outside(pixels, cut_short(crop.box)).any()


class Windows(nn.Module):
    """Sliding windows with strides, padding on one side, gaps, and paths that differ."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=(2, 1))
        self.strided = nn.Conv2d(4, 4, (5, 2), stride=(2, 3), padding=(1, 0))
        self.grouped = nn.Conv2d(4, 4, 3, groups=2)
        self.up = nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1)

    def forward(self, x):
        x = F.pad(torch.relu(self.first(x)), (1, 2, 0, 3))
        x = F.avg_pool2d(self.strided(x), 3, 2, ceil_mode=True)
        x = self.up(x)
        return self.grouped(torch.cat([x[:, 2:], 2 * x[:, :2]], 1)) + x[:, :, 1:-1, 1:-1]


def test_every_place_of_every_layer_by_brute_force():
    torch.manual_seed(0)
    net = DeconvNet(positive(Windows().double()), "identity")
    image = noise(1, 2, 23, 31)
    layers = [n for n, s in net.geometry(image.shape[1:]).sizes.items() if len(s) == 4 and n != "x"]
    recording = net.record(image, layers)
    for layer in layers:
        _, channels, *size = recording.sizes[layer]
        units = [
            Unit(layer, (i + j) % channels, i, j) for i in range(size[0]) for j in range(size[1])
        ]
        full = net.project(recording, units=units, seed="one")
        found = receptive_field.boxes(
            recording, layer, [u.position for u in units], channels=[u.channel for u in units]
        )
        for pixels, unit, start, stop in zip(full, units, *map(tuple, found), strict=True):
            if not pixels.any():  # it sees padding alone
                assert (start >= stop).any(), unit
            else:
                assert hull(pixels) == (tuple(start), tuple(stop)), unit


def test_paths_of_a_channel_are_its_own():
    """Half of the channels of a shuffle unit pass it by; half of these passed the one before."""
    recording = DeconvNet(network("shufflenet_v2_x1_0")).geometry((3, *SIZE))
    by_channel = [
        receptive_field.box(recording, "stage2.2.cat", (5, 6), channel=c).size for c in range(116)
    ]
    assert by_channel == [(15, 15), (31, 31)] * 29 + [(47, 47)] * 58
    assert receptive_field.box(recording, "stage2.2.cat", (5, 6)).size == (47, 47)


def test_a_dilated_filter_has_holes_and_the_box_is_around_them():
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=(2, 1), dilation=(2, 1))).double()
    net = DeconvNet(positive(model), "identity")
    units = [Unit("0", 1, row, 4) for row in (4, 1)]
    full = net.project(noise(1, 2, 9, 9), units=units, seed="one")
    middle, border = net.project(noise(1, 2, 9, 9), units=units, seed="one", crop=True)
    assert hull(full[0]) == (middle.box.start, middle.box.stop) == ((2, 3), (7, 6))
    assert middle.pixels[0, ::2].all()
    assert not middle.pixels[0, 1::2].any()
    assert (border.box.start, border.box.stop) == ((0, 3), (4, 6))
    assert hull(full[1]) == ((1, 3), (4, 6))  # row -1 is padding, row 0 a hole


def test_logits_see_the_whole_image():
    net = DeconvNet(network("resnet18"))
    (crop,) = net.project(noise(1, 3, *SIZE), units=[Unit("fc", 3)], crop=True)
    assert (crop.box.start, crop.box.stop) == ((0, 0), SIZE)
    assert crop.unit.position is None


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "shufflenet_v2_x1_0"])
def test_fields_of_all_layers_in_one_pass_are_those_of_each(name):
    recording = DeconvNet(network(name)).geometry((3, 160, 144))
    layers = [s.name for s in recording.steps if len(recording.sizes.get(s.name, ())) >= 2]
    together = receptive_field.of_layers(recording, layers)
    assert together == {layer: receptive_field.field(recording, layer) for layer in layers}
    inside = 0
    for layer, field in together.items():
        size = recording.sizes[layer][2:]
        if len(size) == 2 and max(field.size) < 100:  # then the central unit sees no border
            boxed = receptive_field.box(recording, layer, [n // 2 for n in size])
            beside = receptive_field.box(recording, layer, [n // 2 + 1 for n in size])
            assert boxed.size == field.size, layer
            assert (
                tuple(b - a for a, b in zip(boxed.start, beside.start, strict=True)) == field.stride
            )
            inside += 1
    assert inside > 15
