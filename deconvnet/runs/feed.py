"""A data set as fixed, padded microbatches, in which image i occupies row ``i % batch``."""

from __future__ import annotations

import pickle
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from deconvnet.items import checked, read_item


class ReaderDied(RuntimeError):
    """A process that reads images ahead has died."""


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
) -> Iterator[Microbatch]:
    """Read a data set as microbatches.

    Args:
        dataset: map-style; an item is a tensor (channels, *size), or a tuple that starts with one.
        batch_size: rows of every microbatch.
        size: (channels, *size) of one image.
        dtype: what the model takes.
        workers: processes that read ahead; what they read does not depend on how many they are.
        groups: the images of each microbatch, ascending, no two of them of one row (``groups_of``,
            ``by_row``); by default the whole data set in order.

    Raises:
        TypeError, ValueError: an item is no tensor of this size; the message names its index.
        ReaderDied: a process that reads ahead has died.
        RuntimeError: it cannot be started.
    """
    if groups is None:
        total = len(dataset)
        groups = groups_of(range(-(-total // batch_size)), batch_size, total)
    loader: DataLoader[Any] = DataLoader(
        _Numbered(dataset),
        batch_sampler=map(list, groups),
        num_workers=workers,
        collate_fn=_Stacked(batch_size, size, dtype),
        worker_init_fn=_go_on,
        generator=torch.Generator(),  # else it takes a number from the user's
    )
    with readers_die():
        batches = iter(loader)
    while True:
        with readers_die():
            try:
                batch = next(batches, None)
            except (OSError, EOFError) as error:
                # our own data sets' are reasons by now; this one comes from talking to a reader
                if not workers or "Caught " in str(error):
                    raise
                raise _died(error) from error
        if batch is None:
            return
        if isinstance(batch, Exception):
            raise batch
        yield batch


@contextmanager
def readers_die() -> Iterator[None]:
    """Say in our words when a process that reads ahead dies.

    PyTorch tells of it from a signal handler, so at any line: around all work with microbatches.
    """
    try:
        yield
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        if "pickle" not in str(error).lower():
            raise
        raise RuntimeError(
            f"the data set cannot be handed to other processes ({error}); define its classes and "
            "functions at the top level of a module that can be imported, or use workers=0"
        ) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error) or isinstance(error, ReaderDied):
            raise
        raise _died(error) from error


def _died(error: BaseException) -> ReaderDied:
    return ReaderDied(
        f"a process that reads images has died ({' '.join(str(error).split())}); it may have "
        "been out of memory: use fewer workers, or none"
    )


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


class _Numbered(Dataset[tuple[int, Any]]):
    """Items with their index; an image that can't be read is the reason why."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

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


def _go_on(worker: int) -> None:
    """A signal to all processes of a job is the parent's to answer: it finishes, and ends us.

    The second SIGTERM ends this process, since the first may have been sent by PyTorch.
    """

    def ignore_once(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, ignore_once)
