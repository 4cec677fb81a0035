"""Whatever state the caller, the model or its arguments are in: right, or one clear error."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deconvnet import DeconvNet, Unit
from tests.support.beside import right, small
from tests.support.networks import live_units, noise
from tests.support.reference import assert_same, error, projections

IMAGES = noise(2, 3, 9, 9)
POLICIES = ("gradient", "deconvnet", "guided")


class Summed(nn.Module):
    """An operation that only autograd knows how to carry back."""

    def forward(self, x):
        return x.cumsum(1) * x


@pytest.mark.parametrize("policy", POLICIES)
def test_within_inference_mode(policy):
    model = nn.Sequential(*small(), Summed())
    units = live_units(DeconvNet(model, policy).record(IMAGES), "4.mul", 2)
    expected = projections(model, IMAGES, units, policy)
    with torch.inference_mode():
        net = DeconvNet(model, policy)
        recording = net.record(IMAGES * 1)
        found = net.project(IMAGES * 1, units=units, seed="one")
        again = net.project(recording, units=units, seed="one")
        assert net.layers["3"].channels == 4
    assert_same(found, expected)
    assert_same(again, expected)
    with torch.no_grad():
        assert_same(DeconvNet(model, policy).project(IMAGES, units=units, seed="one"), expected)


@pytest.mark.parametrize("policy", POLICIES)
def test_within_autocast(policy):
    model = small()
    units = live_units(DeconvNet(model, policy).record(IMAGES), "3", 2)
    expected = DeconvNet(model, policy).project(IMAGES, units=units, seed="one")
    single = small().float()
    with torch.autocast("cpu", torch.bfloat16):
        found = DeconvNet(single, policy).project(IMAGES.float(), units=units, seed="one")
    assert error(found.double(), expected) < 1e-4, "bfloat16 would be off by a hundredth"


def test_a_model_made_in_inference_mode_is_one_clear_error():
    with torch.inference_mode():
        model = small()
    with pytest.raises(ValueError, match=r"0.weight .* made within torch.inference_mode"):
        DeconvNet(model).record(IMAGES)


class Mixed(nn.Module):
    """Parameters of several types, the first one no type that images could have."""

    def __init__(self, dtype):
        super().__init__()
        torch.manual_seed(0)
        self.scale = nn.Parameter(torch.full((4, 1, 1), 2).to(dtype), requires_grad=False)
        self.conv, self.relu = nn.Conv2d(3, 4, 3), nn.ReLU()

    def forward(self, x):
        x = self.conv(x)
        return self.relu(x * self.scale.to(x.dtype))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.half, torch.bfloat16])
def test_the_first_parameter_does_not_say_what_images_are(dtype):
    model = Mixed(dtype)
    model.conv.double()
    right(model, IMAGES)
    right(model, IMAGES, "conv", policy="guided")
    net = DeconvNet(model, "guided")
    assert net.project(IMAGES, units=[Unit("relu", 1, 2, 2)], seed="one").dtype == torch.double
    assert net.project(IMAGES.float(), layer="relu", channel=1).dtype == torch.double


class Pair(NamedTuple):
    low: Tensor
    high: Tensor


@dataclass
class Output:
    logits: Tensor
    hidden: tuple[Tensor, ...] = ()


class Giving(nn.Module):
    def __init__(self, give):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.give = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), give

    def forward(self, x):
        low = F.relu(self.one(x))
        return self.give(low, F.relu(self.two(low)))


GIVE = {
    "named tuple": lambda low, high: Pair(low, high),
    "dictionary": lambda low, high: {"low": low, "high": high},
    "list": lambda low, high: [low, high, None],
    "data class": lambda low, high: Output(low, (high,)),
    "nested": lambda low, high: {"a": [Pair(low, high)], "b": low},
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("give", GIVE)
def test_what_is_returned_in_containers(give, policy):
    model = Giving(GIVE[give]).double()
    net = DeconvNet(model, policy)
    recording = net.record(IMAGES)
    assert list(recording.activations) == ["relu", "relu_1"]
    units = [unit for layer in ("relu", "relu_1") for unit in live_units(recording, layer, 1)]
    plain = Giving(lambda low, high: high).double()
    found = net.project(IMAGES, units=units, seed="one")
    assert_same(found, projections(plain, IMAGES, units, policy))


class Taking(nn.Module):
    def __init__(self, take):
        super().__init__()
        self.conv, self.take = nn.Conv2d(3, 4, 3), take

    def forward(self, x):
        return self.conv(self.take(x))


@pytest.mark.parametrize("take", [lambda x: x["image"], lambda x: x.image])
def test_a_model_that_takes_a_container_is_one_clear_error(take):
    model = Taking(take).double()
    with pytest.raises(
        ValueError, match=r"images of shape .* do not fit the model|cannot be called"
    ):
        DeconvNet(model).record(IMAGES)
    for images in ({"image": IMAGES}, [IMAGES], (IMAGES,)):
        with pytest.raises(TypeError, match=r"images were .* is wrapped in a module"):
            DeconvNet(model).record(images)


TWO = [0, 1]
WRONG = {
    "channels": (lambda net: net.project(IMAGES, layer="0", channel=TWO), r"channel was \[0, 1\]"),
    "an array": (
        lambda net: net.project(IMAGES, layer="0", channel=np.arange(2)),
        r"channel was array\(\[0, 1\]\)",
    ),
    "a truth": (lambda net: net.project(IMAGES, layer="0", channel=True), "channel was True"),
    "a float": (lambda net: net.project(IMAGES, layer="0", channel=1.0), r"channel was 1\.0"),
    "layers": (lambda net: net.project(IMAGES, layer=["0"], channel=0), r"layer was \['0'\]"),
    "of a unit": (lambda net: net.project(IMAGES, units=[Unit("0", TWO)]), r"unit was .*\[0, 1\]"),
    "its row": (lambda net: net.project(IMAGES, units=[Unit("0", 0, 1.5, 2)]), r"unit was .*1\.5"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_several_where_one_is_expected(wrong):
    call, told = WRONG[wrong]
    with pytest.raises(TypeError, match=told + r".*units=\[Unit\(layer, channel\), …\]"):
        call(DeconvNet(small()))


@pytest.mark.parametrize("one", [np.int64(1), torch.tensor(1)])
def test_other_integers_are_integers(one):
    net = DeconvNet(small())
    found = net.project(IMAGES, layer="0", channel=one)
    assert torch.equal(found, net.project(IMAGES, layer="0", channel=1))


class Cast(nn.Module):
    """Half of it runs in another precision, as forward says itself."""

    def __init__(self, *, regained=False):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.top = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 1)
        self.pool, self.regained = nn.MaxPool2d(2), regained

    def forward(self, x):
        x = F.relu(self.one(x))
        with torch.autocast("cpu", torch.bfloat16):
            x = F.relu(self.two(x))
            if self.regained:
                with torch.autocast("cpu", enabled=False):
                    x = self.pool(x.to(self.one.weight.dtype))
            else:
                x = self.pool(x)
        return self.top(x.to(self.top.weight.dtype))


class CastForExport(Cast):
    def forward(self, x):
        return super().forward(x) if x.shape[-1] > 3 else x


@pytest.mark.parametrize("regained", [False, True])
@pytest.mark.parametrize("kind", [Cast, CastForExport])
def test_autocast_within_forward(kind, regained):
    exact = kind(regained=regained).double()
    right(exact, IMAGES)
    model, images = kind(regained=regained), IMAGES.float()
    net = DeconvNet(model, "gradient")
    recording = net.record(images)
    (top,) = recording.activations
    leaf = images.clone().requires_grad_()
    value = model(leaf)
    assert error(recording[top], value.detach()) < 1e-6, "not in the precision that forward says"
    assert recording[top].dtype == value.dtype
    plain = DeconvNet(exact, "gradient").record(IMAGES)[top]
    assert error(recording[top].double(), plain) > 1e-4, "bfloat16 cannot be told from float32"
    for unit in live_units(recording, top, 2):
        one = value[(unit.image, unit.channel, *unit.position)]
        (expected,) = torch.autograd.grad(one, leaf, retain_graph=True)
        found = net.project(images, units=[unit], seed="one")[0]
        assert found.dtype == images.dtype
        assert error(found, expected[unit.image]) < 0.02
    for policy in ("deconvnet", "guided"):
        found = DeconvNet(model, policy).project(images, layer=top, channel=1, seed="one")
        exactly = DeconvNet(exact, policy).project(IMAGES, layer=top, channel=1, seed="one")
        assert error(found.double(), exactly) < 0.05
