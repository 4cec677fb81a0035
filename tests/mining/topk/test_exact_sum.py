"""Sums without an order, against exact fractions."""

import math
from fractions import Fraction

import torch

from deconvnet.mining.topk.exact_sum import ExactSum


def terms(seed):
    """(terms, channels): 53 bits each, over the whole range, of both signs."""
    g = torch.Generator().manual_seed(seed)
    exponents = torch.randint(-120, 120, (200, 4), generator=g).double()
    return torch.randn(200, 4, generator=g, dtype=torch.float64) * 2.0**exponents


def total(rows):
    sums = ExactSum(rows.shape[1])
    for row in rows:
        sums.add(row)
    return sums.total()


def test_equals_the_fractions():
    rows = terms(0)
    for channel, found in enumerate(total(rows).tolist()):
        exact = sum(Fraction(term) for term in rows[:, channel].tolist())
        assert math.isclose(found, exact, rel_tol=1e-15)


def test_the_order_cannot_be_seen():
    rows = terms(1)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    merged = ExactSum(4)
    for part in rows[order].tensor_split(3):
        other = ExactSum(4)
        for row in part:
            other.add(row)
        merged.merge(other)
    assert torch.equal(total(rows), total(rows[order]))
    assert torch.equal(total(rows), merged.total())


def test_plain_running_sums_do_show_their_order():
    rows = terms(1)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    assert not torch.equal(sum(rows), sum(rows[order]))


def test_cancellation_is_exact():
    rows = torch.tensor([[2.0**100], [1.0], [-(2.0**100)], [2.0**-149]], dtype=torch.float64)
    assert total(rows).item() == 1.0
    assert total(rows - torch.tensor([[0.0], [1.0], [0.0], [0.0]])).item() == 2.0**-149


def test_infinities_and_nan_are_carried():
    inf, nan = math.inf, math.nan
    rows = torch.tensor([[1.0, inf, -inf, nan], [inf, inf, inf, 1.0]], dtype=torch.float64)
    found = total(rows).tolist()
    assert found[:2] == [inf, inf]
    assert math.isnan(found[2])
    assert math.isnan(found[3])
