import re

import numpy as np
import pytest

from deconvnet.figures import RULE, scale, signed
from deconvnet.figures.canvas import contrast


def values(seed=0, shape=(12, 10, 3)):
    return np.random.default_rng(seed).normal(size=shape)


def zero_is_grey(rule):
    projection = values()
    projection[3:5, 2:7] = 0.0
    return np.all(rule(projection)[3:5, 2:7] == 0.5)


def sign_is_kept(rule):
    projection = values()
    return np.array_equal(np.sign(rule(projection) - 0.5), np.sign(projection))


def stretched(projection):
    """The tempting wrong rule: from the smallest value to the largest."""
    return (projection - projection.min()) / np.ptp(projection)


def magnitude(projection):
    return 0.5 + 0.5 * np.abs(projection) / np.abs(projection).max()


def test_zero_is_exactly_mid_grey():
    assert zero_is_grey(signed)
    assert not zero_is_grey(stretched)


def test_the_sign_is_kept():
    assert sign_is_kept(signed)
    assert not sign_is_kept(stretched)
    assert not sign_is_kept(magnitude)


def test_against_the_rule_written_out_slowly():
    projection = values(1)
    scale = sorted(np.abs(projection).ravel())[int(0.5 * 359)]  # the lower of the two middle ones
    picture = signed(projection, quantile=179 / 359)
    for place in np.ndindex(projection.shape):
        expected = 0.5 + 0.5 * max(-1.0, min(1.0, projection[place] / scale))
        assert picture[place] == pytest.approx(expected, abs=1e-12)


def test_scale_does_not_show():
    np.testing.assert_allclose(signed(values()), signed(1e-6 * values()), atol=1e-12)
    assert not np.allclose(signed(values()), signed(values() + 0.2), atol=1e-3)  # but shifts do


def test_an_outlier_does_not_darken_the_rest():
    projection = values(shape=(40, 40, 3))
    spiked = projection.copy()
    spiked[0, 0, 0] = 1e6
    assert np.abs(signed(spiked) - signed(projection))[1:].max() < 0.02
    assert np.abs(signed(spiked, quantile=1.0) - signed(projection))[1:].max() > 0.4


@pytest.mark.parametrize("shape", [(7, 9, 3), (7, 9, 1), (7, 9)])
def test_all_zero_is_plain_grey(shape):
    assert np.array_equal(signed(np.zeros(shape)), np.full((7, 9, 3), 0.5))


def test_one_channel_is_repeated():
    picture = signed(values(shape=(5, 6, 1)))
    assert picture.shape == (5, 6, 3)
    assert np.all(picture == picture[:, :, :1])


def neon(picture):
    """The share of the field's values that are drawn as black or white, in one colour."""
    return float(np.mean(np.isin(picture, (0.0, 1.0))))


@pytest.mark.parametrize("place", [(0, 0), (30, 50), (88, 90)])
def test_a_projection_looks_the_same_in_its_crop_and_in_a_large_image(place):
    """Compared and visualized, a unit has one look; a quantile over the image makes it neon."""
    crop = values(2)
    whole = np.zeros((100, 100, 3))
    field = (slice(place[0], place[0] + 12), slice(place[1], place[1] + 10))
    whole[field] = crop
    assert np.array_equal(signed(whole)[field], signed(crop))
    assert neon(signed(whole)[field]) <= 0.01
    over_all = np.clip(crop / np.quantile(np.abs(whole), 0.9905), -1, 1)  # the planted wrong rule
    assert neon(0.5 + 0.5 * over_all) > 0.5


def test_a_video_has_one_scale():
    clip = np.zeros((4, 9, 9, 3))
    clip[1, 2:4, 3:5] = np.arange(12).reshape(2, 2, 3)
    assert scale(clip) == pytest.approx(np.quantile(np.arange(12), 0.995))
    assert scale(np.zeros((4, 9, 9, 3))) == 0.0


def test_a_few_values_far_apart_are_seen():
    projection = np.zeros((100, 100, 3))
    projection[0, 0, 0], projection[99, 99, 0] = 3.0, -3.0
    assert signed(projection)[[0, 99], [0, 99], 0].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_the_largest_values_do_not_overflow(kind):
    projection = np.array([[-np.finfo(kind).max, 0.0, np.finfo(kind).tiny]], dtype=kind)
    assert signed(projection)[0, :, 0].tolist() == pytest.approx([0.0, 0.5, 0.5])


def test_the_rule_names_the_quantile():
    assert re.search(rf"{100 * contrast.QUANTILE:g} % quantile", RULE)


@pytest.mark.parametrize("shape", [(3, 8, 8), (8, 8, 4), (8,), (1, 8, 8, 3), (0, 8, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=re.escape(str(shape)) + ".*expected.*channels last"):
        signed(np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value):
    projection = values()
    projection[0, 0, 0] = value
    with pytest.raises(ValueError, match="1 values that are not finite"):
        signed(projection)


@pytest.mark.parametrize("quantile", [0.0, 1.01, np.nan])
def test_quantiles_out_of_range_are_refused(quantile):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        signed(values(), quantile=quantile)
