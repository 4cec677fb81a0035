"""Fully connected layers, mirrored by the transposed matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import MirroredLayer, Nothing
from .window import Interval, Window


@dataclass(frozen=True, eq=False)
class Linear(MirroredLayer):
    """A matrix on the last axis; the bias plays no part in the mirror."""

    weight: Tensor  # (features_out, features_in)
    bias: Tensor | None = None  # (features_out,)
    mined, channel_axis = True, -1

    def record(self, input: Tensor) -> tuple[Tensor, Nothing]:
        """(..., features_in) -> (..., features_out)."""
        return F.linear(input, self.weight, self.bias), Nothing()

    def mirror(self, signal: Tensor, record: Nothing) -> tuple[Tensor]:
        """The transposed matrix."""
        return (signal @ self.weight,)

    def window(self, window: Window, record: Nothing) -> tuple[Window]:
        """Every feature of the same place."""
        return ((*window[:-1], Interval.whole()),)

    def multiply_adds(self, size: torch.Size) -> int:
        """The matrix at every place of the output."""
        return self.weight.numel() * math.prod(size[1:-1])

    @classmethod
    def of_call(
        cls, input: Tensor, weight: Tensor, bias: Tensor | None = None
    ) -> tuple[Linear, tuple[Tensor]]:
        """The layer and the inputs of a call of ``torch.nn.functional.linear``."""
        return cls(weight, bias), (input,)
