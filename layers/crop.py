"""Crops: windows of equal size cut out of a node's maps, one for each of many units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
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
            ends = np.broadcast_arrays(interval.start, interval.stop, rows)[:2]
            everything = bool(((ends[0] <= -FAR) | (ends[1] >= FAR)).any())
            starts.append(np.zeros_like(rows) if everything else ends[0])
            lengths.append(length if everything else int((ends[1] - ends[0]).max(initial=0)))
        return Crop(rows, np.stack(starts, axis=1), tuple(lengths), tuple(maps))

    @property
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
        if self._at_one_place(len(tensor)):
            first = self.starts[0].tolist()
            for axis, (start, length) in enumerate(zip(first, self.size, strict=True), 2):
                tensor = tensor.narrow(axis, start, length)
            return tensor
        if self.size == self.maps and not self.starts.any():
            return tensor.index_select(0, torch.from_numpy(self.rows).to(tensor.device))
        size, memory = self.sized(tensor.shape), layout(tensor)
        windows = torch.empty(size, dtype=tensor.dtype, device=tensor.device, memory_format=memory)
        if self.leaves:
            windows.fill_(outside)
        return self.paste(tensor, windows)

    def paste(self, tensor: Tensor, windows: Tensor) -> Tensor:
        """Overwrite windows by what they see of a tensor; their cells outside of its maps stay.

        Args:
            tensor: (batch, channels, *maps).
            windows: (units, channels, *size); they are written into.

        Returns:
            ``windows``.
        """
        for unit, (row, here, there) in enumerate(self._pairs):
            windows[(unit, slice(None), *here)] = tensor[(row, slice(None), *there)]
        return windows

    def add(self, windows: Tensor, total: Tensor) -> Tensor:
        """Add windows to where they lie; what lies outside of the maps is dropped.

        Args:
            windows: (units, channels, *size).
            total: (units, channels, *maps), one map for each unit; it is written into.

        Returns:
            ``total``.
        """
        if self._at_one_place(len(total)):
            self.of(total).add_(windows)
            return total
        for unit, (_, here, there) in enumerate(self._pairs):
            total[(unit, slice(None), *there)] += windows[(unit, slice(None), *here)]
        return total

    @cached_property
    def leaves(self) -> bool:
        """Whether any window leaves the map."""
        stops = self.starts + np.asarray(self.size)
        return bool((self.starts < 0).any() or (stops > np.asarray(self.maps)).any())

    def _at_one_place(self, samples: int) -> bool:
        """Whether every sample is cut once, in order, all at the same place inside the maps."""
        if len(self.rows) != samples or self.leaves or not len(self.rows):
            return False
        same = bool((self.starts == self.starts[0]).all())
        return same and np.array_equal(self.rows, np.arange(samples))

    @cached_property
    def _pairs(self) -> list[tuple[int, Any, Any]]:
        """For each unit its sample, and where in its window and in the map both overlap."""
        low = np.clip(self.starts, 0, np.asarray(self.maps))
        high = np.clip(self.starts + np.asarray(self.size), low, np.asarray(self.maps))
        inside = [np.clip(end - self.starts, 0, np.asarray(self.size)) for end in (low, high)]
        here = np.stack(inside, axis=2).tolist()
        there = np.stack([low, high], axis=2).tolist()
        return [
            (row, tuple(slice(*e) for e in mine), tuple(slice(*e) for e in maps))
            for row, mine, maps in zip(self.rows.tolist(), here, there, strict=True)
        ]


def layout(tensor: Tensor) -> torch.memory_format:
    """Channels last for images on a CPU: convolution and pooling are several times faster so."""
    if tensor.ndim == 4 and tensor.device.type == "cpu":
        return torch.channels_last
    return torch.contiguous_format
