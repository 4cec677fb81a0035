"""Facets of a unit: its exemplars in groups that the same channels below feed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import ClusterError, kmeans2
from torch import nn

from deconvnet.figures import exemplar_rows, pair_rows
from deconvnet.layers import Rectifier
from deconvnet.mining.exemplars import Reading, project_entries
from deconvnet.mining.progress import reporting
from deconvnet.mining.source import source_of
from deconvnet.net import DeconvNet
from deconvnet.store.sources import names_of
from deconvnet.store.store import Store, open_store
from deconvnet.units import Exemplar, Unit

from .bands import bands_of, captioned
from .contributions import mined_units, of_mined
from .given import net_of
from .result import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

SHOWN = 9  # exemplars of a facet in the figure
STARTS = 20  # of k-means, of which the closest clusters are kept


@dataclass(frozen=True, eq=False, repr=False)
class Facets(Shown):
    """The exemplars of a unit, in groups by what feeds them.

    Args:
        unit: a channel of a layer.
        at: the layer below whose channels feed it.
        rectifier: the rule of the projections; what the channels add is computed by the gradient.
        random_state: of the clusters.
        labels: (exemplars,) the facet of each, strongest exemplar first.
        added: (exemplars, channels) what each channel of the layer adds to each exemplar.
        exemplars: strongest first.
        model: the class of the model.
        names: {image: the name that the data set knows it by}.
        bands: the bands that figures show, see ``deconvnet.units.shown``.
        note: what is to be known of the pictures; empty if they show what was read.
    """

    unit: Unit
    at: str
    rectifier: str
    random_state: int
    labels: NDArray[np.int64]
    added: NDArray[np.float64]
    exemplars: Sequence[Exemplar]
    model: str = ""
    names: Mapping[int, str | int] = field(default_factory=dict)
    bands: tuple[int, ...] | None = None
    note: str = ""

    def feeding(self, facet: int, count: int = 3) -> list[int]:
        """The channels below that add most to the exemplars of a facet, by their shares."""
        mean = _directions(self.added)[self.labels == facet].mean(0)
        order = np.argsort(-mean, kind="stable")[:count]
        return [int(channel) for channel in order if mean[channel] > 0]

    def of(self, facet: int) -> list[Exemplar]:
        """The exemplars of a facet, strongest first."""
        return [one for one, own in zip(self.exemplars, self.labels, strict=True) if own == facet]

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """For each facet the channels that feed it most, and patches above projections.

        Signals and videos are drawn by ``exemplar_rows``. The arguments are those of every result,
        see ``Shown.figure``.
        """
        groups = {}
        for facet in range(int(self.labels.max()) + 1):
            those, fed = self.of(facet), ", ".join(map(str, self.feeding(facet)))
            of = f"{len(those)} of {len(self.labels)} exemplars"
            if len(those) > SHOWN:
                of += f", the {SHOWN} strongest shown"
            label = f"facet {facet + 1}: {of}; fed by {self.at}: {fed}"
            groups[label] = [one.shown(self.bands) for one in those[:SHOWN]]
        told = (
            f"Exemplars of {self.unit}, by k-means on what the channels of {self.at} add to each "
            f"(random_state {self.random_state}); projections by {self.rectifier}"
        )
        draw = pair_rows if all(one.axes == 2 for one in self.exemplars) else exemplar_rows
        told = captioned(told, self.bands, self.note)
        return draw(
            groups, width=width, title=title, caption=told if caption else None, parent=parent
        )

    def table(self) -> list[dict[str, object]]:
        """One row an exemplar: its facet, from 1, and the row of the exemplar."""
        return [
            {"facet": int(label) + 1, **one.row(self.names.get(one.unit.image, one.unit.image))}
            for label, one in zip(self.labels, self.exemplars, strict=True)
        ]


def facets(
    store: Store | str | PathLike[str],
    unit: Unit,
    *,
    at: str,
    clusters: int = 2,
    net: DeconvNet | nn.Module | None = None,
    data: Any = None,
    rectifier: str | Rectifier | None = None,
    preprocessing: Any = None,
    random_state: int = 0,
    bands: Sequence[int] | None = None,
    progress: bool = True,
) -> Facets:
    """Split the exemplars of a channel into groups that the same channels below feed.

    A unit may respond to several things (Nguyen et al. 2016). Each exemplar is described by what
    every channel of a layer below adds to it (as ``feeds`` finds it), brought to length 1, so that
    how strong it is does not matter; k-means finds the groups. A store with k of 50 or more shows
    them better than the top nine.

    Args:
        store: as ``mine`` or ``open_store`` gives it, or its path.
        unit: layer and channel.
        at: node name of a layer below.
        clusters: how many groups, at least 2.
        net: a DeconvNet, or a model; by default as for ``exemplars``.
        data: the data set that was mined; by default as for ``exemplars``.
        rectifier: the rule of the projections; by default that of the net.
        preprocessing: turns tensors back into pictures, as for ``exemplars``.
        random_state: of the starts of k-means; the same number gives the same groups.
        bands: of images of more than three bands, those that are shown, as for ``exemplars``.
        progress: show a bar after a second.

    Raises:
        KeyError, IndexError: no such layer or channel.
        ValueError: fewer different exemplars than groups; ``at`` is not below the unit; model or
            data set are not those that were mined.
    """
    store = store if isinstance(store, Store) else open_store(store)
    units = mined_units(store, unit)
    if not 2 <= clusters <= len(units):
        raise ValueError(
            f"{clusters} facets of {len(units)} exemplars were asked for; give at least 2, and at "
            "most as many as there are exemplars, or mine with a larger k"
        )
    model, data = source_of(store, net, data, preprocessing=preprocessing)
    mirrored = net_of(model, rectifier)
    reading = Reading(store, mirrored, data, preprocessing)
    contributed = of_mined(mirrored, reading, units, at, progress=progress)
    labels = grouped(contributed.sums, clusters, random_state=random_state)
    table = store[unit.layer]
    slots = np.flatnonzero(table.has_picture[unit.channel]).tolist()
    with reporting(None, "projecting", progress=progress, unit="unit") as report:
        made = project_entries(
            store, table, unit.layer, [(unit.channel, slot) for slot in slots], net=mirrored,
            dataset=reading.dataset, preprocessing=reading.preprocessing, report=report,
        )  # fmt: skip
    rule, kind = str(mirrored.policies), type(mirrored.model).__name__
    named = Unit(unit.layer, unit.channel)
    return Facets(
        named, contributed.at, rule, random_state, labels, contributed.sums, made, kind,
        names_of(store, [one.image for one in units]), bands_of(bands, reading.preprocessing, made),
        reading.preprocessing.note,
    )  # fmt: skip


def grouped(added: NDArray[np.float64], clusters: int, *, random_state: int) -> NDArray[np.int64]:
    """Groups of rows that point the same way: k-means, started from rows far apart.

    Args:
        added: (exemplars, channels).
        clusters: how many.
        random_state: of the starts (k-means++, Arthur & Vassilvitskii 2007).

    Returns:
        (exemplars,) the group of each; 0 is that of the first exemplar, 1 that of the next one
        that is not in it, and so on.

    Raises:
        ValueError: there are fewer different rows than groups.
    """
    rows, random = _directions(added), np.random.default_rng(random_state)
    if len(np.unique(rows.round(6), axis=0)) < clusters:
        raise ValueError(
            f"the exemplars are fed in fewer than {clusters} different ways; ask for fewer facets, "
            "or for another layer below"
        )
    best, least = np.zeros(len(rows), np.int64), np.inf
    for _ in range(STARTS):
        try:
            centres, labels = kmeans2(rows, _start(rows, clusters, random), minit="matrix",
                                      iter=100, missing="raise")  # fmt: skip
        except ClusterError:
            continue  # a group has lost its last row
        spread = float(((rows - centres[labels]) ** 2).sum())
        if spread < least:
            best, least = labels, spread
    if not np.isfinite(least):
        raise ValueError(f"no {clusters} groups could be made of the exemplars; ask for fewer")
    _, first = np.unique(best, return_index=True)
    return np.argsort(np.argsort(first))[best]


def _directions(added: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows brought to length 1; zeros stay."""
    lengths = np.linalg.norm(added, axis=1, keepdims=True)
    return np.asarray(added / np.where(lengths > 0, lengths, 1))


def _start(
    rows: NDArray[np.float64], clusters: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """Rows to start from, each drawn in proportion to its squared distance to those before."""
    chosen = [rows[random.integers(len(rows))]]
    while len(chosen) < clusters:
        apart = np.min([((rows - one) ** 2).sum(1) for one in chosen], axis=0)
        chosen.append(rows[random.choice(len(rows), p=apart / apart.sum())])
    return np.stack(chosen)
