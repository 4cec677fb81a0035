"""Unpooling: where the value of a pooling window goes on the way back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .base import Record
from .crop import Crop, layout

Cells = Sequence[range]
"""The cells under each window along one axis; those outside the map are among them."""


@dataclass(frozen=True, eq=False)
class Switches(Record):
    """Where each maximum stood, as a flat index into its feature map.

    Args:
        places: (batch, channels, *size_out) int32 or int64; ties go to the first index.
        size: (batch, channels, *size_in) of the pooling's input.
    """

    places: Tensor
    size: torch.Size

    def within(self, output: Crop, inputs: Sequence[Crop]) -> Switches:
        """The same cells, counted in the windows of the input."""
        below = inputs[0]
        places = output.of(self.places)
        # (row - top) w + col - left = place - (place // W) (W - w) - (top w + left), in any axes
        steps = [math.prod(below.size[axis + 1 :]) for axis in range(len(below.size))]
        first = torch.from_numpy((below.starts @ np.asarray(steps)).astype(np.int32))
        cells = places - first.to(places.device).view(-1, *[1] * (places.ndim - 1))
        for axis in range(1, len(below.size)):
            saved = (below.maps[axis] - below.size[axis]) * steps[axis]
            cells -= torch.div(places, math.prod(below.maps[axis:]), rounding_mode="floor") * saved
        return Switches(cells, below.sized(self.size))


def unpool(signal: Tensor, record: Switches) -> Tensor:
    """Put each value back where its maximum stood; values that meet there add up.

    Max pooling cannot be inverted, but the switches tell where each maximum came from (Zeiler &
    Fergus 2014, section 2.1). Where windows overlap, one place may be the maximum of several, and
    the sum is the exact transpose for fixed switches. ``torch.nn.functional.max_unpool2d`` keeps
    only one of them.

    Args:
        signal: (batch, channels, *size_out).
        record: the switches.

    Raises:
        ValueError: the signal and the switches are of different shapes.
    """
    if signal.shape != record.places.shape:
        raise ValueError(
            f"a signal of shape {tuple(signal.shape)} cannot be unpooled by switches of shape "
            f"{tuple(record.places.shape)}: was this recording made from another image?"
        )
    places = record.places.long()
    if layout(signal) == torch.channels_last:  # faster, and no layout is changed
        below = torch.empty(record.size, dtype=signal.dtype, memory_format=torch.channels_last)
        unpooled: Tensor = torch.ops.aten.adaptive_max_pool2d_backward(signal, below, places)
        return unpooled
    below = signal.new_zeros((*record.size[:2], math.prod(record.size[2:])))
    below.scatter_add_(2, places.flatten(2), signal.flatten(2))
    return below.view(record.size)


def spread(signal: Tensor, size: torch.Size, cells: Sequence[Cells], *, how: str) -> Tensor:
    """Unpool without switches: every window sends its value to places known beforehand.

    Springenberg et al. 2014 ask what is left of the methods without switches; Mahendran & Vedaldi
    2016 send the value to the centre of its window. Windows that overlap add up.

    Args:
        signal: (batch, channels, *size_out).
        size: (batch, channels, *size_in) of the pooling's input.
        cells: for each axis the cells under each window.
        how: "centre", or "uniform": in equal parts to all cells of the window that are on the map.
    """
    below = signal
    for axis, (windows, length) in enumerate(zip(cells, size[2:], strict=True), start=2):
        shares = torch.zeros(len(windows), length, dtype=signal.dtype)
        for row, window in zip(shares, windows, strict=True):
            chosen = [cell for cell in window if 0 <= cell < length]
            if how == "centre":  # cell ceil(k / 2), counted from one, or the nearest on the map
                chosen = [min(max(window[(len(window) - 1) // 2], 0), length - 1)]
            row[chosen] = 1 / max(len(chosen), 1)
        below = torch.tensordot(below, shares.to(signal.device), dims=([axis], [0]))
        below = below.movedim(-1, axis)
    return below.contiguous()
