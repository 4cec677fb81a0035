"""What a run has to know of a data set before it begins, learnt where the data set will be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from deconvnet.data.samples import check_map_style, check_repeatable, first_image
from deconvnet.mining import fingerprint

from .file_positions import Positions
from .readers import ask


@dataclass(frozen=True, eq=False)
class Look:
    """What was seen of a data set.

    Args:
        image: the first one that can be read, (channels, *size).
        fingerprint: see ``fingerprint.of_dataset``.
    """

    image: Tensor
    fingerprint: str


def look(dataset: Any, workers: int, signals: Callable[[int], None]) -> Look:
    """Read a few images; in a reader, if readers will be started.

    A data set that opens its file when it is first read is best opened in each reader.

    Args:
        dataset: map-style.
        workers: how many readers there will be; 0: this process reads.
        signals: what a reader does about signals, see ``readers.reading``.

    Raises:
        TypeError: the data set is not map-style, or its items are no images.
        ValueError: it is empty, none of its images can be read, an image is another one each time
            it is read, or the data set reads from a file that was open in this process already.
        ReaderDied, RuntimeError: as ``readers.reading``.
    """
    check_map_style(dataset)
    if not workers:
        return _look(dataset)
    len(dataset)  # which this process may ask for: if it opens a file, then now
    positions = Positions()
    found = ask(_look, dataset, signals=signals)
    positions.check()
    return found


def _look(dataset: Any) -> Look:
    image = first_image(dataset)
    check_repeatable(dataset)
    return Look(image, fingerprint.of_dataset(dataset))
