"""The progress bar of long work, in Python and on the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from .run.sharding import local_rank

DELAY = 1.0  # seconds: work that is done sooner shows no bar
Reporter = Callable[[int, int], None]
"""It is told how many are done, of how many."""


@contextmanager
def bar(total: int, does: str, *, unit: str = "image") -> Iterator[Reporter]:
    """A progress bar with rate and time left; in a log file one line every ten seconds.

    It is shown after a second, and by one process of those that torchrun or SLURM start on a
    machine.
    """
    slow = 0.1 if sys.stderr.isatty() else 10.0
    with tqdm(
        total=total, desc=does, unit=unit, mininterval=slow, file=sys.stderr, dynamic_ncols=True,
        delay=DELAY, disable=bool(local_rank(os.environ)),
    ) as shown:  # fmt: skip

        def report(done: int, of: int) -> None:
            shown.total = of
            shown.update(done - shown.n)

        yield report


@contextmanager
def reporting(
    report: Reporter | None, does: str, *, progress: bool, unit: str = "image"
) -> Iterator[Reporter | None]:
    """The reporter of a call; without one a bar, if ``progress`` asks for it."""
    if report is not None or not progress:
        yield report
        return
    with bar(1, does, unit=unit) as shown:
        yield shown
