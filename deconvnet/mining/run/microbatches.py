"""A data set as fixed, padded microbatches, in which image i occupies row ``i % batch``."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deconvnet.data.samples import checked, read_item

from .readers import Handed, ignore_interrupts, reading


@dataclass(frozen=True, eq=False)
class Microbatch:
    """The unit of work: images in one forward pass, always of the same batch shape.

    The last bits of an activation depend on the shape of the batch, and on some processors on the
    row of the image in it: a matrix product takes other instructions for rows whose memory is
    aligned otherwise. So image i always occupies row ``i % batch``, whoever runs it and whatever
    else is in the batch.

    Args:
        number: of the microbatch that its first image belongs to.
        images: (batch, channels, *size), always the full batch; rows without an image are zero.
        rows: (good,) the rows that hold an image, ascending.
        indices: (good,) int64, the index of each of them in the data set.
        failed: {index: reason} of the images that could not be read.
    """

    number: int
    images: Tensor
    rows: Tensor
    indices: Tensor
    failed: dict[int, str]

    def of_images(self, values: Tensor) -> Tensor:
        """The rows (good, …) that hold an image, of what a layer gives for the whole batch."""
        if len(self.rows) == len(self.images):
            return values
        return values[self.rows.to(values.device)]


def microbatches(
    dataset: Any,
    batch_size: int,
    *,
    size: tuple[int, ...],
    dtype: torch.dtype,
    workers: int = 0,
    groups: Iterable[Sequence[int]] | None = None,
    signals: Callable[[int], None] = ignore_interrupts,
) -> Generator[Microbatch, None, None]:
    """Read a data set as microbatches; close the generator, and the readers end.

    Args:
        dataset: map-style; an item is a tensor (channels, *size), or a tuple that starts with one.
        batch_size: rows of every microbatch.
        size: (channels, *size) of one image.
        dtype: what the model takes.
        workers: processes that read ahead; what they read does not depend on how many they are.
        groups: the images of each microbatch, ascending, no two of them of one row (``groups_of``,
            ``by_row``); by default the whole data set in order.
        signals: what a reader does about signals, see ``reading``.

    Raises:
        TypeError, ValueError: an item is no tensor of this size; the message names its index.
        ReaderDied: a process that reads ahead has died.
        RuntimeError: it cannot be started.
    """
    if groups is None:
        total = len(dataset)
        groups = groups_of(range(-(-total // batch_size)), batch_size, total)
    numbered, stacked = _Numbered(dataset), _Stacked(batch_size, size, dtype)
    with reading(numbered, groups, stacked, workers=workers, signals=signals) as batches:
        for batch in batches:
            if isinstance(batch, Exception):
                raise batch
            yield batch


def groups_of(numbers: Iterable[int], batch_size: int, total: int) -> Iterator[range]:
    """The images of the microbatches with these numbers, of a data set of ``total`` images."""
    for number in numbers:
        yield range(number * batch_size, min((number + 1) * batch_size, total))


def by_row(images: Iterable[int], batch_size: int) -> list[list[int]]:
    """Any images in as few groups as possible, each in the row that it was mined in.

    Images whose indices differ by a multiple of the batch size need groups of their own.
    """
    groups: list[list[int]] = []
    taken = [0] * batch_size  # how many groups have an image in this row
    for image in sorted(images):
        place = taken[image % batch_size]
        if place == len(groups):
            groups.append([])
        groups[place].append(image)
        taken[image % batch_size] += 1
    return groups


class _Numbered(Handed):
    """Items with their index; an image that can't be read is the reason why."""

    def __getitem__(self, index: int) -> tuple[int, Any]:
        return index, read_item(self.dataset, index)


@dataclass(frozen=True)
class _Stacked:
    """Makes the microbatch where its images are read.

    So what a process sends is one tensor: of single images, several processes would open more
    files than most systems allow.
    """

    batch_size: int
    size: tuple[int, ...]
    dtype: torch.dtype

    def __call__(self, items: Sequence[tuple[int, Any]]) -> Microbatch | Exception:
        images = torch.zeros((self.batch_size, *self.size), dtype=self.dtype)
        good, failed = {}, {}
        for index, item in items:
            if isinstance(item, str):
                failed[index] = item
                continue
            row = index % self.batch_size
            try:
                images[row] = checked(item, index, self.size)
            except (TypeError, ValueError) as error:
                return error  # raised there, without the traceback of this process
            good[row] = index
        rows = sorted(good)
        return Microbatch(
            items[0][0] // self.batch_size,
            images,
            torch.tensor(rows, dtype=torch.int64),
            torch.tensor([good[row] for row in rows], dtype=torch.int64),
            failed,
        )
