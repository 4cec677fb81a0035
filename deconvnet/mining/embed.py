"""Patches and projections into a store, so that a figure needs neither model nor data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from torch import nn

from deconvnet.arguments import expanded, listed
from deconvnet.data import Preprocessing
from deconvnet.data.resolve import given_dataset, needed_preprocessing
from deconvnet.data.samples import checked, first_image, read_item
from deconvnet.graph.frontends import Graphs, blank
from deconvnet.graph.modes import ordinarily
from deconvnet.layers import Rectifier
from deconvnet.layers import rectifier as rectifier_named
from deconvnet.layers.policies import RectGrad
from deconvnet.mining.verify.recompute import recomputed
from deconvnet.mining.verify.verify import ACROSS
from deconvnet.net import DeconvNet
from deconvnet.projection import receptive_field
from deconvnet.projection.check.checked_graphs import settled
from deconvnet.projection.geometry import geometry_of
from deconvnet.store.format import escape, write_attributes
from deconvnet.store.picture_codec import encode, halves
from deconvnet.store.picture_reading import opened_layer
from deconvnet.store.picture_writing import copy_values, spooled
from deconvnet.store.store import Store, write_store
from deconvnet.store.table import LayerTable
from deconvnet.store.user_content import check_additions

from . import fingerprint
from .exemplars import exemplars, same_size

_IMAGES = ("image", "activation")  # mismatches that tell of other images
_RECOMPUTED = 100  # entries
AT_ONCE = 64 * 2**20  # bytes of pictures that are in memory together


@ordinarily
def embed(
    store: Store,
    model: nn.Module,
    dataset: Any,
    *,
    preprocessing: Any = None,
    projections: str | Rectifier | Sequence[str | Rectifier] = (),
    elsewhere: str | None = None,
    path: str | PathLike[str] | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Store:
    """Write a store again, with the patches of its entries in it, and projections if asked.

    The images must be those that were mined: every activation is computed again on the way to
    its projection, and of patches alone that of some entries. Only entries with a positive
    activation have pictures, as in ``patches.exemplars``. Patches
    are JPEGs, projections float16 with a scale of their own: exact enough that no figure shows
    it. The tables stay as they are, and so do projections under other policies, and what you
    added to the file yourself (groups, datasets, attributes). However many
    pictures there are, few are in memory; the disk needs room for those of the largest layer
    twice.

    Args:
        store: as ``open_store`` gives it; it may hold pictures already.
        model: the one that was mined.
        dataset: the one that was mined, or its path.
        preprocessing: turns tensors back into pictures, and images into tensors where the data
            set is given as a path: a ``Preprocessing``, or torchvision's weights; by default the
            data set's own, else the model's, else that of the store.
        projections: policies, by name or instance, one or several.
        elsewhere: what happens at activations that a policy has no rule for.
        path: where the new file goes; by default it takes the old one's place.
        report: told how many patches and projections are done, of how many.

    Returns:
        The new store, opened.

    Raises:
        ValueError: model or data set are not those that were mined, or an image is gone.
        FileExistsError: something else stands at ``path``.
        UnmirroredError: a policy has no rule for an activation on the way.
        OSError: the file cannot be written; whatever was there before is intact.
    """
    dataset = given_dataset(
        dataset, preprocessing=preprocessing, model=model, attributes=store.attributes
    )
    preprocessing = needed_preprocessing(
        preprocessing, data=dataset, model=model, attributes=store.attributes
    )
    projections = listed(projections, str, Rectifier)
    check_additions(store.path)
    same_size(store, dataset)
    target = Path(expanded(path or store.path))
    _check_target(target, store)
    size = (3, *preprocessing.size)
    plain = DeconvNet(model, "identity", input_size=size)
    _check_origin(store, plain, dataset)
    if not projections:
        _check_images(store, plain, dataset)
    nets = {
        spelled(one): DeconvNet(model, one, elsewhere=elsewhere, input_size=size)
        for one in projections
    }
    total = sum(int(table.lit.sum()) for table in store.values()) * (1 + len(nets))
    done = 0

    def drawn(count: int) -> None:
        nonlocal done
        done += count
        if report is not None:
            report(done, total)

    artist = _Artist(
        store, plain, nets, dataset, preprocessing, elsewhere or "", target.parent, drawn
    )
    return write_store(
        target,
        attributes=store.attributes,
        layers=store.layers,
        images=store.images,
        failed=store.failed,
        draw=artist.draw,
        keep=store.path,
    )


def spelled(policy: str | Rectifier) -> str:
    """The name under which projections of a policy are stored: "deconvnet", "rectgrad(98)".

    Raises:
        ValueError: no policy has this name.
    """
    found = rectifier_named(policy)
    return f"{found.name}({found.q:g})" if isinstance(found, RectGrad) else found.name


def _check_target(target: Path, store: Store) -> None:
    """Nobody's file is written over but the store's own."""
    if target.is_file() and not target.samefile(store.path):
        raise FileExistsError(
            f"{str(target)!r} is there already; write to another file, or delete it first"
        )


def _check_images(store: Store, net: DeconvNet, dataset: Any) -> None:
    """Files may change and keep their size: some entries are computed again."""
    graphs, size = Graphs(net.model), tuple(first_image(dataset).shape)
    image = blank(net.model, size)
    entries = recomputed(
        store, graphs, geometry_of(settled(graphs, image, list(store)), image), dataset,
        layers=list(store), n=_RECOMPUTED, seed=0, tolerance=ACROSS,
    )  # fmt: skip
    found = [each for each in entries.mismatches if each.kind in _IMAGES]
    if found:
        raise ValueError(
            f"the images are not those that were mined: {found[0].what}; give the data set it was "
            "mined from, or mine again"
        )


def _check_origin(store: Store, net: DeconvNet, dataset: Any) -> None:
    """Pictures of something else must not come to stand beside these tables."""
    for what, found in (
        ("model", fingerprint.of_model(net.graph)),
        ("dataset", fingerprint.of_dataset(dataset)),
    ):
        told = store.attributes.get(f"{what}_fingerprint")
        if what == "model" and not fingerprint.comparable(told):
            continue  # the activations are compared besides
        if told and told != found:
            raise ValueError(
                f"the store was mined from another {what}: its fingerprint is {str(told)[:12]}…, "
                f"this one's {found[:12]}…; give the one it was mined with, or mine again"
            )


@dataclass(frozen=True, eq=False)
class _Artist:
    """Makes the pictures of one layer after the other."""

    store: Store
    plain: DeconvNet
    nets: Mapping[str, DeconvNet]
    dataset: Any
    preprocessing: Preprocessing
    elsewhere: str
    folder: Path
    drawn: Callable[[int], None]
    """told of every few pictures that are made"""

    def draw(self, layer: str, group: h5py.Group) -> None:
        """All pictures of a layer into its group."""
        table = self.store[layer]
        lit = table.lit
        group["overhang"] = self._overhang(layer, table, lit)
        self._patches(table, lit, group.create_group("patch"))
        old = self.store.pictures.get(layer)
        names = sorted({*self.nets, *(old.projections if old else ())})
        policies = group.create_group("projection") if names else None
        for name in names:
            assert policies is not None, "there is one where there are names"
            target = policies.create_group(escape(name))
            if name in self.nets:
                self._projections(self.nets[name], layer, lit, target)
            else:
                with opened_layer(self.store, layer) as source:
                    copy_values(source[f"projection/{escape(name)}"], target)

    def _overhang(self, layer: str, table: LayerTable, lit: NDArray[np.bool_]) -> NDArray[np.int32]:
        """(channels, k, 2): what of the field lies above and left of the image; -1: no picture."""
        geometry = self.plain.geometry((3, *self.preprocessing.size), [layer])
        found = np.full((*lit.shape, 2), -1, dtype="<i4")
        if not lit.any():
            return found
        places = np.stack([table.row[lit], table.col[lit]], 1) if table.size else [()] * lit.sum()
        unique, which = _unique(places)
        over = np.array(receptive_field.overhang(geometry, layer, unique)).reshape(len(unique), -1)
        starts, _ = receptive_field.boxes(geometry, layer, unique)
        # one channel of a join sees less than the layer's whole field
        found[lit] = (over - starts)[which][:, -2:] + table.box[lit][:, :2]
        return found

    def _patches(self, table: LayerTable, lit: NDArray[np.bool_], group: h5py.Group) -> None:
        """Each image is read once; entries that see the same of it share a picture."""
        offset = np.full(lit.shape, -1, dtype="<i8")
        length = np.zeros(lit.shape, dtype="<i4")
        with spooled(self.folder, "|u1") as spool:
            for index in np.unique(table.image[lit]).tolist():
                picture = self.preprocessing.picture(self._image(index))
                known: dict[tuple[int, ...], tuple[int, int]] = {}
                for place in map(tuple, np.argwhere(lit & (table.image == index))):
                    box = tuple(table.box[place].tolist())
                    if box not in known:
                        top, left, bottom, right = box
                        content = encode(picture[top:bottom, left:right])
                        known[box] = (spool.add(content), len(content))
                    offset[place], length[place] = known[box]
                self.drawn(int((lit & (table.image == index)).sum()))
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
        self, net: DeconvNet, layer: str, lit: NDArray[np.bool_], group: h5py.Group
    ) -> None:
        offset = np.full(lit.shape, -1, dtype="<i8")
        scale = np.zeros(lit.shape, dtype="<f4")
        depth = 3
        with spooled(self.folder, "<f2") as spool:
            for channels in self._few(layer, lit):
                for place, projection in self._projected(net, layer, lit, channels=channels):
                    values, scale[place] = halves(projection)
                    offset[place], depth = spool.add(values), projection.shape[2]
                self.drawn(int(lit[channels].sum()))
            group["offset"], group["scale"] = offset, scale
            spool.into(group, "values")
        write_attributes(group.attrs, {"channels": depth, "elsewhere": self.elsewhere})

    def _projected(
        self, net: DeconvNet, layer: str, lit: NDArray[np.bool_], *, channels: Sequence[int]
    ) -> Iterator[tuple[tuple[int, int], NDArray[np.float32]]]:
        try:
            found = exemplars(
                self.store, layer, channels,
                net=net, dataset=self.dataset, preprocessing=self.preprocessing,
            )  # fmt: skip
        except OSError as error:  # of an image; the disk's own are told in other words
            raise ValueError(f"an image cannot be read any more: {error}") from error
        for channel, those in found.items():
            for slot, exemplar in zip(np.flatnonzero(lit[channel]).tolist(), those, strict=True):
                yield (channel, slot), exemplar.projection

    def _few(self, layer: str, lit: NDArray[np.bool_]) -> Iterator[list[int]]:
        """Channels with pictures, as many at a time as memory is meant to hold."""
        box = self.store[layer].box[lit].astype("i8")
        most = int(((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])).max(initial=1))
        step = max(1, AT_ONCE // (most * lit.shape[1] * 3 * 4 * 2))
        channels = np.flatnonzero(lit.any(1)).tolist()
        yield from (channels[first : first + step] for first in range(0, len(channels), step))


def _unique(places: Any) -> tuple[list[tuple[int, ...]], list[int]]:
    """The different places, and for each place which of them it is."""
    rows = [tuple(int(n) for n in place) for place in places]
    order = {place: number for number, place in enumerate(dict.fromkeys(rows))}
    return list(order), [order[place] for place in rows]
