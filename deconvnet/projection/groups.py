"""Units in groups that are projected at little cost: a window is as large as the largest needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def alike(sizes: Numbers, *, room: float, most: float, once: float) -> list[NDArray[np.int64]]:
    """Divide units into groups that cost little.

    A group of units costs the work of as many units of its largest sizes, and ``once`` for each
    pass that it takes. It is cut in two along the axis and at the size that save most, as long as
    that saves anything.

    Args:
        sizes: (units, axes) of what each unit sees, and as the last its depth; the product of all
            is its work.
        room: for one pass, in such products of all axes but the last.
        most: units in one pass.
        once: the work that takes as long as what a pass takes in any case.

    Returns:
        The numbers of the units of each group, ascending.
    """

    def cost(count: NDArray[np.int64], size: Numbers) -> Numbers:
        fits = np.clip(room // size[..., :-1].prod(-1), 1, most)
        costs: Numbers = count * size.prod(-1) + once * np.ceil(count / fits)
        return costs

    groups, uncut = [], [np.arange(len(sizes))]
    while uncut:
        group = uncut.pop()
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
            uncut += halves
        else:
            groups.append(group)
    return groups
