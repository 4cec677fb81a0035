"""Padding with zeros, a constant, reflections, copies of the edge, or the other end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import InputSize, Inside, WithoutFilters
from .functional import adjoint
from .window import Interval, Window


@dataclass(frozen=True, eq=False)
class Padding(WithoutFilters):
    """Padding of the last axes; its mirror adds every padded place back to where it came from."""

    sides: tuple[tuple[int, int], ...]  # before and after, the last axis last; negative ones crop
    mode: str = "constant"  # or "reflect", "replicate", "circular"
    value: float = 0.0  # what "constant" pads with

    def record(self, input: Tensor) -> tuple[Tensor, InputSize]:
        """Pad."""
        return self._pad(input, self.value), InputSize(input.shape)

    def mirror(self, signal: Tensor, record: InputSize) -> tuple[Tensor]:
        """The exact adjoint: crop for a constant, fold back for the other modes."""
        if self.mode == "constant":
            flipped = Padding(tuple((-before, -after) for before, after in self.sides))
            return (flipped._pad(signal, 0.0),)
        return (adjoint(lambda x: self._pad(x, 0.0), record.size, signal),)

    def window(self, window: Window, record: InputSize) -> tuple[Window]:
        """Moved by the padding; padded places are seen where they were copied from."""
        untouched = len(window) - len(self.sides)
        seen = list(window[:untouched])
        for interval, (before, _), length in zip(
            window[untouched:], self.sides, record.size[untouched:], strict=True
        ):
            seen.append(self._source(interval.shifted(-before), length))
        return (tuple(seen),)

    def inside(self, record: InputSize) -> Inside | None:
        """Without padding, on crops filled with the constant; None for other modes and axes."""
        if self.mode != "constant" or len(self.sides) > len(record.size) - 2:
            return None
        return Inside(Padding(((0, 0),) * len(self.sides)), self.value)

    def padded(self, size: torch.Size) -> torch.Size:
        """The size of the output for an input of this size."""
        untouched = len(size) - len(self.sides)
        grown = (n + a + b for n, (a, b) in zip(size[untouched:], self.sides, strict=True))
        return torch.Size((*size[:untouched], *grown))

    def _pad(self, input: Tensor, value: float) -> Tensor:
        amounts = [amount for pair in reversed(self.sides) for amount in pair]
        if self.mode == "constant":
            return F.pad(input, amounts, "constant", value)
        return F.pad(input, amounts, self.mode)

    def _source(self, interval: Interval, length: int) -> Interval:
        """Where a range that may reach outside ``[0, length)`` was copied from."""
        if self.mode == "constant":
            return interval
        inside = interval.clipped(length)
        before = np.clip(-np.asarray(interval.start), 0, length)
        after = np.clip(np.asarray(interval.stop) - length, 0, length)
        if self.mode == "circular":  # the far end: the hull of both ends is everything
            out = (before > 0) | (after > 0)
            return Interval(np.where(out, 0, inside.start), np.where(out, length, inside.stop))
        if self.mode == "replicate":
            before, after = np.minimum(before, 1), np.minimum(after, 1)
            near = Interval(np.zeros_like(before), before)
            far = Interval(length - after, np.broadcast_to(np.int64(length), after.shape))
        else:  # reflect: place -j is place j, the edge itself is not repeated
            first = np.maximum(1, 1 - np.asarray(interval.stop))
            near = Interval(np.where(before > 0, first, 0), np.where(before > 0, before + 1, 0))
            last = np.minimum(length - 1, 2 * length - 1 - np.asarray(interval.start))
            far = Interval(np.where(after > 0, length - 1 - after, 0), np.where(after > 0, last, 0))
        return inside.union(near).union(far)


def of_call(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Any:
    """The layer and the inputs of a call of ``torch.nn.functional.pad``."""
    if len(pad) >= 2 * input.ndim:  # the batch itself is padded: samples change their places
        return None
    pairs = [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)]
    return Padding(tuple(reversed(pairs)), mode, value or 0.0), (input,)


def of_module(mode: str) -> Any:
    """Reads modules such as ``nn.ReflectionPad2d``, which say their mode only in their name."""

    def read(module: nn.Module, input: Tensor) -> Any:
        m: Any = module
        return of_call(input, m.padding, mode, getattr(m, "value", 0.0))

    return read
