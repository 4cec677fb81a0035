"""The tables of a mined data set as NumPy arrays, with their types, shapes and order checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from deconvnet.arguments import Brief, brief, by, counted, listed
from deconvnet.units import Box, Unit

from .format import AXES, COUNTERS, MAX, MEAN, columns, escape

DIRECTIONS = "directions"
QUANTILES = (0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 0.75, 0.9, 1.0)
"""Of a sample: those whose images may be stored, and are drawn in spectra."""


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


@dataclass(frozen=True, eq=False, kw_only=True)
class Entries(Brief):
    """Images for every channel of a layer, each with an activation, a position and a box.

    Empty slots are NaN and -1. D is the number of spatial axes of the model's input.
    """

    activation: NDArray[np.float32]
    """(channels, k)"""
    image: NDArray[np.int64]
    """(channels, k), indices in the data set"""
    depth: NDArray[np.int32] | None = None
    """(channels, k); None for fewer than three axes"""
    row: NDArray[np.int32] | None = None
    """(channels, k); None for one axis"""
    col: NDArray[np.int32]
    """(channels, k)"""
    box: NDArray[np.int32]
    """(channels, k, 2·D): the starts, then the ends, in pixels of the model's input, half-open"""
    peak: NDArray[np.float32] | None = None
    """(channels, k), the value at the position, where ``activation`` is the mean of a map"""
    channels: int
    size: tuple[int, ...]
    """of the feature map, such as height and width; empty for fully connected units"""

    def __post_init__(self) -> None:
        k = self.activation.shape[1] if np.ndim(self.activation) == 2 else 0
        ending = self.box.shape[-1:] if np.ndim(self.box) else ()
        if ending not in ((2,), (4,), (6,)):
            raise ValueError(f"box has the shape {np.shape(self.box)}, expected (…, 2, 4 or 6)")
        known = columns(self.axes, MAX if self.peak is None else MEAN)
        for name, (kind, rest) in known.items():
            shape = self._shape_of_image() if name == "image" else (self.channels, k, *rest)
            _check(name, getattr(self, name), kind=kind, shape=shape)
        for name in {*AXES} - {*known}:
            if getattr(self, name) is not None:
                raise ValueError(f"{name} was given, and boxes of {self.axes} axes; leave one out")
        for reason in self._faults():
            raise ValueError(f"a table of {self.channels} channels {reason}; mine it again")

    def __repr__(self) -> str:
        of = f"of {by(self.size)} units" if self.size else "of one unit each"
        held = f"{counted(self.channels, 'channel')} {of}, k={self.k}{self._sees}"
        return brief(type(self).__name__, held)

    @property
    def _sees(self) -> str:
        return ""

    @property
    def k(self) -> int:
        """How many images are kept for each channel."""
        return int(self.activation.shape[1])

    @property
    def axes(self) -> int:
        """D, the number of spatial axes of the model's input."""
        return int(self.box.shape[-1]) // 2

    @property
    def images(self) -> NDArray[np.int64]:
        """(channels, k) the image of every entry; -1 for an empty slot."""
        return np.asarray(self.image)

    @property
    def positions(self) -> NDArray[np.int32]:
        """(channels, k, D): depth, row and column, the last D of them."""
        return np.stack([getattr(self, name) for name in AXES[len(AXES) - self.axes :]], -1)

    @property
    def value(self) -> NDArray[np.float32]:
        """(channels, k) the activation of the unit at the position: what a projection starts with.

        It is ``activation``, or ``peak`` where images are ranked by their mean.
        """
        return self.activation if self.peak is None else self.peak

    @property
    def has_picture(self) -> NDArray[np.bool_]:
        """(channels, k) whether an entry has a patch and projections.

        True for a positive value whose box is not empty: a unit at the border may see padding
        alone.
        """
        return np.asarray(self._whole & (self.value > 0))

    @property
    def _whole(self) -> NDArray[np.bool_]:
        """(channels, k) whether an entry has an image, and sees pixels of it."""
        ends = np.split(self.box, 2, axis=-1)
        return np.asarray((self.images >= 0) & (ends[1] > ends[0]).all(-1))

    def unit(self, layer: str, channel: int, slot: int) -> Unit:
        """The unit of one entry; its image is the index in the data set."""
        place = tuple(self.positions[channel, slot].tolist()) if self.size else None
        return Unit.at(layer, channel, position=place, image=int(self.images[channel, slot]))

    def box_of(self, channel: int, slot: int) -> Box:
        """The pixels that one entry sees."""
        edges = self.box[channel, slot].tolist()
        return Box(tuple(edges[: self.axes]), tuple(edges[self.axes :]))

    def listed_channels(self, layer: str, channels: int | Sequence[int]) -> list[int]:
        """One or several channels as a list, each once; the layer is named in the IndexError."""
        channels = listed(channels, Integral)
        for channel in channels:
            if not 0 <= channel < self.channels:
                raise IndexError(
                    f"{layer} has no channel {channel}; its channels are 0 to {self.channels - 1}"
                )
        return list(dict.fromkeys(channels))

    def _shape_of_image(self) -> tuple[int, ...]:
        return tuple(self.activation.shape)

    def _faults(self) -> Iterable[str]:
        return ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Ranked(Entries):
    """The first k images of every channel in an order, each image once."""

    ties: NDArray[np.int64] | None = None
    """(channels,), how many images are left out whose activation is that of the last entry"""

    _sign: ClassVar[int] = -1  # descending

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ties is not None:
            _check("ties", self.ties, kind="<i8", shape=(self.channels,))

    def _faults(self) -> Iterable[str]:
        empty = self.image < 0
        if not np.array_equal(empty, np.isnan(self.activation)) or (self.image < -1).any():
            yield "has slots that are half empty"
        values = self._sign * self.activation
        before, after = values[:, :-1], values[:, 1:]
        image, next_image = self.image[:, :-1], self.image[:, 1:]
        tie = (before == after) & (image < next_image)
        if (
            not ((before < after) | tie | empty[:, 1:]).all()
            or (empty[:, :-1] & ~empty[:, 1:]).any()
        ):
            yield "is not sorted by activation, then image"
        images = np.sort(self.image, axis=1)
        if ((images[:, 1:] == images[:, :-1]) & (images[:, 1:] >= 0)).any():
            yield "holds an image twice in one channel"


@dataclass(frozen=True, eq=False, kw_only=True)
class Lowest(Ranked):
    """The images with the smallest minimum of every channel, or the smallest mean, ascending."""

    of: str
    """the layer whose activations these are: the one that feeds a rectifier"""

    _sign: ClassVar[int] = 1

    @property
    def has_picture(self) -> NDArray[np.bool_]:
        """(channels, k) whether an entry has pictures: where it sees pixels."""
        return self._whole


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample(Entries):
    """The activations of every channel in the same images, which were drawn at random.

    ``image`` is (n,), and -1 where there are fewer than n images. The first m images are a sample
    of m. Where a map is NaN all over, the activation is NaN and the position -1.
    """

    @property
    def images(self) -> NDArray[np.int64]:
        """(channels, n) the image of every entry; -1 for an empty slot."""
        return np.where(np.isnan(self.activation), -1, self.image)

    @property
    def has_picture(self) -> NDArray[np.bool_]:
        """(channels, n) whether an entry has pictures: at the quantiles that are drawn."""
        shown = np.zeros(self.activation.shape, dtype=bool)
        for channel in range(self.channels):
            shown[channel, self.at_quantiles(channel, QUANTILES)] = True
        return shown

    def at_quantiles(self, channel: int, quantiles: Sequence[float]) -> list[int]:
        """The slots of a channel whose ranks among those that see pixels are nearest to these.

        Ties by slot. An empty list if none sees pixels.
        """
        starts, ends = np.split(self.box[channel], 2, axis=-1)
        known = (self.image >= 0) & ~np.isnan(self.activation[channel])
        usable = np.flatnonzero(known & (ends > starts).all(-1))
        order = usable[np.argsort(self.activation[channel, usable], kind="stable")]
        ranks = [round(q * (len(order) - 1)) for q in quantiles if len(order)]
        return [int(slot) for slot in order[ranks]]

    def _shape_of_image(self) -> tuple[int, ...]:
        return (self.k,)

    def _faults(self) -> Iterable[str]:
        empty = self.image < 0
        full = self.image[~empty]
        if (self.image < -1).any() or (empty[:-1] & ~empty[1:]).any():
            yield "has a sample with images that are no indices"
        if len(np.unique(full)) < len(full):
            yield "holds an image twice in the sample"
        if not np.isnan(self.activation[:, empty]).all():
            yield "has slots that are half empty in the sample"


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerTable(Ranked):
    """The exemplars of one layer: for each channel its k strongest images.

    Sorted by activation, descending; ties by image, ascending.
    """

    mean: NDArray[np.float64]
    """(channels,), of the activation over all images and positions"""
    nonzero: NDArray[np.float64]
    """(channels,), the share of images where the unit's maximum is above 0; dead units: 0"""
    nan: NDArray[np.int64]
    """(channels,), how many activations were NaN"""
    field: tuple[float, ...]
    """height and width of the receptive field, in pixels; the largest where they differ"""
    stride: tuple[float, ...]
    """pixels a cell: from one unit to the next, on average; a fraction after up-sampling"""
    lowest: Lowest | None = None
    """None where they were not mined"""
    sample: Sample | None = None
    """None where none was drawn"""
    directions: Mapping[str, Directions] = dataclasses.field(default_factory=dict)
    """by the name of their set"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, kind in COUNTERS.items():
            _check(name, getattr(self, name), kind=kind, shape=(self.channels,))

    @property
    def _sees(self) -> str:
        return f", field {by(self.field)}, stride {by(self.stride)}"

    @property
    def tables(self) -> dict[str, Entries]:
        """{"strongest", "lowest", "sample"}, those that are there."""
        every = {"strongest": self, "lowest": self.lowest, "sample": self.sample}
        return {name: table for name, table in every.items() if table is not None}

    @property
    def every(self) -> dict[str, Entries]:
        """All tables by where they stand in the group of the layer.

        "" is the strongest; then "lowest", "sample", "directions/given", "directions/given/lowest".
        """
        tables = {name if name != "strongest" else "": each for name, each in self.tables.items()}
        for name, those in self.directions.items():
            start = f"{DIRECTIONS}/{escape(name)}"
            tables |= {f"{start}/{path}".rstrip("/"): each for path, each in those.every.items()}
        return tables


@dataclass(frozen=True, eq=False, kw_only=True)
class Directions(LayerTable):
    """Tables of what directions in the channels of a layer respond, one direction a "channel"."""

    vector: NDArray[np.float32]
    """(directions, channels of the layer)"""

    @property
    def has_picture(self) -> NDArray[np.bool_]:
        """(directions, k) whether an entry has pictures: where it sees pixels, of any sign."""
        return self._whole


def _check(name: str, array: Any, *, kind: str, shape: tuple[int, ...]) -> None:
    actual = (getattr(array, "dtype", type(array).__name__), getattr(array, "shape", ()))
    if actual != (np.dtype(kind), shape):
        raise ValueError(
            f"{name} is {actual[0]} {actual[1]}, expected {np.dtype(kind)} {shape}; convert it"
        )
