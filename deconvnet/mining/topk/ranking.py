"""The k best images of every channel by one number each, streaming and exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .keys import (
    EMPTY,
    NOWHERE,
    activations_of,
    best,
    images_of,
    keys_of,
    peaks_of,
    positions_of,
    tied,
)

_SHARED = 2**15 - 1  # PyTorch shares operations on more numbers than this among its threads
_PARTS = 32  # sorted one after the other at most

Locate = Callable[[Tensor, Tensor], Tensor]
"""(rows, channels) of a batch -> the places of these entries, see ``keys.places_of``."""


@dataclass(frozen=True)
class Ranked:
    """The k best images of every channel.

    Sorted by activation, ties by image ascending. Empty slots are NaN and -1.
    """

    activation: Tensor
    """(channels, k) float32"""
    image: Tensor
    """(channels, k) int64"""
    position: Tensor
    """(channels, k) int64: flat, row-major; the first of equals; 0 where a map has no positions."""
    peak: Tensor
    """(channels, k) float32: the value at the position."""
    ties: Tensor
    """(channels,) int64: how many images are left out whose activation is that of the last."""


class Ranking:
    """The k images of every channel whose values are largest; one entry an image.

    Rankings of disjoint images merge in any order to the same bits. An image met again keeps its
    better entry and takes no second slot, but may be counted among the ties.
    """

    def __init__(self, channels: int, k: int, *, device: torch.device | str = "cpu") -> None:
        self.channels, self.k = channels, k
        self.keys = torch.full((channels, k), EMPTY, dtype=torch.int64, device=device)
        self.places = torch.full_like(self.keys, NOWHERE)
        self.ties = torch.zeros(channels, dtype=torch.int64, device=device)
        self._floor = torch.empty(0)
        self._newest = -1
        self._settle()

    def take(self, values: Tensor, images: Tensor, locate: Locate) -> None:
        """Take in one batch.

        Args:
            values: (batch, channels) float32, without -0.0; NaN for no entry.
            images: (batch,) int64, on the device of the ranking, each once.
            locate: gives the places of entries, and is asked for those only that are kept.
        """
        oldest = int(images.min())
        if oldest <= self._newest and torch.isin(images, images_of(self.keys)).any():
            again = Ranking(self.channels, self.k, device=self.keys.device)
            again.take(values, images, locate)
            self.merge(again)
            return
        # A tie with the last entry gets in only by a smaller image index. Saying so here spares
        # the sorting of all the dead channels, which tie at 0 in every batch.
        most = _greatest(values)
        beaten = most <= self._floor if oldest > self._newest else most < self._floor
        tying = (beaten & (most == self._floor)).nonzero().squeeze(1)
        level = self._floor.index_select(0, tying)
        self.ties.index_add_(0, tying, (values.index_select(1, tying) == level).sum(0))
        columns = (~beaten).nonzero().squeeze(1)
        if len(columns):
            by_channel = values.T.contiguous()
            for some in torch.split(columns, _at_once(len(columns), len(values) + self.k)):
                self._enter(by_channel.index_select(0, some), images, some, locate)
            self._newest = max(self._newest, int(images.max()))

    def _enter(self, values: Tensor, images: Tensor, columns: Tensor, locate: Locate) -> None:
        """Merge the values (columns, batch) of some columns.

        By ``index_select`` and the like: PyTorch's indexing with ``[]`` is slower, and shared among
        threads however few the numbers.
        """
        before, places = (every.index_select(0, columns) for every in (self.keys, self.places))
        every = torch.cat([before, keys_of(values, images)], dim=1)
        keys, chosen = every.topk(self.k, dim=1)
        # an empty key is kept only while the last slot is empty too, which is nowhere
        places = places.gather(1, chosen.clamp(max=self.k - 1))
        new = (chosen >= self.k) & (keys != EMPTY)
        rows, channels = chosen.masked_select(new) - self.k, new.nonzero()[:, 0]
        places.masked_scatter_(new, locate(rows, columns.index_select(0, channels)))
        last = keys[:, -1]
        same = (last >> 32) == (before[:, -1] >> 32)
        left_out = tied(every, last) - tied(keys, last)
        ties = self.ties.index_select(0, columns).masked_fill(~same, 0) + left_out
        of = {"keys": keys, "places": places, "ties": ties}
        for name, tensor in self.tensors().items():
            tensor.index_copy_(0, columns, of[name])
        self._floor.index_copy_(0, columns, activations_of(last))

    def merge(self, other: Ranking) -> None:
        """Take in what another ranking of the same size saw; commutative and associative."""
        device = self.keys.device
        keys = torch.cat([self.keys, other.keys.to(device)], dim=1)
        places = torch.cat([self.places, other.places.to(device)], dim=1)
        keys, places, ties = best(keys, places, k=self.k)
        for one in (self, other):  # ties with a floor that another side has left behind are none
            same = (one.keys[:, -1].to(device) >> 32) == (keys[:, -1] >> 32)
            ties += one.ties.to(device).masked_fill(~same, 0)
        self.keys, self.places, self.ties = keys, places, ties
        self._settle()

    def table(self, k: int | None = None) -> Ranked:
        """The table so far, or its first k columns, on the CPU; a copy."""
        keys, places = self.keys[:, :k].cpu(), self.places[:, :k].cpu()
        return Ranked(
            activation=activations_of(keys),
            image=torch.where(keys == EMPTY, -1, images_of(keys)),
            position=positions_of(places),
            peak=peaks_of(places),
            ties=self.ties.cpu().clone(),
        )

    def kept(self) -> set[int]:
        """The images that stand in the table."""
        full = self.keys[self.keys != EMPTY].cpu()
        return set(np.unique(images_of(full).numpy()).tolist())

    def tensors(self) -> dict[str, Tensor]:
        """All that must be stored, by name; not copies."""
        return {"keys": self.keys, "places": self.places, "ties": self.ties}

    def load(self, state: dict[str, Tensor]) -> None:
        """Become the ranking whose ``tensors`` these are."""
        for name, tensor in self.tensors().items():
            tensor.copy_(state[name])
        self._settle()

    def _settle(self) -> None:
        """Note the last entries and the newest image, which say what need not be looked at."""
        self._floor = activations_of(self.keys[:, -1])
        full = self.keys != EMPTY
        self._newest = int(images_of(self.keys[full]).max()) if full.any() else -1


def _greatest(values: Tensor) -> Tensor:
    """The greatest of each column, without NaN; -inf where there is nothing else."""
    greatest = values.amax(0)
    if greatest.isnan().any():
        return values.masked_fill(values.isnan(), -torch.inf).amax(0)
    return greatest


def _at_once(columns: int, width: int) -> int:
    """How many columns of so many keys to sort at a time.

    Few keys are sorted in parts that PyTorch leaves to one thread: in some twenty operations
    threads would wait for each other longer than they work. Of many, threads share the whole.
    """
    alone = max(1, _SHARED // width)
    return alone if columns <= _PARTS * alone else columns
