"""Maps made larger or smaller by interpolation: linear, mirrored by its adjoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .functional import LinearMap, linear
from .readers import tuple_of
from .window import Window


@dataclass(frozen=True, eq=False)
class Resizing:
    """A call of ``F.interpolate``: its arguments, and what its output sees."""

    sizes: tuple[int, ...] | None  # output length of each spatial axis
    factors: tuple[float, ...] | None  # scale of each spatial axis
    mode: str
    options: dict[str, Any]  # further arguments

    def __call__(self, input: Tensor) -> Tensor:
        """Interpolate; (batch, channels, *size) -> (batch, channels, *size_out)."""
        return F.interpolate(input, self.sizes, self.factors, self.mode, **self.options)

    def sees(self, window: Window, size: torch.Size) -> Window:
        """The cells with a weight: the axes are interpolated one after another."""
        batch, channel, *places = window
        reach = [self._reach(axis, n) for axis, n in enumerate(size[2:])]
        seen = [p.mapped(*ends, n) for p, ends, n in zip(places, reach, size[2:], strict=True)]
        return (batch, channel, *seen)

    def _reach(self, axis: int, length: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """First and past-the-last cell that each output cell of one axis weighs, (cells,) each.

        They are found by interpolating single cells, so that they are what torch does, rounding
        included; the other axes stay two cells long.
        """
        axes = len(self.sizes or self.factors or ())
        beside, thin = [2] * axes, [1] * axes
        beside[axis] = thin[axis] = length
        cells = torch.eye(length, dtype=torch.float64).view(length, 1, *thin)
        here = replace(
            self,
            sizes=None if self.sizes is None else _only(self.sizes, axis, 2),
            factors=None if self.factors is None else _only(self.factors, axis, 1.0),
        )
        output = here(cells.expand(length, 1, *beside).contiguous()).movedim(2 + axis, 1)
        weights = output.reshape(length, output.shape[1], -1)[..., 0].numpy() != 0
        return weights.argmax(0), length - weights[::-1].argmax(0)


def _only(numbers: Sequence[Any], axis: int, other: Any) -> tuple[Any, ...]:
    return tuple(n if i == axis else other for i, n in enumerate(numbers))


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> tuple[LinearMap, tuple[Tensor]]:
    """The layer and the inputs of a call of ``F.interpolate``."""
    axes = input.ndim - 2
    resizing = Resizing(
        None if size is None else tuple(int(n) for n in tuple_of(size, axes)),
        None if scale_factor is None else tuple(float(f) for f in tuple_of(scale_factor, axes)),
        mode,
        {
            "align_corners": align_corners,
            "recompute_scale_factor": recompute_scale_factor,
            "antialias": antialias,
        },
    )
    return linear(resizing, resizing.sees), (input,)
