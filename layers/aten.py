"""Readers of ATen overloads whose arguments are in another order than those of the functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from . import casting, normalization, padding, resizing, slicing


def batch_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Any, variance: Any, *rest: Any
) -> Any:
    """Reads ``aten.batch_norm``; the rest: training, momentum, eps, cudnn_enabled."""
    return normalization.batch_call(input, mean, variance, weight, bias, *rest[:3])


def constant_pad(input: Tensor, pad: Sequence[int], value: float = 0.0) -> Any:
    """Reads ``aten.constant_pad_nd``."""
    return padding.of_call(input, pad, "constant", value)


def part(
    input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    """Reads ``aten.slice``: ``input[:, start:end:step]`` with the slice at ``dim``."""
    end = None if end is not None and end >= input.shape[dim] else end
    whole = start in (None, 0) and end is None and step == 1
    cut = slice(None) if whole else slice(start, end, step)
    return slicing.getitem(input, (*[slice(None)] * (dim % input.ndim), cut))


def narrow(input: Tensor, dim: int, start: int, length: int) -> Any:
    """Reads ``aten.narrow``."""
    start %= max(input.shape[dim], 1)
    return part(input, dim, start, start + length)


def select(input: Tensor, dim: int, index: int) -> Any:
    """Reads ``aten.select``: ``input[:, index]`` with the index at ``dim``."""
    return slicing.getitem(input, (*[slice(None)] * (dim % input.ndim), index))


def index(input: Tensor, indices: Sequence[Tensor | None]) -> Any:
    """Reads ``aten.index``: ``input[:, indices]``."""
    return slicing.getitem(input, tuple(slice(None) if i is None else i for i in indices))


def upsampling(mode: str) -> Callable[..., Any]:
    """Reads ``aten.upsample_nearest2d``, ``aten.upsample_bilinear2d`` and relatives."""

    def read(input: Tensor, output_size: Any, *rest: Any) -> Any:
        *align_corners, factors = rest  # which "nearest" has not
        return resizing.interpolate(input, output_size, factors, mode, *align_corners)

    return read


def cast(input: Tensor, dtype: torch.dtype, *rest: Any, **kwargs: Any) -> Any:
    """Reads ``aten.to.dtype``; its other arguments say how to copy."""
    return casting.cast("to")(input, dtype)
