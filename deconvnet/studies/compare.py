"""Several rectifiers side by side on the same units of the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from deconvnet.data.resolve import needed_preprocessing
from deconvnet.figures import ComparisonRow, comparison
from deconvnet.net import DeconvNet
from deconvnet.projection.result import Projection
from deconvnet.units import Box, Unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHODS = ("gradient", "deconvnet", "guided")


@dataclass(frozen=True, eq=False)
class Comparison:
    """One unit in each image, projected under several rectifiers.

    Args:
        rectifiers: the rules, in the order of the columns.
        names: of the images.
        pictures: (images, height, width, 3) in [0, 1].
        projections: (images, rectifiers, height, width, channels), signed.
        units: one for each image, with its position.
        activations: of the units.
        boxes: receptive fields, clipped to the image.
        classes: names of the model's classes, where they are known.
    """

    rectifiers: Sequence[str]
    names: Sequence[str]
    pictures: NDArray[np.float32]
    projections: NDArray[np.float32]
    units: Sequence[Unit]
    activations: Sequence[float]
    boxes: Sequence[Box]
    classes: Sequence[str] = ()

    def figure(self, *, width: str | float = "cvpr-full") -> Figure:
        """A row for each image: the image with the box of its unit, and every projection.

        Args:
            width: a name in ``deconvnet.figures.WIDTHS``, or inches.
        """
        whole = (0, 0, *self.pictures.shape[1:3])
        rows = [
            ComparisonRow(picture, list(made), label, None if box.edges == whole else box)
            for picture, made, label, box in zip(
                self.pictures, self.projections, self._labels(), self.boxes, strict=True
            )
        ]
        return comparison(rows, columns=["photograph", *self.rectifiers], width=width)

    def table(self) -> list[dict[str, object]]:
        """One row an image: image, unit, activation, and box in pixels."""
        return [
            {"image": name, "unit": str(unit), "activation": activation, "box": box.edges}
            for name, unit, activation, box in zip(
                self.names, self.units, self.activations, self.boxes, strict=True
            )
        ]

    def _labels(self) -> list[str]:
        """Unit, or class by the last part of its name, and activation."""
        return [
            f"{self.classes[unit.channel].rpartition('/')[2].replace('_', ' ')} = {value:.3g}"
            if self.classes and unit.position is None
            else f"{unit} = {value:.3g}"
            for unit, value in zip(self.units, self.activations, strict=True)
        ]


def compare(
    net: DeconvNet | nn.Module,
    images: Tensor,
    *,
    target: Unit | None = None,
    rectifiers: Sequence[str] = METHODS,
    elsewhere: str | None = None,
    preprocessing: Any = None,
    names: Sequence[str] = (),
    classes: Sequence[str] = (),
) -> Comparison:
    """Project one unit of every image under several rectifiers.

    Args:
        net: the model, or a DeconvNet of it.
        images: (batch, channels, height, width), preprocessed.
        target: the unit; without a position, the strongest one in each image. Without a target,
            the class that the model finds likeliest in each image.
        rectifiers: names of policies.
        elsewhere: what happens at activations that a policy has no rule for.
        preprocessing: turns tensors back into pictures; by default the model's own.
        names: of the images.
        classes: names of the model's classes.

    Raises:
        KeyError, IndexError: no such layer, channel or position.
        UnmirroredError: an activation on the way has no rule under a rectifier.
        ValueError: it is not known how tensors become pictures again.
    """
    model = net.model if isinstance(net, DeconvNet) else net
    prepared = needed_preprocessing(preprocessing, data=None, model=model, attributes={})
    columns: list[list[Projection]] = []
    units: list[Unit] = []
    for rectifier in rectifiers:
        mirrored = DeconvNet(model, rectifier, elsewhere=elsewhere)
        units = units or _units(mirrored, images, target)
        made = mirrored.project(images, units=units, crop=True)
        columns.append([cut for cut in made if isinstance(cut, Projection)])
        units = [cut.unit for cut in columns[0]]
    projections = np.zeros((len(images), len(rectifiers), *images.shape[2:], images.shape[1]), "f4")
    for column, cuts in enumerate(columns):
        for number, cut in enumerate(cuts):  # outside of its box a projection is zero
            top, left, bottom, right = cut.box.edges
            pixels = cut.pixels.permute(1, 2, 0).float().cpu().numpy()
            projections[number, column, top:bottom, left:right] = pixels
    return Comparison(
        rectifiers,
        names or list(map(str, range(len(images)))),
        np.stack([prepared.picture(image) for image in images]),
        projections,
        units,
        [cut.activation for cut in columns[0]],
        [cut.box for cut in columns[0]],
        classes,
    )


def _units(net: DeconvNet, images: Tensor, target: Unit | None) -> list[Unit]:
    """The target in every image, or every image's likeliest class."""
    if target is not None:
        layer, position = net.graph.find(target.layer), target.position
        channels = [target.channel] * len(images)
    else:
        recording = net.record(images)
        layer, position = next(iter(recording.activations)), None
        scores = recording[layer]
        channels = scores.reshape(*scores.shape[:2], -1).amax(2).argmax(1).tolist()
    return [
        Unit.at(layer, channel, position=position, image=image)
        for image, channel in enumerate(channels)
    ]
