"""Channels that respond alike stand side by side; equal and opposite ones are found."""

import h5py
import numpy as np
import pytest

from deconvnet.store.store import open_store
from deconvnet.studies.similarity import ordered, similarity
from tests.support.sampled import sampled

RANDOM = np.random.default_rng(5)
N = 40


def planted():
    """Twelve channels: 9 is twice channel 2 plus 1, 5 falls where 7 rises, 4 is always 0."""
    values = RANDOM.normal(size=(12, N))
    values[9] = 2 * values[2] + 1
    values[5] = 3 - values[7]
    values[4] = 0
    return values.astype("f4")


@pytest.fixture
def store(tmp_path):
    return sampled(tmp_path / "s.h5", planted(), random_state=3)


def test_planted_pairs_are_found(store):
    result = similarity(store, "relu", pairs=2)
    assert result.similar[0][:2] == (2, 9)
    assert result.similar[0][2] == pytest.approx(1, abs=1e-6)
    assert result.opposite[0][:2] == (5, 7)
    assert result.opposite[0][2] == pytest.approx(-1, abs=1e-6)
    assert abs(result.similar[1][2]) < 0.7
    assert result.constant == (4,)
    assert (result.n, result.random_state) == (N, 3)


def test_every_value_is_the_correlation_of_two_channels(store):
    result, values = similarity(store.path, "relu"), store["relu"].sample.activation
    assert sorted((*result.channels, *result.constant)) == list(range(12))
    for i, one in enumerate(result.channels):
        for j, other in enumerate(result.channels):
            a, b = (values[c].astype("f8") - values[c].mean(dtype="f8") for c in (one, other))
            expected = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
            assert result.correlation[i, j] == pytest.approx(expected, abs=1e-9)


def test_similar_channels_stand_side_by_side(tmp_path):
    """Three families of channels, shuffled: in the order of the matrix each is in one piece."""
    families = np.repeat(RANDOM.normal(size=(3, N)), 4, axis=0)
    shuffled = RANDOM.permutation(12)
    values = (families + 0.1 * RANDOM.normal(size=(12, N)))[shuffled]
    result = similarity(sampled(tmp_path / "s.h5", values), "relu")
    kinds = [shuffled[channel] // 4 for channel in result.channels]
    assert sum(a != b for a, b in zip(kinds, kinds[1:], strict=False)) == 2


def test_the_order_is_a_permutation_even_of_equal_channels():
    assert sorted(ordered(np.ones((5, 5))).tolist()) == [0, 1, 2, 3, 4]


def test_images_with_nan_and_empty_slots_are_left_out(tmp_path):
    values = planted()
    values[3, 7] = np.nan
    result = similarity(sampled(tmp_path / "s.h5", values), "relu", pairs=1)
    assert result.n == N - 1
    assert result.similar[0][:2] == (2, 9)


def test_a_sample_that_differs_between_channels_is_refused(tmp_path):
    """Planted: each channel has images of its own, which no correlation can be taken of."""
    with pytest.raises(ValueError, match=r"image is int64 \(12, 40\), expected int64 \(40,\)"):
        sampled(tmp_path / "s.h5", planted(), image=np.tile(np.arange(N), (12, 1)))
    path = sampled(tmp_path / "s.h5", planted()).path
    with h5py.File(path, "a") as file:
        del file["sample/image"]
        file["sample/image"] = np.tile(np.arange(N), (12, 1))
    with pytest.raises(ValueError, match="cannot be opened as a store"):
        open_store(path)


def test_shuffled_images_would_be_caught(tmp_path):
    """Planted: the images of channel 9 are in another order, and its likeness to 2 is gone."""
    values = planted()
    values[9] = RANDOM.permutation(values[9])
    result = similarity(sampled(tmp_path / "s.h5", values), "relu", pairs=1)
    assert result.similar[0][:2] != (2, 9)
    assert result.similar[0][2] < 0.8


def test_figure_and_table(store, tmp_path):
    result = similarity(store, "relu", pairs=3)
    figure = result.figure(title="relu", caption=True)
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert "2, 9" in words
    assert "+1.00" in words
    assert "−1.00" in words
    assert "over 40 images" in words
    assert "random_state 3" in words
    assert "left out: 1 channel constant in them" in words
    rows = result.table()
    assert [row["kind"] for row in rows] == 3 * ["similar"] + 3 * ["opposite"]
    assert rows[0]["pair"] == "relu:2,9"
    assert result.save(tmp_path / "s.png").stat().st_size > 1000


def test_bad_input(tmp_path, store):
    with pytest.raises(KeyError, match="conv9"):
        similarity(store, "conv9")
    with pytest.raises(ValueError, match="0 of the channels of relu vary over the sample"):
        similarity(sampled(tmp_path / "flat.h5", np.ones((3, 9))), "relu")
    with pytest.raises(ValueError, match="2 images of the sample can be compared"):
        similarity(sampled(tmp_path / "few.h5", RANDOM.normal(size=(3, 2))), "relu")
