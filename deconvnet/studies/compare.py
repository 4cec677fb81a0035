"""Compare rectifiers on the same units of the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from deconvnet.data.resolve import needed_preprocessing
from deconvnet.figures import ComparisonRow, comparison
from deconvnet.mining.exemplars import project_units
from deconvnet.net import DeconvNet
from deconvnet.units import Exemplar, Unit

from .result import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

METHODS = ("gradient", "deconvnet", "guided")


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Shown):
    """One unit in each image, projected under several rectifiers.

    Args:
        names: of the images.
        pictures: (height, width, 3) in [0, 1] for each image.
        exemplars: {rectifier: the unit of each image}.
        classes: names of the model's classes, where they are known.
    """

    names: Sequence[str]
    pictures: Sequence[NDArray[np.float32]]
    exemplars: Mapping[str, Sequence[Exemplar]]
    classes: Sequence[str] = ()

    @property
    def units(self) -> Sequence[Exemplar]:
        """The unit of each image, under the first rectifier."""
        return next(iter(self.exemplars.values()))

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """A row for each image: the image with the box of its unit, and every projection.

        The arguments are those of every result, see ``Shown.figure``.
        """
        rows = []
        for picture, *made in zip(self.pictures, *self.exemplars.values(), strict=True):
            box, whole = made[0].box, (0, 0, *picture.shape[:2])
            shown = [_whole(one, picture.shape[:2]) for one in made]
            label = self._label(made[0])
            rows.append(ComparisonRow(picture, shown, label, None if box.edges == whole else box))
        told = ", ".join(self.exemplars) if caption else None
        columns = ["photograph", *self.exemplars]
        return comparison(
            rows, columns=columns, width=width, title=title, caption=told, parent=parent
        )

    def table(self) -> list[dict[str, object]]:
        """One row an image: image, unit, activation, and box in pixels."""
        return [one.row(name) for name, one in zip(self.names, self.units, strict=True)]

    def _label(self, one: Exemplar) -> str:
        """Unit, or class by the last part of its name, and activation."""
        name = str(one.unit)
        if self.classes and one.unit.position is None:
            name = self.classes[one.unit.channel].rpartition("/")[2].replace("_", " ")
        return f"{name} = {one.activation:.3g}"


def compare(
    net: DeconvNet | nn.Module,
    images: Tensor,
    *,
    target: Unit | None = None,
    rectifiers: Sequence[str] = METHODS,
    fallback: str | None = None,
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
        fallback: what happens at activations that a policy has no rule for.
        preprocessing: turns tensors back into pictures; by default the model's own.
        names: of the images.
        classes: names of the model's classes.

    Raises:
        KeyError, IndexError: no such layer, channel or position.
        UnmirroredError: an activation on the way has no rule under a rectifier.
        ValueError: no preprocessing is known.
    """
    if not isinstance(net, DeconvNet) or fallback not in (None, net.policies.fallback):
        model = net.model if isinstance(net, DeconvNet) else net
        net = DeconvNet(model, rectifiers[0], fallback=fallback)
    prepared = needed_preprocessing(preprocessing, data=None, model=net.model, attributes={})
    made: dict[str, list[Exemplar]] = {}
    units: list[Unit] = []
    for rectifier in rectifiers:
        mirrored = net.with_rectifier(rectifier)
        units = units or _units(mirrored, images, target)
        made[rectifier] = project_units(mirrored, images, units, preprocessing=prepared)
        units = [one.unit for one in made[rectifier]]
    pictures = [prepared.picture(image) for image in images]
    return Comparison(names or list(map(str, range(len(images)))), pictures, made, classes)


def _units(net: DeconvNet, images: Tensor, target: Unit | None) -> list[Unit]:
    """The target in every image, or every image's likeliest class."""
    if target is not None:
        return [replace(target, image=image) for image in range(len(images))]
    layer, scores = next(iter(net.record(images).activations.items()))
    best = scores.reshape(*scores.shape[:2], -1).amax(2).argmax(1).tolist()
    return [Unit(layer, channel, image=image) for image, channel in enumerate(best)]


def _whole(one: Exemplar, size: tuple[int, ...]) -> NDArray[np.float32]:
    """The projection in an image of this size; outside of its box it is zero."""
    pixels = np.zeros((*size, one.projection.shape[2]), "f4")
    top, left, bottom, right = one.box.edges
    pixels[top:bottom, left:right] = one.projection
    return pixels
