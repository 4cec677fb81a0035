"""The lowest activations of every channel: a ranking of the negated ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from .keys import places_of
from .maxima import entries, first_positions, minima, spatial_means
from .ranking import Ranked, Ranking


class Lowest:
    """The k images of every channel of a layer whose minimum over positions is smallest.

    With ``mean``, those whose mean is smallest. The position is the first of the minimum in both
    cases. NaN activations are left out as in ``TopK``; images are fed as to it.
    """

    def __init__(
        self, channels: int, k: int, *, mean: bool = False, device: torch.device | str = "cpu"
    ) -> None:
        self.mean = mean
        self.ranking = Ranking(channels, k, device=device)

    @torch.no_grad()
    def update(self, activations: Tensor, images: Tensor) -> None:
        """Take in one batch (batch, channels, *positions); images (batch,), each once."""
        if not len(images):
            return
        if activations.dtype == torch.float64:
            activations = activations.float()
        device = self.ranking.keys.device
        least = minima(activations).to(device)
        values = spatial_means(activations).to(device) if self.mean else least

        def locate(rows: Tensor, channels: Tensor) -> Tensor:
            at = entries(least, rows, channels)
            where = first_positions(
                activations, at, rows=rows, channels=channels, extreme=torch.amin
            )
            return places_of(where, at)

        self.ranking.take(0.0 - values, images.to(device), locate)  # never -0.0

    def merge(self, other: Lowest) -> None:
        """Take in what another instance saw; commutative and associative."""
        self.ranking.merge(other.ranking)

    def table(self) -> Ranked:
        """The table so far: ascending, ties by image ascending."""
        table = self.ranking.table()
        return replace(table, activation=0.0 - table.activation)

    def kept(self) -> set[int]:
        """The images that stand in the table."""
        return self.ranking.kept()

    def state(self) -> dict[str, Tensor]:
        """Everything, on the CPU, for ``load``."""
        return {name: tensor.cpu() for name, tensor in self.ranking.tensors().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Become what ``state`` was of; it continues to the same bits."""
        self.ranking.load(dict(state))
