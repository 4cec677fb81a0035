"""What networks and images are in practice: shared, reused, cut, half, odd, last-channelled."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet
from deconvnet.layers.local import Local
from tests.support.everywhere import check_network, expected
from tests.support.networks import live_units, network, noise
from tests.support.reference import assert_same, projections


class Model(nn.Module):
    """Filters and a rectifier for the subclasses, which say how they are joined."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.top, self.relu = nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)


class SharedWeights(Model):
    """Two modules with one weight, and a convolution with another module's filters."""

    def __init__(self):
        super().__init__()
        self.again = nn.Conv2d(4, 4, 3, padding=1)
        self.again.weight = self.two.weight

    def forward(self, x):
        x = self.relu(self.again(self.relu(self.two(self.one(x)))))
        return self.top(F.conv2d(x, self.two.weight, stride=2))


class CalledTwice(Model):
    """A block called three times, its rectifier and its pool among them."""

    def forward(self, x):
        x = self.one(x)
        for _ in range(3):
            x = self.relu(self.two(x))
        return self.top(self.pool(self.pool(x)))


class InPlaceOnShared(Model):
    """Three branches read a tensor; the rectifier has written into it for all of them."""

    def forward(self, x):
        x = self.one(x)
        y = self.relu(x)
        z = self.two(x)
        z += y
        z.mul_(0.5).add_(x)
        return self.top(self.relu(z))


class Rejoining(Model):
    """Branches split, cross, rejoin by sum, product, concatenation and stacking."""

    def forward(self, x):
        x = self.one(x)
        a, b = self.relu(self.two(x)), self.pool(x)
        b = F.interpolate(b, a.shape[2:], mode="bilinear")
        c = torch.cat([a[:, :2] * b[:, :2], a[:, 2:] - b[:, 2:]], 1)
        return self.top(torch.stack([a, b, c], 2).mean(2))


class Unused(Model):
    """Branches whose values nobody reads, one of which cannot be mirrored alone."""

    def forward(self, x):
        x = self.one(x)
        _ = self.two(x).argmax(1)
        unused, used = torch.chunk(self.two(x), 2, 1)
        return self.top(torch.cat([used, F.relu(used)], 1))


class Views(Model):
    """Slices with steps, views, permutations, unbinding, expansion."""

    def forward(self, x):
        x = self.one(x)[:, :, 1:, ::2]
        x = x.permute(0, 2, 3, 1).contiguous().view(x.shape[0], -1, 4).transpose(1, 2)
        first, *_, last = x.unbind(1)
        x = torch.relu(x * (first + last).unsqueeze(1).expand(-1, 4, -1))
        return self.top(x.unsqueeze(3).narrow(2, 0, 10)[..., [0, 0]])


SITUATIONS = (SharedWeights, CalledTwice, InPlaceOnShared, Rejoining, Unused, Views)
SIZES = [(2, 3, 12, 12), (1, 3, 13, 9), (3, 3, 7, 16)]  # even; odd and a batch of one; wide


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_situations(situation, size):
    check_network(situation().double().eval(), noise(*size))


def test_in_these_situations_samples_are_told_apart():
    """No operation above is one of which nothing is known, but for the index of places."""
    for situation in SITUATIONS:
        recording = DeconvNet(situation().double(), "gradient").record(noise(2, 3, 12, 12))
        unknown = [s.name for s in recording.steps if isinstance(s.layer, Local)]
        assert unknown == [], situation.__name__
        assert recording.separable, situation.__name__


class Containers(Model):
    """Dicts in lists in tuples, from module to module."""

    def forward(self, x):
        low = self.relu(self.one(x))
        maps = {"low": low, "high": [self.pool(self.two(low)), None]}
        return {"out": self.top(maps["high"][0]), "aux": (maps["low"], low.mean((2, 3)))}


def test_outputs_in_containers():
    model, images = Containers().double(), noise(2, 3, 9, 12)
    net = DeconvNet(model, "guided")
    assert len(net.graph.returned) == 3
    recording = net.record(images)
    output = model(images)
    for name, value in zip(net.graph.returned, (output["out"], *output["aux"]), strict=True):
        torch.testing.assert_close(recording[name], value.detach())
    units = [unit for name in net.graph.returned for unit in live_units(recording, name, 1)]
    found = net.project(recording, units=units, seed="one")
    assert_same(found, projections(model, images, units, "guided"))


@pytest.mark.parametrize("policy", ["gradient", "deconvnet", "guided"])
@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16])
def test_half_precision(dtype, policy):
    """Like the same weights and images in float64, to the precision of the type."""
    model = CalledTwice().to(dtype)
    images = noise(2, 3, 16, 12).to(dtype)
    whole = CalledTwice().to(dtype).double()
    recording = DeconvNet(whole, policy).record(images.double(), "two_2")
    units = live_units(recording, "two_2", 2)
    net = DeconvNet(model, policy)
    found = net.project(images, units=units, seed="one")
    assert found.dtype == dtype
    right = DeconvNet(whole, policy).project(images.double(), units=units, seed="one")
    lit = right.flatten(1).any(1)
    assert lit.sum() >= 2
    gap = (found.double() - right)[lit].flatten(1).norm(dim=1)
    share = gap / right[lit].flatten(1).norm(dim=1)
    assert share.median() < 50 * torch.finfo(dtype).eps, share
    assert net.project(images.double(), units=units, seed="one").dtype == dtype


def test_half_precision_is_not_single():
    """The planted wrong case: the law above would see another type's rounding."""
    model = CalledTwice()
    net, images = DeconvNet(model, "gradient"), noise(1, 3, 16, 12)
    units = live_units(net.record(images.float()), net.graph.returned[0], 1)
    exact = DeconvNet(CalledTwice().double(), "gradient").project(images, units=units, seed="one")
    rounded = DeconvNet(CalledTwice().bfloat16(), "gradient").project(
        images.bfloat16(), units=units, seed="one"
    )
    share = (rounded.double() - exact).norm() / exact.norm()
    assert share > 50 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("policy", ["gradient", "deconvnet", "guided"])
def test_channels_last(policy):
    images, model = noise(2, 3, 33, 40), network("resnet18")
    units = live_units(DeconvNet(model, policy).record(images, "layer2.0.relu"), "layer2.0.relu")
    plain = DeconvNet(model, policy).project(images, units=units, seed="one")
    last = network("resnet18").to(memory_format=torch.channels_last)
    images = images.contiguous(memory_format=torch.channels_last)
    assert_same(DeconvNet(last, policy).project(images, units=units, seed="one"), plain)
    assert_same(DeconvNet(last, policy).project(images[:1], units=units[:1], seed="one"), plain[:1])


def test_images_that_are_views():
    """Every second image of a batch, turned over: no stride is taken for granted."""
    batch, model = noise(4, 12, 9, 3), CalledTwice().double()
    images = batch[::2].permute(0, 3, 2, 1)
    net = DeconvNet(model, "deconvnet")
    found = net.project(images, layer="two_2", channel=1)
    assert_same(found, net.project(images.contiguous(), layer="two_2", channel=1))


def test_the_model_is_on_another_device():
    """The images follow the model; here to the device that holds shapes alone."""
    net = DeconvNet(CalledTwice().to("meta"))
    recording = net.record(noise(2, 3, 12, 12))
    assert recording[net.graph.returned[0]].device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_the_model_is_on_the_gpu():
    images = noise(2, 3, 12, 12)
    for situation in SITUATIONS:
        nets = [DeconvNet(situation().double().to(device), "guided") for device in ("cpu", "cuda")]
        top = nets[0].graph.returned[0]
        units = live_units(nets[0].record(images), top)
        here, there = (net.project(images, units=units, seed="one") for net in nets)
        assert there.is_cuda
        assert_same(there.cpu(), here, tolerance=1e-9)


@pytest.mark.parametrize("count", [1, 2])
def test_a_batch_of_one_is_the_first_of_two(count):
    model, images = network("resnet18"), noise(2, 3, 40, 56)
    net = DeconvNet(model, "deconvnet")
    alone = net.project(images[:count], layer="layer3.0.add", channel=7, position=(1, 2))
    together = net.project(images, layer="layer3.0.add", channel=7, position=(1, 2))
    assert_same(alone, together[:count])


class SecondInput(Model):
    def forward(self, x, y):
        return self.one(x) + y


class Branching(Model):
    def forward(self, x):
        return self.one(x) if x.sum() > 0 else self.two(self.one(x))


@pytest.mark.parametrize(
    ("kind", "message"),
    [(SecondInput, "second input, 'y'"), (Branching, "must not depend on|decides|depend")],
)
def test_what_cannot_be_right_is_one_clear_error(kind, message):
    with pytest.raises(ValueError, match=message):
        DeconvNet(kind().double()).record(noise(1, 3, 8, 8))


class SumsAlongTheColumns(Model):
    """A value of each sample, (batch,), meets the columns of a square: samples are mixed."""

    def forward(self, x):
        means = self.one(x).mean((2, 3))
        return means * means.sum(1)


def test_a_value_without_the_axes_of_the_batch():
    model, images = SumsAlongTheColumns().double(), noise(4, 3, 5, 5)
    net = DeconvNet(model, "gradient")
    recording = net.record(images)
    assert not recording.separable
    units = live_units(recording, net.graph.returned[0], 3)
    found = net.project(recording, units=units, seed="one")
    assert_same(found, expected(model, net, images, units, "autograd")[0])
