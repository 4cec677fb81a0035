"""Windows cut out of maps, against a copy cell by cell."""

import math

import numpy as np
import pytest
import torch

from deconvnet.layers.crop import Crop

MAPS = (9, 11)
LAYOUTS = {
    "contiguous": lambda x: x.contiguous(),
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "part of a wider tensor": lambda x: torch.cat([x, x, x], 3)[..., 11:22],
    "part of a taller one with channels last": lambda x: torch.cat([x, x], 2).contiguous(
        memory_format=torch.channels_last
    )[:, :, 9:],
    "other axes": lambda x: x.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
    "expanded": lambda x: x[:1].expand(len(x), -1, -1, -1),
}
WINDOWS = [((1, 1), False), ((3, 4), False), ((9, 11), False), ((5, 11), False)]
WINDOWS += [((1, 1), True), ((3, 4), True), ((5, 11), True), ((9, 11), True), ((12, 14), True)]


def by_cells(maps, crop, outside):
    """Each cell of each window from where it lies, or what stands outside."""
    size = (len(crop.rows), maps.shape[1], *crop.size)
    windows = maps.new_full(size, outside)
    for unit, (row, (top, left)) in enumerate(zip(crop.rows, crop.starts, strict=True)):
        for i in range(crop.size[0]):
            for j in range(crop.size[1]):
                if 0 <= top + i < maps.shape[2] and 0 <= left + j < maps.shape[3]:
                    windows[unit, :, i, j] = maps[row, :, top + i, left + j]
    return windows


def cut(size, *, units, leaving, in_order, seed=0):
    """Windows at places drawn at random; some leave the maps where they may."""
    draw = np.random.default_rng(seed)
    room = np.asarray(MAPS) - size
    low, high = (np.minimum(-2, room), np.maximum(2, room) + 3) if leaving else (0 * room, room + 1)
    rows = np.arange(units) if in_order else draw.integers(0, 4, units)
    return Crop(rows, draw.integers(low, high, (units, 2)), size, MAPS)


@pytest.mark.parametrize("in_order", [True, False], ids=["a map each", "shared maps"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "leaving"), WINDOWS, ids=str)
def test_windows_are_cut_cell_by_cell(size, leaving, channels, layout, in_order):
    maps = layout(torch.arange(4 * channels * 99.0).view(4, channels, *MAPS))
    before = maps.clone()
    crop = cut(size, units=4 if in_order else 7, leaving=leaving, in_order=in_order)
    for outside in (0.0, -math.inf):
        assert torch.equal(crop.of(maps, outside), by_cells(maps, crop, outside))
    assert torch.equal(maps, before)


ENDS = Crop(np.array([0, 3, 3, 0]), np.array([[-1, -2], [9, 8], [7, 9], [0, 0]]), (3, 4), MAPS)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_windows_at_both_ends_of_the_memory(layout):
    maps = layout(torch.arange(4 * 2 * 99.0).view(4, 2, *MAPS))
    assert torch.equal(ENDS.of(maps, -1.0), by_cells(maps, ENDS, -1.0))


def test_windows_that_begin_elsewhere_are_caught(monkeypatch):
    """The planted wrong case: rows that would begin before the memory are taken as they come."""
    maps = torch.arange(4 * 2 * 99.0).view(4, 2, *MAPS)
    monkeypatch.setattr(Crop, "paste", lambda self, tensor, windows, units: windows)
    assert not torch.equal(ENDS.of(maps, -1.0), by_cells(maps, ENDS, -1.0))


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_cells_outside_of_the_maps_are_filled(layout, in_place):
    windows = layout(torch.arange(4 * 2 * 99.0).view(4, 2, *MAPS))
    crop = Crop(np.arange(4), np.array([[-3, 4], [0, 0], [2, -20], [5, 6]]), MAPS, MAPS)
    expected = windows.clone()
    for unit, (top, left) in enumerate(crop.starts.tolist()):
        for row in range(MAPS[0]):
            for col in range(MAPS[1]):
                if not (0 <= top + row < MAPS[0] and 0 <= left + col < MAPS[1]):
                    expected[unit, :, row, col] = -math.inf
    before = windows.clone()
    found = crop.filled(windows, -math.inf, in_place=in_place)
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last), "the next layer is slow"
    assert in_place or torch.equal(windows, before)
    inside = Crop(np.arange(4), np.zeros((4, 2), np.int64), MAPS, MAPS)
    assert inside.filled(windows, 7.0, in_place=in_place) is windows


def test_windows_that_all_lie_outside():
    crop = Crop(np.arange(2), np.array([[-3, 2], [-3, 2]]), (2, 3), MAPS)
    maps = torch.ones(2, 1, *MAPS)
    assert crop.of(maps, 4.0).eq(4).all()
    assert crop.around(torch.ones(2, 1, 2, 3)).eq(0).all()


def test_cells_outside_of_lines_and_volumes_are_filled():
    crop = Crop(np.array([0, 0]), np.array([[-1, 0, 1], [0, 2, 0]]), (2, 2, 2), (3, 3, 3))
    found = crop.filled(torch.ones(2, 1, 2, 2, 2), 5.0, in_place=True)
    assert found[0, 0, 0].eq(5).all()
    assert found[0, 0, 1].eq(1).all()
    assert found[1, 0, :, 1].eq(5).all()
    assert found[1, 0, :, 0].eq(1).all()


def test_the_reference_catches_a_window_that_is_off_by_one():
    maps = torch.arange(4 * 99.0).view(4, 1, *MAPS)
    crop = cut((3, 4), units=4, leaving=False, in_order=True)
    moved = Crop(crop.rows, crop.starts - (1, 0), crop.size, MAPS)
    assert not torch.equal(crop.of(maps), by_cells(maps, moved, 0.0))


@pytest.mark.parametrize(("channels", "size"), [(0, (3, 4)), (2, (0, 4)), (2, (3, 0))])
def test_windows_of_nothing(channels, size):
    crop = Crop(np.array([1, 0]), np.array([[2, 3], [4, 5]]), size, MAPS)
    assert crop.of(torch.zeros(2, channels, *MAPS)).shape == (2, channels, *size)


@pytest.mark.parametrize("leaving", [False, True], ids=["inside", "leaving"])
@pytest.mark.parametrize("together", [False, True], ids=["apart", "at one place"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_windows_are_put_and_added_where_they_lie(layout, together, leaving):
    crop = cut((4, 5), units=4, leaving=leaving, in_order=True)
    if together:
        crop = Crop(crop.rows, np.repeat(crop.starts[:1], 4, axis=0), crop.size, MAPS)
    windows = layout(torch.randn(4, 3, *MAPS))[:, :, :4, :5]
    whole = torch.zeros(4, 3, *MAPS)
    for unit, (top, left) in enumerate(crop.starts):
        for i in range(4):
            for j in range(5):
                if 0 <= top + i < MAPS[0] and 0 <= left + j < MAPS[1]:
                    whole[unit, :, top + i, left + j] = windows[unit, :, i, j]
    torch.testing.assert_close(crop.around(windows), whole, rtol=0, atol=0)
    maps = torch.randn(4, 3, *MAPS)
    torch.testing.assert_close(crop.add(windows, maps.clone()), maps + whole, rtol=0, atol=0)
