"""The maps that a sanity check compares: of targets under several rules, and of controls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.filters import sobel
from torch import Tensor

from deconvnet.arguments import check_each, listed
from deconvnet.graph.graph import Graph
from deconvnet.layers import UnmirroredError
from deconvnet.net import DeconvNet
from deconvnet.projection.recording import Recording
from deconvnet.projection.seeds import located
from deconvnet.projection.way import below
from deconvnet.units import Unit

from .map_similarity import mean_cosine
from .randomised import Stage
from .values import AT_ONCE, needed_classes, values

CONTROLS = ("edges", "noise", "constant")
VECTORS = 5  # random directions whose signals are compared (Sixt et al. 2020)
NOISE = 0.1  # standard deviation of the noise on images, by the range of each (Hedström et al.)
Maps = dict[str, NDArray[np.float64]]  # {rule or control: (images, channels, height, width)}


@dataclass(frozen=True, eq=False)
class Targets:
    """What the maps of each image are of.

    Args:
        layer: the node of the units.
        units: one an image, with their positions.
        told: in words.
        again: the class is that which the net finds likeliest at each stage.
        channels: of the layer.
    """

    layer: str
    units: Sequence[Unit]
    told: str
    again: bool
    channels: int

    def now(self, maps: Tensor, first: int) -> list[Unit]:
        """The units of some images, whose values at the layer these are, from image ``first``."""
        some = [
            replace(one, image=row) for row, one in enumerate(self.units[first : first + len(maps)])
        ]
        if not self.again:
            return some
        best = maps.argmax(1).tolist()
        return [replace(one, channel=channel) for one, channel in zip(some, best, strict=True)]

    def others(self, random_state: int) -> list[Unit]:
        """For each image another unit at the same place, of a channel drawn at random."""
        drawn = np.random.default_rng((random_state, 1)).integers(1, self.channels, len(self.units))
        return [
            replace(one, channel=(one.channel + int(step)) % self.channels)
            for one, step in zip(self.units, drawn, strict=True)
        ]


def targets_of(net: DeconvNet, pixels: Tensor, target: Any, classes: Sequence[str] = ()) -> Targets:
    """The targets of a call; ``sanity`` explains the argument.

    Raises:
        IndexError, KeyError: no such class, layer or channel.
        TypeError: a target of another kind.
        ValueError: not one target an image; units of several layers; a net without class scores.
    """
    given = [] if target is None else listed(target, str, int, np.integer, Unit)
    if not given or not all(isinstance(one, str | int | np.integer | Unit) for one in given):
        raise TypeError(
            f"target={target!r} was given, expected 'class', 'likeliest', a class, a "
            "deconvnet.Unit, or one an image"
        )
    if len(given) == 1:
        given = given * len(pixels)
    check_each("targets of images", given, len(pixels))
    if any(isinstance(one, Unit) for one in given):
        return _of_units(net, pixels, given)
    known = needed_classes(net, pixels, classes)
    if set(given) <= {"class", "likeliest"}:
        best = values(net, pixels, [known.layer], progress=False)[known.layer].argmax(1).tolist()
        again = given[0] == "likeliest"
        told = "the likeliest class of " + ("the net as it is then" if again else "the trained net")
    else:
        best, again = [known.checked(one) for one in given], False
        told = ", ".join(dict.fromkeys(known.named(one) for one in best))
    units = [Unit(known.layer, channel, image=row) for row, channel in enumerate(best)]
    return Targets(known.layer, units, told, again, known.count)


def _of_units(net: DeconvNet, pixels: Tensor, given: Sequence[Any]) -> Targets:
    if not all(isinstance(one, Unit) for one in given):
        raise TypeError("units and classes were given as targets, expected either")
    units = [replace(one, image=0) for one in given]
    names = {one.layer for one in units}
    if len(names) != 1:
        raise ValueError(f"units of {len(names)} layers were given, expected one: {sorted(names)}")
    told = ", ".join(dict.fromkeys(map(str, units)))
    net.project(pixels[:1], units=units)  # which refuses units that do not exist
    layer = _before_rectifier(net, pixels, net.graph.find(units[0].layer))
    maps = values(net, pixels, [layer], progress=False)[layer]
    moved = [
        Unit.at(layer, one.channel, position=one.position, image=row)
        for row, one in enumerate(units)
    ]
    placed, _ = located(maps, moved, torch.arange(len(maps)))
    return Targets(layer, placed, told, False, maps.shape[1])


def _before_rectifier(net: DeconvNet, pixels: Tensor, layer: str) -> str:
    """The node below an activation: a unit that is off has no derivative behind it."""
    geometry = net.geometry(tuple(pixels.shape[1:]), [layer])
    steps = {step.name: step for step in geometry.steps}
    while layer in steps and steps[layer].layer.activation_name:
        source = steps[layer].sources[0]
        if source not in steps:
            break
        layer = source
    return layer


class Explainer:
    """The maps of targets under several rules, for the weights that the net has when it is called.

    Args:
        net: whose weights change.
        rules: {name: the net under a rule}.
        targets: of the images.
        noisy: over how many noisy copies of each image maps are averaged; 0 for the image itself.
        random_state: seed of the noise.
    """

    def __init__(
        self,
        net: DeconvNet,
        rules: Mapping[str, DeconvNet],
        targets: Targets,
        *,
        noisy: int = 0,
        random_state: int = 0,
    ) -> None:
        self.net, self.rules, self.targets = net.with_rectifier("gradient"), rules, targets
        self.noisy, self.random_state = noisy, random_state

    def __call__(self, pixels: Tensor, first: int) -> tuple[Maps, Tensor]:
        """The maps of some images, from image ``first``, and their values at the layer."""
        recording = self.net.record(pixels, self.targets.layer)
        plain = recording[self.targets.layer]
        units = self.targets.now(plain, first)
        if not self.noisy:
            return self._maps(pixels, units, recording), plain
        return self.of(pixels, units, first), plain

    def of(self, pixels: Tensor, units: Sequence[Unit], first: int) -> Maps:
        """The maps of units in images, from image ``first``: (units, channels, height, width)."""
        if not self.noisy:
            return self._maps(pixels, units)
        spread = (pixels.flatten(1).amax(1) - pixels.flatten(1).amin(1)) * NOISE
        summed: Maps = {}
        for number in range(self.noisy):
            seed = np.random.SeedSequence((self.random_state, first, number)).generate_state(1)
            generator = torch.Generator().manual_seed(int(seed[0]))
            noise = torch.randn(pixels.shape, generator=generator).to(pixels)
            there = pixels + spread[:, None, None, None] * noise
            for rule, made in self._maps(there, units).items():
                summed[rule] = summed.get(rule, 0.0) + made / self.noisy
        return summed

    def _maps(
        self, pixels: Tensor, units: Sequence[Unit], recording: Recording | None = None
    ) -> Maps:
        """Of these images; ``recording`` is theirs under "gradient", where it is there already."""
        layer = self.targets.layer
        recording = recording or self.net.record(pixels, layer)
        made: Maps = {}
        for rule, net in self.rules.items():
            try:
                shared = recording.under(net.policies)
            except UnmirroredError:
                raise
            except ValueError:  # the rule needs what "gradient" does not keep
                shared = net.record(pixels, layer)
            maps = net.project(shared, units=list(units), seed="one")
            assert isinstance(maps, Tensor), "without crop it is"
            made[rule] = maps.double().cpu().numpy()
        return made


def controls(pixels: Tensor, first: int, *, stage: int, random_state: int) -> Maps:
    """Maps that know no weights: the edges of the images, fresh noise, and a constant.

    (images, 1, height, width) each.
    """
    edges: Any = sobel
    greys = pixels.double().mean(1).cpu().numpy()
    noise = [
        np.random.default_rng((random_state, 2, stage, first + row)).standard_normal(grey.shape)
        for row, grey in enumerate(greys)
    ]
    return {
        "edges": np.stack([edges(grey) for grey in greys])[:, None],
        "noise": np.stack(noise)[:, None],
        "constant": np.ones_like(greys)[:, None],
    }


def in_parts(pixels: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Images as many at a time as run together, with the number of the first."""
    for first in range(0, len(pixels), AT_ONCE):
        yield first, pixels[first : first + AT_ONCE]


def places_below(
    graph: Graph, net: DeconvNet, pixels: Tensor, layer: str, stages: Sequence[Stage]
) -> dict[str, str]:
    """{stage: the node below it}, from top to bottom: where a signal has just passed its weights.

    Stages whose weights no signal passes are left out.
    """
    reached = set(below(net.geometry(tuple(pixels.shape[1:]), [layer]), layer))
    passed = {}
    for stage in reversed(stages):
        lowest = stage.weights[0].node
        readers = [graph.nodes[lowest], *(node for node in graph if lowest in node.sources)]
        for node in readers:
            sources = [one for one in node.sources if one in reached]
            if sources:
                passed[stage.name] = sources[0]
                break
    return passed


def convergence(
    net: DeconvNet, pixels: Tensor, targets: Targets, places: Sequence[str], *, random_state: int
) -> NDArray[np.float64]:
    """(places, images): the mean |cosine| of signals that start in random directions of the layer.

    They start at the unit's position, with one normally distributed number a channel.
    """
    made = np.full((len(places), len(pixels)), np.nan)
    for row, unit in enumerate(targets.units):
        drawn = np.random.default_rng((random_state, 3, row))
        directions = drawn.standard_normal((VECTORS, targets.channels))
        units = [
            Unit.at(targets.layer, number, position=unit.position) for number in range(VECTORS)
        ]
        signals = net.signals(
            pixels[row : row + 1], units, list(places), seed="one",
            direction=torch.from_numpy(directions),
        )  # fmt: skip
        assert isinstance(signals, dict), "of several places"
        for number, place in enumerate(places):
            made[number, row] = mean_cosine(signals[place].double().cpu().numpy())
    return made
