"""Compare rectifiers on the same units of the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from deconvnet.arguments import listed
from deconvnet.figures import SIGNS, ComparisonRow, comparison
from deconvnet.layers import Rectifier
from deconvnet.layers import rectifier as rectifier_named
from deconvnet.net import DeconvNet
from deconvnet.units import Exemplar

from .given import images_of, net_of
from .result import Shown
from .targets import Target, project_targets, targets_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

METHODS = ("gradient", "deconvnet", "guided")


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Shown):
    """Targets in images, projected under several rectifiers.

    Args:
        names: of the image of each row.
        pictures: (height, width, 3) in [0, 1], the image of each row.
        exemplars: {rectifier: the target of each row}; of a region, its units together.
        classes: names of the model's classes, where they are known.
        sign: which values are drawn: "all", "positive", "negative" or "absolute_value".
        model: the class of the model.
    """

    names: Sequence[str]
    pictures: Sequence[NDArray[np.float32]]
    exemplars: Mapping[str, Sequence[Exemplar]]
    classes: Sequence[str] = ()
    sign: Sequence[str] = ("all",)
    model: str = ""

    @property
    def units(self) -> Sequence[Exemplar]:
        """The target of each row, under the first rectifier."""
        return next(iter(self.exemplars.values()))

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """A row for each image, target and sign: the image with the box, and every projection.

        The arguments are those of every result, see ``Shown.figure``.
        """
        rows = []
        for picture, *made in zip(self.pictures, *self.exemplars.values(), strict=True):
            box, whole = made[0].box, (0, 0, *picture.shape[:2])
            shown = [_whole(one, picture.shape[:2]) for one in made]
            outlined = None if box.edges == whole else box
            for number, sign in enumerate(self.sign):
                label = sign.replace("_", " ") if number else self._label(made[0])
                rows.append(
                    ComparisonRow(picture, shown, label, outlined, sign, repeated=number > 0)
                )
        told = ", ".join(self.exemplars) if caption else None
        columns = ["photograph", *self.exemplars]
        return comparison(
            rows, columns=columns, width=width, title=title, caption=told, parent=parent
        )

    def table(self) -> list[dict[str, object]]:
        """One row an image and target: image, unit, activation, and box in pixels."""
        return [one.row(name) for name, one in zip(self.names, self.units, strict=True)]

    def _label(self, one: Exemplar) -> str:
        """Unit, or class by the last part of its name, and activation; the sign if it is one."""
        name = str(one.unit)
        if self.classes and one.unit.position is None:
            name = self.classes[one.unit.channel].rpartition("/")[2].replace("_", " ")
        sign = "" if self.sign[0] == "all" else f", {self.sign[0].replace('_', ' ')}"
        return f"{name} = {one.activation:.3g}{sign}"


def compare(
    net: DeconvNet | nn.Module,
    images: Any,
    *,
    layer: str | nn.Module | None = None,
    channel: int | None = None,
    target: Target | Sequence[Target] | None = None,
    rectifiers: str | Rectifier | Sequence[str | Rectifier] = METHODS,
    sign: str | Sequence[str] = ("all",),
    fallback: str | None = None,
    preprocessing: Any = None,
    names: Sequence[str] = (),
    classes: Sequence[str] = (),
) -> Comparison:
    """Project targets in every image under several rectifiers.

    Args:
        net: a DeconvNet, or a model.
        images: paths, PIL images, uint8 arrays, one or several; or a float tensor (batch,
            channels, *size) or (channels, *size), preprocessed.
        layer: node name or module; the target is then its strongest unit in each image, of
            ``channel`` if that is given.
        channel: of the layer.
        target: a class by its index, a ``Unit`` (without a position, the strongest one in each
            image), a ``Region`` of a map; or several of them, each a row. By default the class
            that the model finds likeliest in each image.
        rectifiers: names or instances of rules, one or several.
        sign: which values are drawn, one or several: "all" (zero is mid-grey), "positive",
            "negative" or "absolute_value" (on black, as in Schlüter's notebook).
        fallback: what happens at activations that a rule has none for; by default as in the net.
        preprocessing: reads images and turns tensors back into pictures; by default that of the
            net or model.
        names: of the images, instead of those of their files.
        classes: names of the model's classes.

    Raises:
        KeyError, IndexError: no such layer, channel or position.
        TypeError: a target of another kind.
        UnmirroredError: an activation on the way has no rule under a rectifier.
        ValueError: no preprocessing is known, an image cannot be read, a mask does not fit the
            map, an unknown sign, or arguments that exclude each other.
    """
    signs, rules = check_signs(sign), listed(rectifiers, str, Rectifier)
    if not rules:
        raise ValueError(f"no rectifiers were given, expected some of {', '.join(METHODS)}, …")
    net = net_of(net, rules[0], fallback=fallback)
    given = images_of(images, net, preprocessing=preprocessing, names=names)
    shown, made = given.pictures, {}
    targets = targets_of(net, given.tensor, layer, channel, target=target)
    for rule in rules:
        mirrored = net_of(net, rule)
        made[str(rectifier_named(rule))] = project_targets(mirrored, given, targets)
    rows = [one.unit.image for one in next(iter(made.values()))]
    return Comparison(
        [given.names[row] for row in rows], [shown[row] for row in rows], made, classes, signs,
        type(net.model).__name__,
    )  # fmt: skip


def check_signs(sign: str | Sequence[str]) -> tuple[str, ...]:
    """The signs of a call; ValueError for one that is unknown, or none."""
    signs = tuple(listed(sign, str))
    for one in signs or ("",):
        if one not in SIGNS:
            raise ValueError(f"sign={one!r} was given, expected some of {', '.join(SIGNS)}")
    return signs


def _whole(one: Exemplar, size: tuple[int, ...]) -> NDArray[np.float32]:
    """The projection in an image of this size; outside of its box it is zero."""
    pixels = np.zeros((*size, one.projection.shape[2]), "f4")
    top, left, bottom, right = one.box.edges
    pixels[top:bottom, left:right] = one.projection
    return pixels
