"""Average pooling, adaptive average pooling, means and sums: linear, mirrored by their adjoints."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import LinearMap, Record, WithoutFilters, no_filters, take
from .pooling import adaptive_window
from .readers import tuple_of
from .window import Interval, Window

AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
ADAPTIVE: dict[int, Callable[..., Tensor]] = {
    1: F.adaptive_avg_pool1d,
    2: F.adaptive_avg_pool2d,
    3: F.adaptive_avg_pool3d,
}


def average_pooling(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> tuple[LinearMap, tuple[Tensor]]:
    """The layer and the inputs of a call of ``F.avg_pool2d`` and relatives."""
    axes = input.ndim - 2
    kernel = tuple_of(kernel_size, axes)
    strides = tuple_of(stride, axes) if stride else kernel
    padding = tuple_of(padding, axes)
    rest = () if axes == 1 else (divisor_override,)  # the 1-D function does not know it

    def pool(x: Tensor) -> Tensor:
        return AVERAGE[axes](x, kernel, strides, padding, ceil_mode, count_include_pad, *rest)

    def sees(window: Window, size: torch.Size) -> Window:
        batch, channel, *places = window
        moves = zip(places, kernel, strides, padding, strict=True)
        return (batch, channel, *(place.sliding(k, s, p) for place, k, s, p in moves))

    def bare(x: Tensor) -> Tensor:
        return AVERAGE[axes](x, kernel, strides, 0, False, True, *rest)

    # where the padding does not count, a border divides by what no other place divides by
    even = not ceil_mode and (count_include_pad or not any(padding))
    return LinearMap(pool, sees, bare if even else None, no_filters), (input,)


def adaptive_average_pooling(input: Tensor, output_size: Any) -> tuple[LinearMap, tuple[Tensor]]:
    """The layer and the inputs of a call of ``F.adaptive_avg_pool2d`` and relatives."""
    axes = input.ndim - 2
    bins = tuple_of(output_size, axes)

    def sees(window: Window, size: torch.Size) -> Window:
        return adaptive_window(window, bins, size)

    return LinearMap(lambda x: ADAPTIVE[axes](x, bins), sees, cost=no_filters), (input,)


@dataclass(frozen=True, eq=False)
class Reduced(Record):
    """The size of the input of a reduction and which of its axes are gone."""

    size: torch.Size
    axes: tuple[int, ...]
    kept: bool

    @property
    def per_sample(self) -> bool:
        """The batch must not be among the reduced axes."""
        return 0 not in self.axes

    def take(self, index: Tensor) -> Reduced:
        """The same reduction for other samples; ``axes`` are no rows to choose from."""
        return Reduced(take(self.size, index), self.axes, self.kept)


@dataclass(frozen=True, eq=False)
class Reduction(WithoutFilters):
    """Mean or sum over axes.

    Args:
        axes: the axes that are reduced; empty means all.
        keepdim: reduced axes stay with length one.
        mean: divide by the number of values.
    """

    axes: tuple[int, ...]
    keepdim: bool
    mean: bool

    def record(self, input: Tensor) -> tuple[Tensor, Reduced]:
        """Reduce."""
        axes = tuple(sorted(a % input.ndim for a in self.axes)) or tuple(range(input.ndim))
        reduce = torch.mean if self.mean else torch.sum
        output = reduce(input, dim=axes, keepdim=self.keepdim)
        return output, Reduced(input.shape, axes, self.keepdim)

    def mirror(self, signal: Tensor, record: Reduced) -> tuple[Tensor]:
        """Spread the signal evenly over what was reduced."""
        if not record.kept:
            for axis in record.axes:
                signal = signal.unsqueeze(axis)
        count = math.prod(record.size[a] for a in record.axes) if self.mean else 1
        return ((signal / count).expand(record.size),)

    def window(self, window: Window, record: Reduced) -> tuple[Window]:
        """Everything of the reduced axes."""
        return (reduced_window(window, record),)


def reduced_window(window: Window, record: Reduced) -> Window:
    """What a reduction sees: everything of the reduced axes, the same places of the others."""
    rest = list(window)
    seen = []
    for axis in range(len(record.size)):
        if axis not in record.axes:
            seen.append(rest.pop(0))
            continue
        seen.append(Interval.whole())
        if record.kept:
            rest.pop(0)
    return tuple(seen)


def mean(input: Tensor, dim: Any = (), keepdim: bool = False) -> tuple[Reduction, tuple[Tensor]]:
    """The layer and the inputs of a call of ``torch.mean``."""
    return Reduction(_axes(dim), keepdim, mean=True), (input,)


def total(input: Tensor, dim: Any = (), keepdim: bool = False) -> tuple[Reduction, tuple[Tensor]]:
    """The layer and the inputs of a call of ``torch.sum``."""
    return Reduction(_axes(dim), keepdim, mean=False), (input,)


def _axes(dim: Any) -> tuple[int, ...]:
    return (dim,) if isinstance(dim, int) else tuple(dim or ())
