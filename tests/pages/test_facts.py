"""The numbers of an atlas, against plain NumPy."""

import numpy as np
import pytest

from deconvnet import open_store
from deconvnet.pages import facts
from deconvnet.pages.facts import alike, histogram, strengths
from tests.support.sampled import sampled


def test_histograms_hold_every_value():
    values = np.array([0, 0, 1, 2, 2, 5, np.nan, np.inf])
    told = histogram(values)
    assert (told["n"], told["zeros"], told["low"], told["high"]) == (6, 2, 1, 5)
    assert sum(told["bins"]) == 4
    assert told["bins"][0] == 1
    assert max(told["bins"]) == 2
    assert histogram(np.array([np.nan])) is None
    assert histogram(np.zeros(3)) == {"n": 3, "zeros": 3, "low": 0, "high": 0, "bins": []}
    assert histogram(np.array([7.0, 7.0]))["bins"] == [2]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    random = np.random.default_rng(0)
    values = random.random((40, 30)).astype("f4")
    values[3], values[7] = values[5] * 2, 1 - values[5]
    values[9] = 0.5  # constant
    values[11, 4] = np.nan
    return sampled(tmp_path_factory.mktemp("facts") / "top.h5", values)


@pytest.mark.parametrize("at_once", [2**22, 80, 1])
def test_channels_alike_are_those_of_corrcoef(store, at_once, monkeypatch):
    monkeypatch.setattr(facts, "_AT_ONCE", at_once)
    sample = store["relu"].sample
    values = sample.activation.astype(float)[:, np.isfinite(sample.activation).all(0)]
    with np.errstate(invalid="ignore"):
        expected = np.corrcoef(values)
    told = list(alike(sample))
    assert len(told) == 40
    assert told[9] == ([], [])
    for channel, (near, opposite) in enumerate(told):
        if channel == 9:
            continue
        row = expected[channel].copy()
        row[channel] = np.nan
        above, below = np.sort(row[row > 0])[::-1], np.sort(row[row < 0])
        for some, best in ((near, above[: facts.NEAR]), (opposite, below[: facts.OPPOSITE])):
            np.testing.assert_allclose([r for _, r in some], best, atol=1e-12)
            np.testing.assert_allclose(row[[c for c, _ in some]], best, atol=1e-12)
    assert told[5][0][0] == (3, pytest.approx(1))
    assert told[5][1][0] == (7, pytest.approx(-1))


LACKING = [[np.nan, np.nan, 1, 2], [1, 2, np.nan, np.nan], [1, 2, 3, 4]]


@pytest.mark.parametrize("values", [[[1, 2], [3, 5], [4, 4]], LACKING])
def test_of_less_than_three_images_no_correlation_is_told(tmp_path, values):
    sample = sampled(tmp_path / "top.h5", values)["relu"].sample
    assert list(alike(sample)) == 3 * [([], [])]


def test_strengths_of_dead_units_are_none(tmp_path):
    values = np.array([[0, 0, 0], [1, 2, 3], [-1, -2, -3]])
    sampled(tmp_path / "top.h5", values)
    assert strengths(open_store(tmp_path / "top.h5")["relu"]) == [None, 3.0, None]
