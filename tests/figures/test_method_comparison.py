import re

import numpy as np
import pytest
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from deconvnet.figures import ComparisonRow, comparison, filters, signed
from deconvnet.figures.canvas.tiles import pixels
from deconvnet.units import Box

COLUMNS = ["image", "gradient", "deconvnet", "guided"]


def row(height=64, width=80, *, label="features.29:155@7,10", box=None, methods=3):
    random = np.random.default_rng(height)
    photograph = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return ComparisonRow(
        photograph, list(random.normal(size=(methods, height, width, 3))), label, box
    )


@pytest.mark.parametrize("wide", ["cvpr", "neurips", "cvpr-full"])
@pytest.mark.parametrize("label", ["", "features.29:155@7,10", "a label " * 20])
def test_the_layout(faults, wide, label):
    rows = [row(label=label), row(100, 60, label=label), row(label="")]
    assert faults(comparison(rows, columns=COLUMNS, width=wide, title="Methods")) == []


@pytest.mark.parametrize("wide", ["cvpr", "89mm", "cvpr-full"])
def test_labels_are_whole(faults, wide):
    label = "features.denseblock4.denselayer16.conv2:31@12,13 = 13.2"
    rows = [row(label=label), row(100, 60, label=label), row(20, 200, label=label)]
    figure = comparison(rows, columns=["a rather long heading indeed", *COLUMNS[1:]], width=wide)
    assert faults(figure) == []
    found = "".join(text.get_text() for text in figure.findobj(Text)).replace(" ", "")
    assert found.count(label.replace(" ", "")) == 3
    assert "aratherlongheadingindeed" in found


def test_a_projection_that_is_zero_says_so(faults):
    one = row()
    silent = [one.projections[0], np.zeros_like(one.projections[0]), one.projections[2]]
    figure = comparison([ComparisonRow(one.image, silent)], columns=COLUMNS)
    assert "no signal" in [text.get_text() for text in figure.findobj(Text)]
    assert len(figure.findobj(AxesImage)) == 3
    assert faults(figure) == []


def test_pictures_are_drawn_pixel_for_pixel_in_the_order_of_the_columns():
    one = row()
    images = comparison([one], columns=COLUMNS).findobj(AxesImage)
    expected = [one.image, *(pixels(signed(raw)) for raw in one.projections)]
    for image, picture in zip(images, expected, strict=True):
        assert np.array_equal(image.get_array(), picture)
    lefts = [image.get_extent()[0] for image in images]
    assert lefts == sorted(lefts)


def test_pictures_keep_their_shape():
    for image in comparison([row(), row(100, 60)], columns=COLUMNS).findobj(AxesImage):
        left, right, bottom, top = image.get_extent()
        height, width = image.get_array().shape[:2]
        assert (bottom - top) / (right - left) == pytest.approx(height / width, rel=0.01)


def test_headings_and_labels():
    figure = comparison([row()], columns=COLUMNS)
    found = [text.get_text() for text in figure.findobj(Text) if text.get_text()]
    assert found == [*COLUMNS, "features.29:155@7,10"]


def test_a_box_is_outlined_where_it_lies():
    figure = comparison([row(box=Box((16, 20), (48, 60)))], columns=COLUMNS)
    left, right, bottom, top = figure.findobj(AxesImage)[0].get_extent()
    outlines = [patch for patch in figure.findobj(Rectangle) if not patch.get_fill()]
    assert len(outlines) == 2
    for outline in outlines:
        (x, y), scale = outline.get_xy(), (right - left) / 80
        assert ((x - left) / scale, (y - top) / scale) == pytest.approx((20, 16), abs=0.5)
        size = outline.get_width() / scale, outline.get_height() / scale
        assert size == pytest.approx((40, 32), abs=0.5)


def test_rows_that_do_not_agree_are_refused():
    with pytest.raises(ValueError, match="no rows"):
        comparison([], columns=COLUMNS)
    with pytest.raises(ValueError, match="3 projections for the columns .*image's column too"):
        comparison([row()], columns=COLUMNS[1:])
    crooked = ComparisonRow(row().image[1:], row().projections)
    with pytest.raises(ValueError, match=r"\(64, 80\) pixels beside an image of \(63, 80\)"):
        comparison([crooked], columns=COLUMNS)
    with pytest.raises(ValueError, match=re.escape("box (9, 9, 9, 12) is empty")):
        comparison([row(box=Box((9, 9), (9, 12)))], columns=COLUMNS)


@pytest.mark.parametrize(
    ("shape", "wide", "grid"),
    [
        ((64, 3, 7, 7), "cvpr", (8, 8)),
        ((64, 3, 3, 3), "cvpr-full", (4, 16)),
        ((96, 3, 11, 11), "cvpr", (8, 12)),
        ((5, 1, 5, 7), "cvpr", (2, 3)),
        ((1, 3, 5, 5), "cvpr", (1, 1)),
    ],
)
def test_filters(faults, shape, wide, grid):
    weights = np.random.default_rng(0).normal(size=shape)
    figure = filters(weights, width=wide, title="features.0")
    assert faults(figure) == []
    drawn = np.asarray(figure.findobj(AxesImage)[0].get_array())
    factor = -(-48 // min(shape[2:]))
    gap = round(0.04 * min(shape[2:]) * factor)
    steps = [factor * size + gap for size in shape[2:]]
    assert drawn.shape[:2] == tuple(n * step - gap for n, step in zip(grid, steps, strict=True))
    for channel in {0, shape[0] // 2, shape[0] - 1}:
        top, left = (n * step for n, step in zip(divmod(channel, grid[1]), steps, strict=True))
        tile = drawn[top : top + steps[0] - gap : factor, left : left + steps[1] - gap : factor]
        one = np.broadcast_to(weights[channel].transpose(1, 2, 0), (*shape[2:], 3))
        assert np.array_equal(tile, np.rint((0.5 + 0.5 * one / np.abs(one).max()) * 255))


@pytest.mark.parametrize("shape", [(8, 3, 3, 3, 3, 3), (7, 7), (0, 3, 7, 7)])
def test_filters_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=re.escape(str(shape)) + ".*first convolution"):
        filters(np.zeros(shape))


@pytest.mark.parametrize(
    ("bands", "picked"),
    [((3, 2, 1), [3, 2, 1]), (4, [4, 4, 4]), ((4,), [4, 4, 4]), (None, [0, 1, 2])],
)
def test_filters_of_other_bands(faults, bands, picked):
    weights = np.random.default_rng(0).normal(size=(4, 5, 3, 3))
    figure = filters(weights, bands=bands, caption="features.0")
    assert faults(figure) == []
    drawn = np.asarray(figure.findobj(AxesImage)[0].get_array())
    one = weights[0, picked].transpose(1, 2, 0)
    tile = drawn[: 3 * 16 : 16, : 3 * 16 : 16]
    assert np.array_equal(tile, np.rint((0.5 + 0.5 * one / np.abs(one).max()) * 255))
    told = " ".join(text.get_text() for text in figure.findobj(Text))
    assert f"{', '.join(map(str, dict.fromkeys(picked)))} of 5" in " ".join(told.split())


@pytest.mark.parametrize("bands", [(0, 1), (5,), (-1,), 9])
def test_bands_that_filters_do_not_have(bands):
    with pytest.raises(ValueError, match="for an image of 5 bands, expected three of 0 to 4"):
        filters(np.ones((4, 5, 3, 3)), bands=bands)


def test_filters_of_videos_are_frames_in_a_row(faults):
    weights = np.random.default_rng(0).normal(size=(4, 3, 2, 5, 5))
    figure = filters(weights)
    assert faults(figure) == []
    drawn = np.asarray(figure.findobj(AxesImage)[0].get_array())
    factor, most = -(-48 // 5), np.abs(weights[0]).max()  # one scale for all frames
    for frame in range(2):
        left = frame * (5 + 1) * factor
        tile = drawn[: 5 * factor : factor, left : left + 5 * factor : factor]
        one = weights[0, :, frame].transpose(1, 2, 0)
        assert np.array_equal(tile, np.rint((0.5 + 0.5 * one / most) * 255))


@pytest.mark.parametrize(("bands", "curves"), [(None, 2), ([1], 1), (0, 1)])
def test_filters_of_signals_are_curves(faults, bands, curves):
    weights = np.random.default_rng(0).normal(size=(6, 2, 9))
    figure = filters(weights, bands=bands)
    assert faults(figure) == []
    lines = [line for line in figure.findobj(Line2D) if len(line.get_xdata()) == 9]
    assert len(lines) == 6 * curves
    first = np.asarray(lines[0].get_ydata())
    signal = weights[0, 0 if bands in (None, 0) else 1]
    assert np.corrcoef(first, signal)[0, 1] == pytest.approx(-1)  # downwards on a sheet
