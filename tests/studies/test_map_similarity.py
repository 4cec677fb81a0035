"""Measures of maps: the values of SciPy and scikit-image, and closed forms."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from skimage.feature import hog
from skimage.metrics import structural_similarity

from deconvnet.studies.map_similarity import (
    MEASURES,
    cell_of,
    entropy,
    mean_and_band,
    mean_cosine,
    rise,
    similarities,
    ssim,
    ssim_of_either_sign,
    views,
)

DRAWN = np.random.default_rng(0)
ONE, OTHER = DRAWN.standard_normal((2, 3, 52, 49)) ** 3
OTHER = 0.5 * ONE + OTHER


def scaled(values):
    return (values - values.min()) / (values.max() - values.min())


def test_on_raw_arrays_they_are_those_of_scipy_and_scikit_image():
    made = similarities(views(ONE), views(OTHER))
    one, other = ONE.sum(0), OTHER.sum(0)
    expected = {
        "spearman": spearmanr(one.ravel(), other.ravel())[0],
        "absolute spearman": spearmanr(np.abs(ONE).sum(0).ravel(), np.abs(OTHER).sum(0).ravel())[0],
        "ssim": structural_similarity(scaled(one), scaled(other), win_size=5, data_range=1.0),
        "hog": spearmanr(*(hog(scaled(each), pixels_per_cell=(16, 16)) for each in (one, other)))[
            0
        ],
    }
    assert list(made) == list(MEASURES) == list(expected)
    for name, value in expected.items():
        assert made[name] == pytest.approx(value, abs=1e-12), name
        assert 0.05 < value < 0.95, "and they are no extremes"


def test_ssim_of_flattened_maps_would_be_caught():
    """Planted wrong: Quantus compares windows of one dimension."""
    one, other = scaled(ONE.sum(0)), scaled(OTHER.sum(0))
    flat = structural_similarity(one.ravel(), other.ravel(), win_size=5, data_range=1.0)
    assert abs(ssim(one, other) - flat) > 1e-3


def test_a_sign_is_seen_by_the_signed_measure_alone():
    made = similarities(views(ONE), views(-ONE))
    assert made["spearman"] == pytest.approx(-1)
    assert made["absolute spearman"] == pytest.approx(1)


def test_maps_of_one_value_have_no_ranks():
    made = similarities(views(np.ones((1, 20, 20))), views(np.ones((1, 20, 20))))
    assert [name for name, value in made.items() if np.isnan(value)] == [
        "spearman", "absolute spearman", "hog",
    ]  # fmt: skip
    assert made["ssim"] == 1


@pytest.mark.parametrize("side", [1, 3, 4, 6, 28])
def test_small_maps(side):
    one, other = np.random.default_rng(1).standard_normal((2, 2, side, side))
    made = similarities(views(one), views(other))
    assert np.isnan(made["ssim"]) == (side < 5)
    assert cell_of((side, side)) == {28: 9, 6: 2}.get(side, 1)


def test_the_entropy_of_a_constant_is_0_and_of_uniform_bins_ln_100():
    assert entropy(np.full((30, 30), 2.5)) == 0
    uniform = np.arange(1000.0)
    assert entropy(uniform) == pytest.approx(np.log(100), abs=1e-12)
    assert np.log(100) == pytest.approx(4.605, abs=1e-3)
    assert entropy(1e-6 * uniform - 3) == pytest.approx(np.log(100)), "whatever the scale"
    assert entropy(np.r_[uniform, 1e6]) < 0.1
    assert rise(2.0, 3.0) == 0.5
    assert np.isnan(rise(0.0, 3.0))


def test_random_logit_takes_the_better_sign_and_clips():
    one, other = ONE.sum(0), OTHER.sum(0)

    def clipped(values):
        most = np.percentile(np.abs(values), 99.5)
        return (np.clip(values, -most, most) / most + 1) / 2

    both = [
        structural_similarity(clipped(one), clipped(sign * other), win_size=5, data_range=1.0)
        for sign in (1, -1)
    ]
    assert ssim_of_either_sign(one, other) == pytest.approx(max(both), abs=1e-12)
    assert ssim_of_either_sign(one, -other) == pytest.approx(max(both), abs=1e-12)
    assert ssim_of_either_sign(one, -one) == pytest.approx(1)
    assert min(both) < max(both) - 0.05
    spoiled = one.copy()
    spoiled[0, 0] = 1e9
    assert ssim_of_either_sign(one, spoiled) > 0.9, "one outlier changes nothing elsewhere"
    assert np.isnan(ssim_of_either_sign(one, 0 * one))


def test_the_cosine_is_1_after_a_rank_1_layer_and_unchanged_after_an_orthogonal_one():
    vectors = DRAWN.standard_normal((5, 40))
    turned, _ = np.linalg.qr(DRAWN.standard_normal((40, 40)))
    rank_1 = np.outer(DRAWN.standard_normal(40), DRAWN.standard_normal(40))
    before = mean_cosine(vectors)
    assert mean_cosine(vectors @ turned) == pytest.approx(before, abs=1e-12)
    assert mean_cosine(vectors @ rank_1) == pytest.approx(1, abs=1e-12)
    assert before < 0.3
    half = np.r_[vectors[:1], np.zeros((4, 40))]
    assert np.isnan(mean_cosine(half))
    pairs = np.corrcoef(vectors - vectors.mean(1, keepdims=True))
    centred = mean_cosine(vectors - vectors.mean(1, keepdims=True))
    assert centred == pytest.approx(np.abs(pairs[np.triu_indices(5, 1)]).mean(), abs=1e-12)


def test_bands_cover_the_mean_as_often_as_they_say():
    drawn = np.random.default_rng(2).standard_normal((2000, 8))
    bands = np.array([mean_and_band(row) for row in drawn])
    inside = np.mean((bands[:, 1] <= 0) & (bands[:, 2] >= 0))
    assert 0.93 < inside < 0.97
    normal = 1.96 * drawn.std(1, ddof=1) / np.sqrt(8)
    assert np.mean(np.abs(drawn.mean(1)) <= normal) < 0.925, "planted: a normal interval"
    mean, low, high = mean_and_band(np.array([2.0, np.nan]))
    assert (mean, np.isnan(low), np.isnan(high)) == (2.0, True, True)
    assert all(map(np.isnan, mean_and_band(np.array([np.nan]))))


def test_no_band_is_wider_than_what_values_can_be():
    few = np.array([0.2, 0.9])
    assert mean_and_band(few)[2] > 1
    assert mean_and_band(few, within=(-1, 1)) == (pytest.approx(0.55), -1, 1)
    close = np.array([0.5, 0.51, 0.52])
    assert mean_and_band(close, within=(-1, 1)) == mean_and_band(close)
