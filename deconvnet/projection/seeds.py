"""One unit alone: everything else of its layer is zero."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from deconvnet.units import Unit

from .forward import Recording

SEEDS = ("activation", "one", "map")


def isolate(activations: Tensor, units: Sequence[Unit], *, seed: str) -> Tensor:
    """The layer's feature maps with all but one unit, or one channel, set to zero.

    Args:
        activations: (batch, channels, *size) of one layer.
        units: of this layer, with their positions.
        seed: what stands at the unit: "activation" (the recorded value, as in Zeiler & Fergus
            2014, 2.1), "one" (1.0), or "map" (the whole feature map of the channel).

    Returns:
        (len(units), channels, *size).

    Raises:
        ValueError: no seed has this name.
    """
    if seed not in SEEDS:
        raise ValueError(f"the seed was {seed!r}; use one of {', '.join(SEEDS)}")
    isolated = activations.new_zeros((len(units), *activations.shape[1:]))
    for row, unit in enumerate(units):
        place = (unit.channel,) if seed == "map" else (unit.channel, *(unit.position or ()))
        isolated[(row, *place)] = 1.0 if seed == "one" else activations[(unit.image, *place)]
    return isolated


def values_at(activations: Tensor, units: Sequence[Unit]) -> Tensor:
    """The activations of units of one layer, (units,)."""
    places = [(unit.image, unit.channel, *(unit.position or ())) for unit in units]
    return activations[tuple(torch.tensor(places, dtype=torch.int64, device=activations.device).T)]


def resolve(recording: Recording, unit: Unit) -> Unit:
    """The unit with a position: the strongest one of its channel, if it was given none.

    Raises:
        IndexError: the image, the channel or the position does not exist.
    """
    activations = recording[unit.layer]
    check(unit, activations.shape)
    if unit.position is not None:
        return unit
    position = strongest(activations[unit.image, unit.channel])
    return Unit.at(unit.layer, unit.channel, position=position, image=unit.image)


def check(unit: Unit, shape: Sequence[int]) -> None:
    """See that a unit is there.

    Args:
        unit: its position may be left open.
        shape: (batch, channels, *size) of its layer.

    Raises:
        IndexError: the image, the channel or the position does not exist.
    """
    count, channels, *size = shape
    if not 0 <= unit.image < count:
        raise IndexError(f"there is no image {unit.image}; the batch has {_range(count)}")
    if not 0 <= unit.channel < channels:
        raise IndexError(
            f"{unit.layer} has no channel {unit.channel}; its channels are {_range(channels)}"
        )
    position = unit.position
    if position is None:
        return
    if len(position) != len(size) or any(
        not 0 <= p < n for p, n in zip(position, size, strict=True)
    ):
        maps = " x ".join(map(str, size))
        expected = f"its maps are {maps}" if size else "it has no positions"
        raise IndexError(f"{unit.layer} has no position {position}; {expected}")


def strongest(feature_map: Tensor) -> tuple[int, ...] | None:
    """Where a map is strongest, the first such place; None for a map of one value."""
    if feature_map.ndim == 0:
        return None
    place = int(feature_map.flatten().argmax())
    return tuple(int(i) for i in torch.unravel_index(torch.tensor(place), feature_map.shape))


def _range(count: int) -> str:
    return f"0 to {count - 1}" if count else "none"
