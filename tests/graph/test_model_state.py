"""What is changed in a model after its graph was compared: the comparison is made again."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet
from deconvnet.graph.model_state import state_of
from deconvnet.projection.check.tolerance import agrees, difference


class Settings(nn.Module):
    """Reads its settings from everywhere; only torch.export can read it."""

    FACTOR = 2.0

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.loose = [nn.Conv2d(4, 4, 1)]
        self.dim = -1
        self.listed, self.mapped = [1.0], {"inner": {"scale": 1.0}}
        self.spaced, self.activation = SimpleNamespace(shift=0.0), torch.relu

    def forward(self, x):
        y = self.loose[0](self.conv(x)) * self.listed[0] * self.mapped["inner"]["scale"]
        y = y.softmax(self.dim) * type(self).FACTOR + self.spaced.shift
        return self.activation(y - 0.2)


def loose(model):
    model.loose[0] = nn.Conv2d(4, 4, 1)


def hooked(model):
    model.loose[0].register_forward_hook(lambda module, inputs, output: 3 * output)


class Traced(Settings):
    """The same without a module that torch.fx does not know."""

    def forward(self, x):
        y = self.conv(x) * self.listed[0] * self.mapped["inner"]["scale"]
        y = y.softmax(self.dim) * type(self).FACTOR + self.spaced.shift
        return self.activation(y - 0.2)


CHANGES = {
    "a number of the same hash": lambda m: setattr(m, "dim", -2),
    "a list": lambda m: m.listed.__setitem__(0, 3.0),
    "a dictionary in another": lambda m: m.mapped["inner"].update(scale=3.0),
    "a namespace": lambda m: setattr(m.spaced, "shift", 2.0),
    "a function": lambda m: setattr(m, "activation", torch.tanh),
    "a method of this model": lambda m: setattr(m, "forward", lambda x: m.conv(x).sigmoid()),
    "a module in a list": loose,
    "a hook of a module in a list": hooked,
}


@pytest.mark.parametrize("kind", [Settings, Traced])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen(kind, change):
    model, images = kind().double(), torch.randn(2, 3, 8, 8).double()
    model.loose[0].double()
    net = DeconvNet(model, "gradient")
    (before,) = net.record(images).activations.values()
    assert torch.allclose(before, model(images), atol=1e-12)
    state = state_of(model)
    assert state == state_of(model)
    change(model)
    model.loose[0].double()
    assert state != state_of(model)
    (after,) = net.record(images).activations.values()
    assert torch.allclose(after, model(images), atol=1e-12)
    assert torch.allclose(before, after) == (kind is Traced and change in (loose, hooked))


def test_a_setting_of_the_class_is_seen(monkeypatch):
    model = Settings()
    state = state_of(model)
    monkeypatch.setattr(Settings, "FACTOR", 3.0)
    assert state != state_of(model)


def test_what_refers_to_itself_has_a_state():
    model = Settings()
    model.mapped["itself"] = model.mapped
    model.listed.append(model)
    assert state_of(model) == state_of(model)


class Gated(nn.Module):
    """A tensor in Python is not one while torch.fx looks; with nothing to be seen, all is 0."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, bias=False)

    def forward(self, x):
        return self.conv(x) * (3 if torch.is_tensor(x) else 1)


@pytest.mark.parametrize("first", [torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.0)])
def test_blank_images_settle_nothing(first):
    model, images = Gated(), torch.randn(2, 3, 8, 8)
    net = DeconvNet(model, "gradient")
    net.record(first)
    (found,) = net.record(images).activations.values()
    assert torch.allclose(found, model(images), atol=1e-5)


def test_small_values_beside_large_ones():
    """Boxes in pixels beside probabilities; a dark image beside a bright one."""
    expected = torch.cat([640 + torch.rand(1, 4), torch.rand(1, 4)], 1)
    found = expected.clone()
    found[0, 5] += 0.05
    assert not agrees(difference(found, expected), torch.float32)
    pair = torch.stack([1000 * torch.randn(3, 8, 8), torch.randn(3, 8, 8)])
    dark = pair.clone()
    dark[1] *= 1.05
    assert (dark - pair).norm() / pair.norm() < 1e-4  # which is what would not be seen
    assert not agrees(difference(dark, pair), torch.float32)
    rounded = pair + 1e-7 * pair.abs().max() * torch.randn_like(pair)
    assert agrees(difference(pair.double().float(), pair), torch.float32)
    assert agrees(difference(rounded[:1], pair[:1]), torch.float32)
