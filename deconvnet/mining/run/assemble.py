"""Assemble the parts of a run into a store: the same bits, however the work was divided."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from deconvnet.mining.topk import TopK
from deconvnet.projection import receptive_field
from deconvnet.projection.field_probes import Field
from deconvnet.projection.forward import Recording
from deconvnet.store.store import Failed, LayerTable, Store, write_store

from .bad_images import Limit, check_failed
from .part import FirstNaN, Part
from .request import Request


def assemble(
    path: Path, request: Request, geometry: Recording, parts: Iterable[Part], *, limit: Limit
) -> Store:
    """Write the store of a whole run; one part at a time is in memory.

    Args:
        path: the store.
        request: the run that the parts belong to.
        geometry: any recording of images of its size, for the boxes.
        parts: with their tables or only their headings; no two with a microbatch in common.
        limit: how many images may be unreadable.

    Raises:
        FileNotFoundError: the file of a part has gone.
        ValueError: one is damaged, or too many images are unreadable.
        OSError: the store cannot be written.
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
    failed = [each for _, each in sorted(bad.items())]
    reasons = {each.index: each.reason for each in failed}
    check_failed(reasons, request.images, limit=limit, name=lambda index: bad[index].path)
    if nans:
        first = min(nans, key=lambda nan: nan.microbatch)
        warnings.warn(
            f"{sum(top.nans for top in tops.values())} activations were NaN and were left out, the "
            f"first of them in {first.layer}, images {list(first.images)}; see the 'nan' counts in "
            "the store",
            stacklevel=7,  # whoever called mine
        )
    fields = receptive_field.of_layers(geometry, list(tops))
    seen = {"images_seen": request.images - len(failed), "images_failed": len(failed)}
    return write_store(
        path,
        attributes={**request.attributes, **seen},
        layers={name: _table(geometry, name, top, fields[name]) for name, top in tops.items()},
        images=dict(sorted(images.items())),
        failed=failed,
    )


def _table(geometry: Recording, name: str, top: TopK, field: Field) -> LayerTable:
    table, size = top.table(), geometry.sizes[name]
    mapped = len(size) == 4
    flat, missing = table.position.numpy(), table.image.numpy() < 0
    place = np.stack(np.divmod(flat, size[3]) if mapped else (flat, flat), -1)
    place[missing | (not mapped)] = -1
    # top, left, bottom, right
    starts, stops = receptive_field.boxes(
        geometry,
        name,
        place.reshape(-1, 2) if mapped else np.zeros((flat.size, 0)),
        channels=np.repeat(np.arange(size[1]), top.k),
    )
    box = np.concatenate([starts, stops], axis=1).reshape(*flat.shape, 4)
    box[missing] = -1
    return LayerTable(
        activation=table.activation.numpy(),
        image=table.image.numpy(),
        row=place[..., 0].astype(np.int32),
        col=place[..., 1].astype(np.int32),
        box=box.astype(np.int32),
        mean=table.mean.numpy(),
        nonzero=table.nonzero.numpy(),
        nan=table.nan.numpy(),
        channels=size[1],
        size=tuple(size[2:]),
        field=field.size,
        stride=field.stride if mapped else (),  # there is no other unit to step to
    )
