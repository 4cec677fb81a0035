"""Histograms without zeros, marks at the exemplars, and pictures in order."""

import numpy as np
import pytest

from deconvnet.figures import png
from deconvnet.figures.spectrum_rows import SpectrumRow, spectrum_rows
from tests.support.exemplars import exemplar

RANDOM = np.random.default_rng(0)
VALUES = [-2.0, 0.0, 1.0, 4.0]


def row(**changes):
    patches = RANDOM.random((4, 9, 9, 3))
    those = [
        exemplar(patch, patch - 0.5 if value else 0 * patch, activation=value)
        for patch, value in zip(patches, VALUES, strict=True)
    ]
    parts = {
        "label": "channel 3",
        "sample": np.array([0, 0, 0, 1, 1, 2, 4], "f4"),
        "zero": 3 / 7,
        "names": ["lowest", "10 %", "90 %", "strongest"],
        "exemplars": those,
    }
    return SpectrumRow(**{**parts, **changes})


def bars(figure):
    """(left, width, height, colour) of every filled rectangle."""
    return [
        (*patch.get_xy(), patch.get_width(), patch.get_height(), patch.get_facecolor())
        for patch in figure.axes[0].patches
    ]


def test_a_histogram_leaves_zeros_out_and_marks_the_exemplars():
    figure = spectrum_rows([row()], width=6.0, title="relu4", caption="Told")
    words = [text.get_text() for text in figure.axes[0].texts]
    assert {"channel 3", "43 % are 0", "lowest", "strongest", "−2.00", "4.00"} <= set(words)
    colours = [bar[-1] for bar in bars(figure)]
    marks = [bar for bar in bars(figure) if bar[-1] == (213 / 255, 94 / 255, 0.0, 1.0)]
    assert len(marks) == 4
    places = np.array([bar[0] + bar[2] / 2 for bar in marks]) / 1.35
    np.testing.assert_allclose(places, (np.array(VALUES) + 2) / 6, atol=0.01)
    grey = [bar for bar in bars(figure) if bar[-1] == colours[0] and bar[3] > 0]
    heights = sorted(bar[3] for bar in grey)
    assert len(heights) == 3  # 1, 2 and 4, and none for the zeros
    assert heights[-1] == pytest.approx(2 * heights[0])


def test_patches_stand_above_projections_and_none_for_no_signal():
    figure = spectrum_rows([row(), row()], width=6.0)
    images = figure.axes[0].images
    assert len(images) == 2 * (4 + 3)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert sum("no" in word and "signal" in word for word in words) == 2 or "signal" in words
    assert png(figure).startswith(b"\x89PNG")


def test_a_channel_of_one_value():
    one = exemplar(np.ones((5, 5, 3)), np.ones((5, 5, 3)), activation=1.0)
    flat = row(sample=np.ones(3, "f4"), zero=0.0, names=["50 %"], exemplars=[one])
    words = [text.get_text() for text in spectrum_rows([flat]).axes[0].texts]
    assert not any("are 0" in word for word in words)


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"rows of \[3, 4\] exemplars were given"):
        spectrum_rows([row(), row(exemplars=row().exemplars[:3], names=["a", "b", "c"])])
    with pytest.raises(ValueError, match=r"rows of \[\] exemplars"):
        spectrum_rows([])
