import numpy as np
import pytest

from deconvnet.figures import as_picture, pad_to, tile
from deconvnet.figures.canvas.tiles import BLANK, NEUTRAL, PAPER, enlarge, gap_for, pixels


def noise(height, width, seed=0):
    return np.random.default_rng(seed).random((height, width, 3))


def every_byte():
    return np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)


def test_bytes_survive():
    assert np.array_equal(pixels(as_picture(every_byte())), every_byte())
    truncated = (as_picture(every_byte()) * 0.999 * 255).astype(np.uint8)  # the check can fail
    assert not np.array_equal(truncated, every_byte())


def test_mid_grey_is_one_byte():
    assert pixels(np.full((2, 2, 3), NEUTRAL)).tolist() == np.full((2, 2, 3), 128).tolist()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((2, 2, 3), 1.5), r"from 1\.5 to 1\.5, expected \[0, 1\]"),
        (np.full((2, 2, 3), -0.1), "signed"),
        (np.full((2, 2, 3), np.nan), "from nan"),
        (np.ones((2, 2, 3), dtype=np.int64), "int64 is neither uint8 nor float"),
        (np.ones((3, 9, 9)), r"a patch of shape \(3, 9, 9\)"),
    ],
)
def test_what_is_no_picture_is_refused(array, words):
    with pytest.raises(ValueError, match=words):
        as_picture(array, what="a patch")


@pytest.mark.parametrize("anchor", [None, (0, 0), (3, 1)])
def test_padding_moves_but_does_not_change(anchor):
    canvas = pad_to(noise(4, 5), 7, 8, anchor=anchor)
    top, left = anchor or (1, 1)
    assert np.array_equal(canvas[top : top + 4, left : left + 5], noise(4, 5))
    canvas[top : top + 4, left : left + 5] = PAPER
    assert np.all(canvas == PAPER)


@pytest.mark.parametrize(
    ("height", "width", "anchor"), [(3, 9, None), (9, 4, None), (9, 9, (6, 0)), (9, 9, (-1, 0))]
)
def test_a_picture_that_does_not_fit_is_refused(height, width, anchor):
    with pytest.raises(ValueError, match="4 x 5 pixels does not fit"):
        pad_to(noise(4, 5), height, width, anchor=anchor)


@pytest.mark.parametrize(("size", "factor"), [(1, 48), (7, 7), (24, 2), (47, 2), (48, 1), (90, 1)])
def test_small_pictures_are_enlarged_by_whole_factors(size, factor):
    picture = noise(size, size + 2)
    large = enlarge(picture)
    assert large.shape == (factor * size, factor * (size + 2), 3)
    for row, column in ((0, 0), (size - 1, size + 1), (size // 2, 1)):
        block = large[row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
        assert np.all(block == picture[row, column])


@pytest.mark.parametrize(("height", "width"), [(5, 5), (60, 60), (30, 90)])
def test_tiles_keep_their_pixels(height, width):
    pictures = [noise(height, width, seed) for seed in range(8)]
    grid, gap = tile(pictures, columns=3, rows=3), gap_for(height, width)
    assert grid.shape == (3 * height + 2 * gap, 3 * width + 2 * gap, 3)
    for place, picture in enumerate(pictures):
        top, left = place // 3 * (height + gap), place % 3 * (width + gap)
        assert np.array_equal(grid[top : top + height, left : left + width], picture)
    assert np.all(grid[-height:, -width:] == BLANK)
    assert np.all(grid[height : height + gap] == 1.0)
    assert np.all(grid[:, width : width + gap] == 1.0)


def test_gaps_are_thin():
    assert [gap_for(size, size) for size in (5, 48, 200)] == [1, 2, 8]


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        ([], r"sizes \[\]"),
        ([noise(4, 4), noise(4, 5)], r"\(4, 4\), \(4, 5\)\] cannot be tiled; pad_to"),
        ([noise(4, 4)] * 5, "5 pictures do not fit in 2 x 2"),
    ],
)
def test_pictures_that_cannot_be_tiled_are_refused(pictures, words):
    with pytest.raises(ValueError, match=words):
        tile(pictures, columns=2, rows=2)
