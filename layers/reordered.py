"""Convolutions whose sums are made in another order than PyTorch's, where that is faster on a CPU.

All are without groups, dilation, and padding of the input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .crop import channels_last, layout

# PyTorch convolves sample after sample. On small maps, filters that are larger than the memory
# near to a core are read again and again; in a product of matrices they serve many samples.
HEAVY = 1 << 19  # numbers of the filters
EXACT = (torch.float64, torch.float32)  # of narrower ones PyTorch makes the sums in float32
PLACES = 36  # of a small map
TOGETHER = 1 << 22  # numbers of the matrix that stands for the maps, at one time: 16 MiB in float32
FEW = 4  # channels, as of images: PyTorch's transposed convolution to so few is slow on a CPU
MANY = 16  # channels that it comes from; with fewer there is little to gain


def down(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int]
) -> Tensor | None:
    """Convolution; None where PyTorch's, of these very tensors, is as fast.

    Args:
        input: (batch, channels_in, *size).
        weight: (channels_out, channels_in, *kernel).
        bias: (channels_out,).
        stride: one number an axis.
    """
    kernel = weight.shape[2:]
    if input.shape[2:] == kernel:
        last = channels_last(weight)
        return F.linear(_rows(input, last), _rows(weight, last), bias)[(..., *[None] * len(kernel))]
    if _at_points(weight, stride):
        seen = input[:, :, :: stride[0], :: stride[1]]
        return F.conv2d(seen.contiguous(memory_format=layout(seen)), weight, bias)
    above = [(n - k) // s + 1 for n, k, s in zip(input.shape[2:], kernel, stride, strict=True)]
    if not _is_heavy(weight, len(input), above):
        return None
    filters, made = _rows(weight, last=True), []
    for part in _parts(input, math.prod(above) * filters.shape[1]):
        windows = part.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
        rows = windows.permute(0, 2, 3, 4, 5, 1).reshape(-1, filters.shape[1])
        made.append(F.linear(rows, filters, bias))
    output = torch.cat(made) if len(made) > 1 else made[0]
    return output.view(len(input), *above, len(weight)).movedim(-1, 1)


def up(signal: Tensor, weight: Tensor, stride: Sequence[int], more: Sequence[int]) -> Tensor | None:
    """Transposed convolution; None where PyTorch's, of these very tensors, is as fast.

    Args:
        signal: (batch, channels_out, *size).
        weight: (channels_out, channels_in, *kernel).
        stride: one number an axis.
        more: cells at the end of each axis that no filter reaches.
    """
    above, kernel = signal.shape[2:], weight.shape[2:]
    if math.prod(above) == 1 and not any(more):
        return _up_from_one(signal, weight)
    points = _at_points(weight, stride)
    if not points and not _is_heavy(weight, len(signal), above):
        return None
    sizes = zip(above, kernel, stride, more, strict=True)
    size = [(n - 1) * s + k + extra for n, k, s, extra in sizes]
    below = signal.new_zeros(len(signal), *size, weight.shape[1])
    filters = _rows(weight, last=True)
    numbers = math.prod(above) * filters.shape[1]
    for part, sums in zip(_parts(signal, numbers), _parts(below, numbers), strict=True):
        rows = part.movedim(1, -1).reshape(-1, part.shape[1]) @ filters
        windows = rows.view(len(part), *above, *kernel, weight.shape[1])
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                there = sums[:, i :: stride[0], j :: stride[1]][:, : above[0], : above[1]]
                if points:  # there are only zeros
                    there.copy_(windows[:, :, :, i, j])
                else:
                    there.add_(windows[:, :, :, i, j])
    return below.movedim(-1, 1)


def to_few_channels(signal: Tensor, weight: Tensor, stride: Sequence[int]) -> bool:
    """Whether ``in_blocks`` is faster than PyTorch's transposed convolution, as at the images."""
    few = len(stride) == 2 and weight.shape[1] <= FEW and weight.shape[0] >= MANY
    return few and stride[0] == stride[1] > 1 and signal.device.type == "cpu"


def in_blocks(
    signal: Tensor, weight: Tensor, stride: int, padding: Sequence[int], more: Sequence[int]
) -> Tensor:
    """Transposed convolution with a stride as one without, to blocks of stride x stride cells.

    Each cell of a block has channels of its own, whose filters are the weights that meet this cell:
    every ``stride``-th one of each axis.

    Args:
        signal: (batch, channels_out, rows, columns).
        weight: (channels_out, channels_in, rows, columns).
        stride: of both axes.
        padding: cells that are left out at both ends of each axis.
        more: cells at the end of each axis that no filter reaches.
    """
    rows, cols = weight.shape[2:]
    wide = F.pad(weight, (0, -cols % stride, 0, -rows % stride))
    parts = wide.reshape(*wide.shape[:2], -1, stride, wide.shape[3] // stride, stride)
    filters = parts.permute(0, 3, 5, 1, 2, 4).flatten(1, 3)  # (from, cells x to, rows, columns)
    blocks = F.conv_transpose2d(signal, filters).movedim(1, -1)
    cells = blocks.reshape(*blocks.shape[:3], stride, stride, weight.shape[1])
    below: Tensor = cells.transpose(2, 3).flatten(3, 4).flatten(1, 2).movedim(-1, 1)
    for axis, (reach, before, extra) in enumerate(zip((rows, cols), padding, more, strict=True), 2):
        length = (signal.shape[axis] - 1) * stride + reach - 2 * before + extra
        lacking = before + length - below.shape[axis]
        if lacking > 0:  # cells that no filter reaches
            below = F.pad(below, (0, 0, 0, lacking) if axis == 2 else (0, lacking))
        below = below.narrow(axis, before, length)
    return below


def _up_from_one(signal: Tensor, weight: Tensor) -> Tensor:
    """Transposed convolution of one place: the filters' sum, weighted by its channels."""
    last, (channels, *kernel) = channels_last(weight), weight.shape[1:]
    below = signal.flatten(1) @ _rows(weight, last)
    if last:
        return below.view(len(below), *kernel, channels).movedim(-1, 1)
    below = below.view(len(below), channels, *kernel)
    return below.contiguous(memory_format=layout(below))


def _at_points(weight: Tensor, stride: Sequence[int]) -> bool:
    """Whether filters of one cell skip cells: PyTorch is slow at this."""
    return weight.ndim == 4 and weight.shape[2:].numel() == 1 and max(stride) > 1


def _is_heavy(weight: Tensor, samples: int, above: Sequence[int]) -> bool:
    """Whether large filters pass over small maps of several samples."""
    small = weight.ndim == 4 and math.prod(above) <= PLACES and samples > 1
    return small and weight.numel() >= HEAVY and weight.dtype in EXACT


def _parts(tensor: Tensor, numbers: int) -> Iterator[Tensor]:
    """The samples, so many at a time that ``numbers`` of each stay below ``TOGETHER``."""
    return iter(torch.split(tensor, max(1, TOGETHER // max(1, numbers))))


def _rows(tensor: Tensor, last: bool) -> Tensor:
    """All axes but the first in one; ``last``: a cell's channels side by side."""
    return (tensor.movedim(1, -1) if last else tensor).flatten(1)
