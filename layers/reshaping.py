"""The same values in another order or another shape: flatten, view, permute."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .base import InputSize, Inside, Record, WithoutFilters
from .window import Interval, Window


@dataclass(frozen=True, eq=False)
class Passing(WithoutFilters):
    """Identity, dropout at evaluation, ``contiguous``: the signal passes unchanged."""

    def record(self, input: Tensor) -> tuple[Tensor, InputSize]:
        """The same tensor."""
        return input, InputSize(input.shape)

    def mirror(self, signal: Tensor, record: InputSize) -> tuple[Tensor]:
        """The same signal."""
        return (signal,)

    def window(self, window: Window, record: InputSize) -> tuple[Window]:
        """The same places."""
        return (window,)

    @property
    def channelwise(self) -> bool:
        """Nothing changes."""
        return True

    def inside(self, record: InputSize) -> Inside:
        """The same."""
        return Inside(self)


def passing(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Reads calls that give back their first argument."""
    return Passing(), (input,)


def passing_module(module: nn.Module, input: Tensor) -> Any:
    """Reads calls of modules that do nothing at evaluation."""
    return Passing(), (input,)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Reads ``F.dropout``; one that stays on at evaluation is random and left to autograd."""
    return None if training and p > 0 else (Passing(), (input,))


def stochastic_depth(input: Tensor, p: float, mode: str, training: bool = True) -> Any:
    """Reads ``torchvision.ops.stochastic_depth``: nothing at evaluation, random while training."""
    return None if training and p > 0 else (Passing(), (input,))


@dataclass(frozen=True, eq=False)
class Reshaped(Record):
    """The sizes before and after."""

    before: torch.Size
    after: torch.Size

    @property
    def per_sample(self) -> bool:
        """The batch must stay the first axis."""
        both = len(self.before) > 0 and len(self.after) > 0
        return both and self.before[0] == self.after[0]


@dataclass(frozen=True, eq=False)
class Reshape(WithoutFilters):
    """Flatten, view, reshape, squeeze, unsqueeze: another shape for the same values in order.

    Args:
        function: the operation.
    """

    function: Callable[[Tensor], Tensor]

    def record(self, input: Tensor) -> tuple[Tensor, Reshaped]:
        """Reshape."""
        output = self.function(input)
        return output, Reshaped(input.shape, output.shape)

    def mirror(self, signal: Tensor, record: Reshaped) -> tuple[Tensor]:
        """Shape back."""
        return (signal.reshape(record.before),)

    def window(self, window: Window, record: Reshaped) -> tuple[Window]:
        """Axes that were kept are seen as they were; of merged and split ones, what is needed."""
        seen: list[Interval] = []
        for axes_in, axes_out in _blocks(record.before, record.after):
            lengths_in = [record.before[a] for a in axes_in]
            lengths_out = [record.after[a] for a in axes_out]
            seen.extend(_through(lengths_in, lengths_out, [window[a] for a in axes_out]))
        return (tuple(seen),)


def _blocks(before: torch.Size, after: torch.Size) -> list[tuple[list[int], list[int]]]:
    """The smallest runs of axes with the same number of values on both sides."""
    blocks: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        left, right = [], []
        if i < len(before):
            left, i = [i], i + 1
        if j < len(after):
            right, j = [j], j + 1
        size = [math.prod(before[a] for a in left), math.prod(after[a] for a in right)]
        while size[0] != size[1] and (i < len(before) or j < len(after)):
            if (size[0] < size[1] and i < len(before)) or j == len(after):
                size[0] *= before[i]
                left, i = [*left, i], i + 1
            else:
                size[1] *= after[j]
                right, j = [*right, j], j + 1
        blocks.append((left, right))
    return blocks


def _through(before: list[int], after: list[int], window: list[Interval]) -> list[Interval]:
    """One block: as flat ranges where the output shows a range, split again for the input."""
    if before == after:
        return window
    long_in = [i for i, n in enumerate(before) if n != 1]
    long_out = [i for i, n in enumerate(after) if n != 1]
    if len(long_in) == len(long_out) == 1:  # only axes of length one came or went
        return [
            window[long_out[0]] if i in long_in else Interval.whole() for i in range(len(before))
        ]
    flat = _flat(after, window)
    return _unflat(before, flat)


def _flat(lengths: list[int], window: list[Interval]) -> Interval:
    """The hull of a block of axes, as a range of its flat indices."""
    start: Any = np.int64(0)
    last: Any = np.int64(0)
    for length, interval in zip(lengths, window, strict=True):
        inside = interval.clipped(length)
        start = start * length + inside.start
        last = last * length + np.asarray(inside.stop) - 1
    return Interval(start, last + 1)


def _unflat(lengths: list[int], flat: Interval) -> list[Interval]:
    """The box around a flat range: exact as long as the range stays inside one row."""
    seen: list[Interval] = []
    start, last = np.asarray(flat.start), np.asarray(flat.stop) - 1
    nothing = last < start
    spread = np.zeros(nothing.shape, dtype=bool)
    for i, length in enumerate(lengths):
        below = math.prod(lengths[i + 1 :])
        first, final = start // below % length, last // below % length
        from_here = np.where(spread, 0, first)
        to_here = np.where(spread, length, final + 1)
        seen.append(Interval(from_here, np.where(nothing, from_here, to_here)))
        spread = spread | (start // below != last // below)
    return seen


def reshape(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """Reads calls of a function that keeps the values and their order."""

    def read(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        return Reshape(lambda x: function(x, *args, **kwargs)), (input,)

    return read


def view(input: Tensor, *size: Any, **kwargs: Any) -> Any:
    """Reads ``x.view(...)``; another dtype is no reshaping."""
    if kwargs or any(isinstance(n, torch.dtype) for n in size):
        return None
    return Reshape(lambda x: x.reshape(*size)), (input,)


def flatten_module(module: nn.Module, input: Tensor) -> Any:
    """The layer and the inputs of a call of ``nn.Flatten`` or ``nn.Unflatten``."""
    return Reshape(module.forward), (input,)


@dataclass(frozen=True, eq=False)
class Permuted(Record):
    """The order of the axes."""

    order: tuple[int, ...]

    @property
    def per_sample(self) -> bool:
        """The batch must stay the first axis."""
        return self.order[0] == 0

    def take(self, index: Tensor) -> Permuted:
        """The order is the same for every sample."""
        return self


@dataclass(frozen=True, eq=False)
class Permutation(WithoutFilters):
    """Axes in another order: permute, transpose, ``movedim``.

    Args:
        function: the operation.
    """

    function: Callable[[Tensor], Tensor]

    def record(self, input: Tensor) -> tuple[Tensor, Permuted]:
        """Permute; the order is read off an empty tensor with axes of different lengths."""
        ranks = torch.empty(tuple(range(1, input.ndim + 1)), device="meta")
        order = tuple(n - 1 for n in self.function(ranks).shape)
        return self.function(input), Permuted(order)

    def mirror(self, signal: Tensor, record: Permuted) -> tuple[Tensor]:
        """Permute back."""
        return (signal.permute([record.order.index(i) for i in range(len(record.order))]),)

    def window(self, window: Window, record: Permuted) -> tuple[Window]:
        """The same places under their old axes."""
        return (tuple(window[record.order.index(i)] for i in range(len(window))),)


def permute(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """Reads calls of a function that only orders the axes anew."""

    def read(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        return Permutation(lambda x: function(x, *args, **kwargs)), (input,)

    return read
