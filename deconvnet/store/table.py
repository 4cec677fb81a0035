"""The tables of a mined data set as NumPy arrays, with their types, shapes and order checked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deconvnet.arguments import brief, by, listed
from deconvnet.units import Box, Unit

from .format import COLUMNS, COUNTERS


@dataclass(frozen=True)
class Failed:
    """An image of the data set that could not be used, and why."""

    index: int
    path: str
    reason: str

    @property
    def said(self) -> str:
        """Its index, its path unless the reason names it, and the reason."""
        known = self.path in self.reason or self.path == str(self.index)
        return f"image {self.index}{'' if known else f' ({self.path})'}: {self.reason}"


@dataclass(frozen=True, eq=False)
class LayerTable:
    """The exemplars of one layer: for each channel its k strongest images.

    Sorted by activation, descending; ties by image, ascending. Empty slots are NaN and -1.
    """

    activation: NDArray[np.float32]
    """(channels, k)"""
    image: NDArray[np.int64]
    """(channels, k), indices in the data set"""
    row: NDArray[np.int32]
    """(channels, k)"""
    col: NDArray[np.int32]
    """(channels, k)"""
    box: NDArray[np.int32]
    """(channels, k, 4): top, left, bottom, right in pixels of the model's input, half-open"""
    mean: NDArray[np.float64]
    """(channels,), of the activation over all images and positions"""
    nonzero: NDArray[np.float64]
    """(channels,), the share of images where the unit's maximum is above 0; dead units: 0"""
    nan: NDArray[np.int64]
    """(channels,), how many activations were NaN"""
    channels: int
    size: tuple[int, ...]
    """height and width of the feature map; empty for fully connected units"""
    field: tuple[float, ...]
    """height and width of the receptive field, in pixels; the largest where they differ"""
    stride: tuple[float, ...]
    """pixels a cell: from one unit to the next, on average; a fraction after up-sampling"""

    def __post_init__(self) -> None:
        k = self.activation.shape[1] if np.ndim(self.activation) == 2 else 0
        for name, (kind, rest) in COLUMNS.items():
            _check(name, getattr(self, name), kind=kind, shape=(self.channels, k, *rest))
        for name, kind in COUNTERS.items():
            _check(name, getattr(self, name), kind=kind, shape=(self.channels,))
        for reason in self._faults():
            raise ValueError(f"a table of {self.channels} channels {reason}; mine it again")

    def __repr__(self) -> str:
        of = f"of {by(self.size)} units" if self.size else "of one unit each"
        sees = f"field {by(self.field)}, stride {by(self.stride)}"
        return brief("LayerTable", f"{self.channels} channels {of}, k={self.k}, {sees}")

    @property
    def k(self) -> int:
        """How many images are kept for each channel."""
        return int(self.activation.shape[1])

    @property
    def has_picture(self) -> NDArray[np.bool_]:
        """(channels, k) whether an entry has a patch and projections.

        True for a positive activation whose box is not empty: a unit at the border may see padding
        alone.
        """
        sides = self.box[..., 2:] > self.box[..., :2]
        return (self.image >= 0) & (self.activation > 0) & sides.all(-1)

    def unit(self, layer: str, channel: int, slot: int) -> Unit:
        """The unit of one entry; its image is the index in the data set."""
        place = (int(self.row[channel, slot]), int(self.col[channel, slot]))
        image = int(self.image[channel, slot])
        return Unit.at(layer, channel, position=place if self.size else None, image=image)

    def box_of(self, channel: int, slot: int) -> Box:
        """The pixels that one entry sees."""
        top, left, bottom, right = self.box[channel, slot].tolist()
        return Box((top, left), (bottom, right))

    def listed_channels(self, layer: str, channels: int | Sequence[int]) -> list[int]:
        """One or several channels as a list, each once; the layer is named in the IndexError."""
        channels = listed(channels, Integral)
        for channel in channels:
            if not 0 <= channel < self.channels:
                raise IndexError(
                    f"{layer} has no channel {channel}; its channels are 0 to {self.channels - 1}"
                )
        return list(dict.fromkeys(channels))

    def _faults(self) -> Iterable[str]:
        empty = self.image < 0
        if not np.array_equal(empty, np.isnan(self.activation)) or (self.image < -1).any():
            yield "has slots that are half empty"
        before, after = self.activation[:, :-1], self.activation[:, 1:]
        image, next_image = self.image[:, :-1], self.image[:, 1:]
        tie = (before == after) & (image < next_image)
        if (
            not ((before > after) | tie | empty[:, 1:]).all()
            or (empty[:, :-1] & ~empty[:, 1:]).any()
        ):
            yield "is not sorted by activation, then image"
        images = np.sort(self.image, axis=1)
        if ((images[:, 1:] == images[:, :-1]) & (images[:, 1:] >= 0)).any():
            yield "holds an image twice in one channel"


def _check(name: str, array: Any, *, kind: str, shape: tuple[int, ...]) -> None:
    actual = (getattr(array, "dtype", type(array).__name__), getattr(array, "shape", ()))
    if actual != (np.dtype(kind), shape):
        raise ValueError(
            f"{name} is {actual[0]} {actual[1]}, expected {np.dtype(kind)} {shape}; convert it"
        )
