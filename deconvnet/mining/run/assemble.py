"""Parts into the tables of a store: the same bits, however the work was shared out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deconvnet.mining.topk import TopK
from deconvnet.projection import receptive_field
from deconvnet.projection.field_probes import Field
from deconvnet.projection.forward import Recording
from deconvnet.store.store import Failed, LayerTable, Store, write_store

from . import part_file
from .bad_images import Limit, check_failed
from .part import FirstNaN, Part
from .request import Request


def publish(path: Path, request: Request, found: Assembled, *, limit: Limit) -> Store:
    """Write the store of a whole run.

    Args:
        path: the store.
        request: the run.
        found: what ``assemble`` made of its parts.
        limit: how many images may be unreadable.

    Raises:
        ValueError: too many images are unreadable.
        OSError: the store cannot be written.
    """
    reasons = {each.index: each.reason for each in found.failed}
    paths = {each.index: each.path for each in found.failed}
    check_failed(reasons, request.images, limit=limit, name=paths.__getitem__)
    if found.first_nan is not None:
        first = found.first_nan
        warnings.warn(
            f"{found.nans} activations were NaN and were left out, the first of them in "
            f"{first.layer}, images {list(first.images)}; see the 'nan' counts in the store",
            stacklevel=6,  # whoever called mine
        )
    seen = {"images_seen": request.images - len(reasons), "images_failed": len(reasons)}
    return write_store(
        path,
        attributes={**request.attributes, **seen},
        layers=found.layers,
        images=found.images,
        failed=found.failed,
    )


@dataclass(frozen=True, eq=False)
class Assembled:
    """What a store holds, in memory."""

    layers: dict[str, LayerTable]
    images: dict[int, str]
    """index → path, of the images that stand in a table"""
    failed: list[Failed]
    nans: int
    """how many activations were NaN"""
    first_nan: FirstNaN | None


def assemble(request: Request, geometry: Recording, parts: Iterable[Part]) -> Assembled:
    """The tables of disjoint parts together; one part at a time is in memory.

    Args:
        request: the run that the parts belong to.
        geometry: any recording of images of its size, for the boxes.
        parts: with their tables or only their headings; no two with a microbatch in common.

    Raises:
        FileNotFoundError: the file of a part has gone.
        ValueError: one is damaged.
    """
    tops = {name: TopK(channels, request.k) for name, channels in request.channels.items()}
    images: dict[int, str] = {}
    failed: dict[int, Failed] = {}
    nans: list[FirstNaN] = []
    for part in parts:
        whole = part if part.path is None else part_file.read(part.path)
        for name, top in tops.items():
            top.merge(whole.tops[name])
        kept = set().union(*(top.kept() for top in tops.values()))
        images = {i: path for i, path in (images | dict(whole.images)).items() if i in kept}
        failed |= {each.index: each for each in whole.failed}
        nans += [whole.nan] if whole.nan else []
    seen = receptive_field.of_layers(geometry, list(tops))
    return Assembled(
        layers={name: _table(geometry, name, top, field=seen[name]) for name, top in tops.items()},
        images=dict(sorted(images.items())),
        failed=[each for _, each in sorted(failed.items())],
        nans=sum(top.nans for top in tops.values()),
        first_nan=min(nans, key=lambda nan: nan.microbatch, default=None),
    )


def _table(geometry: Recording, name: str, top: TopK, *, field: Field) -> LayerTable:
    table = top.table()
    size = geometry.sizes[name]
    flat = table.position.numpy()
    missing = table.image.numpy() < 0
    width = size[3] if len(size) == 4 else 1
    row = np.where(missing, -1, flat // width) if len(size) == 4 else np.full_like(flat, -1)
    col = np.where(missing, -1, flat % width) if len(size) == 4 else np.full_like(flat, -1)
    return LayerTable(
        activation=table.activation.numpy(),
        image=table.image.numpy(),
        row=row.astype(np.int32),
        col=col.astype(np.int32),
        box=_boxes(geometry, name, row, col=col, missing=missing),
        mean=table.mean.numpy(),
        nonzero=table.nonzero.numpy(),
        nan=table.nan.numpy(),
        channels=size[1],
        size=tuple(size[2:]),
        field=field.size,
        stride=field.stride if len(size) == 4 else (),  # there is no other unit to step to
    )


def _boxes(geometry: Recording, name: str, row: Any, *, col: Any, missing: Any) -> Any:
    """(channels, k, 4) top, left, bottom, right of every entry, -1 for empty slots."""
    channels, k = row.shape
    mapped = len(geometry.sizes[name]) == 4
    places = np.stack([row.ravel(), col.ravel()], axis=1) if mapped else np.zeros((row.size, 0))
    own = np.repeat(np.arange(channels), k)
    starts, stops = receptive_field.boxes(geometry, name, places, channels=own)
    box = np.concatenate([starts, stops], axis=1).reshape(channels, k, 4)
    box[missing] = -1
    return box.astype(np.int32)
