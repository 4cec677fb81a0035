"""Preprocess images for a network, and turn its inputs back into pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from .image_files import WHITE, ImageError, read_image, to_rgb

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""The mean of R, G, B over ImageNet's training photographs, in [0, 1]."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Their standard deviation."""

_INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
_ORIENTATIONS = {"stored": None, "exif": ImageOps.exif_transpose}


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop and normalise images, and turn tensors back into pictures.

    The shorter side is resized to ``resize`` (antialiased), the centre of ``size`` is cut out,
    and each colour in [0, 1] is normalised: to the last bit the preset that comes with
    torchvision's classification weights.
    """

    size: tuple[int, int]
    """height and width of the tensor, in pixels"""
    resize: int | None
    """the shorter side before the crop, at least both sides of ``size``; None: not resized"""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: str = "bilinear"
    """or "bicubic" or "nearest" """
    orientation: str = "stored"
    """as the pixels lie in the file, like the training code behind published weights; or "exif",
    turned the way the camera was held"""

    white: int = WHITE
    """the value of white in 16-bit grey files: 65535, or 4095 where 12 of the 16 bits are used"""

    def __post_init__(self) -> None:
        """Check the numbers; lists, as they come from JSON, become tuples.

        Raises:
            ValueError: a size is not positive, ``resize`` is smaller than the crop, a colour has
                no finite mean or no positive standard deviation, white is no 16-bit value, or the
                interpolation or the orientation is unknown.
        """
        for name in ("size", "mean", "std"):
            value = getattr(self, name)
            if not isinstance(value, tuple | list):
                raise ValueError(f"{name}={value!r} was given, expected a tuple of numbers")
            object.__setattr__(self, name, tuple(value))
        for name, good, expected in self._checks():
            if not good:
                raise ValueError(f"{name}={getattr(self, name)!r} was given, expected {expected}")

    def _checks(self) -> Iterator[tuple[str, bool, str]]:
        """For each check: field, whether it is valid, and what was expected."""
        yield "size", len(self.size) == 2 and min(self.size) >= 1, "(height, width), both positive"
        yield "white", type(self.white) is int, "an integer"
        yield "white", 1 <= self.white <= WHITE, f"1 to {WHITE}"
        fits = self.resize is None or self.resize >= max(self.size)
        yield "resize", fits, f"at least {max(self.size)}, for a crop of {self.size} to fit in"
        for name, colours in (("mean", self.mean), ("std", self.std)):
            finite = len(colours) == 3 and all(map(math.isfinite, colours))
            yield name, finite, "three finite numbers"
        yield "std", min(self.std) > 0, "three positive numbers"
        for name, known in (("interpolation", _INTERPOLATIONS), ("orientation", _ORIENTATIONS)):
            yield name, getattr(self, name) in known, f"one of {', '.join(known)}"

    @classmethod
    def imagenet(cls, size: int = 224) -> Preprocessing:
        """ImageNet's mean and deviation for square images; resized to 256 for a crop of 224."""
        return cls((size, size), round(size * 256 / 224))

    @classmethod
    def from_weights(cls, weights: Any) -> Preprocessing:
        """The preprocessing of torchvision's weights of a classification network.

        Args:
            weights: such as ``torchvision.models.ResNet50_Weights.DEFAULT``, or the transforms
                that it gives.

        Raises:
            ValueError: their transforms are not a resize, a crop and a normalisation of one image.
        """
        own = weights.transforms() if callable(getattr(weights, "transforms", None)) else weights
        resizes, crops = (list(getattr(own, n, ())) for n in ("resize_size", "crop_size"))
        if len(resizes) != 1 or len(crops) != 1:
            raise ValueError(
                f"{weights} was given, whose transforms are {type(own).__name__}; expected weights "
                "of a classification network, which resize, crop and normalise"
            )
        size, interpolation = (crops[0], crops[0]), own.interpolation.value
        return cls(size, resizes[0], tuple(own.mean), tuple(own.std), interpolation)

    def read(self, file: str | PathLike[str] | BinaryIO, *, name: str | None = None) -> Image.Image:
        """Read an image file, turned as ``orientation`` says; see ``read_image``.

        Raises:
            ImageError: the file cannot be used.
        """
        return read_image(file, name=name, orient=_ORIENTATIONS[self.orientation], white=self.white)

    def prepared(self, image: Image.Image, name: str) -> Tensor:
        """Preprocess an image; if it does not fit, an ImageError names its file."""
        try:
            return self(image)
        except ValueError as error:
            raise ImageError(f"{name!r} cannot be used: {error}") from error

    def __call__(self, image: Image.Image) -> Tensor:
        """Preprocess an image: (3, height, width) float32.

        Raises:
            TypeError: not a PIL image.
            ValueError: there is no ``resize`` and the image is smaller than ``size``.
        """
        if not isinstance(image, Image.Image):
            raise TypeError(f"a {type(image).__name__} was given, expected a PIL image")
        rgb = image if image.mode == "RGB" else to_rgb(image, white=self.white)
        cropped = self._crop(self._resize(rgb))
        pixels = torch.from_numpy(np.array(cropped)).permute(2, 0, 1).contiguous()
        mean, std = self._colours()
        return pixels.float().div_(255).sub_(mean).div_(std)

    def picture(self, tensor: Tensor) -> NDArray[np.float32]:
        """Turn a tensor (3, height, width) into a picture (height, width, 3), clipped to [0, 1].

        Raises:
            ValueError: another shape.
        """
        if tensor.ndim != 3 or tensor.shape[0] != 3:
            raise ValueError(
                f"a tensor of shape {tuple(tensor.shape)} was given, expected (3, height, width)"
            )
        mean, std = self._colours()
        pixels = (tensor.detach().cpu().float() * std + mean).clamp(0, 1)
        return np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())

    def to_json(self) -> str:
        """One line of JSON; equal preprocessings give equal lines."""
        fields = asdict(self)
        if self.white == WHITE:  # so that stores from before it was a choice are of the same
            del fields["white"]
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Preprocessing:
        """Read what ``to_json`` wrote.

        Raises:
            ValueError: not JSON, or not these fields, or numbers that make no sense.
        """
        try:
            return cls(**json.loads(text))
        except (TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{text!r} does not describe a preprocessing: {error}") from error

    def _colours(self) -> tuple[Tensor, Tensor]:
        mean, std = torch.tensor([self.mean, self.std], dtype=torch.float32)
        return mean.view(3, 1, 1), std.view(3, 1, 1)

    def _resize(self, image: Image.Image) -> Image.Image:
        if self.resize is None:
            return image
        short, long = min(image.size), max(image.size)
        longer = int(self.resize * long / short)
        width, height = image.size
        size = (self.resize, longer) if width <= height else (longer, self.resize)
        if size == image.size:
            return image
        return image.resize(size, _INTERPOLATIONS[self.interpolation])

    def _crop(self, image: Image.Image) -> Image.Image:
        height, width = self.size
        if image.height < height or image.width < width:
            raise ValueError(
                f"an image of height {image.height} and width {image.width} was given, too small "
                f"for a crop of {self.size}; set resize"
            )
        top, left = round((image.height - height) / 2), round((image.width - width) / 2)
        return image.crop((left, top, left + width, top + height))
