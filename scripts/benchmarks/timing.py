"""A B A B: what is compared runs in turns, so that a busy minute troubles all of it alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import torch

Work = Callable[[], object]


def settled(device: str) -> Callable[[], None]:
    """What to call before looking at the clock: a GPU is waited for."""
    return torch.cuda.synchronize if device.startswith("cuda") else lambda: None


def interleaved(
    sides: Mapping[str, Work],
    *,
    rounds: int,
    settle: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time each side once a round, in turns.

    Args:
        sides: {name: work}, which have been run before: nothing is warmed up here.
        rounds: how often.
        settle: called before each look at the clock.
        clock: seconds.

    Returns:
        {name: seconds of each round}.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, work in sides.items():
            settle()
            begin = clock()
            kept = work()
            settle()
            seconds[name].append(clock() - begin)
            del kept  # to free a result is no part of the work
    return seconds


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """The ratio of each round: what the rounds have in common cancels."""
    return [a / b for a, b in zip(above, below, strict=True)]


def spread(values: Sequence[float], digits: int = 3) -> str:
    """The median, and the smallest and largest where there are several: ``9.1 (8.8–9.3)``."""
    if not values:
        return ""
    shown = f"{number(median(values), digits)}"
    if len(values) > 1:
        shown += f" ({number(min(values), digits)}–{number(max(values), digits)})"
    return shown


def number(value: float, digits: int = 3) -> str:
    """So many digits that count, never in powers of ten."""
    whole = len(str(int(abs(value))))
    if abs(value) >= 1:
        return f"{value:.{max(0, digits - whole)}f}"
    return f"{value:.{digits - 1}f}"
