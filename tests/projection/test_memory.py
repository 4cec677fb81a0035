"""A recording is light: no copy of a weight, and a fraction of what autograd keeps."""

from dataclasses import fields, is_dataclass

import pytest
import torch
import torchvision
from torch import Tensor

from deconvnet import DeconvNet
from deconvnet.layers import Local, Record
from tests.support.networks import WIDE, narrow, noise

SHARES = {"deconvnet": 1 / 3, "guided": 1 / 2}


def tensors(value):
    """Every tensor that a record holds, in tuples, dicts and other records too."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors(part)
    elif isinstance(value, dict):
        yield from tensors(tuple(value.values()))
    elif is_dataclass(value):
        yield from tensors(tuple(getattr(value, f.name) for f in fields(value)))


def weigh(found, model):
    """Bytes of the storages behind these tensors, each once, the model's own not at all."""
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    storages = [t.untyped_storage() for t in found]
    return sum({s.data_ptr(): s.nbytes() for s in storages if s.data_ptr() not in own}.values())


def saved_by_autograd(model, images):
    """What autograd keeps of a forward pass."""
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        output = model(images.clone().requires_grad_())
    assert output.grad_fn is not None
    return weigh(kept, model)


def kept_by(net, images):
    recording = net.record(images)
    assert not any(isinstance(step.layer, Local) for step in recording.steps), "not counted here"
    return weigh([t for step in recording.steps for t in tensors(step.record)], net.model)


def made(name):
    model = getattr(torchvision.models, name)(weights=None).eval()
    narrow(model, WIDE.get(name, ()))
    return model


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_a_recording_keeps_a_fraction_of_what_autograd_does(name):
    model, images = made(name), noise(1, 3, 160, 160).float()
    whole = saved_by_autograd(model, images)
    assert whole > 10e6
    kept = {policy: kept_by(DeconvNet(model, policy), images) for policy in SHARES}
    for policy, share in SHARES.items():
        assert 0 < kept[policy] < share * whole, f"{policy} keeps {kept[policy] / whole:.0%}"
    assert kept["deconvnet"] < kept["guided"] / 2  # switches, no masks


def test_the_scale_catches_what_is_kept():
    """Recording what autograd keeps, or a tensor in any field, is seen on the scale."""

    class Careless(Record):
        pass

    model, image = torch.nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8)
    kept = Careless()
    assert weigh(tensors(((kept, {"a": image}), [image.view(-1)])), model) == image.nbytes
    assert weigh([model.weight, model.weight[0]], model) == 0
    assert saved_by_autograd(model, image) == image.nbytes


def test_a_deconvnet_copies_no_weight():
    """The graph, the mirrored layers and the records look at the model's own weights."""
    model = made("resnet50")
    before = {name: p.data_ptr() for name, p in model.named_parameters()}
    net = DeconvNet(model)
    recording = net.record(noise(1, 3, 64, 64).float(), "layer4.2.relu_2")
    assert net.model is model
    assert {name: p.data_ptr() for name, p in model.named_parameters()} == before
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    held = [t for step in recording.steps for t in tensors(step.layer)]
    assert len(held) > 100
    assert {t.untyped_storage().data_ptr() for t in held} <= own
    assert not net.graph.constants
