"""Hooks of modules that have a mirror of the user's own: they run once, beside the mirror."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet, Unit
from deconvnet.layers import InputSize, Interval, LinearMap, MirroredLayer
from deconvnet.projection import binding
from tests.support.networks import noise
from tests.support.reference import assert_same, error


class Pool(nn.Module):
    def forward(self, x):
        return 3 * F.avg_pool2d(x, 2)


class PoolMirror(MirroredLayer):
    """It calls its module, as in ``layers/README.md``."""

    def __init__(self, module):
        self.module = module

    def record(self, input):
        return self.module(input), InputSize(input.shape)

    def mirror(self, signal, record):
        up = 0.75 * signal.repeat_interleave(2, 2).repeat_interleave(2, 3)
        return (F.pad(up, (0, record.size[3] - up.shape[3], 0, record.size[2] - up.shape[2])),)

    def window(self, window, record):
        batch, channel, *cells = window
        return batch, channel, *(c.sliding(span=2, stride=2, padding=0) for c in cells)


class Doubled(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


def linear(module, images):
    """A reader whose layer is the module itself."""
    every = Interval.whole()
    return LinearMap(module, lambda window, size: (window[0], every, every, every)), (images,)


MIRRORS = {Pool: PoolMirror, Doubled: linear}


def net_of(*, check=True):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), Pool(), nn.ReLU(), Doubled(4, 4, 3, bias=False), nn.Conv2d(4, 2, 1)
    )
    return DeconvNet(model.double(), "gradient", mirrors=MIRRORS, check=check)


HOOKS = {
    "after": lambda m: m.register_forward_hook(lambda _, __, out: out.cos()),
    "before": lambda m: m.register_forward_pre_hook(lambda _, args: (args[0].sin(),)),
    "of all modules": lambda m: nn.modules.module.register_module_forward_hook(
        lambda one, _, out: out.cos() if one is m else None
    ),
}
UNIT, IMAGES = Unit("4", 1, 0, 2, image=1), noise(2, 3, 10, 13)


def compared(net):
    """The projection of a unit, and autograd's gradient of the model itself."""
    leaf = IMAGES.clone().requires_grad_()
    value = net.model(leaf)[UNIT.image, UNIT.channel, UNIT.row, UNIT.col]
    (gradient,) = torch.autograd.grad(value, leaf)
    return net.project(IMAGES, units=UNIT, seed="one")[0], gradient[UNIT.image]


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("place", [1, 3])
def test_hooks_run_once(place, hook, check):
    net = net_of(check=check)
    handle = HOOKS[hook](net.model[place])
    try:
        assert_same(*compared(net))
    finally:
        handle.remove()


def test_hooks_that_run_twice_are_caught(monkeypatch):
    """The planted wrong case: the mirror is made of the module with its hooks."""
    monkeypatch.setattr(binding, "without_hooks", lambda module: module)
    net = net_of(check=False)
    HOOKS["after"](net.model[1])
    assert error(*compared(net)) > 0.1


def test_a_hook_that_looks_runs_once_more_at_most():
    net, seen = net_of(), []
    net.model[1].register_forward_hook(lambda *given: seen.append(given))
    for most in (2, 1):
        net.project(IMAGES, units=UNIT)
        assert 1 <= len(seen) <= most
        seen.clear()
