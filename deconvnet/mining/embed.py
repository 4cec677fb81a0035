"""Store patches and projections beside the tables, so that figures need no model and no dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from torch import nn

from deconvnet.arguments import expanded, listed
from deconvnet.data.pictures import Prepares
from deconvnet.data.resolve import given_dataset, needed_preprocessing
from deconvnet.data.samples import checked, first_image, read_item
from deconvnet.graph.frontends import Graphs, blank
from deconvnet.graph.modes import plain
from deconvnet.layers import Policies, Rectifier
from deconvnet.mining.verify.recompute import ACROSS, Recomputation
from deconvnet.net import DeconvNet
from deconvnet.projection import receptive_field
from deconvnet.projection.check.checked_graphs import settled
from deconvnet.projection.forward import geometry_of
from deconvnet.projection.geometry import Geometry
from deconvnet.store.format import escape, write_attributes
from deconvnet.store.picture_codec import copy_values, encode, encoding_of, halves, spooled
from deconvnet.store.picture_index import group_at
from deconvnet.store.picture_reading import opened_layer, pictures_at
from deconvnet.store.store import Store, write_store
from deconvnet.store.table import Entries
from deconvnet.store.user_content import check_additions

from . import fingerprint
from .exemplars import node_of, project_entries, same_size, vectors_of
from .progress import reporting
from .source import source_of
from .stored_rules import stored_name

_IMAGES = ("image", "activation")  # mismatches that tell of other images
_RECOMPUTED = 100  # entries
AT_ONCE = 64 * 2**20  # bytes of pictures that are in memory together


@plain()
def embed(
    store: Store,
    net: nn.Module | DeconvNet | None = None,
    data: Any = None,
    *,
    preprocessing: Any = None,
    rectifiers: str | Rectifier | Policies | Sequence[str | Rectifier | Policies] = (),
    fallback: str | None = None,
    path: str | PathLike[str] | None = None,
    report: Callable[[int, int], None] | None = None,
    progress: bool = True,
) -> Store:
    """Write a store again, with the patches of its entries, and their projections by rectifiers.

    The images must be those that were mined: every activation is computed again on the way to
    its projection; where only patches are stored, those of 100 random entries. Of the strongest,
    entries with a positive activation have pictures; of the lowest all, whose projections start
    with the negative activation; of directions all; of the sample those at the quantiles that
    ``spectrum`` draws. Patches in three colours are
    stored as JPEG, others as bytes (images of other bands, videos) or float32 (signals),
    projections as float16 with a scale each; the error is too small to be seen in a figure. The
    tables, projections under other policies, and whatever you added to the file
    yourself (groups, datasets, attributes) are kept. Memory holds few pictures at a time; the disk
    needs room for those of the largest layer twice.

    Args:
        store: as ``open_store`` gives it; it may hold pictures already.
        net: the model that was mined, or its DeconvNet; by default what this process has mined,
            else what the store names (see ``mining.source``).
        data: the data set that was mined, or its path; by default likewise.
        preprocessing: turns tensors back into pictures, and images into tensors where the data
            set is given as a path: a ``Preprocessing``, or torchvision's weights; by default the
            data set's own, else the model's, else that of the store.
        rectifiers: rules of projections by name or instance, or ``Policies``; one or several.
        fallback: of those that are not given as ``Policies``: "derivative" or "rectify".
        path: where the new file goes; by default it takes the old one's place.
        report: called with how many patches and projections are done, of how many.
        progress: show a bar after a second, if there is no ``report``.

    Returns:
        The new store, opened.

    Raises:
        ValueError: model or data set are not those that were mined, or an image is gone; or two
            projections would have one name, which is the text of their rule.
        FileExistsError: something else stands at ``path``.
        UnmirroredError: a policy has no rule for an activation on the way.
        OSError: the file cannot be written; whatever was there before is intact.
    """
    model, dataset = source_of(store, net, data, preprocessing=preprocessing)
    dataset = given_dataset(
        dataset, preprocessing=preprocessing, model=model, attributes=store.attributes
    )
    size = tuple(first_image(dataset).shape)
    preprocessing = needed_preprocessing(
        preprocessing, data=dataset, model=model, attributes=store.attributes, axes=len(size) - 1
    )
    model = model.model if isinstance(model, DeconvNet) else model
    rules = _by_name(
        Policies.of(one, fallback) for one in listed(rectifiers, str, Rectifier, Policies)
    )
    check_additions(store.path)
    same_size(store, dataset)
    target = Path(expanded(path or store.path))
    if target.is_file() and not target.samefile(store.path):
        raise FileExistsError(
            f"{str(target)!r} is there already; write to another file, or delete it first"
        )
    plain = DeconvNet(model, "identity", input_size=size)
    here = fingerprint.of_model(plain.graph, blank(plain.model, size))
    fingerprint.check_mined(store.attributes, "model", here)
    fingerprint.check_mined(store.attributes, "dataset", fingerprint.of_dataset(dataset))
    if not rules:
        _check_images(store, plain, dataset)
    nets = {name: DeconvNet(model, one, input_size=size) for name, one in rules.items()}
    tables = [each for table in store.values() for each in table.every.values()]
    total = sum(int(table.has_picture.sum()) for table in tables) * (1 + len(nets))
    done = 0

    def made(count: int) -> None:
        nonlocal done
        done += count
        if told is not None:
            told(done, total)

    pictures = _Pictures(
        store, nets, plain.geometry(size), dataset, preprocessing, size[0],
        target.parent, made,
    )  # fmt: skip
    with reporting(report, "embedding", progress=progress, unit="picture") as told:
        written = write_store(
            target,
            attributes=store.attributes,
            layers=store.layers,
            images=store.images,
            failed=store.failed,
            draw=pictures.write,
            keep=store.path,
        )
    return replace(written, mined_from=(model, dataset))


def _by_name(policies: Iterable[Policies]) -> dict[str, Policies]:
    """{name in the store: policies}; the same ones may be given twice."""
    rules: dict[str, Policies] = {}
    for one in policies:
        name = stored_name(one)
        other = rules.setdefault(name, one)
        if _alike(one) != _alike(other):
            raise ValueError(
                f"two projections by different policies are both called {name!r}, "
                "and the store keeps one of each name; give the rules different texts (__str__), "
                "or embed them into two stores (path=)"
            )
    return rules


def _alike(policies: Policies) -> tuple[object, ...]:
    """What two policies share that do the same; a user's rules are told apart by instance."""
    rule = policies.rectifier
    known = type(rule).__module__ == Policies.__module__
    name = (type(rule), str(rule)) if known else (rule,)
    return name, policies.fallback, policies.normalization, policies.unpooling


def _check_images(store: Store, net: DeconvNet, dataset: Any) -> None:
    """Recompute some entries: files may have changed and kept their size."""
    graphs, size = Graphs(net.model), tuple(first_image(dataset).shape)
    image = blank(net.model, size)
    entries = Recomputation(
        store, graphs, geometry_of(settled(graphs, image, list(store)), image), dataset,
        layers=list(store), n=_RECOMPUTED, random_state=0, tolerance=ACROSS,
    )  # fmt: skip
    for mismatch in entries.mismatches():
        if not isinstance(mismatch, str) and mismatch.kind in _IMAGES:
            raise ValueError(
                f"the images are not those that were mined: {mismatch.what}; give the data set it "
                "was mined from, or mine again"
            )


def overhangs(
    geometry: Geometry, layer: str, table: Entries, entries: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Pixels before the box, such as rows above, where the field of an entry leaves the image.

    Of the chosen ``entries`` (channels, k) of a layer's table; (chosen, D).
    """
    places = table.positions[entries]
    unique, which = np.unique(places, axis=0, return_inverse=True)
    positions = unique[:, : len(table.size)].tolist()
    over = np.array(receptive_field.overhang(geometry, layer, positions))
    starts, _ = receptive_field.boxes(geometry, layer, positions)
    # one channel of a join sees less than the layer's whole field
    over, axes = (over - starts)[which.reshape(-1)], table.axes
    return np.asarray(over + table.box[entries][:, :axes])


@dataclass(frozen=True, eq=False)
class _Pictures:
    """Writes the pictures of one layer after the other."""

    store: Store
    nets: Mapping[str, DeconvNet]
    """by the name of the policy"""
    geometry: Geometry
    dataset: Any
    preprocessing: Prepares
    channels: int
    """of an image"""
    folder: Path
    report: Callable[[int], None]
    """called with every few pictures that are made"""

    def write(self, layer: str, group: h5py.Group) -> None:
        """Write all pictures of a layer into its group."""
        for path, table in self.store[layer].every.items():
            self._table(layer, path, table, group_at(group, path))

    def _table(self, layer: str, path: str, table: Entries, group: h5py.Group) -> None:
        """Write the pictures of one of its tables, which stands there, into the table's group."""
        shown = table.has_picture
        overhang = np.full((*shown.shape, table.axes), -1, dtype="<i4")
        if shown.any():
            overhang[shown] = overhangs(self.geometry, node_of(table, layer), table, shown)
        group["overhang"] = overhang
        self._patches(table, shown, group.create_group("patch"))
        old = pictures_at(self.store, layer, path)
        for name in sorted({*self.nets, *(old.projections if old else ())}):
            target = group.create_group(f"projection/{escape(name)}")
            if name in self.nets:
                self._projections(self.nets[name], layer, path, shown, group=target)
            else:
                with opened_layer(self.store, layer) as source:
                    copy_values(group_at(source, path)[f"projection/{escape(name)}"], target)

    def _patches(self, table: Entries, shown: NDArray[np.bool_], group: h5py.Group) -> None:
        """Read each image once; entries with the same image and box share a patch."""
        offset = np.full(shown.shape, -1, dtype="<i8")
        length = np.zeros(shown.shape, dtype="<i4")
        told = {"channels": self.channels, "encoding": encoding_of(table.axes, self.channels)}
        write_attributes(group.attrs, told)
        with spooled(self.folder, "|u1") as spool:
            for index in np.unique(table.images[shown]).tolist():
                picture = self.preprocessing.pixels(self._image(index))
                known: dict[tuple[int, ...], tuple[int, int]] = {}
                places = [*map(tuple, np.argwhere(shown & (table.images == index)))]
                for place in places:
                    box = tuple(table.box[place].tolist())
                    if box not in known:
                        content = encode(picture[table.box_of(*place).slices])
                        known[box] = (spool.add(content), len(content))
                    offset[place], length[place] = known[box]
                self.report(len(places))
            group["offset"], group["length"] = offset, length
            spool.into(group, "bytes")

    def _image(self, index: int) -> Any:
        if index >= len(self.dataset):
            raise ValueError(f"image {index} is not in the data set, which has {len(self.dataset)}")
        item = read_item(self.dataset, index)
        if isinstance(item, str):
            raise ValueError(f"image {index} cannot be read any more: {item}")
        return checked(item, index, None)

    def _projections(
        self, net: DeconvNet, layer: str, path: str, shown: NDArray[np.bool_], *, group: h5py.Group
    ) -> None:
        offset = np.full(shown.shape, -1, dtype="<i8")
        scale = np.zeros(shown.shape, dtype="<f4")
        table = self.store[layer].every[path]
        step = self._step(table, shown)
        channels = np.flatnonzero(shown.any(1)).tolist()
        with spooled(self.folder, "<f2") as spool:
            for some in (channels[i : i + step] for i in range(0, len(channels), step)):
                places = [(c, slot) for c in some for slot in np.flatnonzero(shown[c]).tolist()]
                try:
                    made = project_entries(
                        self.store, table, node_of(table, layer), places,
                        net=net, dataset=self.dataset, preprocessing=self.preprocessing,
                        direction=vectors_of(self.store[layer], path),
                    )  # fmt: skip
                except OSError as error:  # of an image; the disk's own are told in other words
                    raise ValueError(f"an image cannot be read any more: {error}") from error
                for place, each in zip(places, made, strict=True):
                    values, scale[place] = halves(each.projection)
                    offset[place] = spool.add(values)
                self.report(len(places))
            group["offset"], group["scale"] = offset, scale
            spool.into(group, "values")
        told = {"channels": self.channels, "elsewhere": net.policies.fallback or ""}
        write_attributes(group.attrs, told)

    def _step(self, table: Entries, shown: NDArray[np.bool_]) -> int:
        """How many channels are projected at a time, so that their pictures fit into memory."""
        starts, ends = np.split(table.box[shown].astype("i8"), 2, axis=1)
        most = int((ends - starts).prod(1).max(initial=1)) * self.channels
        return max(1, AT_ONCE // (most * int(shown.sum(1).max(initial=1)) * 4 * 2))
