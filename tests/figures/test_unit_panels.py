import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from deconvnet.figures import ImageRow, signed, visualization
from deconvnet.figures.canvas.style import PAGE
from deconvnet.figures.canvas.tiles import pixels
from deconvnet.figures.unit_panels import label
from deconvnet.units import Box
from tests.support.exemplars import exemplar

LONG = "features.denseblock4.denselayer16.conv2"


def units(count, *, layer="features.28", size=60):
    random = np.random.default_rng(count)
    return [
        exemplar(
            random.integers(0, 256, (size, size, 3), dtype=np.uint8),
            random.normal(size=(size, size, 3)),
            unit=f"{layer}:{random.integers(512)}@{n},{n}",
            activation=20 * random.random(),
            box=Box((n, 2 * n), (n + size, 2 * n + size)),
        )
        for n in range(count)
    ]


def rows(images, channels, *, name="photograph_001.jpg", height=100, **details):
    photograph = np.random.default_rng(0).random((height, 100, 3))
    return [ImageRow(photograph, units(channels, **details), name) for _ in range(images)]


def labels(figure):
    found = [text for text in figure.findobj(Text) if text.get_text()]
    whole = " ".join(text.get_text() for text in found)
    return re.sub(r"(?<=[:.]) | (?=@)", "", whole)  # where a label is folded


@pytest.mark.parametrize("images", [1, 2, 5, 8])
@pytest.mark.parametrize("channels", [1, 2, 5, 8])
def test_the_layout_of_any_number_of_images_and_channels(faults, images, channels):
    given = rows(images, channels)
    figure = visualization(given, title="features.28", caption="VGG-16, guided")
    assert figure.get_figheight() < PAGE + 0.5
    assert len(figure.findobj(AxesImage)) == images * (1 + 2 * channels)
    assert faults(figure) == []
    for one in given[0].units:
        assert label(one) in labels(figure)


def test_the_label_of_a_unit():
    (one,) = units(1)
    assert re.fullmatch(r"features\.28:\d+@0,0 = \d+\.?\d*", label(one))
    assert label(one).endswith(f" = {one.activation:#.3g}")


@pytest.mark.parametrize("wide", ["cvpr", "neurips"])
@pytest.mark.parametrize("details", [{"layer": LONG}, {"height": 30}, {"height": 300}, {"size": 5}])
def test_the_layout_of_odd_ones(faults, wide, details):
    assert faults(visualization(rows(2, 3, **details), width=wide)) == []


@pytest.mark.parametrize("wide", ["cvpr", "cvpr-full"])
def test_labels_and_names_are_whole(faults, wide):
    name = "a photograph with a name that is longer than any photograph is wide, 猫_0001.jpeg"
    given = rows(3, 4, layer=LONG, name=name)
    figure = visualization(given, width=wide)
    assert faults(figure) == []
    drawn = "".join(text.get_text() for text in figure.findobj(Text)).replace(" ", "")
    assert drawn.count("isphotographiswide"[2:]) == 3
    for one in given[0].units:
        assert drawn.count(label(one).replace(" ", "")) == 3


def test_a_unit_at_rest_says_so(faults):
    (firing,) = units(1)
    resting = replace(firing, activation=0.0, projection=np.zeros_like(firing.projection))
    silent = replace(firing, projection=np.zeros_like(firing.projection))
    row = ImageRow(np.zeros((100, 100, 3)), [firing, resting, silent])
    figure = visualization([row])
    words = [text.get_text() for text in figure.findobj(Text)]
    assert (words.count("at rest"), words.count("no signal")) == (1, 1)
    assert len(figure.findobj(AxesImage)) == 1 + 2 * 3 - 2
    assert faults(figure) == []


def test_rows_need_not_have_the_same_number_of_units(faults):
    figure = visualization([*rows(1, 4), *rows(1, 1, name=""), *rows(1, 2, height=60)])
    assert faults(figure) == []
    assert len(figure.findobj(AxesImage)) == 3 + 2 * 7


def test_pictures_are_drawn_pixel_for_pixel():
    row = rows(1, 1)[0]
    photograph, patch, projection = visualization([row]).findobj(AxesImage)
    assert np.array_equal(photograph.get_array(), pixels(np.asarray(row.image)))
    assert np.array_equal(patch.get_array(), row.units[0].patch)
    assert np.array_equal(projection.get_array(), pixels(signed(row.units[0].projection)))


def test_clipped_crops_are_padded_and_keep_their_shape():
    clipped = exemplar(np.full((50, 100, 3), 0.4), np.ones((50, 100, 3)))
    row = ImageRow(np.zeros((100, 100, 3)), [*units(1, size=100), clipped])
    drawn = np.asarray(visualization([row]).findobj(AxesImage)[3].get_array())
    assert drawn.shape == (100, 100, 3)
    assert np.all(drawn[25:75] == 255 * 0.4)
    assert np.all(drawn[:25] == 255)


def test_outlines_lie_on_the_photograph_in_the_colour_of_their_label():
    figure = visualization(rows(1, 3))
    left, right, _, top = figure.findobj(AxesImage)[0].get_extent()
    rectangles = figure.findobj(Rectangle)
    scale = (right - left) / 100
    seen = [r for r in rectangles if not r.get_fill() and r.get_edgecolor() != (1, 1, 1, 1)]
    for number, outline in enumerate(seen):
        x, y = outline.get_xy()
        place = ((x - left) / scale, (y - top) / scale, outline.get_width() / scale)
        assert place == pytest.approx((2 * number, number, 60), abs=1e-6)
    marks = [r for r in rectangles if r.get_fill() and r.get_width() == pytest.approx(0.06)]
    assert [m.get_facecolor() for m in marks] == [outline.get_edgecolor() for outline in seen]
    assert len({outline.get_edgecolor() for outline in seen}) == 3


def test_rows_that_do_not_agree_are_refused():
    for given in ([], [ImageRow(np.zeros((9, 9, 3)), [])]):
        with pytest.raises(ValueError, match="at least one unit"):
            visualization(given)
    one = exemplar(np.zeros((5, 5, 3)), np.zeros((5, 6, 3)))
    with pytest.raises(ValueError, match=re.escape("a:0 has a projection of (5, 6)")):
        visualization([ImageRow(np.zeros((9, 9, 3)), [one])])
