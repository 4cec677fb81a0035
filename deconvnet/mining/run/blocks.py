"""Which process runs which microbatches: fixed by three numbers, agreed on without a word."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypeGuard

Ranges = tuple[tuple[int, int], ...]
"""Numbers as half-open ranges, ascending and apart from each other."""

_LONGEST = 16  # microbatches in a block: neighbouring images are read from the disk together
_BLOCKS = 64  # blocks a process, where there are enough microbatches: shares of about one size


def share(total: int, index: int, count: int) -> list[int]:
    """The microbatches, of 0 … total - 1, that process ``index`` of ``count`` runs; ascending.

    Every microbatch belongs to one process. Nothing else enters, above all not what is done
    already: processes that start at different times would see different things, and between
    them leave a block undone. Blocks are dealt out in an order that differs from one count to
    another, so that what one lost process left undone is spread over all processes of a restart
    with another count.

    Raises:
        ValueError: the index is not in 0 … count - 1.
    """
    if not 0 <= index < count:
        raise ValueError(
            f"shard {index} of {count} was given; they are numbered 0/{count} … {count - 1}/{count}"
            if count > 0
            else f"shards {index}/{count} were given; give at least one, 0/1"
        )
    length = max(1, min(_LONGEST, total // (_BLOCKS * count)))
    blocks = sorted(range(-(-total // length)), key=lambda block: _lot(block, count))
    own = sorted(blocks[index::count])
    return [n for block in own for n in range(block * length, min((block + 1) * length, total))]


def _lot(block: int, count: int) -> bytes:
    """Where a block stands in the order; python's own random numbers may change with it."""
    return hashlib.sha256(f"{block} of {count}".encode()).digest()


def to_ranges(numbers: Iterable[int]) -> Ranges:
    """Different numbers as ranges."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return tuple(found)


def from_ranges(ranges: Iterable[tuple[int, int]]) -> set[int]:
    """The numbers again."""
    return {number for start, stop in ranges for number in range(start, stop)}


def mask_of(ranges: Sequence[tuple[int, int]]) -> int:
    """The ranges as the bits of an integer: what two of them share is one ``&``."""
    mask = 0
    for start, stop in ranges:
        mask |= ((1 << (stop - start)) - 1) << start
    return mask


def checked_ranges(found: object, total: int) -> Ranges:
    """Ranges that come from a file.

    Raises:
        ValueError: they are not ascending pairs of integers in 0 … total.
    """
    pairs = [tuple(pair) for pair in found if isinstance(pair, list)] if _is_list(found) else []
    ends = [end for pair in pairs for end in pair]
    if not _is_list(found) or any(len(pair) != 2 for pair in pairs) or len(pairs) != len(found):
        raise ValueError(f"{str(found)[:80]!r} are no ranges of microbatches")
    if not all(type(end) is int for end in ends) or not (
        sorted(set(ends)) == ends and (not ends or (ends[0] >= 0 and ends[-1] <= total))
    ):
        raise ValueError(f"{str(found)[:80]!r} are no ascending ranges of 0 … {total}")
    return tuple((int(start), int(stop)) for start, stop in pairs)


def _is_list(found: object) -> TypeGuard[list[object]]:
    return isinstance(found, list)
