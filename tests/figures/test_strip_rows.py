"""Figures of signals and videos: what is drawn, where, and on which scale."""

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from deconvnet.figures import ComparisonRow, ImageRow, comparison_rows, exemplar_rows, unit_rows
from deconvnet.figures.canvas.strips import Curves, film
from deconvnet.units import Box, Exemplar, Unit

RNG = np.random.default_rng(0)


def signal(start=0, length=20, bands=1, overhang=0, channel=0):
    patch = RNG.random((length, bands), "f4")
    box = Box((start,), (start + length,))
    return Exemplar(Unit("c", channel, start), 1.0, box, (overhang,), patch, patch - 0.5)


def video(frames=3, overhang=(0, 0, 0)):
    patch = RNG.random((frames, 6, 5, 3), "f4")
    box = Box((1, 2, 3), (1 + frames, 8, 8))
    return Exemplar(Unit("c", 0, 1, 1, depth=1), 1.0, box, overhang, patch, patch - 0.5)


def lines(figure):
    """{colour: the lines of it}, as (x, y) in inches."""
    found = {}
    for line in figure.axes[0].lines:
        found.setdefault(line.get_color(), []).append((line.get_xdata(), line.get_ydata()))
    return found


def test_curves_stand_where_their_field_is_and_rise_with_their_values():
    one, two = signal(), signal(overhang=5, length=15)
    figure = exemplar_rows({0: [one, two]})
    curves = lines(figure)["#1a1a1a"]
    assert len(curves) == 4, "patch and projection of each"
    by_length = {len(xs): np.array(xs) for xs, _ in curves[::2]}
    step = by_length[20][1] - by_length[20][0]
    np.testing.assert_allclose(by_length[15][0] - by_length[20][0], 5 * step, rtol=1e-6)
    for xs, ys in curves[::2]:
        patch = (one if len(xs) == 20 else two).patch[:, 0]
        assert np.corrcoef(ys, patch)[0, 1] == pytest.approx(-1), "y of the sheet grows downward"


def test_all_signals_of_a_figure_have_one_scale():
    low, high = np.zeros((5, 1), "f4"), np.full((5, 1), 10, "f4")
    drawn = Curves.of([low, high])
    assert drawn.low < 0 < 10 < drawn.high
    assert Curves.of([]).low < Curves.of([]).high


def test_what_is_negative_in_a_projection_has_another_colour():
    def areas(projection):
        one = signal()
        figure = exemplar_rows({0: [Exemplar(one.unit, 1, one.box, (0,), one.patch, projection)]})
        polygons = [c for c in figure.axes[0].collections if isinstance(c, PolyCollection)]
        return [float(np.ptp(p.get_paths()[0].vertices[:, 1])) > 0 for p in polygons]

    ones = np.ones((20, 1), "f4")
    assert areas(ones) == [True, False]
    assert areas(-ones) == [False, True]


def test_channels_of_a_signal_are_told_by_colour():
    figure = exemplar_rows({0: [signal(bands=3)]})
    assert len(set(lines(figure)) - {"#bdbdbd"}) == 3


def test_frames_stand_in_a_row_in_their_order():
    frames = np.stack([np.full((6, 5, 3), value) for value in (0.1, 0.5, 0.9)])
    row = film(frames)
    assert row.shape == (6, 3 * 5 + 2, 3)
    np.testing.assert_allclose(row[0, [0, 6, 12], 0], [0.1, 0.5, 0.9])
    assert (row[:, [5, 11]] == 1).all()


def test_a_clipped_video_stands_in_its_field():
    figure = exemplar_rows({0: [video(), video(2, overhang=(1, 0, 0))], 1: []})
    projection, patch, *others = [i.get_array() for i in figure.axes[0].images]
    assert len(others) == 2
    frame = others[0].shape[1] // 3
    grey = others[1][:, : int(0.7 * frame)]
    assert (np.abs(grey.astype(int) - 128) <= 1).all(), "the frame that the border cut off"
    assert not (np.abs(projection[:, : int(0.7 * frame)].astype(int) - 128) <= 1).all()
    assert patch.shape == projection.shape
    assert "never positive" in [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("make", [signal, video])
def test_units_and_methods_of_a_whole(make):
    whole = RNG.random((40, 1) if make is signal else (6, 12, 11, 3), "f4")
    one = make()
    figure = unit_rows([ImageRow(whole, [one, one], "name.wav")], title="t", caption=True and "c")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "name.wav" in texts
    assert sum(text.startswith("c:0@") for text in texts) == 2
    row = ComparisonRow(whole, [whole - 0.5, whole - 0.1], "unit = 1", one.box, "positive")
    compared = comparison_rows([row], columns=["given", "gradient", "guided"])
    texts = [text.get_text() for text in compared.axes[0].texts]
    assert texts == ["unit = 1", "gradient", "guided"]


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="no channels to draw"):
        exemplar_rows({})
    with pytest.raises(ValueError, match="at least one unit"):
        unit_rows([])
    with pytest.raises(ValueError, match="no rows to compare"):
        comparison_rows([], columns=["given"])
    wrong = signal()
    wrong.projection[3] = np.nan
    with pytest.raises(ValueError, match="1 values that are not finite"):
        exemplar_rows({0: [wrong]})
