"""Parts of a tensor or a tuple: slices, chunks, entries; the mirror puts them back into zeros."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from .base import Record, WithoutFilters
from .functional import linear
from .window import Interval, Window, union, whole

KNOWN = (slice, int, type(Ellipsis), type(None))  # what may stand in brackets, beside tensors


@dataclass(frozen=True, eq=False)
class Entries(Record):
    """How many entries a container had, and under which keys."""

    length: int
    keys: tuple[Any, ...] | None

    def take(self, index: Tensor) -> Entries:
        """The same for every sample."""
        return self


@dataclass(frozen=True, eq=False)
class Item(WithoutFilters):
    """One entry of a tuple, list or dict; nothing arrives at the others."""

    key: Any

    def record(self, input: Any) -> tuple[Any, Entries]:
        """Take the entry."""
        keys = tuple(input) if isinstance(input, dict) else None
        return input[self.key], Entries(len(input), keys)

    def mirror(self, signal: Any, record: Entries) -> tuple[Any]:
        """The signal in its place."""
        return (self._alone(signal, record),)

    def window(self, window: Any, record: Entries) -> tuple[Any]:
        """The window in its place."""
        return (self._alone(window, record),)

    def _alone(self, value: Any, record: Entries) -> Any:
        if record.keys is not None:
            return {key: value if key == self.key else None for key in record.keys}
        index = range(record.length)[self.key]
        return tuple(value if i == index else None for i in range(record.length))


def getitem(input: Any, index: Any) -> Any:
    """The layer and the inputs of ``input[index]``."""
    if not isinstance(input, Tensor):
        return None if isinstance(index, slice) else (Item(index), (input,))
    parts = list(index) if isinstance(index, tuple) else [index]
    layer = linear(
        lambda x: x[index],
        lambda window, size: _selected(parts, window, size),
        per_sample=_whole_batch(parts, input.ndim),
    )
    return layer, (input,)


def _selected(parts: list[Any], window: Window, size: torch.Size) -> Window:
    """The places a selection came from; everything, for an index that is no slice."""
    if not all(isinstance(part, KNOWN) for part in parts):
        return whole(len(size))
    if Ellipsis in parts:
        missing = len(size) - sum(p is not None and p is not Ellipsis for p in parts)
        place = parts.index(Ellipsis)
        parts = [*parts[:place], *[slice(None)] * missing, *parts[place + 1 :]]
    rest = list(window)
    seen: list[Interval] = []
    for part in parts:
        if part is None:
            rest.pop(0)
            continue
        length = size[len(seen)]
        if isinstance(part, int):
            seen.append(Interval.at(part % length))
            continue
        start, _, step = part.indices(length)
        seen.append(rest.pop(0).sliding(1, step, -start))
    return (*seen, *rest)


def _whole_batch(parts: list[Any], rank: int) -> bool:
    """Whether the batch surely stays whole and first."""
    if not parts:
        return True
    integers = [part for part in parts if isinstance(part, int)]
    arrays = [part for part in parts if not isinstance(part, KNOWN)]
    if len(arrays) > 1:  # torch may put their common axis first
        return False
    if parts[0] is Ellipsis:
        return len(integers) + len(arrays) < rank
    return isinstance(parts[0], slice) and parts[0] == slice(None)


def named_entry(input: Any, name: str, *default: Any) -> Any:
    """Reads ``getattr(torch.max(x, 1), "values")``: an entry of a tuple by its name."""
    names = getattr(type(input), "__match_args__", ()) if isinstance(input, tuple) else ()
    return (Item(names.index(name)), (input,)) if name in names else None


def cutting(function: Callable[..., tuple[Tensor, ...]]) -> Callable[..., Any]:
    """Reads calls of ``chunk``, ``split`` and ``tensor_split``: a tuple of parts along an axis."""

    def read(input: Tensor, *args: Any, dim: int = 0, **named: Any) -> Any:
        how, *rest = (*args, *named.values())  # a number or lengths, under three names
        axis = (rest or [dim])[0] % input.ndim
        lengths = [part.shape[axis] for part in function(input, how, axis)]

        def sees(window: Any, size: torch.Size) -> Window | None:
            seen, offset = [], 0
            for part, length in zip(window, lengths, strict=True):
                if part is not None:
                    moved = part[axis].clipped(length).shifted(offset)
                    seen.append((*part[:axis], moved, *part[axis + 1 :]))
                offset += length
            return reduce(union, seen) if seen else None

        return linear(lambda x: function(x, how, axis), sees, per_sample=axis != 0), (input,)

    return read


def unbind(input: Tensor, dim: int = 0) -> Any:
    """The layer and the inputs of ``torch.unbind``."""
    axis = dim % input.ndim

    def sees(window: Any, size: torch.Size) -> Window | None:
        seen = [
            (*part[:axis], Interval.at(number), *part[axis:])
            for number, part in enumerate(window)
            if part is not None
        ]
        return reduce(union, seen) if seen else None

    return linear(lambda x: x.unbind(axis), sees, per_sample=axis != 0), (input,)
