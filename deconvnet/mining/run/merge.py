"""Merge the parts of a run into its store: the same bits, however the work was divided."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from os import PathLike, fspath
from pathlib import Path

from torch import nn

from deconvnet.arguments import expanded
from deconvnet.atomic import check_writable
from deconvnet.graph.frontends import Graphs, blank
from deconvnet.graph.modes import plain
from deconvnet.mining import fingerprint
from deconvnet.mining.topk import Table
from deconvnet.projection.check.checked_graphs import settled
from deconvnet.projection.forward import geometry_of
from deconvnet.projection.geometry import Geometry
from deconvnet.store.store import Failed, Store, write_store

from .bad_images import DEFAULT, Limit, check_failed
from .layer_tables import LayerTables
from .part import FirstNaN, Part, apart, done_by
from .part_folder import PartFolder
from .request import Request
from .tables import Tables

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
    mined = request.attributes.get("model_fingerprint")
    given = fingerprint.of_model(graph, image)
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
    check: Callable[[Mapping[str, Table]], None] | None = None,
) -> Store:
    """Write the store of a whole run from its parts, no two with a microbatch in common.

    One part at a time is in memory. ``geometry`` gives the boxes of units; ``check`` is given the
    strongest entry of every channel before the store is written, and raises if it must not be.
    """
    tables: Tables | None = None
    images: dict[int, str] = {}
    bad: dict[int, Failed] = {}
    nans: list[FirstNaN] = []
    parts = list(parts)
    for part in map(Part.whole, parts):
        if len(parts) == 1:
            tables = part.whole_tables
        else:  # the own part of this process may have to be written yet
            tables = tables or Tables(request)
            tables.merge(part.whole_tables)
        kept = tables.kept()
        images = {i: path for i, path in (images | dict(part.images)).items() if i in kept}
        bad |= {each.index: each for each in part.failed}
        nans += [part.nan] if part.nan else []
    tables = tables or Tables(request)
    check_failed(bad, request.images, limit=limit)
    if nans:
        first = min(nans, key=lambda nan: nan.microbatch)
        count = sum(top.nans for top in tables.tops.values())
        warnings.warn(
            f"{count} activations were NaN and were left out, the "
            f"first of them in {first.layer}, images {list(first.images)}; see the 'nan' counts in "
            "the store",
            stacklevel=7,  # whoever called mine
        )
    seen = {"images_seen": request.images - len(bad), "images_failed": len(bad)}
    if check is not None:
        check({name: top.table(1) for name, top in tables.layers.items()})
    return write_store(
        path,
        attributes={**request.attributes, **seen},
        layers=LayerTables(request, geometry, tables),
        images=dict(sorted(images.items())),
        failed=[each for _, each in sorted(bad.items())],
    )
