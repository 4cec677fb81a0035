"""Rearrangements that are several simple ones in a row: pixel shuffle, channel shuffle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .base import MirroredLayer, Record, WithoutFilters
from .reshaping import Permutation, Reshape
from .window import Window


@dataclass(frozen=True, eq=False)
class Records(Record):
    """The records of the layers of a chain."""

    links: tuple[Record, ...]

    @property
    def per_sample(self) -> bool:
        """Every link must be."""
        return all(link.per_sample for link in self.links)

    def take(self, index: Tensor) -> Records:
        """The same samples of every link."""
        return Records(tuple(link.take(index) for link in self.links))


@dataclass(frozen=True, eq=False)
class Chain(WithoutFilters):
    """Layers of one input, one after another; the mirror runs them in the other order.

    Args:
        layers: the first one first.
    """

    layers: tuple[MirroredLayer, ...]

    def record(self, input: Tensor) -> tuple[Tensor, Records]:
        """Run all."""
        links = []
        for layer in self.layers:
            input, link = layer.record(input)
            links.append(link)
        return input, Records(tuple(links))

    def mirror(self, signal: Tensor, record: Records) -> tuple[Tensor]:
        """Mirror all, the last one first."""
        for layer, link in zip(reversed(self.layers), reversed(record.links), strict=True):
            (signal,) = layer.mirror(signal, link)
        return (signal,)

    def window(self, window: Window, record: Records) -> tuple[Window]:
        """What the first one sees of what the next ones see."""
        for layer, link in zip(reversed(self.layers), reversed(record.links), strict=True):
            (window,) = layer.window(window, link)
        return (window,)


def _shuffled(cut: Callable[[Tensor], list[int]], order: list[int], join: Any) -> Any:
    """Cut axes, put the pieces in another order, join them."""

    def rows(x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], *cut(x))

    def joined(x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], *join(x.shape))

    return Chain((Reshape(rows), Permutation(lambda x: x.permute(order)), Reshape(joined)))


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Any:
    """The layer and the inputs of ``F.pixel_shuffle``."""
    r = upscale_factor
    if input.ndim != 4:
        return None
    layer = _shuffled(
        lambda x: [x.shape[1] // r**2, r, r, *x.shape[2:]],
        [0, 1, 4, 2, 5, 3],
        lambda s: (s[1], s[2] * s[3], s[4] * s[5]),
    )
    return layer, (input,)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Any:
    """The layer and the inputs of ``F.pixel_unshuffle``."""
    r = downscale_factor
    if input.ndim != 4:
        return None
    layer = _shuffled(
        lambda x: [x.shape[1], x.shape[2] // r, r, x.shape[3] // r, r],
        [0, 1, 3, 5, 2, 4],
        lambda s: (s[1] * s[2] * s[3], *s[4:]),
    )
    return layer, (input,)


def channel_shuffle(input: Tensor, groups: int) -> Any:
    """The layer and the inputs of ``F.channel_shuffle``."""
    if input.ndim < 3:
        return None
    layer = _shuffled(
        lambda x: [groups, x.shape[1] // groups, *x.shape[2:]],
        [0, 2, 1, *range(3, input.ndim + 1)],
        lambda s: (s[1] * s[2], *s[3:]),
    )
    return layer, (input,)
