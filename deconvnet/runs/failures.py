"""How many images of a data set may be unreadable before mining stops."""

from __future__ import annotations

from collections.abc import Mapping

TOLERATED = 0.01  # as a share of the data set; one image always is


def check_failed(
    failed: Mapping[int, str], images: int, *, strict: bool = False, before: int = 0
) -> None:
    """Stop if more images are unreadable than a data set may have.

    Args:
        failed: {index: reason} of those found now.
        images: how many the data set has.
        strict: none may be.
        before: how many were found in earlier runs.

    Raises:
        ValueError: they are too many; the message names the first.
    """
    count = len(failed) + before
    if failed and (strict or count > max(1, TOLERATED * images)):
        index, reason = next(iter(failed.items()))
        raise ValueError(
            f"{count} of {images} images cannot be read, the first is image {index}: "
            f"{reason}; repair or remove them"
        )
