"""Image files ↔ tensors ↔ pictures: what a network is given, and how to show it again."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from os import PathLike

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from .photographs import ImageError, read_image, to_rgb

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "ImageError", "ImageFolder", "Preprocessing"]
__all__ += ["read_image", "to_rgb"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""The mean of R, G, B over ImageNet's training photographs, in [0, 1]."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Their standard deviation."""

_INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
_SUFFIXES = tuple(
    ".avif .bmp .gif .heic .heif .jfif .jpeg .jpg .pgm .png .ppm .tif .tiff .webp".split()
)


@dataclass(frozen=True)
class Preprocessing:
    """From a photograph to what a network is given, and back to a picture.

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

    def __post_init__(self) -> None:
        """Check the numbers; lists, as they come from JSON, become tuples.

        Raises:
            ValueError: a size is not positive, ``resize`` is smaller than the crop, a colour has
                no finite mean or no positive standard deviation, or the interpolation is unknown.
        """
        for name in ("size", "mean", "std"):
            value = getattr(self, name)
            if not isinstance(value, tuple | list):
                raise ValueError(f"{name}={value!r} was given, expected a tuple of numbers")
            object.__setattr__(self, name, tuple(value))
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"size={self.size} was given, expected (height, width), both positive")
        if self.resize is not None and self.resize < max(self.size):
            raise ValueError(
                f"resize={self.resize} leaves a shorter side that a crop of {self.size} does not "
                f"fit in; give at least {max(self.size)}"
            )
        for name, colours in (("mean", self.mean), ("std", self.std)):
            if len(colours) != 3 or not all(math.isfinite(colour) for colour in colours):
                raise ValueError(f"{name}={colours} was given, expected three finite numbers")
        if min(self.std) <= 0:
            raise ValueError(f"std={self.std} was given, expected three positive numbers")
        if self.interpolation not in _INTERPOLATIONS:
            raise ValueError(
                f"interpolation={self.interpolation!r} is unknown, give one of "
                f"{', '.join(_INTERPOLATIONS)}"
            )

    @classmethod
    def imagenet(cls, size: int = 224) -> "Preprocessing":
        """ImageNet's numbers for square tensors; 256 before the crop for 224, and so on."""
        return cls((size, size), round(size * 256 / 224))

    def __call__(self, image: Image.Image) -> Tensor:
        """Prepare an image: (3, height, width) float32.

        Raises:
            TypeError: not a PIL image.
            ValueError: there is no ``resize`` and the image is smaller than ``size``.
        """
        if not isinstance(image, Image.Image):
            raise TypeError(f"a {type(image).__name__} was given, expected a PIL image")
        cropped = self._crop(self._resize(image if image.mode == "RGB" else to_rgb(image)))
        pixels = torch.from_numpy(np.array(cropped)).permute(2, 0, 1).contiguous()
        mean, std = self._colours()
        return pixels.float().div_(255).sub_(mean).div_(std)

    def picture(self, tensor: Tensor) -> NDArray[np.float32]:
        """Show a tensor (3, height, width) again: (height, width, 3) float32, clipped to [0, 1].

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
        """All of it as one line of JSON; equal preprocessings give equal lines."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Preprocessing":
        """What ``to_json`` wrote.

        Raises:
            ValueError: not JSON, or not these fields, or numbers that make no sense.
        """
        try:
            return cls(**json.loads(text))
        except (TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{text!r} does not describe a preprocessing: {error}") from error

    def _colours(self) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.mean).view(3, 1, 1), torch.tensor(self.std).view(3, 1, 1)

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


class ImageFolder(Dataset[Tensor]):
    """The images of a folder and all folders below it, as tensors; no labels.

    Files are told by their suffix and sorted by the bytes of their relative paths; names that
    start with a dot are passed over. Links are followed, but each folder is visited once.
    A list of files is taken too, in its own order.
    """

    def __init__(
        self,
        folder: str | PathLike[str] | Iterable[str | PathLike[str]],
        preprocessing: Preprocessing,
        *,
        read: Callable[[str], Image.Image] = read_image,
    ) -> None:
        """Find the files; none is opened yet.

        Args:
            folder: a folder, or a list of files.
            preprocessing: makes the tensors.
            read: reads a file, by default with the policies of ``read_image``.

        Raises:
            FileNotFoundError: there is no such folder, or no image in it.
            OSError: a folder below it cannot be listed.
        """
        self.preprocessing, self._read = preprocessing, read
        if isinstance(folder, str | PathLike):
            self._root, self._paths = os.fspath(folder), _images_below(os.fspath(folder))
            nothing = f"there is no image in {self._root!r}; known are {' '.join(_SUFFIXES)}"
        else:
            self._root, self._paths = "", [os.fspath(path) for path in folder]
            nothing = "an empty list of files was given, expected at least one image"
        if not self._paths:
            raise FileNotFoundError(nothing)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Tensor:
        """The tensor (3, height, width) float32 of one image.

        Raises:
            ImageError: the file cannot be used.
        """
        file = os.path.join(self._root, self._paths[index])
        image = self._read(file)
        try:
            return self.preprocessing(image)
        except ValueError as error:
            raise ImageError(f"{file!r} cannot be used: {error}") from error

    def path(self, index: int) -> str:
        """The path of one image, relative to the folder; of a list, as it was given."""
        return self._paths[index]

    def picture(self, index: int) -> NDArray[np.float32]:
        """What the network sees of one image: (height, width, 3) float32 in [0, 1]."""
        return self.preprocessing.picture(self[index])

    def fingerprint(self) -> str:
        """SHA-256 over the paths and the sizes of the files, in hexadecimal; none is read."""
        digest = hashlib.sha256()
        for path in self._paths:
            digest.update(os.fsencode(path) + b"\0" + _bytes_in(os.path.join(self._root, path)))
            digest.update(b"\0")
        return digest.hexdigest()


def _bytes_in(file: str) -> bytes:
    try:
        return str(os.stat(file).st_size).encode()
    except OSError:  # a dangling link is a bad image, not a reason to stop here
        return b"missing"


def _images_below(root: str) -> list[str]:
    if not os.path.isdir(root):
        raise FileNotFoundError(f"{root!r} is no folder; give a folder of images, or a list")
    found: list[str] = []
    for folder, files in _walk(root):
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if relative == "." else f"{relative}/"
        found += [prefix + name for name in files if name.lower().endswith(_SUFFIXES)]
    return sorted(found, key=os.fsencode)


def _walk(root: str) -> Iterator[tuple[str, list[str]]]:
    """Every folder below the root once, in the order of their names, with its visible files."""

    def stop(error: OSError) -> None:
        raise error  # os.walk would pass over it, and the data set be another one

    visited = set()
    for folder, folders, files in os.walk(root, onerror=stop, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted((name for name in folders if name[0] != "."), key=os.fsencode)
        yield folder, [name for name in files if name[0] != "."]
