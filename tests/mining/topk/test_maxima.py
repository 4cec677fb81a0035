"""Maxima and sums of maps: the fast way is the plain one."""

import pytest
import torch

from deconvnet.mining.topk import TopK
from deconvnet.mining.topk.maxima import every_position, maxima_and_sums, strongest
from tests.mining.topk.test_topk import as_lists


def odd_maps(seed):
    """Maps of one sign, of zeros of both signs, with infinities; few or most of them negative."""
    g = torch.Generator().manual_seed(seed)
    maps = torch.randn(6, 40, 5, 7, generator=g)
    maps += torch.tensor([0.0, -1.0, -3.0])[seed % 3]
    maps[0, 0], maps[1, 0], maps[2, 0] = -0.0, -1e-42, -torch.inf
    maps[3, 0], maps[3, 0, 2, 2] = -0.0, 0.0
    maps[4, 0, 1, 1] = torch.inf
    maps[5, 0] = -1 - torch.rand(5, 7, generator=g)
    return maps.relu() if seed % 4 == 3 else maps


@pytest.mark.parametrize("cached", [1, 100, 10**6])
@pytest.mark.parametrize("seed", range(8))
def test_the_fast_way_is_the_plain_one(monkeypatch, seed, cached):
    monkeypatch.setattr("deconvnet.mining.topk.maxima._CACHED", cached)
    maps = odd_maps(seed)
    for some in (maps, maps.to(memory_format=torch.channels_last), maps[:, ::2], maps.double()):
        maxima, sums = maxima_and_sums(some, (2, 3))
        assert torch.equal(maxima, some.amax((2, 3)))
        assert torch.equal(sums.isfinite(), some.sum((2, 3)).isfinite())
        torch.testing.assert_close(sums, some.sum((2, 3), dtype=torch.float32), equal_nan=True)
    bits = maps.contiguous().view(torch.int32).amax((2, 3)).view(torch.float32)
    assert seed % 4 == 3 or not torch.equal(bits, maps.amax((2, 3)))  # without the second look


def test_a_sum_has_the_same_bits_whatever_is_in_the_cache(monkeypatch):
    maps = torch.randn(9, 30, 11, 11, generator=torch.Generator().manual_seed(0))
    found = []
    for cached in (1, 5_000, 10**7):
        monkeypatch.setattr("deconvnet.mining.topk.maxima._CACHED", cached)
        found.append(maxima_and_sums(maps, (2, 3))[1])
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[1], found[2])


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
