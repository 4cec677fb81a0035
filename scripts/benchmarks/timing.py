"""Time several sides in turns (A B A B), so that a busy minute slows all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.utils.benchmark import Timer
from torch.utils.benchmark.utils.timer import timer

Side = Callable[[], object]
SHORTEST = 0.05  # seconds of a measurement: quick work is repeated


@dataclass(frozen=True)
class Setup:
    """How to measure."""

    device: str = "cpu"  # or "cuda"
    threads: int = 1  # that PyTorch uses on the CPU
    rounds: int = 3  # how often each side is timed
    weights: str = ""  # state dict of VGG-16; empty for seeded weights

    def weights_of(self, network: str) -> str:
        """The state dict that a network shall load; empty for none."""
        return self.weights if network == "vgg16" else ""


def interleaved(
    sides: Mapping[str, Side], rounds: int, clock: Callable[[], float] = timer
) -> dict[str, list[float]]:
    """Time each side once a round, in turns; every measurement starts with a call that warms up.

    Args:
        sides: {name: work}.
        rounds: how often.
        clock: seconds; by default those of a wall clock, which waits for a GPU.

    Returns:
        {name: seconds of a call, one for each round}.
    """
    threads = torch.get_num_threads()
    timers = {
        name: Timer("work()", timer=clock, globals={"work": work}, num_threads=threads)
        for name, work in sides.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, one in timers.items():
            seconds[name].append(one.blocked_autorange(min_run_time=SHORTEST).median)
    return seconds


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """The ratio of each round: what slows a whole round cancels."""
    return [a / b for a, b in zip(above, below, strict=True)]
