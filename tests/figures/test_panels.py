"""Rows of panels: where pictures, scales, notes and curves stand, and what colours mean."""

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text

from deconvnet.figures import CurvePanel, HeatPanel, Panel, panels
from deconvnet.units import Box


def test_a_map_has_the_colours_of_its_scale():
    panel = HeatPanel(np.array([[0.0, 1.0], [np.nan, 0.5]]))
    colours = matplotlib.colormaps["viridis"]([0.0, 1.0, 0.5])[:, :3]
    np.testing.assert_allclose(panel.picture[0], colours[:2])
    np.testing.assert_allclose(panel.picture[1, 1], colours[2])
    assert len(set(panel.picture[1, 0])) == 1  # blank
    assert HeatPanel(np.array([[0.2, 0.4]]), low=0.0, high=0.8).limits == (0.0, 0.8)
    flat = HeatPanel(np.full((2, 2), 3.0)).picture
    np.testing.assert_allclose(flat, np.broadcast_to(colours[0], flat.shape))
    nothing = HeatPanel(np.full((1, 2), np.nan))
    assert nothing.limits == (0.0, 0.0)


def test_panels_of_a_row_are_of_one_height_and_fill_the_width():
    picture = np.zeros((10, 20, 3))
    heat = HeatPanel(np.arange(100.0).reshape(10, 10), "map", marked=(40, "image"))
    row = [Panel(picture, "one", "note", [(Box((1, 1), (4, 4)), "#d55e00")]), heat]
    figure = panels([row, row], names=["first", "second"], width=4.0)
    assert figure.get_size_inches()[0] == 4.0
    drawn = [image.get_extent() for image in figure.axes[0].images]
    sides = [(right - left, bottom - top) for left, right, bottom, top in drawn]
    assert sides[0][1] == pytest.approx(sides[1][1])
    assert sides[0][0] == pytest.approx(2 * sides[1][0])
    assert drawn[1][1] == pytest.approx(4.0, abs=0.02)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words.count("first") == words.count("second") == 1
    assert {"one", "map", "note", "0", "99.0", "image 40.0"} <= set(words)


def test_curves_have_axes_of_their_own_and_their_names():
    panel = CurvePanel([0, 1, 2], {"cat": [1, 2, 3], "dog": [3, 2, 1]}, "probability", "px", True)
    figure = panels([[panel]], width=3.0)
    axes = figure.axes[0].child_axes[0]
    assert [line.get_label() for line in axes.lines] == ["cat", "dog"]
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [3, 2, 1])
    assert {"cat", "dog", "px", "probability"} <= {t.get_text() for t in figure.axes[0].texts}
    assert len({line.get_color() for line in axes.lines}) == 2


@pytest.mark.parametrize("high", [1.0, 1000.0])
def test_the_vertical_axis_has_room_for_its_name(faults, high):
    curves = {"cat": [0, high / 2, high]}
    row = [
        Panel(np.zeros((9, 9, 3))),
        CurvePanel([0, 1, 2], curves, "relu1", "px", y_label="relative distance"),
        CurvePanel([0, 1, 2], curves, "relu2", "px"),
    ]
    figure = panels([row], width=6.0)
    (name,) = [text for text in figure.findobj(Text) if text.get_text() == "relative distance"]
    assert name.get_rotation() == 90
    assert [fault for fault in faults(figure) if "relative distance" in fault] == []


def test_a_row_without_panels_is_refused():
    with pytest.raises(ValueError, match="a row without panels cannot be drawn"):
        panels([[Panel(np.zeros((2, 2, 3)))], []])
