"""Read items of a data set, check that they are images, and say why one cannot be used."""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from os import PathLike, fsdecode
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, IterableDataset, Subset

from deconvnet.graph.modes import threads_of_cpu

from .image_files import ImageError

_LISTS = ("samples", "imgs", "_samples", "_image_files", "_images")
"""Where torchvision's data sets keep their files: a path each, or a tuple that starts with one."""
_SAMPLED = 8  # items that stand for the whole data set
# the machine's state and not the file's: to leave the image out would be wrong
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.ESTALE, errno.ETIMEDOUT)


def check_map_style(dataset: Any) -> None:
    """Check that a data set is map-style: every image can be read by its index."""
    kind = type(dataset).__name__
    if isinstance(dataset, dict):
        names = ", ".join(map(repr, islice(dataset, 8)))
        raise TypeError(f"a {kind} of {names} was given, expected one data set; choose one of them")
    able = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
    if isinstance(dataset, IterableDataset) or not able:
        raise TypeError(
            f"a data set of type {kind} was given, which has no len() and [i]; an iterable-style "
            "data set cannot be mined, since its images cannot be read again by their index: give "
            "a map-style one, or write its images to a folder"
        )


def check_repeatable(dataset: Any) -> None:
    """Check that images are the same whenever they are read, by reading a few of them twice."""
    indices = sampled(dataset)
    twice = [[read_item(dataset, index) for index in indices] for _ in range(2)]
    for index, once, again in zip(indices, *twice, strict=True):
        if isinstance(once, str) or isinstance(again, str):
            continue  # mining writes them down
        one, two = checked(once, index, None), checked(again, index, None)
        if one.shape != two.shape or not torch.equal(one.nan_to_num(), two.nan_to_num()):
            raise ValueError(
                f"item {index} of the data set differs each time it is read, so its exemplars "
                "could not be recomputed; remove random augmentation and shuffling"
            )


def sampled(dataset: Any) -> Sequence[int]:
    """A few indices, evenly spread over the data set."""
    return range(0, len(dataset), max(1, len(dataset) // _SAMPLED))[:_SAMPLED]


def first_image(dataset: Any) -> Tensor:
    """The first image that can be read, (channels, *size).

    Raises:
        TypeError: the data set is not map-style, or its items are no images.
        ValueError: it is empty, or none of its images can be read.
    """
    check_map_style(dataset)
    reason = "it is empty"
    for index in range(len(dataset)):
        item = read_item(dataset, index)
        if not isinstance(item, str):
            return checked(item, index, None)
        reason = item
    raise ValueError(f"the data set of {len(dataset)} images gives none: {reason}")


def read_item(dataset: Any, index: int) -> Any:
    """Read an item: its image, the reason as text if it is unreadable, or an exception.

    The exception is handed on, and raised by ``checked``: a process that reads ahead would wrap
    its traceback around it. The image is a copy, which stays what it is.
    """
    item = lent_item(dataset, index)
    return item.clone() if isinstance(item, Tensor) else item


def lent_item(dataset: Any, index: int) -> Any:
    """An item as ``read_item`` gives it, whose image is good until the next is read.

    Some data sets fill one tensor again and again. It is read with one thread, as PyTorch does in
    a process that reads ahead: the last bits of a mean over a large image depend on it.
    """
    try:
        with threads_of_cpu(1):
            item = dataset[index]
        image = _image_of(item)
        return image.detach() if isinstance(image, Tensor) else item
    except Exception as error:  # somebody else's code may raise anything
        if unreadable(error):
            return " ".join(str(error).split()) or type(error).__name__
        path = path_of(dataset, index)
        named = f" ({path})" if path != str(index) else ""
        broken = ValueError(
            f"item {index} of the data set{named} cannot be made, {type(error).__name__}: {error}; "
            "repair the data set, or let it raise OSError for an image to be left out"
        )
        broken.__cause__ = error
        return broken


def path_of(dataset: Any, index: int) -> str:
    """The path of an image's file, or ``str(index)`` if the data set does not know it.

    A method ``path(index)`` says it; else the lists of files of torchvision's data sets. No image
    is read. ``Subset`` and ``ConcatDataset`` of these are followed, nested however deep.
    """
    inner, place = _innermost(dataset, index)
    path = _own(inner, place)
    return str(index) if path is None or "\0" in path else path


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


def bytes_of(tensor: Tensor) -> memoryview:
    """The values of a tensor, row-major, for a fingerprint."""
    flat = tensor.detach().cpu().contiguous().flatten()
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")


def few_images(dataset: Any) -> Iterator[bytes]:
    """The bytes of a few images, evenly spread over the data set, with number and shape."""
    for index in sampled(dataset):
        image = read_item(dataset, index)
        if isinstance(image, Tensor):
            yield f"{index} {tuple(image.shape)}\n".encode() + bytes_of(image)


def _image_of(item: Any) -> Any:
    """The item, or the first of a tuple such as (image, label)."""
    return item[0] if isinstance(item, (tuple, list)) and item else item


def unreadable(error: BaseException) -> bool:
    """Whether an exception is about the file: ours, the system's, or any that Pillow raises.

    On broken files Pillow raises nearly everything, ValueError and SyntaxError among it, and
    torchvision's folders let it through.
    """
    cause = error.__cause__ if isinstance(error, ImageError) else error
    if isinstance(cause, OSError) and cause.errno in _EXHAUSTED:
        return False
    if isinstance(error, ImageError | OSError):
        return True
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return str(where).startswith("PIL.")


def checked(item: Any, index: int, size: tuple[int, ...] | None) -> Tensor:
    """Check that an item of ``read_item`` is a float tensor that a model can take, and return it.

    ``size`` is (channels, *size) of the other images; None for any.
    """
    if isinstance(item, Exception):
        raise item
    image = _image_of(item)
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
