"""The whole range of a unit: its lowest images, quantiles of a random sample, its strongest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from deconvnet.arguments import counted, percent
from deconvnet.data.pictures import Prepares
from deconvnet.data.resolve import known_preprocessing
from deconvnet.figures.spectrum_rows import SpectrumRow, spectrum_rows
from deconvnet.layers import Rectifier
from deconvnet.mining.exemplars import Reading, node_of, project_entries, vectors_of
from deconvnet.mining.progress import reporting
from deconvnet.mining.source import source_of
from deconvnet.net import DeconvNet
from deconvnet.store.picture_reading import pictures_at, stored_entries
from deconvnet.store.sources import names_of
from deconvnet.store.store import Store, open_store
from deconvnet.store.table import Entries, LayerTable, Sample
from deconvnet.units import Exemplar

from .bands import bands_of, captioned, check_numbers
from .exemplars import choose
from .given import net_of
from .result import Shown
from .stored import CHANNELS, label_of, owner_at, row_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

ENDS = 2  # images at each end
QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
WITHOUT_LOWEST = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)  # of a store that holds no lowest images


@dataclass(frozen=True, eq=False, repr=False)
class Spectrum(Shown):
    """Channels of a layer from their lowest images to their strongest.

    Args:
        layer: name of the layer.
        rectifier: the rule of the projections.
        rank: "max" or "mean": what an activation is, of a map.
        n: images in the sample.
        random_state: with which they were drawn.
        lowest_of: the layer whose lowest images are shown; "" if the store holds none.
        channels: {channel: its sample and its exemplars}, in ascending order.
        model: the class of the model, if they were recomputed.
        names: {image: the name that the data set knows it by}.
        bands: the bands that figures show, see ``deconvnet.units.shown``.
        note: what is to be known of the pictures; empty if they show what was read.
        of: "channels", or "directions": then the channels are numbers of directions.
    """

    layer: str
    rectifier: str
    rank: str
    n: int
    random_state: int
    lowest_of: str
    channels: Mapping[int, SpectrumRow]
    model: str = ""
    names: Mapping[int, str | int] = field(default_factory=dict)
    bands: tuple[int, ...] | None = None
    note: str = ""
    of: str = CHANNELS

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """A row for each channel: the histogram of the sample, patches, and projections below.

        Marks below a histogram stand at the activations of the images beside it; the images of
        the sample whose activation is 0 are told in words. Of signals and videos the exemplars
        stand below each other. The arguments are those of every
        result, see ``Shown.figure``.
        """
        told = (
            f"{self.of.partition('/')[0].capitalize()} of {self.layer} ({self.rank} of a map) over "
            f"n = {counted(self.n, 'image')} drawn at random (random_state {self.random_state}); "
            f"projections by {self.rectifier}"
        )
        if self.lowest_of:
            told += (
                f"; the lowest have the smallest minimum in {self.lowest_of}, and a negative seed"
            )
            told += " shows what holds the unit down"
        told = captioned(told, self.bands, self.note)
        rows = [
            replace(row, exemplars=[one.shown(self.bands) for one in row.exemplars])
            for row in self.channels.values()
        ]
        return spectrum_rows(
            rows, width=width, title=title,
            caption=told if caption else None, parent=parent,
        )  # fmt: skip

    def table(self) -> list[dict[str, object]]:
        """One row an exemplar: where it stands in the range, and the share of zeros."""
        known = self.names.get
        return [
            {
                "at": name,
                "zeros": row.zero,
                **row_of(one, self.of, known(one.unit.image, one.unit.image)),
            }
            for row in self.channels.values()
            for name, one in zip(row.names, row.exemplars, strict=True)
        ]


def spectrum(
    store: Store | str | PathLike[str],
    layer: str,
    channels: str | int | Sequence[int] = "strongest:4",
    *,
    net: DeconvNet | nn.Module | None = None,
    data: Any = None,
    rectifier: str | Rectifier | None = None,
    preprocessing: Any = None,
    bands: int | Sequence[int] | None = None,
    progress: bool = True,
    of: str = CHANNELS,
) -> Spectrum:
    """Channels from their lowest images over quantiles of a random sample to their strongest.

    The strongest images alone mislead (Borowski et al. 2021): these show the whole range. Of the
    sample, the image at a quantile is the one whose rank is nearest. Images in which the unit is 0
    have no signal. The lowest images of a rectifier are those of the layer before it.

    Images and projections are read from the store if it holds all of them under the rule (``embed``
    writes these) and neither net nor data are given; else they are recomputed.

    Args:
        store: as ``mine(..., lowest=4, sample=256)`` or ``open_store`` gives it, or its path.
        layer: one of its layers.
        channels: numbers, or words as for ``exemplars``.
        net: a DeconvNet, or a model; by default as for ``exemplars``.
        data: the data set that was mined; by default as for ``exemplars``.
        rectifier: the rule of the projections; by default that of the net, without one
            "deconvnet".
        preprocessing: turns tensors back into pictures, as for ``exemplars``.
        bands: of images of more than three bands, those that are shown, as for ``exemplars``.
        progress: show a bar after a second.
        of: "channels" or "directions", as for ``exemplars``.

    Raises:
        KeyError, IndexError: no such layer or channel.
        ValueError: the store holds no sample, or no such directions; a channel has too few images;
            model or data set are not those that were mined.
    """
    check_numbers(bands)
    store = store if isinstance(store, Store) else open_store(store)
    table, sample, drawn, wanted = _asked(store, layer, channels, of)
    every, rule, kind, prepared = _exemplars(
        store, layer, wanted,
        net=net, data=data, rectifier=rectifier, preprocessing=preprocessing, progress=progress,
    )  # fmt: skip
    rows = {
        channel: _row(
            label_of(channel, of),
            channel,
            sample,
            slots=slots,
            those=[e for e in every if e.unit.channel == channel],
        )
        for channel, slots in drawn.items()
    }
    rank = "maximum" if table.peak is None else "mean"
    state = int(str(store.attributes.get("random_state", 0)))
    n = int((sample.image >= 0).sum())
    below = table.lowest.of if table.lowest is not None else ""
    names = names_of(store, [one.unit.image for one in every])
    return Spectrum(
        layer, rule, rank, n, state, below, rows, kind, names, bands_of(bands, prepared, every),
        prepared.note if prepared else "", of,
    )  # fmt: skip


def is_stored(
    store: Store,
    layer: str,
    channels: str | int | Sequence[int],
    *,
    rectifier: str,
    of: str = CHANNELS,
) -> bool:
    """Whether a store holds all pictures of a spectrum, which then needs no model and no data.

    The arguments are those of ``spectrum``.
    """
    return _all_stored(store, layer, _asked(store, layer, channels, of)[-1], rectifier)


_Slots = Mapping[str, list[int]]
"""Of a channel: {"lowest", "sample", "strongest"}."""
_Places = Mapping[str, Sequence[tuple[int, int]]]
"""{where a table stands: (channel, slot) of its entries}."""


def _asked(
    store: Store, layer: str, channels: str | int | Sequence[int], of: str
) -> tuple[LayerTable, Sample, Mapping[int, _Slots], _Places]:
    """The table that is asked for, its sample, the slots of each channel, and the entries."""
    table, start = owner_at(store[layer], layer, of)
    if table.sample is None:
        raise ValueError(
            f"the store holds no sample of {layer}; mine again, with a sample: "
            "mine(..., lowest=4, sample=256), or --lowest 4 --sample 256"
        )
    chosen = choose(table, channels) if isinstance(channels, str) else channels
    numbers = table.listed_channels(layer, chosen)
    drawn = {channel: _drawn(table, table.sample, channel) for channel in numbers}
    paths = {"lowest": f"{start}/lowest", "sample": f"{start}/sample", "strongest": start}
    wanted = {
        path.lstrip("/"): [(c, slot) for c, slots in drawn.items() for slot in slots[part]]
        for part, path in paths.items()
    }
    return table, table.sample, drawn, {path: some for path, some in wanted.items() if some}


def _exemplars(
    store: Store,
    layer: str,
    wanted: _Places,
    *,
    net: DeconvNet | nn.Module | None,
    data: Any,
    rectifier: str | Rectifier | None,
    preprocessing: Any,
    progress: bool,
) -> tuple[list[Exemplar], str, str, Prepares | None]:
    """The exemplars of entries (channel, slot) of tables, by where these stand.

    Returns:
        The exemplars, with the activations of the tables; their rule; the class of the model, ""
        where they were read from the store; and the preprocessing, if it is known.
    """
    tables = store[layer].every
    rule, kind = rectifier if isinstance(rectifier, str) else str(rectifier or "deconvnet"), ""
    if net is None and data is None and _all_stored(store, layer, wanted, rule):
        prepared = known_preprocessing(preprocessing, attributes=store.attributes)
        made = {
            path: stored_entries(store, layer, places, rectifier=rule, path=path)
            for path, places in wanted.items()
        }
    else:
        model, data = source_of(store, net, data, preprocessing=preprocessing)
        mirrored = net_of(model, rectifier)
        reading = Reading(store, mirrored, data, preprocessing)
        rule, kind = str(mirrored.policies), type(mirrored.model).__name__
        prepared, made = reading.preprocessing, {}
        for path, places in wanted.items():
            with reporting(None, path or "strongest", progress=progress, unit="unit") as report:
                made[path] = project_entries(
                    store, tables[path], node_of(tables[path], layer), places, net=mirrored,
                    dataset=reading.dataset, preprocessing=reading.preprocessing,
                    direction=vectors_of(store[layer], path), report=report,
                )  # fmt: skip
    every = []
    for path, those in made.items():
        ranked = tables[path].activation  # a mean is not the unit's own
        for one, place in zip(those, wanted[path], strict=True):
            every.append(replace(one, activation=float(ranked[place])))
    return every, rule, kind, prepared


def _all_stored(store: Store, layer: str, wanted: _Places, rule: str) -> bool:
    """Whether the store holds the pictures of all these entries, by the path of their table."""
    for path, places in wanted.items():
        pictures = pictures_at(store, layer, path)
        projections = pictures.projections.get(rule) if pictures else None
        if projections is None or any(projections.offset[place] < 0 for place in places):
            return False
    return True


def _row(
    label: str,
    channel: int,
    sample: Sample,
    *,
    slots: _Slots,
    those: Sequence[Exemplar],
) -> SpectrumRow:
    values = sample.activation[channel]
    values = values[np.isfinite(values)]
    quantiles = _quantiles(slots)
    names = [
        *["lowest"] * len(slots["lowest"]), *(percent(q) for q in quantiles),
        *["strongest"] * len(slots["strongest"]),
    ]  # fmt: skip
    zero = float((values == 0).mean())
    return SpectrumRow(label, values, zero, names, those)


def _quantiles(slots: _Slots) -> Sequence[float]:
    return QUANTILES if slots["lowest"] else WITHOUT_LOWEST


def _drawn(table: LayerTable, sample: Sample, channel: int) -> dict[str, list[int]]:
    """The slots of a channel that are shown, each in ascending order of activation."""
    strongest = _first(table, channel)[::-1]
    lowest = _first(table.lowest, channel) if table.lowest is not None else []
    drawn = {"lowest": lowest, "strongest": strongest}
    usable = _seen(sample, channel).sum()
    if not usable or len(strongest) < ENDS or (table.lowest is not None) > len(lowest):
        raise ValueError(
            f"channel {channel} has {len(strongest)} strongest images, {len(lowest)} lowest and "
            f"{usable} in the sample; expected at least {ENDS}, 1 and 1: leave it out, or "
            "mine more images"
        )
    return {**drawn, "sample": sample.at_quantiles(channel, _quantiles(drawn))}


def _first(table: Entries, channel: int) -> list[int]:
    """The slots of the first images of a channel."""
    slots: list[int] = np.flatnonzero(_seen(table, channel))[:ENDS].tolist()
    return slots


def _seen(table: Entries, channel: int) -> NDArray[np.bool_]:
    """(k,) whether an entry has an image, and sees pixels of it."""
    starts, ends = np.split(table.box[channel], 2, axis=-1)
    return np.asarray((table.images[channel] >= 0) & (ends > starts).all(-1))
