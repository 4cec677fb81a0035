"""Pictures of a store against new ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from deconvnet.data import Preprocessing
from deconvnet.data.samples import checked, read_item
from deconvnet.net import DeconvNet
from deconvnet.projection import receptive_field
from deconvnet.projection.result import Projection
from deconvnet.store.picture_reading import opened_layer, read_patch, read_projection
from deconvnet.store.store import Store
from deconvnet.units import Unit

from .attributes import known_preprocessing
from .compare import Mismatch
from .sampling import Chosen

FAR = 0.5  # of a patch's contrast, for the error of a JPEG, which is nearer to a tenth of it
LEVEL = 0.01  # and what is allowed without any contrast
ALIKE = 0.99  # cosine of two projections: where a switch ties, another machine may turn it


def compare_pictures(store: Store, model: nn.Module, dataset: Any, *, chosen: Chosen) -> Looked:
    """Patches and projections of chosen entries, as far as they are stored.

    Args:
        store: must tell its preprocessing; else nothing is compared.
        model: the one that was mined.
        dataset: the one that was mined.
        chosen: the entries.
    """
    preprocessing, nets = known_preprocessing(store), _Nets(model)
    if preprocessing is None:
        why = "patches and projections: the store does not tell its preprocessing"
        return Looked([], [why] if store.pictures else [])
    found: list[Mismatch | None] = []
    for layer, places in chosen.items():
        pictures = store.pictures.get(layer)
        if pictures is None:
            continue
        with opened_layer(store, layer) as group:
            for place in places:
                image = _image(dataset, int(store[layer].image[place]))
                if image is None or pictures.patches.offset[place] < 0:
                    continue  # what cannot be read has been told of already
                try:
                    found += _compare(store, layer, place, group, image, preprocessing, nets)
                except ValueError as error:
                    found.append(Mismatch("picture", str(error)))
    return Looked(found, nets.unknown)


@dataclass(frozen=True)
class Looked:
    """What came of looking at pictures.

    Args:
        found: one for each picture compared: None where it is right.
        unchecked: what could not be compared, in words.
    """

    found: list[Mismatch | None]
    unchecked: list[str]


class _Nets:
    """A mirrored network for each policy, made once."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.unknown: list[str] = []
        self._made: dict[tuple[str, str], DeconvNet | None] = {}

    def overhang(
        self, store: Store, layer: str, place: tuple[int, int], image: Tensor
    ) -> tuple[int, int]:
        """What the border of the image has cut off of an entry's field, above and left."""
        net, table = self.of("identity", ""), store[layer]
        assert net is not None, "it has a rule for everything"
        at = [(int(table.row[place]), int(table.col[place])) if table.size else ()]
        geometry = net.geometry(tuple(image.shape), [layer])
        (over,), (starts, _) = (
            receptive_field.overhang(geometry, layer, at),
            receptive_field.boxes(geometry, layer, at),
        )
        top, left = (over - starts[0])[-2:] + table.box[place][:2]
        return int(top), int(left)

    def of(self, policy: str, elsewhere: str) -> DeconvNet | None:
        """None for a policy of the user's own, which only its author has."""
        key = (policy, elsewhere)
        if key not in self._made:
            try:
                self._made[key] = DeconvNet(self._model, policy, elsewhere=elsewhere or None)
            except ValueError:
                self._made[key] = None
                how = f"projections by {policy!r}{elsewhere and f', elsewhere {elsewhere!r}'}"
                self.unknown.append(f"{how}: there is no such policy here")
        return self._made[key]


def _image(dataset: Any, index: int) -> Tensor | None:
    item = read_item(dataset, index) if index < len(dataset) else ""
    return None if isinstance(item, str) else checked(item, index, None)


def _compare(
    store: Store,
    layer: str,
    place: tuple[int, int],
    group: h5py.Group,
    image: Tensor,
    preprocessing: Preprocessing,
    nets: _Nets,
) -> Iterator[Mismatch | None]:
    """The patch of an entry, and its projections."""
    table, pictures = store[layer], store.pictures[layer]
    where = f"of {layer}:{place[0]} of image {table.image[place]}"
    top, left, bottom, right = table.box[place].tolist()
    new = preprocessing.picture(image)[top:bottom, left:right]
    patch = read_patch(store, layer, group, place)
    allowed = LEVEL + FAR * float(new.std((0, 1)).mean())
    known, over = (
        tuple(pictures.overhang[place].tolist()),
        nets.overhang(store, layer, place, image),
    )
    if known != over:
        yield Mismatch("picture", f"the overhang {where} is {over}, the store says {known}")
    same = patch.shape == new.shape and _error(patch, new) <= allowed
    yield None if same else Mismatch("picture", f"the patch {where} is not what it sees")
    for policy, own in pictures.projections.items():
        net = nets.of(policy, own.elsewhere)
        if net is None or own.offset[place] < 0:
            continue
        stored = read_projection(store, layer, group, place, rectifier=policy)
        position = (int(table.row[place]), int(table.col[place])) if table.size else None
        unit = Unit.at(layer, place[0], position=position)
        (cut,) = net.project(image[None], units=[unit], crop=True)
        assert isinstance(cut, Projection), "crop=True gives Projections"
        likeness = _likeness(cut.pixels.permute(1, 2, 0).float().cpu().numpy(), stored)
        what = f"the projection {where} by {policy} is another (likeness {likeness:.3f})"
        yield Mismatch("picture", what) if likeness < ALIKE else None


def _error(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.square(one - other).mean()))


def _likeness(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The cosine, brought down by a difference in length; 0 for another shape."""
    if one.shape != other.shape:
        return 0.0
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    longest = max(float(a @ a), float(b @ b))
    return float(a @ b) / longest if longest else 1.0
