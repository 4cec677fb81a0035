"""Helpers of readers: arguments for each spatial axis, arguments from a module's attributes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from torch import Tensor, nn

Reader = Callable[..., Any]


def tuple_of(value: Any, axes: int) -> tuple[int, ...]:
    """One number for every spatial axis, from a number or a sequence (one entry serves all)."""
    if isinstance(value, Sequence):
        return tuple(value) if len(value) == axes else (value[0],) * axes
    return (value,) * axes


def spatial(axes: int, read: Reader) -> Reader:
    """A reader for calls on (batch, channels, *size) with so many axes in size.

    torch takes (channels, *size) too, a single sample without a batch; what is beyond these
    layers is given back as None.
    """

    @wraps(read)
    def batched(*args: Any, **kwargs: Any) -> Any:
        found = read(*args, **kwargs)
        return found if found is not None and found[1][0].ndim == axes + 2 else None

    return batched


def of_module(read: Reader, *names: str, **more: str) -> Reader:
    """A reader for modules that call a function with their attributes as arguments.

    Args:
        read: reads calls of the function.
        names: attributes, in the order of the arguments; None where a module lacks one.
        more: {argument: attribute} of others.
    """

    def call(module: nn.Module, input: Tensor) -> Any:
        args = (getattr(module, name, None) for name in names)
        return read(input, *args, **{key: getattr(module, name) for key, name in more.items()})

    return call
