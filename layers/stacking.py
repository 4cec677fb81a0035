"""A new axis, one axis less, axes repeated: stack, unbind and expand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .base import MirroredLayer, Record, Signal, WithoutFilters
from .reshaping import Reshape, Reshaped
from .window import Interval, Window, broadcast_window, union


@dataclass(frozen=True, eq=False)
class Stacked(Record):
    """The size of the stack and the axis that its parts do not have."""

    size: torch.Size
    axis: int

    @property
    def per_sample(self) -> bool:
        """The batch must not be the axis that came or went."""
        return self.axis != 0


@dataclass(frozen=True, eq=False)
class Stacking(WithoutFilters):
    """Tensors stacked along a new axis; the mirror takes them apart.

    Args:
        dim: the new axis.
    """

    dim: int

    def record(self, *inputs: Tensor) -> tuple[Tensor, Stacked]:
        """Stack."""
        output = torch.stack(inputs, self.dim)
        return output, Stacked(output.shape, self.dim % output.ndim)

    def mirror(self, signal: Tensor, record: Stacked) -> tuple[Tensor, ...]:
        """To each input its slice."""
        return signal.unbind(record.axis)

    def window(self, window: Window, record: Stacked) -> tuple[Window, ...]:
        """The same places of the inputs whose slices are looked at, nothing of the others."""
        axis = record.axis
        rest, seen = (*window[:axis], *window[axis + 1 :]), []
        for number in range(record.size[axis]):
            missed = window[axis].shifted(-number).clipped(1).empty
            seen.append(tuple(Interval(i.start, np.where(missed, i.start, i.stop)) for i in rest))
        return tuple(seen)


@dataclass(frozen=True, eq=False)
class Unbinding(WithoutFilters):
    """A tensor taken apart along an axis into a tuple; the mirror stacks it.

    Args:
        dim: the axis that goes.
    """

    dim: int

    def record(self, input: Tensor) -> tuple[tuple[Tensor, ...], Stacked]:
        """Take apart."""
        return input.unbind(self.dim), Stacked(input.shape, self.dim % input.ndim)

    def mirror(self, signal: Signal, record: Stacked) -> tuple[Tensor]:
        """Stack, with zeros where nothing arrives."""
        like = next(part for part in signal if part is not None)
        parts = [torch.zeros_like(like) if part is None else part for part in signal]
        return (torch.stack(parts, record.axis),)

    def window(self, window: Any, record: Stacked) -> tuple[Window | None]:
        """The same places, in the slices of the entries."""
        seen: Window | None = None
        for number, part in enumerate(window):
            if part is not None:
                own = Interval.at(number)
                here = (*part[: record.axis], own, *part[record.axis :])
                seen = here if seen is None else union(seen, here)
        return (seen,)


class Expanded(Reshaped):
    """The sizes before and after axes were repeated."""

    @property
    def per_sample(self) -> bool:
        """The batch must stay the first axis, and is not what is repeated."""
        return len(self.before) == len(self.after) and super().per_sample


@dataclass(frozen=True, eq=False)
class Expansion(WithoutFilters):
    """Axes of length one repeated, ``x.expand(-1, -1, 4, 4)``; the mirror sums over them.

    Args:
        size: as ``expand`` takes it.
    """

    size: Sequence[int]

    def record(self, input: Tensor) -> tuple[Tensor, Expanded]:
        """Expand."""
        output = input.expand(*self.size)
        return output, Expanded(input.shape, output.shape)

    def mirror(self, signal: Tensor, record: Expanded) -> tuple[Tensor]:
        """Summed over what was repeated."""
        return (signal.sum_to_size(record.before),)

    def window(self, window: Window, record: Expanded) -> tuple[Window]:
        """The same places; axes of length one are seen whole."""
        return (broadcast_window(window, record.before),)


@dataclass(frozen=True, eq=False)
class Alike(WithoutFilters):
    """A layer that was told its size by a second tensor, of which it reads no value.

    Args:
        layer: of the first input.
    """

    layer: MirroredLayer

    def record(self, input: Tensor, other: Tensor) -> tuple[Tensor, Record]:
        """Run the layer."""
        found: tuple[Tensor, Record] = self.layer.record(input)
        return found

    def mirror(self, signal: Tensor, record: Record) -> tuple[Signal, None]:
        """Nothing arrives at the second input."""
        return (*self.layer.mirror(signal, record), None)

    def window(self, window: Window, record: Record) -> tuple[Any, None]:
        """Nothing is seen of the second input."""
        return (*self.layer.window(window, record), None)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Any:
    """The layer and the inputs of ``torch.stack``."""
    return Stacking(dim), tuple(tensors)


def unbind(input: Tensor, dim: int = 0) -> Any:
    """The layer and the inputs of ``torch.unbind``."""
    return Unbinding(dim), (input,)


def expand(input: Tensor, *size: Any) -> Any:
    """The layer and the inputs of ``x.expand``."""
    return Expansion(size), (input,)


def expand_as(input: Tensor, other: Tensor) -> Any:
    """The layer and the inputs of ``x.expand_as``."""
    return Alike(Expansion(other.shape)), (input, other)


def reshape_as(input: Tensor, other: Tensor) -> Any:
    """The layer and the inputs of ``x.view_as`` and ``x.reshape_as``."""
    size = other.shape
    return Alike(Reshape(lambda x: x.reshape(size))), (input, other)
