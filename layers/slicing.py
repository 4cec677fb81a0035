"""Parts of a tensor or of a tuple: slices, chunks, entries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .base import Record, WithoutFilters, adjoint, take
from .window import Interval, Window, union, whole


@dataclass(frozen=True, eq=False)
class Sliced(Record):
    """The size of the input and which axes of it stayed whole."""

    size: torch.Size
    whole_batch: bool

    @property
    def per_sample(self) -> bool:
        """The batch must not be cut."""
        return self.whole_batch


@dataclass(frozen=True, eq=False)
class Selection(WithoutFilters):
    """A part of a tensor, ``x[:, ::2]`` or an index; the mirror puts it back into zeros.

    Args:
        index: what stands in the brackets.
    """

    index: Any

    def record(self, input: Tensor) -> tuple[Tensor, Sliced]:
        """Select."""
        return input[self.index], Sliced(input.shape, self._whole_batch(input.ndim))

    def mirror(self, signal: Tensor, record: Sliced) -> tuple[Tensor]:
        """Back to its places, zero elsewhere; places selected twice add up."""
        return (adjoint(lambda x: x[self.index], record.size, signal),)

    def window(self, window: Window, record: Sliced) -> tuple[Window]:
        """The places the selection came from; everything, for an index that is no slice."""
        parts = list(self.index) if isinstance(self.index, tuple) else [self.index]
        if not all(isinstance(p, (slice, int, type(Ellipsis), type(None))) for p in parts):
            return (whole(len(record.size)),)
        if Ellipsis in parts:
            missing = len(record.size) - sum(p is not None and p is not Ellipsis for p in parts)
            place = parts.index(Ellipsis)
            parts[place : place + 1] = [slice(None)] * missing
        rest = list(window)
        seen: list[Interval] = []
        for part in parts:
            if part is None:
                rest.pop(0)
                continue
            length = record.size[len(seen)]
            if isinstance(part, int):
                seen.append(Interval.at(part % length))
                continue
            start, _, step = part.indices(length)
            seen.append(rest.pop(0).sliding(1, step, -start))
        return (tuple([*seen, *rest]),)

    def _whole_batch(self, ndim: int) -> bool:
        """Whether the batch surely stays whole and first."""
        parts = self.index if isinstance(self.index, tuple) else (self.index,)
        if not parts:
            return True
        integers = [part for part in parts if isinstance(part, int)]
        arrays = [p for p in parts if not isinstance(p, (slice, int, type(Ellipsis), type(None)))]
        if len(arrays) > 1:  # torch may put their common axis first
            return False
        if parts[0] is Ellipsis:
            return len(integers) + len(arrays) < ndim
        return isinstance(parts[0], slice) and parts[0] == slice(None)


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
    """One entry of a tuple, list or dict; nothing arrives at the others.

    Args:
        key: which entry.
    """

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


@dataclass(frozen=True, eq=False)
class SplitRecord(Record):
    """The size of the input, the axis, and the lengths of the parts."""

    size: torch.Size
    axis: int
    lengths: tuple[int, ...]

    @property
    def per_sample(self) -> bool:
        """The batch must not be split."""
        return self.axis != 0

    def take(self, index: Tensor) -> SplitRecord:
        """The same cut for other samples."""
        return SplitRecord(take(self.size, index), self.axis, self.lengths)


@dataclass(frozen=True, eq=False)
class Split(WithoutFilters):
    """``chunk`` and ``split``: a tensor cut into a tuple; the mirror puts it together.

    Args:
        function: the operation.
        dim: the axis that is cut.
    """

    function: Callable[[Tensor], tuple[Tensor, ...]]
    dim: int

    def record(self, input: Tensor) -> tuple[tuple[Tensor, ...], SplitRecord]:
        """Cut."""
        parts = self.function(input)
        axis = self.dim % input.ndim
        return parts, SplitRecord(input.shape, axis, tuple(p.shape[axis] for p in parts))

    def mirror(self, signal: Any, record: SplitRecord) -> tuple[Tensor]:
        """Put together, zero where nothing arrives."""
        like = next(part for part in signal if part is not None)
        parts = [
            part if part is not None else like.new_zeros(self._size(record, length))
            for part, length in zip(signal, record.lengths, strict=True)
        ]
        return (torch.cat(parts, record.axis),)

    def window(self, window: Any, record: SplitRecord) -> tuple[Window | None]:
        """The places the parts came from."""
        seen: Window | None = None
        offset = 0
        for part, length in zip(window, record.lengths, strict=True):
            if part is not None:
                moved = part[record.axis].clipped(length).shifted(offset)
                here = (*part[: record.axis], moved, *part[record.axis + 1 :])
                seen = here if seen is None else union(seen, here)
            offset += length
        return (seen,)

    @staticmethod
    def _size(record: SplitRecord, length: int) -> torch.Size:
        size = record.size
        return torch.Size((*size[: record.axis], length, *size[record.axis + 1 :]))


def chunk(input: Tensor, chunks: int, dim: int = 0) -> Any:
    """The layer and the inputs of ``torch.chunk``."""
    return Split(lambda x: torch.chunk(x, chunks, dim), dim), (input,)


def split(input: Tensor, split_size_or_sections: Any, dim: int = 0) -> Any:
    """The layer and the inputs of ``torch.split``."""
    return Split(lambda x: torch.split(x, split_size_or_sections, dim), dim), (input,)


def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> Any:
    """The layer and the inputs of ``torch.tensor_split``."""
    return Split(lambda x: torch.tensor_split(x, indices_or_sections, dim), dim), (input,)


def getitem(input: Any, index: Any) -> Any:
    """The layer and the inputs of ``input[index]``."""
    if isinstance(input, Tensor):
        return Selection(index), (input,)
    return None if isinstance(index, slice) else (Item(index), (input,))
