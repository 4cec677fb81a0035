"""Maxima of maps and their positions, among NaN too."""

import pytest
import torch

from deconvnet.mining.topk import TopK
from deconvnet.mining.topk.maxima import every_position, strongest
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
