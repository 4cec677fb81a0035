"""Compare stored patches and projections with newly computed ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from deconvnet.data.pictures import Prepares
from deconvnet.data.resolve import recorded
from deconvnet.data.samples import checked, first_image, read_item
from deconvnet.data.transform import SIGNALS
from deconvnet.mining.embed import overhangs
from deconvnet.mining.exemplars import node_of, vectors_of
from deconvnet.mining.stored_rules import named_policies
from deconvnet.net import DeconvNet
from deconvnet.projection.result import Projection
from deconvnet.store.picture_index import PictureIndex
from deconvnet.store.picture_reading import TablePictures, opened_layer, pictures_at
from deconvnet.store.store import Store
from deconvnet.store.table import Entries

from .compare import Mismatch
from .recompute import Chosen

FAR = 0.5  # of a patch's contrast, for the error of a JPEG, which is nearer to a tenth of it
LEVEL = 0.01  # and what is allowed without any contrast
ALIKE = 0.99  # cosine of two projections: where a switch ties, another machine may turn it


def compare_pictures(
    store: Store, model: nn.Module, dataset: Any, *, chosen: Chosen
) -> Iterator[Mismatch | str | None]:
    """Compare the stored patches and projections of chosen entries.

    Yields:
        None for a picture that is right, a mismatch for one that is not; as text, what could not
        be compared: all, where the store does not tell its preprocessing.
    """
    axes = max((table.axes for table in store.values()), default=2)
    preprocessing = recorded(store.attributes) or (SIGNALS if axes == 1 else None)
    if preprocessing is None:
        if store.pictures:
            yield "patches and projections: the store does not tell its preprocessing"
        return
    nets, unknown = _nets(store, model)
    for (layer, path), drawn in chosen.items():
        known, table = pictures_at(store, layer, path), store[layer].every[path]
        places = [] if known is None else [p for p in drawn if known.patches.offset[p] >= 0]
        if known is None or not places:
            continue
        over = _overhangs(table, node_of(table, layer), places, nets["identity", ""], dataset)
        compared = _Compared(store, layer, path, known, preprocessing, nets)
        with opened_layer(store, layer) as group:
            stored = TablePictures(store, layer, group, path)
            for place in places:
                image = _image(dataset, int(table.images[place]))
                if image is None:
                    continue  # what cannot be read has been told of already
                told = known.overhang[place]
                if (told != over[place]).any():
                    here, says = tuple(over[place].tolist()), tuple(told.tolist())
                    what = f"the overhang {compared.where(place)} is {here}, the store says {says}"
                    yield Mismatch("picture", what)
                try:
                    yield from compared.pictures(place, stored, image)
                except ValueError as error:
                    yield Mismatch("picture", str(error))
    yield from unknown


def _nets(store: Store, model: nn.Module) -> tuple[dict[tuple[str, str], DeconvNet], list[str]]:
    """A mirrored network for each policy of the projections, and the policies not known here."""
    asked = {
        (policy, own.fallback)
        for layer in store.pictures.values()
        for pictures in (layer, *layer.others.values())
        for policy, own in pictures.projections.items()
    }
    nets, unknown = {("identity", ""): DeconvNet(model, "identity")}, []
    for policy, fallback in sorted(asked):
        try:
            nets[policy, fallback] = DeconvNet(model, named_policies(policy, fallback))
        except ValueError:  # one of the user's own, which only its author has
            how = f"projections by {policy!r}{fallback and f', fallback {fallback!r}'}"
            unknown.append(f"{how}: there is no such policy here")
    return nets, unknown


def _overhangs(
    table: Entries, node: str, places: Sequence[tuple[int, int]], net: DeconvNet, dataset: Any
) -> NDArray[np.int64]:
    """(channels, k, D); -1 for all entries but these, and for those that are nowhere in the map."""
    entries = np.zeros(table.images.shape, dtype=bool)
    entries[tuple(np.transpose(places))] = True
    there = table.positions[..., : len(table.size)]
    entries &= ((there >= 0) & (there < table.size)).all(-1)
    over = np.full((*entries.shape, table.axes), -1, dtype=np.int64)
    if entries.any():
        geometry = net.geometry(tuple(first_image(dataset).shape), [node])
        over[entries] = overhangs(geometry, node, table, entries)
    return over


def _image(dataset: Any, index: int) -> Tensor | None:
    item = read_item(dataset, index) if index < len(dataset) else ""
    return None if isinstance(item, str) else checked(item, index, None)


@dataclass(frozen=True, eq=False)
class _Compared:
    """The pictures of one table, compared with new ones."""

    store: Store
    layer: str
    path: str  # where the table stands in the layer's group
    known: PictureIndex
    preprocessing: Prepares
    nets: Mapping[tuple[str, str], DeconvNet]  # by rule and fallback

    @property
    def table(self) -> Entries:
        """The table."""
        return self.store[self.layer].every[self.path]

    def where(self, place: tuple[int, int]) -> str:
        """An entry in words."""
        what = f"{self.path} " if self.path else ""
        return f"of {what}{self.layer}:{place[0]} of image {self.table.images[place]}"

    def pictures(
        self, place: tuple[int, int], stored: TablePictures, image: Tensor
    ) -> Iterator[Mismatch | None]:
        """The patch of an entry, and its projections."""
        table, where = self.table, self.where(place)
        new = self.preprocessing.pixels(image)[table.box_of(*place).slices]
        patch = stored.patch(place)
        allowed = LEVEL + FAR * float(new.reshape(-1, new.shape[-1]).std(0).mean())
        if self.known.patches.encoding != "jpeg":
            allowed = LEVEL * max(1.0, float(np.abs(new).max(initial=0.0)))
        # of equal shapes, compared by the root mean square of the difference
        same = patch.shape == new.shape and float(np.sqrt(np.square(patch - new).mean())) <= allowed
        yield None if same else Mismatch("picture", f"the patch {where} is not what it sees")
        unit = replace(table.unit(node_of(table, self.layer), *place), image=0)
        vectors = vectors_of(self.store[self.layer], self.path)
        for policy, own in self.known.projections.items():
            net = self.nets.get((policy, own.fallback))
            if net is None or own.offset[place] < 0:
                continue
            old = stored.projection(place, policy)
            (cut,) = net.project(image[None], units=[unit], crop=True, direction=vectors)
            assert isinstance(cut, Projection), "crop=True gives Projections"
            likeness = _likeness(cut.pixels.movedim(0, -1).float().cpu().numpy(), old)
            what = f"the projection {where} by {policy} is another (likeness {likeness:.3f})"
            yield Mismatch("picture", what) if likeness < ALIKE else None


def _likeness(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The cosine, brought down by a difference in length; 0 for another shape."""
    if one.shape != other.shape:
        return 0.0
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    longest = max(float(a @ a), float(b @ b))
    return float(a @ b) / longest if longest else 1.0
