"""Every microbatch belongs to one process, whatever each of them sees when it starts."""

import pytest

from deconvnet.mining.run.blocks import checked_ranges, from_ranges, mask_of, share, to_ranges

TOTALS = (1, 2, 7, 64, 1000, 20_001)
COUNTS = (1, 2, 3, 4, 16, 100)


def faults(shares, total):
    """Microbatches that nobody runs, or more than one."""
    every = sorted(number for one in shares for number in one)
    return sorted(set(range(total)) - set(every)) + [n for n in set(every) if every.count(n) > 1]


@pytest.mark.parametrize("total", TOTALS)
@pytest.mark.parametrize("count", COUNTS)
def test_every_microbatch_belongs_to_one_process(total, count):
    shares = [share(total, index, count) for index in range(count)]
    assert sorted(n for one in shares for n in one) == list(range(total))
    assert all(one == sorted(one) for one in shares)


@pytest.mark.parametrize("count", COUNTS)
def test_shares_are_of_about_one_size_and_read_in_blocks(count):
    sizes = [len(share(20_000, index, count)) for index in range(count)]
    assert max(sizes) - min(sizes) <= 2 * 16
    assert len(to_ranges(share(20_000, 0, count))) * 10 < max(sizes) + 10 * count


def test_what_one_process_left_undone_is_shared_by_all_of_a_restart():
    lost = set(share(20_000, 1, 2))
    for count in (3, 4, 8):
        left = [len(lost.intersection(share(20_000, index, count))) for index in range(count)]
        assert min(left) > len(lost) / count / 3, left


def test_dealing_out_what_is_left_loses_microbatches():
    """The tempting wrong way: the second process starts when the first has done something."""
    seen = (set(), {0, 1, 2})
    wrong = [sorted(set(range(20)) - done)[index::2] for index, done in enumerate(seen)]
    assert faults(wrong, 20) != []
    right = [sorted(set(share(20, index, 2)) - done) for index, done in enumerate(seen)]
    assert set(faults(right, 20)) <= seen[1]


@pytest.mark.parametrize(("index", "count"), [(2, 2), (-1, 2), (0, 0)])
def test_a_share_that_does_not_exist(index, count):
    with pytest.raises(ValueError, match="shard"):
        share(10, index, count)


def test_ranges():
    assert to_ranges([5, 1, 2, 3, 9]) == ((1, 4), (5, 6), (9, 10))
    assert to_ranges([]) == ()
    assert from_ranges(((1, 4), (5, 6))) == {1, 2, 3, 5}
    assert mask_of(((1, 4), (5, 6))) == 0b101110
    assert checked_ranges([[1, 4], [5, 6]], 6) == ((1, 4), (5, 6))
    assert checked_ranges([], 6) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        None, 3, "12", [1, 2], [[1, 2, 3]], [[1]], [[2, 1]], [[1, 1]], [[0, 2], [1, 3]], [[-1, 2]],
        [[0, 7]], [[0.0, 1.0]], [[True, 2]], [[0, 1], 3], [["a", "b"]],
    ],
)  # fmt: skip
def test_ranges_of_a_file_are_checked(wrong):
    with pytest.raises(ValueError, match="ranges of"):
        checked_ranges(wrong, 6)
