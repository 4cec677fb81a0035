"""Recurrent and compiled parts, results read in part, paths that end before the pixels."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet, Unit, UnmirroredError
from tests.support.beside import IMAGES, POLICIES, Normed, right
from tests.support.networks import live_units, noise
from tests.support.reference import assert_same


class Recurrent(nn.Module):
    def __init__(self, kind, *, read):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.cells, self.read = nn.Conv2d(3, 4, 3), kind(4, 5, batch_first=True), read

    def forward(self, x):
        y = self.conv(x).flatten(2).transpose(1, 2)
        return self.read(self.cells(y))


READ = {
    "gru outputs": (nn.GRU, lambda found: found[0]),
    "gru last": (nn.GRU, lambda found: found[1].transpose(0, 1).flatten(1)),
    "lstm outputs": (nn.LSTM, lambda found: found[0]),
    "lstm hidden": (nn.LSTM, lambda found: found[1][0].transpose(0, 1).flatten(1)),
    "lstm cell": (nn.LSTM, lambda found: found[1][1].transpose(0, 1).flatten(1)),
    "rnn both": (nn.RNN, lambda found: found[0].mean(1) + found[1][0]),
}


@pytest.mark.parametrize("read", READ)
def test_recurrent_parts(read):
    kind, function = READ[read]
    right(Recurrent(kind, read=function).double(), IMAGES)


@torch.fx.wrap
def nested(x):
    return {"a": (x.sin(), [x.cos(), x.exp()]), "b": x}


class Nested(Normed):
    def forward(self, x):
        found = nested(self.conv(x))
        return found["a"][1][0] * 2 + found["a"][0]


def test_nested_results_that_are_read_in_part():
    right(Nested().double(), IMAGES)


def swish(x):
    return torch.relu(x) * 2.0


def compiled(how):
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU()).double().eval()
    if how == "scripted":
        part = torch.jit.script(block)
    elif how == "traced":
        part = torch.jit.trace(block, noise(1, 4, 7, 7))
    else:
        part = Wrapping()
    return nn.Sequential(nn.Conv2d(3, 4, 3), part, nn.Conv2d(4, 2, 1)).double().eval()


@torch.fx.wrap
def wrapped(x):
    return SCRIPTED[0](x)


SCRIPTED = []


class Wrapping(nn.Module):
    def forward(self, x):
        return wrapped(x)


class Calling(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


jit = pytest.mark.filterwarnings("ignore:.*torch.jit.*")


@jit
@pytest.mark.parametrize("how", ["scripted", "traced", "wrapped"])
def test_compiled_parts_are_refused_by_name(how):
    SCRIPTED[:] = [torch.jit.script(swish)]
    for _ in range(3):  # after which it is one operation to autograd
        SCRIPTED[0](IMAGES.clone().requires_grad_())
    model = compiled(how)
    for policy in ("deconvnet", "guided", "rectgrad"):
        net = DeconvNet(model, policy)
        with pytest.raises(UnmirroredError, match=r"at 1.*(Script|Trac|Relu|Module|compiled)"):
            net.project(IMAGES, layer="2", channel=0)
        assert net.project(IMAGES, layer="0", channel=0).any(), "below it there is nothing hidden"
    right(model, IMAGES)


@jit
@pytest.mark.parametrize("policy", POLICIES)
def test_a_compiled_function_is_opened(policy):
    scripted, plain = (
        nn.Sequential(nn.Conv2d(3, 4, 3), Calling(f), nn.Conv2d(4, 2, 1)).double()
        for f in (torch.jit.script(swish), swish)
    )
    plain.load_state_dict(scripted.state_dict())
    nets = [DeconvNet(model, policy) for model in (scripted, plain)]
    units = live_units(nets[1].record(IMAGES), "2", 2)
    assert_same(*(net.project(IMAGES, units=units, seed="one") for net in nets))


class Rounded(Normed):
    def forward(self, x):
        y = self.conv(x)
        return F.relu((y * 100).to(torch.int32).to(y.dtype) / 100)


class Blocked(Normed):
    def forward(self, x):
        return F.relu(self.conv(x).detach()) + 1


class Constant(Normed):
    def forward(self, x):
        self.conv(x)
        return F.relu(self.conv(torch.ones_like(x)))


ENDS = {Rounded: "to,", Blocked: "detach,", Constant: "ones_like,"}


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("how", ["units", "recording", "map"])
def test_a_path_that_ends_before_the_pixels(kind, how):
    net = DeconvNet(kind().double(), "gradient")
    recording = net.record(IMAGES)
    (last,) = net.graph.returned
    calls = {
        "units": lambda: net.project(IMAGES, units=[Unit(last, 1, 2, 2)]),
        "recording": lambda: net.project(recording, layer=last, channel=1),
        "map": lambda: net.project(IMAGES, layer=last, channel=1, seed="map"),
    }
    with pytest.raises(
        ValueError, match=f"no signal reaches the images from {last}.*ends at ({ENDS[kind]})"
    ):
        calls[how]()
    assert net.project(IMAGES, layer="conv", channel=1).any()
