"""What feeds a unit: the channels of a layer below that add most to it, and what they see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from deconvnet.arguments import percent
from deconvnet.figures import FeedRow, exemplar_rows, feed_rows, figure2
from deconvnet.figures.canvas.lettering import digits
from deconvnet.layers import Rectifier
from deconvnet.mining.exemplars import Reading, project_exemplars, project_units
from deconvnet.mining.progress import Reporter, reporting
from deconvnet.mining.source import source_of
from deconvnet.net import DeconvNet
from deconvnet.store.sources import names_of
from deconvnet.store.store import Store
from deconvnet.units import Exemplar, Unit, by_layer

from .bands import bands_of, captioned
from .contributions import Contributions, contributions, mined_units, of_mined
from .given import images_of, net_of
from .result import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

SHOWN = 9  # exemplars of a channel, or images


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
        channels: {channel: exemplars}, the one that adds or takes most first: its own where the
            store has mined it, else where it adds most to the unit in each image.
        model: the class of the model.
        exemplars: the unit in each image, where the channels are shown in these images.
        bands: the bands that figures show, see ``deconvnet.units.shown``.
        note: what is to be known of the pictures; empty if they show what was read.
    """

    unit: Unit
    at: str
    rectifier: str
    images: Sequence[str | int]
    activations: NDArray[np.float64]
    added: NDArray[np.float64]
    channels: Mapping[int, Sequence[Exemplar]]
    model: str = ""
    exemplars: Sequence[Exemplar] = ()
    bands: tuple[int, ...] | None = None
    note: str = ""

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
        """The channels with their shares: a grid of exemplars each, or a column of projections.

        Channels that the store has mined have grids of their own exemplars, as ``exemplars`` draws
        them. Else a row for each image (the nine in which the unit is strongest): the patch and
        the projection of the unit, and in its field the projection of each channel from where it
        adds or takes most. Signals and videos are drawn by ``exemplar_rows``. The arguments are
        those of every result, see ``Shown.figure``.
        """
        shares = self.shares
        each = {c: percent(shares[c], sign=True).replace("-", "−") for c in self.channels}
        told = (
            f"Channels of {self.at} by their share of {self.unit}, mean of {len(self.images)} "
            f"images; all channels add {percent(shares.sum())}, biases and paths round the layer "
            f"the rest; projections by {self.rectifier}"
        )
        caption_, shown = captioned(told, self.bands, self.note) if caption else None, self._shown
        blocks = {f"{c}: {share}": shown[c] for c, share in each.items()}
        images = all(one.axes == 2 for those in shown.values() for one in those)
        if images and self.exemplars:
            columns = [f"{self.at}:{c}\n{share}" for c, share in each.items()]
            return feed_rows(
                self._rows(shown), columns=["patch", str(self.unit), *columns], width=width,
                title=title, caption=caption_, parent=parent,
            )  # fmt: skip
        draw = figure2 if images else exemplar_rows
        return draw(blocks, width=width, title=title, caption=caption_, parent=parent)

    @property
    def _shown(self) -> dict[int, list[Exemplar]]:
        """The exemplars with the bands that are shown."""
        return {
            c: [one.shown(self.bands) for one in those[:SHOWN]]
            for c, those in self.channels.items()
        }

    def _rows(self, shown: Mapping[int, Sequence[Exemplar]]) -> list[FeedRow]:
        """The images in which the unit is strongest, in their order."""
        strongest = sorted(np.argsort(-self.activations, kind="stable")[:SHOWN].tolist())
        rows = []
        for number in strongest:
            unit, name = self.exemplars[number].shown(self.bands), self.images[number]
            below = [
                next((one for one in those if one.unit.image == unit.unit.image), None)
                for those in shown.values()
            ]
            rows.append(FeedRow(f"{name}: {unit.unit} = {digits(unit.activation)}", unit, below))
        return rows

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
    bands: Sequence[int] | None = None,
    progress: bool = True,
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
        bands: of images of more than three bands, those that are shown, as for ``visualize``.
        progress: show a bar after a second, with a store.

    Raises:
        KeyError, IndexError: no such layer, channel or position.
        ValueError: ``at`` is not below the unit; the unit is 0 in all images; no preprocessing is
            known; model or data set are not those that were mined.
    """
    if isinstance(images, Store):
        model, data = source_of(images, net, data, preprocessing=preprocessing)
        mirrored = net_of(model, rectifier)
        reading = Reading(images, mirrored, data, preprocessing)
        prepared = reading.preprocessing
        fed = mined_units(images, unit)
        contributed = of_mined(mirrored, reading, fed, at, progress=progress)
        shown, made = _strongest(contributed, channels), []
        with reporting(None, "projecting", progress=progress, unit="unit") as report:
            if contributed.at in images.layers:
                blocks = project_exemplars(
                    images, contributed.at, shown, net=mirrored, dataset=reading.dataset,
                    preprocessing=prepared, report=report,
                )  # fmt: skip
            else:
                lower = _lower(contributed, shown)
                below = _projected(mirrored, reading, [*fed, *lower], report)
                made, blocks = below[: len(fed)], _by_channel(shown, below[len(fed) :])
        names = list(names_of(images, [one.image for one in contributed.units]).values())
    else:
        if net is None:
            raise TypeError("no net was given with these images; give a DeconvNet or a model")
        mirrored = net_of(net, rectifier)
        given = images_of(images, mirrored, preprocessing=preprocessing)
        prepared, names = given.prepared, list(given.names)
        units = [replace(unit, image=number) for number in range(len(given))]
        contributed = contributions(mirrored, given.tensor, units, at)
        shown = _strongest(contributed, channels)
        made = project_units(mirrored, given.tensor, contributed.units, preprocessing=prepared)
        lower = _lower(contributed, shown)
        blocks = _by_channel(
            shown, project_units(mirrored, given.tensor, lower, preprocessing=prepared)
        )
    named = replace(contributed.units[0], image=0)
    if len({one.position for one in contributed.units}) > 1:
        named = named.moved(())
    rule, kind = str(mirrored.policies), type(mirrored.model).__name__
    every = [*made, *(one for those in blocks.values() for one in those)]
    return Feeds(
        named, contributed.at, rule, names, contributed.activations, contributed.sums, blocks, kind,
        made, bands_of(bands, prepared, every), prepared.note,
    )  # fmt: skip


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
        order = np.argsort(-np.abs(contributed.sums[:, channel]), kind="stable").tolist()
        units += [contributed.lower(n, channel) for n in order if contributed.sums[n, channel] != 0]
    return units


def _projected(
    net: DeconvNet, reading: Reading, units: Sequence[Unit], report: Reporter | None
) -> list[Exemplar]:
    """Units of mined images, of several layers, in their order."""
    made: dict[Unit, Exemplar] = {}
    for layer in by_layer(units):
        those = [unit for unit in dict.fromkeys(units) if unit.layer == layer]
        for here, local, pixels in reading.batches(those):
            some = project_units(net, pixels, local, preprocessing=reading.preprocessing)
            made |= {u: replace(one, unit=u) for u, one in zip(here, some, strict=True)}
            if report is not None:
                report(len(made), len(set(units)))
    return [made[unit] for unit in units]


def _by_channel(channels: Sequence[int], made: Sequence[Exemplar]) -> dict[int, list[Exemplar]]:
    return {channel: [one for one in made if one.unit.channel == channel] for channel in channels}
