"""The parts of several processes into a store, where none of them has done it."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path

from torch import nn

from deconvnet.arguments import expanded
from deconvnet.atomic import check_writable
from deconvnet.graph.frontends import Graphs, blank
from deconvnet.graph.modes import ordinarily
from deconvnet.mining import fingerprint
from deconvnet.projection.check.checked_graphs import settled
from deconvnet.projection.geometry import geometry_of
from deconvnet.store.store import Store

from .assemble import assemble, publish
from .bad_images import DEFAULT, Limit
from .blocks import from_ranges, to_ranges
from .part import Part, apart
from .part_folder import PartFolder
from .request import MADE, MEANT, differences

_SHOWN = 3  # gaps that are named


@ordinarily
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
    mined, found = request.attributes.get("model_fingerprint"), fingerprint.of_model(graph)
    if mined != found:
        raise ValueError(
            f"these parts were mined from another model: its fingerprint is {mined}, this one's "
            f"is {found}; give the model and weights that were mined"
        )
    check_writable(path)
    whole = assemble(request, geometry_of(graph, image), parts)
    return publish(Path(path), request, whole, limit=limit)


def parts_in(folder: str | PathLike[str]) -> list[Part]:
    """The headings of parts that together are a whole run, none of them overlapping.

    Raises:
        FileNotFoundError, ValueError: as ``merge``.
    """
    folder = expanded(folder)
    found = PartFolder(folder).headings()
    if not found:
        raise FileNotFoundError(
            f"there are no parts in {fspath(folder)!r}; give the folder that `deconvnet mine` "
            "leaves beside an unfinished store: its name ends in .parts"
        )
    first = found[0]
    for part in found[1:]:
        for difference in differences(first.request.claims(), part.request.claims(), MEANT | MADE):
            raise ValueError(
                f"{fspath(part.path or '')!r} and {fspath(first.path or '')!r} are parts of "
                f"different runs, of {difference}; put the parts of each run in a folder of its own"
            )
    parts = apart(found)
    _check_whole(parts)
    return parts


def _check_whole(parts: list[Part]) -> None:
    request = parts[0].request
    done = from_ranges(one for part in parts for one in part.done)
    missing = to_ranges(n for n in range(request.total) if n not in done)
    if missing:
        shown = [f"{a * request.batch}-{b * request.batch - 1}" for a, b in missing[:_SHOWN]]
        raise ValueError(
            f"{sum(part.seen for part in parts)} of {request.images} images are in these parts; "
            f"images {', '.join(shown)}{' and others' if len(missing) > _SHOWN else ''} are in "
            "none: let `deconvnet mine` go on, with any number of processes"
        )
