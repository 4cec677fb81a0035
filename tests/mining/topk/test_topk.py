"""Exact top-k against a slow and obvious one: every activation, sorted by Python."""

import math

import pytest
import torch

from deconvnet.mining.topk import TopK

# Few values, so that ties are everywhere; and everything that has an odd place in an order.
VALUES = torch.tensor([0.0, -0.0, 1.0, 1.0, 2.5, -1.0, math.nan, math.inf, -math.inf, 1e-42])


def random_case(seed):
    """All activations (images, channels, *positions) of a small data set, and a k."""
    g = torch.Generator().manual_seed(seed)
    images, channels, k = (int(torch.randint(1, n, (), generator=g)) for n in (24, 5, 7))
    positions = [(), (3,), (2, 3), (1, 1), (2, 2, 2)][seed % 5]
    shape = (images, channels, *positions)
    activations = VALUES[torch.randint(len(VALUES), shape, generator=g)]
    if seed % 3 == 0:  # a dead channel
        activations[:, 0] = 0.0
    if seed % 3 == 1:  # a channel with both zeros as its maxima
        activations[:, -1] = torch.tensor([0.0, -0.0, -1.0])[
            torch.randint(3, activations[:, -1].shape, generator=g)
        ]
    if seed % 4 == 0:  # without what makes everything else meaningless
        activations = torch.where(activations.isfinite(), activations, torch.tensor(0.5))
    if seed % 4 == 1:
        activations = activations + torch.randn(shape, generator=g)
    return activations, k


def slow(activations, k, *, order=lambda value, position: (-value, position), ties=1, each=1):
    """The table as lists [(activation, image, position)] for each channel; knobs to be wrong."""
    table = []
    for channel in range(activations.shape[1]):
        entries = []
        for image in range(activations.shape[0]):
            values = activations[image, channel].flatten().tolist()
            places = [(v, p) for p, v in enumerate(values) if not math.isnan(v)]
            places.sort(key=lambda place: order(*place))
            entries += [(value, image, position) for value, position in places[:each]]
        entries.sort(key=lambda entry: (-entry[0], ties * entry[1]))
        table.append(entries[:k])
    return table


def as_lists(table):
    """A Table as lists like those of `slow`; empty slots must be empty and at the end."""
    channels = []
    columns = (table.activation, table.image, table.position)
    for rows in zip(*columns, strict=True):
        entries = list(zip(*(row.tolist() for row in rows), strict=True))
        full = [entry for entry in entries if entry[1] != -1]
        assert all(math.isnan(a) and p == -1 for a, _, p in entries[len(full) :])
        channels.append(full)
    return channels


def batches(activations, *, g, shuffled=False):
    """The data set in batches of random sizes, with image indices."""
    images = torch.arange(len(activations))
    if shuffled:
        images = torch.randperm(len(activations), generator=g)
    while len(images):
        size = int(torch.randint(1, 8, (), generator=g))
        yield activations[images[:size]], images[:size]
        images = images[size:]


def fast(activations, k, *, seed=0, shuffled=False, shards=1):
    """The table of TopK, the data set fed in pieces."""
    g = torch.Generator().manual_seed(seed)
    tops = [TopK(activations.shape[1], k) for _ in range(shards)]
    for turn, batch in enumerate(batches(activations, g=g, shuffled=shuffled)):
        tops[turn % shards].update(*batch)
    first, *rest = tops
    for other in rest:
        first.merge(other)
    return first.table()


def disagreements(wrong):
    """On how many of the random cases `wrong` differs from `slow`."""
    cases = [random_case(seed) for seed in range(60)]
    return sum(wrong(a, k) != slow(a, k) for a, k in cases)


def same(one, other):
    return all(
        torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))
        for a, b in zip(vars(one).values(), vars(other).values(), strict=True)
    )


# --- the law, and what it must catch ---------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("shuffled", [False, True])
def test_equals_the_slow_one(shards, shuffled):
    def ours(activations, k):
        return as_lists(fast(activations, k, seed=k, shuffled=shuffled, shards=shards))

    assert disagreements(ours) == 0


def float_topk(activations, k):
    """The tempting wrong way: torch.topk on the maxima; the order of ties is left open."""
    maps = activations.flatten(2) if activations.ndim > 2 else activations[..., None]
    maxima, positions = maps.max(2)
    values, images = maxima.T.topk(min(k, len(maps)))
    positions = positions.T.gather(1, images)
    rows = zip(values.tolist(), images.tolist(), positions.tolist(), strict=True)
    return [list(zip(*row, strict=True)) for row in rows]


WRONG = {
    "torch.topk on floats": float_topk,
    "the last of equal positions": lambda a, k: slow(a, k, order=lambda v, p: (-v, -p)),
    "ties by the larger image": lambda a, k: slow(a, k, ties=-1),
    "several entries for an image": lambda a, k: slow(a, k, each=2),
    "-0.0 below 0.0": lambda a, k: slow(a, k, order=lambda v, p: (-v, math.copysign(1, v) < 0, p)),
    "NaN is inf": lambda a, k: slow(a.nan_to_num(nan=math.inf, posinf=math.inf), k),
    "NaN is -inf": lambda a, k: slow(torch.where(a.isnan(), -math.inf, a), k),
    "a NaN spoils its map": lambda a, k: slow(
        torch.where(a.flatten(1).isnan().any(1).view(-1, *[1] * (a.ndim - 1)), math.nan, a), k
    ),
    "one entry too few": lambda a, k: [rows[: k - 1] for rows in slow(a, k)],
    "smallest first": lambda a, k: slow(-a, k),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_the_law_catches(wrong):
    assert disagreements(wrong) > 0


# --- sharding, merging, resuming -------------------------------------------------------------


def test_every_sharding_gives_the_same_bits_for_one_batch_size():
    g = torch.Generator().manual_seed(1)
    parts = [
        (torch.randn(4, 3, 5, 5, generator=g) * 10.0**e, torch.arange(4) + 4 * i)
        for i, e in enumerate([0, 6, -6, 12, 3, -12, 0])
    ]

    def mined(*shards):
        tops = []
        for shard in shards:
            tops.append(TopK(3, 9))
            for index in shard:
                tops[-1].update(*parts[index])
        while len(tops) > 1:
            last = tops.pop()
            tops[len(tops) // 2].merge(last)
        return tops[0].table()

    whole = mined(range(7))
    for shards in [([6, 5, 4, 3, 2, 1, 0],), ([0, 2, 4, 6], [1, 3, 5]), *[[[i] for i in range(7)]]]:
        assert same(mined(*shards), whole)
    # what it must catch: running sums in float64 are not the same in every order
    sums = [part.double().sum((0, 2, 3)) for part, _ in parts]
    assert not torch.equal(sum(sums), sum(reversed(sums)))


def merged(first, *others):
    """A new TopK that took in all of these, in this order."""
    top = TopK.from_state(first.state())
    for other in others:
        top.merge(other)
    return top


def test_merge_is_commutative_and_associative():
    for seed in range(20):
        activations, k = random_case(seed)
        thirds = []
        for images in torch.arange(len(activations)).tensor_split(3):
            thirds.append(TopK(activations.shape[1], k))
            thirds[-1].update(activations[images], images)
        a, b, c = thirds
        expected = merged(a, b, c).table()
        assert as_lists(expected) == slow(activations, k)
        assert same(expected, merged(a, merged(b, c)).table())
        assert same(expected, merged(c, b, a).table())


def test_an_image_fed_again_takes_no_second_slot():
    for seed in range(20):
        activations, k = random_case(seed)
        images = torch.arange(len(activations))
        twice = TopK(activations.shape[1], k)
        twice.update(activations, images)
        twice.update(activations, images)
        together = TopK(activations.shape[1], k)
        together.update(torch.cat([activations, activations]), torch.cat([images, images]))
        for top in (twice, together):
            assert as_lists(top.table()) == slow(activations, k)


def test_an_image_fed_again_keeps_its_stronger_entry():
    top = TopK(1, 3)
    for value in (1.0, 5.0, 2.0):
        top.update(torch.tensor([[value]]), torch.tensor([7]))
    assert as_lists(top.table()) == [[(5.0, 7, 0)]]


def test_an_image_fed_again_after_a_merge():
    one, other = TopK(1, 2), TopK(1, 2)
    one.update(torch.tensor([[3.0]]), torch.tensor([0]))
    other.update(torch.tensor([[5.0], [1.0]]), torch.tensor([8, 9]))
    one.merge(other)
    one.update(torch.tensor([[3.0], [5.0]]), torch.tensor([4, 8]))  # a tie, and one known
    assert as_lists(one.table()) == [[(5.0, 8, 0), (3.0, 0, 0)]]
    one.update(torch.tensor([[5.0]]), torch.tensor([2]))  # a tie that an older image wins
    assert as_lists(one.table()) == [[(5.0, 2, 0), (5.0, 8, 0)]]


def test_an_image_with_two_positions_keeps_the_first():
    """Another machine may find the same maximum elsewhere: merging must not show its order."""
    tops = [TopK(1, 2), TopK(1, 2)]
    tops[0].update(torch.tensor([[[1.0, 2.0]]]), torch.tensor([0]))
    tops[1].update(torch.tensor([[[2.0, 1.0]]]), torch.tensor([0]))
    for one, other in (tops, tops[::-1]):
        assert as_lists(merged(one, other).table()) == [[(2.0, 0, 0)]]


def test_state_goes_on_to_the_same_bits():
    activations, k = random_case(7)
    images = torch.arange(len(activations))
    whole = TopK(activations.shape[1], k)
    whole.update(activations[:5], images[:5])
    resumed = TopK.from_state(whole.state())
    for top in (whole, resumed):
        top.update(activations[5:], images[5:])
    assert same(whole.table(), resumed.table())


# --- counters --------------------------------------------------------------------------------


def test_counters():
    for seed in range(40):
        activations, k = random_case(seed)
        table = fast(activations, k, seed=seed, shards=2)
        channels = activations.transpose(0, 1).flatten(1).double()
        torch.testing.assert_close(table.mean, channels.nanmean(1), equal_nan=True)
        assert table.nan.tolist() == channels.isnan().sum(1).tolist()
        positive = (activations.flatten(2) if activations.ndim > 2 else activations[..., None]) > 0
        assert table.nonzero.tolist() == positive.any(2).double().mean(0).tolist()


# --- types and shapes ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats(dtype):
    activations = torch.randn(9, 4, 5, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert as_lists(fast(activations, 3)) == slow(activations.float(), 3)


def test_values_apart_only_in_float64_tie():
    activations = torch.tensor([[[1.0, 1.0 + 1e-12]]], dtype=torch.float64)
    assert as_lists(fast(activations, 1)) == [[(1.0, 0, 0)]]


def test_channels_last_and_gradients():
    activations = torch.randn(6, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    strided = activations.to(memory_format=torch.channels_last).requires_grad_()
    assert as_lists(fast(strided, 4)) == slow(activations, 4)


def test_positions_looked_up_in_several_parts(monkeypatch):
    monkeypatch.setattr("deconvnet.mining.topk.maxima._GATHERED", 20)
    activations, k = random_case(2)
    assert as_lists(fast(activations, k)) == slow(activations, k)
