"""How often the hooks of a user's run: once more than in a call of the model's, at a first look."""

import threading

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet
from deconvnet.graph import hooks
from deconvnet.graph.frontends import Graphs
from deconvnet.projection import hooked_calls
from tests.support.networks import live_units, noise
from tests.support.reference import assert_same, error

IMAGES = noise(2, 3, 12, 12)
PLACES = {"a convolution": "0", "a container": "2", "the model": ""}


class Net(nn.Sequential):
    def __init__(self, *, counts):
        torch.manual_seed(0)
        inner = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU())
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), inner, nn.Conv2d(4, 4, 3))
        self.counts = counts
        self.double()

    def forward(self, x):
        if self.counts and len(x) > 99:  # only torch.export can follow this
            return x
        return super().forward(x)


class Counting:
    """A hook that keeps what it is shown."""

    def __init__(self):
        self.seen = []

    def __call__(self, module, args, output=None):
        self.seen.append(
            (args if output is None else output).sum().item() if output is not None else 0
        )

    def runs(self):
        found = len(self.seen)
        self.seen.clear()
        return found


@pytest.fixture(params=[False, True], ids=["torch.fx", "torch.export"])
def model(request):
    return Net(counts=request.param)


def registered(model, kind):
    found = {}
    for name, path in PLACES.items():
        found[name] = Counting()
        getattr(model.get_submodule(path), f"register_forward_{kind}hook")(found[name])
    return found


CALLS = {
    "record": lambda net: net.record(IMAGES),
    "record a layer": lambda net: net.record(IMAGES, "3"),
    "project": lambda net: net.project(IMAGES, layer="3", channel=0),
    "project crops": lambda net: net.project(IMAGES, layer="3", channel=0, crop=True),
}


@pytest.mark.parametrize("kind", ["", "pre_"])
@pytest.mark.parametrize("call", CALLS)
def test_a_hook_that_looks_runs_once_more_at_most(model, call, kind):
    hooks = registered(model, kind)
    model(IMAGES)
    own = {name: hook.runs() for name, hook in hooks.items()}
    assert own == dict.fromkeys(PLACES, 1)
    net = DeconvNet(model, "gradient")
    CALLS[call](net)
    first = {name: hook.runs() for name, hook in hooks.items()}
    assert all(1 <= first[name] <= 2 for name in PLACES), "the check, and the call itself"
    for _ in range(2):
        CALLS[call](net)
        again = {name: hook.runs() for name, hook in hooks.items()}
        assert max(again.values()) == 1, "the call itself"
    assert len(model._forward_hooks) + len(model._forward_pre_hooks) == 1
    net.layers  # noqa: B018
    assert not any(hook.runs() for hook in hooks.values()), "an empty image is nothing to look at"


def test_the_law_catches_hooks_that_run_each_time(monkeypatch):
    """The planted wrong case: none is known to look only."""
    model = Net(counts=False)
    monkeypatch.setattr(
        hooks._Observed, "looks_on", property(lambda s: None, lambda s, v: None), False
    )
    found = registered(model, "")
    DeconvNet(model, "gradient").project(IMAGES, layer="3", channel=0)
    assert found["a convolution"].runs() == 4


class Stateful:
    """It begins to change values, and mixes the images, when it is told to."""

    def __init__(self):
        self.on = False

    def __call__(self, module, args, output):
        return output + output.flip(-1) + output.flip(0, -1) if self.on else None


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("path", ["0", "2"])
def test_an_onlooker_that_begins_to_change_values(path, crop):
    model, hook = Net(counts=False), Stateful()
    model.get_submodule(path).register_forward_hook(hook)
    net = DeconvNet(model, "gradient")
    units = live_units(net.record(IMAGES, "3"), "3", 3)
    quiet = net.project(IMAGES, units=units, seed="one", crop=crop)
    hook.on = True
    fresh = DeconvNet(model, "gradient").project(IMAGES, units=units, seed="one", crop=crop)
    found = net.project(IMAGES, units=units, seed="one", crop=crop)
    if not crop:
        assert_same(found, fresh)
        assert error(found, quiet) > 0.1
        return
    for one, other in zip(found, fresh, strict=True):
        assert one.box == other.box
        assert_same(one.pixels, other.pixels)


def test_backward_hooks_are_refused_before_anything_runs():
    model, seen = Net(counts=False), Counting()
    model[0].register_forward_hook(seen)
    model[2].register_full_backward_hook(lambda *args: None)
    net = DeconvNet(model, "gradient")
    for call in CALLS.values():
        with pytest.raises(ValueError, match="backward hook is registered on 2"):
            call(net)
    assert not seen.runs()


def test_hooks_are_put_back_where_they_were():
    model = Net(counts=False)
    handles = [model[0].register_forward_hook(Counting()) for _ in range(3)]
    before = list(model[0]._forward_hooks.items())
    DeconvNet(model, "gradient").project(IMAGES, layer="3", channel=0)
    assert list(model[0]._forward_hooks.items()) == before
    handles[1].remove()
    assert list(model[0]._forward_hooks.items()) == [before[0], before[2]]
    assert Graphs(model).any_size is not None


def test_other_threads_run_their_hooks_meanwhile(monkeypatch):
    """A user's own call beside the check, while the check's graph does without them."""
    model, seen, shown = Net(counts=False), [], Counting()
    model[0].register_forward_hook(shown)
    model[2].register_forward_hook(lambda m, i, o: seen.append(threading.get_ident()))
    DeconvNet(model, "gradient").record(IMAGES)
    run = hooks.run_after

    def beside(module, *given):
        if not seen or seen[-1] != "done":
            other = threading.Thread(target=lambda: [model(IMAGES), seen.append("done")])
            other.start()
            other.join()
        return run(module, *given)

    monkeypatch.setattr(hooked_calls, "run_after", beside)
    shown.runs(), seen.clear()
    with hooks.without_onlookers(model):
        net = DeconvNet(model, "gradient", check=False)
        net.record(IMAGES)
    assert shown.runs() == 1, "that of the other thread"
    assert seen[-1] == "done"
    assert len(seen) == 2


def test_a_hook_that_draws_is_not_run_ten_times():
    model, shown = Net(counts=False), Counting()

    def drawing(module, args, output):
        shown(module, args)
        torch.rand(1)

    model[0].register_forward_hook(drawing)
    DeconvNet(model, "gradient").record(IMAGES)
    assert shown.runs() == 2
