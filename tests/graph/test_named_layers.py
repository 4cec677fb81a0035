"""A module's path is its layer's name; layers below what cannot be read can be asked for."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet, Unit, UntraceableError
from tests.support.beside import IMAGES, right, small


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.relu_1 = nn.Conv2d(3, 4, 3), nn.ReLU()
        self.add, self.conv_1 = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Tanh()), nn.Conv2d(4, 3, 1)

    def forward(self, x):
        x = F.relu(self.conv(x) - 0.1) - 0.2
        x = F.relu(x) - 0.1
        x = self.relu_1(x) + 1
        x = self.conv(self.conv_1(self.add(x)))
        if x.shape[2] < 0:
            raise ValueError
        return x + 1


class NamedForExport(Named):
    def forward(self, x):
        return super().forward(x) if x.shape[-1] > 3 else x


@pytest.mark.parametrize("kind", [Named, NamedForExport])
def test_a_modules_path_is_its_name(kind):
    model = kind().double()
    for path in ("relu_1", "conv_1", "add", "add.0"):
        right(model, IMAGES, path)
    net = right(model, IMAGES, "conv_1")
    assert net.graph.nodes["relu_1"].module is model.relu_1
    assert net.graph.find("add") == "add.1"
    assert {"relu", "relu_2", "conv", "conv_2"} <= set(net.graph.nodes)


class Decoding(nn.Module):
    def __init__(self, *, normalized=False):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = small()
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        y = self.head(self.backbone(x))
        return sorted(y.flatten().tolist())


def test_layers_below_a_place_that_cannot_be_read():
    model = Decoding().double()
    for layer in ("backbone.0", "backbone.2.0", "head", "backbone"):
        right(model, IMAGES, layer)
    net = DeconvNet(model, "guided")
    assert net.project(IMAGES, layer=model.backbone, channel=1).shape == IMAGES.shape
    for ask in (lambda: net.record(IMAGES), lambda: net.record(IMAGES, "decode")):
        with pytest.raises(UntraceableError, match=r"tolist.*DeconvNet\(model.backbone\).*below"):
            ask()
    right(model.backbone, IMAGES)


def test_normalisation_as_the_first_layer():
    from torchvision.transforms import Normalize, v2

    for kind in (Normalize, v2.Normalize):
        model = nn.Sequential(kind([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]), *small())
        for policy in ("gradient", "guided"):
            net = right(model, IMAGES, policy=policy)
        unit = [Unit("2", 1, 2, 2)]
        assert net.route(IMAGES, unit).way == "cone"
        right(nn.Sequential(kind([0.5], [0.25]), *small()), IMAGES)


def test_other_preprocessing_within_a_model():
    from torchvision import transforms

    model = nn.Sequential(transforms.CenterCrop(7), transforms.Resize(8, antialias=True), *small())
    right(model, IMAGES)
