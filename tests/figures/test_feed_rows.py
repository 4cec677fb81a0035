"""What feeds a unit: each patch once, and projections at their place in its field."""

import numpy as np
import pytest

from deconvnet.figures import FeedRow, feed_rows
from deconvnet.figures.feed_rows import placed
from deconvnet.units import Box, Exemplar, Unit


def exemplar(box, *, overhang=(0, 0), value=1.0):
    box = Box(*box)
    patch = np.full((*box.size, 3), 0.4, "f4")
    projection = np.full((*box.size, 3), value, "f4")
    return Exemplar(Unit("relu4", 3), 2.0, box, overhang, patch, projection)


def test_a_projection_stands_at_its_place_and_is_cut_by_the_field():
    inside = placed(exemplar(((4, 5), (6, 9))), Box((2, 3), (10, 10)))
    assert inside.shape == (8, 7, 3)
    assert inside[2:4, 2:6].min() == 1
    assert inside.sum() == 2 * 4 * 3
    cut = placed(exemplar(((0, 0), (4, 4))), Box((2, 3), (10, 10)))
    assert cut[:2, :1].min() == 1
    assert cut.sum() == 2 * 3
    assert not placed(exemplar(((0, 0), (1, 1))), Box((2, 3), (10, 10))).any()
    assert not placed(None, Box((2, 3), (10, 10))).any()


@pytest.mark.parametrize("width", ["cvpr", "cvpr-full"])
@pytest.mark.parametrize("images", [1, 2, 5])
@pytest.mark.parametrize("channels", [1, 8])
def test_the_layout_of_any_number_of_images_and_channels(faults, width, images, channels):
    below = [None, *[exemplar(((3, 3), (9, 9)))] * (channels - 1)]
    row = FeedRow("cat.jpg: relu5:17@3,3 = 3.05", exemplar(((0, 2), (12, 12))), below)
    columns = ["patch", "relu5:17", *(f"relu4:{c}\n+36 %" for c in range(channels))]
    figure = feed_rows([row] * images, columns=columns, width=width, caption="told")
    assert faults(figure) == []
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words.count("no signal") + words.count("no") == images
    assert len(figure.axes[0].images) == images * (1 + channels)


def test_what_all_rows_leave_out_of_their_field_takes_no_room():
    low, high = (exemplar(((0, 0), (8, 12)), overhang=(over, 0)) for over in (4, 6))
    rows = [FeedRow("", one, [None]) for one in (low, high)]
    shapes = [i.get_array().shape for i in feed_rows(rows, columns=["a", "b", "c"]).axes[0].images]
    assert {shape[0] / shape[1] for shape in shapes} == {10 / 12}


def test_columns_that_do_not_fit_the_rows_are_refused():
    row = FeedRow("", exemplar(((0, 0), (4, 4))), [None])
    for rows, columns in (([row], ["a", "b"]), ([], ["a", "b"])):
        with pytest.raises(ValueError, match="units below were given for the columns"):
            feed_rows(rows, columns=columns)
