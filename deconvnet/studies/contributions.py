"""What channels of a layer add to a unit above them: signal times activation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deconvnet.arguments import Brief
from deconvnet.mining.exemplars import Reading
from deconvnet.mining.progress import Reporter, reporting
from deconvnet.net import DeconvNet
from deconvnet.projection.seeds import located
from deconvnet.store.store import Store
from deconvnet.store.table import LayerTable
from deconvnet.units import Unit


@dataclass(frozen=True, eq=False)
class Contributions(Brief):
    """What every channel of a layer adds to some units of one channel above it.

    Args:
        at: the layer below.
        units: with their positions.
        activations: (units,).
        sums: (units, channels), summed over positions.
        places: (units, channels, axes) where each adds or takes most.
    """

    at: str
    units: Sequence[Unit]
    activations: NDArray[np.float64]
    sums: NDArray[np.float64]
    places: NDArray[np.int64]

    def lower(self, number: int, channel: int) -> Unit:
        """The unit of a channel below that adds or takes most, in the image of a unit."""
        place = tuple(self.places[number, channel].tolist())
        return Unit.at(self.at, channel, position=place or None, image=self.units[number].image)


def contributions(net: DeconvNet, images: Tensor, units: Sequence[Unit], at: str) -> Contributions:
    """What every channel adds to units of one channel, by the gradient.

    The sum over all channels is the unit's activation, where there are no biases between the two
    layers and no path goes round the lower one (Euler's theorem: the network is piecewise linear).

    Args:
        net: its graph is used, under the policy "gradient" (with the net's fallback).
        images: (batch, channels, *size), preprocessed.
        units: of these images; without a position, the strongest of the channel.
        at: node name of the layer below.

    Raises:
        KeyError, IndexError, ValueError: as ``DeconvNet.signals``.
        ValueError: ``at`` is the layer of the units.
    """
    plain = net.with_rectifier("gradient")
    recording = plain.record(images, [units[0].layer, at])
    layer, lower = (plain.graph.find(name) for name in (units[0].layer, at))
    if layer == lower:
        raise ValueError(f"at={at!r} is the layer of the unit itself; give a layer below it")
    rows = torch.tensor([unit.image for unit in units])
    placed, values = located(
        recording[layer], [unit.moved(unit.position or (), layer) for unit in units], rows
    )
    signal = plain.signals(recording, placed, lower, seed="one")
    assert isinstance(signal, Tensor), "it was asked at one layer"
    added = (signal * recording[lower][rows.to(signal.device)]).double().cpu()
    flat = added.flatten(2) if added.ndim > 2 else added[:, :, None]
    best = flat.abs().argmax(2)
    places = torch.stack(torch.unravel_index(best, added.shape[2:]), -1) if added.ndim > 2 else None
    none = np.zeros((*best.shape, 0), np.int64)
    return Contributions(
        lower, placed, values.double().cpu().numpy(), flat.sum(2).numpy(),
        none if places is None else places.numpy(),
    )  # fmt: skip


def mined_units(store: Store, unit: Unit) -> list[Unit]:
    """The units of a channel in the images that a store keeps for it, strongest first.

    Raises:
        KeyError, IndexError: the store has no such layer or channel.
        ValueError: the channel was never positive.
    """
    table: LayerTable = store[unit.layer]
    table.listed_channels(unit.layer, unit.channel)
    slots = np.flatnonzero(table.has_picture[unit.channel]).tolist()
    if not slots:
        raise ValueError(f"{unit.layer}:{unit.channel} was never positive in the mined images")
    return [table.unit(unit.layer, unit.channel, slot) for slot in slots]


def of_mined(
    net: DeconvNet, reading: Reading, units: Sequence[Unit], at: str, *, progress: bool = False
) -> Contributions:
    """``contributions`` of units whose images are indices of a mined data set."""
    with reporting(None, "feeding", progress=progress, unit="unit") as report:
        parts = list(_parts(net, reading, units, at, report))
    numbers = [units.index(unit) for here, _ in parts for unit in here]
    order = np.argsort(numbers)

    def joined(name: str) -> NDArray[np.float64]:
        return np.concatenate([getattr(part, name) for _, part in parts])[order]

    lower = parts[0][1].at
    return Contributions(
        lower, units, joined("activations"), joined("sums"), joined("places").astype(np.int64)
    )


def _parts(
    net: DeconvNet, reading: Reading, units: Sequence[Unit], at: str, report: Reporter | None
) -> Iterator[tuple[list[Unit], Contributions]]:
    done = 0
    for here, local, pixels in reading.batches(units):
        yield here, contributions(net, pixels, local, at)
        done += len(here)
        if report is not None:
            report(done, len(units))
