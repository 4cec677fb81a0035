"""Axes reduced by something that is not linear: the greatest value, a norm, a deviation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .averaging import Reduced, reduced_window
from .base import no_filters
from .local import PerSample, along
from .window import Window


def reduction(function: Callable[..., Tensor], place: int = 0) -> Callable[..., Any]:
    """Reads calls of a function of a tensor that reduces axes, the batch not among them.

    Args:
        function: the operation, ``function(input, ..., dim, keepdim)``.
        place: how many other arguments stand before ``dim``.
    """

    def read(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        dim = args[place] if len(args) > place else kwargs.get("dim")
        axes = (dim,) if isinstance(dim, int) else tuple(dim or ())
        axes = tuple(sorted(axis % input.ndim for axis in axes))
        if not axes or 0 in axes:
            return None
        output = function(input, *args, **kwargs)
        if not isinstance(output, Tensor):  # torch.max gives the places too
            return None
        kept = output.ndim == input.ndim

        def sees(window: Window, inputs: tuple[Tensor, ...]) -> tuple[Window, ...]:
            return (reduced_window(window, Reduced(inputs[0].shape, axes, kept)),)

        return PerSample(lambda x: function(x, *args, **kwargs), sees, no_filters), (input,)

    return read


def normalize(
    input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Any:
    """The layer and the inputs of ``F.normalize``: division by the norm along an axis."""
    if dim % input.ndim == 0 or out is not None:
        return None
    return PerSample(lambda x: F.normalize(x, p, dim, eps), along(dim), no_filters), (input,)


def mixing(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """Reads calls of a function that mixes or moves places along ``dim``: cumsum, flip."""

    def read(input: Tensor, dims: Any, *args: Any, **kwargs: Any) -> Any:
        axes = (dims,) if isinstance(dims, int) else tuple(dims)
        if function is torch.flip:  # of which the method takes x.flip(1, 2)
            dims, args = (*axes, *args), ()
            axes = dims
        if any(axis % input.ndim == 0 for axis in axes):
            return None

        def moved(x: Tensor) -> Tensor:
            return function(x, dims, *args, **kwargs)

        return PerSample(moved, along(*axes), no_filters), (input,)

    return read


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Any:
    """The layer and the inputs of ``torch.roll``."""
    if dims is None:
        return None
    read = mixing(lambda x, axes: torch.roll(x, shifts, axes))
    return read(input, dims if isinstance(dims, (int, Sequence)) else tuple(dims))
