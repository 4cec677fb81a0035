"""Images as a user has them: tensors, files, PIL images or arrays, one or several."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from deconvnet.arguments import Brief, check_each, expanded

from .band_files import NPY
from .image_files import ImageError
from .pictures import Prepares
from .resolve import HOW, known_preprocessing, needed_preprocessing

_FORMS = "a float tensor (batch, channels, *size), preprocessed; or paths, PIL images, uint8 arrays"
_WRAPPED = (
    "a model that takes a dictionary or a list is wrapped in a module whose forward takes the "
    "images alone and makes it of them"
)


@dataclass(frozen=True, eq=False)
class GivenImages(Brief):
    """Images as a model takes them, with what is needed to show them.

    Args:
        tensor: (batch, channels, *size), floats.
        names: a name for each image: of its file, else its number.
        preprocessing: turns tensors back into pictures; None if it is not known.
    """

    tensor: Tensor
    names: Sequence[str]
    preprocessing: Prepares | None = None

    def __len__(self) -> int:
        return len(self.tensor)

    @property
    def prepared(self) -> Prepares:
        """The preprocessing; ValueError if it is not known."""
        return needed_preprocessing(self.preprocessing, axes=self.tensor.ndim - 2)

    @property
    def pictures(self) -> list[NDArray[np.float32]]:
        """(height, width, 3) in [0, 1] of each image.

        Raises:
            ValueError: no preprocessing is known.
        """
        return [self.prepared.picture(image) for image in self.tensor]


def given_images(
    images: Any,
    *,
    axes: int,
    preprocessing: Any = None,
    model: Any = None,
    names: Sequence[str] = (),
) -> GivenImages:
    """Read the images of a call.

    Float tensors are taken as they are: nothing preprocesses them. Everything else is read by the
    preprocessing.

    Args:
        images: a float tensor (batch, channels, *size), or (channels, *size) of one image; paths
            (of a signal or a video, a ``.npy`` file of floats (channels, *size)), PIL images, or
            arrays (height, width, channels) or (height, width) of uint8, or tensors (channels,
            height, width) of it; one or several, or a list of float tensors.
        axes: how many axes of a size the model's images have: 2 for height and width.
        preprocessing: as ``known_preprocessing`` takes it; by default that of the model.
        model: or its DeconvNet; its attribute ``preprocessing`` counts.
        names: of the images, instead of those of their files.

    Raises:
        TypeError: something that is no image.
        ValueError: files or arrays without a preprocessing; images of several sizes; no images;
            another number of names.
        ImageError: a file cannot be used. A ValueError.
    """
    if isinstance(images, GivenImages):
        return images
    known = known_preprocessing(preprocessing, model=model)
    if isinstance(images, Tensor) and images.dtype != torch.uint8:
        tensor = images[None] if images.ndim == axes + 1 else images
        return GivenImages(tensor, _named(names, [""] * len(tensor)), known)
    ones = _listed(images, axes)
    told = [_name(one) for one in ones]
    if axes != 2:
        ones = [_signal(one, axes) for one in ones]
    if all(isinstance(one, Tensor) and one.is_floating_point() for one in ones):
        for number, one in enumerate(ones):
            if one.ndim != axes + 1:
                raise TypeError(
                    f"images were a {type(images).__name__}, and image {number} of it was "
                    f"{_kind(one)}; expected (channels, *size) for each; {_WRAPPED}"
                )
        return GivenImages(_stacked(ones), _named(names, told), known)
    for number, one in enumerate(ones):
        if not _readable(one):
            raise TypeError(f"image {number} was {_kind(one)}; give {_FORMS}")
    if known is None:
        raise ValueError(f"images were given as {_kind(ones[0])}, without a preprocessing; {HOW}")
    tensors = [
        _prepared(one, name or f"image {number}", known)
        for number, (one, name) in enumerate(zip(ones, told, strict=True))
    ]
    return GivenImages(_stacked(tensors), _named(names, told), known)


def _signal(one: Any, axes: int) -> Any:
    """The float tensor of a file of a signal or a video; what is no ``.npy`` file, unchanged."""
    if not isinstance(one, str | PathLike) or Path(one).suffix != NPY:
        return one
    try:
        values = torch.from_numpy(np.load(expanded(one), allow_pickle=False))
    except (OSError, ValueError, TypeError) as error:
        raise ImageError(f"{os.fspath(one)!r} cannot be used: {error}") from error
    if values.ndim != axes + 1 or not values.is_floating_point():
        raise ImageError(
            f"{os.fspath(one)!r} cannot be used: it holds {_kind(values)}; expected floats "
            "(channels, *size), as the model takes them"
        )
    return values.to(torch.get_default_dtype())


def _listed(images: Any, axes: int) -> list[Any]:
    """One image, or several, as a list."""
    if isinstance(images, str | PathLike | Image.Image):
        return [images]
    stack = {np.ndarray: 4, Tensor: axes + 2}.get(type(images))
    if stack is not None and images.ndim < stack:
        return [images]
    if stack is None and not isinstance(images, list | tuple):
        raise TypeError(
            f"images were {type(images).__name__}; give {_FORMS}, one or a list; {_WRAPPED}"
        )
    if len(images) == 0:
        raise ValueError(f"no images were given; give {_FORMS}")
    return list(images)


def _prepared(one: Any, name: str, preprocessing: Prepares) -> Tensor:
    """The tensor of one image."""
    if isinstance(one, str | PathLike):
        return preprocessing.prepared(preprocessing.read(one), os.fspath(one))
    if isinstance(one, Tensor) and one.dtype == torch.uint8:
        one = one.cpu().movedim(0, -1).numpy() if one.ndim == 3 else one.cpu().numpy()
    return preprocessing.prepared(_picture(one) if isinstance(one, np.ndarray) else one, name)


def _readable(one: Any) -> bool:
    if isinstance(one, np.ndarray):
        return one.dtype in (np.uint8, np.uint16)
    return isinstance(one, str | PathLike | Image.Image) or getattr(one, "dtype", 0) == torch.uint8


def _picture(array: NDArray[Any]) -> Any:
    """An array (height, width[, channels]) as a PIL image; the array, if Pillow has no such."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    usual = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (2, 3, 4))
    return Image.fromarray(np.ascontiguousarray(array)) if usual else array


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    sizes = list(dict.fromkeys(tuple(one.shape) for one in tensors))
    if len(sizes) > 1:
        raise ValueError(
            f"images of {' and '.join(map(str, sizes[:3]))} were given; expected images of one "
            "size: crop them, or give them one at a time"
        )
    return torch.stack(list(tensors))


def _named(names: Sequence[str], told: Sequence[str]) -> list[str]:
    if names:
        check_each("names of images", names, len(told))
    return list(names) or [name or f"image {number}" for number, name in enumerate(told)]


def _name(one: Any) -> str:
    """The name of an image's file; empty if it has none."""
    file = one if isinstance(one, str | PathLike) else getattr(one, "filename", "")
    return Path(os.fspath(file)).name


def _kind(one: Any) -> str:
    if isinstance(one, str | PathLike):
        return f"a path, {os.fspath(one)!r}"
    if isinstance(one, np.ndarray | Tensor):
        return f"{type(one).__name__} of {one.dtype} and shape {tuple(one.shape)}"
    return type(one).__name__
