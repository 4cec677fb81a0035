"""A forward that writes into its parameters leaves them as they are, checked or not."""

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, mine, verify
from deconvnet.graph import kept_parameters
from tests.support.networks import noise
from tests.support.reference import assert_same

IMAGES = noise(3, 3, 12, 12)


class Writes(nn.Module):
    """Clips, or sets, a parameter in every call."""

    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.kind = nn.Conv2d(3, 4, 3), kind
        self.scale = nn.Parameter(torch.linspace(0.5, 2, 4).reshape(4, 1, 1))
        self.double()

    def forward(self, x):
        getattr(self, self.kind)(x)
        return self.conv(x) * self.scale

    def clips(self, x):
        with torch.no_grad():
            self.scale.clamp_(0, 1)

    def sets(self, x):
        with torch.no_grad():
            self.scale.copy_(x.mean() * torch.ones_like(self.scale))

    def clips_a_branch(self, x):
        if len(x) < 100:  # only torch.export can follow this
            with torch.no_grad():
                self.scale.clamp_(0, 1)


class Clipped(nn.Linear):
    """A node that writes."""

    def forward(self, x):
        with torch.no_grad():
            self.weight.clamp_(-0.01, 0.01)
        return super().forward(x)


def clipping_hook():
    model = Writes("conv")

    def clip(module, args, output):
        with torch.no_grad():
            model.scale.clamp_(0, 1)

    model.conv.register_forward_hook(clip)
    return model


MODELS = {
    "clips": lambda: Writes("clips"),
    "sets": lambda: Writes("sets"),
    "clips a branch": lambda: Writes("clips_a_branch"),
    "a node": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), Clipped(400, 5)).double(),
    "a hook": clipping_hook,
}
CALLS = {
    "record": lambda net: net.record(IMAGES),
    "project": lambda net: net.project(IMAGES, layer=_top(net), channel=1),
    "from a recording": lambda net: net.project(net.record(IMAGES), layer=_top(net), channel=1),
    "layers": lambda net: net.layers_at((3, 12, 12)),
}


def _top(net):
    net.record(IMAGES)  # a model that only torch.export reads has no graph before
    return net.graph.returned[0]


def held(model):
    return [
        (id(p), p.data_ptr(), p._version, p.detach().clone().flatten().tolist())
        for p in model.parameters()
    ]


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", MODELS)
def test_parameters_are_as_they_were(kind, call, check):
    model = MODELS[kind]()
    before = held(model)
    net = DeconvNet(model, "gradient", check=check)
    for _ in range(2):
        CALLS[call](net)
        assert held(model) == before


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("kind", MODELS)
def test_mining_leaves_them_too(kind, check, tmp_path):
    model, data = MODELS[kind]().float(), list(IMAGES.float())
    before = held(model)
    store = mine(model, data, tmp_path / "a.h5", k=2, batch_size=2, check=check)
    assert held(model) == before
    verify(store, model, data)
    assert held(model) == before


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("kind", MODELS)
def test_the_map_is_the_models(kind, check):
    model = MODELS[kind]()
    net = DeconvNet(model, "gradient", check=check)
    top = _top(net)
    for _ in range(2):
        projected = net.project(net.record(IMAGES), layer=top, channel=1, seed="map")
        assert_same(projected, net.project(IMAGES, layer=top, channel=1, seed="map"))
    leaf = IMAGES.clone().requires_grad_()
    value = model(leaf)[:, 1]
    assert_same(projected, torch.autograd.grad(value, leaf, value.detach())[0])


def test_a_parameter_that_is_written_from_outside_is_one_clear_error():
    model = Writes("conv")
    own = model.scale

    def clip(module, args, output):
        with torch.no_grad():
            own.clamp_(0, 1)

    model.conv.register_forward_hook(clip)
    before = held(model)
    with pytest.raises(ValueError, match="scale of Writes is written into .* ask the module"):
        DeconvNet(model, "gradient", check=False).record(IMAGES)
    assert held(model) == before


def test_the_law_catches_a_run_that_is_not_watched(monkeypatch):
    """The planted wrong case."""
    monkeypatch.setattr(kept_parameters, "_UNWATCHABLE", {model := MODELS["clips"]()})
    before = held(model)
    DeconvNet(model, "gradient", check=False).record(IMAGES)
    assert held(model) != before


class WritesInside(nn.Module):
    """Writes into a parameter of a module of torch, perhaps one that another shares."""

    def __init__(self, *, tied, data):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.data = data
        if tied:
            self.two.weight = self.one.weight
        self.double()

    def forward(self, x):
        with torch.no_grad():
            (self.two.weight.data if self.data else self.two.weight).clamp_(-0.1, 0.1)
        return self.two(self.one(x).relu())


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_a_write_that_a_module_reads_by_itself(tied, check):
    """torch.fx shows it to nobody; torch.export does."""
    model = WritesInside(tied=tied, data=False)
    before = held(model)
    net = DeconvNet(model, "gradient", check=check)
    found = net.project(IMAGES, layer="two", channel=1, seed="map")
    assert net.graph.reader == "torch.export"
    assert held(model) == before
    leaf = IMAGES.clone().requires_grad_()
    value = model(leaf)[:, 1]
    assert_same(found, torch.autograd.grad(value, leaf, value.detach())[0])
    with pytest.raises(ValueError, match=r"forward writes into (one|two)\.weight"):
        DeconvNet(WritesInside(tied=tied, data=True), "gradient", check=check).record(IMAGES)
