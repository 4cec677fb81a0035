"""After any call, also one that raised, the model is what it was, to the bit."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Unit, UnmirroredError, UntraceableError
from tests.support.networks import fill, noise


class Model(nn.Module):
    """Everything that could be lost: mixed flags, hooks of a user, dropout, a constant."""

    def __init__(self):
        super().__init__()
        self.one, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.relu, self.drop = nn.ReLU(inplace=True), nn.Dropout(0.5)
        self.two, self.smooth = nn.Conv2d(4, 4, 3), nn.GELU()
        self.last = None

    def forward(self, x):
        x = self.drop(self.relu(self.bn(self.one(x))))
        self.last = x
        return self.smooth(self.two(x)) * torch.tensor(2.0)


def model():
    made = Model().train()
    fill(made, torch.Generator().manual_seed(0))
    made.bn.eval()
    made.two.weight.requires_grad_(False)
    made.one.weight.grad = torch.ones_like(made.one.weight)
    made.relu.register_forward_hook(lambda *args: None)
    made.two.anything = "of the user's"
    return made


def frozen(value):
    """A value as something that compares: tensors by identity, bits, grad and flag."""
    if isinstance(value, torch.Tensor):
        bits = value.detach().numpy().tobytes()
        return id(value), bits, value.requires_grad, value._version, frozen(value.grad)
    if isinstance(value, dict):
        return {key: frozen(entry) for key, entry in value.items()}
    if isinstance(value, (nn.Module, set, list)):
        return id(value), len(value) if isinstance(value, (set, list)) else None
    return value


def state(made):
    """Every attribute of every module, and of the process what a call could leave changed."""
    modules = {name: (id(m), frozen(vars(m))) for name, m in made.named_modules()}
    process = (
        torch.get_rng_state().numpy().tobytes(),
        random.getstate(),
        str(np.random.get_state()),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        nn.Module.__call__,
        torch.relu,
        nn.functional.relu,
    )
    return modules, process


IMAGES = noise(2, 3, 9, 9).float()


def lenient(made, policy="deconvnet"):
    return DeconvNet(made, policy, fallback="derivative")


CALLS = {
    "construct": lambda made: lenient(made),
    "layers": lambda made: lenient(made).layers,
    "record": lambda made: lenient(made).record(IMAGES),
    "record layers": lambda made: lenient(made).record(IMAGES, ["one", made.relu]),
    "gradient": lambda made: lenient(made, "gradient").project(IMAGES, layer="two", channel=1),
    "project": lambda made: lenient(made).project(IMAGES, layer="smooth", channel=1, seed="map"),
    "project in grad mode": lambda made: lenient(made).project(
        IMAGES.clone().requires_grad_(), layer="smooth", channel=1
    ),
    "crop": lambda made: lenient(made).project(IMAGES, units=[Unit("two", 0, 1, 1)], crop=True),
}


class Branching(Model):
    def forward(self, x):
        x = self.bn(self.one(x))
        self.last = x
        return x if x.sum() > 0 else -x


WRONG = {
    "no such layer": (lambda made: lenient(made).project(IMAGES, layer="six", channel=1), KeyError),
    "no such channel": (
        lambda made: lenient(made).project(IMAGES, layer="two", channel=9),
        IndexError,
    ),
    "no such seed": (
        lambda made: lenient(made).project(IMAGES, layer="two", channel=1, seed="two"),
        ValueError,
    ),
    "wrong images": (lambda made: lenient(made).record(IMAGES[:, :2]), ValueError),
    "too small": (lambda made: lenient(made).record(IMAGES[..., :3, :3]), ValueError),
    "no rule": (lambda made: DeconvNet(made).record(IMAGES), UnmirroredError),
}


@pytest.mark.parametrize("call", CALLS)
def test_it_is_what_it_was(call):
    made = model()
    images, before = IMAGES.clone(), state(made)
    CALLS[call](made)
    assert state(made) == before
    assert torch.equal(images, IMAGES)


@pytest.mark.parametrize("call", WRONG)
def test_it_is_what_it_was_after_an_error(call):
    made = model()
    before = state(made)
    do, error = WRONG[call]
    with pytest.raises(error):
        do(made)
    assert state(made) == before


def test_it_is_what_it_was_after_it_could_not_be_traced():
    made = Branching().train()
    made.bn.eval()
    before = state(made)
    with pytest.raises(UntraceableError):
        DeconvNet(made).record(IMAGES)
    assert state(made) == before


def test_it_is_what_it_was_after_an_interrupt(monkeypatch):
    made = model()
    net, before = lenient(made), state(made)

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("deconvnet.projection.forward.run_call", interrupted)
    monkeypatch.setattr("deconvnet.projection.forward.bind", interrupted)
    with pytest.raises(KeyboardInterrupt):
        net.record(IMAGES)
    monkeypatch.undo()
    assert state(made) == before


@pytest.mark.filterwarnings("ignore:Full backward hook:UserWarning")
def test_evaluation_is_what_was_recorded_and_the_model_still_trains():
    made = model()
    (found,) = lenient(made).record(IMAGES).activations.values()
    made.eval()
    torch.testing.assert_close(found, made(IMAGES).detach())
    made.train()
    made(IMAGES).sum().backward()
    assert made.two.bias.grad.any()


PLANTED = {
    "a flag": lambda made: made.drop.eval(),
    "a hook": lambda made: made.two.register_forward_hook(lambda *args: None),
    "a weight": lambda made: made.one.weight.data.view(-1)[3].add_(1e-6),
    "a statistic": lambda made: made.bn.running_mean.add_(1e-3),
    "a gradient": lambda made: made.one.weight.grad.zero_(),
    "a frozen weight": lambda made: made.two.weight.requires_grad_(True),
    "an in-place flag": lambda made: setattr(made.relu, "inplace", False),
    "another module": lambda made: setattr(made, "relu", nn.ReLU(inplace=True)),
    "an attribute": lambda made: setattr(made, "_tensor_constant0", 1),
    "random numbers": lambda made: torch.rand(1),
    "numpy's": lambda made: np.random.rand(),  # noqa: NPY002
    "python's": lambda made: random.random(),
}


@pytest.mark.parametrize("change", PLANTED)
def test_the_law_catches_a_change_of(change):
    made = model()
    before = state(made)
    assert state(made) == before
    PLANTED[change](made)
    assert state(made) != before


class WritesPastAutograd(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        self.conv.weight.data.mul_(0.5)
        return self.conv(x)


def test_a_model_that_is_refused_is_as_it_was():
    model = WritesPastAutograd()
    before = model.conv.weight.detach().clone()
    with pytest.raises(UntraceableError, match=r"forward writes into conv\.weight"):
        _ = DeconvNet(model, input_size=(3, 16, 16)).layers
    assert torch.equal(before, model.conv.weight)


class Writes(nn.Module):
    """It writes into a parameter and a buffer of its own."""

    def __init__(self):
        super().__init__()
        self.conv, self.scale = nn.Conv2d(3, 4, 3), nn.Parameter(torch.ones(()))
        self.register_buffer("mean", torch.ones(()))

    def forward(self, x):
        with torch.no_grad():
            self.scale.clamp_(max=0.5)
            self.conv.weight.mul_(0.5)
        self.mean.copy_(x.mean().detach())
        return self.conv(x) * self.scale


@pytest.mark.parametrize(
    "call",
    [
        lambda net: net.layers,
        lambda net: net.layers_at((3, 12, 14)),
        lambda net: net.geometry((3, 9, 9)),
    ],
)
def test_sizes_and_fields_write_into_nothing(call):
    model = Writes()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    call(DeconvNet(model, input_size=(3, 16, 16)))
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
