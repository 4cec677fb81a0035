"""Maxima of maps and their positions, among NaN too."""

import pytest
import torch

from deconvnet.mining.topk import TopK
from deconvnet.mining.topk.maxima import every_position, first_positions, minima, strongest
from tests.mining.topk.test_topk import as_lists


def test_negative_nan_is_seen():
    """Its bits are those of a negative number."""
    nan = torch.tensor([-4194304], dtype=torch.int32).view(torch.float32)
    maps = torch.ones(2, 1, 2, 2)
    maps[0, 0, 1, 1] = nan
    assert maps[0].isnan().any()
    top = TopK(1, 2)
    top.update(maps, torch.tensor([0, 1]))
    assert (top.nans, as_lists(top.table())) == (1, [[(1.0, 0, 0), (1.0, 1, 0)]])


def test_what_is_kept_and_counted():
    top = TopK(2, 2)
    top.update(torch.tensor([[1.0, 5.0], [2.0, 4.0], [3.0, 3.0]]), torch.tensor([4, 5, 9]))
    assert (top.kept(), top.images) == ({4, 5, 9}, 3)
    assert TopK(2, 2).kept() == set()


@pytest.mark.parametrize("size", [(), (7,), (5, 7), (2, 5, 7)])
@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 5], [4, 1], [3]])
@pytest.mark.parametrize("odd", [None, "nan", "all nan"])
def test_every_position_is_the_first(size, rows, odd):
    """Whole numbers, which tie; zeros of both signs; some NaN, which are passed over."""
    g = torch.Generator().manual_seed(len(size))
    maps = torch.randn(6, 9, *size, generator=g).round() - 1
    maps[:, 0] = 0.0
    maps[2, 1] = -0.0
    if odd == "nan" and size:
        maps[1, 3].view(-1)[:3] = torch.nan
        maps[3, 3].view(-1)[-1] = torch.nan
    if odd == "all nan" and size:
        maps[1, 3] = torch.nan
    values = strongest(maps)
    expected = [
        [next((p for p, v in enumerate(maps[r, c].reshape(-1).tolist()) if v == top), 0)
         for r in rows for top in [values[r, c].item()]]
        for c in range(9)
    ]  # fmt: skip
    last = maps.movedim(1, -1).contiguous().movedim(-1, 1)
    for some in (maps, last, last.half(), maps.transpose(0, 1).contiguous().transpose(0, 1)):
        assert every_position(some, strongest(some), rows).tolist() == expected


@pytest.mark.parametrize("size", [(5, 7), (2, 5, 7), (1, 1)])
@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("lowest", [False, True])
@pytest.mark.parametrize("share", [1, 2, 20])
def test_the_layout_does_not_move_a_position(size, odd, lowest, share):
    """Whole numbers, which tie; zeros of both signs; a NaN beside the first of equals."""
    g = torch.Generator().manual_seed(share)
    maps = torch.randn(6, 9, *size, generator=g).round()
    maps[:, 0] = 0.0
    maps[2, 0].view(-1)[0] = -0.0
    if odd and maps[0, 0].numel() > 1:
        maps[1, 3] = 4.0
        maps[1, 3].view(-1)[1] = torch.nan
    values = minima(maps) if lowest else strongest(maps)
    rows, channels = (torch.cartesian_prod(torch.arange(6), torch.arange(9))[::share]).T
    at = values[rows, channels]
    expected = [
        next(i for i, value in enumerate(maps[row, channel].flatten().tolist()) if value == most)
        for row, channel, most in zip(rows, channels, at.tolist(), strict=True)
    ]
    last = maps.movedim(1, -1).contiguous().movedim(-1, 1)
    for some in (maps, last):
        extreme = torch.amin if lowest else torch.amax
        found = first_positions(some, at, rows=rows, channels=channels, extreme=extreme)
        assert found.tolist() == expected


def test_a_nan_hides_its_line(monkeypatch):
    """Planted: without a look for NaN, the later of two equal values would be found."""
    maps = torch.zeros(1, 4, 3, 3)
    maps[0, 1, 0, 2] = maps[0, 1, 2, 0] = 5.0
    maps[0, 1, 0, 0] = torch.nan
    last = maps.to(memory_format=torch.channels_last)
    given = {"rows": torch.tensor([0]), "channels": torch.tensor([1])}
    assert first_positions(last, torch.tensor([5.0]), **given).tolist() == [2]
    monkeypatch.setattr(torch.Tensor, "isnan", lambda self: torch.zeros_like(self, dtype=bool))
    assert first_positions(last, torch.tensor([5.0]), **given).tolist() == [6]
