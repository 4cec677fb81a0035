"""Units in images: receptive field, patch and projection of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from deconvnet.arguments import listed
from deconvnet.figures import ImageRow, unit_rows, visualization
from deconvnet.layers import Rectifier
from deconvnet.mining.exemplars import project_units
from deconvnet.net import DeconvNet
from deconvnet.projection.recording import Recording
from deconvnet.projection.seeds import SEEDS
from deconvnet.units import Box, Exemplar, Unit

from .bands import bands_of, captioned
from .channels import read
from .given import layer_of, net_and_images
from .result import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

    from deconvnet.data.given_images import GivenImages


@dataclass(frozen=True, eq=False, repr=False)
class Visualization(Shown):
    """Units in images.

    Args:
        rows: for each image, its picture and its units as exemplars.
        layer: of the units.
        rectifier: the rule of the projections, and every choice that is not the default.
        seed: what their signals start with.
        model: the class of the model.
        bands: the bands that figures show, see ``deconvnet.units.shown``.
        note: what is to be known of the pictures; empty if they show what was read.
    """

    rows: Sequence[ImageRow]
    layer: str
    rectifier: str
    seed: str = "activation"
    model: str = ""
    bands: tuple[int, ...] | None = None
    note: str = ""

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """Each image with its fields outlined, and patch and projection of each unit.

        Signals and videos are drawn by ``unit_rows``. The arguments are those of every result, see
        ``Shown.figure``.
        """
        how = f"{self.layer} by {self.rectifier}"
        told = captioned(how, self.bands, self.note) if caption else None
        rows = [replace(r, units=[one.shown(self.bands) for one in r.units]) for r in self.rows]
        images = all(one.axes == 2 for row in rows for one in row.units)
        draw = visualization if images else unit_rows
        return draw(rows, width=width, title=title, caption=told, parent=parent)

    def table(self) -> list[dict[str, object]]:
        """One row a unit and image: image, unit, activation, and box in pixels."""
        return [one.row(row.name) for row in self.rows for one in row.units]


def visualize(
    net: DeconvNet | nn.Module,
    images: Any,
    *,
    layer: str | nn.Module | None = None,
    channel: int | str | Sequence[int] = "strongest:3",
    position: tuple[int, ...] | None = None,
    rectifier: str | Rectifier | None = None,
    seed: str = "activation",
    preprocessing: Any = None,
    names: Sequence[str] = (),
    bands: Sequence[int] | None = None,
) -> Visualization:
    """Project channels of a layer in every image.

    Args:
        net: a DeconvNet, or a model.
        images: paths, PIL images, uint8 arrays, one or several; or a float tensor (batch,
            channels, *size) or (channels, *size), preprocessed.
        layer: node name, as in ``net.layers``, or module; by default the last activation whose
            maps have positions.
        channel: one or several numbers, also in words, "0-7" or "3,7"; or "strongest:N", in each
            image the N channels that reach the highest activations in it. Channels that are
            positive nowhere in an image are left out.
        position: (row, col) in the map; by default the strongest of each channel in each image.
        rectifier: as for ``DeconvNet``; by default that of the net, of a model "deconvnet".
        seed: "activation", "one" or "map", as for ``DeconvNet.project``; "map" projects all of a
            channel's map at once, onto the whole image.
        preprocessing: reads images and turns tensors back into pictures; by default that of the
            net or model.
        names: of the images, instead of those of their files.
        bands: of images of more than three bands, the three that are shown as red, green and blue,
            or one, counted from 0; by default those of the preprocessing, else the first three.

    Raises:
        KeyError, IndexError: no such layer, channel or position.
        UnmirroredError: an activation on the way has no rule under the rectifier.
        ValueError: no preprocessing is known, an image cannot be read, or no channel of the layer
            is positive in an image.
    """
    check_units(channel, position, seed)
    net, given = net_and_images(net, images, rectifier, preprocessing=preprocessing, names=names)
    shown = [given.prepared.picture(image, bands) for image in given.tensor]
    layer = layer_of(layer, net, given.tensor)
    asked = read(channel) if isinstance(channel, str) else listed(channel, Integral)
    strongest = not isinstance(asked, list)
    recording = net.record(given.tensor, layer) if strongest or seed == "map" else None
    units = [
        Unit.at(layer, one, position=position, image=image)
        for image, channels in enumerate(_channels(recording, len(given.tensor), asked))
        for one in channels
    ]
    if seed == "map" and recording is not None:
        made = _whole_maps(net, given, units, recording)
    else:
        made = project_units(
            net, given.tensor, units, preprocessing=given.prepared, seed=seed, recording=recording
        )
    rows = [
        ImageRow(picture, [one for one in made if one.unit.image == number], name)
        for number, (picture, name) in enumerate(zip(shown, given.names, strict=True))
    ]
    rule, kind = str(net.policies), type(net.model).__name__
    chosen = bands_of(bands, given.prepared, made)
    return Visualization(rows, made[0].unit.layer, rule, seed, kind, chosen, given.prepared.note)


def check_units(
    channel: int | str | Sequence[int], position: tuple[int, ...] | None, seed: str
) -> None:
    """Check what needs no network: the words for channels and seed, and that they agree.

    Raises:
        ValueError: one of them is unknown, or a position is given beside a whole map.
    """
    if isinstance(channel, str):
        read(channel)
    if seed not in SEEDS:
        raise ValueError(f"the seed was {seed!r}; use one of {', '.join(SEEDS)}")
    if position is not None and seed == "map":
        raise ValueError(f"position={position} was given with seed='map', which takes all of a map")


def _channels(
    recording: Recording | None, images: int, asked: list[int] | tuple[str, int]
) -> list[list[int]]:
    """The channels to project, for each image."""
    if isinstance(asked, list):
        if not asked:
            raise ValueError("no channel was given; give numbers, or strongest:3")
        return [asked] * images
    how, most = asked
    if how != "strongest" or recording is None:
        raise ValueError(f"channel='{how}:{most}' was given, expected numbers or strongest:{most}")
    ((name, maps),) = recording.activations.items()
    strongest = maps.reshape(*maps.shape[:2], -1).amax(2).float()
    values, order = strongest.sort(dim=1, descending=True, stable=True)
    fires = values[:, :most] > 0  # of NaN, too, it is False
    if not bool(fires.any(1).all()):
        image = int((~fires.any(1)).nonzero()[0, 0])
        raise ValueError(
            f"no channel of {name} is positive in image {image}, of which the strongest could be "
            "taken; name channels: channel=0"
        )
    return [some[:most][mask].tolist() for some, mask in zip(order, fires, strict=True)]


def _whole_maps(
    net: DeconvNet, given: GivenImages, units: Sequence[Unit], recording: Recording
) -> list[Exemplar]:
    """The projections of whole maps, each onto its whole image."""
    projections = net.project(recording, units=units, seed="map")
    assert isinstance(projections, Tensor), "without crop it is one"
    ((name, maps),) = recording.activations.items()
    shown = [given.prepared.pixels(image) for image in given.tensor]
    size = tuple(given.tensor.shape[2:])
    made = []
    for unit, pixels in zip(units, projections, strict=True):
        value = float(torch.as_tensor(maps[unit.image, unit.channel]).max())
        box, projection = Box((0,) * len(size), size), pixels.movedim(0, -1).float().cpu().numpy()
        unit = replace(unit, layer=name)
        made.append(Exemplar(unit, value, box, (0,) * len(size), shown[unit.image], projection))
    return made
