"""Crops: windows of equal size cut out of a node's maps, one for each of many units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from deconvnet.arguments import Brief

from .window import FAR, Interval, Window


@dataclass(frozen=True, eq=False)
class Crop(Brief):
    """Where the windows of some units lie in the maps of one node.

    Args:
        rows: (units,) which sample of the maps each window is cut from.
        starts: (units, axes) the first cell of each window; it may lie outside of the map.
        size: cells of every window along each spatial axis.
        maps: cells of the maps along each spatial axis.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    size: tuple[int, ...]
    maps: tuple[int, ...]

    @staticmethod
    def whole(rows: NDArray[np.int64], maps: Sequence[int]) -> Crop:
        """Everything of the maps of these samples."""
        return Crop(rows, np.zeros((len(rows), len(maps)), np.int64), tuple(maps), tuple(maps))

    @staticmethod
    def covering(window: Window, maps: Sequence[int], rows: NDArray[np.int64]) -> Crop:
        """Windows of one size that cover an interval an axis of every unit.

        Args:
            window: one interval for each spatial axis, of units or of all of them.
            maps: cells of the maps; an axis that is seen whole is covered from end to end.
            rows: (units,) which sample each is of.
        """
        starts, lengths = [], []
        for interval, length in zip(window, maps, strict=True):
            start, stop = interval.start, interval.stop
            if not np.shape(start) == np.shape(stop) == rows.shape:
                start, stop, _ = np.broadcast_arrays(start, stop, rows)
            everything = bool((start <= -FAR).any() or (stop >= FAR).any())
            starts.append(np.zeros_like(rows) if everything else start)
            lengths.append(length if everything else int((stop - start).max(initial=0)))
        return Crop(rows, np.stack(starts, axis=1), tuple(lengths), tuple(maps))

    @cached_property
    def window(self) -> Window:
        """The crops as a window: one interval an axis."""
        return tuple(
            Interval(start, start + length)
            for start, length in zip(self.starts.T, self.size, strict=True)
        )

    def sized(self, size: torch.Size) -> torch.Size:
        """The size of what ``of`` gives, for a tensor of this (batch, channels, *maps)."""
        return torch.Size((len(self.rows), *size[1:2], *self.size))

    def within(self, held: Crop) -> Crop:
        """These windows as windows of what another crop of the same units has cut out."""
        rows = np.arange(len(self.rows))
        return Crop(rows, self.starts - held.starts, self.size, held.size)

    def of(self, tensor: Tensor, outside: float = 0.0) -> Tensor:
        """Cut the windows out.

        Args:
            tensor: (batch, channels, *maps).
            outside: stands where a window leaves the map.

        Returns:
            (units, channels, *size); a view where nothing need be copied.
        """
        if self.everything and self._in_order(len(tensor)):
            return tensor
        if self.at_one_place and self._meets and self._in_order(len(tensor)):
            return self._of_all(tensor, outside)
        if self.everything:
            return tensor[torch.from_numpy(self.rows).to(tensor.device)]
        if len(self.size) == 2:
            windows = self._by_runs(tensor)
            if windows is not None:
                return self.filled(windows, outside, in_place=True)
        size, memory = self.sized(tensor.shape), layout(tensor)
        windows = torch.empty(size, dtype=tensor.dtype, device=tensor.device, memory_format=memory)
        if self.leaves:
            windows.fill_(outside)
        return self.paste(tensor, windows)

    def paste(
        self, tensor: Tensor, windows: Tensor, units: NDArray[np.int64] | None = None
    ) -> Tensor:
        """Overwrite windows by what they see of a tensor; their cells outside of its maps stay.

        Args:
            tensor: (batch, channels, *maps).
            windows: (units, channels, *size); they are written into.
            units: the numbers of those that are; None for all.

        Returns:
            ``windows``.
        """
        for unit in range(len(self.rows)) if units is None else units.tolist():
            inside, seen = map(_slices, self._overlaps[unit].tolist())
            windows[unit][inside] = tensor[int(self.rows[unit])][seen]
        return windows

    def around(self, windows: Tensor) -> Tensor:
        """Whole maps with windows where they lie, zero elsewhere; what leaves the map is dropped.

        Args:
            windows: (units, channels, *size), of which each has a map of its own.

        Returns:
            (units, channels, *maps); the windows themselves if they are everything.
        """
        if self.everything:
            return windows
        return self._back.of(windows)

    def add(self, windows: Tensor, maps: Tensor) -> Tensor:
        """Whole maps plus ``around`` of windows, written over the maps.

        Args:
            windows: (units, channels, *size), of which each has a map of its own.
            maps: (units, channels, *maps) of their type; they are written into.

        Returns:
            ``maps``.
        """
        if self.leaves or not self.at_one_place:
            return maps.add_(self.around(windows))
        inside = maps
        for axis, (start, length) in enumerate(zip(self.starts[0], self.size, strict=True), 2):
            inside = inside.narrow(axis, int(start), length)
        inside.add_(windows)
        return maps

    @cached_property
    def _back(self) -> Crop:
        """The maps, as windows of the windows."""
        return Crop(np.arange(len(self.rows)), -self.starts, self.maps, self.size)

    def _of_all(self, tensor: Tensor, outside: float) -> Tensor:
        """Windows at one place of every sample: a view, with a border if they leave the map."""
        first = self.starts[0].tolist()
        if self.leaves:
            ends = zip(first, self.size, self.maps, strict=True)
            sides = [(-start, start + length - m) for start, length, m in ends]
            return F.pad(tensor, [n for side in reversed(sides) for n in side], value=outside)
        for axis, (start, length) in enumerate(zip(first, self.size, strict=True), 2):
            tensor = tensor.narrow(axis, start, length)
        return tensor

    def _by_runs(self, tensor: Tensor) -> Tensor | None:
        """Windows row by row, all at once: a row lies together in memory.

        Outside of the map is whatever lies there. None where no row lies together: neither its
        cells with their channels nor its cells alone.
        """
        if not tensor.numel() or not math.prod(self.size):
            return None
        channels, (sample, plane, line, cell) = tensor.shape[1], tensor.stride()
        top, left = self.starts.T
        rows = top[:, None] + np.arange(self.size[0])
        first = tensor.storage_offset() + self.rows * sample + left * cell
        firsts = first[:, None] + rows * line
        if plane == 1 and cell == channels:
            size, run = (*firsts.shape, self.size[1], channels), self.size[1] * channels
        elif cell == 1:
            firsts = firsts[:, None] + (np.arange(channels) * plane)[:, None]
            size, run = (*firsts.shape, self.size[1]), self.size[1]
        else:
            return None
        numbers = tensor.untyped_storage().nbytes() // tensor.element_size()
        if run > numbers:
            return None
        runs = tensor.as_strided((numbers - run + 1, run), (1, 1), 0)  # one from every number on
        there = np.minimum(np.maximum(firsts, 0), numbers - run)
        index = torch.from_numpy(there.reshape(-1)).to(tensor.device)
        windows = runs.index_select(0, index).view(size)
        if plane == 1 and cell == channels:
            windows = windows.movedim(-1, 1)
        else:
            windows = windows.contiguous(memory_format=layout(tensor))
        if self.leaves:  # at the ends of the memory some rows of the maps begin elsewhere
            seen = (rows >= 0) & (rows < self.maps[0])
            off = (there != firsts) & (seen if firsts.ndim == 2 else seen[:, None])
            off = off.any(tuple(range(1, firsts.ndim)))
            self.paste(tensor, windows, np.flatnonzero(off))
        return windows

    def filled(self, windows: Tensor, value: float, *, in_place: bool) -> Tensor:
        """Windows with one value in all their cells outside of the maps.

        Args:
            windows: (units, channels, *size).
            value: of these cells.
            in_place: the windows may be written into.
        """
        if not self.leaves:
            return windows
        cells = self._beyond
        if windows.ndim == 4 and layout(windows) == torch.channels_last:
            if not in_place or not channels_last(windows):
                windows = windows.clone(memory_format=torch.channels_last)
            windows.movedim(1, -1).view(-1, windows.shape[1]).index_fill_(0, cells, value)
            return windows
        beyond = torch.zeros(len(self.rows) * math.prod(self.size), dtype=torch.bool)
        beyond = beyond.index_fill_(0, cells, True).view(len(self.rows), 1, *self.size)
        return windows.masked_fill(beyond.to(windows.device), value)

    @cached_property
    def _beyond(self) -> Tensor:
        """The cells of the windows that lie outside of the maps, numbered through all windows."""
        units, area = self._leaving, math.prod(self.size)
        beyond = np.zeros((len(units), *self.size), dtype=bool)
        for axis, cells in enumerate(self.maps):
            line = self.starts[units, axis, None] + np.arange(self.size[axis])
            shape = [len(units), *[1] * len(self.maps)]
            shape[1 + axis] = self.size[axis]
            beyond |= ((line < 0) | (line >= cells)).reshape(shape)
        there = np.flatnonzero(beyond)
        if len(units) < len(self.rows):
            there += ((units - np.arange(len(units))) * area)[there // area]
        return torch.from_numpy(there)

    @cached_property
    def _leaving(self) -> NDArray[np.int64]:
        """The numbers of the units whose windows leave the map."""
        stops = self.starts + self.size
        return np.flatnonzero(((self.starts < 0) | (stops > self.maps)).any(1))

    @property
    def leaves(self) -> bool:
        """Whether any window leaves the map."""
        return len(self._leaving) > 0

    @cached_property
    def _meets(self) -> bool:
        """Whether the first window has cells of the map along every axis."""
        first = self.starts[0]
        return bool(((first > -np.asarray(self.size)) & (first < np.asarray(self.maps))).all())

    @cached_property
    def everything(self) -> bool:
        """Whether each window is a whole map."""
        return self.size == self.maps and not self.starts.any()

    @cached_property
    def at_one_place(self) -> bool:
        """Whether all windows lie at the same place."""
        return len(self.rows) > 0 and not (self.starts != self.starts[0]).any()

    @cached_property
    def _overlaps(self) -> NDArray[np.int64]:
        """(units, 2, axes, 2): where windows and maps overlap, in the window and in the map."""
        low = np.clip(self.starts, 0, self.maps)
        high = np.clip(self.starts + self.size, low, self.maps)
        there = np.stack([low, high], axis=2)
        return np.stack(
            [np.clip(there - self.starts[..., None], 0, np.reshape(self.size, (-1, 1))), there],
            axis=1,
        )

    def _in_order(self, samples: int) -> bool:
        """Whether every sample is cut once, in order."""
        return len(self.rows) == samples and not (self.rows != np.arange(samples)).any()


@dataclass(frozen=True, eq=False)
class Placed:
    """A signal on windows of maps, which is zero on the rest of them."""

    signal: Tensor  # (units, channels, *size), of which each has a map of its own
    place: Crop

    @property
    def whole(self) -> Tensor:
        """On whole maps."""
        return self.place.around(self.signal)

    def plus(self, other: Tensor, *, over: bool) -> Tensor:
        """The sum with one on whole maps, written over that one if ``over``."""
        return self.place.add(self.signal, other) if over else self.whole + other


def layout(tensor: Tensor) -> torch.memory_format:
    """Channels last for images on a CPU: convolution and pooling are several times faster so."""
    if tensor.ndim == 4 and tensor.device.type == "cpu":
        return torch.channels_last
    return torch.contiguous_format


def channels_last(tensor: Tensor) -> bool:
    """Whether these are images, the channels of a cell side by side, and the cells in order."""
    return tensor.ndim == 4 and tensor.movedim(1, -1).is_contiguous()


def _slices(ends: Sequence[Sequence[int]]) -> tuple[slice, ...]:
    """All channels of a part of the maps, whose first cell and end are given for each axis."""
    return (slice(None), *(slice(start, stop) for start, stop in ends))
