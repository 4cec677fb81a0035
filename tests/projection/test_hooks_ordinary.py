"""Hooks as people write them: right to autograd in float64, or one clear error."""

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet
from deconvnet.graph.errors import NotTheModel
from tests.support.networks import noise
from tests.support.reference import assert_same

IMAGES = noise(2, 3, 12, 12)


class Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.sign()

    @staticmethod
    def backward(ctx, gradient):
        return 0.5 * gradient


class Twice(nn.Module):
    """Calls one module two times."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.conv(self.conv(x))


def plain():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3)
    return nn.Sequential(*layers).double().eval()


def hooked(path, *hooks, model=None):
    model = plain() if model is None else model
    for hook in hooks:
        model.get_submodule(path).register_forward_hook(hook)
    return model


def adapter():
    beside = nn.Conv2d(4, 4, 3).double()
    return hooked("2", lambda m, i, o: o + beside(i[0]))


def mask():
    kept = (torch.rand(4, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.3).double()
    return hooked("3", lambda m, i, o: o * kept)


def before_and_after():
    model = hooked("2", lambda m, i, o: 2 * o, lambda m, i, o: o + 1)
    model[2].register_forward_pre_hook(lambda m, i: (i[0].tanh(),))
    return model


def scaled(module, args, output):
    with torch.no_grad():
        size = output.abs().mean((1, 2, 3), keepdim=True)
    return output / size


def in_place_of_a_view(module, args, output):
    output[:, :2].mul_(3)


def every_other_call():
    calls = []

    def hook(module, args, output):
        calls.append(module)
        return 3 * output if len(calls) % 2 == 0 else None

    return hooked("conv", hook, model=Twice().double())


def before_an_inplace_relu():
    model = hooked("0", lambda m, i, o: 2 * o - 0.1)
    model[1] = nn.ReLU(inplace=True)
    return model


RIGHT = {
    "an adapter": adapter,
    "a mask": mask,
    "several on one module": before_and_after,
    "one looks, one changes": lambda: hooked("2", lambda m, i, o: None, lambda m, i, o: 2 * o),
    "a detached gate": lambda: hooked("2", lambda m, i, o: o * o.detach().sigmoid()),
    "a channel set to zero": lambda: hooked(
        "2", lambda m, i, o: o.index_fill(1, torch.tensor([1]), 0.0)
    ),
    "its own function": lambda: hooked("2", lambda m, i, o: Straight.apply(o)),
    "no_grad inside": lambda: hooked("2", scaled),
    "in place, of a view": lambda: hooked("0", in_place_of_a_view),
    "a module called twice": lambda: hooked("conv", lambda m, i, o: o * o, model=Twice().double()),
    "every other call": every_other_call,
    "before an in-place ReLU": before_an_inplace_relu,
}


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("case", RIGHT)
def test_as_autograd(case, check):
    model = RIGHT[case]()
    net = DeconvNet(model, "gradient", check=check)
    net.record(IMAGES)
    top = net.graph.returned[0]
    leaf = IMAGES.clone().requires_grad_()
    value = model(leaf)[:, 1]
    (expected,) = torch.autograd.grad(value, leaf, value.detach())
    for given in (IMAGES, IMAGES, net.record(IMAGES)):
        assert_same(net.project(given, layer=top, channel=1, seed="map"), expected)


def stored():
    kept = []
    model = hooked("0", lambda m, i, o: kept.append(o))
    return hooked("2", lambda m, i, o: o + kept[-1].mean((1, 2, 3), keepdim=True), model=model)


def on_a_tensor():
    def hook(module, args, output):
        if output.requires_grad:
            output.register_hook(lambda gradient: 2 * gradient)

    return hooked("2", hook)


def once():
    handles = []

    def hook(module, args, output):
        handles[0].remove()
        return 5 * output

    model = plain()
    handles.append(model[2].register_forward_hook(hook))
    return model


@pytest.mark.parametrize("make", [stored, on_a_tensor, once])
def test_what_no_recording_can_hold_is_refused(make):
    with pytest.raises(NotTheModel):
        DeconvNet(make(), "gradient").record(IMAGES)
