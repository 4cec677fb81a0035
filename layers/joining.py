"""Sums, products, quotients, concatenation and stacking of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .base import Inside, Record, WithoutFilters, no_filters, take
from .crop import Crop
from .functional import PerSample, broadcasting, linear
from .window import Interval, Window, broadcast_window

Number = float | int


@dataclass(frozen=True, eq=False)
class Broadcast(Record):
    """The sizes of inputs that were broadcast against each other, and of the output."""

    inputs: tuple[torch.Size, ...]
    output: torch.Size

    @property
    def per_sample(self) -> bool:
        """Tensors without axes have no samples."""
        return len(self.output) > 0

    @property
    def shared(self) -> tuple[bool, ...]:
        """Inputs without the batch."""
        return tuple(not batched(size, self.output) for size in self.inputs)

    def take(self, index: Tensor) -> Broadcast:
        """The sizes for as many rows of the inputs that carry the batch."""
        taken = [
            size if own else take(size, index)
            for size, own in zip(self.inputs, self.shared, strict=True)
        ]
        return Broadcast(tuple(taken), take(self.output, index))

    def within(self, output: Crop, inputs: Sequence[Crop]) -> Broadcast:
        """The sizes of the crops."""
        cut = tuple(crop.sized(x) for x, crop in zip(self.inputs, inputs, strict=True))
        return Broadcast(cut, output.sized(self.output))


def batched(size: torch.Size, output: torch.Size) -> bool:
    """Whether an input that was broadcast carries the batch of the output."""
    return len(size) == len(output) > 0 and size[0] == output[0]


@dataclass(frozen=True, eq=False)
class Combination(WithoutFilters):
    """A sum of tensors, each with a factor, plus a number: ``a + b``, ``a - b``, ``2 a``."""

    factors: tuple[Number, ...]
    constant: Number = 0

    @property
    def mined(self) -> bool:  # type: ignore[override]
        """Where several tensors are added."""
        return len(self.factors) > 1

    def record(self, *inputs: Tensor) -> tuple[Tensor, Broadcast]:
        """Add up, with broadcasting."""
        terms = [x if f == 1 else x * f for x, f in zip(inputs, self.factors, strict=True)]
        output = terms[0]
        for term in terms[1:]:
            output = output + term
        if self.constant != 0:
            output = output + self.constant
        return output, Broadcast(tuple(x.shape for x in inputs), output.shape)

    def mirror(self, signal: Tensor, record: Broadcast) -> tuple[Tensor, ...]:
        """The signal goes down every path, with the path's factor."""
        pairs = zip(self.factors, record.inputs, strict=True)
        return tuple((signal if f == 1 else signal * f).sum_to_size(size) for f, size in pairs)

    def window(self, window: Window, record: Broadcast) -> tuple[Window, ...]:
        """The same places of every input."""
        return tuple(broadcast_window(window, size) for size in record.inputs)

    def inside(self, record: Broadcast) -> Inside | None:
        """The same on crops; None where cells are broadcast."""
        aligned = len({size[2:] for size in record.inputs}) == 1 and not any(record.shared)
        return Inside(self) if len(record.output) > 2 and aligned else None


@dataclass(frozen=True, eq=False)
class Joined(Record):
    """The sizes of the inputs that were concatenated, and along which axis."""

    sizes: tuple[torch.Size, ...]
    axis: int

    @property
    def per_sample(self) -> bool:
        """The batch must not be the axis that grew."""
        return self.axis != 0

    def within(self, output: Crop, inputs: Sequence[Crop]) -> Joined:
        """The sizes of the crops."""
        pairs = zip(self.sizes, inputs, strict=True)
        return Joined(tuple(crop.sized(size) for size, crop in pairs), self.axis)


@dataclass(frozen=True, eq=False)
class Concatenation(WithoutFilters):
    """Concatenation along an axis; the mirror splits the signal."""

    dim: int
    mined = True

    def record(self, *inputs: Tensor) -> tuple[Tensor, Joined]:
        """Concatenate."""
        output = torch.cat(inputs, self.dim)
        return output, Joined(tuple(x.shape for x in inputs), self.dim % output.ndim)

    def mirror(self, signal: Tensor, record: Joined) -> tuple[Tensor, ...]:
        """To each input its part of the signal."""
        return torch.split(signal, [size[record.axis] for size in record.sizes], record.axis)

    def window(self, window: Window, record: Joined) -> tuple[Window, ...]:
        """To each input its part of the window, empty if it has none."""
        seen, offset = [], 0
        for size in record.sizes:
            length = size[record.axis]
            part = window[record.axis].shifted(-offset).clipped(length)
            seen.append((*window[: record.axis], part, *window[record.axis + 1 :]))
            offset += length
        return tuple(seen)

    def inside(self, record: Joined) -> Inside | None:
        """The same on crops, if channels are concatenated."""
        return Inside(self) if record.axis == 1 else None


def pointwise(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """Reads calls of a function of tensors that works place by place, with broadcasting."""

    def read(*tensors: Any, **numbers: Any) -> Any:
        extra = any(isinstance(value, Tensor) for value in numbers.values())
        if extra or not all(isinstance(x, Tensor) for x in tensors):
            return None
        size = torch.broadcast_shapes(*(x.shape for x in tensors))  # type: ignore[no-untyped-call]
        own = tuple(batched(x.shape, size) for x in tensors)
        return PerSample(lambda *x: function(*x, **numbers), broadcasting, no_filters, own), tensors

    return read


def add(input: Any, other: Any, *, alpha: Number = 1, out: Any = None) -> Any:
    """The layer and the inputs of ``input + alpha other``."""
    return None if out is not None else combined(input, other, alpha)


def subtract(input: Any, other: Any, *, alpha: Number = 1, out: Any = None) -> Any:
    """The layer and the inputs of ``input - alpha other``."""
    return None if out is not None else combined(input, other, -alpha)


def reversed_subtract(input: Any, other: Any, alpha: Number = 1) -> Any:
    """The layer and the inputs of ``other - alpha input``."""
    return combined(other, input, -alpha)


def combined(left: Any, right: Any, factor: Number) -> Any:
    """The layer and the inputs of ``left + factor right``, tensors or numbers."""
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return Combination((1, factor)), (left, right)
    if isinstance(left, Tensor) and isinstance(right, Number):
        return Combination((1,), factor * right), (left,)
    if isinstance(right, Tensor) and isinstance(left, Number):
        return Combination((factor,), left), (right,)
    return None


def multiply(input: Any, other: Any) -> Any:
    """The layer and the inputs of ``input * other``."""
    if isinstance(input, Tensor) and isinstance(other, Tensor):
        return pointwise(torch.mul)(input, other)
    tensor, number = (input, other) if isinstance(input, Tensor) else (other, input)
    if isinstance(tensor, Tensor) and isinstance(number, Number):
        return Combination((number,)), (tensor,)
    return None


def divide(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """The layer and the inputs of ``input / other``."""
    if rounding_mode is not None or not isinstance(input, Tensor):
        return None
    if isinstance(other, Tensor):
        return pointwise(torch.div)(input, other)
    return Combination((1 / other,)), (input,)


def negate(input: Tensor) -> Any:
    """The layer and the inputs of ``-input``."""
    return Combination((-1,)), (input,)


def concatenate(tensors: Sequence[Tensor], dim: int = 0) -> Any:
    """The layer and the inputs of ``torch.cat``."""
    return Concatenation(dim), tuple(tensors)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Any:
    """The layer and the inputs of ``torch.stack``."""
    axis = dim % (tensors[0].ndim + 1)

    def sees(window: Window, *sizes: torch.Size) -> Any:
        rest, seen = (*window[:axis], *window[axis + 1 :]), []
        for number in range(len(sizes)):  # the inputs whose slices are looked at
            missed = window[axis].shifted(-number).clipped(1).empty
            seen.append(tuple(Interval(i.start, np.where(missed, i.start, i.stop)) for i in rest))
        return seen if len(sizes) > 1 else seen[0]

    return linear(lambda *x: torch.stack(x, axis), sees, per_sample=axis != 0), tuple(tensors)
