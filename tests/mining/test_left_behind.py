"""What a forward leaves behind in its model does not count in the model's fingerprint."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import StochasticDepth

from deconvnet import Preprocessing, embed, mine, open_store, verify
from deconvnet.mining import fingerprint
from tests.support.fingerprinted import now, of, then

GRIDS = {}


class Remembers(nn.Module):
    """A model whose forward leaves something behind."""

    def __init__(self, kind, scale=2.0):
        super().__init__()
        self.conv, self.kind, self.scale = nn.Conv2d(3, 8, 3), kind, scale
        self.last = self.grid = None
        self.calls, self.grids = 0, {}
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("kept", None, persistent=False)

    def made(self):
        return torch.linspace(0, self.scale, 14)

    def forward(self, x):
        x = self.conv(x)
        return x * getattr(self, self.kind)(x)

    def cached_in_an_attribute(self, x):
        if self.grid is None:
            self.grid = self.made()
        return self.grid

    def cached_in_a_buffer(self, x):
        if self.kept is None:
            self.kept = self.made()
        return self.kept

    def cached_in_a_dictionary(self, x):
        if "grid" not in self.grids:
            self.grids["grid"] = self.made()
        return self.grids["grid"]

    def cached_by_size(self, x):
        size = int(x.shape[-1])
        if size not in self.grids:
            self.grids[size] = torch.linspace(0, self.scale, size)
        return self.grids[size]

    def cached_in_the_file(self, x):
        if self.scale not in GRIDS:
            GRIDS[self.scale] = self.made() + 0 * x.mean()
            GRIDS[self.scale] = self.made()
        return GRIDS[self.scale]

    def counted_in_an_attribute(self, x):
        self.calls += 1
        return self.scale

    def counted_in_a_buffer(self, x):
        self.seen += 1
        return self.scale

    def counted_in_a_new_buffer(self, x):
        self.seen = self.seen + 1
        return self.scale

    def told_by_an_attribute(self, x):
        self.last = x.shape
        return self.scale

    def averaged_in_a_buffer(self, x):
        self.seen.mul_(0.9).add_(0.1 * x.mean())
        return self.scale


REMEMBERED = [
    name
    for name in vars(Remembers)
    if name.partition("_")[0] in ("cached", "counted", "told", "averaged")
]


@pytest.mark.parametrize("kind", REMEMBERED)
def test_what_a_forward_leaves_behind_does_not_count(kind):
    GRIDS.clear()
    torch.manual_seed(0)
    model, loaded = Remembers(kind).eval(), Remembers(kind).eval()
    loaded.load_state_dict(model.state_dict())
    fresh = now(model)
    held = {name: id(value) for name, value in vars(model).items()}
    assert now(model) == fresh
    assert held == {name: id(value) for name, value in vars(model).items()}
    for size in (16, 16, 20 if kind == "cached_by_size" else 16):
        with torch.no_grad():
            model(torch.randn(2, 3, size, size))
        assert now(model) == fresh
    assert now(loaded) == fresh, "a fresh one with the same weights"


@pytest.mark.parametrize("kind", REMEMBERED)
@pytest.mark.parametrize("called", [False, True])
def test_models_that_remember_are_told_apart(kind, called):
    found = []
    for scale, weight in ((2.0, 0.5), (3.0, 0.5), (2.0, 0.25)):
        GRIDS.clear()
        model = Remembers(kind, scale).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(weight)
            if called:
                model(torch.randn(1, 3, 16, 16))
        found.append(now(model))
    assert len(set(found)) == 3


class Leaf(StochasticDepth):
    """A node that keeps what it has seen."""

    def __init__(self, slope=0.1):
        super().__init__(0.1, "row")
        self.slope, self.calls, self.last, self.cache = slope, 0, None, {}

    def forward(self, x):
        self.calls, self.last = self.calls + 1, x.shape
        self.cache[x.shape[-1]] = x.mean()
        return F.leaky_relu(x, self.slope)


def test_a_node_that_remembers():
    model, other = then(Leaf()), then(Leaf(0.2))
    fresh = of(model)
    model(torch.randn(1, 3, 20, 20))
    assert of(model) == fresh != of(other)


def test_the_law_catches_a_fingerprint_of_what_lies_there(monkeypatch):
    """The planted wrong case: the graph and the buffers as they are found."""
    monkeypatch.setattr(fingerprint, "called_before", lambda graph, image: nullcontext((graph, ())))
    caught = []
    for kind in REMEMBERED:
        model = Remembers(kind).eval()
        fresh = now(model)
        model(torch.randn(2, 3, 16, 16))
        caught += [kind] if now(model) != fresh else []
    assert {"counted_in_a_buffer", "averaged_in_a_buffer"} <= set(caught), caught
    assert any("cached" in kind for kind in caught), caught


@pytest.mark.parametrize("kind", REMEMBERED)
def test_a_store_is_of_the_model_that_was_called_since(kind, tmp_path):
    torch.manual_seed(0)
    model, data = Remembers(kind).eval(), list(torch.rand(5, 3, 16, 16))
    store = mine(model, data, tmp_path / "one.h5", k=2, batch_size=2)
    model(data[0][None])
    assert not verify(store, model, data, n=None).mismatches
    embed(store, model, data, preprocessing=Preprocessing(size=(16, 16), resize=None))
    assert not verify(open_store(tmp_path / "one.h5"), model, data).mismatches
