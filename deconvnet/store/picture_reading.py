"""Read exemplars from a store with pictures, so that a figure needs no model and no data set."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce

import h5py
import numpy as np
from numpy.typing import NDArray

from deconvnet.units import Exemplar

from .checked_hdf5 import Room, dataset_in, group_in, lazy_dataset_in
from .format import escape
from .picture_codec import decode, wholes
from .picture_index import PictureIndex, group_at, read_pictures
from .sources import strongest_slots
from .store import Store
from .table import Lowest

_ROOMY = 64  # canvases of border units are some times as large as what is on them
_SMALL = 2**24  # pixels that are not worth a question


def stored_exemplars(
    store: Store,
    layer: str,
    channels: int | Sequence[int],
    *,
    rectifier: str,
    k: int | None = None,
    per_source: int | None = None,
    path: str = "",
) -> dict[int, list[Exemplar]]:
    """The exemplars whose pictures a store holds; ``studies.exemplars`` explains the arguments.

    ``path`` is where their table stands, see ``LayerTable.every``: "" for the strongest.

    Returns:
        {channel: exemplars} in the order of the table; of the strongest only those with a positive
        activation, so that the list of a dead channel is empty. Patches are as JPEG leaves them.

    Raises:
        KeyError, IndexError: no such layer or channel, or no such pictures in the store.
        ValueError: the file has changed since it was opened, or is damaged.
        OSError: it cannot be read.
    """
    table = store[layer].every[path]
    exemplars: dict[int, list[Exemplar]] = {
        channel: [] for channel in table.listed_channels(layer, channels)
    }
    places = [
        (channel, slot)
        for channel in exemplars
        for slot in strongest_slots(store, layer, channel, k=k, per_source=per_source, path=path)
    ]
    for one in stored_entries(store, layer, places, rectifier=rectifier, path=path):
        exemplars[one.unit.channel].append(one)
    return exemplars


def stored_entries(
    store: Store,
    layer: str,
    places: Sequence[tuple[int, int]],
    *,
    rectifier: str,
    path: str = "",
) -> list[Exemplar]:
    """The entries (channel, slot) of one of a layer's tables, all of which have pictures.

    Raises:
        As ``stored_exemplars``.
    """
    table, known = store[layer].every[path], pictures_at(store, layer, path)
    if known is None or rectifier not in known.projections:
        raise KeyError(
            f"{str(store.path)!r} holds no projections of {layer!r} under {rectifier!r}; store "
            "them with `deconvnet embed`"
        )
    _check_canvas(store, layer, places, path=path, overhang=known.overhang)
    node = table.of if isinstance(table, Lowest) else layer
    with opened_layer(store, layer) as group:
        pictures = TablePictures(store, layer, group, path)
        return [
            Exemplar(
                table.unit(node, *place),
                float(table.value[place]),
                table.box_of(*place),
                tuple(known.overhang[place].tolist()),
                pictures.patch(place),
                pictures.projection(place, rectifier),
            )
            for place in places
        ]


def pictures_at(store: Store, layer: str, path: str) -> PictureIndex | None:
    """Where the pictures of one of a layer's tables stand; None if there are none."""
    own = store.pictures.get(layer)
    return own.at(path) if own else None


def _check_canvas(
    store: Store,
    layer: str,
    places: Sequence[tuple[int, int]],
    *,
    path: str,
    overhang: NDArray[np.int32],
) -> None:
    """Refuse overhangs that would make a canvas huge; a figure gives all pictures one size."""
    table = store[layer].every[path]
    sides = np.array([table.box_of(*place).size for place in places], "i8")
    if len(places):
        whole = sides + np.array([overhang[place] for place in places], "i8")
        canvas = int(whole.max(0).prod()) * len(places)
        if canvas > _ROOMY * int(sides.prod(1).sum()) + _SMALL:
            raise ValueError(
                f"{str(store.path)!r} has damaged pictures: {layer!r} has overhangs of up to "
                f"{overhang.max()} pixels at boxes of up to {sides.max()}; embed them again"
            )


@contextmanager
def opened_layer(store: Store, layer: str) -> Iterator[h5py.Group]:
    """The group of a layer in the file that a store was read from, which must be the same still."""
    with store.path.open("rb") as stream, h5py.File(stream, "r") as root:
        group = group_in(group_in(root, "layers"), escape(layer))
        _check_unchanged(store, layer, group, Room(store.path.stat().st_size))
        yield group


class TablePictures:
    """The pictures of one of a layer's tables; each dataset is opened and checked once.

    Args:
        store: which holds them.
        layer: one of its layers.
        group: of the layer, as ``opened_layer`` gave it; they are read while it is open.
        path: where the table stands, as for ``stored_exemplars``.

    Its methods raise ValueError where the pictures are damaged.
    """

    def __init__(self, store: Store, layer: str, group: h5py.Group, path: str = "") -> None:
        known = pictures_at(store, layer, path)
        assert known is not None, "the table has pictures"
        self._store, self._layer, self._group, self._path = store, layer, group, path
        self._table, self._known = store[layer].every[path], known
        self._opened: dict[tuple[str, ...], h5py.Dataset] = {}

    def patch(self, place: tuple[int, int]) -> NDArray[np.float32]:
        """The patch of an entry (channel, slot): (*size, channels)."""
        known = self._known.patches
        first, length = int(known.offset[place]), int(known.length[place])
        try:
            if first < 0:
                raise ValueError("there is a projection without a patch")
            data = self._values("patch", "bytes", kind="|u1")[first : first + length]
            shape = (*self._table.box_of(*place).size, known.channels)
            return decode(data.tobytes(), shape, known.encoding)
        except ValueError as error:
            raise _damaged(self._store, self._layer, place, error) from error

    def projection(self, place: tuple[int, int], rectifier: str) -> NDArray[np.float32]:
        """The projection of an entry that has one, likewise."""
        known = self._known.projections[rectifier]
        shape = (*self._table.box_of(*place).size, known.channels)
        first = int(known.offset[place])
        try:
            values = self._values("projection", escape(rectifier), "values", kind="<f2")
            return wholes(
                values[first : first + math.prod(shape)], float(known.scale[place]), shape
            )
        except ValueError as error:
            raise _damaged(self._store, self._layer, place, error) from error

    def _values(self, *names: str, kind: str) -> h5py.Dataset:
        if names not in self._opened:
            part = reduce(group_in, names[:-1], group_at(self._group, self._path))
            room = Room(self._store.path.stat().st_size)
            data = lazy_dataset_in(part, names[-1], kind=kind, shape=(None,), room=room)
            self._opened[names] = data
        return self._opened[names]


def _damaged(store: Store, layer: str, place: tuple[int, int], error: ValueError) -> ValueError:
    return ValueError(
        f"{str(store.path)!r} has damaged pictures: {layer!r}, channel {place[0]}, slot "
        f"{place[1]}: {error}; embed them again"
    )


def _check_unchanged(store: Store, layer: str, group: h5py.Group, room: Room) -> None:
    """The file must be the one whose tables and offsets are in memory."""
    table = store[layer]
    image = dataset_in(group, "image", kind="<i8", shape=table.image.shape, room=room)
    again = read_pictures(group, table, room)
    if not np.array_equal(image, table.image) or not _same(again, store.pictures[layer]):
        raise ValueError(f"{str(store.path)!r} has changed since it was opened; open it again")


def _same(one: PictureIndex | None, other: PictureIndex) -> bool:
    if one is None or set(one.projections) != set(other.projections):
        return False
    pairs = [(one.patches.offset, other.patches.offset)]
    pairs += [(p.offset, other.projections[name].offset) for name, p in one.projections.items()]
    return one.others.keys() == other.others.keys() and all(
        [np.array_equal(here, there) for here, there in pairs]
        + [_same(each, other.others[path]) for path, each in one.others.items()]
    )
