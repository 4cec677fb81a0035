"""Merge the parts of a run into its store: the same bits, however the work was divided."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from os import PathLike, fspath
from pathlib import Path

import numpy as np
from torch import nn

from deconvnet.arguments import expanded
from deconvnet.atomic import check_writable
from deconvnet.graph.frontends import Graphs, blank
from deconvnet.graph.modes import plain
from deconvnet.mining import fingerprint
from deconvnet.mining.topk import TopK
from deconvnet.projection import receptive_field
from deconvnet.projection.check.checked_graphs import settled
from deconvnet.projection.field_probes import Field
from deconvnet.projection.forward import geometry_of
from deconvnet.projection.geometry import Geometry
from deconvnet.store.format import AXES
from deconvnet.store.store import Failed, LayerTable, Store, write_store

from .bad_images import DEFAULT, Limit, check_failed
from .part import FirstNaN, Part, apart, done_by
from .part_folder import PartFolder
from .request import Request

_SHOWN = 3  # gaps that are named


@plain()
def merge(
    folder: str | PathLike[str],
    path: str | PathLike[str],
    model: nn.Module,
    *,
    max_bad: str | float = DEFAULT,
) -> Store:
    """Write the store of all parts in a folder; they stay where they are.

    Args:
        folder: where ``mine`` left them: ``<store>.parts``, or parts gathered by hand.
        path: the store.
        model: the model that was mined; for the boxes of its units.
        max_bad: how many images may be unreadable, as for ``mine``.

    Raises:
        FileNotFoundError: there are no parts.
        FileExistsError: something stands at ``path``.
        ValueError: the parts are of different runs, damaged, or not everything; or the model is
            another one.
        OSError: the store cannot be written.
    """
    limit, path = Limit(max_bad), expanded(path)
    parts = parts_in(folder)
    request = parts[0].request
    if Path(path).exists():
        raise FileExistsError(
            f"{fspath(path)!r} is there already; write to another file, or delete it first"
        )
    image = blank(model, tuple(request.attributes["batch_shape"][1:]))
    graph = settled(Graphs(model), image, list(request.channels))
    mined, given = request.attributes.get("model_fingerprint"), fingerprint.of_model(graph)
    if mined != given:
        raise ValueError(
            f"these parts were mined from another model: its fingerprint is {mined}, this one's "
            f"is {given}; give the model and weights that were mined"
        )
    check_writable(path)
    return assemble(Path(path), request, geometry_of(graph, image), parts, limit=limit)


def parts_in(folder: str | PathLike[str]) -> list[Part]:
    """Read the headings of parts that together are a whole run, none of them overlapping."""
    folder = expanded(folder)
    every = PartFolder(folder).headings()
    if not every:
        raise FileNotFoundError(
            f"there are no parts in {fspath(folder)!r}; give the folder that `deconvnet mine` "
            "leaves beside an unfinished store: its name ends in .parts"
        )
    first, request = every[0], every[0].request
    for part in every[1:]:
        if difference := request.differs(part.request):
            raise ValueError(
                f"{fspath(part.path or '')!r} and {fspath(first.path or '')!r} are parts of "
                f"different runs, of {difference}; put the parts of each run in a folder of its own"
            )
    parts = apart(every)
    missing = sorted(set(range(request.total)) - done_by(parts))
    if missing:
        gaps = [list(gap) for _, gap in groupby(enumerate(missing), lambda pair: pair[1] - pair[0])]
        ends = [(gap[0][1] * request.batch, (gap[-1][1] + 1) * request.batch - 1) for gap in gaps]
        shown = ", ".join(f"{first}-{last}" for first, last in ends[:_SHOWN])
        raise ValueError(
            f"{sum(part.seen for part in parts)} of {request.images} images are in these parts; "
            f"images {shown}{' and others' if len(gaps) > _SHOWN else ''} are in none: let "
            "`deconvnet mine` go on, with any number of processes"
        )
    return parts


def assemble(
    path: Path,
    request: Request,
    geometry: Geometry,
    parts: Iterable[Part],
    *,
    limit: Limit,
    check: Callable[[Mapping[str, LayerTable]], None] | None = None,
) -> Store:
    """Write the store of a whole run from its parts, no two with a microbatch in common.

    One part at a time is in memory. ``geometry`` gives the boxes of units; ``check`` is given the
    tables before they are written, and raises if they must not be.
    """
    tops = {name: TopK(channels, request.k) for name, channels in request.channels.items()}
    images: dict[int, str] = {}
    bad: dict[int, Failed] = {}
    nans: list[FirstNaN] = []
    for part in map(Part.whole, parts):
        for name, top in tops.items():
            top.merge(part.tops[name])
        kept = set().union(*(top.kept() for top in tops.values()))
        images = {i: path for i, path in (images | dict(part.images)).items() if i in kept}
        bad |= {each.index: each for each in part.failed}
        nans += [part.nan] if part.nan else []
    check_failed(bad, request.images, limit=limit)
    if nans:
        first = min(nans, key=lambda nan: nan.microbatch)
        warnings.warn(
            f"{sum(top.nans for top in tops.values())} activations were NaN and were left out, the "
            f"first of them in {first.layer}, images {list(first.images)}; see the 'nan' counts in "
            "the store",
            stacklevel=7,  # whoever called mine
        )
    fields = receptive_field.of_layers(geometry, list(tops))
    seen = {"images_seen": request.images - len(bad), "images_failed": len(bad)}
    tables = {name: _table(geometry, name, top, fields[name]) for name, top in tops.items()}
    if check is not None:
        check(tables)
    return write_store(
        path,
        attributes={**request.attributes, **seen},
        layers=tables,
        images=dict(sorted(images.items())),
        failed=[each for _, each in sorted(bad.items())],
    )


def _table(geometry: Geometry, name: str, top: TopK, field: Field) -> LayerTable:
    table, size = top.table(), geometry.sizes[name]
    mapped, axes = len(size) > 2, len(geometry.sizes[geometry.input]) - 2
    flat, missing = table.position.numpy(), table.image.numpy() < 0
    whole = size[2:] if mapped else (1,) * axes
    place = np.stack(np.unravel_index(np.maximum(flat, 0), whole), -1)
    place[missing | (not mapped)] = -1
    starts, stops = receptive_field.boxes(
        geometry,
        name,
        place.reshape(-1, axes) if mapped else np.zeros((flat.size, 0)),
        channels=np.repeat(np.arange(size[1]), top.k),
    )
    box = np.concatenate([starts, stops], axis=1).reshape(*flat.shape, 2 * axes)
    box[missing] = -1
    return LayerTable(
        activation=table.activation.numpy(),
        image=table.image.numpy(),
        **dict(zip(AXES[-axes:], np.moveaxis(place.astype(np.int32), -1, 0), strict=True)),
        box=box.astype(np.int32),
        mean=table.mean.numpy(),
        nonzero=table.nonzero.numpy(),
        nan=table.nan.numpy(),
        channels=size[1],
        size=tuple(size[2:]),
        field=field.size,
        stride=field.stride if mapped else (),  # there is no other unit to step to
    )
