"""From the lowest images over quantiles of the sample to the strongest, beside the histogram."""

import numpy as np
import pytest
import torch

from deconvnet import DeconvNet, mine
from deconvnet.studies.spectrum import QUANTILES, WITHOUT_LOWEST, spectrum
from tests.studies.test_feeds import PREPARED, SIDE, Plain
from tests.support.networks import noise

COUNT = 31
IMAGES = noise(COUNT, 3, SIDE, SIDE, seed=4).clamp(-1, 1).float()
MODEL = Plain().eval()
NAMES = ["lowest", "lowest", "10 %", "30 %", "50 %", "70 %", "90 %", "strongest", "strongest"]


class Data(torch.utils.data.Dataset):
    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        return IMAGES[index]


def mined(path, **how):
    return mine(MODEL, Data(), path, ["relu_2"], 4, 4, progress=False, random_state=3, **how)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return mined(tmp_path_factory.mktemp("s") / "top.h5", lowest=3, sample=20)


def made(store, **how):
    return spectrum(store, "relu_2", [2, 0], preprocessing=PREPARED, **how)


def values(channel):
    """Before and after the rectifier: (images, rows, cols)."""
    with torch.no_grad():
        before = MODEL.three(MODEL.pool(MODEL.middle(IMAGES)))[:, channel]
    return before.numpy(), before.clamp(min=0).numpy()


def test_the_nine_are_the_lowest_the_quantiles_and_the_strongest(store):
    result = made(store)
    assert (result.n, result.random_state, result.rank) == (20, 3, "maximum")
    assert list(result.channels) == [2, 0]
    drawn = store["relu_2"].sample.image
    for channel, row in result.channels.items():
        before, after = values(channel)
        maxima, minima = after.max((1, 2)), before.min((1, 2))
        sample = np.sort(maxima[drawn])
        ranked = [sample[round(q * 19)] for q in QUANTILES]
        expected = [*np.sort(minima)[:2], *ranked, *np.sort(maxima)[-2:]]
        found = [one.activation for one in row.exemplars]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        assert list(row.names) == NAMES
        np.testing.assert_allclose(np.sort(row.sample), sample, rtol=1e-4, atol=1e-6)
        assert row.zero == pytest.approx((sample == 0).mean())
        for one in row.exemplars:
            maps = (before if one.activation < 0 else after)[one.unit.image]
            assert one.activation == pytest.approx(float(maps[one.unit.position]), rel=1e-4)
        assert {one.unit.layer for one in row.exemplars[:2]} == {result.lowest_of} == {"three"}
        assert (row.exemplars[0].projection != 0).any()


def test_a_projection_of_a_negative_activation_has_a_negative_seed(store):
    net = DeconvNet(MODEL, "gradient")
    (row, _) = made(store, net=net, data=Data()).channels.values()
    lowest = row.exemplars[0]
    image = IMAGES[lowest.unit.image][None].clone().requires_grad_()
    value = MODEL.three(MODEL.pool(MODEL.middle(image)))[(0, 2, *lowest.unit.position)]
    (gradient,) = torch.autograd.grad(value * value.detach(), image)
    inside = gradient[0].permute(1, 2, 0)[lowest.box.slices]
    np.testing.assert_allclose(lowest.projection, inside, rtol=1e-3, atol=1e-5)


def test_without_lowest_images_the_sample_gives_them(tmp_path):
    result = made(mined(tmp_path / "s.h5", sample=12))
    row = result.channels[2]
    assert result.lowest_of == ""
    assert len(row.exemplars) == len(WITHOUT_LOWEST) + 2 == 9
    assert row.names[0] == "0 %"
    assert row.exemplars[0].activation == pytest.approx(row.sample.min())
    assert row.exemplars[6].activation == pytest.approx(row.sample.max())


def test_by_the_mean(tmp_path):
    result = made(mined(tmp_path / "s.h5", sample=12, lowest=2, rank="mean"))
    _, after = values(2)
    means = after.mean((1, 2))
    assert result.rank == "mean"
    found = [one.activation for one in result.channels[2].exemplars]
    np.testing.assert_allclose(found[-2:], np.sort(means)[-2:], rtol=1e-4)


def test_the_law_catches_a_quantile_of_the_strongest(store, monkeypatch):
    """Planted: quantiles are taken of the images that were kept, not of the sample."""
    import deconvnet.studies.spectrum as study

    was = study._drawn
    monkeypatch.setattr(
        study, "_drawn",
        lambda table, sample, channel: {**was(table, sample, channel), "sample": [0, 0, 1, 2, 3]},
    )  # fmt: skip
    found = [one.activation for one in made(store).channels[2].exemplars]
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(found, sorted(found))


def test_figure_and_table(store, tmp_path):
    result = made(store)
    figure = result.figure(title="relu_2", caption=True)
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    for told in (
        "channel 2",
        "n = 20 images",
        "random_state 3",
        "strongest",
        "holds the unit down",
    ):
        assert told in words
    rows = result.table()
    assert [row["at"] for row in rows] == 2 * NAMES
    assert rows[0]["unit"].startswith("three:2@")
    assert result.save(tmp_path / "s.pdf").stat().st_size > 1000


def test_bad_input(store, tmp_path):
    without = mine(MODEL, Data(), tmp_path / "n.h5", ["relu_2"], 4, 4, progress=False)
    with pytest.raises(ValueError, match="holds no sample of relu_2; mine again.*--sample 256"):
        made(without)
    with pytest.raises(IndexError, match="relu_2 has no channel 9"):
        spectrum(store, "relu_2", 9, preprocessing=PREPARED)
