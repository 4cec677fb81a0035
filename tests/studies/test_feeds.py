"""What channels below add to a unit: gradient times activation, which sums to the unit itself."""

import numpy as np
import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Preprocessing, Unit, mine
from deconvnet.arguments import percent
from deconvnet.studies.contributions import contributions
from deconvnet.studies.facets import facets
from deconvnet.studies.feeds import feeds
from tests.support.networks import noise

SIDE = 16
PREPARED = Preprocessing((SIDE, SIDE), None, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGES = noise(5, 3, SIDE, SIDE).clamp(-1, 1).float()


class Plain(nn.Module):
    """Three layers without biases."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(3, 5, 3, padding=1, bias=False)
        self.two = nn.Conv2d(5, 6, 3, padding=1, bias=False)
        self.three = nn.Conv2d(6, 4, 3, bias=False)
        self.pool = nn.MaxPool2d(2)
        torch.manual_seed(1)
        for layer in (self.one, self.two, self.three):
            nn.init.kaiming_normal_(layer.weight)

    def forward(self, x):
        low = torch.relu(self.one(x))
        return torch.relu(self.three(self.pool(torch.relu(self.two(low)))))

    def middle(self, x):
        return torch.relu(self.two(torch.relu(self.one(x))))

    def above(self, middle):
        return torch.relu(self.three(self.pool(middle)))


MODEL = Plain().eval()


class Data(torch.utils.data.Dataset):
    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, index):
        return IMAGES[index]


def expected(model, image, channel):
    """By autograd: (channels,) what each of relu_1 adds to the strongest unit; its value."""
    middle = model.middle(image[None]).detach().requires_grad_()
    value = model.above(middle)[0, channel].max()
    (gradient,) = torch.autograd.grad(value, middle)
    return (gradient * middle).sum((0, 2, 3)).detach(), float(value.detach())


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("feeds") / "top.h5"
    return mine(MODEL, Data(), path, ["relu_2", "relu_1"], 4, 4, progress=False)


def test_it_is_the_gradient_times_the_activation():
    result = feeds(MODEL, IMAGES, Unit("relu_2", 2), at="relu_1", preprocessing=PREPARED)
    for number, image in enumerate(IMAGES):
        added, value = expected(MODEL, image, 2)
        np.testing.assert_allclose(result.added[number], added, rtol=1e-4, atol=1e-6)
        assert result.activations[number] == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(result.added.sum(1), result.activations, rtol=1e-4)
    assert result.shares.sum() == pytest.approx(1, rel=1e-4)
    mean = np.abs(result.added.mean(0))
    assert list(result.channels) == np.argsort(-mean)[: len(result.channels)].tolist()


@pytest.mark.parametrize("rectifier", ["deconvnet", "guided"])
def test_the_rule_of_the_projections_changes_nothing_of_the_shares(rectifier):
    net = DeconvNet(MODEL, rectifier)
    result = feeds(net, IMAGES, Unit("relu_2", 2), at="relu_1", preprocessing=PREPARED)
    assert result.rectifier == rectifier
    assert result.shares.sum() == pytest.approx(1, rel=1e-4)


def test_the_law_catches_the_rule_of_the_projections(monkeypatch):
    """Planted: the signal is that of the policy, whose sum is not the unit."""
    monkeypatch.setattr(DeconvNet, "with_rectifier", lambda net, rule: net)
    made = contributions(DeconvNet(MODEL, "deconvnet"), IMAGES, [Unit("relu_2", 2)], "relu")
    assert abs(made.sums.sum() / made.activations[0] - 1) > 0.05


def test_a_place_is_where_the_channel_adds_or_takes_most():
    net = DeconvNet(MODEL, "gradient")
    made = contributions(net, IMAGES, [Unit("relu_2", 2, image=3)], "relu_1")
    middle = MODEL.middle(IMAGES[3:4]).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(MODEL.above(middle)[0, 2].max(), middle)
    for channel, added in enumerate((gradient * middle)[0]):
        place = np.unravel_index(int(added.abs().argmax()), added.shape)
        assert made.lower(0, channel) == Unit("relu_1", channel, *map(int, place), image=3)


def test_of_a_store_the_mined_images_are_taken(store):
    result = feeds(None, store, Unit("relu_2", 2), at="relu_1", preprocessing=PREPARED)
    table = store["relu_2"]
    assert list(result.images) == table.image[2][table.has_picture[2]].tolist()
    for number, index in enumerate(result.images):
        added, _ = expected(MODEL, IMAGES[index], 2)
        np.testing.assert_allclose(result.added[number], added, rtol=1e-4, atol=1e-6)
    for channel, those in result.channels.items():
        mined = store["relu_1"].image[channel][store["relu_1"].has_picture[channel]].tolist()
        assert [one.unit.image for one in those] == mined
    assert not result.exemplars
    other = feeds(None, store, Unit("relu_2", 2), at="relu", preprocessing=PREPARED)  # not mined
    assert [one.unit.image for one in other.exemplars] == list(other.images)
    assert {one.unit.layer for those in other.channels.values() for one in those} == {"relu"}
    assert {one.unit.image for one in next(iter(other.channels.values()))} <= set(result.images)


def test_figure_and_table():
    unit = Unit("relu_2", 2, 1, 1)
    result = feeds(MODEL, IMAGES, unit, at="relu_1", channels=3, preprocessing=PREPARED)
    assert result.unit == unit
    figure = result.figure(title="fed", caption=True)
    words = [text.get_text() for text in figure.axes[0].texts]
    channel = next(iter(result.channels))
    assert {"patch", "relu_2:2@1,1", f"relu_1:{channel}"} <= set(words)
    assert percent(result.shares[channel], sign=True).replace("-", "−") in words
    assert "mean of 5 images" in " ".join(words)
    assert "all channels add 100 %" in " ".join(words)
    patches = [image for image in figure.axes[0].images if image.get_extent()[0] == 0]
    assert len(patches) == len(IMAGES), "each once, not once a channel"
    rows = result.table()
    assert [row["channel"] for row in rows] == [f"relu_1:{c}" for c in result.channels]
    assert rows[0]["share"] == pytest.approx(result.shares[channel])


@pytest.mark.parametrize("progress", [True, False])
def test_a_bar_is_shown_unless_it_is_switched_off(store, monkeypatch, capsys, progress):
    monkeypatch.setattr("deconvnet.mining.progress.DELAY", 0.0)
    how = {"preprocessing": PREPARED, "progress": progress}
    feeds(None, store, Unit("relu_2", 2), at="relu", **how)
    facets(store, Unit("relu_2", 2), at="relu", **how)
    bars = [word in capsys.readouterr().err for word in ("projecting",)]
    assert all(bars) == progress


def test_bad_input(store, monkeypatch):
    unit = Unit("relu_2", 2)
    with pytest.raises(ValueError, match="relu_2 is not below relu_1,"):
        feeds(MODEL, IMAGES, Unit("relu_1", 2), at="relu_2", preprocessing=PREPARED)
    with pytest.raises(ValueError, match="at='relu_2' is the layer of the unit itself"):
        feeds(MODEL, IMAGES, unit, at="relu_2", preprocessing=PREPARED)
    with pytest.raises(ValueError, match="is 0 in all of these images"):
        feeds(MODEL, 0 * IMAGES, unit, at="relu", preprocessing=PREPARED)
    with pytest.raises(TypeError, match="no net was given with these images"):
        feeds(None, IMAGES, unit, at="relu")
    with pytest.raises(IndexError, match="relu_2 has no channel 9"):
        feeds(None, store, Unit("relu_2", 9), at="relu", preprocessing=PREPARED)
