"""Receptive fields of published networks, from tables and by Araujo's recurrence."""

import itertools

import pytest
import torch
import torchvision
from torch import nn

from deconvnet import DeconvNet
from deconvnet.projection import receptive_field
from tests.support.networks import fill

ZFNET = {  # Zeiler & Fergus 2014, figure 3, at 224 pixels: size of a map, field, stride
    "conv1": (110, 7, 2),
    "pool1": (55, 11, 4),
    "conv2": (26, 27, 8),
    "pool2": (13, 43, 16),
    "conv3": (13, 75, 16),
    "conv4": (13, 107, 16),
    "conv5": (13, 139, 16),
    "pool5": (6, 171, 32),
}
ALEXNET = {  # Krizhevsky 2014, as torchvision numbers it: field, stride
    "features.0": (11, 4),
    "features.2": (19, 8),
    "features.3": (51, 8),
    "features.5": (67, 16),
    "features.6": (99, 16),
    "features.8": (131, 16),
    "features.10": (163, 16),
    "features.12": (195, 32),
}
VGG16 = {  # Simonyan & Zisserman 2014: conv1_2, pool2, conv3_3, conv4_3, conv5_3, pool5
    "features.2": (5, 1),
    "features.9": (16, 4),
    "features.14": (40, 4),
    "features.21": (92, 8),
    "features.28": (196, 16),
    "features.30": (212, 32),
}


class ZFNet(nn.Module):
    """Zeiler & Fergus 2014, figure 3, with eight maps a layer."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 1)
        self.conv2 = nn.Conv2d(8, 8, 5, 2)
        self.conv3, self.conv4, self.conv5 = (nn.Conv2d(8, 8, 3, 1, 1) for _ in range(3))
        self.pool1, self.pool2, self.pool5 = (nn.MaxPool2d(3, 2, ceil_mode=True) for _ in range(3))
        self.norm = nn.LocalResponseNorm(5)

    def forward(self, x):
        x = self.norm(self.pool1(torch.relu(self.conv1(x))))
        x = self.norm(self.pool2(torch.relu(self.conv2(x))))
        x = torch.relu(self.conv4(torch.relu(self.conv3(x))))
        return self.pool5(torch.relu(self.conv5(x)))


class Trunk(nn.Module):
    """The convolutional part of a torchvision model, under its own name."""

    def __init__(self, name):
        super().__init__()
        with torch.device("meta"):
            self.features = getattr(torchvision.models, name)().features
        self.features.to_empty(device="cpu")
        fill(self, torch.Generator().manual_seed(0))

    def forward(self, x):
        return self.features(x)


def recurrence(windows):
    """Field, stride and padding of a chain of (kernel, stride, padding), from the top down."""
    r, s, p = 1, 1, 0
    for kernel, stride, padding in reversed(windows):
        r = stride * r + (kernel - stride)
        s = stride * s
        p = stride * p + padding
    return r, s, p


def number(value):
    return value if isinstance(value, int) else value[0]


def chains(model):
    """{name: windows (kernel, stride, padding) up to it} of a model that is one chain."""
    found, windows = {}, []
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.MaxPool2d)):
            window = (module.kernel_size, module.stride, module.padding)
            windows = [*windows, tuple(map(number, window))]
            found[name] = windows
    return found


def test_zfnet():
    layers = DeconvNet(ZFNet(), input_size=(3, 224, 224)).layers
    found = {name: (layers[name].size, layers[name].field, layers[name].stride) for name in ZFNET}
    assert found == {name: ((a, a), (b, b), (c, c)) for name, (a, b, c) in ZFNET.items()}


@pytest.mark.parametrize(("name", "table"), [("alexnet", ALEXNET), ("vgg16", VGG16)])
def test_tables(name, table):
    layers = DeconvNet(Trunk(name), input_size=(3, 256, 256)).layers
    found = {name: (layers[name].field, layers[name].stride) for name in table}
    assert found == {name: ((r, r), (s, s)) for name, (r, s) in table.items()}


def test_a_field_is_never_more_than_the_image():
    layers = DeconvNet(Trunk("alexnet"), input_size=(3, 100, 150)).layers
    assert layers["features.10"].field == (100, 150)
    assert layers["features.8"].field == (100, 131)


def version_1(model):
    """ResNet-v1 (He 2015): the first convolution of a bottleneck has the stride."""
    for module in model.modules():
        if isinstance(module, torchvision.models.resnet.Bottleneck):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, module.conv1.stride
    return model


def test_resnet_50():
    """483 by Araujo's table for the first version; torchvision's has its strides elsewhere."""
    with torch.device("meta"):
        model = torchvision.models.resnet50(width_per_group=4)
    model.to_empty(device="cpu")
    fill(model, torch.Generator().manual_seed(0))
    for expected in (427, 483):
        found = DeconvNet(model).geometry((3, 512, 512))
        assert receptive_field.field(found, "layer4.2.add").size == (expected, expected)
        assert receptive_field.field(found, "layer4.2.add").stride == (32, 32)
        version_1(model)


def seen(place, windows, lengths):
    """First and last cell that a place sees, window by window; padding cells show nothing."""
    first = last = place
    for (kernel, stride, padding), length in zip(reversed(windows), reversed(lengths), strict=True):
        first = max(0, stride * first - padding)
        last = min(length - 1, stride * last - padding + kernel - 1)
    return first, last


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "zfnet"])
def test_boxes_are_those_of_araujos_recurrence(name):
    model, image = ZFNet() if name == "zfnet" else Trunk(name), (107, 131)
    recording = DeconvNet(model).geometry((3, *image))
    sizes = recording.sizes
    windows = {stage: path[-1] for stage, path in chains(model).items()}
    stages = list(ZFNET if name == "zfnet" else windows)  # in the order in which they run
    sharper = 0
    for count, layer in enumerate(stages, 1):
        path = [windows[stage] for stage in stages[:count]]
        below = [image, *(tuple(sizes[stage][2:]) for stage in stages[: count - 1])]
        positions = list(itertools.product(*map(range, sizes[layer][2:])))
        starts, stops = receptive_field.boxes(recording, layer, positions)
        r, s, p = recurrence(path)
        for position, start, stop in zip(positions, starts.tolist(), stops.tolist(), strict=True):
            for axis, place in enumerate(position):
                first, last = seen(place, path, [size[axis] for size in below])
                assert (start[axis], stop[axis]) == (first, last + 1), (layer, position)
                closed = max(0, place * s - p), min(image[axis], place * s - p + r)
                assert closed[0] <= start[axis] <= stop[axis] <= closed[1], (layer, position)
                sharper += closed != (start[axis], stop[axis])
    assert (sharper > 0) == (name != "vgg16")  # only where a layer's last cells are never used


def test_the_recurrence_is_araujos():
    """Araujo 2019: AlexNet-v2 conv5 (163, 16, 64), VGG-16 pool5 (212, 32, 90)."""
    windows = [(11, 4, 0), (3, 2, 0), (5, 1, 2), (3, 2, 0), (3, 1, 1), (3, 1, 1), (3, 1, 1)]
    assert recurrence(windows) == (163, 16, 64)
    assert recurrence(chains(Trunk("vgg16"))["features.30"]) == (212, 32, 90)
