"""A data set as fixed, padded microbatches; images that can't be read are written down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from deconvnet.images import ImageError

UNREADABLE = (ImageError, OSError)  # the second is what Pillow, and so torchvision's folders, raise


@dataclass(frozen=True, eq=False)
class Microbatch:
    """The unit of work: a forward pass of another batch shape would differ in the last bits.

    Args:
        images: (batch, channels, *size), always the full batch; places without an image are zero.
        rows: (good,) the rows that hold an image.
        indices: (good,) int64 which image each of them is.
        failed: {index: reason} of the images that could not be read.
    """

    images: Tensor
    rows: Tensor
    indices: Tensor
    failed: dict[int, str]


def microbatches(
    dataset: Any, batch_size: int, *, size: tuple[int, ...], dtype: torch.dtype, workers: int = 0
) -> Iterator[Microbatch]:
    """The data set in order.

    Args:
        dataset: map-style; an item is a tensor (channels, *size), or a tuple that starts with one.
        batch_size: rows of every microbatch.
        size: (channels, *size) of one image.
        dtype: what the model takes.
        workers: processes that read ahead.

    Raises:
        TypeError, ValueError: an item is no tensor of this size; the message names its index.
    """
    loader = DataLoader(
        _Numbered(dataset),
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=list,
        generator=torch.Generator(),  # else it takes a number from the user's
    )
    for items in loader:
        images = torch.zeros((batch_size, *size), dtype=dtype)
        rows, indices, failed = [], [], {}
        for row, (index, item) in enumerate(items):
            if isinstance(item, str):
                failed[index] = item
                continue
            images[row] = checked(item, index, size)
            rows.append(row)
            indices.append(index)
        yield Microbatch(
            images,
            torch.tensor(rows, dtype=torch.int64),
            torch.tensor(indices, dtype=torch.int64),
            failed,
        )


def first_image(dataset: Any) -> Tensor:
    """The first image that can be read, (channels, *size).

    Raises:
        ValueError: the data set is empty, or none of its images can be read.
    """
    reason = "it is empty"
    for index in range(len(dataset)):
        _, item = _Numbered(dataset)[index]
        if not isinstance(item, str):
            return checked(item, index, None)
        reason = item
    raise ValueError(f"the data set of {len(dataset)} images gives none: {reason}")


def checked(item: Any, index: int, size: tuple[int, ...] | None) -> Tensor:
    """The image of a data set's item, if it is one a model can take."""
    if isinstance(item, Exception):
        raise item
    image = item[0] if isinstance(item, (tuple, list)) and item else item
    if not isinstance(image, Tensor):
        raise TypeError(
            f"item {index} of the data set is {type(image).__name__}; expected a float tensor "
            "(channels, height, width), or a tuple that starts with one: give it a transform"
        )
    if not image.is_floating_point() or image.ndim < 2:
        raise TypeError(
            f"item {index} of the data set is a tensor of {image.dtype} and shape "
            f"{tuple(image.shape)}; expected floats (channels, height, width), preprocessed"
        )
    if size is not None and tuple(image.shape) != size:
        raise ValueError(
            f"item {index} of the data set has shape {tuple(image.shape)}, the first one has "
            f"{size}; all images must be of one size: resize and crop them in the transform"
        )
    return image


class _Numbered(Dataset[tuple[int, Any]]):
    """Items with their index; an image that can't be read becomes the reason why."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[int, Any]:
        try:
            return index, self.dataset[index]
        except UNREADABLE as error:
            return index, str(error)
        except Exception as error:  # handed on, since a worker would wrap its traceback around it
            broken = ValueError(
                f"item {index} of the data set cannot be made, {type(error).__name__}: {error}; "
                "repair the data set, or let it raise OSError for an image to be left out"
            )
            broken.__cause__ = error
            return index, broken
