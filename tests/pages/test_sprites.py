"""Sprites: each cell is the store's crop, at its place in the field."""

import io

import h5py
import numpy as np
import pytest
from PIL import Image

import deconvnet as dn
from deconvnet.pages.sprites import LARGEST, Grid, sprite
from deconvnet.units import Box, Exemplar, Unit
from tests.support.drawn_stores import FIELD, crop, drawn


def opened(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA"))


def unlike(folder, store, shift=0):
    """The cells that are not the store's crop at its place, transparent around it."""
    wrong, channels = [], store["relu"].channels
    with h5py.File(store.path) as file:
        for channel in range(channels):
            cells = opened(
                folder / f"sprites/0/{(channel + shift) % channels:05d}-strongest-0.webp"
            )
            for slot in range(store["relu"].k):
                top, left = (
                    side * place for side, place in zip(FIELD, divmod(slot, 3), strict=True)
                )
                cell = cells[top : top + FIELD[0], left : left + FIELD[1]]
                expected = np.zeros_like(cell)
                pixels = crop(file, "relu", channel, slot)
                row, col = store.pictures["relu"].overhang[channel, slot]
                place = expected[row : row + pixels.shape[0], col : col + pixels.shape[1]]
                place[..., :3], place[..., 3] = pixels, 255
                if not np.array_equal(cell, expected):
                    wrong.append((channel, slot))
    return wrong


def test_a_cell_is_the_crop_of_the_store_to_the_bit(tmp_path):
    store = drawn(tmp_path / "top.h5", {"relu": 6})
    dn.atlas(store, tmp_path / "atlas", progress=False)
    assert unlike(tmp_path / "atlas", store) == []


def test_sprites_off_by_one_would_be_caught(tmp_path):
    store = drawn(tmp_path / "top.h5", {"relu": 6})
    dn.atlas(store, tmp_path / "atlas", progress=False)
    assert len(unlike(tmp_path / "atlas", store, shift=1)) > 50


def exemplar(picture, overhang=(0, 0)):
    box = Box((0, 0), picture.shape[:2])
    return Exemplar(Unit("relu", 0), 1.0, box, overhang, picture, picture - 0.5)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0)])
def test_large_fields_are_reduced_and_stay_where_they_are(order):
    """Above ``LOSSLESS`` the colours may differ a little, never the place."""
    random = np.random.default_rng(0)
    pictures = [np.kron(random.random((4, 4, 3)), np.ones((60, 60, 1))) for _ in range(3)]
    grid = Grid(3, 1, (240, 240))
    assert grid.cell == (LARGEST, LARGEST)
    content = sprite(grid, [exemplar(one) for one in pictures], pictures)
    cells = opened(io.BytesIO(content))[..., :3] / 255
    far = []
    for place, which in enumerate(order):
        expected = Image.fromarray((pictures[which] * 255).round().astype("u1"))
        expected = np.asarray(expected.resize(grid.cell[::-1], Image.Resampling.BOX)) / 255
        cell = cells[:, place * LARGEST : (place + 1) * LARGEST]
        far.append(np.abs(cell - expected).mean())
    if order == (0, 1, 2):
        assert max(far) < 0.03
    else:  # planted: every picture in the cell before its own
        assert min(far) > 0.1


def test_what_lies_outside_of_the_image_is_transparent():
    picture = np.full((3, 4, 3), 0.25)
    content = sprite(Grid(1, 1, (5, 6)), [exemplar(picture, (2, 1))], [picture])
    alpha = opened(io.BytesIO(content))[..., 3]
    assert (alpha[2:5, 1:5] == 255).all()
    assert alpha.sum() == 12 * 255


def test_pictures_that_do_not_fit_are_told():
    picture = np.zeros((3, 4, 3))
    with pytest.raises(
        ValueError, match=r"crop of 3 x 4 pixels at row 3, column 0 of a field of 5"
    ):
        sprite(Grid(1, 1, (5, 6)), [exemplar(picture, (3, 0))], [picture])
    with pytest.raises(ValueError, match="2 pictures do not fit in 1 x 1"):
        sprite(Grid(1, 1, (5, 6)), 2 * [exemplar(picture)], [picture, picture])
