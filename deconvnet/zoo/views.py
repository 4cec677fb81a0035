"""Batches of views ready for a network, each found again by its number."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from deconvnet.data import IMAGENET_MEAN, IMAGENET_STD

from .collage import Collage

# What randomness is for: streams of one seed that never meet.
TRAINING, STATISTICS, EXAMINATION, DROPOUT = range(4)


def seed_of(seed: int, purpose: int, number: int) -> int:
    """A seed for each purpose and number, unlike all the others.

    Nothing has to be remembered to go on in the middle, as the state of a running generator would.
    """
    return int(np.random.SeedSequence((seed, purpose, number)).generate_state(1, np.uint64)[0])


class Views:
    """Normalised views in numbered batches.

    Args:
        collage: What makes the views.
        seed: Decides them, together with the purpose and the number of the batch.
        purpose: ``TRAINING``, ``STATISTICS`` or ``EXAMINATION``: no two share a view.
        batch: How many views at a time.
    """

    def __init__(self, collage: Collage, seed: int, *, purpose: int, batch: int) -> None:
        self.collage, self.seed, self.purpose, self.batch = collage, seed, purpose, batch
        self._mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float32)[:, None, None]
        self._std = torch.tensor(IMAGENET_STD, dtype=torch.float32)[:, None, None]

    def draw(self, number: int, *, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One batch.

        Args:
            number: Which one: the same number gives the same views.
            labels: Which objects, ``(N,)``; ``batch`` objects at random by default.

        Returns:
            Images ``(N, 3, size, size)``, normalised, channels last, and labels ``(N,)``.
        """
        generator = torch.Generator().manual_seed(seed_of(self.seed, self.purpose, number))
        count = self.batch if labels is None else len(labels)
        images, labels = self.collage.batch(count, generator, labels=labels)
        images = images.sub_(self._mean).div_(self._std)
        return images.contiguous(memory_format=torch.channels_last), labels

    def first(self, batches: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The first batches."""
        return (self.draw(number) for number in range(batches))

    def ahead(self, number: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """All batches from ``number`` on, each drawn by a second thread while one is in use."""
        with ThreadPoolExecutor(1) as second:
            coming = second.submit(self.draw, number)
            while True:
                batch = coming.result()
                number += 1
                coming = second.submit(self.draw, number)
                yield batch
