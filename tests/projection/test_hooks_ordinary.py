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


def residual():
    """The hook before keeps what enters, the one behind adds it."""
    model, kept = plain(), {}
    model[2].register_forward_pre_hook(lambda m, i: kept.update(x=i[0]))
    return hooked("2", lambda m, i, o: o + 3 * kept["x"][..., 1:-1, 1:-1], model=model)


def uncounted(module, args, output):
    output.data.mul_(2)


def uncounted_before():
    model = plain()
    model[2].register_forward_pre_hook(lambda m, i: uncounted(m, (), i[0]))
    return model


def calling():
    model = plain()
    return hooked("1", lambda m, i, o: o + model[2](o).mean((1, 2, 3), keepdim=True), model=model)


class Both(nn.Module):
    """A module of torch with two inputs."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)
        self.join = nn.Bilinear(8, 8, 6)

    def forward(self, x):
        x = self.one(x)
        return (
            self.two(x)[..., :6].flatten(2).sum(2)
            + self.join(x[..., 0, :8], x[..., 1, :8])[..., :2, 0]
        )


def swapped():
    model = Both().double()
    model.join.register_forward_pre_hook(lambda m, i: (i[1], i[0]))
    return model


RIGHT = {
    "what another hook of the module kept": residual,
    "writes that are not counted": lambda: hooked("2", uncounted),
    "uncounted writes before": uncounted_before,
    "calls another module": calling,
    "swaps two arguments": swapped,
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


def stored_by_a_container():
    kept = {}
    model = plain()
    model = nn.Sequential(model[0], nn.Sequential(model[1], model[2]), model[4]).eval()
    model[1].register_forward_pre_hook(lambda m, i: kept.update(x=i[0]))
    return hooked("1", lambda m, i, o: o + kept["x"].mean((1, 2, 3), keepdim=True), model=model)


REFUSED = {
    stored: "a hook at 2 computes with a value that a hook at 0 was shown",
    stored_by_a_container: "a hook at 1 computes with a value that a hook at 1 was shown",
    once: "a hook of 2 sets or removes hooks",
}


@pytest.mark.parametrize("make", [stored, on_a_tensor, once])
def test_what_no_recording_can_hold_is_refused(make):
    with pytest.raises(NotTheModel):
        DeconvNet(make(), "gradient").record(IMAGES)


@pytest.mark.parametrize("make", REFUSED)
def test_without_the_check_it_is_refused_too(make):
    with pytest.raises(ValueError, match=REFUSED[make]):
        DeconvNet(make(), "gradient", check=False).record(IMAGES)


def test_hooks_are_those_that_were_there_after_one_removed_itself():
    model = once()
    with pytest.raises(ValueError, match="sets or removes"):
        DeconvNet(model, "gradient", check=False).record(IMAGES)
    assert len(model[2]._forward_hooks) == 1


def test_a_hook_on_a_tensor_is_right_without_the_check():
    model = on_a_tensor()
    found = DeconvNet(model, "gradient", check=False).project(
        IMAGES, layer="4", channel=1, seed="map"
    )
    leaf = IMAGES.clone().requires_grad_()
    value = model(leaf)[:, 1]
    assert_same(found, torch.autograd.grad(value, leaf, value.detach())[0])


def test_what_a_hook_has_kept_is_plain_afterwards():
    """As Grad-CAM's: values and gradients are kept, and looked at when all is done."""
    kept = {}

    def keep(module, args, output):
        kept["value"] = output
        if output.requires_grad:
            output.register_hook(lambda signal: kept.update(signal=signal))

    net = DeconvNet(hooked("2", keep), "gradient")
    for _ in range(2):
        recording = net.record(IMAGES, ["2", "4"])
        assert (kept["value"].numpy() == recording["2"].numpy()).all()
    assert type(recording.steps[2].layer).__name__ == "Convolution"
