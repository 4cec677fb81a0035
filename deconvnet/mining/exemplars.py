"""Recompute the exemplars of a store: project its strongest units on their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deconvnet.data import Preprocessing
from deconvnet.data.resolve import given_dataset, needed_preprocessing
from deconvnet.data.samples import checked, first_image
from deconvnet.net import DeconvNet
from deconvnet.projection import receptive_field
from deconvnet.projection.result import Projection
from deconvnet.store.store import Store
from deconvnet.units import Exemplar, Unit

AT_ONCE = 64  # images that are looked at together
TOLERANCE = 1e-3  # relative; another batch shape changes the last bits, another image far more


def project_exemplars(
    store: Store,
    layer: str,
    channels: int | Sequence[int],
    *,
    net: DeconvNet,
    dataset: Any,
    preprocessing: Any = None,
) -> dict[int, list[Exemplar]]:
    """Recompute the exemplars of a store; ``studies.exemplars`` explains the arguments.

    Every activation is compared with the one in the store, so that no figure is drawn from a
    data set that has changed.

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
    channels = table.listed_channels(layer, channels)
    mined = {
        table.unit(layer, channel, slot): float(table.value[channel, slot])
        for channel in channels
        for slot in np.flatnonzero(table.has_picture[channel]).tolist()
    }
    made: dict[Unit, Exemplar] = {}
    images = sorted({unit.image for unit in mined})
    for first in range(0, len(images), AT_ONCE):
        some = images[first : first + AT_ONCE]
        pixels = _images(dataset, some)
        units = [unit for unit in mined if unit.image in some]
        local = [replace(unit, image=some.index(unit.image)) for unit in units]
        for unit, one in zip(
            units, project_units(net, pixels, local, preprocessing=preprocessing), strict=True
        ):
            _compare(one.activation, unit, mined[unit], torch.finfo(pixels.dtype).eps)
            made[unit] = replace(one, unit=unit, activation=mined[unit])
    exemplars: dict[int, list[Exemplar]] = {channel: [] for channel in channels}
    for unit in mined:
        exemplars[unit.channel].append(made[unit])
    return exemplars


def project_units(
    net: DeconvNet,
    images: Tensor,
    units: Sequence[Unit],
    *,
    preprocessing: Preprocessing,
    seed: str = "activation",
) -> list[Exemplar]:
    """Project units of one layer, and cut the patches that they see from their images.

    The images are (batch, channels, height, width), preprocessed. Of a unit without a position the
    strongest position of its channel is taken. Errors are those of ``DeconvNet.project``.
    """
    projections = net.project(images, units=units, seed=seed, crop=True)
    cuts = [cut for cut in projections if isinstance(cut, Projection)]  # with crop all are
    layer, positions = cuts[0].unit.layer, [cut.unit.position or () for cut in cuts]
    geometry = net.geometry(images.shape[1:], [layer])
    hang = receptive_field.overhang(geometry, layer, positions)
    starts, _ = receptive_field.boxes(geometry, layer, positions)
    pictures = {unit.image: preprocessing.picture(images[unit.image]) for unit in units}
    made = []
    for cut, over, start in zip(cuts, hang, starts.tolist(), strict=True):
        box = cut.box
        # one channel of a join sees less than the layer's whole field
        overhang = (over[-2] + box.top - start[-2], over[-1] + box.left - start[-1])
        patch = pictures[cut.unit.image][box.slices]
        projection = cut.pixels.permute(1, 2, 0).float().cpu().numpy()
        made.append(Exemplar(cut.unit, cut.activation, box, overhang, patch, projection))
    return made


def _images(dataset: Any, indices: Sequence[int]) -> Tensor:
    """Read images of a data set by their indices in ascending order, as one batch."""
    if indices[-1] >= len(dataset):
        raise ValueError(
            f"image {indices[-1]} of the store is not in the data set, which has {len(dataset)}; "
            "mine it again, or give the data set that was mined"
        )
    first = checked(dataset[indices[0]], indices[0], None).clone()  # it may be filled again
    rest = [checked(dataset[i], i, tuple(first.shape)).clone() for i in indices[1:]]
    return torch.stack([first, *rest])


def _compare(now: float, unit: Unit, mined: float, eps: float) -> None:
    """Check that an activation is the mined one, up to the last bits of its precision."""
    tolerance = max(TOLERANCE, 8 * eps)
    if not (now == mined or abs(now - mined) <= tolerance * max(1.0, abs(mined))):
        raise ValueError(
            f"the data set has changed since it was mined, or the model: {unit} of image "
            f"{unit.image} was {mined:.4g} and is {now:.4g}; mine again, or give what was mined"
        )


def same_size(store: Store, dataset: Any) -> None:
    """Check that the data set gives images of the size that was mined."""
    size = tuple(first_image(dataset).shape[1:])
    mined = store.attributes.get("input_size")
    if list(size) != list(mined or []):  # type: ignore[call-overload]
        raise ValueError(f"the data set gives images of {size} pixels; {mined} were mined")
