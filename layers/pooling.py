"""Max pooling, mirrored by unpooling with recorded switches."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import MirroredLayer, Record
from .convolution import tuple_of
from .window import Window

POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
ADAPTIVE = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}


@dataclass(frozen=True, eq=False)
class Switches(Record):
    """Where each maximum stood, as a flat index into its feature map.

    Args:
        places: (batch, channels, *size_out) int32; ties go to the first index.
        size: (batch, channels, *size_in) of the pooling's input.
    """

    places: Tensor
    size: torch.Size


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
    below = signal.new_zeros((*record.size[:2], math.prod(record.size[2:])))
    below.scatter_add_(2, record.places.flatten(2).long(), signal.flatten(2))
    return below.view(record.size)


@dataclass(frozen=True, eq=False)
class MaxPooling(MirroredLayer):
    """Max pooling in 1-D, 2-D or 3-D; its mirror unpools (see ``unpool``).

    Args:
        kernel, stride, padding, dilation: one number an axis.
        ceil_mode: windows that start inside the map but end outside count too.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil_mode: bool = False

    def record(self, input: Tensor) -> tuple[Tensor, Switches]:
        """Pool and remember the switches."""
        output, places = POOL[len(self.kernel)](
            input, self.kernel, self.stride, self.padding, self.dilation,
            ceil_mode=self.ceil_mode, return_indices=True,
        )  # fmt: skip
        return output, Switches(places.to(torch.int32), input.shape)

    def mirror(self, signal: Tensor, record: Switches) -> tuple[Tensor]:
        """Unpool: every value to its switch, zero elsewhere."""
        return (unpool(signal, record),)

    def window(self, window: Window, record: Switches) -> tuple[Window]:
        """The pooling windows: the switch may stand anywhere in them."""
        batch, channel, *places = window
        seen = [
            place.sliding(dilation * (kernel - 1) + 1, stride, padding)
            for place, kernel, stride, padding, dilation in zip(
                places, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        ]
        return ((batch, channel, *seen),)

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

    @classmethod
    def of_module(cls, module: nn.Module, input: Tensor) -> tuple[MaxPooling, tuple[Tensor]] | None:
        """The layer and the inputs of a call of ``nn.MaxPool2d`` and relatives."""
        m: Any = module
        return cls.of_call(
            input, m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode, m.return_indices
        )


@dataclass(frozen=True, eq=False)
class AdaptiveMaxPooling(MirroredLayer):
    """Adaptive max pooling; its mirror unpools (see ``unpool``).

    Args:
        bins: output length of each axis; None keeps the input's.
    """

    bins: tuple[int | None, ...]

    def record(self, input: Tensor) -> tuple[Tensor, Switches]:
        """Pool and remember the switches."""
        pool: Callable[..., tuple[Tensor, Tensor]] = ADAPTIVE[len(self.bins)]
        output, places = pool(input, binned(self.bins, input.shape), return_indices=True)
        return output, Switches(places.to(torch.int32), input.shape)

    def mirror(self, signal: Tensor, record: Switches) -> tuple[Tensor]:
        """Unpool: every value to its switch, zero elsewhere."""
        return (unpool(signal, record),)

    def window(self, window: Window, record: Switches) -> tuple[Window]:
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

    @classmethod
    def of_module(
        cls, module: nn.Module, input: Tensor
    ) -> tuple[AdaptiveMaxPooling, tuple[Tensor]] | None:
        """The layer and the inputs of a call of ``nn.AdaptiveMaxPool2d`` and relatives."""
        m: Any = module
        return cls.of_call(input, m.output_size, m.return_indices)


def binned(bins: tuple[int | None, ...], size: torch.Size) -> tuple[int, ...]:
    """The number of bins of each spatial axis, for an input of this size."""
    return tuple(n if b is None else b for b, n in zip(bins, size[2:], strict=True))


def adaptive_window(window: Window, bins: tuple[int | None, ...], size: torch.Size) -> Window:
    """What adaptive pooling sees: bin ``i`` of ``b`` covers ``[i n / b, (i + 1) n / b)``."""
    batch, channel, *places = window
    counts = binned(bins, size)
    seen = [p.binned(b, n) for p, b, n in zip(places, counts, size[2:], strict=True)]
    return (batch, channel, *seen)
