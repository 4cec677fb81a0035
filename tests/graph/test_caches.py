"""A forward that fills a cache: a stand-in for a tensor is never left in it."""

import collections
import functools
import types
from contextlib import nullcontext, suppress

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn

from deconvnet import DeconvNet, UntraceableError
from deconvnet.graph import export, user_call
from deconvnet.graph.caches import STANDINS
from deconvnet.graph.graph import Graph, trace
from tests.support.networks import noise
from tests.support.reference import assert_same, error

IMAGES = noise(2, 3, 8, 8)
CACHE, NESTED, LISTED = {}, {"grids": {}}, [[]]
GRID = None


class Grids:
    """A helper of the usual kind."""

    memo = {}

    def __init__(self):
        self.grid, self.deep = None, types.SimpleNamespace(rows=collections.deque())

    def __call__(self, h):
        if self.grid is None:
            self.grid = grid(h)
        return self.grid


class Slotted:
    __slots__ = ("grid",)

    def __init__(self):
        self.grid = None


def grid(h):
    return torch.arange(h.shape[-1], device=h.device, dtype=h.dtype) + 1


@functools.lru_cache(None)
def of_length(n):
    return torch.arange(n, dtype=torch.float64) + 1


@functools.lru_cache(4)
def made_of(h):
    return grid(h)


def closed():
    own = None

    def run(self, h):
        nonlocal own
        if own is None:
            own = grid(h)
        return own

    return run


def defaulted(self, h, kept={}):  # noqa: B006 - the fault itself
    return kept.setdefault("grid", grid(h)) if "grid" not in kept else kept["grid"]


def in_globals(self, h):
    global GRID
    if GRID is None:
        GRID = grid(h)
    return GRID


def in_nested(self, h):
    return NESTED["grids"].setdefault("grid", grid(h))


def in_list(self, h):
    if not LISTED[0]:
        LISTED[0].append(grid(h))
    return LISTED[0][0]


def in_class(self, h):
    if not hasattr(type(self), "own"):
        type(self).own = grid(h)
    return type(self).own


def in_deque(self, h):
    self.helper.deep.rows.append({"grid": grid(h)})
    return self.helper.deep.rows[0]["grid"]


def in_slot(self, h):
    if self.slotted.grid is None:
        self.slotted.grid = grid(h)
    return self.slotted.grid


def in_function(self, h):
    if not hasattr(grid, "kept"):
        grid.kept = grid(h)
    return grid.kept


KINDS = {
    "a dictionary of the file": lambda self, h: CACHE.setdefault("grid", grid(h)),
    "in a dictionary of a dictionary": in_nested,
    "in a list of a list": in_list,
    "a global": in_globals,
    "a helper object": lambda self, h: self.helper(h),
    "in a helper of a helper": in_deque,
    "a slot": in_slot,
    "a class": in_class,
    "a helper's class": lambda self, h: self.helper.memo.setdefault(1, {"a": [grid(h)]})["a"][0],
    "a closure": closed(),
    "a default": defaulted,
    "a function": in_function,
    "lru_cache": lambda self, h: of_length(int(h.shape[-1])),
    "lru_cache of a tensor": lambda self, h: made_of(h),
}


def model_of(kept, *, counts):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.helper, self.slotted = nn.Conv2d(3, 4, 3), Grids(), Slotted()

        def forward(self, x):
            if counts and x.shape[-1] < 4:  # only torch.export can follow this
                return x
            return F.relu(self.conv(x) * self.kept(self.conv(x)))

    Net.kept = kept
    return Net().double()


@pytest.fixture(autouse=True)
def empty():
    global GRID
    CACHE.clear(), NESTED["grids"].clear(), LISTED[0].clear(), Grids.memo.clear()
    of_length.cache_clear(), made_of.cache_clear(), defaulted.__defaults__[0].clear()
    vars(grid).clear()
    GRID = None


@pytest.mark.parametrize("counts", [False, True], ids=["torch.fx", "torch.export"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_stand_in_is_left_in_a_cache(kind, counts):
    model = model_of(KINDS[kind] if kind != "a closure" else closed(), counts=counts)
    net = DeconvNet(model, "gradient", input_size=(3, 8, 8))
    assert type(model(IMAGES)) is torch.Tensor, "the user's own call"
    for one in (net, DeconvNet(model, "gradient", input_size=(3, 8, 8))):  # empty, and filled
        assert error(one.record(IMAGES)["relu"], model(IMAGES).detach()) < 1e-10
        leaf = IMAGES.clone().requires_grad_()
        (right,) = torch.autograd.grad(model(leaf)[:, 1, 2, 3].sum(), leaf)
        found = one.project(IMAGES, layer="relu", channel=1, position=(2, 3), seed="one")
        assert error(found, right) < 1e-10


@pytest.mark.parametrize("counts", [False, True], ids=["torch.fx", "torch.export"])
@pytest.mark.parametrize("kind", ["a dictionary of the file", "lru_cache", "a helper object"])
def test_the_law_catches_what_is_left(kind, counts, monkeypatch):
    """The planted wrong case."""
    for module in (user_call, export):
        monkeypatch.setattr(module, "nothing_kept", lambda model: nullcontext())
    model = model_of(KINDS[kind], counts=counts)
    with suppress(UntraceableError):
        DeconvNet(model, input_size=(3, 8, 8))
    left = [*CACHE.values(), model.helper.grid]
    if kind == "lru_cache":
        left.append(of_length(6))
    assert any(isinstance(value, STANDINS) for value in left)


def test_what_a_cache_held_is_kept():
    CACHE["other"], kept = [1], CACHE
    model = model_of(KINDS["a dictionary of the file"], counts=False)
    trace(model)
    assert kept == {"other": [1]}
    model(IMAGES)
    before = CACHE["grid"]
    net = DeconvNet(model, "gradient")
    assert CACHE["grid"] is before
    assert error(net.record(IMAGES)["relu"], model(IMAGES).detach()) < 1e-10


class Hidden:
    """A place that nothing can look into from outside."""

    def __init__(self):
        self._held = iter(self._hold())
        next(self._held)

    def _hold(self):
        kept = None
        while True:
            given = yield kept
            kept = given if kept is None else kept

    def __call__(self, value):
        return self._held.send(value)


def test_a_stand_in_of_another_reading_is_named():
    model = model_of(lambda self, h: self.hidden(grid(h)), counts=False)
    model.hidden = Hidden()
    assert isinstance(trace(model), Graph)
    with pytest.raises(UntraceableError, match="a value .* that it has kept.*|cannot be traced at"):
        trace(model)


def test_stand_ins_are_what_models_are_read_with():
    model, seen = model_of(lambda self, h: seen.append(h) or 1, counts=False), []
    trace(model)
    assert seen == []
    assert issubclass(fx.Proxy, STANDINS)


class Buffered(nn.Module):
    """It keeps its own buffer, or a part of it, in a dictionary of the file."""

    def __init__(self, part):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.part = nn.Conv2d(3, 4, 3), part
        self.register_buffer("table", torch.rand(2, 6))
        self.double()

    def forward(self, x):
        return self.conv(x) * CACHE.setdefault("table", self.part(self.table))


@pytest.mark.parametrize("part", [lambda x: x[0], lambda x: x.t()[0, :1], lambda x: x.view(-1)[:6]])
def test_a_cache_holds_the_buffer_itself(part):
    """While it is compared, a model runs on copies of its buffers."""
    model = Buffered(part)
    net = DeconvNet(model, "gradient")
    for _ in range(2):
        net.record(IMAGES)
        model(IMAGES)
        assert CACHE["table"].data_ptr() == part(model.table).data_ptr()
    with torch.no_grad():
        model.table.mul_(3)
    assert error(net.record(IMAGES)["mul"], model(IMAGES).detach()) < 1e-10


class BufferCache(nn.Module):
    """Keeps what it has made for a size in a buffer."""

    def __init__(self, stale):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("grid", torch.ones(5) if stale else None, persistent=False)

    def forward(self, x):
        x = self.conv(x)
        if self.grid is None or len(self.grid) != 10:
            self.grid = torch.linspace(0, 1, 10, dtype=torch.float64)
        return x * self.grid


@pytest.mark.parametrize("stale", [False, True])
def test_a_cache_in_a_buffer(stale):
    model = BufferCache(stale).double()
    images = torch.rand(2, 3, 12, 12, dtype=torch.float64, requires_grad=True)
    net, before = DeconvNet(model, "gradient"), model.grid
    projected = net.project(images, layer=net.graph.returned[0], channel=1, seed="map")
    assert model.grid is before, "it is left as it was"
    top = model(images)[:, 1]
    (expected,) = torch.autograd.grad(top, images, top.detach())
    assert_same(projected, expected)
