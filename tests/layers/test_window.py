"""Intervals, against sets of indices counted out one by one."""

import numpy as np
import pytest

from deconvnet.layers import Interval
from deconvnet.layers.window import clipped, union, whole

EMPTY = Interval(np.int64(3), np.int64(3))
MOVES = {
    "sliding": lambda i: i.sliding(3, 2, 1),
    "scattered": lambda i: i.scattered(3, 2, 1),
    "binned": lambda i: i.binned(3, 10),
    "regrouped": lambda i: i.regrouped(2, 4),
    "shifted": lambda i: i.shifted(-7),
}


def ends(interval):
    return int(interval.start), int(interval.stop)


def hull(indices):
    return (min(indices), max(indices) + 1) if indices else None


SETTINGS = [
    (span, stride, padding) for span in (1, 2, 3, 5) for stride in (1, 2, 3) for padding in (0, 2)
]


def below(y, span, stride, padding):
    """Every index under the sliding window ``y``."""
    return set(range(y * stride - padding, y * stride - padding + span))


@pytest.mark.parametrize(("span", "stride", "padding"), SETTINGS)
def test_sliding(span, stride, padding):
    for start in range(4):
        for stop in range(start + 1, 6):
            seen = set.union(*(below(y, span, stride, padding) for y in range(start, stop)))
            assert ends(Interval(start, stop).sliding(span, stride, padding)) == hull(seen)


@pytest.mark.parametrize(("span", "stride", "padding"), SETTINGS)
def test_scattered_is_sliding_the_other_way_round(span, stride, padding):
    for start in range(12):
        for stop in range(start + 1, 14):
            seen = [
                y for y in range(-9, 20) if below(y, span, stride, padding) & {*range(start, stop)}
            ]
            found = Interval(start, stop).scattered(span, stride, padding)
            assert (None if found.empty else ends(found)) == hull(seen)


@pytest.mark.parametrize("bins", [1, 2, 3, 5, 7, 12])
def test_binned(bins):
    """Bin ``i`` of ``b`` runs from the floor of ``i n / b`` to the ceiling of ``(i+1) n / b``."""
    length = 7
    for start in range(bins):
        for stop in range(start + 1, bins + 1):
            first = int(np.floor(start * length / bins + 1e-9))
            last = int(np.ceil(stop * length / bins - 1e-9))
            assert ends(Interval(start, stop).binned(bins, length)) == (first, last)


def test_regrouped():
    for start in range(6):
        for stop in range(start + 1, 7):
            seen = [c // 2 * 3 + k for c in range(start, stop) for k in range(3)]
            assert ends(Interval(start, stop).regrouped(2, 3)) == hull(seen)


@pytest.mark.parametrize("move", sorted(MOVES))
def test_everything_stays_everything(move):
    assert ends(MOVES[move](Interval.whole()).clipped(9)) == (0, 9)
    assert ends(MOVES[move](Interval.whole())) == ends(Interval.whole())


@pytest.mark.parametrize("move", sorted(MOVES))
def test_nothing_stays_nothing(move):
    for start, stop in ((3, 3), (3, 1), (0, -5), (-4, -4)):
        assert MOVES[move](Interval(np.int64(start), np.int64(stop))).empty


@pytest.mark.parametrize("move", sorted(MOVES))
def test_many_units_are_moved_as_each_of_them(move):
    starts, stops = np.array([0, 2, 5, 4]), np.array([1, 6, 5, 9])
    together = MOVES[move](Interval(starts, stops))
    for n in range(len(starts)):
        alone = MOVES[move](Interval(starts[n], stops[n]))
        assert bool(together.empty[n]) == bool(alone.empty)
        assert alone.empty or (int(together.start[n]), int(together.stop[n])) == ends(alone)


def test_one_index():
    assert ends(Interval.at(4)) == (4, 5)
    assert Interval.at([1, 2]).stop.tolist() == [2, 3]


def test_union_is_the_hull_and_nothing_adds_nothing():
    one, other = Interval(1, 3), Interval(7, 8)
    assert ends(one.union(other)) == ends(other.union(one)) == (1, 8)
    assert ends(one.union(EMPTY)) == ends(EMPTY.union(one)) == (1, 3)
    assert EMPTY.union(EMPTY).empty


def test_a_window_that_is_empty_on_one_axis_sees_nothing_on_any():
    seen = (Interval.at(2), Interval(np.int64(4), np.int64(6)))
    nothing = (Interval(np.int64(0), np.int64(9)), EMPTY)
    for both in (union(seen, nothing), union(nothing, seen)):
        assert [ends(i) for i in both] == [(2, 3), (4, 6)]
    units = (Interval(np.array([0, 0]), np.array([9, 9])), Interval(np.array([3, 3]), [3, 4]))
    assert union(seen, units)[0].stop.tolist() == [3, 9]


def test_clipped():
    window = (Interval(-3, 4), *whole(1), Interval(2, 99))
    assert [ends(i) for i in clipped(window, (3, 5, 7))] == [(0, 3), (0, 5), (2, 7)]
