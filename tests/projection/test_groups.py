"""Units in groups of like sizes, against all ways to divide a few of them."""

import math

import numpy as np
import pytest

from deconvnet.projection.groups import alike


def cost(groups, sizes, *, most, overhead):
    """Each unit as much work as the largest of its group; and what the passes take."""
    total = 0.0
    for group in groups:
        largest = [max(sizes[unit][axis] for unit in group) for axis in range(len(sizes[0]))]
        total += len(group) * math.prod(largest) + overhead * math.ceil(len(group) / most)
    return total


def partitions(units):
    """All ways to divide units into groups."""
    if not units:
        yield []
        return
    first, *rest = units
    for some in partitions(rest):
        yield [[first], *some]
        for number, group in enumerate(some):
            yield [*some[:number], [first, *group], *some[number + 1 :]]


def divided(sizes, *, most=9, overhead=0.0):
    groups = alike(np.asarray(sizes, dtype=float), room=1e9, most=most, overhead=overhead)
    return [group.tolist() for group in groups]


@pytest.mark.parametrize("overhead", [0.0, 5.0, 40.0, 1e9])
@pytest.mark.parametrize("most", [2, 9])
@pytest.mark.parametrize("seed", range(6))
def test_groups_cost_little_more_than_the_best(seed, most, overhead):
    sizes = np.random.default_rng(seed).integers(1, 9, (7, 2)).tolist()
    groups = divided(sizes, most=most, overhead=overhead)
    assert sorted(sum(groups, [])) == list(range(7))
    assert all(group == sorted(group) for group in groups)
    best = min(
        cost(some, sizes, most=most, overhead=overhead) for some in partitions(list(range(7)))
    )
    found = cost(groups, sizes, most=most, overhead=overhead)
    assert found <= cost([range(7)], sizes, most=most, overhead=overhead)
    assert found <= 1.15 * best


def test_units_of_one_size_stay_together():
    assert divided([(3, 4, 5)] * 20) == [list(range(20))]


def test_corners_edges_and_the_middle_part():
    sizes = [(9, 9), (5, 5), (9, 5), (5, 9)] * 3
    assert sorted(divided(sizes)) == [[i, i + 4, i + 8] for i in range(4)]


def test_what_costs_nothing_stays_together():
    assert divided([(1, 2), (3, 4)], overhead=np.inf) == [[0, 1]]


def test_one_unit():
    assert divided([(3, 4)]) == [[0]]


def test_as_many_as_there_is_room_for():
    sizes = np.asarray([(2, 2, 1)] * 6 + [(8, 2, 1)] * 2, dtype=float)
    (together,) = alike(sizes, room=128, most=99, overhead=96)
    assert len(together) == 8, "one pass"
    small, large = sorted(alike(sizes, room=32, most=99, overhead=24), key=len, reverse=True)
    assert (len(small), len(large)) == (6, 2), "four passes of all, or one of each"
