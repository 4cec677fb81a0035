"""Segmentation, detection backbones and video networks, and networks of sound."""

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models import list_models, segmentation, video
from torchvision.models.detection.backbone_utils import (
    mobilenet_backbone,
    resnet_fpn_backbone,
)
from torchvision.ops import FrozenBatchNorm2d

from deconvnet import DeconvNet
from tests.support.everywhere import check_network
from tests.support.networks import fill, noise

SEGMENTATION = list_models(module=segmentation)
LIGHT = ("lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large")
CONVOLUTIONAL = ("r3d_18", "mc3_18", "r2plus1d_18", "s3d")
SLOW = pytest.mark.slow


def seeded(make, *args, **arguments):
    """A model without storage, filled with weights of our own, in float64."""
    with torch.device("meta"):
        model = make(*args, **arguments)
    model.to_empty(device="cpu").double().eval()
    fill(model, torch.Generator().manual_seed(0))
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):  # its weights are buffers
            module.weight.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(1))
            module.bias.zero_()
    return model.requires_grad_(False)


def test_every_segmentation_network_is_here():
    assert set(LIGHT) <= set(SEGMENTATION)
    assert len(SEGMENTATION) >= 6


@pytest.mark.parametrize(
    "name", [n if n in LIGHT else pytest.param(n, marks=SLOW) for n in SEGMENTATION]
)
def test_segmentation(name):
    """A dict of maps as large as the images; dilated filters, pooled context, interpolation."""
    model = seeded(getattr(segmentation, name), weights=None, weights_backbone=None)
    check_network(model, noise(2, 3, 49, 65))


@pytest.mark.parametrize(
    "name", ["mc3_18", *(pytest.param(n, marks=SLOW) for n in ("r3d_18", "r2plus1d_18"))]
)
def test_video(name):
    model = seeded(getattr(video, name), weights=None)
    check_network(model, noise(1, 3, 5, 24, 17))


@pytest.mark.slow
def test_video_s3d():
    check_network(seeded(video.s3d, weights=None), noise(1, 3, 16, 224, 224))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(list_models(module=video)) - set(CONVOLUTIONAL)))
def test_video_transformers(name):
    """No ConvNets; what can be followed is right."""
    with torch.device("cpu"):
        model = getattr(video, name)(weights=None).double().eval().requires_grad_(False)
    fill(model, torch.Generator().manual_seed(0))
    if name == "mvit_v2_s":  # its _add_shortcut writes into what torch.fx has read on past
        with pytest.raises(ValueError, match="_add_shortcut.*writes into.*matmul.*read later"):
            check_network(model, noise(1, 3, 16, 224, 224))
        return
    size = (8, 112, 112) if name.startswith("swin") else (16, 224, 224)  # else 24 GiB
    check_network(model, noise(1, 3, *size))


@pytest.mark.parametrize(
    "make",
    [
        lambda: resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=5),
        lambda: mobilenet_backbone(backbone_name="mobilenet_v3_small", weights=None, fpn=True),
    ],
    ids=["resnet18", "mobilenet_v3_small"],
)
def test_detection_backbones(make):
    """Pyramids: a dict of maps of several scales, where coarse ones are added to fine ones."""
    check_network(seeded(make), noise(2, 3, 64, 96))


@pytest.mark.slow
def test_a_detection_backbone_of_50_layers():
    make = lambda: resnet_fpn_backbone(backbone_name="resnet50", weights=None)  # noqa: E731
    check_network(seeded(make), noise(1, 3, 64, 96))


@pytest.mark.slow
def test_the_features_of_a_detector_of_one_shot():
    model = torchvision.models.detection.ssd300_vgg16(weights=None, weights_backbone=None)
    backbone = model.backbone.double().eval().requires_grad_(False)
    fill(backbone, torch.Generator().manual_seed(0))
    check_network(backbone, noise(1, 3, 300, 300))


def test_a_whole_detector_is_one_clear_error():
    """It takes a list of images and decides by the boxes it finds: no graph has that."""
    model = torchvision.models.detection.fcos_resnet50_fpn(weights=None, weights_backbone=None)
    with pytest.raises(ValueError, match="FCOS"):
        DeconvNet(model).record(noise(1, 3, 64, 64).float())


class Dilated(nn.Module):
    """Sound: gated dilated filters with skips to the top (van den Oord 2016)."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(1, 6, 2)
        self.filters = nn.ModuleList(nn.Conv1d(6, 12, 2, dilation=2**i) for i in range(4))
        self.skips = nn.ModuleList(nn.Conv1d(6, 5, 1) for _ in range(4))
        self.top = nn.Sequential(nn.ReLU(), nn.Conv1d(5, 4, 1))

    def forward(self, x):
        x, skips = self.first(x), []
        for filters, skip in zip(self.filters, self.skips, strict=True):
            signal, gate = filters(x).chunk(2, dim=1)
            signal = torch.tanh(signal) * torch.sigmoid(gate)
            x = signal + x[:, :, -signal.shape[2] :]
            skips.append(skip(signal)[:, :, -20:])
        return self.top(torch.stack(skips).sum(0))


class Strided(nn.Module):
    """Sound: strided filters, a pool, BatchNorm, and back up to the length of the input."""

    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv1d(2, 8, 9, stride=2, padding=4), nn.BatchNorm1d(8), nn.ReLU(inplace=True),
            nn.MaxPool1d(3, 2, 1), nn.Conv1d(8, 8, 5, padding="same", groups=4), nn.ReLU(),
        )  # fmt: skip
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2), nn.ConvTranspose1d(8, 3, 4, 2, 1), nn.ReLU()
        )

    def forward(self, x):
        return self.up(self.down(x))


@pytest.mark.parametrize(("kind", "size"), [(Dilated, (2, 1, 61)), (Strided, (2, 2, 64))])
def test_sound(kind, size):
    torch.manual_seed(0)
    check_network(kind().double().eval(), noise(*size))
