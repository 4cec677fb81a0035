"""Figures of networks: stores, models and photographs in, figures and their provenance out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

import deconvnet
from deconvnet.figures import (
    RULE,
    ChannelBlock,
    ComparisonRow,
    ImageRow,
    UnitView,
    comparison,
    figure2,
    visualization,
)
from deconvnet.mining.exemplars import Exemplar
from deconvnet.net import DeconvNet
from deconvnet.projection.forward import Recording
from deconvnet.projection.result import Projection, boxes
from deconvnet.projection.seeds import resolve
from deconvnet.units import Box, Unit
from deconvnet.zoo.load import LoadedModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHODS = ("gradient", "deconvnet", "guided")


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph as the model takes it.

    Args:
        name: what stands beside it.
        tensor: (3, height, width), preprocessed.
    """

    name: str
    tensor: Tensor


def draw_exemplars(
    found: Mapping[int, Sequence[Exemplar]], layer: str, *, width: str | float, rectifier: str
) -> Figure:
    """The grid of Zeiler & Fergus 2014, figure 2: projections beside patches, for each channel."""
    blocks = [
        ChannelBlock(
            channel,
            [e.activation for e in those],
            [e.projection for e in those],
            [e.patch for e in those],
            note=None if those else "never positive",
            anchors=[e.overhang for e in those],
        )
        for channel, those in found.items()
    ]
    return figure2(blocks, width=width, title=layer, subtitle=rectifier)


def draw_units(
    net: DeconvNet,
    loaded: LoadedModel,
    photographs: Sequence[Photograph],
    units: Sequence[Unit],
    *,
    seed: str,
    width: str | float,
) -> tuple[Figure, list[dict[str, object]]]:
    """Chosen units in photographs: field, patch and projection, and the same in numbers."""
    layer = units[0].layer
    recording = net.record(torch.stack([p.tensor for p in photographs]), layer)
    name = next(iter(recording.activations))
    chosen = [
        resolve(recording, Unit.at(name, unit.channel, position=unit.position, image=image))
        for image in range(len(photographs))
        for unit in units
    ]
    cuts = net.project(recording, units=chosen, seed=seed, crop=True)
    rows, numbers = [], []
    for image, photograph in enumerate(photographs):
        picture = loaded.preprocessing.picture(photograph.tensor)
        views = []
        for unit, cut in zip(chosen, cuts, strict=True):
            if unit.image != image:
                continue
            assert isinstance(cut, Projection), "crop=True gives Projections"
            value = float(recording[name][(image, unit.channel, *(unit.position or ()))])
            box = (cut.box.top, cut.box.left, cut.box.bottom, cut.box.right)
            projection = cut.pixels.permute(1, 2, 0).cpu().numpy()
            label = f"{str(unit).replace('@', ' @ ')} = {value:.3g}"  # folds at the @
            views.append(UnitView(label, box, picture[cut.box.slices], projection))
            numbers.append(
                {"image": photograph.name, "unit": str(unit), "activation": value, "box": box}
            )
        rows.append(ImageRow(picture, views, photograph.name))
    return visualization(
        rows, width=width, title=name, subtitle=net.policies.rectifier.name
    ), numbers


def draw_comparison(
    loaded: LoadedModel,
    photographs: Sequence[Photograph],
    unit: Unit | None,
    *,
    elsewhere: str | None,
    width: str | float,
    classes: Sequence[str] = (),
) -> tuple[Figure, list[dict[str, object]]]:
    """Photograph, gradient, deconvnet and guided side by side, for a unit or a class score.

    Args:
        loaded: the model.
        photographs: one row each.
        unit: the unit; without a position, the strongest one in each photograph. Without a unit,
            the class the model finds most likely in each photograph.
        elsewhere: what happens at activations a method has no rule for.
        width: of the figure, a name or inches.
        classes: names of the model's classes.
    """
    images = torch.stack([p.tensor for p in photographs])
    columns: list[list[Tensor]] = []
    fields: list[Box] = []
    units: list[Unit] = []
    values: list[float] = []
    for method in METHODS:
        net = DeconvNet(loaded.model, method, elsewhere=elsewhere)
        recording = net.record(images, unit.layer if unit else None)
        if not units:
            units = _rowwise(recording, unit, len(photographs))
            values = [
                float(recording[u.layer][(u.image, u.channel, *(u.position or ()))]) for u in units
            ]
        pixels = net.project(recording, units=units)
        assert isinstance(pixels, Tensor), "without crop there is one tensor"
        fields = boxes(recording, units)
        columns.append(list(pixels))
    rows, numbers = [], []
    for i, (photograph, one, value) in enumerate(zip(photographs, units, values, strict=True)):
        picture = loaded.preprocessing.picture(photograph.tensor)
        seen = fields[i]
        box = (seen.top, seen.left, seen.bottom, seen.right)
        whole = (0, 0, *picture.shape[:2])
        said = _spoken(classes[one.channel]) if one.position is None and classes else str(one)
        projections = [column[i].permute(1, 2, 0).cpu().numpy() for column in columns]
        label = f"{said} = {value:.3g}"
        rows.append(ComparisonRow(picture, projections, label, None if box == whole else box))
        numbers.append(
            {"image": photograph.name, "unit": str(one), "activation": value, "box": box}
        )
    figure = comparison(rows, columns=["photograph", *METHODS], width=width)
    return figure, numbers


def _rowwise(recording: Recording, unit: Unit | None, images: int) -> list[Unit]:
    """The unit in every image, or every image's likeliest class."""
    layer = next(iter(recording.activations))
    if unit is None:
        best = (
            recording[layer].flatten(2).amax(2) if recording[layer].ndim > 2 else recording[layer]
        )
        channels = best.argmax(1).tolist()
        position = None
    else:
        channels, position = [unit.channel] * images, unit.position
    return [
        resolve(recording, Unit.at(layer, channel, position=position, image=image))
        for image, channel in enumerate(channels)
    ]


def _spoken(name: str) -> str:
    """A class by the last part of its name: "food-fruit/red_apple" is a red apple."""
    return name.rpartition("/")[2].replace("_", " ")


class Named(Protocol):
    """A model by the words it was loaded by."""

    @property
    def spec(self) -> str:
        """The word."""

    @property
    def weights(self) -> str:
        """The file, or the name, of its weights; empty for none."""


def provenance(loaded: Named, **entries: object) -> dict[str, str]:
    """How a figure was made, for its metadata."""
    return {
        "model": loaded.spec,
        "weights": Path(loaded.weights).name,
        **{name: str(value) for name, value in entries.items()},
        "contrast": RULE,
        "deconvnet": deconvnet.__version__,
        "torch": torch.__version__,
        "matplotlib": version("matplotlib"),
    }
