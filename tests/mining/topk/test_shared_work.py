"""How often the threads of PyTorch wait for each other while a batch enters the tables.

Beside another busy process each wait may last as long as that process's turn, so that waits are
few, however many channels there are.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from deconvnet.mining.topk import Lowest, TopK

GRAIN = 2**15  # numbers; PyTorch runs smaller operations on one thread
ALWAYS = ("aten.index.Tensor", "aten.index_put_.default")  # but these, however small
FEW = ("index_copy_", "index_add_", "_local_scalar_dense")  # numbers of a large tensor


class Shared(TorchDispatchMode):
    """Notes the operations that PyTorch shares among its threads."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        # a view reads nothing, and what takes some of a large tensor is as small as what it takes
        taken = [result] if name == "index_select" else [*args, result]
        numbers = max((one.numel() for one in taken if isinstance(one, torch.Tensor)), default=0)
        if (numbers >= GRAIN and not function.is_view and name not in FEW) or str(
            function
        ) in ALWAYS:
            self.found.append(str(function))
        return result


def waits(top, shape):
    """In the first batches, when every channel takes new images in."""
    g = torch.Generator().manual_seed(0)
    counts = []
    for batch in range(3):
        images = torch.arange(shape[0]) + batch * shape[0]
        maps = torch.randn(shape, generator=g)
        with Shared() as shared:
            top.update(maps, images)
        counts.append(len(shared.found))
    return counts


@pytest.mark.parametrize(("shape", "most"), [((64, 4096), 8), ((64, 384, 13, 13), 6)])
def test_the_strongest_take_few_shared_operations(shape, most):
    assert max(waits(TopK(shape[1], 9), shape)) <= most


@pytest.mark.parametrize(("shape", "most"), [((64, 4096), 8), ((64, 384, 13, 13), 6)])
def test_the_lowest_too(shape, most):
    assert max(waits(Lowest(shape[1], 9), shape)) <= most


def test_what_it_must_catch(monkeypatch):
    """All keys sorted as one, in a dozen operations that are all shared."""
    monkeypatch.setattr("deconvnet.mining.topk.ranking._SHARED", 10**9)
    assert min(waits(TopK(4096, 9), (64, 4096))) > 16


def test_many_keys_are_sorted_as_one(monkeypatch):
    """A thousand images a channel are work enough for several threads: in 30 columns at a time
    most of it would be the calls of operations."""
    rows = []
    enter = "deconvnet.mining.topk.ranking.Ranking._enter"
    monkeypatch.setattr(enter, lambda self, values, *rest: rows.append(len(values)))
    TopK(4096, 1_000).update(torch.rand(64, 4096), torch.arange(64))
    TopK(256, 9).update(torch.rand(64, 256), torch.arange(64))
    TopK(600, 9).update(torch.rand(64, 600), torch.arange(64))
    assert rows == [4096, 256, 448, 152]


@pytest.mark.parametrize("shared", [1, 300, 10**9])
def test_parts_make_the_same_table(monkeypatch, shared):
    """Whole numbers, which tie; NaN; the second batch again, which is older than the newest."""
    g = torch.Generator().manual_seed(0)
    maps = torch.randn(48, 70, 3, 3, generator=g).round()
    maps[torch.rand(maps.shape, generator=g) < 0.05] = torch.nan
    tables = []
    for numbers in (2**15 - 1, shared):
        monkeypatch.setattr("deconvnet.mining.topk.ranking._SHARED", numbers)
        monkeypatch.setattr("deconvnet.mining.topk.ranking._PARTS", 100)
        top = TopK(70, 4)
        for start in (0, 32, 16, 32):
            top.update(maps[start : start + 16], torch.arange(start, start + 16))
        tables.append(top.state())
    assert all(torch.equal(one, tables[1][name]) for name, one in tables[0].items())
    assert (tables[0]["ties"] > 0).any()
