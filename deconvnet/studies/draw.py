"""Figures of networks: stores, models and photographs in, figures and their provenance out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
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
from deconvnet.projection.recording import Recording
from deconvnet.projection.result import Projection
from deconvnet.units import Unit
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
    images = torch.stack([p.tensor for p in photographs])
    everywhere = [replace(unit, image=i) for i in range(len(photographs)) for unit in units]
    cuts = _cut(net.project(images, units=everywhere, seed=seed, crop=True))
    rows, numbers = [], []
    for image, photograph in enumerate(photographs):
        picture = loaded.preprocessing.picture(photograph.tensor)
        views = []
        for cut in cuts[image * len(units) :][: len(units)]:
            unit, value = cut.unit, cut.activation
            box = (cut.box.top, cut.box.left, cut.box.bottom, cut.box.right)
            label = f"{str(unit).replace('@', ' @ ')} = {value:.3g}"  # folds at the @
            views.append(UnitView(label, box, picture[cut.box.slices], _picture(cut)))
            numbers.append(
                {"image": photograph.name, "unit": str(unit), "activation": value, "box": box}
            )
        rows.append(ImageRow(picture, views, photograph.name))
    layer, rule = cuts[0].unit.layer, net.policies.rectifier.name
    return visualization(rows, width=width, title=layer, subtitle=rule), numbers


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
    first = DeconvNet(loaded.model, METHODS[0], elsewhere=elsewhere)
    recording = first.record(images, unit.layer if unit else None)
    cuts = _cut(first.project(recording, units=_rowwise(recording, unit), crop=True))
    units = [cut.unit for cut in cuts]
    nets = [first.with_rectifier(method) for method in METHODS]
    columns = [list(net.project(images, units=units)) for net in nets]
    rows, numbers = [], []
    for i, (photograph, cut) in enumerate(zip(photographs, cuts, strict=True)):
        picture = loaded.preprocessing.picture(photograph.tensor)
        box = (cut.box.top, cut.box.left, cut.box.bottom, cut.box.right)
        whole = (0, 0, *picture.shape[:2])
        one, value = cut.unit, cut.activation
        said = _spoken(classes[one.channel]) if one.position is None and classes else str(one)
        projections = [_picture(column[i]) for column in columns]
        label = f"{said} = {value:.3g}"
        rows.append(ComparisonRow(picture, projections, label, None if box == whole else box))
        numbers.append(
            {"image": photograph.name, "unit": str(one), "activation": value, "box": box}
        )
    figure = comparison(rows, columns=["photograph", *METHODS], width=width)
    return figure, numbers


def _rowwise(recording: Recording, unit: Unit | None) -> list[Unit]:
    """The unit in every image, or every image's likeliest class."""
    ((layer, maps),) = recording.activations.items()
    if unit is not None:
        return [replace(unit, layer=layer, image=image) for image in range(len(maps))]
    best = maps.flatten(2).amax(2) if maps.ndim > 2 else maps
    return [Unit(layer, c, image=image) for image, c in enumerate(best.argmax(1).tolist())]


def _picture(pixels: Tensor | Projection) -> NDArray[np.float32]:
    """A signal as figures take it, (height, width, channels)."""
    signal = pixels.pixels if isinstance(pixels, Projection) else pixels
    return signal.permute(1, 2, 0).cpu().numpy()


def _cut(projections: Tensor | list[Projection]) -> list[Projection]:
    assert isinstance(projections, list), "crop=True gives Projections"
    return projections


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
