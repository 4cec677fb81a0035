"""Write a mined data set to a file in one step, and read it with every value checked.

The file is plain HDF5; its specification is the docstring of ``deconvnet.store.format``::

    with h5py.File("top9.h5") as file:
        file["layers/features.28/image"][42]  # the nine strongest images of channel 42
"""

import difflib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from deconvnet.arguments import brief, by, counted, cut, expanded, html_table
from deconvnet.atomic import write_whole

from .checked_hdf5 import Room, dataset_in, group_in, read_attributes
from .format import (
    DEFAULTS,
    FORMAT,
    KINDS,
    ORDER,
    RANKS,
    READ,
    VERSION,
    array_to_texts,
    escape,
    texts_to_array,
    unescape,
    write_attributes,
)
from .layer_files import Kept, kept_in, read_layer, write_layer
from .picture_index import PictureIndex, read_pictures
from .shielded_file import Shielded
from .table import Failed, LayerTable
from .user_content import carry_over

__all__ = ["Failed", "LayerTable", "Store", "open_store", "write_store"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, eq=False, repr=False)
class Store(Mapping[str, LayerTable]):
    """A mined data set in memory: ``store["features.28"].image`` is (channels, k)."""

    path: Path
    attributes: dict[str, object]
    """where it came from: model, data set, preprocessing, versions"""
    layers: dict[str, LayerTable]
    """in the order of the network"""
    images: dict[int, str]
    """index → path, of the images that stand in a table"""
    failed: list[Failed] = field(default_factory=list)
    """the images that could not be used"""
    pictures: dict[str, PictureIndex] = field(default_factory=dict)
    """by layer: where its patches and projections stand in the file, if it holds any"""
    mined_from: tuple[Any, Any] | None = None
    """the model and the data set of this process, of a store that ``mine`` has returned"""

    def __getitem__(self, name: str) -> LayerTable:
        """The table of a layer.

        Raises:
            KeyError: there is no such layer; the message names the nearest.
        """
        if name in self.layers:
            return self.layers[name]
        near = difflib.get_close_matches(str(name), self.layers, n=3, cutoff=0.3)
        near = near or list(self.layers)[:3]
        known = f"did you mean {' or '.join(map(repr, near))}?" if near else "it has no layers"
        raise KeyError(f"there is no layer {name!r} in {str(self.path)!r}; {known}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        channels = counted(sum(table.channels for table in self.layers.values()), "channel")
        held = f"{counted(len(self), 'layer')}, {channels}, k={self.attributes.get('k')}"
        images = counted(len(self.images), "image")
        return brief("Store", cut(repr(str(self.path)), 200), held, images)

    def _repr_html_(self) -> str:
        """For notebooks: a line for each layer, in the order of the network."""
        heads = ("layer", "channels", "size", "field", "stride", "channels never positive")
        rows = [
            (name, t.channels, by(t.size), by(t.field), by(t.stride), int((t.nonzero == 0).sum()))
            for name, t in self.layers.items()
        ]
        made = {name: self.attributes.get(name) for name in ("model", "dataset", "images_seen")}
        note = "; ".join(f"{name}: {cut(str(each), 200)}" for name, each in made.items() if each)
        return html_table(repr(self), heads, rows, note=note)


def write_store(
    path: str | PathLike[str],
    *,
    attributes: Mapping[str, object],
    layers: Mapping[str, LayerTable],
    images: Mapping[int, str],
    failed: Sequence[Failed] = (),
    draw: Callable[[str, h5py.Group], None] | None = None,
    keep: str | PathLike[str] | None = None,
) -> Store:
    """Write a store in one step, and return it as ``open_store`` would.

    A process killed half-way leaves the old file. The same content gives the same bytes. HDF5
    writes through ``Shielded``: on a full disk it would take the interpreter down.

    Args:
        path: the file; its folder is made if missing.
        attributes: text, numbers, lists of numbers or dicts, by name. ``k``, ``lowest``,
            ``sample``, ``rank``, ``order`` and ``images_failed`` are added, unless they are given.
        layers: the tables by layer name, in the order of the network, each asked for once; all
            with the same k, lowest, sample and rank.
        images: index → path, at least of all images that stand in a table.
        failed: the images that could not be used.
        draw: adds the pictures of a layer to its group; called for one layer after the other,
            while the file grows on the disk.
        keep: an old store, of which everything that a user has added is copied.

    Raises:
        ValueError: tables of different k, an image without a path, an attribute too long.
        TypeError: an attribute of another type.
        OSError: the file cannot be written; an old one is intact.
    """
    path = expanded(path)
    whole = {"random_state": 0, "order": ORDER, "images_failed": len(failed), **attributes}
    whole |= {"format": FORMAT, "format_version": VERSION, "complete": 1}
    written: list[Store] = []

    def fill(disk: BinaryIO) -> None:
        target: Any = Shielded(disk)
        try:
            with h5py.File(target, "w") as file:
                _write_all(file, whole, layers, images, failed, draw)
                if keep is not None:
                    carry_over(keep, file)
            size = target.seek(0, os.SEEK_END)
            # what cannot be read is not published
            written.append(_read(target, Path(path), size=size))
        finally:
            target.check()  # what the disk refused is raised when HDF5 is done

    write_whole(path, fill)
    return written[0]


def open_store(path: str | PathLike[str]) -> Store:
    """Read a store into memory and close the file.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read.
        ValueError: it is not a whole store of a known version; the message says what is wrong.
            No link out of the file is followed, nothing larger than the file is allocated. (The
            HDF5 library itself may hang on some deliberate damage: open what you trust.)
    """
    path = Path(expanded(path))
    if not path.exists():
        raise FileNotFoundError(f"there is no file {str(path)!r}; mine a data set to make one")
    with path.open("rb") as file:
        # the size of what is open: another store may take its name at any moment
        start, size = file.read(len(_SIGNATURE)), os.fstat(file.fileno()).st_size
        try:
            if start != _SIGNATURE:
                what = f"it starts with {start!r}" if start else "it is empty"
                raise ValueError(f"it is not an HDF5 file ({what})")
            return _read(file, path, size=size)
        # HDF5 tells of damage by nearly every kind of exception, some of several lines
        except (ValueError, OSError, RuntimeError, KeyError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())
            if not isinstance(error, ValueError):
                reason = f"it is cut short or damaged ({reason}); copy or mine it again"
            raise ValueError(f"{str(path)!r} cannot be opened as a store: {reason}") from error


def _write_all(
    file: h5py.File,
    attributes: Mapping[str, object],
    layers: Mapping[str, LayerTable],
    images: Mapping[int, str],
    failed: Sequence[Failed],
    draw: Callable[[str, h5py.Group], None] | None,
) -> None:
    order = sorted(images)
    _write_columns(file.create_group("images"), order, path=[images[i] for i in order])
    _write_columns(
        file.create_group("failed"),
        [each.index for each in failed],
        path=[each.path for each in failed],
        reason=[each.reason for each in failed],
    )
    group = file.create_group("layers", track_order=True)
    kept: dict[str, object] = {}
    sample = None
    for name, table in layers.items():
        kept, here = kept or kept_in(table), kept_in(table)
        if here != kept:
            raise ValueError(f"{name!r} holds {here}, and layers before it {kept}; mine it again")
        if table.sample is not None:
            sample = table.sample.image if sample is None else sample
            if not np.array_equal(sample, table.sample.image):
                raise ValueError(f"the sample of {name!r} is of other images than that before it")
        layer = group.create_group(escape(name))
        write_layer(layer, table)
        if draw is not None:
            draw(name, layer)
    if not kept:
        raise ValueError("no layer was given, expected at least one")
    if sample is not None:
        file["sample/image"] = sample
    write_attributes(file.attrs, {**kept, **attributes})


def _write_columns(group: h5py.Group, index: list[int], **texts: list[str]) -> None:
    group["index"] = np.array(index, dtype="<i8")
    for name, column in texts.items():
        group[name] = texts_to_array(column)


def _read(file: BinaryIO, path: Path, *, size: int) -> Store:
    room = Room(size)
    with h5py.File(file, "r") as root:
        attributes = read_attributes(root.attrs, room)
        _check_format(attributes)
        layers, kept = group_in(root, "layers"), Kept.of(root, attributes, room)
        tables, pictures = {}, {}
        for name in layers:
            layer = group_in(layers, name)
            table = read_layer(layer, kept, room)
            tables[unescape(name)] = table
            if index := read_pictures(layer, table, room):
                pictures[unescape(name)] = index
        known, lost = group_in(root, "images"), group_in(root, "failed")
        images = dict(zip(*_read_columns(known, "path", room=room), strict=True))
        failed = zip(*_read_columns(lost, "path", "reason", room=room), strict=True)
        lost_images = [Failed(*each) for each in failed]
    store = Store(path, attributes, tables, images, lost_images, pictures)
    _check_images(store)
    return store


def _check_format(attributes: Mapping[str, object]) -> None:
    if attributes.get("format") != FORMAT:
        raise ValueError(f"its format is {attributes.get('format')!r}, expected {FORMAT!r}")
    version = attributes.get("format_version")
    if version not in READ:
        raise ValueError(
            f"its format_version is {version!r}, this program reads {' and '.join(map(str, READ))}"
            "; update deconvnet"
        )
    if attributes.get("complete") != 1:
        raise ValueError("it is not marked complete=1; mine it again")
    new = DEFAULTS if version == 1 else ()  # which had no meaning then
    for name, kind in KINDS.items():
        if name in new:
            continue
        value = attributes.get(name, kind())
        if not isinstance(value, kind) or (kind is tuple and not _positive(value)):
            words = {str: "text", int: "an integer", tuple: "positive integers", dict: "an object"}
            raise ValueError(f"its {name} is {value!r}, expected {words[kind]}")
    if "k" not in attributes:
        raise ValueError("it does not say its k; mine it again")
    told: dict[str, Any] = {**DEFAULTS, **({} if new else attributes)}
    if told["rank"] not in RANKS or min(told["lowest"], told["sample"]) < 0:
        odd = {name: told[name] for name in DEFAULTS}
        raise ValueError(f"it says {odd}, which is not what a store may hold")


def _positive(numbers: object) -> bool:
    return isinstance(numbers, tuple) and all(type(n) is int and n > 0 for n in numbers)


def _read_columns(group: h5py.Group, *texts: str, room: Room) -> list[list[int] | list[str]]:
    index = dataset_in(group, "index", kind="<i8", shape=(None,), room=room)
    columns: list[list[int] | list[str]] = [index.tolist()]
    for name in texts:
        array = dataset_in(group, name, kind="S", shape=(len(index),), room=room)
        columns.append(array_to_texts(array))
    return columns


def _check_images(store: Store) -> None:
    if list(store.images) != sorted(store.images):
        raise ValueError("images/index is not ascending")
    known = np.array([-1, *store.images])
    for name, table in store.layers.items():
        for some in (*table.tables.values(), *table.directions.values()):
            lost = np.setdiff1d(some.image, known)
            if len(lost):
                what = f"layer {name!r} holds image {lost[0]}, which has no path in images"
                raise ValueError(what)
