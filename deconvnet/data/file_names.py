"""The file behind an image of a data set, through subsets and concatenations."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from os import PathLike, fsdecode
from typing import Any

from torch.utils.data import ConcatDataset, Subset

_LISTS = ("samples", "imgs", "_samples", "_image_files", "_images")
"""Where torchvision's data sets keep their files: a path each, or a tuple that starts with one."""


def file_name(dataset: Any, index: int) -> str:
    """What the data set calls an image: the path of its file, or ``str(index)`` if it has none.

    A method ``path(index)`` says it; else the lists of files of torchvision's data sets. No image
    is read. ``Subset`` and ``ConcatDataset`` of these are followed, nested however deep.

    Args:
        dataset: map-style.
        index: of the image, from 0.
    """
    inner, place = _innermost(dataset, index)
    found = _own(inner, place)
    return str(index) if found is None or "\0" in found else found


def _innermost(dataset: Any, index: int) -> tuple[Any, int]:
    """The data set that reads the image itself, and the index of the image in that one."""
    while not callable(getattr(dataset, "path", None)):
        if isinstance(dataset, Subset):
            dataset, index = dataset.dataset, int(dataset.indices[index])
        elif isinstance(dataset, ConcatDataset):
            which = bisect_right(dataset.cumulative_sizes, index)
            before = dataset.cumulative_sizes[which - 1] if which else 0
            dataset, index = dataset.datasets[which], index - before
        else:
            break
        index += len(dataset) if index < 0 else 0
    return dataset, index


def _own(dataset: Any, index: int) -> str | None:
    path = getattr(dataset, "path", None)
    if callable(path):
        with suppress(TypeError):  # it takes, or gives, something else: it is no path of an image
            return fsdecode(path(index))
        return None
    for name in _LISTS:
        files = getattr(dataset, name, None)
        if isinstance(files, Sequence) and len(files) == len(dataset):
            entry = files[index]
            entry = entry[0] if isinstance(entry, tuple) and entry else entry
            if isinstance(entry, str | PathLike):
                return fsdecode(entry)
    return None
