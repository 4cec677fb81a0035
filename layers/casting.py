"""Another precision or another device for the same values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .base import Record, WithoutFilters
from .reshaping import Alike
from .window import Window


@dataclass(frozen=True, eq=False)
class Origin(Record):
    """The input's dtype and device."""

    dtype: torch.dtype
    device: torch.device


@dataclass(frozen=True, eq=False)
class Casting(WithoutFilters):
    """``x.float()``, ``x.to(device)``; the mirror casts the signal back."""

    function: Callable[[Tensor], Tensor]

    def record(self, input: Tensor) -> tuple[Tensor, Origin]:
        """Cast."""
        return self.function(input), Origin(input.dtype, input.device)

    def mirror(self, signal: Tensor, record: Origin) -> tuple[Tensor]:
        """Cast back."""
        return (signal.to(device=record.device, dtype=record.dtype),)

    def window(self, window: Window, record: Origin) -> tuple[Window]:
        """The same places."""
        return (window,)


def cast(name: str) -> Callable[..., Any]:
    """Reads ``x.float()`` and relatives; a cast to integers carries no signal and is left alone."""

    def read(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
        empty = getattr(input.new_empty(0), name)(*args, **kwargs)
        if not (input.is_floating_point() and empty.is_floating_point()) or len(tensors) > 1:
            return None
        layer = Casting(lambda x: getattr(x, name)(*args, **kwargs))
        return (Alike(layer), (input, tensors[0])) if tensors else (layer, (input,))

    return read
