"""The same values in another order or shape: flatten, view, permute, expand, pixel shuffle."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import InputSize, MirroredLayer, Record, SamePlaces, Signal, WithoutFilters
from .functional import linear
from .window import Interval, Window, broadcast_window


@dataclass(frozen=True, eq=False)
class Passing(SamePlaces):
    """Identity, dropout at evaluation, ``contiguous``: the signal passes unchanged."""

    channelwise = selects = True

    def record(self, input: Tensor) -> tuple[Tensor, InputSize]:
        """The same tensor."""
        return input, InputSize(input.shape)

    def mirror(self, signal: Tensor, record: InputSize) -> tuple[Tensor]:
        """The same signal."""
        return (signal,)


def passing(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Reads calls that give back their first argument."""
    return Passing(), (input,)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Reads ``F.dropout``; one that stays on at evaluation is random and left to autograd."""
    return None if training and p > 0 else (Passing(), (input,))


def stochastic_depth(input: Tensor, p: float, mode: str, training: bool = True) -> Any:
    """Reads ``torchvision.ops.stochastic_depth``: nothing at evaluation, random while training."""
    return None if training and p > 0 else (Passing(), (input,))


@dataclass(frozen=True, eq=False)
class Reshaped(Record):
    """The sizes before and after."""

    before: torch.Size
    after: torch.Size

    @property
    def in_words(self) -> str:
        """As other layers that need no more."""
        return "input size"

    @property
    def per_sample(self) -> bool:
        """The batch must stay the first axis."""
        both = len(self.before) > 0 and len(self.after) > 0
        return both and self.before[0] == self.after[0]


@dataclass(frozen=True, eq=False)
class Reshape(WithoutFilters):
    """Flatten, view, reshape, squeeze, unsqueeze: another shape for the same values in order."""

    function: Callable[[Tensor], Tensor]

    def record(self, input: Tensor) -> tuple[Tensor, Reshaped]:
        """Reshape."""
        output = self.function(input)
        return output, Reshaped(input.shape, output.shape)

    def mirror(self, signal: Tensor, record: Reshaped) -> tuple[Tensor]:
        """Shape back."""
        return (signal.reshape(record.before),)

    def window(self, window: Window, record: Reshaped) -> tuple[Window]:
        """Axes that were kept are seen as they were; of merged and split ones, what is needed."""
        return (reshaped_window(window, record.before, record.after),)


def reshaped_window(window: Window, before: torch.Size, after: torch.Size) -> Window:
    """What the same values show under the sizes before, of a window under the sizes after."""
    seen: list[Interval] = []
    for axes_in, axes_out in _blocks(before, after):
        lengths_in, lengths_out = [before[a] for a in axes_in], [after[a] for a in axes_out]
        seen.extend(_through(lengths_in, lengths_out, [window[a] for a in axes_out]))
    return tuple(seen)


def _blocks(before: torch.Size, after: torch.Size) -> list[tuple[list[int], list[int]]]:
    """The smallest runs of axes with the same number of values on both sides."""
    blocks: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        left, right = [], []
        if i < len(before):
            left, i = [i], i + 1
        if j < len(after):
            right, j = [j], j + 1
        size = [math.prod(before[a] for a in left), math.prod(after[a] for a in right)]
        while size[0] != size[1] and (i < len(before) or j < len(after)):
            if (size[0] < size[1] and i < len(before)) or j == len(after):
                size[0] *= before[i]
                left, i = [*left, i], i + 1
            else:
                size[1] *= after[j]
                right, j = [*right, j], j + 1
        blocks.append((left, right))
    return blocks


def _through(before: list[int], after: list[int], window: list[Interval]) -> list[Interval]:
    """The window through one block of axes: flattened to a range, then split for the input."""
    if before == after:
        return window
    long_in = [i for i, n in enumerate(before) if n != 1]
    long_out = [i for i, n in enumerate(after) if n != 1]
    if len(long_in) == len(long_out) == 1:  # only axes of length one came or went
        return [window[long_out[0]] if n != 1 else Interval.whole() for n in before]
    return _unflat(before, _flat(after, window))


def _flat(lengths: list[int], window: list[Interval]) -> Interval:
    """The hull of a block of axes, as a range of its flat indices."""
    start: Any = np.int64(0)
    last: Any = np.int64(0)
    for length, interval in zip(lengths, window, strict=True):
        inside = interval.clipped(length)
        start = start * length + inside.start
        last = last * length + np.asarray(inside.stop) - 1
    return Interval(start, last + 1)


def _unflat(lengths: list[int], flat: Interval) -> list[Interval]:
    """The box around a flat range: exact as long as the range stays inside one row."""
    seen: list[Interval] = []
    start, last = np.asarray(flat.start), np.asarray(flat.stop) - 1
    nothing = last < start
    spread = np.zeros(nothing.shape, dtype=bool)
    for i, length in enumerate(lengths):
        below = math.prod(lengths[i + 1 :])
        first, final = start // below % length, last // below % length
        from_here = np.where(spread, 0, first)
        to_here = np.where(spread, length, final + 1)
        seen.append(Interval(from_here, np.where(nothing, from_here, to_here)))
        spread = spread | (start // below != last // below)
    return seen


def reshape(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """Reads calls of a function that keeps the values and their order."""

    def read(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        return Reshape(lambda x: function(x, *args, **kwargs)), (input,)

    return read


def view(input: Tensor, *size: Any, **kwargs: Any) -> Any:
    """Reads ``x.view(...)``; another dtype is no reshaping."""
    if kwargs or any(isinstance(n, torch.dtype) for n in size):
        return None
    return Reshape(lambda x: x.reshape(*size)), (input,)


def flatten_module(module: nn.Module, input: Tensor) -> Any:
    """The layer and the inputs of a call of ``nn.Flatten`` or ``nn.Unflatten``."""
    return Reshape(module.forward), (input,)


def permuted_window(window: Window, order: Sequence[int]) -> Window:
    """The same places under their old axes."""
    return tuple(window[order.index(i)] for i in range(len(window)))


def permute(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """Reads calls of a function that only orders the axes anew."""

    def read(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        # the order is read off an empty tensor with axes of different lengths
        ranks = torch.empty(tuple(range(1, input.ndim + 1)), device="meta")
        order = [n - 1 for n in function(ranks, *args, **kwargs).shape]
        layer = linear(
            lambda x: x.permute(order),
            lambda window, size: permuted_window(window, order),
            per_sample=order[0] == 0,
        )
        return layer, (input,)

    return read


def shuffling(
    function: Callable[[Tensor, int], Tensor],
    cut: Callable[[torch.Size, int], Sequence[int]],
    order: Sequence[int],
) -> Callable[..., Any]:
    """Reads calls of pixel and channel shuffles: axes cut, the pieces in another order, joined.

    Args:
        function: the shuffle.
        cut: size of the input, number -> lengths of the pieces of its axes but the batch.
        order: of the pieces; what follows them keeps its place.
    """

    def read(input: Tensor, *args: int, **kwargs: int) -> Any:
        if input.ndim < 3 or (function is not F.channel_shuffle and input.ndim != 4):
            return None
        (number,) = (*args, *kwargs.values())

        def sees(window: Window, size: torch.Size) -> Window:
            pieces = torch.Size((size[0], *cut(size, number)))
            every = [*order, *range(len(order), len(pieces))]
            after = function(torch.empty(size, device="meta"), number).shape
            window = reshaped_window(window, torch.Size(pieces[i] for i in every), after)
            return reshaped_window(permuted_window(window, every), size, pieces)

        return linear(lambda x: function(x, number), sees), (input,)

    return read


pixel_shuffle = shuffling(
    F.pixel_shuffle, lambda s, r: (s[1] // r**2, r, r, *s[2:]), (0, 1, 4, 2, 5, 3)
)
pixel_unshuffle = shuffling(
    F.pixel_unshuffle, lambda s, r: (s[1], s[2] // r, r, s[3] // r, r), (0, 1, 3, 5, 2, 4)
)
channel_shuffle = shuffling(
    F.channel_shuffle, lambda s, groups: (groups, s[1] // groups, *s[2:]), (0, 2, 1)
)


def expand(input: Tensor, *size: Any) -> Any:
    """The layer and the inputs of ``x.expand``, whose adjoint sums over what was repeated."""
    after = input.expand(*size).shape
    own = len(after) == input.ndim > 0 and after[0] == input.shape[0]  # the batch is not repeated

    def run(x: Tensor) -> Tensor:
        return x.expand(len(x) if own else after[0], *after[1:])

    return linear(run, broadcast_window, per_sample=own), (input,)


@dataclass(frozen=True, eq=False)
class Alike(WithoutFilters):
    """A layer of the first tensor, which takes the size of its output from a second one."""

    layer: MirroredLayer

    def record(self, input: Tensor, other: Tensor) -> tuple[Any, Record]:
        """Run the layer."""
        return self.layer.record(input)

    def mirror(self, signal: Tensor, record: Record) -> tuple[Signal, None]:
        """Nothing arrives at the second input."""
        return (*self.layer.mirror(signal, record), None)

    def window(self, window: Window, record: Record) -> tuple[Any, None]:
        """Nothing is seen of the second input."""
        return (*self.layer.window(window, record), None)


def expand_as(input: Tensor, other: Tensor) -> Any:
    """The layer and the inputs of ``x.expand_as``."""
    return Alike(expand(input, other.shape)[0]), (input, other)


def reshape_as(input: Tensor, other: Tensor) -> Any:
    """The layer and the inputs of ``x.view_as`` and ``x.reshape_as``."""
    size = other.shape
    return Alike(Reshape(lambda x: x.reshape(size))), (input, other)
