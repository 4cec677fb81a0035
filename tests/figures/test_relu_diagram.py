import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from deconvnet.figures.relu_diagram import BY_INPUT, BY_SIGNAL, Pass, relu_diagram

NUMBERS = np.array([[1.0, -1, 5], [2, -5, -7], [-3, 2, 4]])
NOWHERE = np.zeros((3, 3), bool)
ROW, COLUMN = NOWHERE.copy(), NOWHERE.copy()
ROW[0], COLUMN[:, 2] = True, True


def passes(count=4):
    forward = Pass("forward", "max(z, 0)", NUMBERS, NUMBERS, ROW, NOWHERE, upward=True)
    rule = Pass("guided", "max(R, 0) · 1[z>0]", NUMBERS, NUMBERS, ROW, COLUMN)
    return [forward, *[rule] * (count - 1)]


@pytest.mark.parametrize("wide", ["cvpr", "neurips", "cvpr-full"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_layout(faults, wide, count):
    assert faults(relu_diagram(passes(count), width=wide, title="ReLU", caption="By hand")) == []


def test_the_numbers_stand_above_and_below_the_arrow():
    figure = relu_diagram([Pass("one", "", NUMBERS, 2 * NUMBERS, NOWHERE, NOWHERE)])
    texts = {}
    for text in figure.findobj(Text):
        if text.get_text().lstrip("−").isdigit():
            texts.setdefault(round(text.get_position()[1], 2), []).append(text)
    rows = [sorted(row, key=lambda t: t.get_position()[0]) for _, row in sorted(texts.items())]
    found = [[float(t.get_text().replace("−", "-")) for t in row] for row in rows]
    assert found == [*NUMBERS.tolist(), *(2 * NUMBERS).tolist()]


def fills(figure):
    """{colour: widths of its rectangles}, without those of the legend."""
    found = {}
    for patch in figure.findobj(Rectangle):
        if patch.get_height() != pytest.approx(0.11):
            found.setdefault(to_hex(patch.get_facecolor()), []).append(patch.get_width())
    return found


def test_a_cell_is_filled_by_what_stopped_its_value():
    found = fills(relu_diagram([Pass("one", "", NUMBERS, NUMBERS, ROW, COLUMN)]))
    assert len(found[BY_INPUT]) == len(found[BY_SIGNAL]) == 3
    assert sum(found[BY_INPUT]) == pytest.approx(2.5 * max(found[BY_INPUT]))  # one cell has both
    assert BY_INPUT not in fills(relu_diagram([Pass("one", "", *[NUMBERS] * 2, *[NOWHERE] * 2)]))
