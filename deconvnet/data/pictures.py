"""What every preprocessing can do: prepare images, and turn tensors back into pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from os import PathLike
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from deconvnet.units import shown

from .image_files import ImageError

RANGE = "pictures are drawn between the least and the greatest value of each image"
"""What ``Prepares.note`` says where nothing turns tensors back into pictures."""


class Prepares(ABC):
    """Makes tensors of images, and pictures of tensors: ``Preprocessing`` and ``Transform``."""

    bands: tuple[int, ...] | None
    """the bands that pictures show, see ``deconvnet.units.shown``; None: the first three"""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...] | None:
        """(channels, *size) of the tensors; None where that depends on the image."""

    @abstractmethod
    def read(self, file: str | PathLike[str] | BinaryIO, *, name: str | None = None) -> Any:
        """Read an image file as what ``__call__`` takes; ImageError if it cannot be used."""

    @abstractmethod
    def __call__(self, image: Any) -> Tensor:
        """Preprocess an image: (channels, *size), floats."""

    @abstractmethod
    def pixels(self, tensor: Tensor) -> NDArray[np.float32]:
        """Turn a tensor (channels, *size) back into pixels (*size, channels).

        They are in [0, 1]; of signals, tensors (channels, length), they are values of any size.

        Raises:
            ValueError: another shape.
        """

    @abstractmethod
    def to_json(self) -> str:
        """What a store records of it, as one line."""

    @property
    def note(self) -> str:
        """What a figure has to say about its pictures; empty if they show what was read."""
        return ""

    def picture(self, tensor: Tensor, bands: Sequence[int] | None = None) -> NDArray[np.float32]:
        """Turn a tensor (channels, *size) into a picture (*size, 3) in [0, 1].

        One band is drawn as grey; of more than three, ``bands`` are shown, by default those of the
        preprocessing. Of a signal, (channels, length), its values (length, channels).

        Raises:
            ValueError: another shape, or bands that the tensor does not have.
        """
        return np.ascontiguousarray(shown(self.pixels(tensor), bands or self.bands))

    def prepared(self, image: Any, name: str) -> Tensor:
        """Preprocess an image; if it does not fit, an ImageError names its file."""
        try:
            return self(image)
        except ValueError as error:
            raise ImageError(f"{name!r} cannot be used: {error}") from error


def to_pixels(tensor: Tensor) -> NDArray[np.float32]:
    """A tensor (channels, *size) as an array (*size, channels), in [0, 1] but for signals."""
    values = tensor.detach().cpu().float()
    values = values.clamp(0, 1) if values.ndim > 2 else values
    return np.ascontiguousarray(values.movedim(0, -1).numpy())
