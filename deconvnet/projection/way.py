"""The way of signals down a network: their seed, what they must pass, where they are taken."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from deconvnet.arguments import listed
from deconvnet.graph.graph import Graph

from .geometry import Geometry


@dataclass(frozen=True, eq=False)
class Way:
    """How the signals of units travel.

    Args:
        at: the nodes where they are taken.
        seed: what they start with: "activation", "one" or "map" (see ``seeds.isolated``).
        directions: (directions, channels) of the units' layer, if their channels count these.
        through: {node: (channels,) booleans} the channels that they must pass, top to bottom.
        strict: it is an error if none arrives at a node of ``at``; else that node is left out.
        straight: nothing is asked for, or looked at, between the units' layers and the images.
    """

    at: tuple[str, ...]
    seed: str = "activation"
    directions: Tensor | None = None
    through: Mapping[str, Tensor] = field(default_factory=dict)
    strict: bool = True
    straight: bool = False


def below(geometry: Geometry, layer: str) -> list[str]:
    """The nodes that signals of a layer's units may come to: itself first, the images last."""
    reached, names = {layer}, []
    for step in reversed(geometry.steps):
        if step.name in reached:
            names.append(step.name)
            reached.update(filter(None, step.sources))
    return [*names, geometry.input] if geometry.input in reached else names


def places(
    graph: Graph,
    geometry: Geometry,
    layers: Iterable[str],
    at: str | nn.Module | Sequence[str | nn.Module] | None,
) -> tuple[str, ...]:
    """The nodes where the signals of units of some layers are to be taken.

    ``at`` names them; None stands for every node below the layers that has maps, top to bottom.

    Raises:
        KeyError: no such layer.
        ValueError: it does not lie below the units' layers, or has no maps of its own for each
            image.
    """
    reached = [below(geometry, layer) for layer in layers]
    if not reached:
        raise ValueError("no units were given, of which there could be signals")
    if at is None:
        common = [name for name in reached[0] if all(name in names for names in reached)]
        return tuple(name for name in common if _has_maps(geometry, name))
    wanted = [graph.find(one) for one in listed(at, str, nn.Module)]
    for name in wanted:
        for names in reached:
            _refuse_not_below(name, names)
        if not _has_maps(geometry, name):
            raise ValueError(
                f"{name} has no maps of its own for each image: its value is no tensor (batch, "
                "channels, ...), or images of the batch are mixed below it; choose another layer, "
                "or give one image at a time"
            )
    return tuple(dict.fromkeys(wanted))


def _has_maps(geometry: Geometry, name: str) -> bool:
    """Whether a node's value is a tensor (batch, channels, ...) with a row for each image."""
    size = geometry.sizes.get(name, ())
    if len(size) < 2 or size[0] != geometry.images:
        return False
    if geometry.images == 1 or geometry.per_sample:
        return True
    lower = set(below(geometry, name))
    return all(step.apart for step in geometry.steps if step.name in lower)


def _refuse_not_below(name: str, names: Sequence[str]) -> None:
    if name not in names:
        some = ", ".join([one for one in names[1:] if not one.endswith(("<", "="))][:4])
        raise ValueError(
            f"{name} is not below {names[0]}, or no derivative is taken in between: no signal of "
            f"its units comes there; it comes to {some}, …"
        )


def gates(
    graph: Graph,
    geometry: Geometry,
    layers: Iterable[str],
    through: Mapping[str | nn.Module, int | Sequence[int]],
) -> dict[str, Tensor]:
    """The channels that signals must pass, {node: (channels,) booleans} from top to bottom.

    Raises:
        IndexError: a layer has no such channel.
        KeyError: no such layer.
        TypeError: it is no mapping of layers to channels.
        ValueError: a layer does not lie below the units' layers, or two of them are on no one path.
    """
    if not isinstance(through, Mapping):
        raise TypeError(f"through was {through!r}; give {{layer: channels}}: {{'relu4': [3, 7]}}")
    given = {graph.find(layer): channels for layer, channels in through.items()}
    order = [step.name for step in reversed(geometry.steps) if step.name in given]
    for layer in layers:
        upper = layer
        for name in (*order, *(name for name in given if name not in order)):
            if name in (layer, geometry.input):
                raise ValueError(
                    f"signals of {layer} were to pass channels of {name}; choose a layer between "
                    "it and the images"
                )
            _refuse_not_below(name, below(geometry, upper))
            upper = name
    return {name: _gate(name, geometry.sizes.get(name, ()), given[name]) for name in order}


def _gate(name: str, size: Sequence[int], channels: Any) -> Tensor:
    """The (channels,) booleans of a layer of this size: which are passed."""
    if len(size) < 2:
        raise ValueError(f"{name} has no channels: its value is no tensor (batch, channels, ...)")
    wanted, count = [operator.index(one) for one in listed(channels, int)], size[1]
    if not wanted or not all(0 <= one < count for one in wanted):
        raise IndexError(
            f"signals were to pass the channels {wanted} of {name}; give some of 0 to {count - 1}"
        )
    return torch.isin(torch.arange(count), torch.tensor(wanted))


def directions_of(geometry: Geometry, layers: Sequence[str], given: Any) -> Tensor:
    """Directions in the channels of a layer as a tensor (directions, channels).

    Args:
        geometry: up to the layer.
        layers: of the units, which must be one.
        given: (channels,) or (directions, channels) real numbers.

    Raises:
        ValueError: they are of another shape, or not finite; or the units are of several layers.
    """
    if len(set(layers)) != 1:
        raise ValueError(
            f"a direction is one of one layer; units of {', '.join(layers)} were given"
        )
    vectors, channels = torch.as_tensor(given), geometry.sizes[layers[0]][1]
    if vectors.ndim not in (1, 2) or vectors.shape[-1] != channels:
        raise ValueError(
            f"a direction of shape {tuple(vectors.shape)} was given; {layers[0]} has {channels} "
            f"channels: give a tensor ({channels},), or (directions, {channels}) for several"
        )
    if vectors.is_complex() or not vectors.isfinite().all():
        raise ValueError("a direction has numbers that are not finite, or complex ones")
    return vectors.detach().reshape(-1, channels)
