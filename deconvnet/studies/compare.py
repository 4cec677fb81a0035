"""Compare rectifiers on the same units of the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from deconvnet.arguments import listed
from deconvnet.figures import SIGNS, ComparisonRow, comparison, comparison_rows
from deconvnet.figures.canvas.lettering import digits
from deconvnet.layers import Rectifier
from deconvnet.layers import rectifier as rectifier_named
from deconvnet.net import DeconvNet
from deconvnet.units import Exemplar

from .bands import bands_of, captioned, sanity_line, with_line
from .given import images_of, net_of
from .result import Shown
from .targets import Recordings, Target, label, project_targets, targets_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

    from .sanity import Sanity

METHODS = ("gradient", "deconvnet", "guided")


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Shown):
    """Targets in images, projected under several rectifiers.

    Args:
        names: of the image of each row.
        pictures: (*size, 3) in [0, 1], the image of each row; of a signal, (length, bands).
        exemplars: {rectifier: the target of each row}; of a region, its units together.
        labels: what stands beside each row: the class, unit or region.
        sign: which values are drawn: "all", "positive", "negative" or "absolute_value".
        model: the class of the model.
        bands: the bands that figures show, see ``deconvnet.units.shown``.
        note: what is to be known of the pictures; empty if they show what was read.
    """

    names: Sequence[str]
    pictures: Sequence[NDArray[np.float32]]
    exemplars: Mapping[str, Sequence[Exemplar]]
    labels: Sequence[str]
    sign: Sequence[str] = ("all",)
    model: str = ""
    choices: str = ""
    """of the mirror, that are not the default: "fallback rectify, unpooling centre" """
    bands: tuple[int, ...] | None = None
    note: str = ""
    sanity: str = ""
    """a line of a sanity check, see ``deconvnet.sanity``"""

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

        Signals and videos are drawn by ``comparison_rows``. The arguments are those of every
        result, see ``Shown.figure``.
        """
        rows = []
        every = zip(self.pictures, self.labels, *self.exemplars.values(), strict=True)
        for picture, name, *made in every:
            box, size = made[0].box, picture.shape[:-1]
            shown = [_whole(one.shown(self.bands), size) for one in made]
            outlined = None if box.size == size else box
            for number, sign in enumerate(self.sign):
                label = sign.replace("_", " ") if number else self._label(name, made[0])
                rows.append(
                    ComparisonRow(picture, shown, label, outlined, sign, repeated=number > 0)
                )
        how = ", ".join(self.exemplars)
        told = with_line(captioned(how, self.bands, self.note) if caption else None, self.sanity)
        images = all(one.axes == 2 for one in self.units)
        draw, first = (comparison, "image") if images else (comparison_rows, "input")
        columns = [first, *self.exemplars]
        return draw(rows, columns=columns, width=width, title=title, caption=told, parent=parent)

    def table(self) -> list[dict[str, object]]:
        """One row an image and target: image, unit, activation, and box in pixels."""
        return [one.row(name) for name, one in zip(self.names, self.units, strict=True)]

    def _made(self) -> dict[str, object]:
        return {**super()._made(), "rectifiers": ", ".join(self.exemplars)}

    def _label(self, name: str, one: Exemplar) -> str:
        """The target and its activation; the sign, if it is one."""
        sign = "" if self.sign[0] == "all" else f", {self.sign[0].replace('_', ' ')}"
        return f"{name} = {digits(one.activation)}{sign}"


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
    bands: Sequence[int] | None = None,
    sanity: Sanity | None = None,
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
        bands: of images of more than three bands, the three that are shown as red, green and blue,
            or one, counted from 0; by default those of the preprocessing, else the first three.
        sanity: the result of ``deconvnet.sanity`` of this net, of which the figure says a line.

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
    kind = type(net.model).__name__
    line = sanity_line(sanity, [str(rectifier_named(rule)) for rule in rules], kind)
    given = images_of(images, net, preprocessing=preprocessing, names=names)
    known, made = given.prepared, {}
    shown = [known.picture(image, bands) for image in given.tensor]
    recordings = Recordings(net, given.tensor)
    targets = targets_of(net, recordings, layer, channel, target=target)
    for rule in rules:
        mirrored = net_of(net, rule)
        made[str(rectifier_named(rule))] = project_targets(mirrored, given, targets, recordings)
    units = next(iter(made.values()))
    top = next(iter(recordings.of(net, None, 0).activations)) if classes else ""
    labels = [
        label(target, one, classes if one.unit.layer == top else ())
        for target, one in zip(chain(*targets), units, strict=True)
    ]
    rows, (_, _, choices) = [one.unit.image for one in units], str(net.policies).partition(", ")
    return Comparison(
        [given.names[row] for row in rows], [shown[row] for row in rows], made, labels, signs,
        kind, choices, bands_of(bands, known, units), known.note, line,
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
    pixels = np.zeros((*size, one.projection.shape[-1]), "f4")
    pixels[one.box.slices] = one.projection
    return pixels
