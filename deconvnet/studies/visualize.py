"""Units in images: receptive field, patch and projection of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

from torch import Tensor

from deconvnet.arguments import listed
from deconvnet.data.resolve import needed_preprocessing
from deconvnet.figures import ImageRow, visualization
from deconvnet.mining.exemplars import project_units
from deconvnet.net import DeconvNet
from deconvnet.units import Unit

from .result import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure


@dataclass(frozen=True, eq=False, repr=False)
class Visualization(Shown):
    """Units in images.

    Args:
        rows: for each image, its picture and its units as exemplars.
        layer: of the units.
        rectifier: the rule of the projections.
    """

    rows: Sequence[ImageRow]
    layer: str
    rectifier: str

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """Each image with its fields outlined, and patch and projection of each unit.

        The arguments are those of every result, see ``Shown.figure``.
        """
        told = f"{self.layer} by {self.rectifier}" if caption else None
        return visualization(self.rows, width=width, title=title, caption=told, parent=parent)

    def table(self) -> list[dict[str, object]]:
        """One row a unit and image: image, unit, activation, and box in pixels."""
        return [one.row(row.name) for row in self.rows for one in row.units]


def visualize(
    net: DeconvNet,
    images: Tensor,
    *,
    layer: str,
    channel: int | Sequence[int],
    position: tuple[int, ...] | None = None,
    seed: str = "activation",
    preprocessing: Any = None,
    names: Sequence[str] = (),
) -> Visualization:
    """Project channels of a layer in every image.

    Args:
        net: the mirrored model.
        images: (batch, channels, height, width), preprocessed.
        layer: node name, as in ``net.layers``.
        channel: one or several.
        position: (row, col) in the map; by default the strongest of each channel in each image.
        seed: "activation", "one" or "map", as for ``DeconvNet.project``.
        preprocessing: turns tensors back into pictures; by default the model's own.
        names: of the images.

    Raises:
        KeyError, IndexError: no such layer, channel or position.
        UnmirroredError: an activation on the way has no rule under the net's rectifier.
        ValueError: no preprocessing is known.
    """
    prepared = needed_preprocessing(preprocessing, data=None, model=net, attributes={})
    units = [
        Unit.at(layer, one, position=position, image=image)
        for image in range(len(images))
        for one in listed(channel, Integral)
    ]
    made = project_units(net, images, units, preprocessing=prepared, seed=seed)
    rows = [
        ImageRow(
            prepared.picture(image),
            [one for one in made if one.unit.image == number],
            names[number] if names else str(number),
        )
        for number, image in enumerate(images)
    ]
    return Visualization(rows, made[0].unit.layer, str(net.policies.rectifier))
