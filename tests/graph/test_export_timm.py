"""Networks of timm that torch.fx cannot follow, since they branch on the size of a map."""

import pytest
import torch

from deconvnet import DeconvNet
from deconvnet.graph.frontends import Graphs
from tests.graph.test_frontends import expected
from tests.support.networks import fill, live_units, noise
from tests.support.reference import assert_same

timm = pytest.importorskip("timm")


def vgg11():
    """Its classifier is narrowed: 4096 wide it takes a gigabyte and tests nothing more."""
    model = timm.create_model("vgg11", num_classes=5)
    model.pre_logits = timm.models.vgg.ConvMlp(512, 16)
    model.head = timm.models.vgg.ClassifierHead(16, 5)
    return model


def mobilevit():
    return timm.create_model("mobilevit_xxs", num_classes=5)


@pytest.mark.parametrize(
    ("make", "policies"),
    [(vgg11, ("gradient", "deconvnet", "guided")), (mobilevit, ("gradient",))],
    ids=["vgg11", "mobilevit_xxs"],
)
def test_it_is_projected(make, policies):
    model, images = make().double(), noise(2, 3, 64, 64)
    fill(model, torch.Generator().manual_seed(0))
    model.eval()
    assert Graphs(model).any_size is None, "torch.fx follows it: it shows nothing"
    for policy in policies:
        net = DeconvNet(model, policy)
        recording = net.record(images)
        units = live_units(recording, *net.graph.returned)
        found = net.project(recording, units=units, seed="one")
        assert_same(found, expected(model, images, units, policy))
