"""Correlations in colours, in their order, and pairs in words."""

import numpy as np
import pytest

from deconvnet.figures import png
from deconvnet.figures.similarity_matrix import similarity_matrix

MATRIX = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.5], [0.0, 0.5, 1.0]])
PAIRS = {"most similar": [(1, 2, 0.5)], "most opposite": [(0, 1, -1.0)]}


def test_every_cell_has_its_colour():
    figure = similarity_matrix(MATRIX, PAIRS, width=5.0)
    cells = figure.axes[0].images[0].get_array()
    size = cells.shape[0] // 3
    shades = cells[size // 2 :: size, size // 2 :: size].astype(int)
    assert (shades[0, 0] == shades[1, 1]).all()
    assert shades[0, 0, 0] > shades[0, 0, 2]  # red
    assert shades[0, 1, 2] > shades[0, 1, 0]  # blue
    assert shades[0, 2].min() > 240  # white
    assert (shades == shades.transpose(1, 0, 2)).all()


def test_words():
    figure = similarity_matrix(MATRIX, PAIRS, width=5.0, title="relu4", caption="Told")
    words = [text.get_text() for text in figure.axes[0].texts]
    assert {"relu4", "most similar", "1, 2", "+0.500", "0, 1", "−1.00"} <= set(words)
    assert "Told. Blue is −1, white 0, red 1." in words
    assert png(figure).startswith(b"\x89PNG")


def many(count=60):
    values = np.corrcoef(np.random.default_rng(0).normal(size=(count, 90)))
    return np.clip(values, -1, 1), list(np.random.default_rng(1).permutation(200)[:count])


@pytest.mark.parametrize("width", ["cvpr", "89mm", "cvpr-full"])
@pytest.mark.parametrize("pairs", [1, 12])
def test_lists_never_overlap_the_matrix_or_each_other(faults, width, pairs):
    values, channels = many()
    told = {name: [(140, 159, -0.0123)] * pairs for name in ("most similar", "most opposite")}
    figure = similarity_matrix(values, told, channels=channels, width=width, caption="told")
    assert faults(figure) == []


def test_ticks_are_the_channels_of_their_rows():
    values, channels = many()
    figure = similarity_matrix(values, PAIRS, channels=channels)
    axes, image = figure.axes[0], figure.axes[0].images[0]
    left, right, bottom, top = image.get_extent()
    ticks = [t for t in axes.texts if t.get_position()[0] < left and t.get_text().isdecimal()]
    assert len(ticks) >= 10
    for tick in ticks:
        row = int((tick.get_position()[1] - top) / (bottom - top) * len(channels))
        assert tick.get_text() == str(channels[row])
    below = [t for t in axes.texts if t.get_rotation() == 90]
    assert [t.get_text() for t in below] == [t.get_text() for t in ticks]


def test_the_histogram_counts_every_pair_once():
    values, channels = many()
    figure = similarity_matrix(values, PAIRS, channels=channels)
    bars = figure.axes[0].child_axes[0].patches
    assert sum(bar.get_height() for bar in bars) == 60 * 59 / 2
    assert "all 1 770 pairs" in [text.get_text() for text in figure.axes[0].texts]


def test_a_parent_is_drawn_into():
    parent = similarity_matrix(MATRIX, PAIRS, width=6.0).subfigures(1, 1)
    assert similarity_matrix(MATRIX, PAIRS, parent=parent) is parent.figure


@pytest.mark.parametrize("wrong", [np.ones((2, 3)), 2 * np.eye(3), np.full((2, 2), np.nan)])
def test_what_is_no_matrix_of_correlations_is_refused(wrong):
    with pytest.raises(ValueError, match="expected a square matrix of values from -1 to 1"):
        similarity_matrix(wrong, PAIRS)
