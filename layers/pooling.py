"""Max pooling, plain and adaptive, mirrored by unpooling."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import InputSize, Inside, WithoutFilters
from .policies import Policies
from .readers import tuple_of
from .unpooling import Cells, Switches, spread, unpool
from .window import Window

POOL: dict[int, Callable[..., Any]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
ADAPTIVE = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}


@dataclass(frozen=True, eq=False)
class MaxPooling(WithoutFilters):
    """Max pooling in 1-D, 2-D or 3-D; its mirror unpools.

    Args:
        kernel, stride, padding, dilation: one number an axis.
        ceil_mode: windows that start inside the map but end outside count too.
        unpooling: "switches" (see ``unpool``), "centre" or "uniform" (see ``spread``).
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil_mode: bool = False
    unpooling: str = "switches"

    def record(self, input: Tensor) -> tuple[Tensor, Switches | InputSize]:
        """Pool, and remember the switches if they are wanted."""
        switched = self.unpooling == "switches"
        found = POOL[len(self.kernel)](
            input, self.kernel, self.stride, self.padding, self.dilation,
            ceil_mode=self.ceil_mode, return_indices=switched,
        )  # fmt: skip
        if not switched:
            return found, InputSize(input.shape)
        return found[0], Switches(found[1].to(torch.int32), input.shape)

    def mirror(self, signal: Tensor, record: Switches | InputSize) -> tuple[Tensor]:
        """Unpool: every value to its switch, or where the policy puts it."""
        if isinstance(record, Switches):
            return (unpool(signal, record),)
        return (spread(signal, record.size, self._cells(signal.shape), how=self.unpooling),)

    def under(self, policies: Policies) -> MaxPooling:
        """Unpooled as the policies say."""
        return replace(self, unpooling=policies.unpooling)

    def _cells(self, size: torch.Size) -> list[Cells]:
        """For each axis the cells under each window, those outside the map too."""
        axes = zip(size[2:], self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return [
            [range(o * s - p, o * s - p + d * (k - 1) + 1, d) for o in range(length)]
            for length, k, s, p, d in axes
        ]

    def window(self, window: Window, record: Switches | InputSize) -> tuple[Window]:
        """The pooling windows: the switch may stand anywhere in them."""
        batch, channel, *places = window
        seen = [
            place.sliding(dilation * (kernel - 1) + 1, stride, padding)
            for place, kernel, stride, padding, dilation in zip(
                places, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        ]
        return ((batch, channel, *seen),)

    @property
    def channelwise(self) -> bool:
        """Channels are pooled apart."""
        return True

    def inside(self, record: Switches | InputSize) -> Inside | None:
        """Without padding, among values that are never the maximum."""
        if self.unpooling != "switches":  # the others share out by what is on the map
            return None
        bare = replace(self, padding=(0,) * len(self.padding), ceil_mode=False)
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
        layer = cls(
            kernel, stride, tuple_of(padding, axes), tuple_of(dilation, axes), bool(ceil_mode)
        )
        return layer, (input,)


@dataclass(frozen=True, eq=False)
class AdaptiveMaxPooling(WithoutFilters):
    """Adaptive max pooling; its mirror unpools.

    Args:
        bins: output length of each axis; None keeps the input's.
        unpooling: "switches" (see ``unpool``), "centre" or "uniform" (see ``spread``).
    """

    bins: tuple[int | None, ...]
    unpooling: str = "switches"

    def record(self, input: Tensor) -> tuple[Tensor, Switches | InputSize]:
        """Pool, and remember the switches if they are wanted."""
        pool: Callable[..., tuple[Tensor, Tensor]] = ADAPTIVE[len(self.bins)]
        output, places = pool(input, binned(self.bins, input.shape), return_indices=True)
        if self.unpooling != "switches":
            return output, InputSize(input.shape)
        return output, Switches(places.to(torch.int32), input.shape)

    def mirror(self, signal: Tensor, record: Switches | InputSize) -> tuple[Tensor]:
        """Unpool: every value to its switch, or where the policy puts it."""
        if isinstance(record, Switches):
            return (unpool(signal, record),)
        counts = zip(signal.shape[2:], record.size[2:], strict=True)
        cells: list[Cells] = [
            [range(i * n // b, -(-(i + 1) * n // b)) for i in range(b)] for b, n in counts
        ]
        return (spread(signal, record.size, cells, how=self.unpooling),)

    def under(self, policies: Policies) -> AdaptiveMaxPooling:
        """Unpooled as the policies say."""
        return replace(self, unpooling=policies.unpooling)

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
