"""One item of a data set: read, checked, or the reason why it cannot be used."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from deconvnet.graph.modes import threads_of_cpu

from .file_names import file_name
from .image_files import ImageError

_SAMPLED = 8  # items that stand for the whole data set
# the machine's state and not the file's: to leave the image out would be wrong
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.ESTALE, errno.ETIMEDOUT)


def check_map_style(dataset: Any) -> None:
    """A figure reads single images again, so every image must be reachable by its index.

    Raises:
        TypeError: the data set only hands its images out one after the other, or is a dict.
    """
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
    """An image must be the same one whenever it is read; a few are read twice.

    Raises:
        ValueError: one of them differs, as after random augmentation or shuffling.
    """
    indices = sampled(dataset)
    twice = [[read_item(dataset, index) for index in indices] for _ in range(2)]
    for index, once, again in zip(indices, *twice, strict=True):
        if isinstance(once, str) or isinstance(again, str):
            continue  # mining writes them down
        one, two = checked(once, index, None), checked(again, index, None)
        if one.shape != two.shape or not torch.equal(one.nan_to_num(), two.nan_to_num()):
            raise ValueError(
                f"item {index} of the data set is another one each time it is read; what is found "
                "in it could not be shown again: take random augmentation and shuffling out of it"
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
    """The image of an item; the reason as text if it cannot be read; an exception if it is none.

    The exception is handed on, and raised by ``checked``: a process that reads ahead would wrap
    its traceback around it. The image is a copy: some data sets fill one tensor again and again.
    It is read with one thread, as PyTorch sets it in a process that reads ahead: the last bits of
    a mean over a large image depend on the number of threads.
    """
    try:
        with threads_of_cpu(1):
            item = dataset[index]
        image = item[0] if isinstance(item, (tuple, list)) and item else item
        return image.detach().clone() if isinstance(image, Tensor) else item
    except Exception as error:  # somebody else's code may raise anything
        if unreadable(error):
            return " ".join(str(error).split()) or type(error).__name__
        broken = ValueError(
            f"item {index} of the data set{_named(dataset, index)} cannot be made, "
            f"{type(error).__name__}: {error}; "
            "repair the data set, or let it raise OSError for an image to be left out"
        )
        broken.__cause__ = error
        return broken


def path_of(dataset: Any, index: int) -> str:
    """What the data set calls an image: its path, else its index."""
    return file_name(dataset, index)


def _named(dataset: Any, index: int) -> str:
    """The path in brackets, for a message; nothing where it is not known."""
    path = path_of(dataset, index)
    return f" ({path})" if path != str(index) else ""


def unreadable(error: BaseException) -> bool:
    """Whether an exception speaks of the file: ours, the system's, or any that Pillow raises.

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
    """The image of a data set's item, if it is one a model can take.

    Args:
        item: what ``read_item`` gave.
        index: its index, for the message.
        size: (channels, *size) of the other images; None for any.

    Raises:
        TypeError: it is no tensor of floats, nor a tuple that starts with one.
        ValueError: it has another size, or could not be made.
    """
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
