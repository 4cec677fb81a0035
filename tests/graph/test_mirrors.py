"""Mirrors of a user's own: what they make of modules and functions, and which are refused."""

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Unit
from deconvnet.layers import InputSize, Interval, MirroredLayer, MirrorError, PerSample, Record
from deconvnet.layers.joining import Combination


def swish(x, beta=1.0):
    return x * torch.sigmoid(beta * x)


class Swish(MirroredLayer):
    """Of the function: made from its number."""

    def __init__(self, beta=1.0):
        self.beta = beta

    def record(self, input):
        return self._layer.record(input)

    def mirror(self, signal, record):
        return self._layer.mirror(signal, record)

    def window(self, window, record):
        return (window,)

    @property
    def _layer(self):
        return PerSample(lambda x: x * torch.sigmoid(self.beta * x))


class Meet(nn.Module):
    """Two tensors in, two out, and torch.fx would stop in it."""

    def forward(self, one, other):
        if one.sum() > 1e9:
            return one, other
        return one + 2 * other, one - other


class MeetMirror(MirroredLayer):
    def __init__(self, module):
        pass

    def record(self, one, other):
        return (one + 2 * other, one - other), InputSize(one.shape)

    def mirror(self, signal, record):
        first, second = (torch.zeros(record.size).double() if s is None else s for s in signal)
        return first + second, 2 * first - second

    def window(self, window, record):
        seen = [one for one in window if one is not None]
        assert len(seen) <= 2
        every = tuple(Interval.whole() for _ in record.size)
        return (seen[0], seen[0]) if len(seen) == 1 else (every, every)


class Net(nn.Module):
    def __init__(self, *, counted=False):
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
        self.meet, self.counted = Meet(), counted
        self.top = nn.Conv2d(4, 5, 3)

    def forward(self, x):
        if self.counted and x.shape[-1] > 10**6:
            return x
        one, other = self.meet(self.left(x), self.right(x))
        return self.top(swish(one, beta=1.5) + swish(other, 0.5))


MIRRORS = {Meet: MeetMirror, swish: Swish}


class ExportableMeet(Meet):
    """Torch.export runs what it does not enter."""

    def forward(self, one, other):
        return one + 2 * other, one - other


@pytest.mark.parametrize("counted", [False, True], ids=["torch.fx", "torch.export"])
def test_modules_of_several_tensors_and_functions_with_numbers(counted):
    model = Net(counted=counted).double()
    meet = ExportableMeet if counted else Meet
    model.meet = meet()
    net = DeconvNet(model, "gradient", mirrors={meet: MeetMirror, swish: Swish})
    images = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    recording = net.record(images)
    kinds = {step.name: type(step.layer).__name__ for step in recording.steps}
    assert (kinds["meet"], kinds["swish_1"]) == ("MeetMirror", "Swish")
    assert [s.layer.beta for s in recording.steps if isinstance(s.layer, Swish)] == [1.5, 0.5]
    found = net.project(images, layer="top", channel=2, position=(3, 4), seed="one")
    given = images.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model(given)[:, 2, 3, 4].sum(), given)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    assert set(net.plan(images, []).uncounted) <= set(kinds)


def test_what_no_layer_says_is_named_as_uncounted():
    net = DeconvNet(Net().double(), "gradient", mirrors=MIRRORS)
    images = torch.randn(1, 3, 12, 12, dtype=torch.float64)
    plan = net.plan(images, [Unit("top", 0, 2, 2)])
    assert plan.uncounted == ("meet", "swish", "swish_1")
    assert plan.multiply_adds["full"] > 0


def test_a_line_of_ones_own_comes_before_the_table():
    """Even of a class of torch.nn, and of one function of the table."""

    class Doubled(MirroredLayer):
        channelwise = True

        def __init__(self, module):
            self.module = module

        def record(self, input):
            return self.module(input), Record()

        def mirror(self, signal, record):
            return (2 * signal,)

        def window(self, window, record):
            return (window,)

    model, images = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU()).double(), torch.rand(1, 3, 4, 4)
    images = images.double()
    unit = {"layer": "1", "channel": 0, "position": (1, 1)}
    plain = DeconvNet(model, "identity").project(images, **unit)
    own = DeconvNet(model, "identity", mirrors={nn.ReLU: Doubled}).project(images, **unit)
    torch.testing.assert_close(own, 2 * plain)


def test_functions_are_back_where_they_were():
    before = swish
    DeconvNet(Net(), mirrors=MIRRORS)
    assert swish is before


class Special(Meet):
    def forward(self, one, other):
        return one, other


REFUSED = {
    "no such module": ({nn.Conv1d: MeetMirror}, ValueError, "Conv1d, but Net has no such module"),
    "a forward of its own": (
        {nn.Identity: MeetMirror, Meet: MeetMirror}, ValueError, "Identity, but Net has no such",
    ),
    "a function nobody calls": (
        {Meet: MeetMirror, torch.sin: Swish}, ValueError, "sin, but no node calls it .* torch.fx",
    ),
    "no mapping": ([Meet], TypeError, r"mirrors was \[.*give \{module class or function"),
    "no class": ({Net().top: MeetMirror}, TypeError, "a line for Conv2d.*name a module class"),
    "another class": ({int: MeetMirror}, TypeError, "a line for <class 'int'>"),
    "no mirror": ({Meet: 3}, TypeError, "the mirror of Meet was 3; give a subclass"),
    "a mirror made already": ({Meet: Combination((1,))}, TypeError, "the mirror of Meet was"),
    "another mirror": ({Meet: nn.ReLU}, TypeError, "the mirror of Meet was .*ReLU"),
}  # fmt: skip


@pytest.mark.parametrize("how", REFUSED)
def test_lines_that_would_be_ignored_are_refused(how):
    mirrors, error, message = REFUSED[how]
    with pytest.raises(error, match=message):
        DeconvNet(Net(), mirrors=mirrors)


def test_a_subclass_with_a_forward_of_its_own_is_named():
    model = Net()
    model.meet = Special()
    with pytest.raises(ValueError, match="Meet, .*no such module; Special has a forward of its"):
        DeconvNet(model, mirrors=MIRRORS)


class Twice(nn.Module):
    def forward(self, x, twice=True):
        return x + x if twice else x


def test_readers_are_held_to_what_they_must_give():
    model = nn.Sequential(nn.Conv2d(3, 2, 1), Twice())
    net = DeconvNet(model, mirrors={Twice: lambda module, x: 3})
    with pytest.raises(MirrorError, match="the mirror of Twice gave int; expected"):
        net.record(torch.rand(1, 3, 4, 4))


def test_arguments_that_are_no_tensors_need_a_reader():
    class Flagged(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Twice()

        def forward(self, x):
            return self.inner(x, False)

    images = torch.rand(1, 3, 4, 4)
    with pytest.raises(MirrorError, match="Twice was called with arguments that are not tensors"):
        DeconvNet(Flagged(), mirrors={Twice: MeetMirror}).record(images)

    def read_call(module, x, twice):
        return Combination((1 + twice,)), (x,)

    read = DeconvNet(Flagged(), mirrors={Twice: read_call})
    assert torch.equal(read.record(images)["inner"], images)


def test_mirrors_of_the_model_that_are_something_else_are_left_alone():
    model = Net()
    model.meet = ExportableMeet()
    model.mirrors = {"left": 3}
    assert "meet" not in DeconvNet(model).layers
