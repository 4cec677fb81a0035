"""The progress bar of the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def bar(total: int, does: str, *, unit: str = "image") -> Iterator[Callable[[int, int], None]]:
    """A progress bar with rate and time left; in a log file one line every ten seconds.

    It yields a reporter, which is told how many are done, of how many.
    """
    slow = 0.1 if sys.stderr.isatty() else 10.0
    with tqdm(
        total=total, desc=does, unit=unit, mininterval=slow, file=sys.stderr, dynamic_ncols=True
    ) as shown:

        def report(done: int, of: int) -> None:
            shown.total = of
            shown.update(done - shown.n)

        yield report
