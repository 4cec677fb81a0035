"""The law of one layer of any model: its values and its maps are those of the running model."""

import torch
from torch import nn

from deconvnet import DeconvNet
from tests.support.networks import live_units, noise
from tests.support.reference import EveryRelu, assert_same, error

IMAGES = noise(2, 3, 9, 9)
POLICIES = ("gradient", "deconvnet", "guided")


def right(model, images, layer=None, *, policy="gradient", module=None, **settings):
    """Values and projections of a layer are those of the running model itself."""
    model.eval()
    net = DeconvNet(model, policy, **settings)
    layer = layer or None
    recording = net.record(images, layer)
    (name,) = recording.activations
    caught = []
    module = module or (model.get_submodule(layer) if layer else model)
    handle = module.register_forward_hook(lambda m, i, o: caught.append(o.clone()))
    leaf = images.clone().requires_grad_()
    if policy == "gradient":
        model(leaf)
    else:
        with EveryRelu(policy):
            model(leaf)
    handle.remove()
    value = caught[-1]
    assert error(recording[name], value.detach()) <= 1e-10
    units = live_units(recording, name, 2)
    assert units
    expected = []
    for unit in units:
        one = value[(unit.image, unit.channel, *(unit.position or ()))]
        expected.append(torch.autograd.grad(one, leaf, retain_graph=True)[0][unit.image])
    found = net.project(images, units=units, seed="one")
    assert_same(found, torch.stack(expected))
    assert_same(net.project(recording, units=units, seed="one"), found)
    return net


def small():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU()),
        nn.MaxPool2d(2),
    ).double()  # fmt: skip


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("mean", torch.full((3, 1, 1), 0.3))
