"""Preprocessing by a callable of the user's, with an inverse where one is known."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from .image_files import read_image
from .pictures import RANGE, Prepares, to_pixels

_TO_UNIT = ("ToTensor", "MaybeToTensor", "ConvertImageDtype")
"""Transforms of torchvision and timm that give floats in [0, 1]."""


@dataclass(frozen=True)
class Denormalized:
    """The inverse of ``(x - mean) / std``, band by band; a picklable callable."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, tensor: Tensor) -> Tensor:
        """(channels, *size) to [0, 1].

        Raises:
            ValueError: the tensor has another number of bands.
        """
        return denormalized(tensor, self.mean, self.std)


def denormalized(tensor: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """``x * std + mean`` in float32, band by band; ValueError for another number of bands."""
    if tensor.ndim < 2 or len(tensor) != len(mean):
        raise ValueError(
            f"a tensor of shape {tuple(tensor.shape)} was given, expected ({len(mean)}, height, "
            f"width), or another size: there is a mean for each of {len(mean)} bands"
        )
    sides = (1,) * (tensor.ndim - 1)
    means, stds = (
        torch.tensor(tuple(numbers), dtype=torch.float32).view(-1, *sides)
        for numbers in (mean, std)
    )
    return tensor.detach().cpu().float() * stds + means


@dataclass(frozen=True, eq=False)
class Transform(Prepares):
    """A callable that makes a tensor of a PIL image, and its inverse.

    >>> prepared = Transform(lambda image: to_tensor(image) * 2 - 1, inverse=lambda x: (x + 1) / 2)

    Of ``torchvision.transforms.Compose`` and the like that end in ``ToTensor(), Normalize(mean,
    std)``, the inverse is read from them if none is given.
    """

    transform: Callable[[Any], Any]
    """takes a PIL image (RGB; grey if it normalises one band), returns floats (channels, *size)"""
    inverse: Callable[[Tensor], Any] | None = None
    """takes a tensor (channels, *size), returns one of the same shape in [0, 1]; None: pictures
    are drawn between their least and their greatest value"""
    bands: tuple[int, ...] | None = None
    """the bands that pictures show"""

    def __post_init__(self) -> None:
        """Find the inverse: the callable's own attribute ``inverse``, or of its Normalize."""
        if self.inverse is None:
            own = getattr(self.transform, "inverse", None)
            known = own if callable(own) else normalization_of(self.transform)
            object.__setattr__(self, "inverse", known)

    @property
    def shape(self) -> None:
        """Unknown: it depends on the callable."""
        return None

    @property
    def note(self) -> str:
        """That pictures are drawn between least and greatest value, if there is no inverse."""
        return "" if self.inverse is not None else RANGE

    def read(self, file: str | PathLike[str] | BinaryIO, *, name: str | None = None) -> Image.Image:
        """Read an image file as RGB, or as grey if the callable normalises one band."""
        image = read_image(file, name=name)
        one = isinstance(self.inverse, Denormalized) and len(self.inverse.mean) == 1
        return image.convert("L") if one else image

    def __call__(self, image: Any) -> Tensor:
        """What the callable makes of a PIL image.

        Raises:
            TypeError: no float tensor (channels, *size).
        """
        made = self.transform(image)
        if not isinstance(made, Tensor) or not made.is_floating_point() or made.ndim < 2:
            kind = f"{made.dtype} {tuple(made.shape)}" if isinstance(made, Tensor) else type(made)
            raise TypeError(
                f"{described(self.transform)} returned {kind}, expected a float tensor "
                "(channels, *size): end it with ToTensor() or the like"
            )
        return made

    def pixels(self, tensor: Tensor) -> NDArray[np.float32]:
        """The inverse of a tensor, clipped to [0, 1]; without one, from least to greatest value.

        Raises:
            ValueError: the inverse returns another shape.
        """
        values = tensor.detach().cpu().float()
        if self.inverse is None:
            low, high = values.min(), values.max()
            ranged = (values - low) / (high - low).clamp(min=torch.finfo(values.dtype).tiny)
            return to_pixels(values if values.ndim < 3 else ranged)
        made = torch.as_tensor(self.inverse(values))
        if made.shape != tensor.shape:
            raise ValueError(
                f"the inverse returned a shape of {tuple(made.shape)} for a tensor of "
                f"{tuple(tensor.shape)}, expected the same: (channels, *size) in [0, 1]"
            )
        return to_pixels(made)

    def to_json(self) -> str:
        """The callable in words; it cannot be made from them again."""
        return described(self.transform)


def _no_files(image: Any) -> Tensor:
    raise TypeError(
        f"a {type(image).__name__} was given to a model of signals; give float tensors (channels, "
        "length)"
    )


def _itself(tensor: Tensor) -> Tensor:
    return tensor


SIGNALS = Transform(_no_files, inverse=_itself)
"""What is drawn of signals whose preprocessing nobody stated: the values that the model sees."""


def normalization_of(transform: Any) -> Denormalized | None:
    """The inverse of a chain of transforms that ends in scaling to [0, 1] and Normalize."""
    chain = getattr(transform, "transforms", None)
    steps = list(transform.children()) if isinstance(transform, nn.Sequential) else chain
    if not isinstance(steps, list | tuple) or len(steps) < 2:
        return None
    *before, last = steps
    scaled = any(_scales(step) for step in before)
    if type(last).__name__ != "Normalize" or not scaled:
        return None
    return Denormalized(_floats(last.mean), _floats(last.std))


def _scales(step: Any) -> bool:
    name = type(step).__name__
    return name in _TO_UNIT or (name == "ToDtype" and bool(getattr(step, "scale", False)))


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(torch.as_tensor(values, dtype=torch.float64).reshape(-1).tolist())


def described(transform: Any) -> str:
    """A callable in words that are the same in every process: no addresses, one line."""
    name = getattr(transform, "__qualname__", None)
    text = f"{transform.__module__}.{name}" if name else repr(transform)
    return " ".join(re.sub(r" at 0x[0-9a-fA-F]+", "", text).split())
