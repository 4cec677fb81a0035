"""Estimate the time and disk space of an atlas from a few of its units."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deconvnet.arguments import Brief
from deconvnet.graph.modes import plain

from .atlas import ASSETS, Plan, draw
from .folder import Building
from .plan import files
from .sprites import photograph

_UNITS = 3  # of a layer, that are made
_NUMBERS = 2_500  # bytes of a unit in the files of numbers and on its page


@dataclass(frozen=True)
class Estimate(Brief):
    """What an atlas takes, on this machine.

    Args:
        files: how many there will be.
        bytes: of all of them, about.
        seconds: about.
    """

    files: int
    bytes: int
    seconds: float


@plain()
def estimate(plan: Plan) -> Estimate:
    """Make a few units of every layer in a temporary folder, and extrapolate to all.

    Args:
        plan: as ``atlas.planned`` gives it.
    """
    size, seconds = 0.0, 0.0
    shown: set[int] = set()
    with tempfile.TemporaryDirectory() as folder:
        building = Building(Path(folder), Path(folder))
        for leaf in plan.leaves:
            alive = np.flatnonzero(leaf.table.nonzero > 0).tolist()
            some = _spread(alive, _UNITS)
            if some:
                began = time.perf_counter()
                share = len(alive) / len(some)
                size += draw(building, leaf, some, plan.pictures) * share
                seconds += (time.perf_counter() - began) * share
            shown |= leaf.images(range(leaf.table.channels)) if plan.pictures.images else set()
    if shown:
        began = time.perf_counter()
        few = _spread(sorted(shown), _UNITS)
        size += (
            sum(len(photograph(plan.pictures.photograph(i))) for i in few) * len(shown) / len(few)
        )
        seconds += (time.perf_counter() - began) * len(shown) / len(few)
    names = sum(1 for _ in files(plan.leaves, plan.pictures.rules, sorted(shown)))
    size += plan.units * _NUMBERS
    return Estimate(names + len(ASSETS) + 2, int(size), seconds)


def _spread(items: Sequence[int], count: int) -> list[int]:
    """Some of many, evenly."""
    return list(items[:: max(1, len(items) // count)][:count])
