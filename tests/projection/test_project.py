"""Many units at once are the same units one by one, whatever the graph and however they travel."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import deconvnet.projection.project
from deconvnet import DeconvNet, Unit
from tests.support.networks import live_units, network, noise
from tests.support.reference import assert_same, projections

LAYERS = ["inception3a.branch2.1.relu", "maxpool2", "conv1.conv", "fc"]


class Forward(TorchDispatchMode):
    """Counts the images that go up through convolutions."""

    def __init__(self):
        super().__init__()
        self.images = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten.convolution.default and not args[6]:  # not transposed
            self.images.append(args[0].shape[0])
        return function(*args, **(kwargs or {}))


def mixed(recording):
    """Units of several layers, channels and images, in no order, some of them twice."""
    units = [unit for layer in recording.activations for unit in live_units(recording, layer, 3)]
    order = torch.randperm(len(units), generator=torch.Generator().manual_seed(0)).tolist()
    return [units[i] for i in order] + [units[0], units[0]]


@pytest.mark.parametrize("policy", ["gradient", "deconvnet", "guided", "rectgrad(50)"])
def test_many_units_are_the_same_one_by_one(policy):
    net, images = DeconvNet(network("googlenet"), policy), noise(3, 3, 64, 64)
    recording = net.record(images, LAYERS)
    units = mixed(recording)
    together = net.project(images, units=units)
    for i in range(0, len(units), 4):
        alone = net.project(images, units=[units[i]])
        assert alone.any() or policy.startswith("rectgrad")
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-10, atol=1e-14)
    assert torch.equal(together[0], together[-1] if units[0] == units[-1] else together[0])
    one_image = net.project(images[1:2], units=[Unit("conv1.conv", 3, 5, 5)])
    third = net.project(images, units=[Unit("conv1.conv", 3, 5, 5, image=1)])
    torch.testing.assert_close(one_image, third, rtol=1e-10, atol=1e-14)


def test_more_units_than_fit_take_more_passes(monkeypatch):
    net, images = DeconvNet(network("resnet18"), "guided"), noise(2, 3, 48, 48)
    recording = net.record(images, ["layer2.1.add", "layer1.0.relu_1"])
    units = mixed(recording)
    whole = net.project(recording, units=units)
    passes = []
    descend = deconvnet.projection.project.descend
    monkeypatch.setattr(
        deconvnet.projection.project,
        "descend",
        lambda *args, **kwargs: passes.append(args[1:3]) or descend(*args, **kwargs),
    )
    net.project(recording, units=units)
    few = len(passes)
    monkeypatch.setattr(deconvnet.projection.project, "NEAR", 2**20)
    passes.clear()
    torch.testing.assert_close(net.project(recording, units=units), whole, rtol=1e-10, atol=1e-16)
    assert len(passes) > few
    assert {layer for layer, _ in passes} == set(recording.activations)
    assert sum(len(start) for _, start in passes) == len(units)


def test_images_go_up_once_and_no_further_than_they_must():
    net, images = DeconvNet(network("resnet18"), check=False), noise(2, 3, 48, 48)
    units = [
        Unit("layer1.1.add", c, i, j, image=i % 2)
        for c in range(8)
        for i in range(6)
        for j in (2, 7)
    ]
    with Forward() as forward:
        net.project(images, units=units, way="shared")
    # the stem and four convolutions of layer 1; two empty images first, for the geometry
    assert forward.images == [2] * 5 + [2] * 5
    with Forward() as forward:
        net.project(images, units=units, way="shared")
    assert forward.images == [2] * 5
    with Forward() as forward:
        recording = net.record(images, "layer1.1.add")
    assert forward.images == [2] * 5
    with Forward() as forward:
        net.project(recording, units=units)
        net.project(recording, layer="layer1.1.add", channel=3)
    assert forward.images == []
    with Forward() as forward:
        network("resnet18")(images)
    assert len(forward.images) == 20, "the counter counts"


def test_a_recording_serves_again_and_is_not_changed():
    net, images = DeconvNet(network("squeezenet1_1"), "guided"), noise(2, 3, 48, 48)
    recording = net.record(images, ["features.4.cat", "features.7.cat"])
    kept = {name: maps.clone() for name, maps in recording.activations.items()}
    units = mixed(recording)
    expected = net.project(images, units=units)
    for _ in range(2):
        assert torch.equal(net.project(recording, units=units), expected)
    other = net.record(noise(2, 3, 48, 48, seed=9), "features.4.cat")
    assert not torch.equal(
        net.project(other, units=[Unit("features.4.cat", 1, 3, 3)]), expected[:1]
    )
    assert torch.equal(net.project(recording, units=units), expected), "recordings share state"
    assert all(torch.equal(recording[name], maps) for name, maps in kept.items())
    assert recording.images == 2
    assert recording.switches["features.2"].places.dtype == torch.int32


def test_no_units_are_no_projections():
    net, images = DeconvNet(network("resnet18")), noise(2, 3, 48, 48)
    recording = net.record(images, "conv1")
    assert net.project(recording, units=[]).shape == (0, 3, 48, 48)
    assert net.project(recording, units=[], crop=True) == []


class Mixing(nn.Module):
    """What the toolkit can't know to keep the images of a batch apart, or what does mix them."""

    def __init__(self, how):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.how = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), how

    def forward(self, x):
        return torch.relu(self.two(self.how(torch.relu(self.one(x)))))


MIXING = {
    "rolled over the batch": lambda x: x + 2 * torch.roll(x, 1, 0),
    "flipped": lambda x: x.flip(0) + x,
    "permuted": lambda x: x.permute(1, 0, 2, 3).contiguous().permute(1, 0, 2, 3),
    "the batch's mean": lambda x: x - x.mean(0, keepdim=True),
    "summed over all": lambda x: x * x.sum(),
    "sorted": lambda x: x.sort(1).values,
    "fourier": lambda x: torch.fft.fft2(x).real,
    "softmax over the batch": lambda x: torch.softmax(x, 0),
    "an einsum": lambda x: torch.einsum("nchw,mchw->nchw", x, x),
    "split": lambda x: torch.cat([x.split(1, 1)[2] * 3, x.split(3, 1)[0]], 1),
    "split over the batch": lambda x: torch.cat([x.chunk(2)[0], x.chunk(2)[1]], 0),
    "unbound": lambda x: torch.stack([x[:, 1], x[:, 0], x[:, 3], x[:, 2]], 1),
    "one image of the batch": lambda x: x + x[:1],
    "folded into the batch": lambda x: F.avg_pool2d(x.view(-1, 1, 8, 8), 3, 1, 1).view(-1, 4, 8, 8),
    "topk": lambda x: x.topk(4, dim=1).values,
}


@pytest.mark.parametrize("how", MIXING)
def test_graphs_whose_batch_cannot_be_taken_apart(how):
    model, images = Mixing(MIXING[how]).double(), noise(3, 3, 10, 10)
    for policy, reference in (("gradient", "autograd"), ("deconvnet", "deconvnet")):
        net = DeconvNet(model, policy)
        (last,) = net.graph.returned
        recording = net.record(images)
        torch.testing.assert_close(recording[last], model(images).detach())
        units = mixed(recording)
        found = net.project(recording, units=units, seed="one")
        expected = projections(model, images, units, reference)
        alive = expected.flatten(1).any(1)
        assert alive.sum() > len(units) // 2
        assert_same(found[alive], expected[alive])
        assert not found[~alive].any()


def test_some_of_them_are_not_separable_and_some_are():
    images = noise(3, 3, 10, 10)

    def separable(how):
        return DeconvNet(Mixing(MIXING[how]).double(), "gradient").record(images).separable

    assert not separable("the batch's mean")
    assert not separable("fourier")
    assert separable("sorted")
    assert separable("split")
