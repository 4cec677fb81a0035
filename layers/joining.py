"""Where paths meet: sums, products, concatenation, stacking, and their tuples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .base import Inside, MirroredLayer, Record, take
from .crop import Crop
from .window import Interval, Window

Number = float | int


@dataclass(frozen=True, eq=False)
class Broadcast(Record):
    """The sizes, or the values, of inputs that were broadcast against each other.

    Args:
        inputs: torch.Size or Tensor of each input.
        rank: number of axes of the output.
        batch: its first length; an input has the batch only if it has all axes and this length.
    """

    inputs: tuple[Any, ...]
    rank: int
    batch: int

    @property
    def per_sample(self) -> bool:
        """Tensors without axes have no samples."""
        return self.rank > 0

    @property
    def shared(self) -> tuple[bool, ...]:
        """Inputs without the batch."""
        return tuple(not self._batched(x) for x in self.inputs)

    def take(self, index: Tensor) -> Broadcast:
        """Rows of the inputs that carry the batch; the others serve every sample."""
        taken = tuple(take(x, index) if self._batched(x) else x for x in self.inputs)
        return Broadcast(taken, self.rank, len(index))

    def within(self, output: Crop, inputs: Sequence[Crop]) -> Broadcast:
        """The windows of each input, or their sizes."""
        pairs = zip(self.inputs, inputs, strict=True)
        cut = tuple(c.of(x) if isinstance(x, Tensor) else c.sized(x) for x, c in pairs)
        return Broadcast(cut, self.rank, len(output.rows))

    @property
    def windowed(self) -> bool:
        """True if the inputs have the batch and the same places: then the layer runs on windows.

        Where places are broadcast, the mirror would add up what stands outside of the maps.
        """
        sizes = [x.shape if isinstance(x, Tensor) else x for x in self.inputs]
        same = len({tuple(size[2:]) for size in sizes}) == 1
        return self.rank > 2 and same and not any(self.shared)

    def _batched(self, kept: Tensor | torch.Size) -> bool:
        size = kept.shape if isinstance(kept, Tensor) else kept
        return len(size) == self.rank and size[0] == self.batch


def _sizes(inputs: tuple[Tensor, ...], output: Tensor) -> Broadcast:
    return Broadcast(tuple(x.shape for x in inputs), output.ndim, _batch(output))


def _values(inputs: tuple[Tensor, ...], output: Tensor) -> Broadcast:
    return Broadcast(inputs, output.ndim, _batch(output))


def _batch(output: Tensor) -> int:
    return output.shape[0] if output.ndim else 1


def broadcast_window(window: Window, size: torch.Size) -> Window:
    """What a broadcast input shows of a window: axes of length one are seen whole."""
    ours = window[len(window) - len(size) :] if size else ()
    return tuple(Interval.whole() if n == 1 else w for w, n in zip(ours, size, strict=True))


@dataclass(frozen=True, eq=False)
class Combination(MirroredLayer):
    """A sum of tensors, each with a factor, plus a number: ``a + b``, ``a - b``, ``-a``, ``2 a``.

    Args:
        factors: one number for each input.
        constant: a number that is added.
    """

    factors: tuple[Number, ...]
    constant: Number = 0

    def record(self, *inputs: Tensor) -> tuple[Tensor, Broadcast]:
        """Add up, with broadcasting."""
        terms = [x if f == 1 else x * f for x, f in zip(inputs, self.factors, strict=True)]
        output = terms[0]
        for term in terms[1:]:
            output = output + term
        if self.constant != 0:
            output = output + self.constant
        return output, _sizes(inputs, output)

    def mirror(self, signal: Tensor, record: Broadcast) -> tuple[Tensor, ...]:
        """The signal goes down every path, with the path's factor."""
        pairs = zip(self.factors, record.inputs, strict=True)
        return tuple((signal if f == 1 else signal * f).sum_to_size(size) for f, size in pairs)

    def window(self, window: Window, record: Broadcast) -> tuple[Window, ...]:
        """The same places of every input."""
        return tuple(broadcast_window(window, size) for size in record.inputs)

    def inside(self, record: Broadcast) -> Inside | None:
        """The same."""
        return Inside(self) if record.windowed else None


@dataclass(frozen=True, eq=False)
class Product(MirroredLayer):
    """A product of two tensors: the product rule with the recorded factors."""

    def record(self, left: Tensor, right: Tensor) -> tuple[Tensor, Broadcast]:
        """Multiply, with broadcasting, and keep both factors."""
        output = left * right
        return output, _values((left, right), output)

    def mirror(self, signal: Tensor, record: Broadcast) -> tuple[Tensor, Tensor]:
        """To each factor the signal times the other one."""
        left, right = record.inputs
        return (signal * right).sum_to_size(left.shape), (signal * left).sum_to_size(right.shape)

    def window(self, window: Window, record: Broadcast) -> tuple[Window, ...]:
        """The same places of both."""
        return tuple(broadcast_window(window, x.shape) for x in record.inputs)

    def inside(self, record: Broadcast) -> Inside | None:
        """The same."""
        return Inside(self) if record.windowed else None


@dataclass(frozen=True, eq=False)
class Quotient(MirroredLayer):
    """A quotient of two tensors."""

    def record(self, left: Tensor, right: Tensor) -> tuple[Tensor, Broadcast]:
        """Divide, with broadcasting, and keep both."""
        output = left / right
        return output, _values((left, right), output)

    def mirror(self, signal: Tensor, record: Broadcast) -> tuple[Tensor, ...]:
        """The quotient rule with the recorded values."""
        left, right = record.inputs
        over = signal / right
        return over.sum_to_size(left.shape), (-over * left / right).sum_to_size(right.shape)

    def window(self, window: Window, record: Broadcast) -> tuple[Window, ...]:
        """The same places of both."""
        return tuple(broadcast_window(window, x.shape) for x in record.inputs)

    def inside(self, record: Broadcast) -> Inside | None:
        """The same."""
        return Inside(self) if record.windowed else None


@dataclass(frozen=True, eq=False)
class Joined(Record):
    """The sizes of inputs that were put side by side, and along which axis."""

    sizes: tuple[torch.Size, ...]
    axis: int

    @property
    def per_sample(self) -> bool:
        """The batch must not be the axis that grew."""
        return self.axis != 0

    def within(self, output: Crop, inputs: Sequence[Crop]) -> Joined:
        """The sizes of the windows."""
        pairs = zip(self.sizes, inputs, strict=True)
        return Joined(tuple(crop.sized(size) for size, crop in pairs), self.axis)


@dataclass(frozen=True, eq=False)
class Concatenation(MirroredLayer):
    """Tensors put side by side; the mirror takes them apart.

    Args:
        dim: the axis along which they lie.
    """

    dim: int

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
        """The same, if it is channels that lie side by side."""
        return Inside(self) if record.axis == 1 else None


def add(input: Any, other: Any, *, alpha: Number = 1, out: Any = None) -> Any:
    """The layer and the inputs of ``input + alpha other``."""
    if out is not None:
        return None
    return combined(input, other, alpha)


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
        return Product(), (input, other)
    tensor, number = (input, other) if isinstance(input, Tensor) else (other, input)
    if isinstance(tensor, Tensor) and isinstance(number, Number):
        return Combination((number,)), (tensor,)
    return None


def divide(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """The layer and the inputs of ``input / other``."""
    if rounding_mode is not None or not isinstance(input, Tensor):
        return None
    if isinstance(other, Tensor):
        return Quotient(), (input, other)
    return Combination((1 / other,)), (input,)


def negate(input: Tensor) -> Any:
    """The layer and the inputs of ``-input``."""
    return Combination((-1,)), (input,)


def concatenate(tensors: Sequence[Tensor], dim: int = 0) -> Any:
    """The layer and the inputs of ``torch.cat``."""
    return Concatenation(dim), tuple(tensors)
