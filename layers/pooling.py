"""Max pooling, plain and adaptive, mirrored by unpooling; average pooling, by its adjoint."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from .base import InputSize, Inside, WithoutFilters, no_filters
from .functional import LinearMap, linear
from .policies import Policies
from .readers import for_axes, tuple_of
from .unpooling import Cells, Switches, spread, unpool
from .window import Window


@dataclass(frozen=True, eq=False)
class Unpooled(WithoutFilters):
    """A max pooling; its mirror unpools by "switches", or to the "centre", or "uniform"."""

    unpooling: str = field(default="switches", kw_only=True)
    packed: bool = field(default=True, kw_only=True)  # switches of 32 bits, to be kept for long
    channelwise = selects = True

    def pool(self, input: Tensor) -> Any:
        """The maxima, and the place of each in its map."""
        raise NotImplementedError

    def cells(self, record: InputSize, size: torch.Size) -> list[Cells]:
        """For each axis the cells under each window, those outside the map too."""
        raise NotImplementedError

    def record(self, input: Tensor) -> tuple[Tensor, Switches | InputSize]:
        """Pool, and remember the switches if the policy needs them."""
        output, places = self.pool(input)
        if self.unpooling != "switches":
            return output, InputSize(input.shape)
        return output, Switches(places.to(torch.int32) if self.packed else places, input.shape)

    def mirror(self, signal: Tensor, record: Switches | InputSize) -> tuple[Tensor]:
        """Unpool: every value to its switch, or where the policy puts it."""
        if isinstance(record, Switches):
            return (unpool(signal, record),)
        cells = self.cells(record, signal.shape)
        return (spread(signal, record.size, cells, how=self.unpooling),)

    @property
    def mirror_in_words(self) -> str:
        """Where the unpooling puts a value."""
        places = {"switches": "to its switch", "centre": "to the centre of its window"}
        return f"unpool: each value {places.get(self.unpooling, 'in equal parts to its window')}"

    def under(self, policies: Policies) -> Unpooled:
        """Unpooled as the policies say."""
        return replace(self, unpooling=policies.unpooling)

    def reused(
        self, record: Switches | InputSize, policies: Policies
    ) -> tuple[Unpooled, Switches | InputSize] | None:
        """By the size of the input, unless switches are wanted and there are none."""
        wanted, there = policies.unpooling == "switches", isinstance(record, Switches)
        if wanted and not there:
            return None
        kept = record if wanted else InputSize(record.size)
        return self.under(policies), kept


@dataclass(frozen=True, eq=False)
class MaxPooling(Unpooled):
    """Max pooling in 1-D, 2-D or 3-D."""

    kernel: tuple[int, ...]  # one number an axis, as the others
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil_mode: bool = False  # windows that start inside the map but end outside count too

    def pool(self, input: Tensor) -> Any:
        """By torch."""
        return for_axes("max_pool", len(self.kernel))(
            input, self.kernel, self.stride, self.padding, self.dilation,
            ceil_mode=self.ceil_mode, return_indices=True,
        )  # fmt: skip

    def cells(self, record: InputSize, size: torch.Size) -> list[Cells]:
        """The kernel, dilated."""
        axes = zip(size[2:], self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return [
            [range(o * s - p, o * s - p + d * (k - 1) + 1, d) for o in range(length)]
            for length, k, s, p, d in axes
        ]

    def window(self, window: Window, record: Switches | InputSize) -> tuple[Window]:
        """The pooling windows: the switch may stand anywhere in them."""
        batch, channel, *places = window
        axes = zip(places, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        seen = [place.sliding(d * (k - 1) + 1, s, p) for place, k, s, p, d in axes]
        return ((batch, channel, *seen),)

    def inside(self, record: Switches | InputSize) -> Inside | None:
        """Without padding, among values that are never the maximum."""
        if self.unpooling != "switches":  # the others share out by what is on the map
            return None
        bare = replace(self, padding=(0,) * len(self.padding), ceil_mode=False, packed=False)
        return Inside(bare, -math.inf)

    @classmethod
    def of_call(
        cls,
        input: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> tuple[MaxPooling, tuple[Tensor]] | None:
        """The layer and the inputs of a call of ``F.max_pool2d`` and relatives."""
        if return_indices:
            return None
        axes = input.ndim - 2
        kernel = tuple_of(kernel_size, axes)
        stride = tuple_of(stride, axes) if stride else kernel
        padding, dilation = tuple_of(padding, axes), tuple_of(dilation, axes)
        return cls(kernel, stride, padding, dilation, bool(ceil_mode)), (input,)


@dataclass(frozen=True, eq=False)
class AdaptiveMaxPooling(Unpooled):
    """Adaptive max pooling."""

    bins: tuple[int | None, ...]  # output length of each axis; None keeps the input's

    def pool(self, input: Tensor) -> Any:
        """By torch."""
        pool = for_axes("adaptive_max_pool", len(self.bins))
        return pool(input, binned(self.bins, input.shape), return_indices=True)

    def cells(self, record: InputSize, size: torch.Size) -> list[Cells]:
        """The bins."""
        counts = zip(size[2:], record.size[2:], strict=True)
        return [[range(i * n // b, -(-(i + 1) * n // b)) for i in range(b)] for b, n in counts]

    def window(self, window: Window, record: Switches | InputSize) -> tuple[Window]:
        """The bins."""
        return (adaptive_window(window, self.bins, record.size),)

    @classmethod
    def of_call(
        cls, input: Tensor, output_size: Any, return_indices: bool = False
    ) -> tuple[AdaptiveMaxPooling, tuple[Tensor]] | None:
        """The layer and the inputs of a call of ``F.adaptive_max_pool2d`` and relatives."""
        if return_indices:
            return None
        return cls(tuple_of(output_size, input.ndim - 2)), (input,)


def binned(bins: tuple[int | None, ...], size: torch.Size) -> tuple[int, ...]:
    """The number of bins of each spatial axis, for an input of this size."""
    return tuple(n if b is None else b for b, n in zip(bins, size[2:], strict=True))


def adaptive_window(window: Window, bins: tuple[int | None, ...], size: torch.Size) -> Window:
    """What adaptive pooling sees: bin ``i`` of ``b`` covers ``[i n / b, (i + 1) n / b)``."""
    batch, channel, *places = window
    counts = binned(bins, size)
    seen = [p.binned(b, n) for p, b, n in zip(places, counts, size[2:], strict=True)]
    return (batch, channel, *seen)


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
    average = for_axes("avg_pool", axes)

    def sees(window: Window, size: torch.Size) -> Window:
        batch, channel, *places = window
        moves = zip(places, kernel, strides, padding, strict=True)
        return (batch, channel, *(place.sliding(k, s, p) for place, k, s, p in moves))

    # where the padding does not count, a border divides by what no other place divides by
    even = not ceil_mode and (count_include_pad or not any(padding))
    layer = LinearMap(
        lambda x: average(x, kernel, strides, padding, ceil_mode, count_include_pad, *rest),
        sees,
        (lambda x: average(x, kernel, strides, 0, False, True, *rest)) if even else None,
        no_filters,
    )
    return layer, (input,)


def adaptive_average_pooling(input: Tensor, output_size: Any) -> tuple[LinearMap, tuple[Tensor]]:
    """The layer and the inputs of a call of ``F.adaptive_avg_pool2d`` and relatives."""
    axes = input.ndim - 2
    bins, average = tuple_of(output_size, axes), for_axes("adaptive_avg_pool", axes)
    layer = linear(lambda x: average(x, bins), lambda w, size: adaptive_window(w, bins, size))
    return layer, (input,)
