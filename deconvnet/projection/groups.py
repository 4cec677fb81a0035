"""Group units by window size: in one pass all windows are as large as the largest needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def alike(sizes: Numbers, *, room: float, most: float, overhead: float) -> list[NDArray[np.int64]]:
    """Divide units into groups whose total cost is low.

    A group costs its number of units times the work of its largest sizes, plus ``overhead`` for
    each pass. Starting from one group, each is split in two along the axis and at the size that
    save most, as long as that saves anything.

    Args:
        sizes: (units, axes + 1) the box that each unit sees, and its depth; the product of all
            is its work.
        room: the most that one pass holds, as a number of units times the cells of a box.
        most: units in one pass.
        overhead: of one pass, in units of work.

    Returns:
        The numbers of the units of each group, ascending.
    """

    def cost(count: NDArray[np.int64], size: Numbers) -> Numbers:
        fits = np.clip(room // size[..., :-1].prod(-1), 1, most)
        costs: Numbers = count * size.prod(-1) + overhead * np.ceil(count / fits)
        return costs

    groups, open_ = [], [np.arange(len(sizes))]
    while open_:
        group = open_.pop()
        count, least, halves = np.arange(1, len(group)), np.inf, list[NDArray[np.int64]]()
        for axis in range(sizes.shape[1] if len(group) > 1 else 0):
            order = group[np.argsort(sizes[group, axis], kind="stable")]
            smaller = np.maximum.accumulate(sizes[order])[:-1]
            larger = np.maximum.accumulate(sizes[order[::-1]])[-2::-1]
            costs = cost(count, smaller) + cost(count[::-1], larger)
            if costs.min() < least:
                least, cut = costs.min(), 1 + int(costs.argmin())
                halves = [np.sort(order[:cut]), np.sort(order[cut:])]
        if least < cost(np.asarray(len(group)), sizes[group].max(0)):
            open_ += halves
        else:
            groups.append(group)
    return groups
