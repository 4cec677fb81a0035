"""Hooks of a user's modules run as in any call, and never see anything but tensors."""

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, mine, verify
from deconvnet.projection import unruled
from tests.support.beside import IMAGES, POLICIES, right, small
from tests.support.networks import live_units, noise
from tests.support.reference import assert_same, error

HOOKS = {
    "scales a convolution": ("0", lambda m, i, o: 10 * o),
    "scales a rectifier": ("1", lambda m, i, o: 10 * o - 1),
    "scales a container": ("2", lambda m, i, o: 3 * o + o.mean()),
    "scales the model": ("", lambda m, i, o: o * o),
    "adds the input": ("2.1", lambda m, i, o: o + i[0]),
    "looks at a pool": ("3", lambda m, i, o: None),
    "looks at a container": ("2", lambda m, i, o: None),
}


def written(o):
    o.mul_(2)


HOOKS["writes in place"] = ("0", lambda m, i, o: written(o))
HOOKS["writes into the model's"] = ("", lambda m, i, o: written(o))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("hook", HOOKS)
def test_forward_hooks(hook, policy):
    model = small()
    path, function = HOOKS[hook]
    model.get_submodule(path).register_forward_hook(function)
    right(model, IMAGES, policy=policy)
    for layer in ("0", "1", "2.0", "2", "3"):
        right(model, IMAGES, layer, policy=policy)


PRE = {
    "a convolution": ("0", lambda m, i: (i[0] * 2 + 1,)),
    "a value alone": ("2.0", lambda m, i: i[0] * i[0]),
    "a container": ("2", lambda m, i: (i[0] * 2 + 1,)),
    "the model": ("", lambda m, i: (i[0] * 3 - 1,)),
    "only looks": ("2.0", lambda m, i: None),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("hook", PRE)
def test_forward_pre_hooks(hook, policy):
    model = small()
    path, function = PRE[hook]
    model.get_submodule(path).register_forward_pre_hook(function)
    right(model, IMAGES, policy=policy)
    for layer in ("0", "2.0", "2"):
        right(model, IMAGES, layer, policy=policy)


def test_hooks_that_are_set_and_taken_away_later():
    model = small()
    net = DeconvNet(model, "gradient")
    plain = net.record(IMAGES, "3")["3"]
    for path in ("0", "2"):
        handle = model.get_submodule(path).register_forward_hook(lambda m, i, o: 10 * o)
        assert error(net.record(IMAGES, "3")["3"], model(IMAGES).detach()) < 1e-10
        assert error(net.record(IMAGES, "3")["3"], plain) > 1
        handle.remove()
        assert torch.equal(net.record(IMAGES, "3")["3"], plain)


def test_hooks_with_keyword_arguments():
    model = small()
    model[2].register_forward_hook(lambda m, i, k, o: 2 * o + len(k), with_kwargs=True)
    model[0].register_forward_pre_hook(lambda m, i, k: ((3 * i[0],), k), with_kwargs=True)
    right(model, IMAGES)


@pytest.mark.parametrize("path", ["0", "2", ""])
def test_a_hook_never_sees_anything_but_tensors(path):
    model, seen = small(), []
    model.get_submodule(path).register_forward_hook(lambda m, i, o: seen.append((i[0], o)))
    net = DeconvNet(model)
    net.layers  # noqa: B018
    net.project(IMAGES, layer="3", channel=1)
    for pair in seen:
        assert all(type(value) is torch.Tensor for value in pair), pair
    assert seen[-1][1].shape[0] == 2


def test_a_hook_that_looks_leaves_the_mirror_as_it_is():
    model = small()
    before = {s.name: type(s.layer) for s in DeconvNet(model).record(IMAGES).steps}
    model[0].register_forward_hook(lambda m, i, o: None)
    after = {s.name: type(s.layer) for s in DeconvNet(model).record(IMAGES).steps}
    assert after == before
    assert DeconvNet(model).layers["0"].kind == "Conv2d"


@pytest.mark.parametrize("path", ["0", "2", ""])
@pytest.mark.parametrize(
    "register", ["register_full_backward_hook", "register_full_backward_pre_hook"]
)
def test_backward_hooks_are_refused_by_name(path, register):
    model = small()
    getattr(model.get_submodule(path), register)(lambda m, *args: None)
    net = DeconvNet(model)
    with pytest.raises(ValueError, match=f"backward hook.*{path or 'the model itself'}.*remove"):
        net.project(IMAGES, layer="3", channel=0)
    if path == "2":
        assert net.project(IMAGES, layer="1", channel=1).any(), "below it there is none"


def test_hooks_on_all_modules():
    model, seen = small(), []
    register = nn.modules.module.register_module_forward_hook
    handle = register(lambda m, i, o: 2 * o if isinstance(m, nn.ReLU) else seen.append(m))
    try:
        right(model, IMAGES, policy="guided")
        right(model, IMAGES, "2.1")
    finally:
        handle.remove()
    assert model[0] in seen
    right(model, IMAGES)


def test_a_backward_hook_on_all_modules_is_refused():
    handle = nn.modules.module.register_module_full_backward_hook(lambda *args: None)
    try:
        with pytest.raises(ValueError, match="backward hook is registered on all modules"):
            DeconvNet(small()).record(IMAGES)
    finally:
        handle.remove()


def test_a_forward_of_one_module_alone():
    model = small()
    model[0].forward = lambda x: 3 * nn.Conv2d.forward(model[0], x)
    model[2].forward = lambda x: x * 2
    right(model, IMAGES)
    right(model, IMAGES, "0", policy="guided")


class Stateful:
    """A hook that is switched on between calls."""

    def __init__(self):
        self.on = False

    def __call__(self, module, args, output):
        return 5 * output if self.on else None


@pytest.mark.parametrize("path", ["0", "2"])
def test_a_hook_that_changes_its_mind(path):
    model, hook = small(), Stateful()
    model.get_submodule(path).register_forward_hook(hook)
    net = DeconvNet(model, "gradient")
    net.record(IMAGES)
    hook.on = True
    units = live_units(DeconvNet(model, "gradient").record(IMAGES, "3"), "3", 2)
    after = DeconvNet(model, "gradient").project(IMAGES, units=units, seed="one")
    hook.on = False
    before = net.project(IMAGES, units=units, seed="one")
    assert error(before, after) > 0.5
    hook.on = True
    assert_same(net.project(IMAGES, units=units, seed="one"), after)
    assert_same(net.project(IMAGES, units=units, seed="one", way="cone"), after)
    right(model, IMAGES)


@pytest.mark.parametrize("path", ["", "2", "2.1"])
def test_a_forward_that_was_put_in_its_place(path):
    model = small()
    module = model.get_submodule(path)
    run = module.forward
    module.forward = lambda x: 2 * run(x) + 1
    for policy in POLICIES:
        right(model, IMAGES, policy=policy)


def test_hooked_layers_are_mined_and_listed(tmp_path):
    model, images = small(), list(noise(6, 3, 9, 9))
    model[0].register_forward_hook(lambda m, i, o: 3 * o)
    model[2].register_forward_hook(lambda m, i, o: 2 * o + 1)
    store = mine(model, images, tmp_path / "a.h5", k=2)
    assert list(store) == ["0", "1", "2.0", "2.1"]
    maps = DeconvNet(model, "gradient").record(torch.stack(images), ["0", "2"])
    for layer in ("0", "2"):
        again = mine(model, images, tmp_path / f"{layer}.h5", [layer], k=1)
        strongest = maps[layer].flatten(2).amax((0, 2)).float()
        assert torch.equal(torch.from_numpy(again[layer].activation[:, 0]), strongest)
        assert verify(again, model, images).mismatches == ()
    layers = DeconvNet(model, input_size=(3, 9, 9)).layers
    assert {"0", "2", "2.0"} <= set(layers)
    assert layers["0"].kind == "Conv2d"
    assert not [name for name in layers if name[-1] in "<="]
    recording = DeconvNet(model).record(images[0][None])
    assert unruled.activations(recording) == {"1": "ReLU", "2.1": "ReLU"}
    assert list(recording.switches) == ["3"]


class Called(nn.Sequential):
    """Does more when it is called than its forward says."""

    def __call__(self, x):
        return super().__call__(2 * x)


def test_a_call_that_is_no_forward():
    model = Called(*small())
    assert right(model, IMAGES).graph.reader == "torch.export", "torch.fx looks at forward"
    right(nn.Sequential(nn.Conv2d(3, 3, 1).double(), model), IMAGES)
