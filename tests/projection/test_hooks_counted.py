"""How often the hooks of a user's run: once more than in a call of the model's, at a first look."""

import threading
from dataclasses import replace

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, mine
from deconvnet.graph import observed_hooks as hooks
from deconvnet.graph.frontends import Graphs
from deconvnet.projection import hooked_calls
from deconvnet.projection.check.against_model import compare
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
    monkeypatch.setattr(hooks._Observed, "_again", lambda self, *given: self.hook(*given))
    found = registered(model, "")
    DeconvNet(model, "gradient").project(IMAGES, layer="3", channel=0)
    assert found["a convolution"].runs() > 2


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
    run = hooked_calls.run_after

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


class Scaling:
    """A hook of every kind that changes values, and counts the images that it is shown."""

    def __init__(self, model, kind, seen):
        self.seen, place = seen, model.get_submodule("2" if "container" in kind else "3")
        words = {"with_kwargs": True} if "kwargs" in kind else {}
        register = place.register_forward_pre_hook if "pre" in kind else place.register_forward_hook
        register(getattr(self, kind.split(", ")[-1]), **words)

    def tripled(self, value):
        assert type(value) is torch.Tensor
        self.seen.append(len(value))
        return 3 * value

    def after(self, module, args, output):
        return self.tripled(output)

    def after_kwargs(self, module, args, kwargs, output):
        return self.tripled(output)

    def pre(self, module, args):
        return self.tripled(args[0])

    def pre_kwargs(self, module, args, kwargs):
        return (self.tripled(args[0]),), kwargs

    def in_place(self, module, args, output):
        self.seen.append(len(output))
        output.mul_(3)

    def pre_in_place(self, module, args):
        self.seen.append(len(args[0]))
        args[0].mul_(3)

    def added(self, module, args, output):
        """Both what entered and what left: a signal goes back by the module and beside it."""
        self.seen.append(len(output))
        return output + 3 * args[0][..., : output.shape[-2], : output.shape[-1]]


OVER_A_RELU = {"pre_in_place", "container, in_place", "container, pre_in_place"}
"""Autograd needs a ReLU's output as it was: the check calls the model again, with copies."""
KINDS = ["after", "after_kwargs", "pre", "pre_kwargs", "in_place", "pre_in_place", "added"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", [*KINDS, *(f"container, {kind}" for kind in KINDS)])
def test_a_hook_that_changes_values_runs_once_more_at_most(kind, call):
    model, seen = Net(counts=False), []
    Scaling(model, kind, seen)
    net, runs = DeconvNet(model, "gradient"), []
    for _ in range(3):
        CALLS[call](net)
        runs.append(len(seen))
        seen.clear()
    assert runs == [3 if kind in OVER_A_RELU else 2, 1, 1]
    top = net.graph.returned[0]
    twin = kind.replace("pre_in_place", "pre").replace("in_place", "after")
    assert_same(net.project(IMAGES, layer=top, channel=0, seed="map"), _map(twin))


def _map(kind):
    """Autograd's, of a model whose hooks do not write in place."""
    model = Net(counts=False)
    Scaling(model, kind, [])
    leaf = IMAGES.clone().requires_grad_()
    top = model(leaf)[:, 0]
    return torch.autograd.grad(top, leaf, top.detach())[0]


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_check_it_runs_twice_at_first(kind):
    model, seen = Net(counts=False), []
    Scaling(model, kind, seen)
    net = DeconvNet(model, "gradient", check=False)
    for most in (2, 1):
        net.project(IMAGES, layer="3", channel=0)
        assert len(seen) == most
        seen.clear()


def test_hooks_that_hand_each_other_values_are_refused():
    """The gradient of what one hook keeps for another is in no step of a recording."""
    model, kept = Net(counts=False), []

    def keep(module, args, output):
        kept[:] = [output[..., :6, :6]]
        return 2 * output

    model[0].register_forward_hook(keep)
    model[3].register_forward_hook(lambda m, i, o: o + kept[0])
    with pytest.raises(ValueError, match="gradient"):
        DeconvNet(model, "gradient").record(IMAGES)


def test_a_wrong_layer_below_a_hook_is_not_hidden_by_what_the_hook_gave():
    """The planted wrong case: the graph has another convolution than the model."""
    model, seen = Net(counts=False), []
    Scaling(model, "after", seen)
    graph = Graphs(model).any_size
    other = Net(counts=False)
    wrong = graph.over(model, {})
    node = wrong.nodes["0"]
    other[0].weight.data *= 1.5
    wrong.nodes["0"] = replace(node, module=other[0])
    result = compare(wrong, IMAGES, {}, seeds=())
    assert [row.name for row in result.wrong][0] == "0"
    assert len(seen) == 2, "the graph ran it on its own values"
    del seen[:]
    assert not compare(graph, IMAGES, {}, seeds=()).wrong
    assert len(seen) == 1


def test_mining_shows_a_hook_that_looks_one_image_beside_the_data_set(tmp_path):
    model, seen = Net(counts=False).float(), []
    model[0].register_forward_hook(lambda m, i, o: seen.append(len(o)))
    images = list(noise(5, 3, 12, 12).float())
    for number, more in ((0, [1]), (1, [])):
        mine(model, images, tmp_path / f"{number}.h5", ["3"], k=2, batch_size=2)
        assert seen == [*more, 2, 2, 2], "noise once, and each image in its microbatch"
        seen.clear()
