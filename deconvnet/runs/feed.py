"""A data set as fixed, padded microbatches; images that can't be read are written down."""

from __future__ import annotations

import pickle
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from deconvnet.items import checked, read_item
from deconvnet.stopping import ASKING


class ReaderDied(RuntimeError):
    """A process that reads images ahead has died."""


@dataclass(frozen=True, eq=False)
class Microbatch:
    """The unit of work: a forward pass of another batch shape would differ in the last bits.

    Args:
        number: which one of the data set: its images are number · batch and those that follow.
        images: (batch, channels, *size), always the full batch; places without an image are zero.
        rows: (good,) the rows that hold an image.
        indices: (good,) int64 which image each of them is.
        failed: {index: reason} of the images that could not be read.
    """

    number: int
    images: Tensor
    rows: Tensor
    indices: Tensor
    failed: dict[int, str]


def microbatches(
    dataset: Any,
    batch_size: int,
    *,
    size: tuple[int, ...],
    dtype: torch.dtype,
    workers: int = 0,
    numbers: Sequence[int] | None = None,
) -> Iterator[Microbatch]:
    """The data set in order, or some of its microbatches in the order of their numbers.

    Args:
        dataset: map-style; an item is a tensor (channels, *size), or a tuple that starts with one.
        batch_size: rows of every microbatch.
        size: (channels, *size) of one image.
        dtype: what the model takes.
        workers: processes that read ahead; what they read does not depend on how many they are.
        numbers: which microbatches; all of them by default.

    Raises:
        TypeError, ValueError: an item is no tensor of this size; the message names its index.
        ReaderDied: a process that reads ahead has died.
        RuntimeError: it cannot be started.
    """
    total = len(dataset)
    chosen = range(-(-total // batch_size)) if numbers is None else numbers
    loader: DataLoader[Any] = DataLoader(
        _Numbered(dataset),
        batch_sampler=_Ranges(chosen, batch_size, total),
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


@dataclass(frozen=True)
class _Ranges(Sampler[Any]):
    """The images of each microbatch; a list of them all would be as long as the data set."""

    numbers: Sequence[int]
    batch_size: int
    total: int

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[range]:
        for n in self.numbers:
            yield range(n * self.batch_size, min((n + 1) * self.batch_size, self.total))


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
        rows, indices, failed = [], [], {}
        for row, (index, item) in enumerate(items):
            if isinstance(item, str):
                failed[index] = item
                continue
            try:
                images[row] = checked(item, index, self.size)
            except (TypeError, ValueError) as error:
                return error  # raised there, without the traceback of this process
            rows.append(row)
            indices.append(index)
        return Microbatch(
            items[0][0] // self.batch_size,
            images,
            torch.tensor(rows, dtype=torch.int64),
            torch.tensor(indices, dtype=torch.int64),
            failed,
        )


def _go_on(worker: int) -> None:
    """A signal to all processes of a job is the parent's to answer: it finishes, and ends us.

    The second SIGTERM ends this process, since the first may have been sent by PyTorch.
    """

    def ignore_once(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, *ASKING):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, ignore_once)
