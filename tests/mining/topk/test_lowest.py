"""The lowest of every channel, ties counted, whatever the order of images and merges."""

import math

import pytest
import torch

from deconvnet.mining.topk import Lowest, TopK
from tests.mining.topk.test_topk import random_case


def slow(activations, k, *, mean=False, sign=1):
    """[(activation, image, position)] ascending by sign, and how many more tie with the last."""
    tables, counts = [], []
    for channel in activations.transpose(0, 1):
        entries = []
        for image, one in enumerate(channel):
            every = [(sign * v, p) for p, v in enumerate(one.flatten().tolist()) if v == v]
            if every:
                value, place = min(every)
                of = sign * math.fsum(v for v, _ in every) / len(every) if mean else sign * value
                entries.append((of + 0.0, image, place))
        entries.sort(key=lambda e: (sign * e[0], e[1]))
        tables.append(entries[:k])
        last = entries[k - 1][0] if len(entries) >= k else None
        counts.append(sum(e[0] == last for e in entries[k:]))
    return tables, counts


def told(table):
    """The same of a table."""
    columns = (c.tolist() for c in (table.activation, table.image, table.position))
    rows = [list(zip(*channel, strict=True)) for channel in zip(*columns, strict=True)]
    return [[each for each in row if each[1] >= 0] for row in rows], table.ties.tolist()


def fed(kind, activations, k, *, shards, seed, **options):
    """A table whose images were shared out and merged at random."""
    generator = torch.Generator().manual_seed(seed)
    parts = [kind(activations.shape[1], k, **options) for _ in range(shards)]
    for some in torch.randperm(len(activations), generator=generator).split(5):
        part = parts[int(torch.randint(shards, (), generator=generator))]
        part.update(activations[some], some)
    first, *others = parts
    for other in others:
        first.merge(other)
    return first.table()


@pytest.mark.parametrize("shards", [1, 2, 5])
@pytest.mark.parametrize("seed", range(12))
def test_lowest_is_a_full_sort(seed, shards):
    activations, k = random_case(seed)
    assert told(fed(Lowest, activations, k, shards=shards, seed=seed)) == slow(activations, k)


@pytest.mark.parametrize("shards", [1, 2, 5])
@pytest.mark.parametrize("seed", range(12))
def test_ties_of_the_strongest(seed, shards):
    activations, k = random_case(seed)
    found = told(fed(TopK, activations, k, shards=shards, seed=seed))
    assert found == slow(activations, k, sign=-1)


def test_ties_are_planted():
    assert any(any(slow(*random_case(seed))[1]) for seed in range(12))


@pytest.mark.parametrize("seed", range(8))
def test_lowest_means(seed):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randint(-3, 4, (17, 3, 2, 4), generator=generator).float()  # sums are exact
    maps[2, 0], maps[5, 1, 0, 1] = math.nan, math.nan
    expected, ties = slow(maps, 4, mean=True)
    found, told_ties = told(fed(Lowest, maps, 4, shards=3, seed=seed, mean=True))
    rounded = [[(float(torch.tensor(v)), i, p) for v, i, p in row] for row in expected]
    assert (found, told_ties) == (rounded, ties)


def test_the_lowest_of_a_rectified_layer_would_be_seen():
    maps = torch.randn(17, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    assert told(fed(Lowest, maps, 4, shards=1, seed=0)) != slow(maps.relu(), 4)
    assert min(slow(maps.relu(), 4)[1]) >= 12  # nearly all of them tie at 0


def test_state_goes_on_to_the_same_bits():
    activations, k = random_case(3)
    images = torch.arange(len(activations))
    whole = Lowest(activations.shape[1], k)
    whole.update(activations[:5], images[:5])
    resumed = Lowest(activations.shape[1], k)
    resumed.load(whole.state())
    for low in (whole, resumed):
        low.update(activations[5:], images[5:])
    assert told(whole.table()) == told(resumed.table()) == slow(activations, k)
