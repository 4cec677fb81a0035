"""Operations without a line in the table: units cost few backward passes, and are right."""

import pytest
import torch
from torch import fx, nn

from deconvnet import DeconvNet, Unit
from tests.support.networks import live_units, noise
from tests.support.reference import assert_same, projections

PASSES = []


def counted(x):
    """The same value, whose backward passes are counted."""
    y = x.clone()
    if y.requires_grad:
        y.register_hook(lambda signal: PASSES.append(len(signal)))
    return y


@fx.wrap
def unknown(x):
    """Of which the toolkit knows nothing: each image by itself, with a rectifier inside."""
    return torch.relu(counted(x) - 0.1) * torch.fft.fft2(x).real.sin()


@fx.wrap
def linear(x):
    """The same without a rectifier of its own."""
    return counted(x) + torch.fft.fft2(x).real


@fx.wrap
def mixing(x):
    """Images see each other's mean."""
    return linear(x) - 0.5 * x.mean(0, keepdim=True)


class Net(nn.Module):
    """Filters below and above an operation without a line."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3)

    def forward(self, x):
        return torch.relu(self.two(self.operation(torch.relu(self.one(x)))))

    def operation(self, x):
        return linear(x)


class Unknown(Net):
    def operation(self, x):
        return unknown(x)


class Mixing(Net):
    def operation(self, x):
        return mixing(x)


def spread(units, images, size=8):
    """So many units of layer "relu_1", in turns over the images."""
    return [Unit("relu_1", i % 6, i // 7 % size, i % size, image=i % images) for i in range(units)]


@pytest.fixture
def tried():
    """A network that has seen images of this size: whether samples stay apart is known."""
    net, images = DeconvNet(Net().double(), "gradient"), noise(8, 3, 10, 10)
    net.project(images, units=spread(8, 8))
    PASSES.clear()
    return net, images


def test_units_cost_as_many_passes_as_an_image_has_of_them(tried):
    net, images = tried
    units = spread(24, 8)
    found = net.project(images, units=units, seed="one")
    assert PASSES == [8, 8, 8]
    expected = projections(net.model, images, units, "autograd")
    alive = expected.flatten(1).any(1)
    assert alive.sum() > 8
    assert_same(found[alive], expected[alive])


def test_in_the_order_of_images_too(tried):
    net, images = tried
    units = sorted(spread(24, 8), key=lambda unit: unit.image)
    net.project(images, units=units)
    assert len(PASSES) == 3
    PASSES.clear()
    net.project(images, units=[unit for unit in units if unit.image < 3])
    assert len(PASSES) == 3


def test_with_little_memory_a_round_stays_together(tried, monkeypatch):
    """A pass takes the whole batch in any case: parts of it would cost as much each."""
    for name in ("BUDGET", "NEAR"):
        monkeypatch.setattr(f"deconvnet.projection.plan.{name}", 1)
    net, images = tried
    units = sorted(spread(24, 8), key=lambda unit: unit.image)
    found = net.project(images, units=units, seed="one")
    assert len(PASSES) == 3
    monkeypatch.undo()
    assert torch.equal(found, net.project(images, units=units, seed="one"))


def test_the_first_time_it_is_tried_whether_samples_stay_apart():
    net, images = DeconvNet(Net().double(), "gradient", check=False), noise(8, 3, 10, 10)
    counts = []
    for _ in range(2):
        PASSES.clear()
        net.project(images, units=spread(8, 8))
        counts.append(len(PASSES))
    assert counts[0] > counts[1] == 1
    assert counts[0] <= 1 + 2 * 5 + 2 * 2, "five groups tell eight images apart, two the empty ones"


@pytest.mark.parametrize("policy", ["gradient", "deconvnet", "guided"])
@pytest.mark.parametrize("seed", ["one", "activation", "map"])
def test_rules_hold_inside_and_for_every_seed(policy, seed):
    model, images = Unknown().double(), noise(4, 3, 10, 10)
    net = DeconvNet(model, policy)
    units = live_units(net.record(images), "relu_1", 3)
    found = net.project(images, units=units, seed="one")
    right = projections(model, images, units, "autograd" if policy == "gradient" else policy)
    assert_same(found, right)
    together = net.project(images, units=units, seed=seed)
    for number, unit in enumerate(units):  # alone, and among all images
        (alone,) = net.project(images, units=[unit], seed=seed)
        assert_same(together[number : number + 1], alone[None])
    crops = net.project(images, units=units, seed="one", crop=True)
    assert all(
        torch.equal(crop.pixels, pixels[(slice(None), *crop.box.slices)])
        for crop, pixels in zip(crops, found, strict=True)
    )


def test_an_operation_that_mixes_images_goes_alone_and_is_right():
    """Planted: with the others it would take their signals for its own."""

    model, images = Mixing().double(), noise(4, 3, 10, 10)
    net = DeconvNet(model, "gradient")
    recording = net.record(images)
    assert not recording.apart
    units = live_units(recording, "relu_1", 3)
    assert_same(
        net.project(images, units=units, seed="one"), projections(model, images, units, "autograd")
    )


class Gate(nn.Module):
    """Mixes images as far as a parameter says; torch.fx does not look into a module of torch."""

    __module__ = "torch.nn.planted"

    def __init__(self):
        super().__init__()
        self.open = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x + self.open * torch.fft.fft(x, dim=0).real


class Gated(Net):
    def __init__(self):
        super().__init__()
        self.gate = Gate()

    def operation(self, x):
        return self.gate(x)


def test_it_is_tried_again_when_a_parameter_has_changed():
    model, images = Gated().double(), noise(4, 3, 10, 10)
    net = DeconvNet(model, "gradient")
    assert net.graph.nodes["gate"].kind == "Gate"
    assert net.record(images).apart
    with torch.no_grad():
        model.gate.open.add_(1)
    recording = net.record(images)
    assert not recording.apart
    units = live_units(recording, "relu_1", 2)
    assert_same(
        net.project(images, units=units, seed="one"), projections(model, images, units, "autograd")
    )


@pytest.mark.parametrize("units", [8, 24, 72])
@pytest.mark.parametrize("kind", [Net, Unknown])
def test_no_more_than_half_as_many_again_as_images_can_take(kind, units):
    """Cases A12: 1.5 x ceil(units / images) batched backward passes."""
    net, images = DeconvNet(kind().double(), "gradient"), noise(8, 3, 10, 10)
    net.project(images, units=spread(8, 8))
    PASSES.clear()
    net.project(images, units=spread(units, 8))
    assert len(PASSES) <= 1.5 * -(-units // 8)


def test_multiply_adds_where_samples_stay_apart():
    """A signal takes the filters below the operation once, not once for each image."""
    images, units = noise(8, 3, 10, 10), spread(24, 8)
    own, mixed = (
        DeconvNet(kind().double(), "gradient").plan(images, units) for kind in (Net, Mixing)
    )
    above, below = 6 * 4 * 9 * 64, 4 * 3 * 9 * 100
    assert mixed.multiply_adds["taken"] == 8 * (above + below) + 24 * 8 * (above + below)
    down = own.multiply_adds["taken"] - 8 * (above + below)
    assert 0 < down <= 24 * (above + below)
    assert own.strategy == mixed.strategy == "shared"
