"""The networks of the papers: the sizes and counts that the papers print."""

import pytest
import torch

from deconvnet import DeconvNet, zoo

# Zeiler & Fergus 2014, figure 3; fields by Araujo's recurrence (r <- s r + k - s)
ZFNET = {
    "conv1": (96, 110, 7, 2),
    "pool1": (96, 55, 11, 4),
    "conv2": (256, 26, 27, 8),
    "pool2": (256, 13, 43, 16),
    "conv3": (384, 13, 75, 16),
    "conv4": (384, 13, 107, 16),
    "conv5": (256, 13, 139, 16),
    "pool5": (256, 6, 171, 32),
}


@pytest.fixture(scope="module")
def zfnet_layers():
    return DeconvNet(zoo.zfnet(), "identity", input_size=(3, 224, 224)).layers


@pytest.mark.parametrize("name", ZFNET)
def test_zfnet_is_the_papers(zfnet_layers, name):
    layer = zfnet_layers[name]
    channels, size, field, stride = ZFNET[name]
    assert (layer.channels, layer.size) == (channels, (size, size))
    assert (layer.field, layer.stride) == ((field, field), (stride, stride))


def test_the_top_of_zfnet(zfnet_layers):
    assert [zfnet_layers[name].channels for name in ("flatten", "fc6", "fc7", "fc8")] == [
        9216,
        4096,
        4096,
        1000,
    ]


def test_another_padding_would_not_give_the_papers_sizes():
    other = torch.nn.Sequential(*list(zoo.zfnet().children())[:8])
    other[0].padding = (0, 0)
    sizes = [layer.size[0] for layer in DeconvNet(other, input_size=(3, 224, 224)).layers.values()]
    assert sizes[::4] != [ZFNET[name][1] for name in ("conv1", "conv2")]


def test_all_cnn_c_is_springenbergs():
    layers = DeconvNet(zoo.allcnn(), "identity", input_size=(3, 32, 32)).layers
    sizes = [layers[f"relu{n}"].size[0] for n in range(1, 10)]
    assert sizes == [32, 32, 16, 16, 16, 8, 6, 6, 6]
    assert [layers[f"conv{n}"].channels for n in (1, 4, 7, 9)] == [96, 192, 192, 10]
    assert sum(p.numel() for p in zoo.allcnn().parameters()) == pytest.approx(1.37e6, rel=0.01)


def test_without_pools_and_at_a_seed_of_one_the_image_does_not_matter():
    net = DeconvNet(zoo.allcnn(), "deconvnet")
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    first, second = net.project(images, layer="conv5", channel=3, position=(7, 7), seed="one")
    assert first.abs().max() > 0
    assert torch.equal(first, second)
    guided = DeconvNet(zoo.allcnn(), "guided")
    first, second = guided.project(images, layer="conv5", channel=3, position=(7, 7), seed="one")
    assert not torch.equal(first, second)
