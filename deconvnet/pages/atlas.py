"""The atlas of a store: every unit as pages that open from disk and from any web server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files as resources
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from deconvnet.arguments import Brief, integer, listed
from deconvnet.figures import signed
from deconvnet.figures.canvas.tiles import as_picture
from deconvnet.graph.modes import plain
from deconvnet.layers import Rectifier
from deconvnet.mining.progress import Reporter, reporting
from deconvnet.net import DeconvNet
from deconvnet.store.store import Store, open_store
from deconvnet.studies.contributions import mined_units, of_mined
from deconvnet.units import Unit

from .folder import Building, check_target
from .markup import index_page, layer_page
from .pictures import Pictures, pictures_of
from .plan import STRONGEST, Leaf, data_file, files, leaves, page_file, photograph_file
from .sprites import photograph, sprite
from .unit_data import Feeding, chunk_data, identity, index_data, neighbours, script

ASSETS = ("atlas.css", "atlas.js")
FED_BY = 8  # channels below that are named
_PIXELS = 2**24  # of pictures that are in memory together
_FORMAT = 1


@dataclass(frozen=True)
class Atlas(Brief):
    """A finished atlas.

    Args:
        path: its folder; ``index.html`` is the start.
        units: how many it shows.
        photographs: how many images of the data set it holds.
        bytes: of all files.
        notes: what it lacks, and why.
    """

    path: Path
    units: int
    photographs: int
    bytes: int
    notes: tuple[str, ...] = ()


@plain()
def atlas(
    store: Store | str | PathLike[str],
    path: str | PathLike[str] = "outputs/atlas",
    *,
    net: DeconvNet | nn.Module | None = None,
    data: Any = None,
    rectifiers: str | Rectifier | Sequence[str | Rectifier] = ("deconvnet",),
    layers: str | Sequence[str] | None = None,
    preprocessing: Any = None,
    k: int = 9,
    per_source: int | None = None,
    feeds: Mapping[str, str] | None = None,
    report: Reporter | None = None,
    progress: bool = True,
) -> Atlas:
    """Write every unit of a store as static pages: no server, no network, nothing to install.

    Of each unit: its strongest patches and projections, its counters and, as far as the store has
    them, the lowest images, images at quantiles of the random sample, the histogram of the sample
    and the channels that respond alike. Projections that the store holds are read, others are
    made by the model, and photographs are read from the data set: as given, else what this
    process has mined, else what the store names, which may be a Python file (of stores you
    trust). Without model and data set an atlas lacks what is not in the store, and says so.

    The pages are built in a hidden folder beside ``path`` and take its place when all are there.
    A call that was stopped is resumed by the same call; it starts again where other pictures are in
    the store by then (``embed``).

    Args:
        store: as ``mine`` or ``open_store`` gives it, or its path; of images.
        path: the folder; an older atlas there is replaced, anything else is an error.
        net: a DeconvNet or the model; all projections are made by it then.
        data: the data set that was mined, or its path.
        rectifiers: rules of the projections, as for ``DeconvNet``, or names of stored ones.
        layers: which layers; by default all of the store.
        preprocessing: turns tensors back into pictures, as for ``exemplars``.
        k: strongest images of a channel, at most; so many of the lowest, too.
        per_source: how many of them may come from one photograph; by default any number.
        feeds: {layer: layer below}: name the channels below that add most to each unit.
        report: called with how many units are done, of how many.
        progress: show a bar after a second, if there is no ``report``.

    Raises:
        KeyError: no such layer.
        ValueError: projections are neither in the store nor can they be made; model or data set
            are not those that were mined; a store of signals or videos.
        FileExistsError: ``path`` holds something that is not a part of an atlas.
    """
    check_target(path)
    plan = planned(
        store, net=net, data=data, rectifiers=rectifiers, layers=layers, k=k,
        preprocessing=preprocessing, per_source=per_source, feeds=feeds,
    )  # fmt: skip
    building = Building.begin(path, plan.made_from)
    with reporting(report, "atlas", progress=progress, unit="unit") as told:
        photographs = _fill(building, plan, told)
    names = files(plan.leaves, plan.pictures.rules, photographs)
    size = building.finish([*names, "data/index.js", "index.html", *ASSETS])
    return Atlas(building.target, plan.units, len(photographs), size, plan.pictures.notes)


@dataclass(frozen=True, eq=False)
class Plan:
    """What an atlas is made from, found out and checked.

    Args:
        store: that was mined.
        leaves: the layers.
        pictures: where the pictures come from.
        feeds: {layer: layer below}.
    """

    store: Store
    leaves: Sequence[Leaf]
    pictures: Pictures
    feeds: Mapping[str, str]

    @property
    def units(self) -> int:
        """How many units there are."""
        return sum(leaf.table.channels for leaf in self.leaves)

    @property
    def made_from(self) -> dict[str, object]:
        """What an unfinished atlas must have been made from, to be gone on with."""
        return {
            "format": _FORMAT,
            "deconvnet": version("deconvnet"),
            "store": identity(self.store, [leaf.name for leaf in self.leaves]),
            "file": self.store.path.name,
            "layers": [repr(leaf.name) for leaf in self.leaves],
            "grids": [{kind: str(g) for kind, g in leaf.grids.items()} for leaf in self.leaves],
            "rules": list(self.pictures.rules),
            "stored": self.pictures.stored([leaf.name for leaf in self.leaves]),
            "recomputed": sorted(self.pictures.nets),
            "photographs": self.pictures.images is not None,
            "per_source": self.leaves[0].per_source,
            "feeds": dict(self.feeds),
        }


def planned(
    store: Store | str | PathLike[str],
    *,
    net: DeconvNet | nn.Module | None,
    data: Any,
    rectifiers: str | Rectifier | Sequence[str | Rectifier],
    layers: str | Sequence[str] | None,
    preprocessing: Any,
    k: int,
    per_source: int | None,
    feeds: Mapping[str, str] | None,
) -> Plan:
    """Check the arguments of ``atlas``, and find out what there is; nothing is written."""
    if integer("k", k) < 1:
        raise ValueError(f"k={k} was given, expected 1 or more")
    store = store if isinstance(store, Store) else open_store(store)
    names = list(dict.fromkeys(listed(layers, str))) if layers is not None else list(store)
    if not names:
        raise ValueError("no layer was given; leave layers out for all of the store's")
    for name in (*names, *(feeds or {})):
        store[name]
    pictures = pictures_of(
        store, names, net=net, data=data, rectifiers=listed(rectifiers, str, Rectifier),
        preprocessing=preprocessing,
    )  # fmt: skip
    if feeds and pictures.reading is None:
        raise ValueError(f"feeds={dict(feeds)!r} needs the model and the data set: net=, data=")
    for upper, lower in (feeds or {}).items():
        if upper not in names:
            raise ValueError(
                f"feeds names {upper!r}, which is not among the layers: {', '.join(names)}"
            )
        _try_feeding(store, pictures, upper, lower)
    made = leaves(store, names, k=k, per_source=per_source, shows=pictures.shows)
    return Plan(store, made, pictures, dict(feeds or {}))


def _try_feeding(store: Store, pictures: Pictures, upper: str, lower: str) -> None:
    """Find the feeds of one unit in one image: a wrong layer is told before hours of work."""
    seen = np.flatnonzero(store[upper].has_picture.any(1)).tolist()
    if seen and pictures.reading is not None:
        net = next(iter(pictures.every.values()))
        of_mined(net, pictures.reading, mined_units(store, Unit(upper, seen[0]))[:1], lower)


def _fill(building: Building, plan: Plan, told: Reporter | None) -> list[int]:
    """Write all files, and return the images of which there are photographs."""
    done, pictures = 0, plan.pictures
    for leaf in plan.leaves:
        for some in steps(leaf):
            draw(building, leaf, some, pictures)
            done += len(some)
            if told is not None:
                told(done, plan.units)
        _write_layer(building, leaf, plan)
    shown: set[int] = set()
    if pictures.images is not None:
        shown = shown.union(*(leaf.images(range(leaf.table.channels)) for leaf in plan.leaves))
    for index in sorted(shown):
        if not building.has(name := photograph_file(index)):
            building.write(name, photograph(pictures.photograph(index)))
    known = index_data(
        plan.store, plan.leaves, pictures.rules, feeds=plan.feeds, photographs=bool(shown)
    )
    building.write("data/index.js", script("self.ATLAS=", known))
    page = index_page(plan.store, plan.leaves, pictures.rules, pictures.notes)
    building.write("index.html", page)
    for name in ASSETS:
        building.write(name, resources("deconvnet.pages").joinpath(name).read_bytes())
    return sorted(shown)


def steps(leaf: Leaf) -> Iterator[range]:
    """Channels whose pictures fit into memory together."""
    height, width = leaf.grids[STRONGEST].canvas
    step = max(1, min(512, _PIXELS // (height * width * leaf.k)))
    for first in range(0, leaf.table.channels, step):
        yield range(first, min(leaf.table.channels, first + step))


def draw(building: Building, leaf: Leaf, channels: Sequence[int], pictures: Pictures) -> int:
    """Write the sprites of some channels, those that are not there; return their bytes."""
    size = 0
    for kind, grid in leaf.grids.items():
        named = {c: leaf.files(kind, c, pictures.rules) for c in channels}
        missing = [c for c, names in named.items() if not all(map(building.has, names))]
        if not missing:
            continue
        own = kind == STRONGEST
        made = pictures.strongest(leaf, missing) if own else pictures.others(leaf, kind, missing)
        for place, channel in enumerate(missing):
            first = made[pictures.rules[0]][place]
            drawn = [[as_picture(one.patch) for one in first]]
            drawn += [[signed(one.projection) for one in some[place]] for some in made.values()]
            for name, some in zip(named[channel], drawn, strict=True):
                content = sprite(grid, first, some)
                building.write(name, content)
                size += len(content)
    return size


def _write_layer(building: Building, leaf: Leaf, plan: Plan) -> None:
    """The numbers of a layer and its pages."""
    like, feeding = neighbours(leaf), _feeding(plan)
    for number, channels in enumerate(leaf.chunks):
        made = chunk_data(leaf, channels, like, feeding)
        content = script("ATLAS.got", leaf.number, number, made)
        building.write(data_file(leaf, number), content)
    for number in range(len(leaf.pages)):
        page = layer_page(plan.leaves, leaf, number, plan.pictures.rules)
        building.write(page_file(leaf.number, number), page)


def _feeding(plan: Plan) -> Feeding:
    """What tells the channels below that add most to a unit, where that was asked for."""

    def fed(leaf: Leaf, channel: int) -> list[tuple[int, float]]:
        at, reading = plan.feeds.get(leaf.name), plan.pictures.reading
        if at is None or reading is None:
            return []
        net = next(iter(plan.pictures.every.values()))
        added = of_mined(net, reading, mined_units(plan.store, Unit(leaf.name, channel)), at)
        shares = added.sums.mean(0) / added.activations.mean()
        order = sorted(range(len(shares)), key=lambda c: -abs(shares[c]))[:FED_BY]
        return [(c, float(shares[c])) for c in order if shares[c]]

    return fed
