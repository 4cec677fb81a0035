"""Convolution, mirrored by the same filters transposed; and transposed convolution by filters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from . import reordered
from .base import InputSize, Inside, MirroredLayer
from .crop import layout
from .padding import Padding
from .readers import for_axes, tuple_of
from .window import Interval, Window


@dataclass(frozen=True, eq=False)
class Convolution(MirroredLayer):
    """Convolution with stride, dilation, groups and any padding.

    The mirror sends a signal through the same filters, "flipped vertically and horizontally"
    (Zeiler & Fergus 2014, 2.1), with the stride as up-sampling. The bias plays no part.
    """

    weight: Tensor  # (channels_out, channels_in / groups, *kernel)
    bias: Tensor | None  # (channels_out,)
    stride: tuple[int, ...]  # one number an axis
    sides: tuple[tuple[int, int], ...]  # padding before and after, one pair an axis
    dilation: tuple[int, ...]
    groups: int
    mode: str = "zeros"  # or as ``torch.nn.functional.pad`` calls it
    any_order: bool = False  # whether sums may be made in another order than the model's
    mined = True

    @property
    def filters(self) -> tuple[Tensor, tuple[int, ...]]:
        """The filters and their stride."""
        return self.weight, tuple(self.stride)

    def record(self, input: Tensor) -> tuple[Tensor, InputSize]:
        """Convolve; (batch, channels_in, *size) -> (batch, channels_out, *size_out)."""
        padding, inside = self._padding()
        if padding is None and _in_any_order(self, inside, input):
            output = reordered.down(input, self.weight, self.bias, self.stride)
            if output is not None:
                return output, InputSize(input.shape)
        padded = input if padding is None else padding.record(input)[0]
        output = for_axes("conv", len(self.stride))(
            padded, self.weight, self.bias, self.stride, inside, self.dilation, self.groups
        )
        return output, InputSize(input.shape)

    def mirror(self, signal: Tensor, record: InputSize) -> tuple[Tensor]:
        """The same filters, transposed."""
        padding, inside = self._padding()
        size = record.size if padding is None else padding.padded(record.size)
        reach = spans(self.weight, self.dilation)
        # where the stride does not divide the input, its last rows were seen by no window
        unseen = [
            size[2 + i] - ((signal.shape[2 + i] - 1) * self.stride[i] - 2 * inside[i] + reach[i])
            for i in range(len(self.stride))
        ]
        if self.any_order and signal.ndim == 4 and signal.stride(1) != 1:
            signal = signal.contiguous(memory_format=layout(signal))
        below = _transposed(self, signal, inside, unseen)
        return (below,) if padding is None else padding.mirror(below, record)

    def mirror_channel(self, signal: Tensor, channels: Tensor, record: InputSize) -> tuple[Tensor]:
        """The same for signals that are zero but in one channel: only its own filter is used."""
        if self.groups != 1:
            return self.mirror(signal, record)
        count, axes = len(signal), signal.ndim - 2
        which = channels.view(-1, 1, *[1] * axes).expand(-1, 1, *signal.shape[2:])
        alone, weight = signal.gather(1, which), self.weight[channels]
        fits = record.size[2:] == weight.shape[2:] and not any(map(any, self.sides))
        if fits and math.prod(signal.shape[2:]) == 1:
            return (alone * weight,)  # one place: the filter itself
        one = replace(self, weight=weight, groups=count)  # a group for each sample
        size = torch.Size((1, count * weight.shape[1], *record.size[2:]))
        (below,) = one.mirror(alone.transpose(0, 1), InputSize(size))
        return (below.view(count, -1, *below.shape[2:]),)

    def affine(self, scale: Tensor, shift: Tensor) -> Convolution:
        """This convolution, and behind it a scale and a shift of each channel, in one.

        s (W * x + b) + t = (s W) * x + (s b + t): the same sums in another order.

        Args:
            scale: (channels_out,).
            shift: (channels_out,).
        """
        weight = self.weight * scale.view(-1, *[1] * (self.weight.ndim - 1))
        weight = weight.contiguous(memory_format=layout(weight))
        return replace(
            self, weight=weight, bias=shift if self.bias is None else shift + scale * self.bias
        )

    def window(self, window: Window, record: InputSize) -> tuple[Window]:
        """The windows under the filter, in the channels of its group."""
        batch, channel, *places = window
        padding, inside = self._padding()
        axes = zip(places, spans(self.weight, self.dilation), self.stride, inside, strict=True)
        seen = [place.sliding(span, stride, before) for place, span, stride, before in axes]
        width_out = self.weight.shape[0] // self.groups
        below = (batch, grouped(channel, self.groups, width_out, self.weight.shape[1]), *seen)
        return (below,) if padding is None else padding.window(below, record)

    def inside(self, record: InputSize) -> Inside | None:
        """Without padding, among zeros."""
        if self.mode != "zeros":
            return None
        padded = any(map(any, self.sides))
        bare = replace(self, sides=((0, 0),) * len(self.sides), any_order=True)
        return Inside(bare, 0.0 if padded else None)

    def multiply_adds(self, size: torch.Size) -> int:
        """Every filter at every place of the output."""
        return self.weight.numel() * math.prod(size[2:])

    def _padding(self) -> tuple[Padding | None, tuple[int, ...]]:
        """Padding that must happen before the convolution, and what it can do itself."""
        if self.mode == "zeros" and all(a == b for a, b in self.sides):
            return None, tuple(a for a, _ in self.sides)
        mode = "constant" if self.mode == "zeros" else self.mode
        return Padding(self.sides, mode), (0,) * len(self.sides)

    @classmethod
    def of_call(
        cls,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        mode: str = "zeros",
    ) -> tuple[Convolution, tuple[Tensor]]:
        """The layer and the inputs of a call of ``torch.nn.functional.conv2d`` and relatives."""
        axes = weight.ndim - 2
        stride, dilation = tuple_of(stride, axes), tuple_of(dilation, axes)
        if padding == "same":  # the odd cell goes to the end, as in torch
            totals = [span - 1 for span in spans(weight, dilation)]
            sides = tuple((total // 2, total - total // 2) for total in totals)
        else:
            amounts = tuple_of(0 if padding == "valid" else padding, axes)
            sides = tuple((p, p) for p in amounts)
        return cls(weight, bias, stride, sides, dilation, groups, mode), (input,)


@dataclass(frozen=True, eq=False)
class TransposedConvolution(MirroredLayer):
    """Transposed convolution; its mirror is the convolution with the same filters."""

    weight: Tensor  # (channels_in, channels_out / groups, *kernel)
    bias: Tensor | None  # (channels_out,)
    stride: tuple[int, ...]  # one number an axis
    padding: tuple[int, ...]
    output_padding: tuple[int, ...]
    groups: int
    dilation: tuple[int, ...]
    mined = True

    def record(self, input: Tensor) -> tuple[Tensor, InputSize]:
        """Transpose-convolve; (batch, channels_in, *size) -> (batch, channels_out, *size_out)."""
        return _transposed(self, input, self.padding, self.output_padding), InputSize(input.shape)

    def mirror(self, signal: Tensor, record: InputSize) -> tuple[Tensor]:
        """Convolve with the same filters."""
        below = for_axes("conv", len(self.stride))(
            signal, self.weight, None, self.stride, self.padding, self.dilation, self.groups
        )
        for axis, length in enumerate(record.size[2:], start=2):
            below = below.narrow(axis, 0, length)  # large output_padding leaves room for more
        return (below,)

    def window(self, window: Window, record: InputSize) -> tuple[Window]:
        """The inputs whose filters reach the window."""
        batch, channel, *places = window
        reach = spans(self.weight, self.dilation)
        axes = zip(places, reach, self.stride, self.padding, strict=True)
        seen = [place.scattered(span, stride, before) for place, span, stride, before in axes]
        width_in = self.weight.shape[0] // self.groups
        below = grouped(channel, self.groups, self.weight.shape[1], width_in)
        return ((batch, below, *seen),)

    def multiply_adds(self, size: torch.Size) -> int:
        """Every filter at every place of the input."""
        return self.weight.numel() * math.prod(size[2:]) // math.prod(self.stride)

    @classmethod
    def of_module(
        cls, module: nn.Module, input: Tensor, output_size: Any = None
    ) -> tuple[TransposedConvolution, tuple[Tensor]]:
        """The layer and the inputs of a call of ``nn.ConvTranspose2d`` and relatives."""
        m: Any = module
        axes = m.weight.ndim - 2
        extra = m._output_padding(
            input, output_size, m.stride, m.padding, m.kernel_size, axes, m.dilation
        )
        return cls.of_call(
            input, m.weight, m.bias, m.stride, m.padding, extra, m.groups, m.dilation
        )

    @classmethod
    def of_call(
        cls,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> tuple[TransposedConvolution, tuple[Tensor]]:
        """The layer and the inputs of a call of ``F.conv_transpose2d`` and relatives."""
        numbers = [
            tuple_of(n, weight.ndim - 2) for n in (stride, padding, output_padding, dilation)
        ]
        stride, padding, output_padding, dilation = numbers
        return cls(weight, bias, stride, padding, output_padding, groups, dilation), (input,)


def spans(weight: Tensor, dilation: tuple[int, ...]) -> list[int]:
    """How far a dilated filter reaches along each axis."""
    return [d * (k - 1) + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]


def grouped(channel: Interval, groups: int, width_out: int, width_in: int) -> Interval:
    """The input channels that a range of output channels sees: those of its groups.

    A group has ``width_out`` output channels and ``width_in`` input channels.
    """
    return Interval.whole() if groups == 1 else channel.regrouped(width_out, width_in)


def _transposed(
    layer: Convolution | TransposedConvolution,
    signal: Tensor,
    padding: Sequence[int],
    output_padding: Sequence[int],
) -> Tensor:
    """Transposed convolution with a layer's filters; its bias where it has one going forward."""
    bias = layer.bias if isinstance(layer, TransposedConvolution) else None
    if _in_any_order(layer, padding, signal):
        below = reordered.up(signal, layer.weight, layer.stride, output_padding)
        if below is not None:
            return below
    plain = bias is None and layer.groups == 1 and set(layer.dilation) == {1}
    if plain and reordered.to_few_channels(signal, layer.weight, layer.stride):
        stride = layer.stride[0]
        return reordered.in_blocks(signal, layer.weight, stride, padding, output_padding)
    transposed: Tensor = for_axes("conv_transpose", len(layer.stride))(
        signal, layer.weight, bias, layer.stride, tuple(padding), tuple(output_padding),
        layer.groups, layer.dilation,
    )  # fmt: skip
    return transposed


def _in_any_order(
    layer: Convolution | TransposedConvolution, padding: Sequence[int], like: Tensor
) -> bool:
    """Whether the sums may be made in another order, in a way of ``reordered``."""
    free = isinstance(layer, Convolution) and layer.any_order and like.device.type == "cpu"
    return free and layer.groups == 1 and set(layer.dilation) == {1} and not any(padding)
