"""Helpers of readers: arguments for each spatial axis, arguments from a module's attributes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

Reader = Callable[..., Any]


def tuple_of(value: Any, axes: int) -> tuple[int, ...]:
    """One number for every spatial axis, from a number or a sequence (one entry serves all)."""
    if isinstance(value, Sequence):
        return tuple(value) if len(value) == axes else (value[0],) * axes
    return (value,) * axes


def for_axes(name: str, axes: int) -> Callable[..., Any]:
    """The function of ``torch.nn.functional`` for this many spatial axes: ``conv2d`` for 2."""
    return cast(Callable[..., Any], getattr(F, f"{name}{axes}d"))


def spatial(axes: int, read: Reader) -> Reader:
    """A reader for calls on (batch, channels, *size) with this many axes in size.

    torch takes (channels, *size) too, a single sample without a batch; what is beyond these
    layers is given back as None.
    """

    @wraps(read)
    def batched(*args: Any, **kwargs: Any) -> Any:
        call = read(*args, **kwargs)
        return call if call is not None and call[1][0].ndim == axes + 2 else None

    return batched


def of_module(read: Reader, *names: str, **more: str) -> Reader:
    """A reader for modules that call a function with their attributes as arguments.

    The attributes stand in the order of the arguments (None where a module lacks one), others as
    ``argument="attribute"``.
    """

    def call(module: nn.Module, input: Tensor) -> Any:
        args = (getattr(module, name, None) for name in names)
        return read(input, *args, **{key: getattr(module, name) for key, name in more.items()})

    return call
