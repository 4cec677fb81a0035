"""A model with further inputs: they are fixed, and it is right, or one clear error."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet
from tests.support.beside import IMAGES, POLICIES
from tests.support.networks import live_units, noise
from tests.support.reference import assert_same, error


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.Conv2d(1, 4, 1)

    def forward(self, x, mask, *, scale=1.0, names=None):
        x = self.conv(x) * self.norm(mask)
        return F.relu(x * scale) if names is None else x


class MaskedForExport(Masked):
    def forward(self, x, mask, *, scale=1.0, names=None):
        y = super().forward(x, mask, scale=scale, names=names)
        return y if x.shape[-1] > 3 else x


class MaskFirst(Masked):
    def forward(self, mask, images):
        return super().forward(images, mask)


class Alone(nn.Module):
    def __init__(self, model, inputs, images):
        super().__init__()
        self.model, self.inputs, self.images = model, inputs, images

    def forward(self, x):
        return self.model(**{self.images: x}, **self.inputs)


MASK = noise(1, 1, 7, 7, seed=5)
INPUTS = {
    "a mask": (Masked, {"mask": MASK}, "x"),
    "two": (Masked, {"mask": MASK, "scale": 3.0}, "x"),
    "one that branches": (Masked, {"mask": MASK, "names": ["a"]}, "x"),
    "for torch.export": (MaskedForExport, {"mask": MASK, "scale": 2.0}, "x"),
    "the first": (MaskFirst, {"mask": MASK}, "images"),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("inputs", INPUTS)
def test_further_inputs_are_fixed(inputs, policy):
    kind, given, images = INPUTS[inputs]
    model = kind().double()
    net = DeconvNet(model, policy, inputs=given)
    recording = net.record(IMAGES)
    (top,) = net.graph.returned
    assert error(recording[top], model(**{images: IMAGES}, **given).detach()) < 1e-10
    units = live_units(recording, top, 2)
    alone = DeconvNet(Alone(model, given, images), policy)
    expected = alone.project(
        IMAGES,
        layer=alone.graph.returned[0] if False else _last(alone),
        channel=units[0].channel,
        seed="one",
    )
    found = net.project(IMAGES, layer=top, channel=units[0].channel, seed="one")
    assert_same(found, expected)
    cone = net.project(IMAGES, units=units, seed="one")
    assert_same(net.project(recording, units=units, seed="one"), cone)
    leaf = IMAGES.clone().requires_grad_()
    if policy == "gradient":
        value = model(**{images: leaf}, **given)
        for unit, one in zip(units, cone, strict=True):
            at = value[(unit.image, unit.channel, *unit.position)]
            (right_,) = torch.autograd.grad(at, leaf, retain_graph=True)
            assert error(one, right_[unit.image]) < 1e-10


def _last(net):
    net.record(IMAGES)
    return net.graph.returned[0]


def test_another_mask_gives_another_map():
    """The planted wrong case of the law above."""
    model = Masked().double()
    maps = [
        DeconvNet(model, "gradient", inputs={"mask": mask}).record(IMAGES)["relu"]
        for mask in (MASK, MASK + 1)
    ]
    assert error(*maps) > 0.1


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"masks": MASK}, "inputs= was given for 'masks'; the arguments of Masked.forward are 'x'"),
        ({"x": IMAGES, "mask": MASK, "scale": 1, "names": None}, "one must be left to the images"),
        ({}, "takes a second input, 'mask'.*inputs="),
    ],
)
def test_inputs_that_do_not_fit(inputs, told):
    with pytest.raises(ValueError, match=told):
        DeconvNet(Masked().double(), inputs=inputs).record(IMAGES)
