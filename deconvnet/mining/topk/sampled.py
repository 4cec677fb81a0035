"""A random sample of the images, the same whatever their order and wherever they are mined."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from .keys import NOWHERE, peaks_of, positions_of


def hash_of(image: int, random_state: int) -> bytes:
    """The 8 bytes by which images are drawn: those with the smallest are the sample."""
    return hashlib.blake2b(f"{random_state} {image}".encode(), digest_size=8).digest()


class Members:
    """Which images are the sample of n so far: those of the smallest hashes.

    Each has a slot, which it keeps until an image of a smaller hash takes it. Images that cannot
    be used are never offered, so that the next smallest take their places.
    """

    def __init__(self, n: int, random_state: int) -> None:
        self.n, self.random_state = n, random_state
        self._slots: list[tuple[bytes, int] | None] = [None] * n

    def admit(self, images: Iterable[int]) -> tuple[list[int], list[int]]:
        """Offer images, each once: the places in the list of those taken, and their slots."""
        if not self.n:
            return [], []
        known = [each for each in self._slots if each is not None]
        worst = max(known) if len(known) == self.n else (b"\xff" * 9, 0)
        offered = [(hash_of(i, self.random_state), i) for i in images]
        fresh = {each: row for row, each in enumerate(offered) if each < worst}
        chosen = set(sorted([*known, *fresh])[: self.n])
        free = [slot for slot, each in enumerate(self._slots) if each not in chosen]
        rows, slots = [], []
        for each, slot in zip([one for one in fresh if one in chosen], free, strict=False):
            self._slots[slot] = each
            rows.append(fresh[each])
            slots.append(slot)
        return rows, slots

    def load(self, images: list[int]) -> None:
        """Hold these images, by slot; ValueError if they are none."""
        full = [image for image in images if image >= 0]
        if len(images) != self.n or len(set(full)) < len(full) or min(images, default=0) < -1:
            raise ValueError(f"the images {str(images)[:80]} are no sample of {self.n}")
        self._slots = [None if i < 0 else (hash_of(i, self.random_state), i) for i in images]

    @property
    def images(self) -> list[int]:
        """The image in each slot; -1 for none."""
        return [-1 if each is None else each[1] for each in self._slots]

    def order(self) -> list[int]:
        """The slots by the hashes of their images, those without one last."""
        key = [(each is None, each or (b"", 0)) for each in self._slots]
        return sorted(range(self.n), key=key.__getitem__)


@dataclass(frozen=True)
class Drawn:
    """The sampled activations of a layer, in the order of the slots given."""

    activation: Tensor
    """(channels, n) float32; NaN where there is none"""
    position: Tensor
    """(channels, n) int64, flat; -1 where there is none"""
    peak: Tensor
    """(channels, n) float32: the value at the position"""


class Sampled:
    """The activations of every channel of a layer in the images of a sample, by slot."""

    def __init__(self, channels: int, n: int, *, device: torch.device | str = "cpu") -> None:
        self.values = torch.full((channels, n), torch.nan, device=device)
        self.places = torch.full((channels, n), NOWHERE, dtype=torch.int64, device=device)

    def put(self, values: Tensor, places: Tensor, slots: list[int]) -> None:
        """Enter values and places (channels, some) into these slots."""
        at = torch.tensor(slots, device=self.values.device).expand(len(values), -1)
        self.values.scatter_(1, at, values)
        self.places.scatter_(1, at, places.masked_fill(values.isnan(), NOWHERE))

    def take(self, other: Sampled, rows: list[int], slots: list[int]) -> None:
        """Enter slots of another sample into these."""
        device = self.values.device
        self.put(other.values[:, rows].to(device), other.places[:, rows].to(device), slots)

    def table(self, order: list[int]) -> Drawn:
        """The slots in this order, on the CPU."""
        places = self.places[:, order].cpu()
        return Drawn(self.values[:, order].cpu(), positions_of(places), peaks_of(places))

    def tensors(self) -> dict[str, Tensor]:
        """All that must be stored, by name; not copies."""
        return {"sampled": self.values, "sampled_places": self.places}
