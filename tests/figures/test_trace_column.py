import numpy as np
import pytest
from matplotlib.image import AxesImage
from matplotlib.text import Text

from deconvnet.figures import PaperFigure, TraceRow, trace_column
from deconvnet.figures.trace_column import _part

WHOLE = (0.0, 1.0, 0.0, 1.0)


def row(name="relu1", side=12, *, switches=False, lines=("ReLU", "4 x 12 x 12", "channel 3")):
    random = np.random.default_rng(side)
    signal = random.normal(size=(side, side))
    marks = random.integers(0, 3, (2 * side, 2 * side), dtype=np.uint8) if switches else None
    return TraceRow(name, lines, "unpool", random.random((side, side)), signal, abs(signal), marks)


def rows(count):
    below = TraceRow(
        "images", ("image",), "", *np.random.default_rng(0).random((2, 9, 9, 3)), np.ones((9, 9))
    )
    return [*(row(f"node{n}", switches=n % 2 == 1) for n in range(count - 1)), below]


@pytest.mark.parametrize("wide", ["cvpr", "neurips", "cvpr-full"])
@pytest.mark.parametrize("count", [2, 6, 7, 16])
def test_the_layout(faults, wide, count):
    assert faults(trace_column(rows(count), width=wide, title="Trace", caption="of a unit")) == []


@pytest.mark.parametrize("wide", ["cvpr", "cvpr-full"])
def test_long_names_are_cut(faults, wide):
    long = row("a.very.long.name.of.a.node." * 5, lines=("kind" * 30, "1 x 2", "channel 3"))
    assert faults(trace_column([long, row()], width=wide)) == []


def places(figure, name):
    return next(t.get_position() for t in figure.findobj(Text) if t.get_text() == name)


def test_a_wide_figure_has_two_columns_and_they_are_read_downwards():
    wide, narrow = trace_column(rows(8)), trace_column(rows(8), width="cvpr")
    assert places(wide, "node0")[0] < places(wide, "node4")[0]
    assert places(wide, "node0")[1] == places(wide, "node4")[1]
    assert places(wide, "node3")[1] > places(wide, "node0")[1]
    assert places(narrow, "node0")[0] == places(narrow, "node4")[0]


def test_pictures():
    """An activation from white to black, a signal around mid-grey, marks in three colours."""
    values = np.array([[0.0, 1.0], [0.5, 0.0]])
    marks = np.array([[0, 1], [2, 0]], np.uint8)
    one = TraceRow("a", (), "", values, np.array([[0.0, 1], [-1, 0]]), values, marks)
    figure = trace_column([one])
    activation, signal, strength, switches = (
        image.get_array()[:: len(image.get_array()) // 2, :: len(image.get_array()) // 2]
        for image in figure.findobj(AxesImage)
    )
    assert activation[..., 0].tolist() == strength[..., 0].tolist() == [[255, 0], [128, 255]]
    assert signal[..., 0].tolist() == [[128, 255], [0, 128]]
    assert len({tuple(colour) for colour in switches.reshape(-1, 3)}) == 3
    assert switches[1, 0, 0] > 200 > switches[1, 0, 2]  # orange


def test_maps_are_cut_at_the_window_but_hold_every_cell_with_a_signal():
    signal = np.zeros((20, 20))
    assert _part((20, 20), (0.5, 0.75, 0.25, 0.5), signal) == (slice(10, 15), slice(5, 10))
    signal[2, 18] = -1.0
    assert _part((20, 20), (0.5, 0.75, 0.25, 0.5), signal) == (slice(2, 15), slice(5, 19))
    assert _part((20, 20), (0.5, 0.5, 0.0, 0.05), None) == (slice(8, 12), slice(0, 3))
    assert _part((1, 2), WHOLE, None) == (slice(0, 1), slice(0, 2))


def test_a_parent_has_its_own_width_and_one_that_is_too_low_says_what_it_needs():
    parent = PaperFigure(3.25, 12.0)
    trace_column(rows(8), parent=parent)
    narrow = trace_column(rows(8), width=3.25)
    height = narrow.get_size_inches()[1]
    assert places(parent, "node4")[0] == places(narrow, "node4")[0]
    with pytest.raises(ValueError, match=rf"make the parent at least {height:.2f} inches high"):
        trace_column(rows(8), parent=PaperFigure(3.25, 2.0))
    trace_column(rows(8), parent=PaperFigure(3.25, height + 0.01))
