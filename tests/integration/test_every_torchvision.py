"""Every classification model that torchvision lists: traced, mirrored, projected, and right."""

import pytest
import torch
import torchvision
from torchvision.models import list_models

from tests.support import everywhere
from tests.support.everywhere import check_network
from tests.support.networks import ARGUMENTS, WIDE, fill, narrow, noise

NAMES = tuple(list_models(module=torchvision.models))
REPRESENTATIVE = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3",
    "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf",
    "resnet18", "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0",
    "squeezenet1_0", "squeezenet1_1", "swin_t", "vgg11_bn",
)  # fmt: skip
COMPUTING = ("regnet", "swin", "maxvit")  # their constructors need real numbers
MARKED = [n if n in REPRESENTATIVE else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]


def size_of(name):
    """Small images, as small as the model can take."""
    if name.startswith("vit"):
        return 2 * int(name.split("_")[-1])  # two patches
    return {"inception_v3": 80, "maxvit_t": 224}.get(name, 64)


def made(name):
    """The model with weights of our own, in float64."""
    arguments = dict(ARGUMENTS.get(name, {}))
    if name.startswith("vit"):
        arguments["image_size"] = size_of(name)
    computing = name.startswith(COMPUTING)
    with torch.device("cpu" if computing else "meta"):
        model = getattr(torchvision.models, name)(weights=None, **arguments)
        narrow(model, (0, 3, 6) if name.startswith("vgg") else WIDE.get(name, ()))
    if not computing:
        model.to_empty(device="cpu")
    model.double().eval()
    fill(model, torch.Generator().manual_seed(0))
    return model.requires_grad_(False)


def test_the_list_is_whole_and_twenty_of_it_stand_for_it():
    assert len(NAMES) >= 80
    assert set(REPRESENTATIVE) <= set(NAMES)
    assert len(REPRESENTATIVE) >= 20


@pytest.mark.parametrize("name", MARKED)
def test_it_is_mirrored(name):
    size = size_of(name)
    check_network(made(name), noise(1 if name == "maxvit_t" else 2, 3, size, size))


def test_the_check_catches_a_model_that_is_not_the_mirrored_one(monkeypatch):
    """A filter of the running model is turned round after the mirror was made."""
    model, right = made("squeezenet1_1"), everywhere.expected

    def other(*args):
        filters = model.features[0].weight.data
        filters.copy_(filters.flip(3))
        found = right(*args)
        filters.copy_(filters.flip(3))
        return found

    monkeypatch.setattr(everywhere, "expected", other)
    with pytest.raises(AssertionError, match="the forward pass is off at"):
        check_network(model, noise(1, 3, 64, 64))


def test_the_check_catches_the_wrong_policy(monkeypatch):
    right = everywhere.expected

    def other(model, net, images, units, policy):
        return right(model, net, images, units, "guided" if policy == "deconvnet" else policy)

    monkeypatch.setattr(everywhere, "expected", other)
    with pytest.raises(AssertionError, match=r"is off by|where there should be none"):
        check_network(made("squeezenet1_1"), noise(1, 3, 64, 64))
