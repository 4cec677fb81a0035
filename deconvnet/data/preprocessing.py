"""Preprocess images for a network, and turn its inputs back into pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from numbers import Real
from os import PathLike
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from deconvnet.units import check_bands

from .band_files import as_bands, read_bands
from .image_files import WHITE, read_image, to_rgb
from .pictures import Prepares, to_pixels
from .transform import denormalized

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""The mean of R, G, B over ImageNet's training photographs, in [0, 1]."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Their standard deviation."""

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
_COLOURS = (1, 3)  # numbers of bands that Pillow converts any image to: grey, RGB
_ORIENTATIONS = {"stored": None, "exif": ImageOps.exif_transpose}


@dataclass(frozen=True)
class Preprocessing(Prepares):
    """Resize, crop and normalise images, and turn tensors back into pictures.

    The shorter side is resized to ``resize`` (antialiased), the centre of ``size`` is cut out,
    and each band in [0, 1] is normalised: to the last bit the preset that comes with
    torchvision's classification weights. There are as many bands as means: with 1, images are
    converted to grey; with 3, to RGB; with others, see ``band_files.read_bands``.
    """

    size: tuple[int, ...]
    """height and width of the tensor, in pixels. Signals have one number and videos three: their
    tensors are turned into pictures, but no file is read"""
    resize: int | None
    """the shorter side before the crop, at least both sides of ``size``; None: not resized"""
    mean: tuple[float, ...] = IMAGENET_MEAN
    """one number for each band; one number alone is for grey images"""
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bilinear"
    """or "bicubic" or "nearest" """
    orientation: str = "stored"
    """as the pixels lie in the file, like the training code behind published weights; or "exif",
    turned the way the camera was held"""

    white: int = WHITE
    """the value of white in files of 16 bits: 65535, or 4095 where 12 of the 16 bits are used"""
    bands: tuple[int, ...] | None = None
    """of more than three bands, those that pictures show as red, green and blue, or one as grey,
    counted from 0; None: the first three"""

    def __post_init__(self) -> None:
        """Check the numbers; lists, as they come from JSON, become tuples.

        Raises:
            ValueError: a size is not positive, ``resize`` is smaller than the crop, a band has
                no finite mean or no positive standard deviation, white is no 16-bit value, the
                bands to show are not there, or the interpolation or orientation is unknown.
        """
        for name in ("size", "mean", "std", "bands"):
            value = getattr(self, name)
            if name in ("mean", "std") and isinstance(value, Real):
                value = (value,)
            if not isinstance(value, tuple | list) and (name, value) != ("bands", None):
                raise ValueError(f"{name}={value!r} was given, expected a tuple of numbers")
            object.__setattr__(self, name, value and tuple(value))
        for name, good, expected in self._checks():
            if not good:
                raise ValueError(f"{name}={getattr(self, name)!r} was given, expected {expected}")
        check_bands(self.bands, len(self.mean), axes=len(self.size))

    def _checks(self) -> Iterator[tuple[str, bool, str]]:
        """For each check: field, whether it is valid, and what was expected."""
        fits = len(self.size) in (1, 2, 3) and min(self.size) >= 1
        yield "size", fits, "(height, width), or one to three positive numbers"
        yield "white", type(self.white) is int, "an integer"
        yield "white", 1 <= self.white <= WHITE, f"1 to {WHITE}"
        fits = self.resize is None or self.resize >= max(self.size)
        yield "resize", fits, f"at least {max(self.size)}, for a crop of {self.size} to fit in"
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            finite = len(numbers) > 0 and all(map(math.isfinite, numbers))
            yield name, finite, "a finite number for each band"
        yield "std", len(self.std) == len(self.mean), f"as many numbers as mean={self.mean}"
        yield "std", min(self.std) > 0, "positive numbers"
        for name, known in (("interpolation", INTERPOLATIONS), ("orientation", _ORIENTATIONS)):
            yield name, getattr(self, name) in known, f"one of {', '.join(known)}"

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, *size) of the tensors."""
        return (len(self.mean), *self.size)

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

    def read(self, file: str | PathLike[str] | BinaryIO, *, name: str | None = None) -> Any:
        """Read an image file, turned as ``orientation`` says; see ``read_image``, ``read_bands``.

        Raises:
            ImageError: the file cannot be used.
        """
        if len(self.mean) not in _COLOURS:
            return read_bands(file, len(self.mean), name=name)
        return read_image(file, name=name, orient=_ORIENTATIONS[self.orientation], white=self.white)

    def __call__(self, image: Any) -> Tensor:
        """Preprocess an image: (bands, height, width) float32.

        Args:
            image: a PIL image; or an array (height, width, bands) of uint8, of uint16, or of
                floats, which are taken as they are.

        Raises:
            TypeError: neither of them.
            ValueError: there is no ``resize`` and the image is smaller than ``size``, or it has
                another number of bands.
        """
        if len(self.size) != 2:
            raise ValueError(f"size={self.size} is not of images, which have height and width")
        pixels = np.stack([self._fitted(one) for one in self._parts(image)])
        if pixels.ndim == 4:  # one image of three colours
            pixels = pixels[0].transpose(2, 0, 1)
        top = {"u1": 255, "f4": 1}[pixels.dtype.str[1:]]
        mean, std = torch.tensor([self.mean, self.std], dtype=torch.float32)[..., None, None]
        values = torch.from_numpy(np.ascontiguousarray(pixels)).float()
        return values.div_(top).sub_(mean).div_(std)

    def pixels(self, tensor: Tensor) -> NDArray[np.float32]:
        """Turn a tensor (bands, *size) into pixels (*size, bands), clipped to [0, 1].

        Raises:
            ValueError: another shape.
        """
        return to_pixels(denormalized(tensor, self.mean, self.std))

    def to_json(self) -> str:
        """One line of JSON; equal preprocessings give equal lines."""
        usual = {each.name: each.default for each in fields(self)}
        told = asdict(self)
        for name in ("white", "bands"):
            if told[name] == usual[name]:  # so that stores from before it was a choice are equal
                del told[name]
        return json.dumps(told, sort_keys=True)

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

    def _parts(self, image: Any) -> list[Image.Image]:
        """The image in RGB or grey, or each of its bands alone."""
        bands = len(self.mean)
        if isinstance(image, Image.Image) and bands in _COLOURS:
            rgb = image if image.mode == "RGB" else to_rgb(image, white=self.white)
            return [rgb if bands == 3 else rgb.convert("L")]
        return as_bands(image, bands, white=self.white)

    def _fitted(self, image: Image.Image) -> NDArray[Any]:
        return np.array(self._crop(self._resize(image)))

    def _resize(self, image: Image.Image) -> Image.Image:
        if self.resize is None:
            return image
        short, long = min(image.size), max(image.size)
        longer = int(self.resize * long / short)
        width, height = image.size
        size = (self.resize, longer) if width <= height else (longer, self.resize)
        if size == image.size:
            return image
        return image.resize(size, INTERPOLATIONS[self.interpolation])

    def _crop(self, image: Image.Image) -> Image.Image:
        height, width = self.size
        if image.height < height or image.width < width:
            raise ValueError(
                f"an image of height {image.height} and width {image.width} was given, too small "
                f"for a crop of {self.size}; set resize"
            )
        top, left = round((image.height - height) / 2), round((image.width - width) / 2)
        return image.crop((left, top, left + width, top + height))
