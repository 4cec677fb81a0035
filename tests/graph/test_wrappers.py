"""Wrapped models are looked at through the wrapper; compiled ones that say nothing are refused."""

import pytest
import torch
from torch import nn

import deconvnet
from deconvnet import DeconvNet, UntraceableError

MODEL = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3))
IMAGES = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
WRAPPERS = {
    "DataParallel": nn.DataParallel,
    "torch.compile": torch.compile,
    "both": lambda model: torch.compile(nn.DataParallel(model)),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_changes_nothing(name):
    expected = DeconvNet(MODEL, "guided").project(IMAGES, layer="3", channel=2)
    net = DeconvNet(WRAPPERS[name](MODEL), "guided")
    assert torch.equal(net.project(IMAGES, layer="3", channel=2), expected)
    assert torch.equal(net.project(IMAGES, layer=MODEL[3], channel=2), expected)


def test_a_wrapped_model_is_mined_as_the_model_inside(tmp_path):
    stores = [
        deconvnet.mine(model, list(IMAGES), tmp_path / name, k=2, batch_size=2)
        for name, model in (("plain.h5", MODEL), ("wrapped.h5", nn.DataParallel(MODEL)))
    ]
    assert [s.attributes["model_fingerprint"] for s in stores].count(
        stores[0].attributes["model_fingerprint"]
    ) == 2


@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_a_scripted_model_is_refused():
    with pytest.raises(UntraceableError, match="torch.jit.*nn.Module it was made from"):
        DeconvNet(torch.jit.trace(MODEL, IMAGES))
