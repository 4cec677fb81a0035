"""What is compared in images: classes, units, and regions of feature maps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deconvnet.arguments import listed
from deconvnet.data.given_images import GivenImages
from deconvnet.layers import UnmirroredError
from deconvnet.mining.exemplars import project_units
from deconvnet.net import DeconvNet
from deconvnet.projection import receptive_field
from deconvnet.projection.recording import Recording
from deconvnet.units import Box, Exemplar, Region, Unit

from .given import layer_of

Target = int | Unit | Region


class Recordings:
    """Forward passes of the images of one call, which its rules share.

    What is recorded under "gradient" serves every rule that needs no more; for others, such as
    "rectgrad", the images run again.

    Args:
        net: under any rule; its other choices are kept.
        images: (batch, channels, *size), preprocessed.
    """

    def __init__(self, net: DeconvNet, images: Tensor) -> None:
        self.images = images
        self._plain = net.with_rectifier("gradient")
        self._kept: dict[tuple[int | None, str | nn.Module | None], Recording] = {}

    def of(
        self, net: DeconvNet, layer: str | nn.Module | None, image: int | None = None
    ) -> Recording:
        """A recording of a layer, of one image or of all, that the rule of this net can use."""
        images = self.images if image is None else self.images[image : image + 1]
        place = image, layer
        if place not in self._kept:
            made = self._plain.record(images, layer)
            self._kept |= {(image, name): made for name in made.activations} | {place: made}
        recording = self._kept[place]
        try:
            recording.under(net.policies)
        except UnmirroredError:
            raise
        except ValueError:  # it needs what gradient does not keep
            return net.record(images, layer)
        return recording


def targets_of(
    net: DeconvNet,
    recordings: Recordings,
    layer: str | nn.Module | None = None,
    channel: int | None = None,
    *,
    target: Target | Sequence[Target] | None = None,
) -> list[list[Unit | Region]]:
    """The targets in each image; ``compare`` explains the arguments.

    Raises:
        KeyError: no such layer.
        TypeError: a target of another kind.
        ValueError: arguments that exclude each other.
    """
    check_exclusive(layer, channel, target)
    if layer is not None and channel is not None:
        target = Unit(layer_of(layer, net, recordings.images), channel)
    if target is None:
        name, maps = next(iter(recordings.of(net, layer).activations.items()))
        best = maps.reshape(*maps.shape[:2], -1).amax(2).argmax(1).tolist()
        return [[Unit(name, one)] for one in best]
    wanted = listed(target, Integral, Unit, Region)
    for one in wanted:
        if not isinstance(one, Integral | Unit | Region) or isinstance(one, bool):
            raise TypeError(
                f"a target was {one!r}; give the index of a class, a deconvnet.Unit or a "
                "deconvnet.Region, or a list of them"
            )
    if not wanted:
        raise ValueError("no targets were given; leave target= out for the likeliest class")
    classes: Any = [one for one in wanted if isinstance(one, Integral)]
    top = next(iter(recordings.of(net, None).activations)) if classes else ""
    units = [Unit(top, int(one)) if isinstance(one, Integral) else one for one in wanted]
    return [units for _ in recordings.images]


def label(target: Unit | Region, one: Exemplar, classes: Sequence[str]) -> str:
    """A target in words; a class by the last part of its name, where the classes are named."""
    if isinstance(target, Region):
        return f"a region of {target}"
    if classes:
        return classes[one.unit.channel].rpartition("/")[2].replace("_", " ")
    return str(one.unit)


def check_exclusive(layer: object, channel: int | None, target: object) -> None:
    """Check that a call names either a target or a layer, and a channel with its layer.

    Raises:
        ValueError: it does not.
    """
    if target is not None and (layer is not None or channel is not None):
        raise ValueError("a target was given, and a layer or channel; give one, not both")
    if channel is not None and layer is None:
        raise ValueError(f"channel {channel} was given without its layer; give both")


def target_of(text: str) -> Target:
    """A target in words: a class, a unit, or a region, whose rows and columns are half open.

    >>> target_of("7"), target_of("relu4:3@1,2")
    (7, Unit(layer='relu4', channel=3, row=1, col=2, image=0, depth=None))
    >>> target_of("relu4:3@0:6,2:8")
    Region(layer='relu4', channel=3, mask=Box(start=(0, 2), stop=(6, 8)))

    Raises:
        ValueError: the text has another form.
    """
    if text.isdecimal():
        return int(text)
    part = re.fullmatch(r"(.+):(\d+)@(\d+:\d+(?:,\d+:\d+){0,2})", text)
    if part is None:
        return Unit.parse(text)
    pairs = [tuple(map(int, axis.split(":"))) for axis in part[3].split(",")]
    starts, stops = zip(*pairs, strict=True)
    return Region(part[1], int(part[2]), Box(starts, stops))


def project_targets(
    net: DeconvNet,
    given: GivenImages,
    targets: Sequence[Sequence[Unit | Region]],
    recordings: Recordings,
) -> list[Exemplar]:
    """The targets of every image as exemplars, image by image.

    Units with a position may run on no more than what they see, and share no recording.
    """
    made: dict[tuple[int, int], Exemplar] = {}
    units = {
        (image, number): replace(one, image=image)
        for image, those in enumerate(targets)
        for number, one in enumerate(those)
        if isinstance(one, Unit)
    }
    for layer in dict.fromkeys(unit.layer for unit in units.values()):
        here = {place: unit for place, unit in units.items() if unit.layer == layer}
        wanted, placed = list(here.values()), all(unit.position for unit in here.values())
        some = project_units(
            net, given.tensor, wanted, preprocessing=given.prepared,
            recording=None if placed else recordings.of(net, layer),
        )  # fmt: skip
        made.update(zip(here, some, strict=True))
    for image, those in enumerate(targets):
        for number, one in enumerate(those):
            if isinstance(one, Region):
                made[image, number] = _project_region(net, given, one, image, recordings)
    return [made[place] for place in sorted(made)]


def _project_region(
    net: DeconvNet, given: GivenImages, region: Region, image: int, recordings: Recordings
) -> Exemplar:
    """All units of a region together: they start with their activations, the others with zero."""
    pixels = given.tensor[image : image + 1]
    recording = recordings.of(net, region.layer, image)
    ((layer, maps),) = recording.activations.items()
    if not 0 <= region.channel < maps.shape[1]:
        raise IndexError(
            f"{layer} has no channel {region.channel}; its channels are 0 to {maps.shape[1] - 1}"
        )
    mask = _mask(region, tuple(maps.shape[2:]))
    there = torch.from_numpy(mask).to(maps.device)
    masked = replace(recording, activations={layer: maps * there})
    signal = net.project(masked, layer=layer, channel=region.channel, seed="map")
    assert isinstance(signal, Tensor), "without crop it is one"
    geometry = net.geometry(pixels.shape[1:], [layer])
    starts, stops = receptive_field.boxes(geometry, layer, np.argwhere(mask))
    box = Box(tuple(starts.min(0).tolist()), tuple(stops.max(0).tolist()))
    projection = signal[0].movedim(0, -1).float().cpu().numpy()[box.slices]
    patch = given.prepared.pixels(given.tensor[image])[box.slices]
    value = float(maps[0, region.channel][there].max())
    unit = Unit(layer, region.channel, image=image)
    return Exemplar(unit, value, box, (0,) * len(box.start), patch, projection)


def _mask(region: Region, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """The positions of a region in a map of this size.

    Raises:
        ValueError: the mask is of another size, not of booleans, or holds no position.
    """
    shape = " x ".join(map(str, size)) or "no positions"
    if isinstance(region.mask, Box):
        mask = np.zeros(size, bool)
        inside = len(region.mask.start) == len(size) and all(
            0 <= a < b <= n
            for a, b, n in zip(region.mask.start, region.mask.stop, size, strict=True)
        )
        if not inside:
            raise ValueError(
                f"the region of {region} was {region.mask}; a map of it has {shape} positions"
            )
        mask[region.mask.slices] = True
        return mask
    mask = np.asarray(region.mask.cpu() if isinstance(region.mask, Tensor) else region.mask)
    if mask.shape != size or not np.isin(mask, (0, 1)).all() or not mask.any():
        raise ValueError(
            f"the mask of {region} was of {mask.dtype} and shape {mask.shape}, with "
            f"{np.count_nonzero(mask)} positions; expected booleans of shape {size}, at least one "
            "of them True"
        )
    return mask.astype(bool)
