"""Limit how many images of a data set may be unreadable, and name them when they are more."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line asks for the limit before h5py is needed
    from deconvnet.store.table import Failed

DEFAULT = "1%"
"""Of the data set; one image always may."""
SHOWN = 20  # images that a message names
PATIENCE = 60.0  # seconds that the rest of a data set is looked through for more


@dataclass(frozen=True)
class Limit:
    """How many images may be unreadable; none if ``strict``: the first one stops the run at once.

    ``most`` is a share of the data set ("1%", 0.01), but at least one image, or a number of images
    ("20", 20); ValueError if it is neither.
    """

    most: str | float = DEFAULT
    strict: bool = False

    def __post_init__(self) -> None:
        self.of(1)

    def of(self, images: int) -> int:
        """The limit as a number of images, for a data set of this size."""
        if self.strict:
            return 0
        text = str(self.most)
        percent = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) ?%", text)
        share = float(percent[1]) / 100 if percent else self.most
        if isinstance(share, str) and share.isdecimal():
            return int(share)
        if isinstance(share, int) and not isinstance(share, bool) and share >= 0:
            return share
        if isinstance(share, float) and 0 <= share <= 1:
            return max(1, math.floor(share * images)) if share else 0
        raise ValueError(
            f"max_bad={self.most!r} was given, expected a share of the images such as '1%' or "
            "0.01, or a number of images such as 20"
        )


class TooManyBad(ValueError):
    """More images are unreadable than the limit allows.

    Attributes:
        failed: the images, by index.
        lines: the message for a terminal.
        details: all of it for a machine.
    """

    def __init__(self, failed: tuple[Failed, ...], images: int, *, most: int, more: str) -> None:
        self.failed = failed
        head = f"{len(failed)} of {images} images cannot be read{more}, and at most {most} may be"
        named = [each.said for each in failed[:SHOWN]]
        if len(failed) > SHOWN:
            named.append(f"and {len(failed) - SHOWN} more (--json lists them all)")
        todo = "repair or remove them, or allow more: max_bad=, on the command line --max-bad"
        super().__init__(f"{head}: {'; '.join(named)}; {todo}")
        self.lines = [f"{head}:", *(f"  {each}" for each in named), todo]
        self.details = {"error": head, "failed": [vars(each) for each in failed]}


def check_failed(
    failed: Mapping[int, Failed],
    images: int,
    *,
    limit: Limit,
    rest: Iterable[Mapping[int, Failed]] | None = None,
) -> None:
    """Stop if more images are unreadable than the limit allows.

    ``failed`` are those known so far, by index, of ``images`` in all; ``rest`` are those of each
    microbatch not read yet, which are read, for a minute at most, so that the message names every
    bad image and not only the first.

    Raises:
        ValueError: the limit is strict, and there is one.
        TooManyBad: they are too many.
    """
    most = limit.of(images)
    if len(failed) <= most:
        return
    if limit.strict:
        raise ValueError(
            f"{len(failed)} of {images} images cannot be read, the first is "
            f"{next(iter(failed.values())).said}; repair or remove them"
        )
    every = dict(failed)
    more = "" if rest is None or _read_on(rest, every) else " so far (not all were looked at)"
    named = tuple(each for _, each in sorted(every.items()))
    raise TooManyBad(named, images, most=most, more=more)


def _read_on(rest: Iterable[Mapping[int, Failed]], failed: dict[int, Failed]) -> bool:
    """Add the rest to ``failed``, and return whether all was read."""
    until = time.monotonic() + PATIENCE
    try:
        for some in rest:
            failed |= some
            if time.monotonic() > until:
                return False
    except Exception:  # something else is wrong too; the images so far are worth telling
        return False
    return True
