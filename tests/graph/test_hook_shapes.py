"""Hooks run no more than a user's own call would run them; their shapes are remembered instead."""

import gc
import weakref

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Preprocessing, embed, exemplars, mine, verify, visualize
from deconvnet.graph import hook_shapes
from deconvnet.graph.frontends import Graphs
from deconvnet.projection.forward import geometry_of
from tests.support.networks import noise

IMAGES = list(noise(4, 3, 12, 12).float())
PICTURES = Preprocessing(size=(12, 12), resize=12, mean=(0.5,) * 3, std=(0.25,) * 3)


class Net(nn.Sequential):
    def __init__(self, *, counts=False):
        torch.manual_seed(0)
        inner = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU())
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), inner, nn.Conv2d(4, 4, 3))
        self.counts = counts

    def forward(self, x):
        if self.counts and len(x) > 99:  # only torch.export can follow this
            return x
        return super().forward(x)


def tripled(seen, value):
    assert type(value) is torch.Tensor, "neither a proxy nor a fake tensor"
    seen.append(tuple(value.shape))
    return 3 * value


def written(seen, value):
    seen.append(tuple(value.shape))
    value.mul_(3)


KINDS = {
    "after": ("0", "", lambda seen: lambda m, i, o: tripled(seen, o)),
    "before": ("3", "pre_", lambda seen: lambda m, i: tripled(seen, i[0])),
    "before, in a tuple": ("3", "pre_", lambda seen: lambda m, i: (tripled(seen, i[0]),)),
    "in place": ("0", "", lambda seen: lambda m, i, o: written(seen, o)),
    "container": ("2", "", lambda seen: lambda m, i, o: tripled(seen, o)),
    "before a container": ("2", "pre_", lambda seen: lambda m, i: tripled(seen, i[0])),
    "container, smaller": ("2", "", lambda seen: lambda m, i, o: tripled(seen, o)[..., 1:-1]),
}


def hooked(kind, seen, **settings):
    path, side, make = KINDS[kind]
    model = Net(**settings).eval()
    getattr(model.get_submodule(path), f"register_forward_{side}hook")(make(seen))
    return model


@pytest.mark.parametrize(
    ("kind", "exported"), [*((kind, False) for kind in KINDS), ("after", True), ("container", True)]
)
def test_mining_runs_hooks_once_a_microbatch(kind, exported, tmp_path):
    seen, runs = [], []
    model = hooked(kind, seen, counts=exported)
    for number in range(3):
        mine(model, IMAGES, tmp_path / f"{number}.h5", ["3"], k=1, batch_size=4)
        runs.append([size[0] for size in seen])
        seen.clear()
    assert runs == [[1, 4], [4], [4]], "an image of noise at first, and the microbatch"


def test_the_strongest_images_are_looked_at_again_once(tmp_path):
    """Of several microbatches one more runs at the end, with the strongest images of all."""
    seen, runs = [], []
    model = hooked("after", seen)
    for number in range(3):
        mine(model, IMAGES, tmp_path / f"{number}.h5", ["3"], k=1, batch_size=2)
        runs.append([size[0] for size in seen])
        seen.clear()
    assert runs == [[1, 2, 2, 2], [2, 2], [2, 2]]


def test_nothing_is_compared_without_the_check(tmp_path):
    seen, runs = [], []
    model = hooked("after", seen)
    for number in range(2):
        mine(model, IMAGES, tmp_path / f"{number}.h5", ["3"], k=1, batch_size=2, check=False)
        runs.append([size[0] for size in seen])
        seen.clear()
    assert runs == [[1, 2, 2], [2, 2]], "sizes are told by an empty image, once"


@pytest.mark.parametrize("channel", [1, "strongest:2"])
@pytest.mark.parametrize("kind", KINDS)
def test_visualize_runs_hooks_as_one_call_does(kind, channel):
    seen, runs = [], []
    net = DeconvNet(hooked(kind, seen), "gradient")
    for _ in range(3):
        visualize(net, IMAGES[0], layer="3", channel=channel, preprocessing=PICTURES)
        runs.append(len(seen))
        seen.clear()
    assert runs == [2, 1, 1]


READ = {
    "exemplars": lambda store, model, path: exemplars(
        store, "3", [1, 2], net=model, data=IMAGES, preprocessing=PICTURES
    ),
    "embed": lambda store, model, path: embed(
        store, model, IMAGES, preprocessing=PICTURES, rectifiers="gradient", path=path
    ),
    "embed patches": lambda store, model, path: embed(
        store, model, IMAGES, preprocessing=PICTURES, path=path
    ),
    "verify": lambda store, model, path: verify(store, model, IMAGES),
}


@pytest.mark.parametrize("call", READ)
@pytest.mark.parametrize("kind", ["after", "before", "container"])
def test_stores_are_read_with_one_run_of_hooks(kind, call, tmp_path):
    seen, runs = [], []
    model = hooked(kind, seen)
    store = mine(model, IMAGES, tmp_path / "a.h5", ["3"], k=2)
    for number in range(3):
        seen.clear()
        READ[call](store, model, tmp_path / f"{number}.h5")
        runs.append(len(seen))
    assert runs[0] <= 2
    assert runs[1:] == [1, 1], "all images in one batch"


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_are_those_of_hooks_that_run(kind, monkeypatch):
    """The law: with nothing remembered the hooks run, and the geometry is the same."""
    seen = []
    model = hooked(kind, seen)
    graph = Graphs(model).any_size
    ran = geometry_of(graph, torch.zeros(1, 3, 12, 12))
    assert seen.pop()
    seen.clear()
    for count in (1, 2):
        told = geometry_of(graph, torch.zeros(count, 3, 12, 12))
        assert {n: s[1:] for n, s in told.sizes.items()} == {n: s[1:] for n, s in ran.sizes.items()}
        assert told.sizes["3"][0] == count
        assert [step.name for step in told.steps] == [step.name for step in ran.steps]
        assert [type(step.layer) for step in told.steps] == [type(step.layer) for step in ran.steps]
    assert not seen
    geometry_of(graph, torch.zeros(1, 3, 14, 14))
    assert seen, "other sizes are not known"
    seen.clear()
    monkeypatch.setattr(hook_shapes, "_KNOWN", weakref.WeakKeyDictionary())
    geometry_of(graph, torch.zeros(1, 3, 12, 12))
    assert seen


class Cut:
    """A hook whose output has another size when it is told so."""

    less = 0

    def __call__(self, module, args, output):
        return output[..., self.less :] * 2


def test_a_size_that_is_no_longer_true_is_told_and_then_known(tmp_path):
    model, hook = Net().eval(), Cut()
    model[0].register_forward_hook(hook)
    assert mine(model, IMAGES, tmp_path / "a.h5", ["3"], k=1)["3"].size == (6, 6)
    hook.less = 2
    with pytest.raises(
        ValueError, match=r"the maps of 3 are \(4, 6, 4\), and were \(4, 6, 6\) when"
    ):
        mine(model, IMAGES, tmp_path / "b.h5", ["3"], k=1)
    assert mine(model, IMAGES, tmp_path / "b.h5", ["3"], k=1)["3"].size == (6, 4)


def test_a_hook_may_ask_for_values_that_lie_as_in_any_call(tmp_path):
    """Convolutions run several times faster channels last, where ``view`` fails."""
    model, sums = Net().eval(), []
    model[0].register_forward_hook(lambda m, i, o: sums.append(o.view(len(o), -1).sum(1)))
    model[3].register_forward_hook(lambda m, i, o: o.view(len(o), 2, -1).flip(1).view_as(o))
    images = torch.stack(IMAGES)
    net = DeconvNet(model, "gradient")
    assert torch.allclose(net.record(images)["3"], model(images), atol=1e-5)
    assert len(sums) == 3
    assert net.project(images, layer="3", channel=1).any()
    assert mine(model, IMAGES, tmp_path / "a.h5", ["3"], k=1)["3"].channels == 4


class Own(nn.Module):
    """A model with hooks that are methods of its own, as libraries have them."""

    def __init__(self):
        super().__init__()
        self.conv, self.seen = nn.Conv2d(3, 4, 3), 0
        self.conv.register_forward_hook(self.look)
        self.conv.register_forward_hook(self.double)

    def look(self, module, args, output):
        self.seen += 1

    def double(self, module, args, output):
        return 2 * output

    def forward(self, x):
        return self.conv(x)


def test_a_model_that_is_thrown_away_is_freed(tmp_path):
    """What is remembered of hooks must not hold them: they may hold the model."""
    model = Own().eval()
    mine(model, IMAGES, tmp_path / "a.h5", ["conv"], k=1)
    DeconvNet(model, "gradient").project(IMAGES[0][None], layer="conv", channel=1)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
