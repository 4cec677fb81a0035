"""Values picked along an axis: max, min, median, topk, sort; mirrored to where they stood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .averaging import Reduced, reduced_window
from .base import Record, WithoutFilters, take
from .joining import pointwise
from .slicing import Item
from .window import Window

Found = Sequence[Tensor]  # values and their places, as torch returns them


@dataclass(frozen=True, eq=False)
class Picked(Record):
    """Where along an axis the values stood.

    Args:
        places: as many as there are values; along the axis itself, even if it is gone.
        size: of the input.
        axis: that they were picked along.
        kept: the output has this axis.
    """

    places: Tensor
    size: torch.Size
    axis: int
    kept: bool

    @property
    def per_sample(self) -> bool:
        """Nothing is picked out of the batch."""
        return self.axis != 0

    def take(self, index: Tensor) -> Picked:
        """Other samples, of the same axis."""
        size = take(self.size, index)
        places = self.places.index_select(0, index.to(self.places.device))
        return Picked(places, size, self.axis, self.kept)


@dataclass(frozen=True, eq=False)
class Pick(WithoutFilters):
    """A function that returns values of its input and their places, like ``torch.max(x, dim)``.

    The mirror puts each value back where it stood, as a max pooling does: to the place that torch
    itself has chosen, also among equal values (``amax`` shares between these).

    Args:
        function: tensor -> (values, places along an axis).
        dim: the axis.
    """

    function: Callable[[Tensor], Found]
    dim: int

    def record(self, input: Tensor) -> tuple[Found, Picked]:
        """Pick, and remember the places."""
        output = self.function(input)
        axis, places = self.dim % input.ndim, output[1]
        kept = places.ndim == input.ndim
        places = places if kept else places.unsqueeze(axis)
        return output, Picked(places, input.shape, axis, kept)

    def mirror(self, signal: Sequence[Tensor | None], record: Picked) -> tuple[Tensor | None]:
        """Every value to its place; values of one place add up."""
        values = signal[0]
        if values is None:
            return (None,)
        values = values if record.kept else values.unsqueeze(record.axis)
        return (values.new_zeros(record.size).scatter_add(record.axis, record.places, values),)

    def window(self, window: Sequence[Window | None], record: Picked) -> tuple[Window | None]:
        """Everything along the axis, the same places of the others."""
        values = window[0]
        if values is None:
            return (None,)
        return (reduced_window(values, Reduced(record.size, (record.axis,), record.kept)),)


def picking(
    function: Callable[..., Found], place: int = 0, *, dim: int | None = None
) -> Callable[..., Any]:
    """Reads calls of a function that picks values along an axis.

    Args:
        function: ``function(input, ..., dim, ...)`` -> (values, places).
        place: how many other arguments stand before ``dim``.
        dim: its default; without one, a call that names no axis takes all values together.
    """

    def read(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        axis = args[place] if len(args) > place else kwargs.get("dim", dim)
        if not isinstance(axis, int) or input.ndim < 2 or "out" in kwargs:
            return None
        return Pick(lambda x: function(x, *args, **kwargs), axis), (input,)

    return read


def extreme(function: Callable[..., Any], pairwise: Callable[..., Any]) -> Callable[..., Any]:
    """Reads ``torch.max`` and ``torch.min``: along an axis, or of two tensors.

    Args:
        function: one of the two.
        pairwise: reads ``torch.maximum`` or ``torch.minimum``.
    """
    along = picking(function)

    def read(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        other = args[0] if args else kwargs.get("other")
        if isinstance(other, Tensor):
            return pairwise(input, other) if len(args) + len(kwargs) == 1 else None
        return along(input, *args, **kwargs)

    return read


def named_entry(input: Any, name: str, *default: Any) -> Any:
    """Reads ``getattr(torch.max(x, 1), "values")``: an entry of a tuple by its name."""
    names = getattr(type(input), "__match_args__", ()) if isinstance(input, tuple) else ()
    return (Item(names.index(name)), (input,)) if name in names else None


def _row(name: str, place: int = 0, dim: int | None = None) -> tuple[Any, ...]:
    function, packet = getattr(torch, name), getattr(torch.ops.aten, name)
    overload = packet.dim if hasattr(packet, "dim") else packet.default
    return picking(function, place, dim=dim), function, name, overload


def _extremes(name: str) -> tuple[Any, ...]:
    function, packet = getattr(torch, name), getattr(torch.ops.aten, name)
    return extreme(function, pointwise(function)), function, name, packet.dim, packet.other


ROWS = [
    *map(_extremes, ("max", "min")),
    *map(_row, ("median", "nanmedian", "cummax", "cummin")),
    *(_row(name, dim=-1) for name in ("mode", "sort")),
    *(_row(name, 1, dim=-1) for name in ("kthvalue", "topk")),
]
