"""One layer, unit, channel or policy where several may be given."""

import numpy as np
import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Preprocessing, Unit, embed, mine, zoo
from deconvnet.layers import rectifier
from deconvnet.mining.estimate import estimate
from deconvnet.mining.exemplars import project_exemplars
from deconvnet.mining.run.job import Settings
from deconvnet.store.picture_reading import stored_exemplars

PREPARE = Preprocessing((9, 9), 9, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.relu1 = nn.Conv2d(3, 4, 3), nn.ReLU()

    def forward(self, x):
        return self.relu1(self.conv1(x))


MODEL = Net().eval()
IMAGES = torch.rand(4, 3, 9, 9, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def store(tmp_path):
    return mine(MODEL, list(IMAGES), tmp_path / "a.h5", k=2)


@pytest.mark.parametrize("one", ["relu1", MODEL.relu1, ["relu1"], ("relu1",)])
def test_a_layer(tmp_path, one):
    assert list(mine(MODEL, list(IMAGES), tmp_path / "b.h5", one, k=2)) == ["relu1"]
    assert list(estimate(MODEL, list(IMAGES), one, settings=Settings(9, 64)).channels) == ["relu1"]
    assert list(DeconvNet(MODEL).record(IMAGES, one).activations) == ["relu1"]


def test_a_layer_that_is_not_there_is_named_whole(tmp_path):
    with pytest.raises(KeyError, match="no layer is called 'conv7'"):
        mine(MODEL, list(IMAGES), tmp_path / "b.h5", "conv7")


@pytest.mark.parametrize("crop", [True, False])
def test_a_unit(crop):
    net, unit = DeconvNet(MODEL), Unit("relu1", 2, 3, 3, image=1)
    one, several = (net.project(IMAGES, units=u, crop=crop) for u in (unit, [unit]))
    pixels = [found[0].pixels if crop else found for found in (one, several)]
    assert torch.equal(*pixels)
    assert net.plan(IMAGES, unit).multiply_adds == net.plan(IMAGES, [unit]).multiply_adds


@pytest.mark.parametrize("channel", [3, np.int64(3)])
def test_a_channel_and_a_policy(store, tmp_path, channel):
    net = DeconvNet(MODEL, "guided")
    found = project_exemplars(
        store, "relu1", channel, net=net, dataset=list(IMAGES), preprocessing=PREPARE
    )
    assert list(found) == [3]
    for number, policy in enumerate(["guided", rectifier("guided")]):
        made = embed(store, MODEL, list(IMAGES), preprocessing=PREPARE, rectifiers=policy,
                     path=tmp_path / f"{number}.h5")  # fmt: skip
        assert list(made.pictures["relu1"].projections) == ["guided"]
        assert list(stored_exemplars(made, "relu1", channel, rectifier="guided")) == [3]


def test_a_photograph_of_the_zoo():
    assert len(zoo.photographs("chelsea")) == len(zoo.photographs(["chelsea"]))
