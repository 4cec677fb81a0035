"""What must hold of projecting whatever else a model does: mixing images, changing, casting."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from deconvnet import DeconvNet, Unit
from tests.support.networks import noise
from tests.support.reference import error, projections

IMAGES = noise(2, 3, 23, 29)


class Net(nn.Module):
    def __init__(self, between):
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1)
        self.between = between
        self.double().eval()

    def forward(self, x):
        return self.b(self.between(self.a(x).relu()))


def centred(h):
    return h - h.unsqueeze(0).mean(1)


def one_sample(h):  # as conditional convolutions and Siamese trackers do
    n, c, height, width = h.shape
    wide = F.avg_pool2d(h.reshape(1, n * c, height, width), 3, 1, 1)
    return wide.reshape(n, c, height, width)


def shifted(h):  # temporal shift: the batch is frames of clips of two
    n, c, height, width = h.shape
    clips = h.view(n // 2, 2, c, height, width)
    return torch.cat([clips[:, 1:], clips[:, :1]], 1).reshape(n, c, height, width)


@pytest.mark.parametrize("way", ["cone", "shared", None])
@pytest.mark.parametrize("between", [centred, one_sample, shifted])
@pytest.mark.parametrize("images", [[1], [1, 0, 1]])
def test_a_model_that_mixes_a_batch(between, way, images):
    model = Net(between)
    units = [Unit("b", i, 9, 9 + i, image=image) for i, image in enumerate(images)]
    expected = projections(model, IMAGES, units, "gradient")
    found = DeconvNet(model, "gradient").project(IMAGES, units=units, way=way, seed="one")
    assert error(found, expected) < 1e-10


@pytest.mark.parametrize("change", ["padding", "kernel", "pool"])
def test_settings_changed_after_the_first_call(change):
    torch.manual_seed(0)
    model = (
        nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 5, 3)
        )
        .double()
        .eval()
    )
    net, units = DeconvNet(model, "gradient"), [Unit("3", 2, 5, 5)]
    net.project(IMAGES, units=units, way="cone")
    if change == "padding":
        model[0].padding = (0, 0)
    elif change == "kernel":
        model[0].weight, model[0].padding = nn.Parameter(noise(4, 3, 5, 5)), (2, 2)
    else:
        model[2].kernel_size, model[2].padding = 5, 2
    found = net.project(IMAGES, units=units, way="cone", seed="one")
    assert error(found, projections(model, IMAGES, units, "gradient")) < 1e-10


def test_a_recording_of_mixed_precision():
    class Mixed(Net):
        def forward(self, x):
            return self.b(self.a(x).relu().double())

    model, images = Mixed(None), IMAGES.float()
    model.a.float()
    net, units = DeconvNet(model, "gradient"), [Unit("b", 1, 9, 9)]
    expected = net.project(images, units=units)
    found = net.project(net.record(images, "b"), units=units)
    assert found.dtype == images.dtype
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_layer_without_maps_is_named_as_before():
    class Chunked(Net):
        def forward(self, x):
            one, other = self.a(x).chunk(2, 1)
            return one + other

    with pytest.raises(ValueError, match="has no feature maps"):
        DeconvNet(Chunked(None)).project(IMAGES, layer="chunk", channel=0)


def test_no_such_way_of_a_recording():
    net = DeconvNet(Net(torch.relu))
    with pytest.raises(ValueError, match="the way was 'fast'"):
        net.project(net.record(IMAGES, "b"), layer="b", channel=0, way="fast")


def made(net, images, units, way):
    with FlopCounterMode(display=False) as counter:
        net.project(images, units=units, way=way)
    return counter.get_total_flops() / 2


def test_each_layer_of_another_image_is_counted():
    net = DeconvNet(nn.Sequential(*[nn.Conv2d(3, 3, 3, padding=1) for _ in range(6)]), "gradient")
    images = noise(6, 3, 40, 40).float()
    units = [Unit(str(3 + i % 3), 0, 20, 20, image=i) for i in range(6)]
    counts = net.route(images, units).multiply_adds
    assert min(counts.values()) > 0
    assert counts["taken"] == min(counts.values())
    assert net.route(images, units).way == "cone"
    assert 0.8 < made(net, images, units, "shared") / counts["shared"] <= 1


@pytest.mark.parametrize("case", ["transposed", "mixing", "no position"])
def test_counts_are_honest(case):
    images = noise(6, 3, 24, 24).float()
    units = [Unit("b", 0, 3, 3, image=i) for i in range(6)]
    model = Net(lambda h: h - h.mean(0) if case == "mixing" else h.relu()).float()
    if case == "transposed":
        model.b = nn.ConvTranspose2d(4, 5, 3, 2, 1)
    if case == "no position":
        units = [Unit("b", 0, image=i) for i in range(6)]
    net = DeconvNet(model, "gradient")
    taken = net.route(images, units).multiply_adds["taken"]
    assert 0.7 < made(net, images, units, None) / taken < 1.03  # borders of the transposed one


@pytest.mark.parametrize("dims", [(1,), (1, 2), ((1, 3),)])
def test_the_method_flip_takes_numbers(dims):
    model = Net(lambda h: h.flip(*dims) + h)
    units = [Unit("b", 1, 3, 4), Unit("b", 2, 9, 9, image=1)]
    found = DeconvNet(model, "gradient").project(IMAGES, units=units, seed="one")
    assert error(found, projections(model, IMAGES, units, "gradient")) < 1e-10
