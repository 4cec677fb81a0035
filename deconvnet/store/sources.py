"""Which photograph an image comes from, and exemplars of which no two share one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from .store import Store

_CROP = re.compile(r"(.+?)(?:@[\d.]+)?\[\d+:\d+,\d+:\d+\]", re.DOTALL)


def photograph_of(path: str) -> str:
    """The photograph of an image by the image's path, as a store holds it.

    An image that is a part of a photograph has a path that ends in its rows and columns, after a
    scale if there are several: ``cat.png[0:96,96:192]``, ``cat@2[0:192,0:192]``. Every other
    image is a photograph of its own.

    >>> photograph_of("cat@2[0:192,0:192]"), photograph_of("dog@home.jpg")
    ('cat', 'dog@home.jpg')
    """
    crop = _CROP.fullmatch(path)
    return crop[1] if crop else path


def names_of(store: Store, images: Iterable[int]) -> dict[int, str | int]:
    """{image: the name that its data set knows it by, else its index}."""
    known = {image: store.images.get(image, "") for image in images}
    return {image: image if name in ("", str(image)) else name for image, name in known.items()}


def strongest_slots(
    store: Store,
    layer: str,
    channel: int,
    *,
    k: int | None = None,
    per_source: int | None = None,
    path: str = "",
) -> list[int]:
    """The slots of a channel's exemplars that are drawn, in the order of the table.

    Args:
        store: which may hold many exemplars of a channel, to have a choice.
        layer: one of its layers.
        channel: of the layer.
        k: how many are kept; by default all.
        per_source: how many may come from one photograph; by default any number.
        path: where another table of the layer stands, see ``LayerTable.every``.

    Raises:
        KeyError: no such layer.
        ValueError: a number below 1.
    """
    for name, number in (("k", k), ("per_source", per_source)):
        if number is not None and number < 1:
            raise ValueError(f"{name}={number} was given, expected 1 or more")
    table, seen = store[layer].every[path], Counter[str]()
    chosen: list[int] = []
    for slot in np.flatnonzero(table.has_picture[channel]).tolist():
        source = photograph_of(store.images[int(table.images[channel, slot])])
        if len(chosen) < (k or table.k) and seen[source] < (per_source or table.k):
            seen[source] += 1
            chosen.append(slot)
    return chosen
