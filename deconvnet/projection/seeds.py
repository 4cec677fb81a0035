"""Seeds: the value that a unit's signal starts with; everything else in its layer is zero."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from deconvnet.units import Unit

SEEDS = ("activation", "one", "map")


def located(maps: Tensor, units: Sequence[Unit], rows: Tensor) -> tuple[list[Unit], Tensor]:
    """Units of one layer with their positions, and their (units,) activations.

    Those without a position get the strongest one of their channel in maps (batch, channels,
    *size); ``rows``, (units,), is where in the batch the image of each is.
    """
    placed = [
        unit if unit.position or maps.ndim == 2 else strongest(maps[row, unit.channel], unit)
        for row, unit in zip(rows.tolist(), units, strict=True)
    ]
    places = [(unit.channel, *(unit.position or ())) for unit in placed]
    index = torch.tensor(places, dtype=torch.int64, device=maps.device)
    return placed, maps[(rows.to(maps.device), *index.T)]


def strongest(feature_map: Tensor, unit: Unit) -> Unit:
    """The unit where its map, (*size), is strongest; the first such place."""
    place = torch.unravel_index(feature_map.argmax(), feature_map.shape)
    return unit.moved(tuple(int(i) for i in place))


def isolated(maps: Tensor, units: Sequence[Unit], rows: Tensor, *, seed: str) -> Tensor:
    """The layer's feature maps with all but one unit, or one channel, set to zero.

    Args:
        maps: (batch, channels, *size) of one layer.
        units: of this layer, with their positions.
        rows: (units,) where in the batch the image of each is.
        seed: what stands at the unit: "activation" (the recorded value, as in Zeiler & Fergus
            2014, 2.1), "one" (1.0), or "map" (the whole feature map of the channel).

    Returns:
        (len(units), channels, *size).
    """
    alone = maps.new_zeros((len(units), *maps.shape[1:]))
    for number, (row, unit) in enumerate(zip(rows.tolist(), units, strict=True)):
        place = (unit.channel,) if seed == "map" else (unit.channel, *(unit.position or ()))
        alone[(number, *place)] = 1.0 if seed == "one" else maps[(row, *place)]
    return alone


def responses(maps: Tensor, directions: Tensor) -> Tensor:
    """What a layer's maps respond in some directions of its channels, as 1x1 filters would.

    Args:
        maps: (batch, channels, *size).
        directions: (directions, channels).

    Returns:
        (batch, directions, *size): at each place the sum over channels of direction times map.
    """
    return torch.einsum("nc...,dc->nd...", maps, directions.to(maps))


def spread(signal: Tensor, directions: Tensor) -> Tensor:
    """The adjoint of ``responses``: (batch, directions, *size) to (batch, channels, *size)."""
    return torch.einsum("nd...,dc->nc...", signal, directions.to(signal))
