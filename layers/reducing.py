"""Axes reduced: means and sums, the greatest value, norms; and values picked along an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import no_filters
from .functional import PerSample, along, linear
from .joining import pointwise
from .window import Interval, Window


def reduced_window(window: Window, rank: int, axes: Sequence[int], *, kept: bool) -> Window:
    """What a reduction sees: everything of the reduced axes, the same places of the others.

    The input has ``rank`` axes; reduced ones that are ``kept`` have length one in the output.
    """
    if kept:
        return tuple(Interval.whole() if axis in axes else w for axis, w in enumerate(window))
    rest = iter(window)
    return tuple(Interval.whole() if axis in axes else next(rest) for axis in range(rank))


def summing(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """Reads calls of ``torch.mean`` or ``torch.sum``, whose adjoint spreads the signal evenly."""

    def read(input: Tensor, dim: Any = (), keepdim: bool = False) -> Any:
        axes = _axes(dim, input.ndim) or tuple(range(input.ndim))
        layer = linear(
            lambda x: function(x, axes, keepdim),
            lambda window, size: reduced_window(window, len(size), axes, kept=keepdim),
            per_sample=0 not in axes,
        )
        return layer, (input,)

    return read


def _axes(dim: Any, rank: int) -> tuple[int, ...]:
    axes = (dim,) if isinstance(dim, int) else tuple(dim or ())
    return tuple(sorted(axis % rank for axis in axes))


def reduction(function: Callable[..., Tensor], place: int = 0) -> Callable[..., Any]:
    """Reads calls of a function of a tensor that reduces axes, the batch not among them.

    ``place`` counts the arguments between the tensor and ``dim``.
    """

    def read(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        dim = args[place] if len(args) > place else kwargs.get("dim")
        axes = _axes(dim, input.ndim)
        if not axes or 0 in axes:
            return None
        output = function(input, *args, **kwargs)
        if not isinstance(output, Tensor):  # torch.max gives the places too
            return None
        kept = output.ndim == input.ndim

        def sees(window: Window, inputs: tuple[Tensor, ...]) -> tuple[Window, ...]:
            return (reduced_window(window, input.ndim, axes, kept=kept),)

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
        moved = PerSample(lambda x: function(x, dims, *args, **kwargs), along(*axes), no_filters)
        return moved, (input,)

    return read


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Any:
    """The layer and the inputs of ``torch.roll``."""
    if dims is None:
        return None
    read = mixing(lambda x, axes: torch.roll(x, shifts, axes))
    return read(input, dims if isinstance(dims, (int, Sequence)) else tuple(dims))


def picking(
    function: Callable[..., Sequence[Tensor]], place: int = 0, *, dim: int | None = None
) -> Callable[..., Any]:
    """Reads calls of a function that returns values of its input and their places: ``torch.max``.

    Each value goes back to the place that torch itself has chosen, also among equal values
    (``amax`` shares between these). ``place`` counts the arguments between the tensor and ``dim``.
    Without a default ``dim``, a call that names no axis takes all values together.
    """

    def read(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        axis = args[place] if len(args) > place else kwargs.get("dim", dim)
        if not isinstance(axis, int) or input.ndim < 2 or "out" in kwargs:
            return None
        axis %= input.ndim

        def run(x: Tensor) -> Sequence[Tensor]:
            return function(x, *args, **kwargs)

        def sees(window: Sequence[Window | None], inputs: tuple[Tensor, ...]) -> Any:
            values = window[0]
            if values is None:
                return (None,)
            return (reduced_window(values, input.ndim, [axis], kept=len(values) == input.ndim),)

        return PerSample(run, sees, no_filters, (axis != 0,)), (input,)

    return read


def extreme(function: Callable[..., Any], pairwise: Callable[..., Any]) -> Callable[..., Any]:
    """Reads ``torch.max`` or ``torch.min`` along an axis, and ``pairwise`` of two tensors."""
    along = picking(function)

    def read(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        other = args[0] if args else kwargs.get("other")
        if isinstance(other, Tensor):
            return pairwise(input, other) if len(args) + len(kwargs) == 1 else None
        return along(input, *args, **kwargs)

    return read


def _row(name: str, place: int = 0, dim: int | None = None) -> tuple[Any, ...]:
    function, packet = getattr(torch, name), getattr(torch.ops.aten, name)
    overload = packet.dim if hasattr(packet, "dim") else packet.default
    return picking(function, place, dim=dim), function, name, overload


def _extremes(name: str) -> tuple[Any, ...]:
    function, packet = getattr(torch, name), getattr(torch.ops.aten, name)
    return extreme(function, pointwise(function)), function, name, packet.dim, packet.other


PICKING = [
    *map(_extremes, ("max", "min")),
    *map(_row, ("median", "nanmedian", "cummax", "cummin")),
    *(_row(name, dim=-1) for name in ("mode", "sort")),
    *(_row(name, 1, dim=-1) for name in ("kthvalue", "topk")),
]
