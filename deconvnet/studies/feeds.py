"""What feeds a unit: the channels of a layer below that add most to it, and what they see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from deconvnet.figures import figure2
from deconvnet.layers import Rectifier
from deconvnet.mining.exemplars import Reading, project_exemplars, project_units
from deconvnet.mining.source import source_of
from deconvnet.net import DeconvNet
from deconvnet.store.store import Store
from deconvnet.units import Exemplar, Unit

from .contributions import Contributions, contributions, mined_units, of_mined
from .given import images_of, net_of
from .result import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

SHOWN = 9  # exemplars of a channel


@dataclass(frozen=True, eq=False, repr=False)
class Feeds(Shown):
    """The channels below that add most to a unit.

    Args:
        unit: what is fed.
        at: the layer below.
        rectifier: the rule of the projections; what the channels add is computed by the gradient.
        images: names of the images, or their numbers in the data set.
        activations: (images,) of the unit.
        added: (images, channels) what each channel of the layer adds to the unit.
        channels: {channel: what it responds to}, the one that adds or takes most first.
        model: the class of the model.
    """

    unit: Unit
    at: str
    rectifier: str
    images: Sequence[str | int]
    activations: NDArray[np.float64]
    added: NDArray[np.float64]
    channels: Mapping[int, Sequence[Exemplar]]
    model: str = ""

    @property
    def shares(self) -> NDArray[np.float64]:
        """(channels,) what each adds in the mean of the images, by the unit's mean activation.

        They sum to 1 where there are no biases between the layers and no path goes round.
        """
        return np.asarray(self.added.mean(0) / self.activations.mean())

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """For each of the channels its share, and projections beside patches.

        The arguments are those of every result, see ``Shown.figure``.
        """
        shares = self.shares
        blocks = {
            f"{c}: {shares[c]:+.0%}".replace("-", "−"): e[:SHOWN] for c, e in self.channels.items()
        }
        told = (
            f"Channels of {self.at} by their share of {self.unit}, mean of {len(self.images)} "
            f"images; all channels add {shares.sum():.0%}, biases and paths round the layer the "
            f"rest; projections by {self.rectifier}"
        )
        return figure2(
            blocks, width=width, title=title, caption=told if caption else None, parent=parent
        )

    def table(self) -> list[dict[str, object]]:
        """One row a channel: what it adds in the mean of the images, and its share."""
        shares, mean = self.shares, self.added.mean(0)
        return [
            {"channel": f"{self.at}:{c}", "adds": float(mean[c]), "share": float(shares[c])}
            for c in self.channels
        ]


def feeds(
    net: DeconvNet | nn.Module | None,
    images: Any,
    unit: Unit,
    *,
    at: str,
    channels: int = 8,
    rectifier: str | Rectifier | None = None,
    data: Any = None,
    preprocessing: Any = None,
) -> Feeds:
    """The channels of a layer below that add most to a unit, by signal times activation.

    A channel's share is the gradient of the unit by the channel's map, times the map, summed over
    positions; in the mean of the images, by the unit's mean activation. Negative shares hold it
    down. Shares of all channels sum to 1 where there are no biases between the two layers and no
    path goes round the lower one.

    Args:
        net: a DeconvNet, or a model; None with a store that knows its model.
        images: as for ``visualize``; or a store: then those that it keeps for the unit's channel,
            at the positions that were mined. Where the store has the layer ``at``, the channels
            are shown by their own exemplars there, else by where they add most in these images.
        unit: without a position, the strongest of its channel in each image; its ``image`` is not
            looked at.
        at: node name of a layer below.
        channels: how many to show, those that add or take most.
        rectifier: the rule of the projections; by default that of the net.
        data: the data set that was mined, with a store; by default as for ``exemplars``.
        preprocessing: turns tensors back into pictures, as for ``visualize`` and ``exemplars``.

    Raises:
        KeyError, IndexError: no such layer, channel or position.
        ValueError: ``at`` is not below the unit; the unit is 0 in all images; no preprocessing is
            known; model or data set are not those that were mined.
    """
    if isinstance(images, Store):
        model, data = source_of(images, net, data, preprocessing=preprocessing)
        mirrored = net_of(model, rectifier)
        reading = Reading(images, mirrored, data, preprocessing)
        contributed = of_mined(mirrored, reading, mined_units(images, unit), at)
        shown = _strongest(contributed, channels)
        if contributed.at in images.layers:
            blocks = project_exemplars(
                images, contributed.at, shown, net=mirrored, dataset=reading.dataset,
                preprocessing=reading.preprocessing,
            )  # fmt: skip
        else:
            blocks = _mined_blocks(mirrored, reading, contributed, shown)
        names: list[str | int] = [one.image for one in contributed.units]
    else:
        if net is None:
            raise TypeError("no net was given with these images; give a DeconvNet or a model")
        mirrored = net_of(net, rectifier)
        given = images_of(images, mirrored, preprocessing=preprocessing)
        units = [replace(unit, image=number) for number in range(len(given))]
        contributed = contributions(mirrored, given.tensor, units, at)
        shown = _strongest(contributed, channels)
        lower = _lower(contributed, shown)
        made = project_units(mirrored, given.tensor, lower, preprocessing=given.prepared)
        blocks = _by_channel(shown, made)
        names = list(given.names)
    named = replace(contributed.units[0], image=0)
    if len({one.position for one in contributed.units}) > 1:
        named = named.moved(())
    rule, kind = str(mirrored.policies), type(mirrored.model).__name__
    return Feeds(
        named, contributed.at, rule, names, contributed.activations, contributed.sums, blocks, kind
    )


def _strongest(contributed: Contributions, count: int) -> list[int]:
    """The channels that add or take most in the mean of the images."""
    if not contributed.activations.any():
        raise ValueError(
            f"{contributed.units[0]} is 0 in all of these images, so that nothing feeds it"
        )
    mean = np.abs(contributed.sums.mean(0))
    order = np.argsort(-mean, kind="stable")[:count]
    return [int(channel) for channel in order if mean[channel] > 0]


def _lower(contributed: Contributions, channels: Sequence[int]) -> list[Unit]:
    """Of each channel, the units that add or take most, each in another image."""
    units = []
    for channel in channels:
        order = np.argsort(-np.abs(contributed.sums[:, channel]), kind="stable")[:SHOWN].tolist()
        units += [contributed.lower(n, channel) for n in order if contributed.sums[n, channel] != 0]
    return units


def _mined_blocks(
    net: DeconvNet, reading: Reading, contributed: Contributions, channels: Sequence[int]
) -> dict[int, list[Exemplar]]:
    made: dict[Unit, Exemplar] = {}
    lower = list(dict.fromkeys(_lower(contributed, channels)))
    for units, local, pixels in reading.batches(lower):
        some = project_units(net, pixels, local, preprocessing=reading.preprocessing)
        made |= {u: replace(one, unit=u) for u, one in zip(units, some, strict=True)}
    return _by_channel(channels, [made[unit] for unit in lower])


def _by_channel(channels: Sequence[int], made: Sequence[Exemplar]) -> dict[int, list[Exemplar]]:
    return {channel: [one for one in made if one.unit.channel == channel] for channel in channels}
