"""One reporter for everything long, which the command line turns into a bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def bar(total: int, does: str, *, unit: str = "image") -> Iterator[Callable[[int, int], None]]:
    """A progress bar with images a second and time left; a line every ten seconds in logs.

    Yields:
        A reporter, told how many are done, of how many.
    """
    slow = 0.1 if sys.stderr.isatty() else 10.0
    with tqdm(
        total=total, desc=does, unit=unit, mininterval=slow, file=sys.stderr, dynamic_ncols=True
    ) as shown:

        def report(done: int, of: int) -> None:
            shown.total = of
            shown.update(done - shown.n)

        yield report
