"""Units of different samples share a backward pass of an operation that keeps samples apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, count, islice
from math import comb
from typing import Protocol

import torch
from torch import Tensor

from .base import Record

Signals = Sequence[Tensor | None]


class Pass(Protocol):
    """A forward pass of a batch, whose graph autograd has kept."""

    @property
    def wanted(self) -> list[Tensor]:
        """The inputs that signals go to, (samples, ...) each."""

    @property
    def outputs(self) -> tuple[Tensor | None, ...]:
        """The outputs, (samples, ...) each; None where one carries no signal."""

    def back(self, signals: Signals) -> list[Tensor | None]:
        """Autograd's signal for each of ``wanted``, for one at each output."""


@dataclass(frozen=True, eq=False)
class Packed(Record):
    """Samples of a forward pass whose graph autograd has kept, for the whole batch at once.

    Args:
        whole: the pass.
        rows: (units,) the sample of each unit.
    """

    whole: Pass
    rows: Tensor

    def take(self, index: Tensor) -> Packed:
        """Some of these."""
        return Packed(self.whole, self.rows[index.to(self.rows.device)])

    def back(self, signals: Signals) -> list[Tensor | None]:
        """The same for signals of units, (units, ...) each; a pass for each round of them."""
        rows, samples = self.rows.tolist(), len(self.whole.wanted[0])
        turns = rounds(rows)
        order = torch.tensor([unit for turn in turns for unit in turn]).argsort()
        parts = []
        for turn in turns:
            at = [rows[unit] for unit in turn]
            spread = [None if s is None else _spread(s[turn], at, samples) for s in signals]
            parts.append([None if part is None else part[at] for part in self.whole.back(spread)])
        return [_together(column, order) for column in zip(*parts, strict=True)]


def rounds(rows: Sequence[int]) -> list[list[int]]:
    """Numbers of units in rounds; in each of them a sample has one unit at most.

    Args:
        rows: (units,) the sample of each unit.
    """
    found: list[list[int]] = []
    met: Counter[int] = Counter()
    for unit, row in enumerate(rows):
        if met[row] == len(found):
            found.append([])
        found[met[row]].append(unit)
        met[row] += 1
    return found


def stay_apart(whole: Pass) -> bool:
    """Whether a signal of some samples comes back to these alone.

    Random signals of some samples are sent down the kept graph, which is what all units of the
    recording will use, and nothing is run again.
    """
    there = [*whole.wanted, *(out for out in whole.outputs if out is not None)]
    if not whole.wanted or len({x.shape[:1] for x in there}) > 1 or not there[0].ndim:
        return False
    generator = torch.Generator().manual_seed(0)
    return all(_alone(whole, rows, generator) for rows in separating(len(there[0])))


def separating(samples: int) -> Iterator[list[int]]:
    """Few groups of samples, such that of any two each is once in a group without the other."""
    if samples < 2:
        return
    groups = next(n for n in count(2) if comb(n, n // 2) >= samples)
    members = list(islice(combinations(range(groups), groups // 2), samples))
    for group in range(groups):
        yield [sample for sample, own in enumerate(members) if group in own]


def _alone(whole: Pass, rows: list[int], generator: torch.Generator) -> bool:
    """Whether the other samples get what they get where there is no signal at all."""

    def drawn(out: Tensor) -> Tensor:
        return _spread(torch.randn(out[rows].shape, generator=generator).to(out), rows, len(out))

    seeds = [None if out is None else drawn(out) for out in whole.outputs]
    nothing = [None if out is None else torch.zeros_like(out) for out in whole.outputs]
    for found, rest in zip(whole.back(seeds), whole.back(nothing), strict=True):
        if found is None or rest is None:
            continue
        others = torch.ones(len(found), dtype=torch.bool)
        others[rows] = False  # NaN may come of a sample's own values, signal or not
        if not torch.allclose(found[others], rest[others], rtol=0, atol=0, equal_nan=True):
            return False
    return True


def _spread(signal: Tensor, rows: list[int], samples: int) -> Tensor:
    """Signals of some samples among zeros."""
    whole = signal.new_zeros((samples, *signal.shape[1:]))
    whole[rows] = signal
    return whole


def _together(parts: Sequence[Tensor | None], order: Tensor) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.cat(there)[order.to(there[0].device)] if there else None
