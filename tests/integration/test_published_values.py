"""Numbers that papers and other tools have published, through whole little networks."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet, Unit
from tests.support.networks import noise

POLICIES = ("gradient", "deconvnet", "guided")


def arriving(rest, signal):
    """A network whose rest gets this signal from above when its one unit is seeded with one."""
    signal = torch.as_tensor(signal, dtype=torch.double)
    top = {1: nn.Conv1d, 2: nn.Conv2d}[signal.ndim](1, 1, tuple(signal.shape), bias=False)
    top = top.double()
    with torch.no_grad():
        top.weight.copy_(signal[None, None])
    return nn.Sequential(*rest, top)


def projected(model, image, policy, **unit):
    unit = unit or {"layer": DeconvNet(model).graph.returned[0], "channel": 0}
    image = torch.as_tensor(image, dtype=torch.double)[None, None]
    return DeconvNet(model, policy).project(image, seed="one", **unit)[0, 0].tolist()


SPRINGENBERG = {  # figure 1
    "gradient": [[-2, 0, -1], [6, 0, 0], [0, -1, 3]],
    "deconvnet": [[0, 3, 0], [6, 0, 1], [2, 0, 3]],
    "guided": [[0, 0, 0], [6, 0, 0], [0, 0, 3]],
    "identity": [[-2, 3, -1], [6, -3, 1], [2, -1, 3]],
}


@pytest.mark.parametrize("policy", SPRINGENBERG)
def test_figure_1_of_springenberg(policy):
    model = arriving([nn.ReLU()], SPRINGENBERG["identity"])
    found = projected(model, [[1, -1, 5], [2, -5, -7], [-3, 2, 4]], policy)
    assert found == SPRINGENBERG[policy]
    assert [found == other for other in SPRINGENBERG.values()].count(True) == 1


class OneConvolution(nn.Module):
    """captum's BasicModel_ConvNet_One_Conv, as its tests describe it."""

    def __init__(self):
        super().__init__()
        self.conv1, self.relu1 = nn.Conv2d(1, 2, 3), nn.ReLU()
        self.fc1, self.relu2 = nn.Linear(8, 4), nn.ReLU()
        with torch.no_grad():
            self.conv1.weight.fill_(1)
            self.conv1.bias.copy_(torch.tensor([-50.0, -75.0]))
            self.fc1.weight.fill_(1)[:, 5:] = -1
            self.fc1.bias.zero_()

    def forward(self, x):
        return self.relu2(self.fc1(self.relu1(self.conv1(x)).view(-1, 8)))


ARANGE = torch.arange(16.0).view(4, 4)
CAPTUM = [
    ("deconvnet", ARANGE, [[2, 3, 3, 1], [3, 5, 5, 2], [3, 5, 5, 2], [1, 2, 2, 1]]),
    ("guided", ARANGE, [[0, 1, 1, 1], [1, 3, 3, 2], [1, 3, 3, 2], [1, 2, 2, 1]]),
    ("guided", ARANGE + 1, [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]),
]


@pytest.mark.parametrize(("policy", "image", "expected"), CAPTUM)
@pytest.mark.parametrize("layer", ["fc1", "relu2"])
def test_captums_network(policy, image, expected, layer):
    model = OneConvolution().double()
    assert projected(model, image, policy, layer=layer, channel=0) == expected


class Skipping(nn.Module):
    """What a rectifier takes also goes around it."""

    def forward(self, x):
        h = x * torch.tensor([2.0, -3.0])
        return F.relu(h) + 5 * h


def test_the_skip_that_captum_drops():
    units = [Unit("add", 0, 0, i) for i in range(2)]
    image = torch.ones(1, 1, 1, 2)
    both = {
        policy: DeconvNet(Skipping(), policy).project(image, units=units, seed="one").sum(0)
        for policy in POLICIES
    }
    assert both["deconvnet"].flatten().tolist() == [12, -18]  # captum 0.9.0: [2, -3]
    assert both["guided"].flatten().tolist() == [12, -15]
    assert both["gradient"].flatten().tolist() == [12, -15]


class Squared(nn.Module):
    """xplique's test: squares after a rectifier."""

    def __init__(self, ceiling=None, sign=1):
        super().__init__()
        self.ceiling, self.sign = ceiling, sign

    def forward(self, x):
        return (self.sign * x.clamp(0, self.ceiling) ** 2).sum((2, 3))


XPLIQUE = [
    ("deconvnet", Squared(), [10, 0, 0, 20]),
    ("deconvnet", Squared(ceiling=3), [6, 0, 0, 6]),
    ("guided", Squared(), [10, 0, 0, 20]),
    ("guided", Squared(ceiling=3), [0, 0, 0, 0]),
    ("guided", Squared(sign=-1), [0, 0, 0, 0]),
    ("gradient", Squared(sign=-1), [-10, 0, 0, -20]),
]


@pytest.mark.parametrize(("policy", "model", "expected"), XPLIQUE)
def test_xpliques_squares(policy, model, expected):
    assert projected(model, [[5, 0, -5, 10]], policy) == [expected]


def test_innvestigates_seeds():
    """Its Gradient is seeded with one; its Deconvnet and Guided with the greatest output."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 5)).double()
    image = noise(1, 3, 10, 10)
    outputs = model(image).detach()[0]
    best = Unit("3", int(outputs.argmax()))
    for policy in ("deconvnet", "guided"):
        net = DeconvNet(model, policy)
        one = net.project(image, units=[best], seed="one")
        torch.testing.assert_close(net.project(image, units=[best]), outputs.max() * one)
        assert not torch.allclose(outputs.max() * one, one)


def test_values_that_meet_at_one_switch_add_up_before_they_are_rectified():
    """Zeiler & Fergus 2014, 2.1: unpool, then rectify; the windows [0, 2] and [2, 4] share 2."""
    image = [0.0, 1.0, 5.0, 1.0, 0.0]
    after = arriving([nn.ReLU(), nn.MaxPool1d(3, 2)], [-1.0, 2.0])
    before = arriving([nn.MaxPool1d(3, 2), nn.ReLU()], [-1.0, 2.0])
    assert projected(after, image, "deconvnet") == [0, 0, 1, 0, 0]  # max(2 - 1, 0)
    assert projected(before, image, "deconvnet") == [0, 0, 2, 0, 0]  # max(2, 0) + max(-1, 0)


def test_max_unpool_would_keep_one_of_them():
    image = torch.tensor([[[0.0, 1.0, 5.0, 1.0, 0.0]]])
    pooled, places = F.max_pool1d(image, 3, 2, return_indices=True)
    kept = F.max_unpool1d(torch.ones_like(pooled), places, 3, 2, output_size=[5])
    model = arriving([nn.MaxPool1d(3, 2)], [1.0, 1.0])
    assert kept.sum() == 1
    assert projected(model, image[0, 0], "deconvnet") == [0, 0, 2, 0, 0]
