"""Recompute the exemplars of a store: project its strongest units on their images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deconvnet.data.pictures import Prepares
from deconvnet.data.resolve import given_dataset, needed_preprocessing
from deconvnet.data.samples import checked, first_image
from deconvnet.net import DeconvNet
from deconvnet.projection import receptive_field
from deconvnet.projection.recording import Recording
from deconvnet.projection.result import Projection
from deconvnet.store.sources import strongest_slots
from deconvnet.store.store import Store
from deconvnet.store.table import Directions, Entries, LayerTable, Lowest
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
    k: int | None = None,
    per_source: int | None = None,
    path: str = "",
    report: Callable[[int, int], None] | None = None,
) -> dict[int, list[Exemplar]]:
    """Recompute the exemplars of a store; ``studies.exemplars`` explains the arguments.

    Every activation is compared with the one in the store, so that no figure is drawn from a
    data set that has changed. ``path`` is where their table stands, see ``LayerTable.every``.

    Returns:
        {channel: exemplars} in the order of the table; of the strongest only those with a positive
        activation, so that the list of a dead channel is empty.

    Raises:
        KeyError, IndexError: no such layer, channel or position.
        ValueError: an activation is not the one in the store; an image is gone, can't be read, or
            is of another size.
    """
    table = store[layer].every[path]
    channels = table.listed_channels(layer, channels)
    places = [
        (channel, slot)
        for channel in channels
        for slot in strongest_slots(store, layer, channel, k=k, per_source=per_source, path=path)
    ]
    made = project_entries(
        store, table, node_of(table, layer), places, net=net, dataset=dataset,
        preprocessing=preprocessing, direction=vectors_of(store[layer], path), report=report,
    )  # fmt: skip
    exemplars: dict[int, list[Exemplar]] = {channel: [] for channel in channels}
    for one in made:
        exemplars[one.unit.channel].append(one)
    return exemplars


def project_entries(
    store: Store,
    table: Entries,
    layer: str,
    places: Sequence[tuple[int, int]],
    *,
    net: DeconvNet,
    dataset: Any,
    preprocessing: Any = None,
    direction: Tensor | None = None,
    report: Callable[[int, int], None] | None = None,
) -> list[Exemplar]:
    """Recompute entries of any table of a store, in this order; see ``project_exemplars``.

    A projection starts with the recorded value: of the lowest a negative one, of a direction the
    value along the direction.

    Args:
        store: the store.
        table: one of its tables: a layer's own, its lowest, its sample, or those of directions.
        layer: whose activations stand in the table, see ``node_of``.
        places: (channel, slot) of each entry; none of them is empty.
        net: the mirrored model.
        dataset: that was mined.
        preprocessing: turns tensors back into pictures.
        direction: those of the table, see ``vectors_of``.
        report: told how many are done, of how many.
    """
    made: dict[Unit, Exemplar] = {}
    mined = {table.unit(layer, *place): place for place in places}
    reading = Reading(store, net, dataset, preprocessing)
    for units, local, pixels in reading.batches(list(mined)):
        some = project_units(
            net, pixels, local, preprocessing=reading.preprocessing, direction=direction
        )
        for unit, one in zip(units, some, strict=True):
            value = float(table.value[mined[unit]])
            _compare(one.activation, unit, value, torch.finfo(pixels.dtype).eps)
            made[unit] = replace(one, unit=unit, activation=value)
        if report is not None:
            report(len(made), len(mined))
    return [made[table.unit(layer, *place)] for place in places]


def node_of(table: Entries, layer: str) -> str:
    """The node whose activations stand in one of a layer's tables."""
    return table.of if isinstance(table, Lowest) else layer


def vectors_of(table: LayerTable, path: str) -> Tensor | None:
    """The directions (directions, channels) that a table at a path is of; None for channels."""
    own = table.every["/".join(path.split("/")[:2])]
    return torch.from_numpy(own.vector) if isinstance(own, Directions) else None


class Reading:
    """The images of a store's units, as its data set has them.

    Args:
        store: that was mined.
        net: the mirrored model.
        dataset: that was mined, or a word for it.
        preprocessing: turns tensors back into pictures.

    Raises:
        ValueError: the images are of another size, or no preprocessing is known.
    """

    def __init__(self, store: Store, net: DeconvNet, dataset: Any, preprocessing: Any) -> None:
        facts, axes = store.attributes, next(iter(store.values())).axes
        self.dataset = given_dataset(
            dataset, preprocessing=preprocessing, model=net, attributes=facts
        )
        self.preprocessing = needed_preprocessing(
            preprocessing, data=self.dataset, model=net, attributes=facts, axes=axes
        )
        same_size(store, self.dataset)

    def batches(self, units: Sequence[Unit]) -> Iterator[tuple[list[Unit], list[Unit], Tensor]]:
        """Units of images of the data set; the same as units of a batch; and the batch."""
        images = sorted({unit.image for unit in units})
        for first in range(0, len(images), AT_ONCE):
            some = images[first : first + AT_ONCE]
            here = [unit for unit in units if unit.image in some]
            local = [replace(unit, image=some.index(unit.image)) for unit in here]
            yield here, local, _images(self.dataset, some)


def project_units(
    net: DeconvNet,
    images: Tensor,
    units: Sequence[Unit],
    *,
    preprocessing: Prepares,
    seed: str = "activation",
    recording: Recording | None = None,
    direction: Tensor | None = None,
) -> list[Exemplar]:
    """Project units of one layer, and cut the patches that they see from their images.

    The images are (batch, channels, *size), preprocessed; with a ``recording`` of them they do
    not run again. Of a unit without a position the strongest position of its channel is taken.
    ``direction`` and errors are those of ``DeconvNet.project``.
    """
    given = images if recording is None else recording
    projections = net.project(given, units=units, seed=seed, crop=True, direction=direction)
    cuts = [cut for cut in projections if isinstance(cut, Projection)]  # with crop all are
    layer, positions = cuts[0].unit.layer, [cut.unit.position or () for cut in cuts]
    geometry = net.geometry(images.shape[1:], [layer])
    hang = receptive_field.overhang(geometry, layer, positions)
    starts, _ = receptive_field.boxes(geometry, layer, positions)
    pictures = {unit.image: preprocessing.pixels(images[unit.image]) for unit in units}
    made = []
    for cut, over, start in zip(cuts, hang, starts.tolist(), strict=True):
        box = cut.box
        # one channel of a join sees less than the layer's whole field
        overhang = tuple(np.add(over, np.subtract(box.start, start)).tolist())
        patch = pictures[cut.unit.image][box.slices]
        projection = np.ascontiguousarray(cut.pixels.movedim(0, -1).float().cpu().numpy())
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
    shape = tuple(first_image(dataset).shape)
    mined = store.attributes.get("input_size")
    if mined not in (shape, shape[1:]):  # without channels in version 1
        raise ValueError(f"the data set gives images of {shape}; of {mined} were mined")
