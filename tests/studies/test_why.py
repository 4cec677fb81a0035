"""Why: contributions sum to the margin, a planted watermark comes first, covering it rescues."""

import numpy as np
import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Preprocessing, why
from deconvnet.mining.mine import mine
from tests.support.mined import Pictures, pictures
from tests.support.studied import IMAGES, MODEL, PREPARED, WIDTH

LIKELIEST = int(MODEL(IMAGES[:1]).argmax())
OTHERS = [one for one in range(3) if one != LIKELIEST]


@pytest.mark.parametrize("true", OTHERS)
def test_at_the_last_hidden_layer_contributions_and_biases_sum_to_the_margin(true):
    result = why(MODEL, IMAGES[0], true=true, layer="relu_1", preprocessing=PREPARED)
    scores = MODEL(IMAGES[:1])[0].detach()
    assert result.predicted == LIKELIEST
    assert result.margin == pytest.approx(float(scores[LIKELIEST] - scores[true]), rel=1e-5)
    bias = MODEL.fc2.bias.detach()
    total = result.speaks.sum() + float(bias[LIKELIEST] - bias[true])
    assert total == pytest.approx(result.margin, rel=1e-4)
    values = MODEL.values(IMAGES[:1])["relu_1"][0].detach()
    weights = MODEL.fc2.weight.detach()
    expected = (weights[LIKELIEST] - weights[true]) * values
    np.testing.assert_allclose(result.speaks, expected, rtol=1e-4, atol=1e-4)
    shares = scores.softmax(0)  # planted wrong: the margin of the posteriors
    assert float(shares[LIKELIEST] - shares[true]) != pytest.approx(result.margin, rel=0.1)


def test_a_difference_is_drawn_under_the_gradient_alone():
    gradient = why(DeconvNet(MODEL, "gradient"), IMAGES[0], true=OTHERS[0], preprocessing=PREPARED)
    image = IMAGES[:1].clone().requires_grad_(True)
    scores = MODEL(image)[0]
    (slope,) = torch.autograd.grad(scores[LIKELIEST] - scores[OTHERS[0]], image)
    expected = slope[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(gradient.maps["difference"], expected, rtol=1e-3, atol=1e-3)
    guided = why(DeconvNet(MODEL, "guided"), IMAGES[0], true=OTHERS[0], preprocessing=PREPARED)
    assert list(guided.maps) == ["predicted", "true"]


SIZE = 20
PLAIN = Preprocessing((SIZE, SIZE), None, (0.0,) * 3, (1.0,) * 3)


class Watermarked(nn.Module):
    """Class 0 has much red; a green corner of two pixels speaks for class 1, which it is not."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 2)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.bias.zero_()
            self.conv.weight[0, 0], self.conv.weight[1, 1], self.conv.weight[2, 2] = 0.25, 1.0, 0.25
        self.relu = nn.ReLU()
        self.fc = nn.Linear(3, 2, bias=False)
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([[2.0, 0.0, 0.1], [0.0, 2.0, 0.1]]))

    def forward(self, x):
        return self.fc(self.relu(self.conv(x)).amax((2, 3)))


def marked():
    image = torch.zeros(3, SIZE, SIZE)
    image[0], image[2] = 0.9, 0.2
    image[1, 14:16, 3:5] = 1.0
    return image


def test_a_planted_watermark_comes_first_and_covering_it_rescues_the_class():
    result = why(
        Watermarked(), marked(), true="red", value=0.0, preprocessing=PLAIN, classes=["red", "mark"]
    )
    assert (result.predicted, result.known) == (1, ("red", "mark"))
    assert result.units[0].unit.channel == 1
    assert result.units[0].unit.position == (14, 3)
    assert [one.unit.channel for one in result.units] == [1, 0]
    tops, lefts = result.places.T
    hidden = (tops <= 14) & (tops + result.side >= 16) & (lefts <= 3) & (lefts + result.side >= 5)
    assert result.rescued[hidden].all()
    apart = (tops + result.side <= 14) | (lefts >= 5)
    assert not result.rescued[apart].any()
    top, left, bottom, right = result.best.edges
    assert top <= 14
    assert bottom >= 16
    assert left <= 3
    assert right >= 5


def test_exemplars_of_a_store_and_its_figure(tmp_path):
    data = Pictures(pictures(nan=False))
    store = mine(MODEL, data, tmp_path / "top.h5", ["relu3"], 4, 4)
    result = why(MODEL, IMAGES[0], true=OTHERS[0], store=store, data=data, preprocessing=PREPARED)
    assert set(result.exemplars) == {one.unit.channel for one in result.units}
    figure = result.figure(width=WIDTH, caption=True)
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    for one in (f"class {LIKELIEST}", f"class {OTHERS[0]}", "probability of", "relu3:", "margin"):
        assert one in words
    assert len(result.table()) == len(result.units)
    assert result.table()[0]["adds"] == result.speaks[result.units[0].unit.channel]


BAD = {
    "the same": (dict(true=LIKELIEST), ValueError, "the predicted class is the true one"),
    "no class": (dict(true=3), IndexError, "true=3 was given; the classes of fc2 are 0 to 2"),
    "no other": (dict(true=0, predicted=9), IndexError, "predicted=9 was given"),
    "no layer": (dict(true=OTHERS[0], layer="relu9"), KeyError, "no layer is called 'relu9'"),
    "a word": (dict(true=OTHERS[0], value="white"), ValueError, "use grey, mean, or numbers"),
}


@pytest.mark.parametrize(("options", "kind", "told"), BAD.values(), ids=BAD)
def test_bad_input_is_told_before_any_work(options, kind, told, monkeypatch):
    monkeypatch.setattr("deconvnet.studies.why.covered", None)
    with pytest.raises(kind, match=told):
        why(MODEL, IMAGES[0], preprocessing=PREPARED, **options)
    with pytest.raises(ValueError, match="given, expected one"):
        why(MODEL, IMAGES, true=OTHERS[0], preprocessing=PREPARED)
