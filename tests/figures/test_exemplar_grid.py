import numpy as np
import pytest
from matplotlib.image import AxesImage
from matplotlib.text import Text

from deconvnet.figures import RULE, PaperFigure, figure2, pages, signed, tile_places, width
from deconvnet.figures.canvas.sheet import Sheet
from deconvnet.figures.canvas.style import PAGE, paper
from deconvnet.figures.canvas.tiles import BLANK, gap_for, pixels
from tests.support.exemplars import exemplar


def arrays(figure):
    return [np.asarray(image.get_array()) for image in figure.findobj(AxesImage)]


def words(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def tile_of(block, place, *, side, height, width):
    row, column = divmod(place, side)
    gap = gap_for(height, width)
    top, left = row * (height + gap), column * (width + gap)
    return block[top : top + height, left : left + width]


@pytest.mark.parametrize("count", [1, 2, 5, 16, 17, 64])
@pytest.mark.parametrize("wide", ["cvpr", "neurips", "cvpr-full"])
def test_the_layout_of_any_number_of_channels(channels, faults, count, wide):
    figure = figure2(channels(count), width=wide, title="features.28", caption="Top 9")
    assert figure.get_figwidth() == width(wide)
    assert figure.get_figheight() < PAGE + 0.5 or len(pages(channels(count), width=wide)) > 1
    assert len(arrays(figure)) == 2 * count
    assert faults(figure) == []


@pytest.mark.parametrize(("height", "wide"), [(10, 40), (40, 10), (1, 1)])
def test_the_layout_of_fields_that_are_not_square(channels, faults, height, wide):
    assert faults(figure2(channels(6, height=height, width=wide))) == []


def test_the_layout_check_sees_overlaps_and_what_leaves_the_paper(faults):
    with paper():
        sheet = Sheet(2.0, 1.0)
    sheet.image(np.zeros((4, 4, 3)), 0.0, 0.2, width=1.0, height=0.5)
    sheet.image(np.zeros((4, 4, 3)), 0.9, 0.2, width=1.0, height=0.5)
    sheet.text("on it", 0.1, 0.3)
    sheet.text("far too much to the right", 1.2, 0.15)
    found = faults(sheet.figure)
    assert len(found) == 3
    assert "text 'far too much to the right' leaves the paper" in found
    assert "text 'on it' overlaps image 0" in found
    assert "image 0 overlaps image 1" in found


@pytest.mark.parametrize("size", [48, 113])
def test_patches_appear_pixel_for_pixel(channels, size):
    given = channels(1, height=size, width=size)
    projections, patches = arrays(figure2(given))
    for place, one in enumerate(given[0]):
        where = {"side": 3, "height": size, "width": size}
        assert np.array_equal(tile_of(patches, place, **where), one.patch)
        assert np.array_equal(tile_of(projections, place, **where), pixels(signed(one.projection)))
    swapped = tile_of(patches, 1, side=3, height=size, width=size)  # the check can fail
    assert not np.array_equal(swapped, given[0][0].patch)


def test_projections_stand_left_of_patches(channels):
    figure = figure2(channels(3))
    lefts = [image.get_extent()[0] for image in figure.findobj(AxesImage)]
    assert lefts == sorted(lefts)
    assert not np.array_equal(arrays(figure)[0], arrays(figure)[1])


def test_small_tiles_are_enlarged_by_a_whole_factor(channels):
    given = channels(1, height=7, width=7)
    patches = arrays(figure2(given))[1]
    tile = tile_of(patches, 0, side=3, height=49, width=49)
    assert np.array_equal(tile[3::7, 3::7], given[0][0].patch)
    assert np.array_equal(tile, tile[3::7, 3::7].repeat(7, axis=0).repeat(7, axis=1))


@pytest.mark.parametrize(
    ("k", "rows", "columns"),
    [(1, 1, 1), (2, 1, 2), (4, 2, 2), (5, 2, 3), (6, 2, 3), (7, 3, 3), (9, 3, 3), (10, 3, 4)],
)
@pytest.mark.parametrize(("height", "wide"), [(60, 60), (90, 50)])
def test_other_counts_take_the_nearest_square(channels, faults, k, rows, columns, height, wide):
    figure = figure2(channels(2, k=k, height=height, width=wide))
    patches, gap = arrays(figure)[1], 2
    assert patches.shape[0] == rows * (height + gap) - gap, "no row is empty"
    assert patches.shape[1] == columns * (wide + gap) - gap
    empty = np.all(patches[-height:, -wide:] == round(255 * BLANK))
    assert empty == (k < rows * columns)
    assert faults(figure) == []


def test_all_blocks_have_the_rows_of_the_longest(channels, faults):
    given = channels(3, k=9)
    given[17] = given[17][:4]
    figure = figure2(given)
    assert len({block.shape for block in arrays(figure)}) == 1
    assert faults(figure) == []


def test_a_dead_channel_says_so(channels, faults):
    figure = figure2({**channels(2), 99: []})
    assert words(figure)[-2:] == ["99", "never positive"]
    assert len(arrays(figure)) == 4
    assert faults(figure) == []


def test_a_figure_of_dead_channels_only(faults):
    figure = figure2({0: [], 1: [], 2: []})
    assert words(figure) == ["0", "never positive", "1", "never positive", "2", "never positive"]
    assert faults(figure) == []


def test_projections_without_signal_say_so(channels, faults):
    given = channels(2)
    given[17][4].projection[:] = 0.0
    figure = figure2(given)
    (word,) = [text for text in figure.findobj(Text) if text.get_text() == "no signal"]
    left, right, bottom, top = figure.findobj(AxesImage)[2].get_extent()
    assert word.get_position() == pytest.approx(((left + right) / 2, (top + bottom) / 2))
    assert [fault for fault in faults(figure) if "no signal" not in fault] == []


@pytest.mark.parametrize(("rows", "columns"), [(None, None), (2, 3), (1, None), (None, 2), (9, 9)])
@pytest.mark.parametrize("count", [1, 7, 50])
def test_pages_hold_every_channel_once(channels, faults, rows, columns, count):
    given = channels(count)
    made = pages(given, width=14.0 if columns == 9 else "cvpr-full", rows=rows, columns=columns)
    assert [word for page in made for word in words(page)] == list(map(str, given))
    for page in made:
        assert page.get_figheight() <= 9.0 if rows is None else True
        tops = [image.get_extent()[3] for image in page.findobj(AxesImage)]
        assert rows is None or len(set(tops)) <= rows
        assert columns is None or tops.count(min(tops)) <= 2 * columns
    assert faults(made[0]) == []
    sizes = {page.findobj(AxesImage)[0].get_extent()[1] for page in made}
    assert len(sizes) == 1, "the last page has the scale of the others"


@pytest.mark.parametrize("size", [20, 60])
def test_the_places_of_tiles_are_those_of_the_drawing(channels, size):
    given = channels(5, k=6, height=size, width=size)
    for number, one in enumerate([one for those in given.values() for one in those]):
        one.patch[:] = number  # each tile has its own shade
    figure = figure2(given, columns=2)
    wide, high = figure.get_size_inches()
    images = figure.findobj(AxesImage)
    seen = []
    for one, (left, top, width_, height_) in tile_places(given, columns=2):
        x, y = (left + width_ / 2) * wide, (top + height_ / 2) * high
        for image in images:
            x0, x1, y1, y0 = image.get_extent()
            if x0 <= x <= x1 and y0 <= y <= y1:
                block = np.asarray(image.get_array())
                row = int((y - y0) / (y1 - y0) * block.shape[0])
                column = int((x - x0) / (x1 - x0) * block.shape[1])
                seen.append((tuple(block[row, column]), tuple(one.patch[0, 0])))
    assert len(seen) == 2 * 5 * 6
    assert [shade for shade, _ in seen[1::2]] == [shade for _, shade in seen[1::2]]


def test_more_columns_than_fit_are_refused(channels):
    with pytest.raises(ValueError, match="40 columns do not fit in a width of 3.25 inches"):
        figure2(channels(40), width="cvpr", columns=40)


def test_channels_may_have_fewer_exemplars(channels):
    given = channels(2, k=4, height=60, width=60)
    given[17] = given[17][:1]
    patches = arrays(figure2(given))[3]
    assert np.array_equal(tile_of(patches, 0, side=2, height=60, width=60), given[17][0].patch)
    assert np.all(tile_of(patches, 1, side=2, height=60, width=60) == round(255 * BLANK))


def test_clipped_crops_stand_where_they_stood():
    whole, part = np.full((60, 50, 3), 0.2), np.full((40, 30, 3), 0.9)
    given = {1: [exemplar(whole, whole), exemplar(part, part, overhang=(20, 5))]}
    tile = tile_of(arrays(figure2(given))[1], 1, side=2, height=60, width=50)
    assert np.all(tile[20:60, 5:35] == round(0.9 * 255))
    assert np.all(tile[:20] == 255)
    assert np.all(tile[:, 35:] == 255)


def test_the_caption_states_layer_and_rule(channels):
    assert words(figure2(channels(1))) == ["0"]
    assert words(figure2(channels(1), title="features.28"))[:-1] == ["features.28"]
    told = words(figure2(channels(1), caption="Top 9"))[:-1]
    assert " ".join(told) == f"Top 9. {RULE}"


@pytest.mark.parametrize("name", ["layer " * 40, "denselayer" * 40])
def test_long_titles_are_folded_and_not_cut(channels, faults, name):
    figure = figure2(channels(4), width="cvpr", title=name, caption=name)
    assert faults(figure) == []
    assert "".join(words(figure)).replace(" ", "").count(name.replace(" ", "")) == 2


def test_a_part_of_a_larger_figure(channels, faults):
    whole = PaperFigure(6.0, 9.0)
    for part in whole.subfigures(2, 2).flat:
        assert figure2(channels(2), parent=part, title="features.28", caption="Top 9") is whole
    assert faults(whole) == []
    assert len(arrays(whole)) == 4 * 4
    with pytest.raises(ValueError, match=r"and the parent 0\.60; make the parent"):
        figure2(channels(2), parent=PaperFigure(3.0, 0.6))


def test_titles_are_as_typed(channels, faults):
    figure = figure2(channels(1), title="$y_1$ 猫")
    assert any(text.startswith("$y_1$") for text in words(figure))
    assert faults(figure) == []


def test_channels_that_do_not_agree_are_refused(channels):
    one = channels(1)[0][0]
    with pytest.raises(ValueError, match="no channels"):
        figure2({})
    with pytest.raises(ValueError, match=r"a:0 has a projection .* \(20, 20\) .* \(19, 20\); cut"):
        figure2({7: [exemplar(one.patch[1:], one.projection)]})
