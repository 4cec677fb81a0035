"""The top images of channels, and the projections of the units that they excite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from deconvnet.arguments import integer
from deconvnet.data.resolve import known_preprocessing
from deconvnet.figures import exemplar_rows, figure2, pages
from deconvnet.layers import Rectifier
from deconvnet.mining.exemplars import project_exemplars
from deconvnet.mining.progress import reporting
from deconvnet.mining.source import source_of
from deconvnet.net import DeconvNet
from deconvnet.store.picture_reading import pictures_at, stored_exemplars
from deconvnet.store.sources import names_of
from deconvnet.store.store import Store, open_store
from deconvnet.store.table import LayerTable
from deconvnet.units import Exemplar

from .bands import bands_of, captioned, check_numbers, sanity_line, with_line
from .channels import numbered, ranked
from .given import net_of
from .result import Shown
from .stored import CHANNELS, LOWEST, STRONGEST, label_of, owner_at, path_at, row_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

    from .sanity import Sanity


@dataclass(frozen=True, eq=False, repr=False)
class Exemplars(Shown):
    """The exemplars of some channels of a layer.

    Args:
        layer: name of the layer.
        rectifier: the rule of the projections.
        channels: {channel: exemplars}, strongest first; of a dead channel an empty list.
        model: the class of the model, if they were recomputed.
        bands: the bands that figures show, see ``deconvnet.units.shown``.
        note: what is to be known of the pictures; empty if they show what was read.
        rows: of channels on a page of its file; None: as many as fit.
        columns: channels in a row; None: as many as are read without a lens.
        names: {image: the name that the data set knows it by}.
        of: "channels", or "directions": then the channels are numbers of directions.
        end: "strongest", or "lowest": then the exemplars are the lowest, lowest first.
        sanity: a line of a sanity check, see ``deconvnet.sanity``.
    """

    layer: str
    rectifier: str
    channels: Mapping[int, Sequence[Exemplar]]
    model: str = ""
    bands: tuple[int, ...] | None = None
    note: str = ""
    rows: int | None = None
    columns: int | None = None
    names: Mapping[int, str | int] = field(default_factory=dict)
    of: str = CHANNELS
    end: str = STRONGEST
    sanity: str = ""

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """The grid of Zeiler & Fergus 2014, figure 2: projections beside patches.

        Signals and videos are drawn below each other, see ``exemplar_rows``. The arguments are
        those of every result, see ``Shown.figure``.
        """
        if not self._images:
            return exemplar_rows(
                self._shown, width=width, title=title, caption=self._told_if(caption), parent=parent
            )
        return figure2(
            self._shown,
            width=width,
            columns=self.columns,
            title=title,
            caption=self._told_if(caption),
            parent=parent,
        )

    def pages(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
    ) -> list[Figure]:
        """The grid on as many pages as it takes; the arguments are those of ``figure``."""
        if not self._images:
            return [self.figure(width=width, title=title, caption=caption)]
        return pages(
            self._shown,
            width=width,
            rows=self.rows,
            columns=self.columns,
            title=title,
            caption=self._told_if(caption),
        )

    @property
    def _shown(self) -> dict[Any, list[Exemplar]]:
        """The exemplars with the bands that are shown, by the labels of figures."""
        return {
            number if self.of == CHANNELS else label_of(number, self.of): [
                one.shown(self.bands) for one in those
            ]
            for number, those in self.channels.items()
        }

    @property
    def _images(self) -> bool:
        return all(one.axes == 2 for those in self.channels.values() for one in those)

    def _told_if(self, caption: bool) -> str | None:
        what = self.layer if self.of == CHANNELS else f"directions of {self.layer}"
        told = f"{what} by {self.rectifier}"
        if self.end == LOWEST:
            told = f"the lowest of {told}; a negative seed shows what holds the unit down"
        return with_line(captioned(told, self.bands, self.note) if caption else None, self.sanity)

    def table(self) -> list[dict[str, object]]:
        """One row an exemplar: image, unit, activation, and box in pixels."""
        every = [one for those in self.channels.values() for one in those]
        known = self.names.get
        return [row_of(one, self.of, known(one.unit.image, one.unit.image)) for one in every]


def exemplars(
    store: Store | str | PathLike[str],
    layer: str,
    channels: str | int | Sequence[int] = "strongest:12",
    *,
    net: DeconvNet | nn.Module | None = None,
    data: Any = None,
    rectifier: str | Rectifier | None = None,
    preprocessing: Any = None,
    bands: int | Sequence[int] | None = None,
    of: str = CHANNELS,
    end: str = STRONGEST,
    k: int | None = None,
    per_source: int | None = None,
    rows: int | None = None,
    columns: int | None = None,
    sanity: Sanity | None = None,
    progress: bool = True,
) -> Exemplars:
    """The exemplars of channels: recomputed, or from the pictures in the store.

    They are read from the store if it holds pictures under the rule, and neither net nor data are
    given. Else they are recomputed with what is given; by default with what this process has
    mined, else with what the store names, which may be a Python file: of stores you trust.

    Args:
        store: as ``mine`` or ``open_store`` gives it, or its path.
        layer: one of its layers.
        channels: numbers, or as ``choose`` reads them: "0-15", "strongest:12".
        net: a DeconvNet, or the model.
        data: the data set that was mined, or its path.
        rectifier: as for ``DeconvNet``; by default that of ``net``, without one "deconvnet". Of
            stored pictures their name, such as "guided, unpooling centre".
        preprocessing: turns tensors back into pictures; by default the data set's own, else the
            net's, else that of the store.
        bands: of images of more than three bands, the three that are shown as red, green and blue,
            or one, counted from 0; by default those of the preprocessing, else the first three.
        of: "channels", or "directions": then ``channels`` are numbers of the directions that were
            mined (``mine(directions=)``), or are chosen from these; of several sets in a file
            "directions/NAME".
        end: "strongest", or "lowest": the images with the lowest activations, lowest first, whose
            projections start with the negative activation and show what holds the unit down.
        k: how many of a channel; by default all that were mined.
        per_source: how many of a channel may come from one photograph; by default any number. It
            takes a store with more exemplars than are drawn, to have a choice.
        rows: of channels on a page, see ``Exemplars``.
        columns: channels in a row, likewise.
        sanity: the result of ``deconvnet.sanity`` of this net, of which the figure says a line.
        progress: show a bar after a second.

    Raises:
        KeyError, IndexError: no such layer or channel.
        ValueError: model or data set have changed since they were mined, the store does not say
            where they are, or it is damaged; it holds no such directions, or no lowest.
    """
    check_numbers(bands)
    for name, number in {"rows": rows, "columns": columns}.items():
        if number is not None and integer(name, number) < 1:
            raise ValueError(f"{name}={number} was given, expected 1 or more")
    store = store if isinstance(store, Store) else open_store(store)
    owner, start = owner_at(store[layer], layer, of)
    path = path_at(owner, start, end)
    chosen = choose(owner, channels) if isinstance(channels, str) else channels
    if isinstance(chosen, Sequence) and not chosen:
        raise ValueError("no channel was given; give numbers, or strongest:12")
    rule = rectifier if isinstance(rectifier, str) else str(rectifier or "deconvnet")
    pictures = pictures_at(store, layer, path)
    stored = sorted(pictures.projections) if pictures else []
    if net is None and data is None and rule in stored:
        made = stored_exemplars(
            store, layer, chosen, rectifier=rule, k=k, per_source=per_source, path=path
        )
        known = known_preprocessing(preprocessing, attributes=store.attributes)
        shown = bands_of(bands, known, [one for those in made.values() for one in those])
        note = known.note if known else ""
        named, line = _names(store, made), sanity_line(sanity, [rule], "")
        return Exemplars(layer, rule, made, "", shown, note, rows, columns, named, of, end, line)
    try:
        model, data = source_of(store, net, data, preprocessing=preprocessing)
    except (ValueError, OSError) as error:
        if not stored:
            raise
        hint = f"the store has pictures that need neither: rectifier={' or '.join(stored)}"
        raise ValueError(f"{error}; {hint}") from error
    mirrored = net_of(model, rectifier)
    line = sanity_line(sanity, [str(mirrored.policies)], type(mirrored.model).__name__)
    known = known_preprocessing(
        preprocessing, data=data, model=mirrored, attributes=store.attributes
    )
    with reporting(None, "projecting", progress=progress, unit="unit") as told:
        made = project_exemplars(
            store,
            layer,
            chosen,
            net=mirrored,
            dataset=data,
            preprocessing=preprocessing,
            k=k,
            per_source=per_source,
            path=path,
            report=told,
        )
    kind, rule = type(mirrored.model).__name__, str(mirrored.policies)
    shown = bands_of(bands, known, [one for those in made.values() for one in those])
    named, note = _names(store, made), known.note if known else ""
    return Exemplars(layer, rule, made, kind, shown, note, rows, columns, named, of, end, line)


def _names(store: Store, made: Mapping[int, Sequence[Exemplar]]) -> dict[int, str | int]:
    return names_of(store, [one.unit.image for those in made.values() for one in those])


def has_pictures(
    store: Store, layer: str, rectifier: str, *, fallback: str | None = None, path: str = ""
) -> bool:
    """Whether a store holds patches and projections of a layer's table under a rule.

    ``path`` is where the table stands, see ``LayerTable.every``: "" for the strongest.
    """
    pictures = pictures_at(store, layer, path)
    projections = pictures.projections.get(rectifier) if pictures else None
    return projections is not None and projections.fallback == (fallback or "")


def choose(table: LayerTable, text: str) -> list[int]:
    """Channels selected by ``0-15``, ``3,7,9``, ``strongest:N`` or ``random:N``.

    ``strongest`` are those whose kept activations are highest on average; channels that never
    became positive are not among them, nor among the random ones.

    Raises:
        ValueError: the text has another form.
        IndexError: a channel does not exist.
    """
    named, alive = ranked(text), np.flatnonzero(table.nonzero > 0)
    if named is None:
        return numbered(text, table.channels)
    if not len(alive):
        raise ValueError(
            f"no channel of this layer was ever positive, of which {text!r} could be drawn; name "
            f"channels: 0-{min(table.channels, 12) - 1}"
        )
    how, most = named
    order = np.argsort(-np.nanmean(table.activation[alive], axis=1), kind="stable")
    if how == "random":
        order = np.random.default_rng(0).permutation(len(alive))
    return sorted(alive[order[:most]].tolist())
