"""Occlusion: maps in closed form of a linear net, flips of a template's class, and bad input."""

import numpy as np
import pytest
import torch
from torch import nn

import deconvnet as dn
from deconvnet import DeconvNet, Preprocessing
from deconvnet.mining.mine import mine
from deconvnet.projection import changed
from deconvnet.studies import occlusion as study
from tests.support.mined import Pictures, pictures
from tests.support.networks import noise
from tests.support.studied import IMAGES, MODEL, PREPARED, WIDTH

FILL = torch.tensor([0.3, -0.2, 0.1], dtype=torch.double)[:, None, None]
HEIGHT, SIDE_WAYS = 23, 17
PLAIN = Preprocessing((HEIGHT, SIDE_WAYS), None, (0.0,) * 3, (1.0,) * 3)


class Linear(nn.Module):
    """A filter of one pixel, of which a map is made, and two classes from the map."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 2, 1)
        self.fc = nn.Linear(2 * HEIGHT * SIDE_WAYS, 2)

    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))


def integral(weighted, size):
    """The sums of a map over squares, at every top left corner, by an integral image."""
    summed = np.pad(weighted.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    return summed[size:, size:] - summed[:-size, size:] - summed[size:, :-size] + summed[
        :-size, :-size
    ]  # fmt: skip


@pytest.fixture(scope="module")
def linear():
    model, image = Linear().double().eval(), noise(1, 3, HEIGHT, SIDE_WAYS)
    options = dict(target=1, layer="conv", channel=1, size=5, stride=2, value=(0.3, -0.2, 0.1))
    result = dn.occlusion(model, image, preprocessing=PLAIN, **options)
    with torch.no_grad():
        filters = model.conv.weight[1, :, 0, 0]
        away = image[0] - torch.tensor(options["value"], dtype=torch.double)[:, None, None]
        loss = integral((filters[:, None, None] * away).sum(0).numpy(), 5)
        total = float(model.conv(image)[0, 1].sum())
    return model, image, result, total, loss


def test_of_a_linear_net_it_is_the_whole_without_what_the_square_hides(linear):
    model, image, result, total, loss = linear
    assert result.tops.tolist() == [*range(0, 19, 2)]
    assert result.lefts.tolist() == [*range(0, 13, 2)]
    expected = total - loss[np.ix_(result.tops, result.lefts)]
    np.testing.assert_allclose(result.activation, expected, rtol=1e-10)
    assert result.without == pytest.approx(total, rel=1e-12)
    for row, column in ((0, 0), (9, 6), (3, 2)):
        hidden = image.clone()
        box = result.box(row, column)
        hidden[(0, slice(None), *box.slices)] = FILL
        scores = model(hidden)[0].detach().softmax(0)
        assert result.probability[row, column] == pytest.approx(float(scores[1]), rel=1e-10)
        assert result.likeliest[row, column] == int(scores.argmax())
    assert result.table()[0]["box"] == (0, 0, 5, 5)
    assert [len(result.table()), result.table()[-1]["box"]] == [70, (18, 12, 23, 17)]


def test_conventions_of_others_would_be_caught(linear):
    """Planted wrong: means or sums of differences over all squares on a pixel; the square alone."""
    _, _, result, total, loss = linear
    places = [(t, left) for t in result.tops for left in result.lefts]
    summed, counts = np.zeros((2, HEIGHT, SIDE_WAYS))
    for top, left in places:
        summed[top : top + 5, left : left + 5] += loss[top, left]
        counts[top : top + 5, left : left + 5] += 1
    ours = total - result.activation
    rows, columns = (centres.astype(int) for centres in result.centres)
    for wrong in (summed / counts, summed):
        assert not np.allclose(wrong[np.ix_(rows, columns)], ours, rtol=0.1)
    kept = loss[np.ix_(result.tops, result.lefts)]  # of an image of which the square alone is left
    assert not np.allclose(kept, result.activation, rtol=0.1)


class Template(nn.Module):
    """Two classes: a white square of four pixels is somewhere (0), or it is not (1)."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 4, bias=True)
        with torch.no_grad():
            self.conv.weight.fill_(1.0)
            self.conv.bias.fill_(-47.0)  # 48 pixels of 1 are there

    def forward(self, x):
        seen = torch.relu(self.conv(x)).amax((1, 2, 3))
        return torch.stack([20 * seen, 20 * (0.5 - seen)], dim=1)


def test_the_class_flips_exactly_where_the_template_is_touched():
    image = torch.zeros(3, 20, 20)
    image[:, 8:12, 5:9] = 1.0
    plain = Preprocessing((20, 20), None, (0.0,) * 3, (1.0,) * 3)
    options = dict(size=3, stride=1, value=0.0, preprocessing=plain, classes=["there", "gone"])
    result = dn.occlusion(Template().eval(), image, target="there", **options)
    tops, lefts = np.meshgrid(result.tops, result.lefts, indexing="ij")
    touched = (tops > 5) & (tops < 12) & (lefts > 2) & (lefts < 9)
    np.testing.assert_array_equal(result.likeliest, touched.astype(int))
    np.testing.assert_array_equal(result.probability > 0.5, ~touched)
    assert result.unoccluded[1] == 0
    assert result.layer == "relu"
    spread = result._spread(result.likeliest)
    assert spread[9, 7] == 1  # the middle of the square is over the template
    assert np.isnan(spread[0]).all()  # no square has its centre there


def test_defaults_are_the_strongest_map_and_the_likeliest_class():
    result = study.occlusion(MODEL, IMAGES[0], preprocessing=PREPARED)
    values = MODEL.values(IMAGES[:1])
    assert (result.layer, result.size, result.stride) == ("relu3", (3, 3), 1)
    assert result.channel == int(values["relu3"][0].sum((1, 2)).argmax())
    assert result.target == int(values["fc2"].argmax()) == result.unoccluded[1]
    grey = ((0.5 - torch.tensor(PREPARED.mean)) / torch.tensor(PREPARED.std))[:, None, None]
    hidden = IMAGES[:1].clone()
    hidden[0, :, 4:7, 2:5] = grey
    expected = float(MODEL.values(hidden)["relu3"][0, result.channel].detach().sum())
    assert result.activation[4, 2] == pytest.approx(expected, rel=1e-5)
    net = DeconvNet(MODEL)
    whole = net.project(IMAGES[:1], layer="relu3", channel=result.channel, seed="map")[0]
    np.testing.assert_allclose(result.projection, whole.permute(1, 2, 0).numpy(), rtol=1e-4)


def test_one_pass_a_position_serves_all_panels(monkeypatch):
    counted = []
    run = changed.Rerun.of
    monkeypatch.setattr(
        changed.Rerun, "of", lambda self, starts, boxes: counted.extend(starts.tolist())
        or run(self, starts, boxes)
    )  # fmt: skip
    result = study.occlusion(MODEL, IMAGES[0], preprocessing=PREPARED)
    assert len(counted) == len({tuple(one) for one in counted}) == result.activation.size


def test_a_net_that_cannot_be_run_in_part_gives_the_same(monkeypatch):
    quick = study.occlusion(MODEL, IMAGES[0], preprocessing=PREPARED)
    monkeypatch.setattr(changed.Rerun, "possible", staticmethod(lambda graph: False))
    slow = study.occlusion(MODEL, IMAGES[0], preprocessing=PREPARED)
    np.testing.assert_allclose(quick.activation, slow.activation, rtol=1e-5)
    np.testing.assert_allclose(quick.probability, slow.probability, atol=1e-6)


def test_exemplars_of_a_store_and_its_figure(tmp_path):
    data = Pictures(pictures(nan=False))
    store = mine(MODEL, data, tmp_path / "top.h5", ["relu"], 4, 4)
    options = dict(layer="relu", preprocessing=PREPARED)
    result = study.occlusion(MODEL, IMAGES[0], store=store, data=data, **options)
    assert [one.unit.channel for one in result.exemplars] == [result.channel] * len(
        result.exemplars
    )
    assert len(result.exemplars) == 4
    figure = result.figure(width=WIDTH, caption=True)
    assert figure.get_size_inches()[0] == WIDTH
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    for one in ("image", "in other", "probability", "class", "steps of 1", "3 x 3 pixels, grey"):
        assert one in words
    with pytest.raises(KeyError, match="no projections"):
        study.occlusion(MODEL, IMAGES[0], store=store, **options)
    with pytest.raises(ValueError, match="mined from another model"):
        study.occlusion(type(MODEL)(seed=3).eval(), IMAGES[0], store=store, data=data, **options)


def test_a_net_without_classes_has_no_panels_of_them():
    trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.ReLU())
    result = study.occlusion(trunk, IMAGES[0], preprocessing=PREPARED)
    assert result.probability is None
    assert len(result.figure(width=WIDTH).axes[0].images) < 6
    assert "probability" not in result.table()[0]
    with pytest.raises(ValueError, match="expected one score a class"):
        study.occlusion(trunk, IMAGES[0], target=1, preprocessing=PREPARED)
    left_out = study.occlusion(MODEL, IMAGES[0], preprocessing=PREPARED, classes=None)
    assert left_out.classes is None


BAD = {
    "larger than the image": (dict(size=15), ValueError, "size=15 was given, expected 1 to 14"),
    "no size": (dict(size=0), ValueError, "size=0 was given"),
    "no stride": (dict(stride=0), ValueError, "stride=0 was given, expected at least 1"),
    "no class": (dict(target=3), IndexError, "target=3 was given; the classes of fc2 are 0 to 2"),
    "no name": (dict(target="cat"), KeyError, "none of the class names"),
    "misspelt": (
        dict(target="rooste", classes=["rooster", "owl", "hen"]),
        KeyError,
        "nearest are rooster",
    ),
    "no layer": (dict(layer="relu9"), KeyError, "no layer is called 'relu9'"),
    "no maps": (dict(layer="fc1"), ValueError, "fc1 has no positions"),
    "no channel": (dict(channel=5), IndexError, "relu3 has no channel 5; its channels are 0 to 4"),
    "two numbers": (dict(value=(1, 2)), ValueError, "expected one finite number or 3"),
    "a word": (dict(value="white"), ValueError, "use grey, mean, or numbers"),
    "few names": (dict(classes=["a"]), ValueError, "names of classes: 1 given, expected 3"),
}


@pytest.mark.parametrize(("options", "kind", "told"), BAD.values(), ids=BAD)
def test_bad_input_is_told_before_any_work(options, kind, told, monkeypatch):
    monkeypatch.setattr(study, "covered", None)
    with pytest.raises(kind, match=told):
        study.occlusion(MODEL, IMAGES[0], preprocessing=PREPARED, **options)


def test_several_images_are_refused():
    with pytest.raises(ValueError, match="3 images given, expected one"):
        study.occlusion(MODEL, IMAGES, preprocessing=PREPARED)
