"""From a store to pictures: the patches that excited a unit, and what of them it responded to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deconvnet.arguments import listed
from deconvnet.data import Preprocessing
from deconvnet.data.resolve import given_dataset, needed_preprocessing
from deconvnet.data.samples import checked, first_image
from deconvnet.net import DeconvNet
from deconvnet.projection import receptive_field
from deconvnet.projection.result import Projection
from deconvnet.store.picture_reading import read_pictures
from deconvnet.store.store import Store
from deconvnet.store.table import LayerTable
from deconvnet.units import Box, Unit

AT_ONCE = 64  # images that are looked at together
TOLERANCE = 1e-3  # relative; another batch shape changes the last bits, another image far more


@dataclass(frozen=True, eq=False)
class Exemplar:
    """One mined unit-image-activation, with its pictures.

    Args:
        unit: the unit; its image is the index in the data set.
        activation: its value.
        box: what it sees of the image, clipped to it.
        overhang: rows above and columns left of the box where its field leaves the image.
        patch: (h, w, 3) in [0, 1], the image in the box.
        projection: (h, w, channels) signed.
    """

    unit: Unit
    activation: float
    box: Box
    overhang: tuple[int, int]
    patch: NDArray[np.float32]
    projection: NDArray[np.float32]


def exemplars(
    store: Store,
    layer: str,
    channels: int | Sequence[int],
    *,
    net: DeconvNet,
    dataset: Any,
    preprocessing: Any = None,
) -> dict[int, list[Exemplar]]:
    """Recompute what a store's strongest units saw, and project each.

    Every activation is compared with the one in the store, so that no figure is drawn from a
    data set that has changed.

    Args:
        store: mined from this model and data set.
        layer: one of its layers.
        channels: which of its channels, one or several.
        net: the mirrored model.
        dataset: gives the images by index, or is its path.
        preprocessing: turns tensors back into pictures, and images into tensors where the data
            set is given as a path: a ``Preprocessing``, or torchvision's weights; by default the
            data set's own, else the model's, else that of the store.

    Returns:
        {channel: exemplars}, strongest first; only those with a positive activation, so that the
        list of a dead channel is empty.

    Raises:
        KeyError, IndexError: no such layer, channel or position.
        ValueError: an activation is not the one in the store; an image is gone, can't be read, or
            is of another size.
    """
    dataset = given_dataset(
        dataset, preprocessing=preprocessing, model=net, attributes=store.attributes
    )
    preprocessing = needed_preprocessing(
        preprocessing, data=dataset, model=net, attributes=store.attributes
    )
    table = store[layer]
    same_size(store, dataset)
    channels = _known(layer, table, channels)
    units: list[tuple[Unit, float]] = []
    for channel in channels:
        # an image that left the unit at rest is no exemplar
        for slot in np.flatnonzero(table.lit[channel]).tolist():
            image, value = int(table.image[channel, slot]), float(table.activation[channel, slot])
            place = (int(table.row[channel, slot]), int(table.col[channel, slot]))
            position = place if table.size else None
            units.append((Unit.at(layer, channel, position=position, image=image), value))
    found: dict[int, list[Exemplar]] = {channel: [] for channel in channels}
    made = _project(net, dataset, preprocessing, units)
    for unit, _ in units:
        found[unit.channel].append(made[unit])
    return found


def stored_exemplars(
    store: Store, layer: str, channels: int | Sequence[int], *, rectifier: str
) -> dict[int, list[Exemplar]]:
    """The exemplars of which a store holds the pictures; neither model nor data set is needed.

    Args:
        store: with pictures, see ``deconvnet.mining.embed``.
        layer: one of its layers.
        channels: which of its channels, one or several.
        rectifier: the policy of the projections.

    Returns:
        {channel: exemplars}, as ``exemplars`` gives them, the patches as JPEG leaves them.

    Raises:
        KeyError, IndexError: no such layer or channel, or no such pictures in the store.
        ValueError: the file has changed since it was opened, or is damaged.
    """
    table = store[layer]
    channels = _known(layer, table, channels)
    found: dict[int, list[Exemplar]] = {channel: [] for channel in channels}
    for each in read_pictures(store, layer, channels, rectifier=rectifier):
        at = (each.channel, each.slot)
        place = (int(table.row[at]), int(table.col[at])) if table.size else None
        top, left, bottom, right = table.box[at].tolist()
        found[each.channel].append(
            Exemplar(
                Unit.at(layer, each.channel, position=place, image=int(table.image[at])),
                float(table.activation[at]),
                Box((top, left), (bottom, right)),
                each.overhang,
                each.patch,
                each.projection,
            )
        )
    return found


def _known(layer: str, table: LayerTable, channels: int | Sequence[int]) -> list[int]:
    """The channels, each once; all of them must exist."""
    channels = listed(channels, Integral)
    for channel in channels:
        if not 0 <= channel < table.channels:
            raise IndexError(
                f"{layer} has no channel {channel}; its channels are 0 to {table.channels - 1}"
            )
    return list(dict.fromkeys(channels))


def _project(
    net: DeconvNet,
    dataset: Any,
    preprocessing: Preprocessing,
    units: Sequence[tuple[Unit, float]],
) -> dict[Unit, Exemplar]:
    """Some images at a time, with all the units that look at them."""
    made: dict[Unit, Exemplar] = {}
    images = sorted({unit.image for unit, _ in units})
    for first in range(0, len(images), AT_ONCE):
        some = images[first : first + AT_ONCE]
        rows = {image: row for row, image in enumerate(some)}
        pixels = _images(dataset, some)
        here = [(unit, value) for unit, value in units if unit.image in rows]
        layer = here[0][0].layer
        local = [
            Unit.at(layer, unit.channel, position=unit.position, image=rows[unit.image])
            for unit, _ in here
        ]
        projections = net.project(pixels, units=local, crop=True)
        for (unit, value), cut in zip(here, projections, strict=True):
            assert isinstance(cut, Projection), "crop=True gives Projections"
            _compare(cut.activation, unit, value, torch.finfo(pixels.dtype).eps)
        positions = [unit.position or () for unit, _ in here]
        geometry = net.geometry(pixels.shape[1:], [layer])
        hang = receptive_field.overhang(geometry, layer, positions)
        starts, _ = receptive_field.boxes(geometry, layer, positions)
        pictures = [preprocessing.picture(image) for image in pixels]
        for (unit, value), cut, now, over, start in zip(
            here, projections, local, hang, starts.tolist(), strict=True
        ):
            box = cut.box
            # one channel of a join sees less than the layer's whole field
            anchor = (over[-2] + box.top - start[-2], over[-1] + box.left - start[-1])
            patch = pictures[now.image][box.slices]
            projection = cut.pixels.permute(1, 2, 0).float().cpu().numpy()
            made[unit] = Exemplar(unit, value, box, anchor, patch, projection)
    return made


def _images(dataset: Any, indices: Sequence[int]) -> Tensor:
    """Images of a data set, (images, channels, height, width)."""
    if indices[-1] >= len(dataset):
        raise ValueError(
            f"image {indices[-1]} of the store is not in the data set, which has {len(dataset)}; "
            "mine it again, or give the data set that was mined"
        )
    first = checked(dataset[indices[0]], indices[0], None).clone()  # it may be filled again
    rest = [checked(dataset[i], i, tuple(first.shape)).clone() for i in indices[1:]]
    return torch.stack([first, *rest])


def _compare(found: float, unit: Unit, value: float, eps: float) -> None:
    """The activation must be the one that was mined, up to the last bits of its precision."""
    tolerance = max(TOLERANCE, 8 * eps)
    if not (found == value or abs(found - value) <= tolerance * max(1.0, abs(value))):
        raise ValueError(
            f"the data set has changed since it was mined, or the model: {unit} of image "
            f"{unit.image} was {value:.4g} and is {found:.4g}; mine again, or give what was mined"
        )


def same_size(store: Store, dataset: Any) -> None:
    """The data set must give images of the size that was mined.

    Raises:
        ValueError: it does not.
    """
    size = tuple(first_image(dataset).shape[1:])
    mined = store.attributes.get("input_size")
    if list(size) != list(mined or []):  # type: ignore[call-overload]
        raise ValueError(f"the data set gives images of {size} pixels; {mined} were mined")
